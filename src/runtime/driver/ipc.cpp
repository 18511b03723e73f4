#include "driver/ipc.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <thread>

#include "driver/device.h"
#include "driver/memory.h"
#include "driver/memory_pool.h"

namespace anywarp::driver {
namespace {

constexpr std::uint32_t kMemory = 0x4157494d, kEvent = 0x41574945;

// When a process started, in the kernel's ticks; 0 if there is no such process.
std::uint64_t start_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  std::getline(file, text, '\0');
  // The name in parentheses may hold anything: fields are counted from behind it. The start time is field 22, the state field 3.
  const std::size_t after = text.rfind(')');
  if (after == std::string::npos) return 0;
  const char* at = text.c_str() + after + 1;
  for (int field = 3; field < 22; ++field) {
    at = std::strchr(at + 1, ' ');
    if (!at) return 0;
  }
  return std::strtoull(at, nullptr, 10);
}

}  // namespace

std::uint64_t own_start() {
  static const std::uint64_t start = start_of(getpid());
  return start;
}

CUresult open_file(const Ticket& ticket, std::uint32_t magic, int* out) {
  if (ticket.magic != magic) return CUDA_ERROR_INVALID_VALUE;
  if (start_of(ticket.process) != ticket.started) return CUDA_ERROR_INVALID_VALUE;
  const std::string path = "/proc/" + std::to_string(ticket.process) + "/fd/" + std::to_string(ticket.file);
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) return errno == ENOENT ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_MAP_FAILED;
  struct stat info{};
  if (fstat(file, &info) != 0 || ticket.offset > static_cast<std::uint64_t>(info.st_size) ||
      ticket.bytes > static_cast<std::uint64_t>(info.st_size) - ticket.offset) {
    close(file);
    return CUDA_ERROR_INVALID_VALUE;
  }
  *out = file;
  return CUDA_SUCCESS;
}

namespace {

struct Opened {
  Ticket ticket;
  const CUctx_st* context;
  unsigned references;
  void* start;        // of the mapping
  std::size_t bytes;  // likewise
};

struct State {
  std::mutex mutex;
  std::map<CUdeviceptr, Opened> opened;
};
State& state() {
  static auto* s = new State;
  return *s;
}

void unmap(CUdeviceptr address, const Opened& o) {
  [[maybe_unused]] const Result removed = arena().remove_range(pointer(address));
  munmap(o.start, o.bytes);
}

}  // namespace

CUresult ipcGetMemHandle(CUipcMemHandle* handle, CUdeviceptr address) {
  if (!handle || !address) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  memory::Allocation a;
  // The address may point into an allocation: the handle is for the whole of it, as documented.
  if (!arena().lookup(pointer(address), &a) || a.kind != memory::Kind::device || pool_of(a.base)) return CUDA_ERROR_INVALID_VALUE;
  memory::Arena::Share share;
  ANYWARP_TRY(api(arena().share(pointer(a.base), &share)));
  const Ticket ticket{kMemory, getpid(), own_start(), share.file, a.device, share.offset, a.size, a.id};
  *handle = {};
  std::memcpy(handle, &ticket, sizeof ticket);
  return CUDA_SUCCESS;
}

CUresult ipcOpenMemHandle(CUdeviceptr* address, CUipcMemHandle handle, unsigned flags) {
  if (!address || flags != CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  Ticket ticket;
  std::memcpy(&ticket, &handle, sizeof ticket);
  if (ticket.magic == kMemory && ticket.process == getpid() && ticket.started == own_start()) return CUDA_ERROR_INVALID_CONTEXT;  // one's own
  State& s = state();
  const std::lock_guard lock(s.mutex);
  for (auto& [known, opened] : s.opened) {
    if (opened.ticket != ticket || opened.context != context) continue;
    ++opened.references;
    *address = known;
    return CUDA_SUCCESS;
  }
  int file = -1;
  ANYWARP_TRY(open_file(ticket, kMemory, &file));
  const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t first = ticket.offset / page * page;
  Opened opened{ticket, context, 1, nullptr, ticket.offset - first + ticket.bytes};
  opened.start = mmap(nullptr, opened.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, static_cast<off_t>(first));
  close(file);
  if (opened.start == MAP_FAILED) return CUDA_ERROR_MAP_FAILED;
  const CUdeviceptr at = reinterpret_cast<CUdeviceptr>(opened.start) + (ticket.offset - first);
  const int device = find_device(ticket.device) ? ticket.device : context->device;
  if (const Result added = arena().add_range(pointer(at), ticket.bytes, memory::Kind::mapped, device, context, 0); added != Result::success) {
    munmap(opened.start, opened.bytes);
    return api(added);
  }
  s.opened.emplace(at, opened);
  *address = at;
  return CUDA_SUCCESS;
}

CUresult ipcCloseMemHandle(CUdeviceptr address) {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  {
    State& s = state();
    const std::lock_guard lock(s.mutex);
    const auto found = s.opened.find(address);
    if (found == s.opened.end()) return CUDA_ERROR_INVALID_VALUE;
    if (found->second.references > 1) return --found->second.references, CUDA_SUCCESS;
  }
  const CUresult waited = api(context->engine->synchronize());  // work may use it still
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const auto found = s.opened.find(address);
  if (found == s.opened.end()) return CUDA_ERROR_INVALID_VALUE;
  unmap(found->first, found->second);
  s.opened.erase(found);
  return waited;
}

void forget_ipc(const CUctx_st& context) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  std::erase_if(s.opened, [&](const auto& entry) {
    if (entry.second.context != &context) return false;
    unmap(entry.first, entry.second);
    return true;
  });
}

