// For the programs in this folder: each checks itself, prints "passed" and returns 0, or says what is wrong and returns 1.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

#define CHECK(call)                                                                                              \
  do {                                                                                                           \
    const cudaError_t error_ = (call);                                                                           \
    if (error_ != cudaSuccess) {                                                                                 \
      std::printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorName(error_));                       \
      std::exit(1);                                                                                              \
    }                                                                                                            \
  } while (0)

#define EXPECT(condition)                                                       \
  do {                                                                          \
    if (!(condition)) {                                                         \
      std::printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);     \
      std::exit(1);                                                             \
    }                                                                           \
  } while (0)

#define EXPECT_ERROR(expected, call)                                                                                     \
  do {                                                                                                                   \
    const cudaError_t error_ = (call);                                                                                   \
    if (error_ != (expected)) {                                                                                          \
      std::printf("%s:%d: %s: %s, not %s\n", __FILE__, __LINE__, #call, cudaGetErrorName(error_), cudaGetErrorName(expected)); \
      std::exit(1);                                                                                                      \
    }                                                                                                                    \
  } while (0)

inline int passed() {
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaGetLastError());
  std::printf("passed\n");
  return 0;
}
