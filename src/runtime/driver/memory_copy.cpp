#include "driver/memory_copy.h"

#include <cstring>

#include "driver/memory.h"
#include "driver/memory_array.h"
#include "driver/work.h"

namespace anywarp::driver {
namespace {

constexpr std::size_t kStagingBytes = 64 * 1024;  // pageable sources up to this size are copied aside

bool is_device_kind(const void* address) {
  memory::Allocation a;
  return arena().lookup(address, &a) && a.kind != memory::Kind::host && a.kind != memory::Kind::registered;
}

// Bytes from the first to the last that one side of a copy touches.
std::size_t extent(const Copy& c, std::size_t pitch, std::size_t slice) { return (c.depth - 1) * slice + (c.height - 1) * pitch + c.width; }

// A contiguous copy that returns before it has run, though the source may change at once.
CUresult copy_aside(const StreamUse& use, const Copy& copy) {
  auto staging = std::make_shared<std::vector<std::uint8_t>>(copy.width);
  std::memcpy(staging->data(), copy.source, copy.width);
  Copy from_staging = copy;
  from_staging.source = staging->data();
  ANYWARP_TRY(api(use.stream->copy(from_staging)));
  return api(use.stream->task([staging](Result) {}));
}

CUresult run(const StreamUse& use, const CUDA_MEMCPY3D* parameters, const Copy& copy, bool async) {
  if (copy.width == 0) return CUDA_SUCCESS;
  if (use.capture()) {
    CopyWork work;
    work.copy = copy;
    if (parameters) {
      work.parameters = *parameters;
    } else {
      work.parameters.srcMemoryType = work.parameters.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
      work.parameters.srcDevice = reinterpret_cast<CUdeviceptr>(copy.source);
      work.parameters.dstDevice = reinterpret_cast<CUdeviceptr>(copy.destination);
      work.parameters.WidthInBytes = copy.width;
      work.parameters.Height = work.parameters.Depth = 1;
    }
    return submit(use, std::move(work));
  }
  if (async) {
    const bool known_source = is_known_memory(copy.source), known_destination = is_known_memory(copy.destination);
    if (known_source && known_destination) return api(use.stream->copy(copy));
    if (known_destination && copy.height == 1 && copy.depth == 1 && copy.width <= kStagingBytes) return copy_aside(use, copy);
  } else if (is_device_kind(copy.source) && is_device_kind(copy.destination)) {
    return api(use.stream->copy(copy));
  }
  ANYWARP_TRY(api(use.stream->copy(copy)));
  return api(use.stream->synchronize());
}

CUresult rectangular(const CUDA_MEMCPY3D& parameters, CUstream stream, bool async);

// A copy of bytes between a 1D array, at an offset, and memory.
CUresult array_copy(CUarray array, std::size_t offset, void* memory, std::size_t bytes, bool to_array, CUstream stream, bool async) {
  CUDA_MEMCPY3D p{};
  p.WidthInBytes = bytes, p.Height = p.Depth = 1;
  p.srcMemoryType = to_array ? CU_MEMORYTYPE_UNIFIED : CU_MEMORYTYPE_ARRAY;
  p.dstMemoryType = to_array ? CU_MEMORYTYPE_ARRAY : CU_MEMORYTYPE_UNIFIED;
  (to_array ? p.dstArray : p.srcArray) = array;
  (to_array ? p.dstXInBytes : p.srcXInBytes) = offset;
  (to_array ? p.srcDevice : p.dstDevice) = reinterpret_cast<CUdeviceptr>(memory);
  return rectangular(p, stream, async);
}

enum class Side { any, device };

CUresult linear(void* destination, Side to, const void* source, Side from, std::size_t bytes, CUstream stream, bool async) {
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (bytes == 0) return CUDA_SUCCESS;
  if (!destination || !source) return CUDA_ERROR_INVALID_VALUE;
  const auto inside = [&](const void* address, Side side) {
    const auto value = reinterpret_cast<CUdeviceptr>(address);
    if (side == Side::device || arena().in_range(address)) return is_accessible(value, bytes);
    return true;
  };
  if (!inside(destination, to) || !inside(source, from)) return CUDA_ERROR_INVALID_VALUE;
  Copy copy;
  copy.destination = destination, copy.source = source, copy.width = bytes;
  return run(use, nullptr, copy, async);
}

CUDA_MEMCPY3D to_3d(const CUDA_MEMCPY2D& p) {
  CUDA_MEMCPY3D q{};
  q.srcXInBytes = p.srcXInBytes, q.srcY = p.srcY, q.srcMemoryType = p.srcMemoryType;
  q.srcHost = p.srcHost, q.srcDevice = p.srcDevice, q.srcArray = p.srcArray, q.srcPitch = p.srcPitch;
  q.dstXInBytes = p.dstXInBytes, q.dstY = p.dstY, q.dstMemoryType = p.dstMemoryType;
  q.dstHost = p.dstHost, q.dstDevice = p.dstDevice, q.dstArray = p.dstArray, q.dstPitch = p.dstPitch;
  q.WidthInBytes = p.WidthInBytes, q.Height = p.Height, q.Depth = 1;
  return q;
}

CUDA_MEMCPY3D without_contexts(const CUDA_MEMCPY3D_PEER& p) {
  static_assert(sizeof(CUDA_MEMCPY3D) == sizeof(CUDA_MEMCPY3D_PEER));
  CUDA_MEMCPY3D q;
  std::memcpy(&q, &p, sizeof q);  // the same layout, but for contexts in the place of reserved members
  q.reserved0 = q.reserved1 = nullptr;
  return q;
}

CUresult rectangular(const CUDA_MEMCPY3D& parameters, CUstream stream, bool async) {
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  Copy copy;
  ANYWARP_TRY(resolve_copy(parameters, &copy));
  return run(use, &parameters, copy, async);
}

CUresult check_peers(CUcontext to, CUcontext from) {
  ANYWARP_TRY(check_context(to));
  return check_context(from);
}

struct Operand {
  CUmemorytype type;
  const void* host;
  CUdeviceptr device;
  CUarray array;
  std::size_t x, y, z, lod, pitch, height;
};

// The address of an operand's first byte, and its pitches.
CUresult resolve(const Operand& o, const Copy& shape, std::uintptr_t* address, std::size_t* pitch, std::size_t* slice) {
  std::uintptr_t base = 0;
  if (o.lod != 0) return CUDA_ERROR_INVALID_VALUE;
  switch (o.type) {
    case CU_MEMORYTYPE_HOST: base = reinterpret_cast<std::uintptr_t>(o.host); break;
    case CU_MEMORYTYPE_DEVICE:
    case CU_MEMORYTYPE_UNIFIED: base = o.device; break;
    case CU_MEMORYTYPE_ARRAY: return resolve_array(o.array, o.x, o.y, o.z, shape, address, pitch, slice);
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  if (!base) return CUDA_ERROR_INVALID_VALUE;
  *pitch = o.pitch ? o.pitch : shape.width + o.x;
  const std::size_t height = o.height ? o.height : shape.height + o.y;
  if (shape.height > 1 && *pitch < shape.width + o.x) return CUDA_ERROR_INVALID_VALUE;
  if (shape.depth > 1 && height < shape.height + o.y) return CUDA_ERROR_INVALID_VALUE;
  if (__builtin_mul_overflow(*pitch, height, slice)) return CUDA_ERROR_INVALID_VALUE;
  *address = base + o.z * *slice + o.y * *pitch + o.x;
  const std::size_t bytes = extent(shape, *pitch, *slice);
  const bool device = o.type == CU_MEMORYTYPE_DEVICE || arena().in_range(reinterpret_cast<void*>(*address));
  return !device || is_accessible(*address, bytes) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

CUresult resolve_copy(const CUDA_MEMCPY3D& p, Copy* out) {
  *out = Copy{};
  out->width = p.WidthInBytes, out->height = p.Height, out->depth = p.Depth;
  if (p.WidthInBytes == 0 || p.Height == 0 || p.Depth == 0) {
    out->width = 0, out->height = out->depth = 1;
    return CUDA_SUCCESS;
  }
  std::uintptr_t source = 0, destination = 0;
  ANYWARP_TRY(resolve({p.srcMemoryType, p.srcHost, p.srcDevice, p.srcArray, p.srcXInBytes, p.srcY, p.srcZ, p.srcLOD, p.srcPitch, p.srcHeight}, *out,
                      &source, &out->source_pitch, &out->source_slice));
  ANYWARP_TRY(resolve({p.dstMemoryType, p.dstHost, p.dstDevice, p.dstArray, p.dstXInBytes, p.dstY, p.dstZ, p.dstLOD, p.dstPitch, p.dstHeight}, *out,
                      &destination, &out->destination_pitch, &out->destination_slice));
  out->source = reinterpret_cast<const void*>(source);
  out->destination = reinterpret_cast<void*>(destination);
  return CUDA_SUCCESS;
}

CUresult memcpy(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream) {
  return linear(pointer(destination), Side::any, pointer(source), Side::any, bytes, stream, false);
}
CUresult memcpyAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream) {
  return linear(pointer(destination), Side::any, pointer(source), Side::any, bytes, stream, true);
}
CUresult memcpyHtoD(CUdeviceptr destination, const void* source, size_t bytes, CUstream stream) {
  return linear(pointer(destination), Side::device, source, Side::any, bytes, stream, false);
}
CUresult memcpyHtoDAsync(CUdeviceptr destination, const void* source, size_t bytes, CUstream stream) {
  return linear(pointer(destination), Side::device, source, Side::any, bytes, stream, true);
}
CUresult memcpyDtoH(void* destination, CUdeviceptr source, size_t bytes, CUstream stream) {
  return linear(destination, Side::any, pointer(source), Side::device, bytes, stream, false);
}
CUresult memcpyDtoHAsync(void* destination, CUdeviceptr source, size_t bytes, CUstream stream) {
  return linear(destination, Side::any, pointer(source), Side::device, bytes, stream, true);
}
CUresult memcpyDtoD(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream) {
  return linear(pointer(destination), Side::device, pointer(source), Side::device, bytes, stream, false);
}
CUresult memcpyDtoDAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream) {
  return linear(pointer(destination), Side::device, pointer(source), Side::device, bytes, stream, true);
}
CUresult memcpyPeer(CUdeviceptr destination, CUcontext to, CUdeviceptr source, CUcontext from, size_t bytes, CUstream stream) {
  ANYWARP_TRY(check_peers(to, from));
  return memcpyDtoD(destination, source, bytes, stream);
}
CUresult memcpyPeerAsync(CUdeviceptr destination, CUcontext to, CUdeviceptr source, CUcontext from, size_t bytes, CUstream stream) {
  ANYWARP_TRY(check_peers(to, from));
  return memcpyDtoDAsync(destination, source, bytes, stream);
}
CUresult memcpy2D(const CUDA_MEMCPY2D* copy, CUstream stream) {
  if (!copy) return CUDA_ERROR_INVALID_VALUE;
  return rectangular(to_3d(*copy), stream, false);
}
CUresult memcpy2DUnaligned(const CUDA_MEMCPY2D* copy, CUstream stream) { return memcpy2D(copy, stream); }
CUresult memcpy2DAsync(const CUDA_MEMCPY2D* copy, CUstream stream) {
  if (!copy) return CUDA_ERROR_INVALID_VALUE;
  return rectangular(to_3d(*copy), stream, true);
}
CUresult memcpy3D(const CUDA_MEMCPY3D* copy, CUstream stream) {
  if (!copy) return CUDA_ERROR_INVALID_VALUE;
  return rectangular(*copy, stream, false);
}
CUresult memcpy3DAsync(const CUDA_MEMCPY3D* copy, CUstream stream) {
  if (!copy) return CUDA_ERROR_INVALID_VALUE;
  return rectangular(*copy, stream, true);
}
CUresult memcpy3DPeer(const CUDA_MEMCPY3D_PEER* copy, CUstream stream) {
  if (!copy) return CUDA_ERROR_INVALID_VALUE;
  return rectangular(without_contexts(*copy), stream, false);
}
CUresult memcpy3DPeerAsync(const CUDA_MEMCPY3D_PEER* copy, CUstream stream) {
  if (!copy) return CUDA_ERROR_INVALID_VALUE;
  return rectangular(without_contexts(*copy), stream, true);
}

CUresult memcpyDtoA(CUarray destination, size_t offset, CUdeviceptr source, size_t bytes, CUstream stream) {
  return array_copy(destination, offset, pointer(source), bytes, true, stream, false);
}
CUresult memcpyAtoD(CUdeviceptr destination, CUarray source, size_t offset, size_t bytes, CUstream stream) {
  return array_copy(source, offset, pointer(destination), bytes, false, stream, false);
}
CUresult memcpyHtoA(CUarray destination, size_t offset, const void* source, size_t bytes, CUstream stream) {
  return array_copy(destination, offset, const_cast<void*>(source), bytes, true, stream, false);
}
CUresult memcpyAtoH(void* destination, CUarray source, size_t offset, size_t bytes, CUstream stream) {
  return array_copy(source, offset, destination, bytes, false, stream, false);
}
CUresult memcpyHtoAAsync(CUarray destination, size_t offset, const void* source, size_t bytes, CUstream stream) {
  return array_copy(destination, offset, const_cast<void*>(source), bytes, true, stream, true);
}
CUresult memcpyAtoHAsync(void* destination, CUarray source, size_t offset, size_t bytes, CUstream stream) {
  return array_copy(source, offset, destination, bytes, false, stream, true);
}
CUresult memcpyAtoA(CUarray destination, size_t destination_offset, CUarray source, size_t source_offset, size_t bytes, CUstream stream) {
  CUDA_MEMCPY3D p{};
  p.WidthInBytes = bytes, p.Height = p.Depth = 1;
  p.srcMemoryType = p.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  p.srcArray = source, p.srcXInBytes = source_offset;
  p.dstArray = destination, p.dstXInBytes = destination_offset;
  return rectangular(p, stream, false);
}

}  // namespace anywarp::driver
