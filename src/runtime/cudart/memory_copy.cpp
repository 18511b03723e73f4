#include "cudart/memory_copy.h"

#include <initializer_list>

#include "cudart/channel_format.h"
#include "cudart/device.h"
#include "cudart/registration.h"

namespace anywarp::cudart {
namespace {

cudaError_t check_direction(cudaMemcpyKind kind) {
  return kind <= cudaMemcpyDefault ? cudaSuccess : cudaErrorInvalidMemcpyDirection;
}

// The kinds of memory that a direction names: `unified` leaves it to the addresses.
CUmemorytype source_type(cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return CU_MEMORYTYPE_UNIFIED;
  return kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
}
CUmemorytype destination_type(cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return CU_MEMORYTYPE_UNIFIED;
  return kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
}

void set_source(CUDA_MEMCPY3D& c, CUmemorytype type, void* pointer) {
  c.srcMemoryType = type;
  if (type == CU_MEMORYTYPE_HOST) c.srcHost = pointer;
  else c.srcDevice = address(pointer);
}
void set_destination(CUDA_MEMCPY3D& c, CUmemorytype type, void* pointer) {
  c.dstMemoryType = type;
  if (type == CU_MEMORYTYPE_HOST) c.dstHost = pointer;
  else c.dstDevice = address(pointer);
}

cudaError_t make_2d(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height, cudaMemcpyKind kind,
                    CUDA_MEMCPY3D* out) {
  CUDART_TRY(check_direction(kind));
  if (height > 1 && (width > to_pitch || width > from_pitch)) return cudaErrorInvalidPitchValue;
  if (width > 0 && height > 0 && (!to || !from)) return cudaErrorInvalidValue;
  *out = {};
  set_source(*out, source_type(kind), const_cast<void*>(from));
  set_destination(*out, destination_type(kind), to);
  out->srcPitch = from_pitch, out->dstPitch = to_pitch;
  out->srcHeight = out->dstHeight = height;
  out->WidthInBytes = width, out->Height = height, out->Depth = 1;
  return cudaSuccess;
}

cudaError_t convert_peer(const cudaMemcpy3DPeerParms& p, CUDA_MEMCPY3D_PEER* out) {
  CUDA_MEMCPY3D c;
  CUDART_TRY(convert(cudaMemcpy3DParms{p.srcArray, p.srcPos, p.srcPtr, p.dstArray, p.dstPos, p.dstPtr, p.extent, cudaMemcpyDefault}, &c));
  *out = {};
  out->srcXInBytes = c.srcXInBytes, out->srcY = c.srcY, out->srcZ = c.srcZ, out->srcMemoryType = c.srcMemoryType;
  out->srcDevice = c.srcDevice, out->srcArray = c.srcArray, out->srcPitch = c.srcPitch, out->srcHeight = c.srcHeight;
  out->dstXInBytes = c.dstXInBytes, out->dstY = c.dstY, out->dstZ = c.dstZ, out->dstMemoryType = c.dstMemoryType;
  out->dstDevice = c.dstDevice, out->dstArray = c.dstArray, out->dstPitch = c.dstPitch, out->dstHeight = c.dstHeight;
  out->WidthInBytes = c.WidthInBytes, out->Height = c.Height, out->Depth = c.Depth;
  CUDART_TRY(retain_primary_context(p.srcDevice, &out->srcContext));
  return retain_primary_context(p.dstDevice, &out->dstContext);
}

}  // namespace

cudaError_t memcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  CUDART_TRY(check_direction(kind));
  CUDART_TRY(use_context());
  if (bytes == 0) return cudaSuccess;
  if (!to || !from) return cudaErrorInvalidValue;
  switch (kind) {
    case cudaMemcpyHostToDevice: return error_of(form(stream, cuMemcpyHtoD_v2, cuMemcpyHtoD_v2_ptds)(address(to), from, bytes));
    case cudaMemcpyDeviceToHost: return error_of(form(stream, cuMemcpyDtoH_v2, cuMemcpyDtoH_v2_ptds)(to, address(from), bytes));
    case cudaMemcpyDeviceToDevice: return error_of(form(stream, cuMemcpyDtoD_v2, cuMemcpyDtoD_v2_ptds)(address(to), address(from), bytes));
    default: return error_of(form(stream, cuMemcpy, cuMemcpy_ptds)(address(to), address(from), bytes));
  }
}

