// CUDA C++ for clang: the language's keywords and built-in variables, device functions and the runtime's C++ forms. Written from the
// programming guide and clang's documentation; the runtime API's declarations are generated (anywarp.toolchain.headers).
#pragma once

#define CUDART_VERSION 13000
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __host__ __attribute__((host))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define ANYWARP_DEVICE static inline __device__ __attribute__((always_inline))

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr __host__ __device__ dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#include "anywarp_runtime_api.h"

#define cudaStreamLegacy ((cudaStream_t)0x1)
#define cudaStreamPerThread ((cudaStream_t)0x2)

// Built-in variables: reading a member reads a special register.
#define ANYWARP_BUILTIN_VARIABLE(name, reg)                                                     \
  struct name##_t {                                                                             \
    __declspec(property(get = get_x)) unsigned x;                                               \
    __declspec(property(get = get_y)) unsigned y;                                               \
    __declspec(property(get = get_z)) unsigned z;                                               \
    ANYWARP_DEVICE unsigned get_x() { return __nvvm_read_ptx_sreg_##reg##_x(); }                \
    ANYWARP_DEVICE unsigned get_y() { return __nvvm_read_ptx_sreg_##reg##_y(); }                \
    ANYWARP_DEVICE unsigned get_z() { return __nvvm_read_ptx_sreg_##reg##_z(); }                \
  };                                                                                            \
  extern const __device__ __attribute__((weak)) name##_t name;
ANYWARP_BUILTIN_VARIABLE(threadIdx, tid)
ANYWARP_BUILTIN_VARIABLE(blockIdx, ctaid)
ANYWARP_BUILTIN_VARIABLE(blockDim, ntid)
ANYWARP_BUILTIN_VARIABLE(gridDim, nctaid)
#define warpSize 32

// Synchronisation (__syncthreads is clang's own).
ANYWARP_DEVICE void __threadfence() { __nvvm_membar_gl(); }
ANYWARP_DEVICE void __threadfence_block() { __nvvm_membar_cta(); }
ANYWARP_DEVICE void __threadfence_system() { __nvvm_membar_sys(); }
ANYWARP_DEVICE void __syncwarp(unsigned mask = 0xffffffffu) { __nvvm_bar_warp_sync(mask); }

// Warp shuffles and votes. The last operand holds the segment's size and the last lane, as the PTX manual describes.
#define ANYWARP_SHUFFLE(name, builtin, last)                                                                                   \
  ANYWARP_DEVICE int name(unsigned mask, int value, unsigned lane, int width = 32) {                                           \
    return __nvvm_shfl_sync_##builtin##_i32(mask, value, lane, ((32 - width) << 8) | (last));                                  \
  }                                                                                                                            \
  ANYWARP_DEVICE unsigned name(unsigned mask, unsigned value, unsigned lane, int width = 32) {                                 \
    return (unsigned)name(mask, (int)value, lane, width);                                                                      \
  }                                                                                                                            \
  ANYWARP_DEVICE float name(unsigned mask, float value, unsigned lane, int width = 32) {                                       \
    return __builtin_bit_cast(float, name(mask, __builtin_bit_cast(int, value), lane, width));                                 \
  }
ANYWARP_SHUFFLE(__shfl_sync, idx, 31)
ANYWARP_SHUFFLE(__shfl_up_sync, up, 0)
ANYWARP_SHUFFLE(__shfl_down_sync, down, 31)
ANYWARP_SHUFFLE(__shfl_xor_sync, bfly, 31)
ANYWARP_DEVICE unsigned __ballot_sync(unsigned mask, int predicate) { return __nvvm_vote_ballot_sync(mask, predicate != 0); }
ANYWARP_DEVICE int __any_sync(unsigned mask, int predicate) { return __nvvm_vote_any_sync(mask, predicate != 0); }
ANYWARP_DEVICE int __all_sync(unsigned mask, int predicate) { return __nvvm_vote_all_sync(mask, predicate != 0); }

// Atomics.
ANYWARP_DEVICE int atomicAdd(int* address, int value) { return __nvvm_atom_add_gen_i(address, value); }
ANYWARP_DEVICE unsigned atomicAdd(unsigned* address, unsigned value) { return (unsigned)__nvvm_atom_add_gen_i((int*)address, (int)value); }
ANYWARP_DEVICE unsigned long long atomicAdd(unsigned long long* address, unsigned long long value) {
  return (unsigned long long)__nvvm_atom_add_gen_ll((long long*)address, (long long)value);
}
ANYWARP_DEVICE float atomicAdd(float* address, float value) { return __nvvm_atom_add_gen_f(address, value); }
ANYWARP_DEVICE int atomicExch(int* address, int value) { return __nvvm_atom_xchg_gen_i(address, value); }
ANYWARP_DEVICE int atomicMax(int* address, int value) { return __nvvm_atom_max_gen_i(address, value); }
ANYWARP_DEVICE int atomicMin(int* address, int value) { return __nvvm_atom_min_gen_i(address, value); }
ANYWARP_DEVICE int atomicCAS(int* address, int expected, int value) { return __nvvm_atom_cas_gen_i(address, expected, value); }

// Functions of the C library that device code has; clang chooses by where the call stands.
extern "C" {
__device__ int printf(const char* format, ...) noexcept;
__device__ void* malloc(size_t bytes) noexcept;
__device__ void free(void* pointer) noexcept;
__device__ void __assertfail(const char* condition, const char* file, unsigned line, const char* function, size_t char_bytes);
ANYWARP_DEVICE void __assert_fail(const char* condition, const char* file, unsigned line, const char* function) noexcept {
  __assertfail(condition, file, line, function, 1);
}
}

// The runtime's C++ forms.
template <typename T>
inline cudaError_t cudaMalloc(T** p, size_t n) {
  return cudaMalloc((void**)(void*)p, n);
}
template <typename T>
inline cudaError_t cudaMallocHost(T** p, size_t n) {
  return cudaMallocHost((void**)(void*)p, n);
}
template <typename T>
inline cudaError_t cudaMallocManaged(T** p, size_t n, unsigned f = 1) {
  return cudaMallocManaged((void**)(void*)p, n, f);
}
template <typename T>
inline cudaError_t cudaMemcpyToSymbol(const T& s, const void* src, size_t n, size_t o = 0, cudaMemcpyKind k = cudaMemcpyHostToDevice) {
  return cudaMemcpyToSymbol((const void*)&s, src, n, o, k);
}
template <typename T>
inline cudaError_t cudaMemcpyFromSymbol(void* dst, const T& s, size_t n, size_t o = 0, cudaMemcpyKind k = cudaMemcpyDeviceToHost) {
  return cudaMemcpyFromSymbol(dst, (const void*)&s, n, o, k);
}
template <typename T>
inline cudaError_t cudaGetSymbolAddress(void** p, const T& s) {
  return cudaGetSymbolAddress(p, (const void*)&s);
}
template <typename T>
inline cudaError_t cudaGetSymbolSize(size_t* p, const T& s) {
  return cudaGetSymbolSize(p, (const void*)&s);
}
template <typename T>
inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, T* f, int b, size_t s) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(n, (const void*)f, b, s);
}
template <typename T>
inline cudaError_t cudaMallocAsync(T** p, size_t n, cudaStream_t s) {
  return cudaMallocAsync((void**)(void*)p, n, s);
}
template <typename T>
inline cudaError_t cudaMallocPitch(T** p, size_t* pitch, size_t width, size_t height) {
  return cudaMallocPitch((void**)(void*)p, pitch, width, height);
}
template <typename T>
inline cudaError_t cudaHostAlloc(T** p, size_t n, unsigned flags) {
  return cudaHostAlloc((void**)(void*)p, n, flags);
}
template <typename T>
inline cudaError_t cudaFuncSetAttribute(T* f, cudaFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute((const void*)f, attribute, value);
}
template <typename T>
inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, T* f) {
  return cudaFuncGetAttributes(attributes, (const void*)f);
}
