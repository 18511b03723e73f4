// Manual: external resource interoperability.
//
// There is no other GPU API on this device, so what can be imported are the operating system's own objects: memory is any descriptor that can
// be mapped (a memfd, a shared file, a dma-buf), an opaque semaphore is an eventfd (a signal adds one, a wait takes what is there), a
// timeline semaphore a file whose first eight bytes are its counter. An import takes the descriptor over, as documented.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

// A mapped file; buffers, arrays and the import itself share it.
struct ExternalMapping {
  ExternalMapping() = default;
  ~ExternalMapping();
  ExternalMapping(const ExternalMapping&) = delete;
  ExternalMapping& operator=(const ExternalMapping&) = delete;
  int file = -1;
  std::uint8_t* start = nullptr;
  std::size_t bytes = 0;
};

}  // namespace anywarp::driver

struct CUextMemory_st : anywarp::driver::TypeStable<CUextMemory_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::external_memory;
  anywarp::driver::Magic magic = kMagic;
  std::shared_ptr<anywarp::driver::ExternalMapping> mapping;
};

struct CUextSemaphore_st : anywarp::driver::TypeStable<CUextSemaphore_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::external_semaphore;
  anywarp::driver::Magic magic = kMagic;
  bool timeline = false;
  std::shared_ptr<anywarp::driver::ExternalMapping> state;  // of an eventfd only the descriptor
};

namespace anywarp::driver {

struct SignalWork;
struct SemaphoreWaitWork;

CUresult importExternalMemory(CUexternalMemory* memory, const CUDA_EXTERNAL_MEMORY_HANDLE_DESC* description);
CUresult externalMemoryGetMappedBuffer(CUdeviceptr* address, CUexternalMemory memory, const CUDA_EXTERNAL_MEMORY_BUFFER_DESC* description);
CUresult externalMemoryGetMappedMipmappedArray(CUmipmappedArray* array, CUexternalMemory memory,
                                               const CUDA_EXTERNAL_MEMORY_MIPMAPPED_ARRAY_DESC* description);
CUresult destroyExternalMemory(CUexternalMemory memory);
CUresult importExternalSemaphore(CUexternalSemaphore* semaphore, const CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC* description);
CUresult signalExternalSemaphoresAsync(const CUexternalSemaphore* semaphores, const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS* parameters, unsigned count,
                                       CUstream stream);
CUresult waitExternalSemaphoresAsync(const CUexternalSemaphore* semaphores, const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS* parameters, unsigned count,
                                     CUstream stream);
CUresult destroyExternalSemaphore(CUexternalSemaphore semaphore);

// A buffer of external memory, and what cuMemFree does to it once nothing uses it any more.
bool is_external_buffer(CUdeviceptr address);
void release_external_buffer(CUdeviceptr address);
// Checked copies of what a call or a node says.
CUresult make_signal_work(const CUexternalSemaphore* semaphores, const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS* parameters, unsigned count, SignalWork* out);
CUresult make_semaphore_wait_work(const CUexternalSemaphore* semaphores, const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS* parameters, unsigned count,
                                  SemaphoreWaitWork* out);
CUresult enqueue_signal(const SignalWork& work, Stream& stream);
CUresult enqueue_semaphore_wait(const SemaphoreWaitWork& work, Stream& stream);

}  // namespace anywarp::driver
