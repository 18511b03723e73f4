// Manual: memory management, fills.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult memsetD8(CUdeviceptr address, unsigned char value, size_t count, CUstream stream);
CUresult memsetD16(CUdeviceptr address, unsigned short value, size_t count, CUstream stream);
CUresult memsetD32(CUdeviceptr address, unsigned value, size_t count, CUstream stream);
CUresult memsetD2D8(CUdeviceptr address, size_t pitch, unsigned char value, size_t width, size_t height, CUstream stream);
CUresult memsetD2D16(CUdeviceptr address, size_t pitch, unsigned short value, size_t width, size_t height, CUstream stream);
CUresult memsetD2D32(CUdeviceptr address, size_t pitch, unsigned value, size_t width, size_t height, CUstream stream);
CUresult memsetD8Async(CUdeviceptr address, unsigned char value, size_t count, CUstream stream);
CUresult memsetD16Async(CUdeviceptr address, unsigned short value, size_t count, CUstream stream);
CUresult memsetD32Async(CUdeviceptr address, unsigned value, size_t count, CUstream stream);
CUresult memsetD2D8Async(CUdeviceptr address, size_t pitch, unsigned char value, size_t width, size_t height, CUstream stream);
CUresult memsetD2D16Async(CUdeviceptr address, size_t pitch, unsigned short value, size_t width, size_t height, CUstream stream);
CUresult memsetD2D32Async(CUdeviceptr address, size_t pitch, unsigned value, size_t width, size_t height, CUstream stream);

// Whether a fill stays within one allocation and is aligned.
CUresult check_fill(const CUDA_MEMSET_NODE_PARAMS& parameters);

}  // namespace anywarp::driver
