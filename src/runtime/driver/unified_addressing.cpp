#include "driver/unified_addressing.h"

#include <algorithm>

#include "driver/device.h"
#include "driver/memory.h"
#include "driver/memory_pool.h"

namespace anywarp::driver {
namespace {

template <typename T>
CUresult give(void* data, T value) {
  *static_cast<T*>(data) = value;
  return CUDA_SUCCESS;
}

bool is_host(const memory::Allocation& a) { return a.kind == memory::Kind::host || a.kind == memory::Kind::registered; }

// One attribute of known memory. invalid_value: there is no such attribute, or it does not apply to this memory.
CUresult attribute_of(const memory::Allocation& a, CUdeviceptr address, CUpointer_attribute attribute, void* data) {
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: return give(data, static_cast<CUcontext>(a.owner));
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE: return give(data, is_host(a) ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE);
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: return give(data, address);
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      if (!is_host(a) && a.kind != memory::Kind::managed) return CUDA_ERROR_INVALID_VALUE;
      return give(data, pointer(address));
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS: return give(data, 0);
    case CU_POINTER_ATTRIBUTE_BUFFER_ID: return give(data, static_cast<unsigned long long>(a.id));
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: return give(data, static_cast<int>(a.kind == memory::Kind::managed));
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: return give(data, static_cast<int>(a.device));
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE: return give(data, static_cast<int>(a.kind == memory::Kind::device && !pool_of(a.base)));
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: return give(data, reinterpret_cast<void*>(a.base));
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE: return give(data, a.size);
    case CU_POINTER_ATTRIBUTE_MAPPED: return give(data, 1);
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES: {
      const CUmemoryPool pool = pool_of(a.base);
      return give(data, pool ? static_cast<unsigned long long>(pool->properties.handleTypes) : 0ull);
    }
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE: return give(data, 0);
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS: return give(data, CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READWRITE);
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE: return give(data, pool_of(a.base));
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE: return give(data, a.size);
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR: return give(data, reinterpret_cast<void*>(a.base));
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID: return give(data, static_cast<unsigned long long>(a.id));
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE: return give(data, 1);  // software reads any memory
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

// What cuPointerGetAttributes writes for memory that CUDA does not know: the manual's defaults.
void default_of(CUpointer_attribute attribute, void* data) {
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES: *static_cast<std::uint64_t*>(data) = 0; break;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: *static_cast<int*>(data) = -2; break;
    case CU_POINTER_ATTRIBUTE_P2P_TOKENS: *static_cast<CUDA_POINTER_ATTRIBUTE_P2P_TOKENS*>(data) = {}; break;
    default: *static_cast<int*>(data) = 0; break;
  }
}

bool is_attribute(CUpointer_attribute attribute) {
  return attribute >= CU_POINTER_ATTRIBUTE_CONTEXT && attribute <= CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE;
}

}  // namespace

CUresult pointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr address) {
  if (!data || !is_attribute(attribute)) return CUDA_ERROR_INVALID_VALUE;
  memory::Allocation allocation;
  if (!address || !arena().lookup(pointer(address), &allocation)) return CUDA_ERROR_INVALID_VALUE;
  return attribute_of(allocation, address, attribute, data);
}

CUresult pointerGetAttributes(unsigned count, CUpointer_attribute* attributes, void** data, CUdeviceptr address) {
  if (count == 0 || !attributes || !data) return CUDA_ERROR_INVALID_VALUE;
  memory::Allocation allocation;
  const bool known = address && arena().lookup(pointer(address), &allocation);
  for (unsigned i = 0; i < count; ++i) {
    if (!data[i] || !is_attribute(attributes[i])) return CUDA_ERROR_INVALID_VALUE;
    if (!known || attribute_of(allocation, address, attributes[i], data[i]) != CUDA_SUCCESS) default_of(attributes[i], data[i]);
  }
  return CUDA_SUCCESS;
}

CUresult pointerSetAttribute(const void* value, CUpointer_attribute attribute, CUdeviceptr address) {
  if (!value || attribute != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS) return CUDA_ERROR_INVALID_VALUE;
  memory::Allocation allocation;
  if (!address || !arena().lookup(pointer(address), &allocation)) return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;  // copies of this memory that are left to run later are ordered by their stream: nothing to add
}

}  // namespace anywarp::driver
