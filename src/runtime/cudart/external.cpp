#include "cudart/external.h"

#include <vector>

#include "cudart/channel_format.h"

namespace anywarp::cudart {

cudaError_t externalMemoryGetMappedMipmappedArray(cudaMipmappedArray_t* array, cudaExternalMemory_t memory,
                                                  const cudaExternalMemoryMipmappedArrayDesc* description) {
  if (!array || !description) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  CUDA_EXTERNAL_MEMORY_MIPMAPPED_ARRAY_DESC d{};
  d.offset = description->offset, d.numLevels = description->numLevels;
  d.arrayDesc.Width = description->extent.width, d.arrayDesc.Height = description->extent.height, d.arrayDesc.Depth = description->extent.depth;
  d.arrayDesc.Flags = description->flags;
  CUDART_TRY(format_of(description->formatDesc, &d.arrayDesc.Format, &d.arrayDesc.NumChannels));
  return error_of(cuExternalMemoryGetMappedMipmappedArray(reinterpret_cast<CUmipmappedArray*>(array), reinterpret_cast<CUexternalMemory>(memory), &d));
}

cudaError_t signalExternalSemaphoresAsync(const cudaExternalSemaphore_t* semaphores, const cudaExternalSemaphoreSignalParams_v1* parameters,
                                             unsigned count, cudaStream_t stream) {
  if (!parameters) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  std::vector<CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS> wide(count);
  for (unsigned i = 0; i < count; ++i) wide[i].params.fence.value = parameters[i].params.fence.value, wide[i].flags = parameters[i].flags;
  return error_of(cuSignalExternalSemaphoresAsync(reinterpret_cast<const CUexternalSemaphore*>(semaphores), wide.data(), count, stream));
}

cudaError_t waitExternalSemaphoresAsync(const cudaExternalSemaphore_t* semaphores, const cudaExternalSemaphoreWaitParams_v1* parameters, unsigned count,
                                           cudaStream_t stream) {
  if (!parameters) return cudaErrorInvalidValue;
  CUDART_TRY(use_context());
  std::vector<CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS> wide(count);
  for (unsigned i = 0; i < count; ++i) wide[i].params.fence.value = parameters[i].params.fence.value, wide[i].flags = parameters[i].flags;
  return error_of(cuWaitExternalSemaphoresAsync(reinterpret_cast<const CUexternalSemaphore*>(semaphores), wide.data(), count, stream));
}

}  // namespace anywarp::cudart
