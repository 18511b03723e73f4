#include "driver/stream_memory.h"

#include "driver/memory.h"
#include "driver/work.h"

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

CUresult check_address(CUdeviceptr address, std::size_t bytes) {
  return address != 0 && address % bytes == 0 && is_accessible(address, bytes) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult check(const CUstreamBatchMemOpParams& p) {
  switch (p.operation) {
    case CU_STREAM_MEM_OP_WAIT_VALUE_32:
    case CU_STREAM_MEM_OP_WAIT_VALUE_64:
      if ((p.waitValue.flags & ~static_cast<unsigned>(CU_STREAM_WAIT_VALUE_FLUSH)) > CU_STREAM_WAIT_VALUE_NOR) return CUDA_ERROR_INVALID_VALUE;
      return check_address(p.waitValue.address, p.operation == CU_STREAM_MEM_OP_WAIT_VALUE_32 ? 4 : 8);
    case CU_STREAM_MEM_OP_WRITE_VALUE_32:
    case CU_STREAM_MEM_OP_WRITE_VALUE_64:
      if ((p.writeValue.flags & ~static_cast<unsigned>(CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER)) != 0) return CUDA_ERROR_INVALID_VALUE;
      return check_address(p.writeValue.address, p.operation == CU_STREAM_MEM_OP_WRITE_VALUE_32 ? 4 : 8);
    case CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES: return p.flushRemoteWrites.flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case CU_STREAM_MEM_OP_BARRIER: return p.memoryBarrier.flags <= CU_STREAM_MEMORY_BARRIER_TYPE_GPU ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case CU_STREAM_MEM_OP_ATOMIC_REDUCTION: {
      const auto& r = p.atomicReduction;
      const bool known = r.reductionOp == CU_STREAM_ATOMIC_REDUCTION_OP_ADD || r.reductionOp == CU_STREAM_ATOMIC_REDUCTION_OP_AND || r.reductionOp == CU_STREAM_ATOMIC_REDUCTION_OP_OR;
      if (!known || r.flags != 0) return CUDA_ERROR_INVALID_VALUE;
      if (r.dataType != CU_STREAM_ATOMIC_REDUCTION_UNSIGNED_32 && r.dataType != CU_STREAM_ATOMIC_REDUCTION_UNSIGNED_64) return CUDA_ERROR_INVALID_VALUE;
      return check_address(r.address, r.dataType == CU_STREAM_ATOMIC_REDUCTION_UNSIGNED_32 ? 4 : 8);
    }
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

template <typename T>
CUresult write(Stream& stream, CUdeviceptr address, T value) {
  return api(stream.task([=](Result state) {
    if (state == Result::success) __atomic_store_n(static_cast<T*>(pointer(address)), value, __ATOMIC_SEQ_CST);
  }));
}

template <typename T>
CUresult reduce(Stream& stream, CUdeviceptr address, T value, CUstreamAtomicReductionOpType how) {
  return api(stream.task([=](Result state) {
    if (state != Result::success) return;
    auto* word = static_cast<T*>(pointer(address));
    switch (how) {
      case CU_STREAM_ATOMIC_REDUCTION_OP_ADD: __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST); break;
      case CU_STREAM_ATOMIC_REDUCTION_OP_AND: __atomic_fetch_and(word, value, __ATOMIC_SEQ_CST); break;
      default: __atomic_fetch_or(word, value, __ATOMIC_SEQ_CST);
    }
  }));
}

template <typename T>
CUresult wait(Stream& stream, CUdeviceptr address, T value, unsigned flags) {
  const unsigned how = flags & ~static_cast<unsigned>(CU_STREAM_WAIT_VALUE_FLUSH);
  return api(stream.poll([=] { return compare(__atomic_load_n(static_cast<T*>(pointer(address)), __ATOMIC_SEQ_CST), value, how); }));
}

CUresult run(CUstream stream, const CUstreamBatchMemOpParams* operations, unsigned count, unsigned flags) {
  MemoryOperationsWork work;
  ANYWARP_TRY(make_memory_operations_work(operations, count, flags, &work));
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  work.context = use.context;
  return submit(use, std::move(work));
}

template <typename T>
CUresult write(CUstream stream, CUdeviceptr address, T value, unsigned flags) {
  CUstreamBatchMemOpParams p{};
  p.writeValue.operation = sizeof(T) == 4 ? CU_STREAM_MEM_OP_WRITE_VALUE_32 : CU_STREAM_MEM_OP_WRITE_VALUE_64;
  p.writeValue.address = address, p.writeValue.value64 = value, p.writeValue.flags = flags;
  return run(stream, &p, 1, 0);
}

template <typename T>
CUresult wait(CUstream stream, CUdeviceptr address, T value, unsigned flags) {
  CUstreamBatchMemOpParams p{};
  p.waitValue.operation = sizeof(T) == 4 ? CU_STREAM_MEM_OP_WAIT_VALUE_32 : CU_STREAM_MEM_OP_WAIT_VALUE_64;
  p.waitValue.address = address, p.waitValue.value64 = value, p.waitValue.flags = flags;
  return run(stream, &p, 1, 0);
}

}  // namespace

CUresult make_memory_operations_work(const CUstreamBatchMemOpParams* operations, unsigned count, unsigned flags, MemoryOperationsWork* out) {
  if (flags != 0 || !operations || count > kMostOperations) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) ANYWARP_TRY(check(operations[i]));
  out->operations.assign(operations, operations + count);
  return CUDA_SUCCESS;
}

