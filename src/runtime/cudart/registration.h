// Registration: what compiled programs say about themselves before main() begins, and launches as compilers write them.
//
// nvcc and clang put a constructor into each object file that registers its fat binary, then the kernels and variables in it under the
// addresses of their stand-ins on the host. Names and prototypes stand in the toolkit's header crt/host_runtime.h. A fat binary is
// loaded, as a library of the driver, when a kernel or variable of it is first used: programs carry many that they never use.
//
// Managed variables: the host reaches one through a pointer that the program registers; the pointer is set when the binary is loaded,
// which __cudaInitModule asks for.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

void** registerFatBinary(void* wrapper);
void registerFatBinaryEnd(void** handle);
void unregisterFatBinary(void** handle);
void registerFunction(void** handle, const char* host, char* device_name, const char* name, int thread_limit, uint3* tid, uint3* bid, dim3* block,
                      dim3* grid, int* warp_size);
void registerVar(void** handle, char* host, char* device_name, const char* name, int external, size_t bytes, int constant, int global);
void registerManagedVar(void** handle, void** host, char* device_name, const char* name, int external, size_t bytes, int constant, int global);
void registerTexture(void** handle, const textureReference* host, const void** device_address, const char* name, int dimensions, int normalized,
                     int external);
void registerSurface(void** handle, const surfaceReference* host, const void** device_address, const char* name, int dimensions, int external);
char initModule(void** handle);
unsigned pushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes, CUstream_st* stream);
cudaError_t popCallConfiguration(dim3* grid, dim3* block, size_t* shared_bytes, void* stream);
cudaError_t getKernel(cudaKernel_t* kernel, const void* host);
cudaError_t launchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t stream);

// What a `func` parameter stands for, as the driver takes it: the address of a kernel's stand-in, or a kernel or function handle that this
// runtime gave out. A context is current afterwards. cudaErrorInvalidDeviceFunction.
cudaError_t find_function(const void* host, CUfunction* function);
// A kernel's handle becomes valid as `func` parameter.
void know_function(const void* handle);
// The stand-in of a kernel, or the handle itself if it has none.
void* host_of(CUfunction function);

// A variable's device address and size, by its stand-in; a context is current afterwards. cudaErrorInvalidSymbol.
cudaError_t find_variable(const void* symbol, CUdeviceptr* device_address, size_t* bytes);
// The driver's reference of a texture or surface that the program registered, in the current context. `normalized`: it was declared to be read as
// normalized floats. cudaErrorInvalidTexture, cudaErrorInvalidSurface.
cudaError_t find_texture(const textureReference* host, CUtexref* reference, bool* normalized);
cudaError_t find_surface(const surfaceReference* host, CUsurfref* reference);
// The device has been reset: managed variables have no addresses until they are loaded again.
void forget_loaded_variables();

}  // namespace anywarp::cudart
