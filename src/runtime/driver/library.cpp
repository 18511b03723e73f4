#include "driver/library.h"

#include "driver/context.h"
#include "driver/device.h"
#include "driver/execution.h"
#include "driver/module.h"
#include "driver/primary_context.h"

namespace anywarp::driver {
namespace {

CUresult load(CUlibrary* out, Bytes image, JitOptions& jit) {
  if (image.empty()) {
    jit.finish("the image is no PTX text, no fatbin and no ELF file", true);
    return CUDA_ERROR_INVALID_IMAGE;
  }
  const CUctx_st* current = top_context();
  auto library = std::make_unique<CUlib_st>();
  library->image = std::move(image);
  library->unused_device = current ? current->device : 0;
  library->most_registers = jit.most_registers();
  Module::Options options;
  options.device = library->unused_device;
  options.capability = find_device(library->unused_device)->capability();
  options.most_registers = library->most_registers;
  std::string log;
  const CUresult result = api(Module::load(*Engine::instance(), library->image, options, &library->unused, &log));
  jit.finish(log, result != CUDA_SUCCESS);
  ANYWARP_TRY(result);
  for (std::size_t i = 0; i < library->unused->kernels().size(); ++i) {
    auto kernel = std::make_unique<CUkern_st>();
    kernel->library = library.get();
    kernel->index = i;
    kernel->name = library->unused->kernels()[i]->name();
    library->kernels.push_back(std::move(kernel));
  }
  *out = library.release();
  return CUDA_SUCCESS;
}

CUresult check_options(CUlibraryOption* options, void** values, unsigned count) {
  if (count > 0 && !options) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    // BINARY_IS_PRESERVED carries no value; the image is copied all the same.
    if (options[i] != CU_LIBRARY_BINARY_IS_PRESERVED && (options[i] != CU_LIBRARY_HOST_UNIVERSAL_FUNCTION_AND_DATA_TABLE || !values)) return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

// The current context, else the device's primary one if it is active: kernels' attributes are asked for before a context is current.
CUresult context_for(CUdevice device, CUctx_st** out) {
  if (!find_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  CUctx_st* current = top_context();
  if (current && current->device == device) {
    *out = current;
    return check_context(current);
  }
  // Held until the process ends, as a program's own use of the primary context would.
  return devicePrimaryCtxRetain(out, device);
}

CUresult function_for(CUkernel kernel, CUdevice device, CUfunc_st** out) {
  if (!is_valid(kernel)) return CUDA_ERROR_INVALID_HANDLE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(context_for(device, &context));
  return resolve_function(reinterpret_cast<CUfunction>(kernel), *context, out);
}

CUresult global(CUdeviceptr* address, size_t* bytes, CUlibrary library, const char* name, bool managed) {
  if (!name || (!address && !bytes)) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(library)) return CUDA_ERROR_INVALID_HANDLE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  CUmodule module = nullptr;
  ANYWARP_TRY(library_module(*library, *context, &module));
  const Variable* variable = module->module->variable(name);
  if (!variable || (managed && (variable->info.flags & VariableInfo::managed) == 0)) return CUDA_ERROR_NOT_FOUND;
  if (address) *address = reinterpret_cast<CUdeviceptr>(variable->address);
  if (bytes) *bytes = variable->info.bytes;
  return CUDA_SUCCESS;
}

}  // namespace

CUresult library_module(CUlib_st& library, CUctx_st& context, CUmodule* module) {
  const std::lock_guard lock(library.mutex);
  if (const auto found = library.modules.find(&context); found != library.modules.end()) {
    *module = found->second;
    return CUDA_SUCCESS;
  }
  std::unique_ptr<Module> loaded;
  if (library.unused && library.unused_device == context.device) {
    loaded = std::move(library.unused);
  } else {
    std::string log;
    ANYWARP_TRY(load_image(library.image, context, library.most_registers, &loaded, &log));
  }
  *module = library.modules[&context] = adopt_module(context, std::move(loaded), &library);
  return CUDA_SUCCESS;
}

void forget_library_module(CUlib_st& library, CUmodule module) {
  const std::lock_guard lock(library.mutex);
  std::erase_if(library.modules, [&](const auto& entry) { return entry.second == module; });
}

CUresult resolve_function(CUfunction handle, CUctx_st& context, CUfunc_st** out) {
  if (is_valid(handle)) {
    *out = handle;
    return CUDA_SUCCESS;
  }
  auto* kernel = reinterpret_cast<CUkern_st*>(handle);
  if (!is_valid(kernel)) return CUDA_ERROR_INVALID_HANDLE;
  CUmodule module = nullptr;
  ANYWARP_TRY(library_module(*kernel->library, context, &module));
  *out = module->functions[kernel->index].get();
  return CUDA_SUCCESS;
}

CUresult libraryLoadData(CUlibrary* library, const void* image, CUjit_option* jit_options, void** jit_values, unsigned jit_count,
                         CUlibraryOption* options, void** values, unsigned count) {
  if (!library || !image) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check_options(options, values, count));
  JitOptions jit;
  ANYWARP_TRY(jit.read(jit_count, jit_options, jit_values));
  const ByteSpan bytes = image_bytes(image);
  return load(library, Bytes(bytes.begin(), bytes.end()), jit);
}

CUresult libraryLoadFromFile(CUlibrary* library, const char* path, CUjit_option* jit_options, void** jit_values, unsigned jit_count,
                             CUlibraryOption* options, void** values, unsigned count) {
  if (!library || !path) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check_options(options, values, count));
  JitOptions jit;
  ANYWARP_TRY(jit.read(jit_count, jit_options, jit_values));
  Bytes file;
  ANYWARP_TRY(read_file(path, &file));
  return load(library, std::move(file), jit);
}