CUresult enqueue_memory_operations(const MemoryOperationsWork& work, Stream& stream) {
  for (const CUstreamBatchMemOpParams& p : work.operations) {
    switch (p.operation) {
      case CU_STREAM_MEM_OP_WAIT_VALUE_32: ANYWARP_TRY(wait<std::uint32_t>(stream, p.waitValue.address, p.waitValue.value, p.waitValue.flags)); break;
      case CU_STREAM_MEM_OP_WAIT_VALUE_64: ANYWARP_TRY(wait<std::uint64_t>(stream, p.waitValue.address, p.waitValue.value64, p.waitValue.flags)); break;
      case CU_STREAM_MEM_OP_WRITE_VALUE_32: ANYWARP_TRY(write<std::uint32_t>(stream, p.writeValue.address, p.writeValue.value)); break;
      case CU_STREAM_MEM_OP_WRITE_VALUE_64: ANYWARP_TRY(write<std::uint64_t>(stream, p.writeValue.address, p.writeValue.value64)); break;
      case CU_STREAM_MEM_OP_ATOMIC_REDUCTION: {
        const auto& r = p.atomicReduction;
        if (r.dataType == CU_STREAM_ATOMIC_REDUCTION_UNSIGNED_32) ANYWARP_TRY(reduce(stream, r.address, static_cast<std::uint32_t>(r.value), r.reductionOp));
        else ANYWARP_TRY(reduce(stream, r.address, static_cast<std::uint64_t>(r.value), r.reductionOp));
        break;
      }
      default: break;  // barriers and flushes: memory is coherent, and writes are ordered
    }
  }
  return CUDA_SUCCESS;
}

CUresult streamWriteValue32(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned flags) { return write<std::uint32_t>(stream, address, value, flags); }
CUresult streamWriteValue64(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned flags) { return write<std::uint64_t>(stream, address, value, flags); }
CUresult streamWaitValue32(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned flags) { return wait<std::uint32_t>(stream, address, value, flags); }
CUresult streamWaitValue64(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned flags) { return wait<std::uint64_t>(stream, address, value, flags); }

CUresult streamBatchMemOp(CUstream stream, unsigned count, CUstreamBatchMemOpParams* operations, unsigned flags) {
  return run(stream, operations, count, flags);
}

}  // namespace anywarp::driver
