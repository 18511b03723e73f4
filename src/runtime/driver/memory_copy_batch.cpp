// Batches of copies, and copies with attributes. Each copy is a copy of its own in the stream: the manual leaves their order open. When the
// source may be read is for the caller's sake: STREAM and ANY hold for every copy of known memory; what the call must have read
// when it returns is waited for.
#include <algorithm>

#include "driver/memory.h"
#include "driver/memory_array.h"
#include "driver/memory_copy.h"

namespace anywarp::driver {
namespace {

constexpr unsigned kFlags = CU_MEMCPY_FLAG_PREFER_OVERLAP_WITH_COMPUTE;

CUresult check_order(CUmemcpySrcAccessOrder order, unsigned flags) {
  if (order < CU_MEMCPY_SRC_ACCESS_ORDER_STREAM || order > CU_MEMCPY_SRC_ACCESS_ORDER_ANY) return CUDA_ERROR_INVALID_VALUE;
  return (flags & ~kFlags) == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// The manual rules out the default streams: neither null nor the two special values name a stream here.
bool is_default(CUstream stream) { return reinterpret_cast<std::uintptr_t>(stream) <= 2; }

CUresult wait_if_read_during_call(CUmemcpySrcAccessOrder order, CUstream stream) {
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (order != CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL || use.capture()) return CUDA_SUCCESS;
  return api(use.stream->synchronize());
}

// Elements of the arrays that take part; 1 if none does, 0 if two do not agree.
CUresult element_of(const CUDA_MEMCPY3D_BATCH_OP& o, std::size_t* bytes) {
  *bytes = 0;
  for (const CUmemcpy3DOperand* operand : {&o.src, &o.dst}) {
    if (operand->type == CU_MEMCPY_OPERAND_TYPE_POINTER) continue;
    if (operand->type != CU_MEMCPY_OPERAND_TYPE_ARRAY) return CUDA_ERROR_INVALID_VALUE;
    const CUarray array = operand->op.array.array;
    if (!is_valid(array)) return CUDA_ERROR_INVALID_HANDLE;
    if (*bytes != 0 && *bytes != array->element_bytes) return CUDA_ERROR_INVALID_VALUE;
    *bytes = array->element_bytes;
  }
  if (*bytes == 0) *bytes = 1;
  return CUDA_SUCCESS;
}

CUresult convert(const CUDA_MEMCPY3D_BATCH_OP& o, CUDA_MEMCPY3D* out) {
  ANYWARP_TRY(check_order(o.srcAccessOrder, o.flags));
  if (o.extent.width == 0 || o.extent.height == 0 || o.extent.depth == 0) return CUDA_ERROR_INVALID_VALUE;
  std::size_t element = 1;
  ANYWARP_TRY(element_of(o, &element));
  *out = {};
  for (const CUmemcpy3DOperand* operand : {&o.src, &o.dst}) {
    const bool source = operand == &o.src;
    if (operand->type == CU_MEMCPY_OPERAND_TYPE_ARRAY) {
      const auto& a = operand->op.array;
      (source ? out->srcMemoryType : out->dstMemoryType) = CU_MEMORYTYPE_ARRAY;
      (source ? out->srcArray : out->dstArray) = a.array;
      (source ? out->srcXInBytes : out->dstXInBytes) = a.offset.x * element;
      (source ? out->srcY : out->dstY) = a.offset.y;
      (source ? out->srcZ : out->dstZ) = a.offset.z;
      continue;
    }
    const auto& p = operand->op.ptr;
    if (p.ptr == 0 || (p.rowLength != 0 && p.rowLength < o.extent.width) || (p.layerHeight != 0 && p.layerHeight < o.extent.height)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    (source ? out->srcMemoryType : out->dstMemoryType) = CU_MEMORYTYPE_UNIFIED;
    (source ? out->srcDevice : out->dstDevice) = p.ptr;
    (source ? out->srcPitch : out->dstPitch) = (p.rowLength ? p.rowLength : o.extent.width) * element;
    (source ? out->srcHeight : out->dstHeight) = p.layerHeight ? p.layerHeight : o.extent.height;
  }
  out->WidthInBytes = o.extent.width * element, out->Height = o.extent.height, out->Depth = o.extent.depth;
  return CUDA_SUCCESS;
}

CUresult run(const CUDA_MEMCPY3D_BATCH_OP& operation, CUstream stream) {
  CUDA_MEMCPY3D copy;
  ANYWARP_TRY(convert(operation, &copy));
  ANYWARP_TRY(memcpy3DAsync(&copy, stream));
  return wait_if_read_during_call(operation.srcAccessOrder, stream);
}

}  // namespace

CUresult memcpyBatchAsync_v1(CUdeviceptr* destinations, CUdeviceptr* sources, size_t* sizes, size_t count, CUmemcpyAttributes* attributes,
                             size_t* attribute_indices, size_t attribute_count, size_t* failed, CUstream stream) {
  if (failed) *failed = ~std::size_t{0};
  if (is_default(stream) || !destinations || !sources || !sizes || count == 0) return CUDA_ERROR_INVALID_VALUE;
  if (!attributes || !attribute_indices || attribute_count == 0 || attribute_count > count || attribute_indices[0] != 0) return CUDA_ERROR_INVALID_VALUE;
  for (std::size_t i = 0; i < attribute_count; ++i) {
    if (i > 0 && (attribute_indices[i] <= attribute_indices[i - 1] || attribute_indices[i] >= count)) return CUDA_ERROR_INVALID_VALUE;
    ANYWARP_TRY(check_order(attributes[i].srcAccessOrder, attributes[i].flags));
  }
  bool wait = false;
  for (std::size_t i = 0, which = 0; i < count; ++i) {
    if (which + 1 < attribute_count && attribute_indices[which + 1] == i) ++which;
    wait |= attributes[which].srcAccessOrder == CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL;
    if (const CUresult result = memcpyAsync(destinations[i], sources[i], sizes[i], stream); result != CUDA_SUCCESS) {
      if (failed) *failed = i;
      return result;
    }
  }
  return wait ? wait_if_read_during_call(CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL, stream) : CUDA_SUCCESS;
}

CUresult memcpyBatchAsync_v2(CUdeviceptr* destinations, CUdeviceptr* sources, size_t* sizes, size_t count, CUmemcpyAttributes* attributes,
                             size_t* attribute_indices, size_t attribute_count, CUstream stream) {
  return memcpyBatchAsync_v1(destinations, sources, sizes, count, attributes, attribute_indices, attribute_count, nullptr, stream);
}

CUresult memcpyWithAttributesAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUmemcpyAttributes* attributes, CUstream stream) {
  if (!attributes) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check_order(attributes->srcAccessOrder, attributes->flags));
  ANYWARP_TRY(memcpyAsync(destination, source, bytes, stream));
  return wait_if_read_during_call(attributes->srcAccessOrder, stream);
}

CUresult memcpy3DBatchAsync_v1(size_t count, CUDA_MEMCPY3D_BATCH_OP* operations, size_t* failed, unsigned long long flags, CUstream stream) {
  if (failed) *failed = ~std::size_t{0};
  if (is_default(stream) || flags != 0 || !operations || count == 0) return CUDA_ERROR_INVALID_VALUE;
  for (std::size_t i = 0; i < count; ++i) {
    if (const CUresult result = run(operations[i], stream); result != CUDA_SUCCESS) {
      if (failed) *failed = i;
      return result;
    }
  }
  return CUDA_SUCCESS;
}

CUresult memcpy3DBatchAsync_v2(size_t count, CUDA_MEMCPY3D_BATCH_OP* operations, unsigned long long flags, CUstream stream) {
  return memcpy3DBatchAsync_v1(count, operations, nullptr, flags, stream);
}

CUresult memcpy3DWithAttributesAsync(CUDA_MEMCPY3D_BATCH_OP* operation, unsigned long long flags, CUstream stream) {
  if (!operation || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  return run(*operation, stream);
}

}  // namespace anywarp::driver
