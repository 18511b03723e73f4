// The source of the clang_*.ptx files here, clang 22 without a CUDA toolkit:
//   clang -x cuda --cuda-device-only -nocudainc -nocudalib -O2 --cuda-gpu-arch=sm_90a -S clang.cu -o clang_sm90a.ptx
//   the same with -O0 --cuda-gpu-arch=sm_52 for clang_sm52_unoptimised.ptx
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
extern "C" __device__ int vprintf(const char *, void *);
__constant__ float tab[4] = {1, 2, 3, 4};
__device__ int g = 5; __device__ int *pg = &g;
__device__ __attribute__((noinline)) float h(float x, int i) { return x * tab[i & 3] + g; }
struct P { int a[3]; double d; };
__device__ __attribute__((noinline)) P mk(P p) { p.a[1]++; return p; }
template <class T> __global__ void k(T *o, const T *in, int n, P p) { __shared__ T s[128]; int i = __nvvm_read_ptx_sreg_tid_x(); s[i] = in[i]; __nvvm_bar_sync(0); P q = mk(p); if (i < n) o[i] = h(s[127 - i], i) + q.a[1] + q.d; 
 switch (n) { case 0: o[1] = 3; break; case 1: o[2] = 7; break; case 2: o[3] = o[4]; break; case 3: o[5] *= 2; break; case 4: o[6] -= 3; break; case 5: o[7] = 0; }
 if (n == 77) vprintf("hi %d\n", &n); }
template __global__ void k<float>(float *, const float *, int, P);
template __global__ void k<double>(double *, const double *, int, P);
typedef int (*fp)(int); __device__ int q1(int x) { return x + 1; } __device__ int q2(int x) { return x * x; } __device__ fp table[2] = {q1, q2};
__global__ void ind(int *p) { p[0] = table[p[1]](p[2]); }
