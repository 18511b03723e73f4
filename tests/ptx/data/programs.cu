// The source of the nvcc_*.ptx files here:
//   nvcc -ptx -arch=sm_80 programs.cu -o nvcc_sm80.ptx
//   nvcc -ptx -arch=sm_90a -G programs.cu -o nvcc_sm90a_debug.ptx
//   nvcc -ptx -arch=compute_120 -rdc=true -lineinfo programs.cu -o nvcc_compute120_lines.ptx
// (nvcc 13.0.)
#include <cstdio>
struct Body { float position; int count; double weight; };
__constant__ float table[4] = {1.f, 2.f, 3.5f, -0.f};
__device__ int counter = 7;
__device__ const char *message = "hello world";
__device__ int *where = &counter;
__managed__ int shared_with_host;
typedef int (*Unary)(int);
__device__ __noinline__ int triple(int x) { return x * 3 + counter; }
__device__ __noinline__ int lower(int x) { return x - 3; }
__device__ Unary functions[2] = {triple, lower};
__device__ __noinline__ Body moved(Body s, float x) { s.position += x; s.count++; s.weight *= x; return s; }

__global__ void __launch_bounds__(256, 2) tiles(float *out, const float *in, int n, Body s) {
  __shared__ float tile[32][33];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  tile[threadIdx.x % 32][threadIdx.x / 32] = in[i];
  __syncthreads();
  if (i < n) {
    Body r = moved(s, tile[threadIdx.x / 32][threadIdx.x % 32]);
    out[i] = r.position + r.count + (float)r.weight + table[i & 3];
  }
}

extern __shared__ int dynamic[];
__global__ void dispatch(int *p, int which, int n) {
  dynamic[threadIdx.x] = functions[which](p[threadIdx.x]);
  __syncthreads();
  int v = dynamic[threadIdx.x ^ 1];
  for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
  switch (n) {
    case 0: v += p[1]; break;
    case 1: v *= p[2]; break;
    case 2: v -= p[3]; break;
    case 3: v ^= p[4]; break;
    case 4: v = -v; break;
    case 5: v = ~v; break;
    case 6: v <<= 2; break;
    default: v = 0;
  }
  if (v == 12345) printf("%d %s\n", v, message);
  atomicAdd(p, v);
}

__global__ void assembly(float4 *a, int n) {
  float4 v = a[threadIdx.x];
  v.x += v.y;
  a[threadIdx.x] = v;
  asm volatile("{ .reg .pred p; .reg .u32 t; setp.ne.u32 p, %0, 0; mov.u32 t, 5; @p add.u32 t, t, 1; @!p bra DONE;"
               " mov.u32 t, %0; DONE: }" ::"r"(n));
}

template <int N> __global__ void local_array(float *p) {
  float x[N];
#pragma unroll 1
  for (int i = 0; i < N; i++) x[i] = p[i];
  for (int i = 0; i < N; i++) p[i] = x[(int)p[i + N] % N];
}
template __global__ void local_array<8>(float *);
