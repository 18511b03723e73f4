#include "cudart/registration.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cudart/execution.h"
#include "cudart/fatbin.h"

namespace anywarp::cudart {
namespace {

struct ManagedVariable {
  std::string name;
  void** host;  // where the program keeps the address
};

struct FatBinary {
  explicit FatBinary(const void* w) : wrapper(w) {}
  const void* wrapper;
  std::mutex mutex;                       // guards what follows
  CUlibrary library = nullptr;
  cudaError_t failure = cudaSuccess;      // of loading it; it is not tried again
  std::vector<ManagedVariable> managed;
  bool managed_known = false;             // their pointers are set
};

struct Function {
  FatBinary* binary = nullptr;
  std::string name;
  std::atomic<CUkernel> kernel{nullptr};  // once found
};

struct Variable {
  FatBinary* binary = nullptr;
  std::string name;
};

struct Texture {
  FatBinary* binary = nullptr;
  std::string name;
  bool normalized = false;
};

// Made by the first constructor of the program that registers something, and never destroyed: programs launch from destructors too.
struct Registry {
  std::shared_mutex mutex;  // guards what follows
  std::unordered_map<const void*, std::unique_ptr<Function>> functions;
  std::unordered_map<const void*, Variable> variables;
  std::unordered_map<const void*, Texture> textures;  // and surfaces
  std::unordered_set<FatBinary*> binaries;
  std::unordered_set<const void*> handles;                   // kernels and functions that were given out as handles
  std::unordered_map<const void*, const void*> hosts;  // of a kernel's handle its stand-in
  // What went wrong when a kernel was last looked up: nvcc's launches go on with a null handle then.
  std::atomic<cudaError_t> failure{cudaErrorInvalidDeviceFunction};
};

Registry& registry() {
  static Registry* instance = new Registry;
  return *instance;
}

FatBinary* binary_of(void** handle) { return reinterpret_cast<FatBinary*>(handle); }

// The library of a binary, with the managed variables' pointers set. A context must be current.
cudaError_t load(FatBinary& binary, CUlibrary* library) {
  const std::lock_guard lock(binary.mutex);
  if (binary.failure != cudaSuccess) return binary.failure;
  if (!binary.library) {
    binary.failure = load_fatbin(binary.wrapper, &binary.library);
    if (binary.failure != cudaSuccess) return binary.failure;
  }
  if (!binary.managed_known) {
    for (const ManagedVariable& variable : binary.managed) {
      CUdeviceptr device_address = 0;
      size_t bytes = 0;
      CUDART_TRY(cuLibraryGetManaged(&device_address, &bytes, binary.library, variable.name.c_str()));
      *variable.host = reinterpret_cast<void*>(device_address);  // NOLINT: managed memory has one address
    }
    binary.managed_known = true;
  }
  *library = binary.library;
  return cudaSuccess;
}

cudaError_t find_kernel(const void* host, CUkernel* kernel) {
  Registry& r = registry();
  Function* function = nullptr;
  {
    const std::shared_lock lock(r.mutex);
    if (const auto found = r.functions.find(host); found != r.functions.end()) {
      function = found->second.get();
    } else if (r.handles.contains(host)) {
      *kernel = static_cast<CUkernel>(const_cast<void*>(host));
      return use_context();
    } else {
      return cudaErrorInvalidDeviceFunction;
    }
  }
  CUDART_TRY(use_context());
  *kernel = function->kernel.load(std::memory_order_acquire);
  if (*kernel) return cudaSuccess;
  CUlibrary library = nullptr;
  CUDART_TRY(load(*function->binary, &library));
  const CUresult result = cuLibraryGetKernel(kernel, library, function->name.c_str());
  if (result == CUDA_ERROR_NOT_FOUND) return cudaErrorInvalidDeviceFunction;
  CUDART_TRY(result);
  const std::lock_guard lock(r.mutex);
  function->kernel.store(*kernel, std::memory_order_release);
  r.handles.insert(*kernel);
  r.hosts[*kernel] = host;
  return cudaSuccess;
}

struct CallConfiguration {
  dim3 grid, block;
  size_t shared_bytes;
  cudaStream_t stream;
};
thread_local std::vector<CallConfiguration> t_configurations;

}  // namespace

void** registerFatBinary(void* wrapper) {
  auto* binary = new FatBinary(wrapper);
  const std::lock_guard lock(registry().mutex);
  registry().binaries.insert(binary);
  return reinterpret_cast<void**>(binary);
}

void registerFatBinaryEnd(void**) {}

void unregisterFatBinary(void** handle) {
  FatBinary* binary = binary_of(handle);
  Registry& r = registry();
  {
    const std::lock_guard lock(r.mutex);
    if (r.binaries.erase(binary) == 0) return;
    std::erase_if(r.functions, [&](const auto& entry) {
      if (entry.second->binary != binary) return false;
      const void* kernel = entry.second->kernel.load();
      r.handles.erase(kernel);
      r.hosts.erase(kernel);
      return true;
    });
    std::erase_if(r.variables, [&](const auto& entry) { return entry.second.binary == binary; });
    std::erase_if(r.textures, [&](const auto& entry) { return entry.second.binary == binary; });
  }
  if (binary->library) cuLibraryUnload(binary->library);  // at exit the driver may be gone: then there is nothing to unload
  delete binary;
}

void registerFunction(void** handle, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*, int*) {
  auto function = std::make_unique<Function>();
  function->binary = binary_of(handle);
  function->name = name;
  const std::lock_guard lock(registry().mutex);
  registry().functions[host] = std::move(function);
}

void registerVar(void** handle, char* host, char*, const char* name, int, size_t, int, int) {
  const std::lock_guard lock(registry().mutex);
  registry().variables[host] = {binary_of(handle), name};
}

void registerManagedVar(void** handle, void** host, char*, const char* name, int, size_t, int, int) {
  FatBinary* binary = binary_of(handle);
  const std::lock_guard lock(binary->mutex);
  binary->managed.push_back({name, host});
}

void registerTexture(void** handle, const textureReference* host, const void**, const char* name, int, int normalized, int) {
  const std::lock_guard lock(registry().mutex);
  registry().textures[host] = {binary_of(handle), name, normalized != 0};
}

void registerSurface(void** handle, const surfaceReference* host, const void**, const char* name, int, int) {
  const std::lock_guard lock(registry().mutex);
  registry().textures[host] = {binary_of(handle), name, false};
}

char initModule(void** handle) {
  CUlibrary library = nullptr;
  if (const cudaError_t error = use_context(); error != cudaSuccess) return remember_error(error), 0;
  if (const cudaError_t error = load(*binary_of(handle), &library); error != cudaSuccess) return remember_error(error), 0;
  return 1;
}

unsigned pushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes, CUstream_st* stream) {
  t_configurations.push_back({grid, block, shared_bytes, stream});
  return 0;
}

