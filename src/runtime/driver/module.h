// Manual: module management.
#pragma once

#include "driver/jit.h"
#include "driver/objects.h"

namespace anywarp::driver {

CUresult moduleLoad(CUmodule* module, const char* path);
CUresult moduleLoadData(CUmodule* module, const void* image);
CUresult moduleLoadDataEx(CUmodule* module, const void* image, unsigned count, CUjit_option* options, void** values);
CUresult moduleLoadFatBinary(CUmodule* module, const void* image);
CUresult moduleUnload(CUmodule module);
CUresult moduleGetLoadingMode(CUmoduleLoadingMode* mode);
CUresult moduleGetFunction(CUfunction* function, CUmodule module, const char* name);
CUresult moduleGetFunctionCount(unsigned* count, CUmodule module);
CUresult moduleEnumerateFunctions(CUfunction* functions, unsigned count, CUmodule module);
CUresult moduleGetGlobal(CUdeviceptr* address, size_t* bytes, CUmodule module, const char* name);

// Loads an image for a context's device. `log`: the compiler's words. `most_registers`: CU_JIT_MAX_REGISTERS, 0 for no limit.
CUresult load_image(ByteSpan image, CUctx_st& context, std::uint32_t most_registers, std::unique_ptr<Module>* out, std::string* log);
// Wraps a loaded module in an object of the context.
CUmodule adopt_module(CUctx_st& context, std::unique_ptr<Module> module, CUlib_st* library);
// Destroys the object; the context has forgotten it and its work is complete.
void delete_module(CUmodule module);

}  // namespace anywarp::driver
