/* A program (or, with -DLIBRARY, a library) that is linked with runtime.c, and finds Anywarp's runtime in its place. */
#include <stdio.h>
#include <string.h>

int cudaRuntimeGetVersion(int* version);
int cudaGetDeviceCount(int* count);
int cudaMalloc(void** pointer, size_t bytes);
int cudaMemset(void* pointer, int value, size_t bytes);
int cudaMemcpy(void* to, const void* from, size_t bytes, int kind);
int cudaFree(void* pointer);
int cudaDeviceSynchronize(void);
int cudaGetLastError(void);
int seven(void), eight(void); /* neighbours of short functions, with -DTIGHT */

#ifdef DEVICE_CODE
__attribute__((section(".nv_fatbin"), used)) static const char device_code[64] = "";
#endif

static int counted_at_start = -2;
/* Modules register their kernels in constructors, so constructors must find the runtime. */
__attribute__((constructor)) static void count_at_start(void) {
  if (cudaGetDeviceCount(&counted_at_start) != 0) counted_at_start = -3;
}

int try_runtime(void);
int try_runtime(void) {
  int version = 0;
  char text[16] = "";
  void* pointer = 0;
  const int status = cudaRuntimeGetVersion(&version);
  printf("version %d status %d, %d devices at the start\n", version, status, counted_at_start);
  if (status != 0) return 1;
  if (cudaMalloc(&pointer, sizeof text) != 0 || cudaMemset(pointer, 'x', sizeof text) != 0) return 2;
  if (cudaDeviceSynchronize() != 0) return 3;
  if (cudaMemcpy(text, pointer, sizeof text - 1, 2) != 0 || strcmp(text, "xxxxxxxxxxxxxxx") != 0) return 4;
  if (cudaFree(text) == 0 || cudaGetLastError() == 0) return 5; /* no device pointer: an error, and the thread's last one */
  if (cudaFree(pointer) != 0 || cudaGetLastError() != 0) return 6;
#ifdef TIGHT
  if (seven() != 7 || eight() != 8) return 7;
#endif
  puts("redirected");
  return 0;
}

#ifndef LIBRARY
int main(void) { return try_runtime(); }
#endif
