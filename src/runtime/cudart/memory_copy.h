// Manual: memory management, copies.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t memcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t memcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t memcpyPeer(void* to, int to_device, const void* from, int from_device, size_t bytes);
cudaError_t memcpyPeerAsync(void* to, int to_device, const void* from, int from_device, size_t bytes, cudaStream_t stream);
cudaError_t memcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height, cudaMemcpyKind kind,
                     cudaStream_t stream);
cudaError_t memcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height, cudaMemcpyKind kind,
                          cudaStream_t stream);
cudaError_t memcpy3D(const cudaMemcpy3DParms* parameters, cudaStream_t stream);
cudaError_t memcpy3DAsync(const cudaMemcpy3DParms* parameters, cudaStream_t stream);
cudaError_t memcpy3DPeer(const cudaMemcpy3DPeerParms* parameters, cudaStream_t stream);
cudaError_t memcpy3DPeerAsync(const cudaMemcpy3DPeerParms* parameters, cudaStream_t stream);
cudaError_t memcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t memcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t memcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t memcpyFromSymbolAsync(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind, cudaStream_t stream);

// A copy's parameters as the driver takes them, and the reverse. cudaErrorInvalidMemcpyDirection, cudaErrorInvalidValue.
cudaError_t convert(const cudaMemcpy3DParms& parameters, CUDA_MEMCPY3D* out);
cudaMemcpy3DParms convert(const CUDA_MEMCPY3D& parameters);
// A part of a variable: its address. cudaErrorInvalidSymbol, cudaErrorInvalidValue if it lies outside.
cudaError_t part_of_variable(const void* symbol, size_t offset, size_t bytes, void** pointer);
// Whether a copy to or from a variable may have this direction.
cudaError_t check_symbol_direction(cudaMemcpyKind kind, cudaMemcpyKind host_direction);

}  // namespace anywarp::cudart
