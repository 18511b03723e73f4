// Manual: memory management, copies.
//
// Device and host memory are one address space, so that all linear copies are the same copy. What differs is checked and kept: which
// side must be device memory, and how far a call waits. Copies between device memory do not wait; copies that touch host memory do in the
// calls without Async. Calls with Async do not wait where both sides are known (allocated here or registered); the caller may change other
// (pageable) host memory as soon as the call returns, so that it is copied aside, or the call waits.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult memcpy(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream);
CUresult memcpyPeer(CUdeviceptr destination, CUcontext to, CUdeviceptr source, CUcontext from, size_t bytes, CUstream stream);
CUresult memcpyHtoD(CUdeviceptr destination, const void* source, size_t bytes, CUstream stream);
CUresult memcpyDtoH(void* destination, CUdeviceptr source, size_t bytes, CUstream stream);
CUresult memcpyDtoD(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream);
CUresult memcpyAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream);
CUresult memcpyPeerAsync(CUdeviceptr destination, CUcontext to, CUdeviceptr source, CUcontext from, size_t bytes, CUstream stream);
CUresult memcpyHtoDAsync(CUdeviceptr destination, const void* source, size_t bytes, CUstream stream);
CUresult memcpyDtoHAsync(void* destination, CUdeviceptr source, size_t bytes, CUstream stream);
CUresult memcpyDtoDAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream);
CUresult memcpy2D(const CUDA_MEMCPY2D* copy, CUstream stream);
CUresult memcpy2DUnaligned(const CUDA_MEMCPY2D* copy, CUstream stream);
CUresult memcpy2DAsync(const CUDA_MEMCPY2D* copy, CUstream stream);
CUresult memcpy3D(const CUDA_MEMCPY3D* copy, CUstream stream);
CUresult memcpy3DAsync(const CUDA_MEMCPY3D* copy, CUstream stream);
CUresult memcpy3DPeer(const CUDA_MEMCPY3D_PEER* copy, CUstream stream);
CUresult memcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER* copy, CUstream stream);
CUresult memcpyDtoA(CUarray destination, size_t offset, CUdeviceptr source, size_t bytes, CUstream stream);
CUresult memcpyAtoD(CUdeviceptr destination, CUarray source, size_t offset, size_t bytes, CUstream stream);
CUresult memcpyHtoA(CUarray destination, size_t offset, const void* source, size_t bytes, CUstream stream);
CUresult memcpyAtoH(void* destination, CUarray source, size_t offset, size_t bytes, CUstream stream);
CUresult memcpyHtoAAsync(CUarray destination, size_t offset, const void* source, size_t bytes, CUstream stream);
CUresult memcpyAtoHAsync(void* destination, CUarray source, size_t offset, size_t bytes, CUstream stream);
CUresult memcpyAtoA(CUarray destination, size_t destination_offset, CUarray source, size_t source_offset, size_t bytes, CUstream stream);

// Batches and copies with attributes (memory_copy_batch.cpp).
CUresult memcpyBatchAsync_v1(CUdeviceptr* destinations, CUdeviceptr* sources, size_t* sizes, size_t count, CUmemcpyAttributes* attributes,
                             size_t* attribute_indices, size_t attribute_count, size_t* failed, CUstream stream);
CUresult memcpyBatchAsync_v2(CUdeviceptr* destinations, CUdeviceptr* sources, size_t* sizes, size_t count, CUmemcpyAttributes* attributes,
                             size_t* attribute_indices, size_t attribute_count, CUstream stream);
CUresult memcpyWithAttributesAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUmemcpyAttributes* attributes, CUstream stream);
CUresult memcpy3DBatchAsync_v1(size_t count, CUDA_MEMCPY3D_BATCH_OP* operations, size_t* failed, unsigned long long flags, CUstream stream);
CUresult memcpy3DBatchAsync_v2(size_t count, CUDA_MEMCPY3D_BATCH_OP* operations, unsigned long long flags, CUstream stream);
CUresult memcpy3DWithAttributesAsync(CUDA_MEMCPY3D_BATCH_OP* operation, unsigned long long flags, CUstream stream);

// Checks a 3D copy and resolves it to addresses. A copy of nothing has width 0.
CUresult resolve_copy(const CUDA_MEMCPY3D& parameters, Copy* out);

}  // namespace anywarp::driver
