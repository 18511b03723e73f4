// Kernels from templates, function objects, constexpr, structs by value, virtual functions and function pointers on the device.
#include "check.h"

template <typename T>
struct Square {
  __device__ T operator()(T x) const { return x * x; }
};
struct Shift {
  int by;
  __host__ __device__ int operator()(int x) const { return x + by; }
};

template <typename T, typename F, int kUnroll>
__global__ void map(T* data, int n, F f) {
  const int first = (blockIdx.x * blockDim.x + threadIdx.x) * kUnroll;
#pragma unroll
  for (int k = 0; k < kUnroll; ++k) {
    if (first + k < n) data[first + k] = f(data[first + k]);
  }
}

template <typename T, typename F>
void run(T start, F f, T (*expected)(T)) {
  const int n = 1000;
  T host[n], *device;
  for (int i = 0; i < n; ++i) host[i] = start + i;
  CHECK(cudaMalloc(&device, sizeof host));
  CHECK(cudaMemcpy(device, host, sizeof host, cudaMemcpyHostToDevice));
  map<T, F, 4><<<8, 32>>>(device, n, f);
  CHECK(cudaGetLastError());
  CHECK(cudaMemcpy(host, device, sizeof host, cudaMemcpyDeviceToHost));
  for (int i = 0; i < n; ++i) EXPECT(host[i] == expected(start + i));
  CHECK(cudaFree(device));
}

struct Shape {
  __device__ virtual int area() const = 0;
};
struct Box : Shape {
  int a, b;
  __device__ Box(int x, int y) : a(x), b(y) {}
  __device__ int area() const override { return a * b; }
};
struct Line : Shape {
  __device__ int area() const override { return 0; }
};
__global__ void areas(int* out) {
  const Box box(threadIdx.x, 3);
  const Line line;
  const Shape* shape = threadIdx.x % 2 ? static_cast<const Shape*>(&box) : &line;
  out[threadIdx.x] = shape->area();
}

__device__ int twice(int x) { return 2 * x; }
__device__ int minus(int x) { return -x; }
__device__ int (*const functions[])(int) = {twice, minus};
__global__ void through_pointers(int* out) { out[threadIdx.x] = functions[threadIdx.x % 2](threadIdx.x); }

struct Big {
  double values[20];
  char tag;
};
__global__ void by_value(Big big, int* out) { *out = int(big.values[19]) + big.tag; }

int main() {
  run<float>(0.5f, Square<float>{}, [](float x) { return x * x; });
  run<double>(0.25, Square<double>{}, [](double x) { return x * x; });
  run<int>(-500, Shift{7}, [](int x) { return x + 7; });

  int *out, host[40];
  CHECK(cudaMalloc(&out, sizeof host));
  areas<<<1, 40>>>(out);
  CHECK(cudaMemcpy(host, out, sizeof host, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 40; ++i) EXPECT(host[i] == (i % 2 ? i * 3 : 0));
  through_pointers<<<1, 40>>>(out);
  CHECK(cudaMemcpy(host, out, sizeof host, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 40; ++i) EXPECT(host[i] == (i % 2 ? -i : 2 * i));
  Big big{};
  big.values[19] = 40, big.tag = 2;
  by_value<<<1, 1>>>(big, out);
  CHECK(cudaMemcpy(host, out, sizeof(int), cudaMemcpyDeviceToHost));
  EXPECT(host[0] == 42);
  return passed();
}
