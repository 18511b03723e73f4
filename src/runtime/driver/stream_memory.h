// Manual: stream memory operations: a stream writes a word, or goes on when a word has a value.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult streamWriteValue32(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned flags);
CUresult streamWriteValue64(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned flags);
CUresult streamWaitValue32(CUstream stream, CUdeviceptr address, cuuint32_t value, unsigned flags);
CUresult streamWaitValue64(CUstream stream, CUdeviceptr address, cuuint64_t value, unsigned flags);
CUresult streamBatchMemOp(CUstream stream, unsigned count, CUstreamBatchMemOpParams* operations, unsigned flags);

struct MemoryOperationsWork;

// A checked copy of a batch, its context left open.
CUresult make_memory_operations_work(const CUstreamBatchMemOpParams* operations, unsigned count, unsigned flags, MemoryOperationsWork* out);
CUresult enqueue_memory_operations(const MemoryOperationsWork& work, Stream& stream);

}  // namespace anywarp::driver
