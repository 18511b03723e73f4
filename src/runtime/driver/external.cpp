#include "driver/external.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <map>

#include "driver/device.h"
#include "driver/memory.h"
#include "driver/memory_array.h"
#include "driver/work.h"

namespace anywarp::driver {
namespace {

// Buffers that were given out, with what they lie in.
struct Buffers {
  std::mutex mutex;
  std::multimap<CUdeviceptr, std::shared_ptr<ExternalMapping>> all;
};
Buffers& buffers() {
  static auto* b = new Buffers;
  return *b;
}

// Maps a descriptor; the mapping owns it if that succeeds.
std::shared_ptr<ExternalMapping> map(int file, std::size_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (at == MAP_FAILED) return nullptr;
  auto mapping = std::make_shared<ExternalMapping>();
  mapping->file = file, mapping->start = static_cast<std::uint8_t*>(at), mapping->bytes = bytes;
  return mapping;
}

bool is_eventfd(int file) {
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(file));
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("eventfd-count:")) return true;
  }
  return false;
}

std::uint64_t& counter(const ExternalMapping& state) { return *reinterpret_cast<std::uint64_t*>(state.start); }

// Takes one signal of an eventfd; false if there is none.
bool take_signal(int file) {
  pollfd p{file, POLLIN, 0};
  std::uint64_t value = 0;
  return ::poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0 && read(file, &value, sizeof value) == sizeof value;
}

template <typename Parameters>
CUresult check(const CUexternalSemaphore* semaphores, const Parameters* parameters, unsigned count) {
  if (!semaphores || !parameters || count == 0) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    if (!is_valid(semaphores[i])) return CUDA_ERROR_INVALID_HANDLE;
    if (parameters[i].flags != 0) return CUDA_ERROR_INVALID_VALUE;  // they are for NvSciBuf
  }
  return CUDA_SUCCESS;
}

}  // namespace

ExternalMapping::~ExternalMapping() {
  if (start) munmap(start, bytes);
  if (file >= 0) close(file);
}

CUresult importExternalMemory(CUexternalMemory* memory, const CUDA_EXTERNAL_MEMORY_HANDLE_DESC* description) {
  if (!memory || !description || description->size == 0) return CUDA_ERROR_INVALID_VALUE;
  if ((description->flags & ~static_cast<unsigned>(CUDA_EXTERNAL_MEMORY_DEDICATED)) != 0) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  if (description->type < CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD || description->type > CU_EXTERNAL_MEMORY_HANDLE_TYPE_DMABUF_FD) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (description->type != CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD && description->type != CU_EXTERNAL_MEMORY_HANDLE_TYPE_DMABUF_FD) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  struct stat info{};
  if (fstat(description->handle.fd, &info) != 0) return CUDA_ERROR_INVALID_HANDLE;
  if (S_ISREG(info.st_mode) && static_cast<std::uint64_t>(info.st_size) < description->size) return CUDA_ERROR_INVALID_VALUE;
  auto mapping = map(description->handle.fd, description->size);
  if (!mapping) return CUDA_ERROR_OPERATING_SYSTEM;
  auto made = std::make_unique<CUextMemory_st>();
  made->mapping = std::move(mapping);
  *memory = made.release();
  return CUDA_SUCCESS;
}

CUresult externalMemoryGetMappedBuffer(CUdeviceptr* address, CUexternalMemory memory, const CUDA_EXTERNAL_MEMORY_BUFFER_DESC* description) {
  if (!address || !description) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(memory)) return CUDA_ERROR_INVALID_HANDLE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  const ExternalMapping& mapping = *memory->mapping;
  if (description->flags != 0 || description->size == 0 || description->offset > mapping.bytes || description->size > mapping.bytes - description->offset) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  // One range for the whole file, however many buffers overlap in it.
  Buffers& b = buffers();
  const std::lock_guard lock(b.mutex);
  const auto at = reinterpret_cast<CUdeviceptr>(mapping.start + description->offset);
  const auto mapped = [&] {
    for (const auto& [known, owner] : b.all) {
      if (owner == memory->mapping) return true;
    }
    return false;
  };
  if (!mapped()) {
    ANYWARP_TRY(api(arena().add_range(mapping.start, mapping.bytes, memory::Kind::mapped, context->device, nullptr, 0)));
  }
  b.all.emplace(at, memory->mapping);
  *address = at;
  return CUDA_SUCCESS;
}

bool is_external_buffer(CUdeviceptr address) {
  Buffers& b = buffers();
  const std::lock_guard lock(b.mutex);
  return b.all.contains(address);
}

void release_external_buffer(CUdeviceptr address) {
  Buffers& b = buffers();
  const std::lock_guard lock(b.mutex);
  const auto found = b.all.find(address);
  if (found == b.all.end()) return;
  const std::shared_ptr<ExternalMapping> mapping = found->second;
  b.all.erase(found);
  for (const auto& [known, owner] : b.all) {
    if (owner == mapping) return;
  }
  [[maybe_unused]] const Result removed = arena().remove_range(mapping->start);
}

