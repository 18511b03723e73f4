// A kernel that fails, in the way that the argument names; the process lives and can begin anew after a reset.
#include <cassert>
#include <cstring>

#include "check.h"

__global__ void fail_assert(int n) { assert(threadIdx.x < n && "too many threads"); }
__global__ void fail_trap() { asm volatile("trap;"); }
__global__ void fail_address(int* p) { *p = 1; }
__global__ void fail_alignment(char* p) { *reinterpret_cast<int*>(p + 1) = 1; }
__global__ void set(int* p, int value) { *p = value; }

int main(int argc, char** argv) {
  const char* kind = argc > 1 ? argv[1] : "";
  int* p;
  CHECK(cudaMalloc(&p, 1024));
  cudaError_t expected = cudaSuccess;
  if (!std::strcmp(kind, "assert")) fail_assert<<<2, 64>>>(40), expected = cudaErrorAssert;
  if (!std::strcmp(kind, "trap")) fail_trap<<<1, 1>>>(), expected = cudaErrorLaunchFailure;
  if (!std::strcmp(kind, "address")) fail_address<<<1, 1>>>(reinterpret_cast<int*>(64)), expected = cudaErrorIllegalAddress;
  if (!std::strcmp(kind, "alignment")) fail_alignment<<<1, 1>>>(reinterpret_cast<char*>(p)), expected = cudaErrorMisalignedAddress;
  EXPECT(expected != cudaSuccess);
  EXPECT_ERROR(expected, cudaDeviceSynchronize());
  // The error stays: every call reports it, and asking does not clear it.
  EXPECT_ERROR(expected, cudaMalloc(&p, 16));
  EXPECT_ERROR(expected, cudaGetLastError());
  EXPECT_ERROR(expected, cudaGetLastError());
  EXPECT_ERROR(expected, cudaPeekAtLastError());
  CHECK(cudaDeviceReset());
  CHECK(cudaGetLastError());
  int value = 0;
  CHECK(cudaMalloc(&p, 16));
  set<<<1, 1>>>(p, 42);
  CHECK(cudaMemcpy(&value, p, sizeof value, cudaMemcpyDeviceToHost));
  EXPECT(value == 42);
  return passed();
}
