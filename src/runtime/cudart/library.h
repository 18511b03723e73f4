// Manual: library management.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t libraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption* jit_options, void** jit_values, unsigned jit_count,
                            cudaLibraryOption* options, void** values, unsigned count);
cudaError_t libraryLoadFromFile(cudaLibrary_t* library, const char* path, cudaJitOption* jit_options, void** jit_values, unsigned jit_count,
                                cudaLibraryOption* options, void** values, unsigned count);
cudaError_t libraryUnload(cudaLibrary_t library);
cudaError_t libraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name);
cudaError_t libraryGetGlobal(void** pointer, size_t* bytes, cudaLibrary_t library, const char* name);
cudaError_t libraryGetManaged(void** pointer, size_t* bytes, cudaLibrary_t library, const char* name);
cudaError_t libraryGetUnifiedFunction(void** function, cudaLibrary_t library, const char* symbol);
cudaError_t libraryGetKernelCount(unsigned* count, cudaLibrary_t library);
cudaError_t libraryEnumerateKernels(cudaKernel_t* kernels, unsigned count, cudaLibrary_t library);
cudaError_t kernelSetAttributeForDevice(cudaKernel_t kernel, cudaFuncAttribute attribute, int value, int device);
cudaError_t getFuncBySymbol(cudaFunction_t* function, const void* symbol);

}  // namespace anywarp::cudart