CUresult externalMemoryGetMappedMipmappedArray(CUmipmappedArray* array, CUexternalMemory memory,
                                               const CUDA_EXTERNAL_MEMORY_MIPMAPPED_ARRAY_DESC* description) {
  if (!array || !description) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(memory)) return CUDA_ERROR_INVALID_HANDLE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  const std::shared_ptr<ExternalMapping>& mapping = memory->mapping;
  if (description->offset > mapping->bytes) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(make_array_over(context->device, description->arrayDesc, description->numLevels, mapping->start + description->offset,
                              mapping->bytes - description->offset, array));
  (*array)->keep = mapping;
  return CUDA_SUCCESS;
}

CUresult destroyExternalMemory(CUexternalMemory memory) {
  if (!is_valid(memory)) return CUDA_ERROR_INVALID_HANDLE;
  memory->magic = Magic::dead;
  delete memory;  // buffers and arrays keep the mapping
  return CUDA_SUCCESS;
}

CUresult importExternalSemaphore(CUexternalSemaphore* semaphore, const CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC* description) {
  if (!semaphore || !description || description->flags != 0) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  if (description->type < CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_OPAQUE_FD || description->type > CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_WIN32) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const int file = description->handle.fd;
  auto made = std::make_unique<CUextSemaphore_st>();
  struct stat info{};
  switch (description->type) {
    case CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_OPAQUE_FD:
      if (!is_eventfd(file)) return CUDA_ERROR_INVALID_HANDLE;
      made->state = std::make_shared<ExternalMapping>();
      made->state->file = file;
      break;
    case CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_FD:
      if (fstat(file, &info) != 0 || info.st_size < static_cast<off_t>(sizeof(std::uint64_t))) return CUDA_ERROR_INVALID_HANDLE;
      made->timeline = true;
      made->state = map(file, sizeof(std::uint64_t));
      if (!made->state) return CUDA_ERROR_OPERATING_SYSTEM;
      break;
    default: return CUDA_ERROR_NOT_SUPPORTED;
  }
  *semaphore = made.release();
  return CUDA_SUCCESS;
}

CUresult destroyExternalSemaphore(CUexternalSemaphore semaphore) {
  if (!is_valid(semaphore)) return CUDA_ERROR_INVALID_HANDLE;
  semaphore->magic = Magic::dead;
  delete semaphore;  // pending work keeps the state
  return CUDA_SUCCESS;
}

CUresult make_signal_work(const CUexternalSemaphore* semaphores, const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS* parameters, unsigned count, SignalWork* out) {
  ANYWARP_TRY(check(semaphores, parameters, count));
  out->semaphores.assign(semaphores, semaphores + count);
  out->parameters.assign(parameters, parameters + count);
  return CUDA_SUCCESS;
}

CUresult make_semaphore_wait_work(const CUexternalSemaphore* semaphores, const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS* parameters, unsigned count,
                                  SemaphoreWaitWork* out) {
  ANYWARP_TRY(check(semaphores, parameters, count));
  out->semaphores.assign(semaphores, semaphores + count);
  out->parameters.assign(parameters, parameters + count);
  return CUDA_SUCCESS;
}

CUresult enqueue_signal(const SignalWork& work, Stream& stream) {
  for (std::size_t i = 0; i < work.semaphores.size(); ++i) {
    const CUexternalSemaphore semaphore = work.semaphores[i];
    if (!is_valid(semaphore)) return CUDA_ERROR_INVALID_HANDLE;
    const std::uint64_t value = work.parameters[i].params.fence.value;
    ANYWARP_TRY(api(stream.task([state = semaphore->state, timeline = semaphore->timeline, value](Result) {
      if (timeline) {
        __atomic_store_n(&counter(*state), value, __ATOMIC_SEQ_CST);
      } else {
        const std::uint64_t one = 1;
        [[maybe_unused]] const ssize_t written = ::write(state->file, &one, sizeof one);
      }
    })));
  }
  return CUDA_SUCCESS;
}

CUresult enqueue_semaphore_wait(const SemaphoreWaitWork& work, Stream& stream) {
  for (std::size_t i = 0; i < work.semaphores.size(); ++i) {
    const CUexternalSemaphore semaphore = work.semaphores[i];
    if (!is_valid(semaphore)) return CUDA_ERROR_INVALID_HANDLE;
    const std::uint64_t value = work.parameters[i].params.fence.value;
    ANYWARP_TRY(api(stream.poll([state = semaphore->state, timeline = semaphore->timeline, value] {
      return timeline ? __atomic_load_n(&counter(*state), __ATOMIC_SEQ_CST) >= value : take_signal(state->file);
    })));
  }
  return CUDA_SUCCESS;
}

CUresult signalExternalSemaphoresAsync(const CUexternalSemaphore* semaphores, const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS* parameters, unsigned count,
                                       CUstream stream) {
  SignalWork work;
  ANYWARP_TRY(make_signal_work(semaphores, parameters, count, &work));
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  return submit(use, std::move(work));
}

CUresult waitExternalSemaphoresAsync(const CUexternalSemaphore* semaphores, const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS* parameters, unsigned count,
                                     CUstream stream) {
  SemaphoreWaitWork work;
  ANYWARP_TRY(make_semaphore_wait_work(semaphores, parameters, count, &work));
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  return submit(use, std::move(work));
}

}  // namespace anywarp::driver
