__device__ int other_variable = 1000;
__device__ int other_function(int x) { return x * x; }
