#include "gemm.inc"
GEMM(sgemm_plain, float)