cudaError_t memcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  CUDART_TRY(check_direction(kind));
  CUDART_TRY(use_context());
  if (bytes == 0) return cudaSuccess;
  if (!to || !from) return cudaErrorInvalidValue;
  switch (kind) {
    case cudaMemcpyHostToDevice: return error_of(cuMemcpyHtoDAsync_v2(address(to), from, bytes, stream));
    case cudaMemcpyDeviceToHost: return error_of(cuMemcpyDtoHAsync_v2(to, address(from), bytes, stream));
    case cudaMemcpyDeviceToDevice: return error_of(cuMemcpyDtoDAsync_v2(address(to), address(from), bytes, stream));
    default: return error_of(cuMemcpyAsync(address(to), address(from), bytes, stream));
  }
}

cudaError_t memcpyPeer(void* to, int to_device, const void* from, int from_device, size_t bytes) {
  CUcontext to_context = nullptr, from_context = nullptr;
  CUDART_TRY(retain_primary_context(to_device, &to_context));
  CUDART_TRY(retain_primary_context(from_device, &from_context));
  CUDART_TRY(use_context());
  return error_of(cuMemcpyPeer(address(to), to_context, address(from), from_context, bytes));
}

cudaError_t memcpyPeerAsync(void* to, int to_device, const void* from, int from_device, size_t bytes, cudaStream_t stream) {
  CUcontext to_context = nullptr, from_context = nullptr;
  CUDART_TRY(retain_primary_context(to_device, &to_context));
  CUDART_TRY(retain_primary_context(from_device, &from_context));
  CUDART_TRY(use_context());
  return error_of(cuMemcpyPeerAsync(address(to), to_context, address(from), from_context, bytes, stream));
}

cudaError_t memcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height, cudaMemcpyKind kind,
                     cudaStream_t stream) {
  CUDA_MEMCPY3D c;
  CUDART_TRY(make_2d(to, to_pitch, from, from_pitch, width, height, kind, &c));
  CUDART_TRY(use_context());
  if (width == 0 || height == 0) return cudaSuccess;
  return error_of(form(stream, cuMemcpy3D_v2, cuMemcpy3D_v2_ptds)(&c));
}

cudaError_t memcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height, cudaMemcpyKind kind,
                          cudaStream_t stream) {
  CUDA_MEMCPY3D c;
  CUDART_TRY(make_2d(to, to_pitch, from, from_pitch, width, height, kind, &c));
  CUDART_TRY(use_context());
  if (width == 0 || height == 0) return cudaSuccess;
  return error_of(cuMemcpy3DAsync_v2(&c, stream));
}

// Positions and extents in x count elements where the side is an array, bytes elsewhere; the extent counts elements if an array takes part.
cudaError_t convert(const cudaMemcpy3DParms& p, CUDA_MEMCPY3D* out) {
  CUDART_TRY(check_direction(p.kind));
  if ((p.srcArray != nullptr) == (p.srcPtr.ptr != nullptr) || (p.dstArray != nullptr) == (p.dstPtr.ptr != nullptr)) return cudaErrorInvalidValue;
  *out = {};
  size_t element = 1;
  for (const cudaArray_t array : {p.srcArray, p.dstArray}) {
    if (!array) continue;
    CUDA_ARRAY3D_DESCRIPTOR d;
    CUDART_TRY(cuArray3DGetDescriptor_v2(&d, reinterpret_cast<CUarray>(array)));
    element = element_bytes(d.Format, d.NumChannels);
  }
  if (p.srcArray) {
    out->srcMemoryType = CU_MEMORYTYPE_ARRAY;
    out->srcArray = reinterpret_cast<CUarray>(p.srcArray);
  } else {
    set_source(*out, source_type(p.kind), p.srcPtr.ptr);
    out->srcPitch = p.srcPtr.pitch, out->srcHeight = p.srcPtr.ysize;
  }
  if (p.dstArray) {
    out->dstMemoryType = CU_MEMORYTYPE_ARRAY;
    out->dstArray = reinterpret_cast<CUarray>(p.dstArray);
  } else {
    set_destination(*out, destination_type(p.kind), p.dstPtr.ptr);
    out->dstPitch = p.dstPtr.pitch, out->dstHeight = p.dstPtr.ysize;
  }
  out->srcXInBytes = p.srcPos.x * (p.srcArray ? element : 1), out->srcY = p.srcPos.y, out->srcZ = p.srcPos.z;
  out->dstXInBytes = p.dstPos.x * (p.dstArray ? element : 1), out->dstY = p.dstPos.y, out->dstZ = p.dstPos.z;
  out->WidthInBytes = p.extent.width * element, out->Height = p.extent.height, out->Depth = p.extent.depth;
  return cudaSuccess;
}

