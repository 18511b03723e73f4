// The source of the fatbins here: nvcc -fatbin --compress-mode=MODE -gencode arch=compute_80,code=compute_80
// -gencode arch=compute_90a,code=compute_90a scale.cu (nvcc 13.0); MODE none, speed (LZ4) and size (zstd).
__global__ void scale(float *p) { p[threadIdx.x] *= 2; }
