#include "module.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine.h"

namespace anywarp {

namespace {

constexpr const char* kVariantNames[12] = {
    "line",         "rows16",         "rows8",         "rows4",         "rows2",         "any",
    "line.partial", "rows16.partial", "rows8.partial", "rows4.partial", "rows2.partial", "any.partial",
};

}  // namespace

int variant_index(const std::uint32_t block[3]) {
  const std::uint64_t threads = std::uint64_t{block[0]} * block[1] * block[2];
  int base = 5;
  if (block[0] % abi::kWarp == 0 || (block[1] == 1 && block[2] == 1)) {
    base = 0;
  } else {
    switch (block[0]) {
      case 16: base = 1; break;
      case 8: base = 2; break;
      case 4: base = 3; break;
      case 2: base = 4; break;
      default: break;
    }
  }
  return threads % abi::kWarp != 0 ? base + 6 : base;
}

const char* variant_name(int index) { return kVariantNames[index]; }

std::string probing_variant_name(int index) { return std::string(kVariantNames[index]) + ".probing"; }

Result Kernel::code(const std::uint32_t block[3], const KernelCode** out, std::string* log) {
  const int index = variant_index(block);
  if (const KernelCode* ready = ready_[index].load(std::memory_order_acquire)) {
    *out = ready;
    return Result::success;
  }
  const std::lock_guard lock(mutex_);
  if (owned_[index] == nullptr) {
    std::unique_ptr<KernelCode> code;
    const Result result = module_->fetch_kernel(*this, variant_name(index), &code, log);
    if (result != Result::success) return result;
    owned_[index] = std::move(code);
    ready_[index].store(owned_[index].get(), std::memory_order_release);
  }
  *out = owned_[index].get();
  return Result::success;
}

Result Kernel::probing_code(const std::uint32_t block[3], const KernelCode** out) {
  const int index = variant_index(block);
  const std::lock_guard lock(mutex_);
  if (probing_[index] == nullptr) {
    const Result result = module_->fetch_kernel(*this, probing_variant_name(index), &probing_[index], nullptr);
    if (result != Result::success) return result;
  }
  *out = probing_[index].get();
  return Result::success;
}

Result Kernel::any_code(const KernelCode** out, std::string* log) {
  for (const auto& ready : ready_)
    if (const KernelCode* code = ready.load(std::memory_order_acquire)) {
      *out = code;
      return Result::success;
    }
  const std::uint32_t line[3] = {32, 1, 1};
  const bool required = info_.reqntid[0] != 0;
  return code(required ? info_.reqntid.data() : line, out, log);
}

Result Module::load(Engine& engine, ByteSpan image, const Options& options, std::unique_ptr<Module>* out, std::string* log) {
  std::unique_ptr<Module> module(new Module(engine, options));
  module->image_.assign(image.begin(), image.end());
  module->digest_ = sha256(image);
  module->key_ = module_key(engine.fingerprint(), options.capability, module->digest_);
  std::string error;
  std::optional<Bytes> cached = engine.cache().read(Cache::Kind::module, module->key_);
  std::optional<Cache::Turn> turn;
  if (!cached) cached = engine.cache().wait(Cache::Kind::module, module->key_, engine.compiler().timeout_seconds(), &turn);
  if (!cached || !parse(*cached, &module->manifest_, &error)) {
    Bytes fresh;
    if (const Result r = engine.compiler().load(module->digest_, module->key_, image, options.capability, &fresh, log); r != Result::success)
      return r;
    module->manifest_ = {};
    if (!parse(fresh, &module->manifest_, &error)) {
      if (log != nullptr) *log = "anywarp: the compiler gave a " + error;
      return Result::unknown;
    }
  }
  if (const Result r = module->place(log); r != Result::success) return r;
  *out = std::move(module);
  return Result::success;
}

Result Module::place(std::string* log) {
  const auto fail = [log](Result result, std::string why) {
    if (log != nullptr) *log = "anywarp: " + std::move(why);
    return result;
  };
  memory::Arena& arena = engine_.arena();
  for (EntryInfo& entry : manifest_.entries) {
    auto kernel = std::make_unique<Kernel>();
    kernel->module_ = this;
    kernel->info_ = entry;
    kernels_by_name_[entry.name] = kernel.get();
    kernels_.push_back(std::move(kernel));
  }
  // Kernels have addresses too: variables of cudadevrt, which every program with linked device code carries, begin with some.
  std::vector<std::string_view> addressed(manifest_.functions.begin(), manifest_.functions.end());
  for (const EntryInfo& entry : manifest_.entries) addressed.push_back(entry.name);
  if (!addressed.empty()) {
    constexpr std::size_t kToken = 16;
    const std::size_t bytes = addressed.size() * kToken;
    if (const Result r = arena.allocate(options_.device, bytes, 256, memory::Kind::internal, options_.owner, 0, &tokens_); r != Result::success)
      return fail(r, "no memory for the module's functions");
    std::memset(tokens_, 0, bytes);
    for (std::size_t i = 0; i < addressed.size(); ++i) symbols_.emplace(addressed[i], reinterpret_cast<std::uint64_t>(tokens_) + i * kToken);
  }
  for (VariableInfo& info : manifest_.variables) {
    if ((info.flags & VariableInfo::external) != 0) return fail(Result::invalid_ptx, "unresolved extern variable '" + info.name + "'");
    if (info.alignment != 0 && !std::has_single_bit(info.alignment)) return fail(Result::invalid_ptx, "alignment of '" + info.name + "'");
    Variable variable;
    const auto kind = (info.flags & VariableInfo::managed) != 0 ? memory::Kind::managed : memory::Kind::variable;
    if (const Result r = arena.allocate(options_.device, std::max<std::uint64_t>(info.bytes, 1), std::max<std::uint32_t>(info.alignment, 256),
                                        kind, options_.owner, 0, &variable.address);
        r != Result::success)
      return fail(r, "no memory for the variable '" + info.name + "'");
    if (!info.data.empty()) std::memcpy(variable.address, info.data.data(), info.data.size());
    std::memset(static_cast<std::uint8_t*>(variable.address) + info.data.size(), 0, info.bytes - info.data.size());
    Bytes().swap(info.data);
    symbols_[info.name] = reinterpret_cast<std::uint64_t>(variable.address);
    variable.info = info;
    variables_.push_back(std::move(variable));
  }
  for (const Variable& variable : variables_)
    for (const Relocation& r : variable.info.relocations) {
      const std::uint64_t symbol = symbol_value(r.symbol);
      if (symbol == 0) return fail(Result::invalid_ptx, "unresolved symbol '" + r.symbol + "' in the initial value of '" + variable.info.name + "'");
      const std::uint64_t value = r.mask == 0 ? 0 : ((symbol + r.addend) & r.mask) >> std::countr_zero(r.mask);
      std::memcpy(static_cast<std::uint8_t*>(variable.address) + r.offset, &value, r.bytes);
    }
  return Result::success;
}

Module::~Module() {
  for (const Variable& variable : variables_) (void)engine_.arena().free(variable.address);
  if (tokens_ != nullptr) (void)engine_.arena().free(tokens_);
  if (!engine_.shut_down()) engine_.compiler().unload(digest_);
}

Kernel* Module::kernel(std::string_view name) {
  const auto it = kernels_by_name_.find(name);
  return it == kernels_by_name_.end() ? nullptr : it->second;
}

Kernel* Module::kernel_at(std::uint64_t token) {
  for (const auto& kernel : kernels_)
    if (symbol_value(kernel->name()) == token && token != 0) return kernel.get();
  return nullptr;
}

// nvcc registers variables of a program by name that its PTX does not make visible, so these can be found too.
const Variable* Module::variable(std::string_view name) const {
  const Variable* unnamed = nullptr;
  for (const Variable& v : variables_) {
    if (v.info.name != name) continue;
    if ((v.info.flags & VariableInfo::unnamed) == 0) return &v;
    unnamed = &v;
  }
  return unnamed;
}

std::uint64_t Module::symbol_value(std::string_view name) const {
  const auto it = symbols_.find(name);
  return it == symbols_.end() ? 0 : it->second;
}

Result Module::fetch_kernel(Kernel& kernel, const std::string& variant, std::unique_ptr<KernelCode>* out, std::string* log) {
  const auto fail = [&](Result result, const std::string& why) {
    if (log != nullptr) *log = "anywarp: kernel '" + kernel.name() + "': " + why;
    return result;
  };
  const Digest key = kernel_key(key_, engine_.processor(), kernel.name(), variant);
  auto code = std::make_unique<KernelCode>();
  code->kernel = &kernel;
  code->variant = variant;
  std::string error;

  // False: this manifest cannot be used, or there is no memory for its code.
  Result loaded = Result::success;
  const auto take = [&](ByteSpan bytes) {
    code->manifest = {};
    if (!parse(bytes, &code->manifest, &error)) return false;
    if (options_.most_registers != 0) code->manifest.registers = std::min(code->manifest.registers, options_.most_registers);
    loaded = engine_.code().load(code->manifest.object, &code->object, &error);
    if (loaded != Result::success) return false;
    void* function = code->object->symbol(code->manifest.function);
    if (function == nullptr) {
      error = "the object has no function '" + code->manifest.function + "'";
      return false;
    }
    if (code->manifest.kind == KernelManifest::straight)
      code->straight = reinterpret_cast<abi::StraightEntry>(function);
    else
      code->stepped = reinterpret_cast<abi::SteppedEntry>(function);
    for (const std::string& symbol : code->manifest.symbols) {
      const std::uint64_t value = symbol_value(symbol);
      if (value == 0) {
        error = "unresolved symbol '" + symbol + "'";
        return false;
      }
      code->symbols.push_back(value);
    }
    Bytes().swap(code->manifest.object);
    return true;
  };

  std::optional<Bytes> cached = engine_.cache().read(Cache::Kind::kernel, key);
  std::optional<Cache::Turn> turn;
  if (!cached) cached = engine_.cache().wait(Cache::Kind::kernel, key, engine_.compiler().timeout_seconds(), &turn);
  if (!cached || !take(*cached)) {
    Bytes fresh;
    Result r = engine_.compiler().compile(digest_, key, kernel.name(), variant, &fresh, log);
    if (r == Result::not_found) {
      // The child does not hold the module: it was restarted, or the module's manifest came from the cache.
      Bytes ignored;
      r = engine_.compiler().load(digest_, key_, image_, options_.capability, &ignored, log);
      if (r == Result::success) r = engine_.compiler().compile(digest_, key, kernel.name(), variant, &fresh, log);
    }
    if (r != Result::success) return r;
    code->symbols.clear();
    code->object.reset();
    if (!take(fresh)) return fail(loaded == Result::out_of_memory ? loaded : Result::unknown, error);
  }
  *out = std::move(code);
  return Result::success;
}

}  // namespace anywarp
