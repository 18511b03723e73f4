// Manual: library management. A library is an image that becomes a module of each context that uses it, when it first does.
#pragma once

#include <map>

#include "driver/jit.h"
#include "driver/objects.h"

// A kernel of a library, in whichever context is current. May stand wherever a CUfunction does.
struct CUkern_st : anywarp::driver::TypeStable<CUkern_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::kernel;
  anywarp::driver::Magic magic = kMagic;
  CUlib_st* library = nullptr;
  std::size_t index = 0;  // among the module's entries
  std::string name;
};

struct CUlib_st : anywarp::driver::TypeStable<CUlib_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::library;
  anywarp::driver::Magic magic = kMagic;
  anywarp::Bytes image;
  std::uint32_t most_registers = 0;  // CU_JIT_MAX_REGISTERS
  std::vector<std::unique_ptr<CUkern_st>> kernels;
  std::mutex mutex;  // guards what follows
  std::unique_ptr<anywarp::Module> unused;  // loaded to learn what the image holds; the first context of its device takes it
  int unused_device = 0;
  std::map<CUctx_st*, CUmodule> modules;
};

namespace anywarp::driver {

CUresult libraryLoadData(CUlibrary* library, const void* image, CUjit_option* jit_options, void** jit_values, unsigned jit_count,
                         CUlibraryOption* options, void** values, unsigned count);
CUresult libraryLoadFromFile(CUlibrary* library, const char* path, CUjit_option* jit_options, void** jit_values, unsigned jit_count,
                             CUlibraryOption* options, void** values, unsigned count);
CUresult libraryUnload(CUlibrary library);
CUresult libraryGetKernel(CUkernel* kernel, CUlibrary library, const char* name);
CUresult libraryGetKernelCount(unsigned* count, CUlibrary library);
CUresult libraryEnumerateKernels(CUkernel* kernels, unsigned count, CUlibrary library);
CUresult libraryGetModule(CUmodule* module, CUlibrary library);
CUresult libraryGetGlobal(CUdeviceptr* address, size_t* bytes, CUlibrary library, const char* name);
CUresult libraryGetManaged(CUdeviceptr* address, size_t* bytes, CUlibrary library, const char* name);
CUresult libraryGetUnifiedFunction(void** function, CUlibrary library, const char* symbol);
CUresult kernelGetFunction(CUfunction* function, CUkernel kernel);
CUresult kernelGetLibrary(CUlibrary* library, CUkernel kernel);
CUresult kernelGetName(const char** name, CUkernel kernel);
CUresult kernelGetAttribute(int* value, CUfunction_attribute attribute, CUkernel kernel, CUdevice device);
CUresult kernelSetAttribute(CUfunction_attribute attribute, int value, CUkernel kernel, CUdevice device);
CUresult kernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice device);
CUresult kernelGetParamInfo(CUkernel kernel, size_t index, size_t* offset, size_t* bytes);
CUresult kernelGetParamCount(CUkernel kernel, size_t* count);

// The module of a library in a context; loads it if need be.
CUresult library_module(CUlib_st& library, CUctx_st& context, CUmodule* module);
// The library no longer counts on a module that is being destroyed with its context.
void forget_library_module(CUlib_st& library, CUmodule module);
// What a CUfunction parameter stands for in a context: a function, or a kernel's function there. invalid_handle.
CUresult resolve_function(CUfunction handle, CUctx_st& context, CUfunc_st** out);

}  // namespace anywarp::driver
