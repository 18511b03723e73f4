#include "manifest.h"

namespace anywarp {

namespace {

constexpr std::uint32_t kVersion = 1;

bool finish(const Reader& in, const char* what, std::string* error) {
  if (in.at_end()) return true;
  if (error != nullptr) *error = std::string("damaged ") + what + " manifest";
  return false;
}

}  // namespace

bool parse(ByteSpan data, ModuleManifest* out, std::string* error) {
  Reader in(data);
  if (in.u32() != kVersion) in.fail();
  out->target = in.str();
  out->entries.resize(in.list(48));
  for (EntryInfo& entry : out->entries) {
    entry.name = in.str();
    entry.param_bytes = in.u32();
    entry.params.resize(in.list(12));
    for (Parameter& p : entry.params) {
      p.offset = in.u32();
      p.bytes = in.u32();
      p.alignment = in.u32();
      if (p.offset > entry.param_bytes || p.bytes > entry.param_bytes - p.offset) in.fail();
    }
    for (auto* triple : {&entry.reqntid, &entry.maxntid, &entry.cluster})
      for (std::uint32_t& n : *triple) n = in.u32();
  }
  out->variables.resize(in.list(32));
  for (VariableInfo& v : out->variables) {
    v.name = in.str();
    v.space = in.u32();
    v.bytes = in.u64();
    v.alignment = in.u32();
    v.flags = in.u32();
    const ByteSpan initial = in.bytes();
    if (initial.size() > v.bytes) in.fail();
    v.data.assign(initial.begin(), initial.end());
    v.relocations.resize(in.list(32));
    for (Relocation& r : v.relocations) {
      r.offset = in.u64();
      r.bytes = in.u32();
      r.symbol = in.str();
      r.addend = in.u64();
      r.mask = in.u64();
      if (r.bytes > 8 || r.offset > v.bytes || r.bytes > v.bytes - r.offset) in.fail();
    }
  }
  out->functions.resize(in.list(4));
  for (std::string& name : out->functions) name = in.str();
  return finish(in, "module", error);
}

bool parse(ByteSpan data, KernelManifest* out, std::string* error) {
  Reader in(data);
  if (in.u32() != kVersion) in.fail();
  out->entry = in.str();
  out->kind = in.u32();
  if (out->kind > KernelManifest::stepped) in.fail();
  out->function = in.str();
  for (std::uint32_t* field : {&out->frame_bytes, &out->local_bytes, &out->static_shared_bytes, &out->flags, &out->registers})
    *field = in.u32();
  out->symbols.resize(in.list(4));
  for (std::string& symbol : out->symbols) symbol = in.str();
  const ByteSpan object = in.bytes();
  out->object.assign(object.begin(), object.end());
  return finish(in, "kernel", error);
}

Bytes serialize(const ModuleManifest& manifest) {
  Writer out;
  out.u32(kVersion);
  out.str(manifest.target);
  out.u32(static_cast<std::uint32_t>(manifest.entries.size()));
  for (const EntryInfo& entry : manifest.entries) {
    out.str(entry.name);
    out.u32(entry.param_bytes);
    out.u32(static_cast<std::uint32_t>(entry.params.size()));
    for (const Parameter& p : entry.params) {
      out.u32(p.offset);
      out.u32(p.bytes);
      out.u32(p.alignment);
    }
    for (const auto* triple : {&entry.reqntid, &entry.maxntid, &entry.cluster})
      for (const std::uint32_t n : *triple) out.u32(n);
  }
  out.u32(static_cast<std::uint32_t>(manifest.variables.size()));
  for (const VariableInfo& v : manifest.variables) {
    out.str(v.name);
    out.u32(v.space);
    out.u64(v.bytes);
    out.u32(v.alignment);
    out.u32(v.flags);
    out.bytes(v.data);
    out.u32(static_cast<std::uint32_t>(v.relocations.size()));
    for (const Relocation& r : v.relocations) {
      out.u64(r.offset);
      out.u32(r.bytes);
      out.str(r.symbol);
      out.u64(r.addend);
      out.u64(r.mask);
    }
  }
  out.u32(static_cast<std::uint32_t>(manifest.functions.size()));
  for (const std::string& name : manifest.functions) out.str(name);
  return out.data();
}

Bytes serialize(const KernelManifest& manifest) {
  Writer out;
  out.u32(kVersion);
  out.str(manifest.entry);
  out.u32(manifest.kind);
  out.str(manifest.function);
  for (const std::uint32_t field :
       {manifest.frame_bytes, manifest.local_bytes, manifest.static_shared_bytes, manifest.flags, manifest.registers})
    out.u32(field);
  out.u32(static_cast<std::uint32_t>(manifest.symbols.size()));
  for (const std::string& symbol : manifest.symbols) out.str(symbol);
  out.bytes(manifest.object);
  return out.data();
}

}  // namespace anywarp
