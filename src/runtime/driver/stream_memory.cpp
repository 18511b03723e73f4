#include "driver/stream_memory.h"

#include "driver/memory.h"
#include "driver/stream_capture.h"

namespace anywarp::driver {
namespace {

constexpr unsigned kMostOperations = 256;  // of one batch

template <typename T>
bool compare(T now, T value, unsigned how) {
  switch (how) {
    case CU_STREAM_WAIT_VALUE_GEQ: return static_cast<std::make_signed_t<T>>(now - value) >= 0;  // cyclic, as documented
    case CU_STREAM_WAIT_VALUE_EQ: return now == value;
    case CU_STREAM_WAIT_VALUE_AND: return (now & value) != 0;
    default: return static_cast<T>(~(now | value)) != 0;  // NOR
  }
}

CUresult use(CUstream stream, StreamUse* out) {
  ANYWARP_TRY(use_stream(stream, out));
  return out->capture() ? invalidate(*out, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED) : CUDA_SUCCESS;
}

template <typename T>
CUresult check(CUdeviceptr address) {
  return address != 0 && address % sizeof(T) == 0 && is_accessible(address, sizeof(T)) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

template <typename T>
CUresult write(const StreamUse& use, CUdeviceptr address, T value, unsigned flags) {
  if ((flags & ~static_cast<unsigned>(CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER)) != 0) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check<T>(address));
  return api(use.stream->task([=](Result state) {
    if (state == Result::success) __atomic_store_n(static_cast<T*>(pointer(address)), value, __ATOMIC_SEQ_CST);
  }));
}

template <typename T>
CUresult wait(const StreamUse& use, CUdeviceptr address, T value, unsigned flags) {
  const unsigned how = flags & ~static_cast<unsigned>(CU_STREAM_WAIT_VALUE_FLUSH);
  if (how > CU_STREAM_WAIT_VALUE_NOR) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check<T>(address));
  return api(use.stream->poll([=] { return compare(__atomic_load_n(static_cast<T*>(pointer(address)), __ATOMIC_SEQ_CST), value, how); }));
}

CUresult one(const StreamUse& use, const CUstreamBatchMemOpParams& p) {
  switch (p.operation) {
    case CU_STREAM_MEM_OP_WAIT_VALUE_32: return wait<std::uint32_t>(use, p.waitValue.address, p.waitValue.value, p.waitValue.flags);
    case CU_STREAM_MEM_OP_WAIT_VALUE_64: return wait<std::uint64_t>(use, p.waitValue.address, p.waitValue.value64, p.waitValue.flags);
    case CU_STREAM_MEM_OP_WRITE_VALUE_32: return write<std::uint32_t>(use, p.writeValue.address, p.writeValue.value, p.writeValue.flags);
    case CU_STREAM_MEM_OP_WRITE_VALUE_64: return write<std::uint64_t>(use, p.writeValue.address, p.writeValue.value64, p.writeValue.flags);
    case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES:
    case CU_STREAM_MEM_OP_BARRIER: return CUDA_SUCCESS;  // memory is coherent, and writes are ordered
    default: return CUDA_ERROR_NOT_SUPPORTED;
  }
}

}  // namespace

CUresult streamWriteValue32(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned flags) {
  StreamUse s;
  ANYWARP_TRY(use(stream, &s));
  return write<std::uint32_t>(s, address, value, flags);
}
CUresult streamWriteValue64(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned flags) {
  StreamUse s;
  ANYWARP_TRY(use(stream, &s));
  return write<std::uint64_t>(s, address, value, flags);
}
CUresult streamWaitValue32(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned flags) {
  StreamUse s;
  ANYWARP_TRY(use(stream, &s));
  return wait<std::uint32_t>(s, address, value, flags);
}
CUresult streamWaitValue64(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned flags) {
  StreamUse s;
  ANYWARP_TRY(use(stream, &s));
  return wait<std::uint64_t>(s, address, value, flags);
}

CUresult streamBatchMemOp(CUstream stream, unsigned count, CUstreamBatchMemOpParams* operations, unsigned flags) {
  if (flags != 0 || !operations || count > kMostOperations) return CUDA_ERROR_INVALID_VALUE;
  StreamUse s;
  ANYWARP_TRY(use(stream, &s));
  for (unsigned i = 0; i < count; ++i) ANYWARP_TRY(one(s, operations[i]));
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