cudaMemcpy3DParms convert(const CUDA_MEMCPY3D& c) {
  cudaMemcpy3DParms p{};
  const bool from_host = c.srcMemoryType == CU_MEMORYTYPE_HOST, to_host = c.dstMemoryType == CU_MEMORYTYPE_HOST;
  p.srcPtr = {from_host ? const_cast<void*>(c.srcHost) : reinterpret_cast<void*>(c.srcDevice), c.srcPitch, c.srcPitch, c.srcHeight};  // NOLINT
  p.dstPtr = {to_host ? c.dstHost : reinterpret_cast<void*>(c.dstDevice), c.dstPitch, c.dstPitch, c.dstHeight};                       // NOLINT
  p.srcPos = {c.srcXInBytes, c.srcY, c.srcZ};
  p.dstPos = {c.dstXInBytes, c.dstY, c.dstZ};
  p.extent = {c.WidthInBytes, c.Height, c.Depth};
  if (c.srcMemoryType == CU_MEMORYTYPE_UNIFIED || c.dstMemoryType == CU_MEMORYTYPE_UNIFIED) p.kind = cudaMemcpyDefault;
  else if (from_host) p.kind = to_host ? cudaMemcpyHostToHost : cudaMemcpyHostToDevice;
  else p.kind = to_host ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice;
  return p;
}

cudaError_t memcpy3D(const cudaMemcpy3DParms* parameters, cudaStream_t stream) {
  if (!parameters) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDA_MEMCPY3D c;
  CUDART_TRY(convert(*parameters, &c));
  return error_of(form(stream, cuMemcpy3D_v2, cuMemcpy3D_v2_ptds)(&c));
}

cudaError_t memcpy3DAsync(const cudaMemcpy3DParms* parameters, cudaStream_t stream) {
  if (!parameters) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDA_MEMCPY3D c;
  CUDART_TRY(convert(*parameters, &c));
  return error_of(cuMemcpy3DAsync_v2(&c, stream));
}

cudaError_t memcpy3DPeer(const cudaMemcpy3DPeerParms* parameters, cudaStream_t stream) {
  if (!parameters) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDA_MEMCPY3D_PEER c;
  CUDART_TRY(convert_peer(*parameters, &c));
  return error_of(form(stream, cuMemcpy3DPeer, cuMemcpy3DPeer_ptds)(&c));
}

cudaError_t memcpy3DPeerAsync(const cudaMemcpy3DPeerParms* parameters, cudaStream_t stream) {
  if (!parameters) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDA_MEMCPY3D_PEER c;
  CUDART_TRY(convert_peer(*parameters, &c));
  return error_of(cuMemcpy3DPeerAsync(&c, stream));
}

cudaError_t part_of_variable(const void* symbol, size_t offset, size_t bytes, void** pointer) {
  CUdeviceptr device_address = 0;
  size_t size = 0;
  CUDART_TRY(find_variable(symbol, &device_address, &size));
  if (offset > size || bytes > size - offset) return cudaErrorInvalidValue;
  *pointer = reinterpret_cast<void*>(device_address + offset);  // NOLINT
  return cudaSuccess;
}

cudaError_t check_symbol_direction(cudaMemcpyKind kind, cudaMemcpyKind host_direction) {
  return kind == host_direction || kind == cudaMemcpyDeviceToDevice || kind == cudaMemcpyDefault ? cudaSuccess : cudaErrorInvalidMemcpyDirection;
}

cudaError_t memcpyToSymbol(const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind, cudaStream_t stream) {
  CUDART_TRY(check_symbol_direction(kind, cudaMemcpyHostToDevice));
  void* to = nullptr;
  CUDART_TRY(part_of_variable(symbol, offset, bytes, &to));
  return memcpy(to, from, bytes, kind, stream);
}

cudaError_t memcpyFromSymbol(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind, cudaStream_t stream) {
  CUDART_TRY(check_symbol_direction(kind, cudaMemcpyDeviceToHost));
  void* from = nullptr;
  CUDART_TRY(part_of_variable(symbol, offset, bytes, &from));
  return memcpy(to, from, bytes, kind, stream);
}

cudaError_t memcpyToSymbolAsync(const void* symbol, const void* from, size_t bytes, size_t offset, cudaMemcpyKind kind, cudaStream_t stream) {
  CUDART_TRY(check_symbol_direction(kind, cudaMemcpyHostToDevice));
  void* to = nullptr;
  CUDART_TRY(part_of_variable(symbol, offset, bytes, &to));
  return memcpyAsync(to, from, bytes, kind, stream);
}

cudaError_t memcpyFromSymbolAsync(void* to, const void* symbol, size_t bytes, size_t offset, cudaMemcpyKind kind, cudaStream_t stream) {
  CUDART_TRY(check_symbol_direction(kind, cudaMemcpyDeviceToHost));
  void* from = nullptr;
  CUDART_TRY(part_of_variable(symbol, offset, bytes, &from));
  return memcpyAsync(to, from, bytes, kind, stream);
}

}  // namespace anywarp::cudart
