#include "cudart/library.h"

#include "cudart/registration.h"

namespace anywarp::cudart {

cudaError_t libraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name) {
  CUDART_TRY(use_context());
  CUDART_TRY(cuLibraryGetKernel(kernel, library, name));
  know_function(*kernel);
  return cudaSuccess;
}

cudaError_t libraryEnumerateKernels(cudaKernel_t* kernels, unsigned count, cudaLibrary_t library) {
  CUDART_TRY(use_context());
  unsigned there = 0;
  CUDART_TRY(cuLibraryGetKernelCount(&there, library));
  CUDART_TRY(cuLibraryEnumerateKernels(kernels, count, library));
  for (unsigned i = 0; i < count && i < there; ++i) know_function(kernels[i]);
  return cudaSuccess;
}

cudaError_t kernelSetAttributeForDevice(cudaKernel_t kernel, cudaFuncAttribute attribute, int value, int device) {
  CUDART_TRY(use_context());
  CUDART_TRY(check_device(device));
  return error_of(cuKernelSetAttribute(static_cast<CUfunction_attribute>(attribute), value, kernel, device));
}

cudaError_t getFuncBySymbol(cudaFunction_t* function, const void* symbol) {
  if (!function) return cudaErrorInvalidValue;
  CUfunction kernel = nullptr;
  CUDART_TRY(find_function(symbol, &kernel));
  CUDART_TRY(cuKernelGetFunction(function, reinterpret_cast<CUkernel>(kernel)));
  know_function(*function);
  return cudaSuccess;
}

}  // namespace anywarp::cudart