IpcEvent::~IpcEvent() {
  if (page) munmap(page, sizeof(Page));
  if (file >= 0) close(file);
}

bool IpcEvent::reached(std::uint64_t number) const {
  if (page->completed.load(std::memory_order_acquire) >= number) return true;
  // Nobody completes the record of a process that has ended.
  return kill(page->recorder.load(), 0) != 0 && errno == ESRCH;
}

namespace {

std::shared_ptr<IpcEvent> map_event(int file) {
  auto event = std::make_shared<IpcEvent>();
  event->file = file;
  void* at = mmap(nullptr, sizeof(IpcEvent::Page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (at == MAP_FAILED) return nullptr;
  event->page = static_cast<IpcEvent::Page*>(at);
  return event;
}

}  // namespace

std::shared_ptr<IpcEvent> make_ipc_event() {
  const int file = memfd_create("anywarp-event", MFD_CLOEXEC);
  if (file < 0) return nullptr;
  if (ftruncate(file, sizeof(IpcEvent::Page)) != 0) {
    close(file);
    return nullptr;
  }
  return map_event(file);
}

CUresult ipcGetEventHandle(CUipcEventHandle* handle, CUevent event) {
  if (!handle) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(event) || !event->ipc || event->ipc->imported) return CUDA_ERROR_INVALID_HANDLE;
  const Ticket ticket{kEvent, getpid(), own_start(), event->ipc->file, event->context->device, 0, sizeof(IpcEvent::Page), 0};
  *handle = {};
  std::memcpy(handle, &ticket, sizeof ticket);
  return CUDA_SUCCESS;
}

CUresult ipcOpenEventHandle(CUevent* event, CUipcEventHandle handle) {
  if (!event) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  Ticket ticket;
  std::memcpy(&ticket, &handle, sizeof ticket);
  if (ticket.magic == kEvent && ticket.process == getpid() && ticket.started == own_start()) return CUDA_ERROR_INVALID_CONTEXT;
  int file = -1;
  ANYWARP_TRY(open_file(ticket, kEvent, &file));
  std::shared_ptr<IpcEvent> shared = map_event(file);
  if (!shared) return CUDA_ERROR_MAP_FAILED;
  shared->imported = true;
  auto made = std::make_unique<CUevent_st>(CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS);
  made->context = context;
  made->ipc = std::move(shared);
  const std::lock_guard lock(context->mutex);
  context->events.insert(made.get());
  *event = made.release();
  return CUDA_SUCCESS;
}

CUresult ipc_record(CUevent_st& event, Stream& stream) {
  IpcEvent::Page& page = *event.ipc->page;
  page.recorder.store(getpid());
  const std::uint64_t number = ++page.recorded;
  // Runs even when the context has failed: the other process is not to wait for ever.
  return api(stream.task([shared = event.ipc, number](Result) {
    std::atomic<std::uint64_t>& completed = shared->page->completed;
    std::uint64_t seen = completed.load();
    while (seen < number && !completed.compare_exchange_weak(seen, number)) {
    }
  }));
}

CUresult ipc_query(const CUevent_st& event) {
  return event.ipc->reached(event.ipc->page->recorded.load()) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult ipc_synchronize(CUevent_st& event) {
  const std::uint64_t number = event.ipc->page->recorded.load();
  for (unsigned round = 0; !event.ipc->reached(number); ++round) {
    ANYWARP_TRY(api(event.context->engine->status()));
    if (round < 100) std::this_thread::yield();
    else std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  return api(event.context->engine->status());
}

CUresult ipc_wait(const CUevent_st& event, Stream& stream) {
  const std::uint64_t number = event.ipc->page->recorded.load();
  if (event.ipc->reached(number)) return CUDA_SUCCESS;
  return api(stream.poll([shared = event.ipc, number] { return shared->reached(number); }));
}

}  // namespace anywarp::driver
