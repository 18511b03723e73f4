// What lets one kernel source be CUDA C++ and OpenCL C: OpenCL wants address spaces on pointers (GLOBAL), has other names for the same
// built-ins, and no shuffles (block_reduce below: a tree in local memory, what OpenCL programs write).
#pragma once
#ifdef __OPENCL_VERSION__
#define KERNEL kernel
#define GLOBAL global
#define DEVICE static inline
#define __shared__ local
#define __restrict__ restrict
#define threadIdx ((uint3)(get_local_id(0), get_local_id(1), get_local_id(2)))
#define blockIdx ((uint3)(get_group_id(0), get_group_id(1), get_group_id(2)))
#define blockDim ((uint3)(get_local_size(0), get_local_size(1), get_local_size(2)))
#define gridDim ((uint3)(get_num_groups(0), get_num_groups(1), get_num_groups(2)))
#define __syncthreads() barrier(CLK_LOCAL_MEM_FENCE)
#define atomicAddShared(p, v) atomic_add(p, v)
#define atomicAddGlobal(p, v) atomic_add(p, v)
#define expf exp
#define logf log
#define sqrtf sqrt
#define rsqrtf rsqrt
#define fabsf fabs
#define fmaxf fmax
#define fminf fmin
#define make_float4(x, y, z, w) ((float4)(x, y, z, w))
#define make_float2(x, y) ((float2)(x, y))
#define MULHI(a, b) mul_hi(a, b)
#define UNROLL
#define INFINITY_F INFINITY
// Sum or maximum over a CTA of a power of two threads; every thread gets it.
#define BLOCK_REDUCE(value, scratch, combine)                                          \
  do {                                                                                 \
    scratch[get_local_id(0)] = value;                                                  \
    barrier(CLK_LOCAL_MEM_FENCE);                                                      \
    for (uint half_ = get_local_size(0) / 2; half_ > 0; half_ /= 2) {                  \
      if (get_local_id(0) < half_)                                                     \
        scratch[get_local_id(0)] = combine(scratch[get_local_id(0)], scratch[get_local_id(0) + half_]); \
      barrier(CLK_LOCAL_MEM_FENCE);                                                    \
    }                                                                                  \
    value = scratch[0];                                                                \
    barrier(CLK_LOCAL_MEM_FENCE);                                                      \
  } while (0)
#define SCRATCH 1024
#else
#define KERNEL extern "C" __global__
#define GLOBAL
#define DEVICE __device__ inline
typedef unsigned char uchar;
typedef unsigned int uint;
#define atomicAddShared(p, v) atomicAdd(p, v)
#define atomicAddGlobal(p, v) atomicAdd(p, v)
#define MULHI(a, b) __umulhi(a, b)
#define UNROLL _Pragma("unroll")
#define INFINITY_F __int_as_float(0x7f800000)
// Shuffles in each warp, then the first warp over the warps' results.
#define BLOCK_REDUCE(value, scratch, combine)                                          \
  do {                                                                                 \
    for (int step_ = 16; step_ > 0; step_ /= 2) value = combine(value, __shfl_xor_sync(0xffffffffu, value, step_)); \
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;                      \
    __syncthreads();                                                                   \
    value = scratch[threadIdx.x % (blockDim.x / 32)];                                  \
    for (int step_ = blockDim.x / 64; step_ > 0; step_ /= 2) value = combine(value, __shfl_xor_sync(0xffffffffu, value, step_)); \
    __syncthreads();                                                                   \
  } while (0)
#define SCRATCH 32
#endif
#define ADD(a, b) ((a) + (b))