cudaError_t popCallConfiguration(dim3* grid, dim3* block, size_t* shared_bytes, void* stream) {
  if (t_configurations.empty()) return cudaErrorMissingConfiguration;
  const CallConfiguration& c = t_configurations.back();
  if (grid) *grid = c.grid;
  if (block) *block = c.block;
  if (shared_bytes) *shared_bytes = c.shared_bytes;
  if (stream) *static_cast<cudaStream_t*>(stream) = c.stream;
  t_configurations.pop_back();
  return cudaSuccess;
}

cudaError_t getKernel(cudaKernel_t* kernel, const void* host) {
  if (!kernel) return cudaErrorInvalidValue;
  *kernel = nullptr;
  const cudaError_t result = find_kernel(host, kernel);
  if (result != cudaSuccess) registry().failure = result;
  return result;
}

cudaError_t launchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t stream) {
  if (!kernel) return registry().failure;
  CUDART_TRY(use_context());
  return launch(reinterpret_cast<CUfunction>(kernel), grid, block, arguments, shared_bytes, stream, false);
}

cudaError_t find_function(const void* host, CUfunction* function) {
  CUkernel kernel = nullptr;
  CUDART_TRY(find_kernel(host, &kernel));
  *function = reinterpret_cast<CUfunction>(kernel);
  return cudaSuccess;
}