CUresult libraryUnload(CUlibrary library) {
  if (!is_valid(library)) return CUDA_ERROR_INVALID_HANDLE;
  library->magic = Magic::dead;
  std::map<CUctx_st*, CUmodule> modules;
  {
    const std::lock_guard lock(library->mutex);
    modules.swap(library->modules);
  }
  for (const auto& [context, module] : modules) {
    if (context->engine) [[maybe_unused]] const Result ignored = context->engine->synchronize();
    {
      const std::lock_guard lock(context->mutex);
      context->modules.erase(module);
    }
    delete_module(module);
  }
  for (const auto& kernel : library->kernels) kernel->magic = Magic::dead;
  delete library;
  return CUDA_SUCCESS;
}

CUresult libraryGetKernel(CUkernel* kernel, CUlibrary library, const char* name) {
  if (!kernel || !name) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(library)) return CUDA_ERROR_INVALID_HANDLE;
  for (const auto& k : library->kernels) {
    if (k->name == name) {
      *kernel = k.get();
      return CUDA_SUCCESS;
    }
  }
  return CUDA_ERROR_NOT_FOUND;
}

CUresult libraryGetKernelCount(unsigned* count, CUlibrary library) {
  if (!count) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(library)) return CUDA_ERROR_INVALID_HANDLE;
  *count = static_cast<unsigned>(library->kernels.size());
  return CUDA_SUCCESS;
}

CUresult libraryEnumerateKernels(CUkernel* kernels, unsigned count, CUlibrary library) {
  if (!kernels || count == 0) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(library)) return CUDA_ERROR_INVALID_HANDLE;
  for (unsigned i = 0; i < count && i < library->kernels.size(); ++i) kernels[i] = library->kernels[i].get();
  return CUDA_SUCCESS;
}

CUresult libraryGetModule(CUmodule* module, CUlibrary library) {
  if (!module) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(library)) return CUDA_ERROR_INVALID_HANDLE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  return library_module(*library, *context, module);
}

CUresult libraryGetGlobal(CUdeviceptr* address, size_t* bytes, CUlibrary library, const char* name) { return global(address, bytes, library, name, false); }
CUresult libraryGetManaged(CUdeviceptr* address, size_t* bytes, CUlibrary library, const char* name) { return global(address, bytes, library, name, true); }

CUresult libraryGetUnifiedFunction(void** function, CUlibrary library, const char* symbol) {
  if (!function || !symbol) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(library)) return CUDA_ERROR_INVALID_HANDLE;
  return CUDA_ERROR_NOT_FOUND;  // images hold no functions that host and device can both call
}

CUresult kernelGetFunction(CUfunction* function, CUkernel kernel) {
  if (!function) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(kernel)) return CUDA_ERROR_INVALID_HANDLE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  return resolve_function(reinterpret_cast<CUfunction>(kernel), *context, function);
}

CUresult kernelGetLibrary(CUlibrary* library, CUkernel kernel) {
  if (!library) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(kernel)) return CUDA_ERROR_INVALID_HANDLE;
  *library = kernel->library;
  return CUDA_SUCCESS;
}

CUresult kernelGetName(const char** name, CUkernel kernel) {
  if (!name) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(kernel)) return CUDA_ERROR_INVALID_HANDLE;
  *name = kernel->name.c_str();
  return CUDA_SUCCESS;
}

CUresult kernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel kernel, CUdevice device) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(function_for(kernel, device, &function));
  return funcGetAttribute(value, attribute, function);
}

CUresult kernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel, CUdevice device) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(function_for(kernel, device, &function));
  return funcSetAttribute(function, attribute, value);
}

CUresult kernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice device) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(function_for(kernel, device, &function));
  return funcSetCacheConfig(function, config);
}

CUresult kernelGetParamInfo(CUkernel kernel, size_t index, size_t* offset, size_t* bytes) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(kernelGetFunction(&function, kernel));
  return funcGetParamInfo(function, index, offset, bytes);
}

CUresult kernelGetParamCount(CUkernel kernel, size_t* count) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(kernelGetFunction(&function, kernel));
  return funcGetParamCount(function, count);
}

}  // namespace anywarp::driver
