#include "gemm.inc"
GEMM(sgemm_tiled, float)
