// Manual: tensor map object management. A CUtensorMap holds an abi::TensorMap (docs/tensor-maps.md); nothing else knows its layout.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult tensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address, const cuuint64_t* sizes,
                              const cuuint64_t* strides, const cuuint32_t* box, const cuuint32_t* steps, CUtensorMapInterleave interleave,
                              CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill);
CUresult tensorMapEncodeIm2col(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* address, const cuuint64_t* sizes,
                               const cuuint64_t* strides, const int* lower, const int* upper, cuuint32_t channels, cuuint32_t pixels,
                               const cuuint32_t* steps, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                               CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill);
CUresult tensorMapSetAllocationClass(CUtensorMap* map, CUtensorMapAllocClass allocation_class, CUtensorMapAllocClass* out);
CUresult tensorMapReplaceAddress(CUtensorMap* map, void* address);

}  // namespace anywarp::driver
