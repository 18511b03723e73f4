#include "driver/module.h"

#include "driver/device.h"
#include "driver/library.h"
#include "driver/logs.h"
#include "driver/texture_reference.h"

namespace anywarp::driver {
namespace {

CUresult load(CUmodule* out, ByteSpan image, JitOptions& options, bool has_log) {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  if (image.empty()) {
    options.finish("the image is no PTX text, no fatbin and no ELF file", true);
    return CUDA_ERROR_INVALID_IMAGE;
  }
  std::unique_ptr<Module> module;
  std::string log;
  const CUresult result = load_image(image, *context, options.most_registers(), &module, &log);
  options.finish(log, result != CUDA_SUCCESS);
  // Who gave no buffer for the log would get a number only.
  if (result != CUDA_SUCCESS && !has_log && !log.empty()) log_error("a module could not be loaded: " + log);
  ANYWARP_TRY(result);
  *out = adopt_module(*context, std::move(module), nullptr);
  return CUDA_SUCCESS;
}

bool asks_for_error_log(unsigned count, const CUjit_option* options) {
  for (unsigned i = 0; i < count; ++i) {
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER) return true;
  }
  return false;
}

}  // namespace

CUresult load_image(ByteSpan image, CUctx_st& context, std::uint32_t most_registers, std::unique_ptr<Module>* out, std::string* log) {
  Module::Options options;
  options.device = context.device;
  options.capability = find_device(context.device)->capability();
  options.owner = &context;
  options.most_registers = most_registers;
  return api(Module::load(context.engine->engine(), image, options, out, log));
}

CUmodule adopt_module(CUctx_st& context, std::unique_ptr<Module> module, CUlib_st* library) {
  auto made = std::make_unique<CUmod_st>();
  made->context = &context;
  made->library = library;
  for (const auto& kernel : module->kernels()) {
    auto function = std::make_unique<CUfunc_st>();
    function->module = made.get();
    function->kernel = kernel.get();
    made->functions.push_back(std::move(function));
  }
  made->module = std::move(module);
  const std::lock_guard lock(context.mutex);
  context.modules.insert(made.get());
  return made.release();
}

void delete_module(CUmodule module) {
  if (module->library) forget_library_module(*module->library, module);
  module->magic = Magic::dead;
  for (const auto& function : module->functions) function->magic = Magic::dead;
  for (const auto& [name, reference] : module->texture_references) {
    reference->magic = Magic::dead;
    delete static_cast<CUsurfref_st*>(reference);
  }
  delete module;
}

CUresult moduleLoad(CUmodule* module, const char* path) {
  if (!module || !path) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  Bytes file;
  ANYWARP_TRY(read_file(path, &file));
  JitOptions options;
  // A text file has no zero at its end.
  return load(module, file, options, false);
}

CUresult moduleLoadData(CUmodule* module, const void* image) { return moduleLoadDataEx(module, image, 0, nullptr, nullptr); }

CUresult moduleLoadDataEx(CUmodule* module, const void* image, unsigned count, CUjit_option* options, void** values) {
  if (!module || !image) return CUDA_ERROR_INVALID_VALUE;
  JitOptions jit;
  ANYWARP_TRY(jit.read(count, options, values));
  return load(module, image_bytes(image), jit, asks_for_error_log(count, options));
}

CUresult moduleLoadFatBinary(CUmodule* module, const void* image) { return moduleLoadData(module, image); }

CUresult moduleUnload(CUmodule module) {
  if (!is_valid(module)) return CUDA_ERROR_INVALID_HANDLE;
  if (module->library) return CUDA_ERROR_NOT_PERMITTED;  // it is the library's
  CUctx_st& context = *module->context;
  {
    const std::lock_guard lock(context.mutex);
    context.modules.erase(module);
  }
  const CUresult result = context.engine ? api(context.engine->synchronize()) : CUDA_SUCCESS;
  delete_module(module);
  return result;
}

CUresult moduleGetLoadingMode(CUmoduleLoadingMode* mode) {
  if (!mode) return CUDA_ERROR_INVALID_VALUE;
  *mode = CU_MODULE_LAZY_LOADING;  // kernels are compiled when first needed
  return CUDA_SUCCESS;
}

CUresult moduleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  if (!function || !name) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(module)) return CUDA_ERROR_INVALID_HANDLE;
  ANYWARP_TRY(check_context(module->context));
  const Kernel* kernel = module->module->kernel(name);
  for (const auto& f : module->functions) {
    if (kernel && f->kernel == kernel) {
      *function = f.get();
      return CUDA_SUCCESS;
    }
  }
  return CUDA_ERROR_NOT_FOUND;
}

CUresult moduleGetFunctionCount(unsigned* count, CUmodule module) {
  if (!count) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(module)) return CUDA_ERROR_INVALID_HANDLE;
  *count = static_cast<unsigned>(module->functions.size());
  return CUDA_SUCCESS;
}

CUresult moduleEnumerateFunctions(CUfunction* functions, unsigned count, CUmodule module) {
  if (!functions || count == 0) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(module)) return CUDA_ERROR_INVALID_HANDLE;
  for (unsigned i = 0; i < count && i < module->functions.size(); ++i) functions[i] = module->functions[i].get();
  return CUDA_SUCCESS;
}

CUresult moduleGetGlobal(CUdeviceptr* address, size_t* bytes, CUmodule module, const char* name) {
  if (!name) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(module)) return CUDA_ERROR_INVALID_HANDLE;
  ANYWARP_TRY(check_context(module->context));
  const Variable* variable = module->module->variable(name);
  if (!variable) return CUDA_ERROR_NOT_FOUND;
  if (address) *address = reinterpret_cast<CUdeviceptr>(variable->address);
  if (bytes) *bytes = variable->info.bytes;
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
