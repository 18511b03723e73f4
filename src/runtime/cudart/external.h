// Manual: external resource interoperability: what is not the driver's function under another name.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t externalMemoryGetMappedMipmappedArray(cudaMipmappedArray_t* array, cudaExternalMemory_t memory,
                                                  const cudaExternalMemoryMipmappedArrayDesc* description);
// Structs as they were before CUDA 11.2, without room for later members.
cudaError_t signalExternalSemaphoresAsync(const cudaExternalSemaphore_t* semaphores, const cudaExternalSemaphoreSignalParams_v1* parameters,
                                             unsigned count, cudaStream_t stream);
cudaError_t waitExternalSemaphoresAsync(const cudaExternalSemaphore_t* semaphores, const cudaExternalSemaphoreWaitParams_v1* parameters, unsigned count,
                                           cudaStream_t stream);

}  // namespace anywarp::cudart
