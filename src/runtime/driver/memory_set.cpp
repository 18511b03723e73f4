#include "driver/memory_set.h"

#include "driver/memory.h"
#include "driver/work.h"

namespace anywarp::driver {
namespace {

// Fills are asynchronous for the host, also those without Async, but where the host may look at once: page-locked and managed memory.
CUresult fill(CUdeviceptr address, size_t pitch, unsigned value, unsigned element_bytes, size_t width, size_t height, CUstream stream, bool synchronous) {
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (width == 0 || height == 0) return CUDA_SUCCESS;
  const CUDA_MEMSET_NODE_PARAMS parameters{address, pitch, value, element_bytes, width, height};
  ANYWARP_TRY(check_fill(parameters));
  if (use.capture()) return submit(use, FillWork{parameters});
  ANYWARP_TRY(api(use.stream->fill(fill_of(parameters))));
  if (!synchronous) return CUDA_SUCCESS;
  memory::Allocation allocation;
  const bool on_device = arena().lookup(pointer(address), &allocation) && (allocation.kind == memory::Kind::device || allocation.kind == memory::Kind::mapped);
  return on_device ? CUDA_SUCCESS : api(use.stream->synchronize());
}

}  // namespace

CUresult check_fill(const CUDA_MEMSET_NODE_PARAMS& p) {
  if (p.elementSize != 1 && p.elementSize != 2 && p.elementSize != 4) return CUDA_ERROR_INVALID_VALUE;
  if (p.dst % p.elementSize != 0 || p.width == 0 || p.height == 0) return CUDA_ERROR_INVALID_VALUE;
  std::size_t row = 0, rows = 0, bytes = 0;
  if (__builtin_mul_overflow(p.width, std::size_t{p.elementSize}, &row)) return CUDA_ERROR_INVALID_VALUE;
  if (p.height > 1 && (p.pitch < row || p.pitch % p.elementSize != 0)) return CUDA_ERROR_INVALID_VALUE;
  if (__builtin_mul_overflow(p.height - 1, p.pitch, &rows) || __builtin_add_overflow(rows, row, &bytes)) return CUDA_ERROR_INVALID_VALUE;
  return is_accessible(p.dst, bytes) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult memsetD8(CUdeviceptr address, unsigned char value, size_t count, CUstream stream) { return fill(address, 0, value, 1, count, 1, stream, true); }
CUresult memsetD16(CUdeviceptr address, unsigned short value, size_t count, CUstream stream) { return fill(address, 0, value, 2, count, 1, stream, true); }
CUresult memsetD32(CUdeviceptr address, unsigned value, size_t count, CUstream stream) { return fill(address, 0, value, 4, count, 1, stream, true); }
CUresult memsetD2D8(CUdeviceptr address, size_t pitch, unsigned char value, size_t width, size_t height, CUstream stream) {
  return fill(address, pitch, value, 1, width, height, stream, true);
}
CUresult memsetD2D16(CUdeviceptr address, size_t pitch, unsigned short value, size_t width, size_t height, CUstream stream) {
  return fill(address, pitch, value, 2, width, height, stream, true);
}
CUresult memsetD2D32(CUdeviceptr address, size_t pitch, unsigned value, size_t width, size_t height, CUstream stream) {
  return fill(address, pitch, value, 4, width, height, stream, true);
}
CUresult memsetD8Async(CUdeviceptr address, unsigned char value, size_t count, CUstream stream) { return fill(address, 0, value, 1, count, 1, stream, false); }
CUresult memsetD16Async(CUdeviceptr address, unsigned short value, size_t count, CUstream stream) { return fill(address, 0, value, 2, count, 1, stream, false); }
CUresult memsetD32Async(CUdeviceptr address, unsigned value, size_t count, CUstream stream) { return fill(address, 0, value, 4, count, 1, stream, false); }
CUresult memsetD2D8Async(CUdeviceptr address, size_t pitch, unsigned char value, size_t width, size_t height, CUstream stream) {
  return fill(address, pitch, value, 1, width, height, stream, false);
}
CUresult memsetD2D16Async(CUdeviceptr address, size_t pitch, unsigned short value, size_t width, size_t height, CUstream stream) {
  return fill(address, pitch, value, 2, width, height, stream, false);
}
CUresult memsetD2D32Async(CUdeviceptr address, size_t pitch, unsigned value, size_t width, size_t height, CUstream stream) {
  return fill(address, pitch, value, 4, width, height, stream, false);
}

}  // namespace anywarp::driver
