// Manual: library management.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t libraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name);
cudaError_t libraryEnumerateKernels(cudaKernel_t* kernels, unsigned count, cudaLibrary_t library);
cudaError_t kernelSetAttributeForDevice(cudaKernel_t kernel, cudaFuncAttribute attribute, int value, int device);
cudaError_t getFuncBySymbol(cudaFunction_t* function, const void* symbol);

}  // namespace anywarp::cudart
