#include "gemm.inc"
GEMM(sgemm_register, float)