void know_function(const void* handle) {
  const std::lock_guard lock(registry().mutex);
  registry().handles.insert(handle);
}

void* host_of(CUfunction function) {
  Registry& r = registry();
  const std::shared_lock lock(r.mutex);
  const auto found = r.hosts.find(function);
  return found == r.hosts.end() ? function : const_cast<void*>(found->second);
}

cudaError_t find_variable(const void* symbol, CUdeviceptr* device_address, size_t* bytes) {
  if (!symbol) return cudaErrorInvalidSymbol;
  Registry& r = registry();
  FatBinary* binary = nullptr;
  std::string name;
  {
    const std::shared_lock lock(r.mutex);
    if (const auto found = r.variables.find(symbol); found != r.variables.end()) {
      binary = found->second.binary;
      name = found->second.name;
    } else {
      // On the host a managed variable's name means the variable itself, so that its address is the device's too.
      for (FatBinary* candidate : r.binaries) {
        const std::lock_guard inner(candidate->mutex);
        for (const ManagedVariable& variable : candidate->managed) {
          if (candidate->managed_known && *variable.host == symbol) binary = candidate, name = variable.name;
        }
      }
    }
  }
  if (!binary) return cudaErrorInvalidSymbol;
  CUDART_TRY(use_context());
  CUlibrary library = nullptr;
  CUDART_TRY(load(*binary, &library));
  const CUresult result = cuLibraryGetGlobal(device_address, bytes, library, name.c_str());
  return result == CUDA_ERROR_NOT_FOUND ? cudaErrorInvalidSymbol : error_of(result);
}

namespace {

// The module of the current context that holds a registered texture or surface.
cudaError_t module_of(const void* host, cudaError_t unknown, Texture* texture, CUmodule* module) {
  {
    Registry& r = registry();
    const std::shared_lock lock(r.mutex);
    const auto found = r.textures.find(host);
    if (found == r.textures.end()) return unknown;
    *texture = found->second;
  }
  CUDART_TRY(use_context());
  CUlibrary library = nullptr;
  CUDART_TRY(load(*texture->binary, &library));
  return error_of(cuLibraryGetModule(module, library));
}

}  // namespace

cudaError_t find_texture(const textureReference* host, CUtexref* reference, bool* normalized) {
  Texture texture;
  CUmodule module = nullptr;
  CUDART_TRY(module_of(host, cudaErrorInvalidTexture, &texture, &module));
  *normalized = texture.normalized;
  const CUresult result = cuModuleGetTexRef(reference, module, texture.name.c_str());
  return result == CUDA_ERROR_NOT_FOUND ? cudaErrorInvalidTexture : error_of(result);
}

cudaError_t find_surface(const surfaceReference* host, CUsurfref* reference) {
  Texture surface;
  CUmodule module = nullptr;
  CUDART_TRY(module_of(host, cudaErrorInvalidSurface, &surface, &module));
  const CUresult result = cuModuleGetSurfRef(reference, module, surface.name.c_str());
  return result == CUDA_ERROR_NOT_FOUND ? cudaErrorInvalidSurface : error_of(result);
}

void forget_loaded_variables() {
  Registry& r = registry();
  const std::shared_lock lock(r.mutex);
  for (FatBinary* binary : r.binaries) {
    const std::lock_guard inner(binary->mutex);
    binary->managed_known = false;
  }
}

}  // namespace anywarp::cudart
