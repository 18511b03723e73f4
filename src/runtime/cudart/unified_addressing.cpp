#include "cudart/unified_addressing.h"

#include <cstddef>
#include <cstring>
#include <iterator>

namespace anywarp::cudart {

cudaError_t pointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  if (!attributes) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  unsigned type = 0, managed = 0;
  int device = cudaInvalidDeviceId;
  CUdeviceptr device_address = 0;
  void* host = nullptr;
  CUpointer_attribute wanted[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                                  CU_POINTER_ATTRIBUTE_DEVICE_POINTER, CU_POINTER_ATTRIBUTE_HOST_POINTER};
  void* values[] = {&type, &managed, &device, &device_address, &host};
  CUDART_TRY(cuPointerGetAttributes(std::size(wanted), wanted, values, address(pointer)));
  cudaPointerAttributes a{};
  if (type == 0) {  // not known to CUDA
    a.type = cudaMemoryTypeUnregistered;
    a.device = cudaInvalidDeviceId;
    a.hostPointer = const_cast<void*>(pointer);
  } else {
    a.type = managed ? cudaMemoryTypeManaged : type == CU_MEMORYTYPE_HOST ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
    a.device = device;
    a.devicePointer = reinterpret_cast<void*>(device_address);  // NOLINT
    a.hostPointer = a.type == cudaMemoryTypeDevice ? nullptr : host;
  }
  // Before version 13 the struct ends with the two pointers.
  std::memcpy(attributes, &a, kMajor < 13 ? offsetof(cudaPointerAttributes, hostPointer) + sizeof a.hostPointer : sizeof a);
  return cudaSuccess;
}

}  // namespace anywarp::cudart
