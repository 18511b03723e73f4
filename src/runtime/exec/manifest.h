// Module and kernel manifests: what the compiler tells the runtime (architecture, section 8). Parsed from untrusted bytes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "bytes.h"

namespace anywarp {

struct Parameter {
  std::uint32_t offset, bytes, alignment;
};

struct EntryInfo {
  std::string name;
  std::uint32_t param_bytes = 0;
  std::vector<Parameter> params;
  std::array<std::uint32_t, 3> reqntid{}, maxntid{}, cluster{};  // zeros: none
};

struct Relocation {
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;
  std::string symbol;
  std::uint64_t addend = 0, mask = 0;  // value = ((symbol + addend) & mask) >> trailing zeros of mask
};

struct VariableInfo {
  enum Space : std::uint32_t { global = 1, constant = 2 };
  enum Flag : std::uint32_t { managed = 1, external = 2, weak = 4, unnamed = 8 };
  std::string name;
  std::uint32_t space = global;
  std::uint64_t bytes = 0;
  std::uint32_t alignment = 1, flags = 0;
  Bytes data;  // empty: zeros
  std::vector<Relocation> relocations;
};

struct ModuleManifest {
  std::string target;
  std::vector<EntryInfo> entries;
  std::vector<VariableInfo> variables;
  std::vector<std::string> functions;  // device functions that have addresses
};

struct KernelManifest {
  enum Kind : std::uint32_t { straight = 0, stepped = 1 };
  enum Flag : std::uint32_t { uses_dynamic_shared = 1, may_spin = 2, needs_stack = 4, starts_work = 8 };
  std::string entry;
  std::uint32_t kind = straight;
  std::string function;  // symbol in the object
  std::uint32_t frame_bytes = 0, local_bytes = 0, static_shared_bytes = 0, flags = 0, registers = 0;
  std::vector<std::string> symbols;
  Bytes object;
};

// False and a message if the bytes are no manifest.
bool parse(ByteSpan data, ModuleManifest* out, std::string* error);
bool parse(ByteSpan data, KernelManifest* out, std::string* error);

// The inverse, for tests and tools.
Bytes serialize(const ModuleManifest& manifest);
Bytes serialize(const KernelManifest& manifest);

}  // namespace anywarp
