#include "gemm.inc"
GEMM(dgemm_tiled, double)
