// Modules and kernels: from an image to variables in device memory and code for a block shape.
//
// Module::load asks the cache and then the compiler for the module's manifest, places the module's variables in the arena and fills them.
// Kernels are compiled (or found in the cache) when first needed, one variant for each way in which threads fill warps (architecture,
// section 8). Both are thread-safe. Modules must outlive the launches of their kernels: synchronise before destroying one.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "abi.h"
#include "loader.h"
#include "manifest.h"
#include "result.h"
#include "sha256.h"

namespace anywarp {

class Engine;
class Module;
class Kernel;

// One compiled variant, ready to run. Immutable but for what is measured.
struct KernelCode {
  Kernel* kernel = nullptr;
  std::string variant;
  KernelManifest manifest;  // its `object` is empty: it has been loaded
  std::unique_ptr<LoadedObject> object;
  abi::StraightEntry straight = nullptr;
  abi::SteppedEntry stepped = nullptr;
  std::vector<std::uint64_t> symbols;  // Launch.symbols
  mutable std::atomic<std::uint64_t> cta_ns{0};  // a CTA's time as measured lately; 0: not yet
};

class Kernel {
 public:
  const EntryInfo& info() const { return info_; }
  const std::string& name() const { return info_.name; }
  Module& module() const { return *module_; }

  // The code for CTAs of this shape; compiles it if need be. The pointer is valid as long as the kernel is.
  Result code(const std::uint32_t block[3], const KernelCode** out, std::string* log);
  // The variant that shows every access to the runtime; see culprit.h.
  Result probing_code(const std::uint32_t block[3], const KernelCode** out);
  // Any compiled variant (attributes: registers, shared and local bytes); compiles the one for a line of 32 threads if there is none.
  Result any_code(const KernelCode** out, std::string* log);

 private:
  friend class Module;
  static constexpr int kVariants = 12;

  Module* module_ = nullptr;
  EntryInfo info_;
  std::array<std::atomic<const KernelCode*>, kVariants> ready_{};
  std::mutex mutex_;
  std::array<std::unique_ptr<KernelCode>, kVariants> owned_, probing_;
};

struct Variable {
  VariableInfo info;  // its `data` is empty: it has been placed
  void* address = nullptr;
};

class Module {
 public:
  struct Options {
    int device = 0;
    std::uint32_t capability = 80;
    void* owner = nullptr;  // of the arena's allocations
    std::uint32_t most_registers = 0;  // a thread, that kernels report at most; 0: no limit
  };

  // `image`: whatever the compiler accepts (PTX text, fatbin). `log`: the compiler's message on an error.
  static Result load(Engine& engine, ByteSpan image, const Options& options, std::unique_ptr<Module>* out, std::string* log);
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  const ModuleManifest& manifest() const { return manifest_; }
  // In the order of the manifest. Null if there is none of that name.
  Kernel* kernel(std::string_view name);
  const std::vector<std::unique_ptr<Kernel>>& kernels() const { return kernels_; }
  // The kernel that an address of device code stands for, or null.
  Kernel* kernel_at(std::uint64_t token);
  // One that can be seen from outside the module, else one that cannot.
  const Variable* variable(std::string_view name) const;
  const std::vector<Variable>& variables() const { return variables_; }
  // The value of a symbol for relocations and Launch.symbols: a variable's address or a function's token. 0: none.
  std::uint64_t symbol_value(std::string_view name) const;

 private:
  friend class Kernel;
  Module(Engine& engine, const Options& options) : engine_(engine), options_(options) {}
  Result place(std::string* log);
  Result fetch_kernel(Kernel& kernel, const std::string& variant, std::unique_ptr<KernelCode>* out, std::string* log);

  Engine& engine_;
  Options options_;
  Bytes image_;  // kept: the compiler may have to be told again
  Digest digest_{}, key_{};
  ModuleManifest manifest_;
  std::vector<std::unique_ptr<Kernel>> kernels_;
  std::map<std::string, Kernel*, std::less<>> kernels_by_name_;
  std::vector<Variable> variables_;
  std::map<std::string, std::uint64_t, std::less<>> symbols_;
  void* tokens_ = nullptr;  // one 16-byte slot for each function that has an address and each kernel
};

// The name of the variant for a block shape, and its number (0 to 11).
int variant_index(const std::uint32_t block[3]);
const char* variant_name(int index);
std::string probing_variant_name(int index);

}  // namespace anywarp
