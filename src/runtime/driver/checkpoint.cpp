#include "driver/checkpoint.h"

#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstring>

#include "driver/context.h"
#include "driver/device.h"
#include "driver/initialization.h"
#include "driver/memory.h"
#include "exec/futex.h"

namespace anywarp::driver {
namespace {

// `usage` is what monitoring programs ask (src/anywarp/cli/smi.py has the other end).
enum class Operation : std::uint32_t { state, thread, lock, checkpoint, restore, unlock, usage };

constexpr std::uint32_t kMostPairs = memory::Arena::kMaxDevices;
struct Request {
  Operation operation;
  std::uint32_t timeout_ms, pairs;
  CUcheckpointGpuPair pair[kMostPairs];
};
struct Reply {
  CUresult result;
  std::int32_t value;
  std::uint64_t used[kMostPairs];  // usage: bytes by device
};

std::mutex g_mutex;  // guards the state, but for those who only look
std::condition_variable g_unlocked;
std::atomic<CUprocessState> g_process{CU_PROCESS_STATE_RUNNING};
std::atomic<int> g_server{0};  // its thread's number

// ---- Calls that are under way

// How deep each thread is in calls. A thread changes its own word without a fence: whoever locks makes all threads pass one.
struct Depth {
  std::atomic<std::uint32_t> calls{0};
};
struct Threads {
  std::mutex mutex;
  std::vector<Depth*> all;
};
Threads& threads() {
  static auto* t = new Threads;
  return *t;
}
struct OwnDepth : Depth {
  OwnDepth() {
    const std::lock_guard lock(threads().mutex);
    threads().all.push_back(this);
  }
  ~OwnDepth() {
    const std::lock_guard lock(threads().mutex);
    std::erase(threads().all, this);
  }
};
Depth& own_depth() {
  thread_local OwnDepth own;
  return own;
}

void fence_all_threads() {
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0 || syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0) return;
  usleep(10'000);  // no such call (an emulator): stores do not take that long
}

bool is_quiet() {
  const Depth* const own = &own_depth();
  {
    const std::lock_guard lock(threads().mutex);
    for (const Depth* d : threads().all)
      if (d != own && d->calls.load(std::memory_order_acquire) != 0) return false;
  }
  bool quiet = true;
  for_all_contexts([&](CUctx_st& context) { quiet = quiet && context.engine->is_idle(); });
  return quiet;
}

// ---- The operations, in the process that they are for

CUresult lock_process(unsigned timeout_ms) {
  const std::lock_guard lock(g_mutex);
  if (g_process.load() != CU_PROCESS_STATE_RUNNING) return CUDA_ERROR_ILLEGAL_STATE;
  g_process.store(CU_PROCESS_STATE_LOCKED);
  set_locked(true);
  fence_all_threads();
  const std::uint64_t end = now_ns() + std::uint64_t{timeout_ms} * 1'000'000;
  while (!is_quiet()) {
    if (timeout_ms != 0 && now_ns() > end) {
      g_process.store(CU_PROCESS_STATE_RUNNING);
      set_locked(false);
      g_unlocked.notify_all();
      return CUDA_ERROR_NOT_READY;
    }
    usleep(100);
  }
  return CUDA_SUCCESS;
}

CUresult move_state(CUprocessState from, CUprocessState to) {
  const std::lock_guard lock(g_mutex);
  if (g_process.load() != from) return CUDA_ERROR_ILLEGAL_STATE;
  g_process.store(to);
  return CUDA_SUCCESS;
}

CUresult unlock_process() {
  const std::lock_guard lock(g_mutex);
  if (g_process.load() != CU_PROCESS_STATE_LOCKED) return CUDA_ERROR_ILLEGAL_STATE;
  g_process.store(CU_PROCESS_STATE_RUNNING);
  set_locked(false);
  g_unlocked.notify_all();
  return CUDA_SUCCESS;
}

// Pairs exchange the devices' identities; they name all devices and give each a new one.
CUresult restore_process(const Request& r) {
  const std::lock_guard lock(g_mutex);
  if (g_process.load() != CU_PROCESS_STATE_CHECKPOINTED) return CUDA_ERROR_ILLEGAL_STATE;
  if (r.pairs != 0) {
    const auto n = static_cast<unsigned>(device_count());
    const auto same = [](const CUuuid& a, const CUuuid& b) { return std::memcmp(&a, &b, sizeof a) == 0; };
    if (r.pairs != n) return CUDA_ERROR_INVALID_VALUE;
    std::vector<CUuuid> fresh(n);
    for (unsigned d = 0; d < n; ++d) {
      unsigned named = 0, given = 0;
      for (unsigned i = 0; i < n; ++i) {
        if (same(r.pair[i].oldUuid, find_device(static_cast<int>(d))->uuid)) ++named, fresh[d] = r.pair[i].newUuid;
        given += same(r.pair[i].newUuid, find_device(static_cast<int>(d))->uuid);
      }
      if (named != 1 || given != 1) return CUDA_ERROR_INVALID_VALUE;
    }
    for (unsigned d = 0; d < n; ++d) find_device(static_cast<int>(d))->uuid = fresh[d];
  }
  g_process.store(CU_PROCESS_STATE_LOCKED);
  return CUDA_SUCCESS;
}

Reply carry_out(const Request& r) {
  if (g_server.load() == 0) return {CUDA_ERROR_NOT_INITIALIZED, 0, {}};
  switch (r.operation) {
    case Operation::state: return {CUDA_SUCCESS, static_cast<std::int32_t>(g_process.load()), {}};
    case Operation::thread: return {CUDA_SUCCESS, g_server.load(), {}};
    case Operation::lock: return {lock_process(r.timeout_ms), 0, {}};
    case Operation::checkpoint: return {move_state(CU_PROCESS_STATE_LOCKED, CU_PROCESS_STATE_CHECKPOINTED), 0, {}};
    case Operation::restore: return {restore_process(r), 0, {}};
    case Operation::unlock: return {unlock_process(), 0, {}};
    case Operation::usage: {
      Reply reply{CUDA_SUCCESS, device_count(), {}};
      for (int d = 0; d < reply.value; ++d) {
        std::size_t free = 0, total = 0;
        arena().info(d, &free, &total);
        reply.used[d] = total - free;
      }
      return reply;
    }
  }
  return {CUDA_ERROR_INVALID_VALUE, 0, {}};
}

// ---- Between processes

socklen_t address_of(int process, sockaddr_un* address) {
  *address = {};
  address->sun_family = AF_UNIX;
  const int n = std::snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "anywarp-checkpoint-%d", process);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<std::size_t>(n));
}

bool is_same_user(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

void* serve(void* argument) {
  const int listener = static_cast<int>(reinterpret_cast<std::intptr_t>(argument));
  pthread_setname_np(pthread_self(), "anywarp-restore");
  g_server.store(static_cast<int>(syscall(SYS_gettid)));
  for (;;) {
    const int peer = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (peer < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return nullptr;
    }
    Request request;
    if (is_same_user(peer) && recv(peer, &request, sizeof request, MSG_WAITALL) == static_cast<ssize_t>(sizeof request) && request.pairs <= kMostPairs) {
      const Reply reply = carry_out(request);
      [[maybe_unused]] const ssize_t sent = send(peer, &reply, sizeof reply, MSG_NOSIGNAL);
    }
    close(peer);
  }
}

CUresult ask(int process, const Request& request, std::int32_t* value = nullptr) {
  if (process <= 0) return CUDA_ERROR_INVALID_VALUE;
  Reply reply{CUDA_ERROR_NOT_INITIALIZED, 0, {}};
  if (process == getpid()) {
    reply = carry_out(request);
  } else {
    if (kill(process, 0) != 0 && errno == ESRCH) return CUDA_ERROR_INVALID_VALUE;
    const int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer < 0) return CUDA_ERROR_OPERATING_SYSTEM;
    sockaddr_un address;
    const socklen_t size = address_of(process, &address);
    const bool done = connect(peer, reinterpret_cast<const sockaddr*>(&address), size) == 0 && is_same_user(peer) &&
                      send(peer, &request, sizeof request, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof request) &&
                      recv(peer, &reply, sizeof reply, MSG_WAITALL) == static_cast<ssize_t>(sizeof reply);
    close(peer);
    if (!done) return CUDA_ERROR_NOT_INITIALIZED;  // it does not use CUDA, or is another user's
  }
  if (value) *value = reply.value;
  return reply.result;
}

template <typename T, std::size_t N>
bool is_zero(const T (&values)[N]) {
  return std::all_of(std::begin(values), std::end(values), [](T v) { return v == 0; });
}

}  // namespace

ApiCall::ApiCall() {
  auto& calls = own_depth().calls;
  calls.store(calls.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

ApiCall::~ApiCall() {
  auto& calls = own_depth().calls;
  calls.store(calls.load(std::memory_order_relaxed) - 1, std::memory_order_release);
}

void wait_for_unlock() {
  auto& calls = own_depth().calls;
  if (calls.load(std::memory_order_relaxed) > 1) return;  // from a callback: the lock waits for the call around it
  calls.store(0, std::memory_order_release);
  {
    std::unique_lock lock(g_mutex);
    g_unlocked.wait(lock, [] { return g_process.load() == CU_PROCESS_STATE_RUNNING; });
    calls.store(1, std::memory_order_relaxed);
  }
}

void serve_checkpoints() {
  syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address;
  const socklen_t size = address_of(getpid(), &address);
  if (listener < 0 || bind(listener, reinterpret_cast<const sockaddr*>(&address), size) != 0 || listen(listener, 4) != 0) {
    if (listener >= 0) close(listener);
    return;
  }
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, std::size_t{256} << 10);
  pthread_t thread{};
  if (pthread_create(&thread, &attributes, serve, reinterpret_cast<void*>(std::intptr_t{listener})) == 0) pthread_detach(thread);
  else close(listener);
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

CUresult checkpointProcessGetRestoreThreadId(int process, int* thread) {
  if (!thread) return CUDA_ERROR_INVALID_VALUE;
  return ask(process, {Operation::thread, 0, 0, {}}, thread);
}

CUresult checkpointProcessGetState(int process, CUprocessState* state) {
  if (!state) return CUDA_ERROR_INVALID_VALUE;
  std::int32_t value = 0;
  ANYWARP_TRY(ask(process, {Operation::state, 0, 0, {}}, &value));
  *state = static_cast<CUprocessState>(value);
  return CUDA_SUCCESS;
}

CUresult checkpointProcessLock(int process, CUcheckpointLockArgs* arguments) {
  if (arguments && (arguments->reserved0 != 0 || !is_zero(arguments->reserved1))) return CUDA_ERROR_INVALID_VALUE;
  return ask(process, {Operation::lock, arguments ? arguments->timeoutMs : 0, 0, {}});
}

CUresult checkpointProcessCheckpoint(int process, CUcheckpointCheckpointArgs* arguments) {
  if (arguments && !is_zero(arguments->reserved)) return CUDA_ERROR_INVALID_VALUE;
  if (arguments && arguments->customStorageInfo_out) return CUDA_ERROR_NOT_SUPPORTED;
  return ask(process, {Operation::checkpoint, 0, 0, {}});
}

CUresult checkpointProcessRestore(int process, CUcheckpointRestoreArgs* arguments) {
  Request request{Operation::restore, 0, 0, {}};
  if (arguments) {
    if (!is_zero(arguments->reserved)) return CUDA_ERROR_INVALID_VALUE;
    if (arguments->gpuPairsCount > kMostPairs || (arguments->gpuPairsCount > 0 && !arguments->gpuPairs)) return CUDA_ERROR_INVALID_VALUE;
    if (arguments->customStorageInfo_out) return CUDA_ERROR_NOT_SUPPORTED;
    request.pairs = arguments->gpuPairsCount;
    std::copy_n(arguments->gpuPairs, request.pairs, request.pair);
  }
  return ask(process, request);
}

CUresult checkpointProcessUnlock(int process, CUcheckpointUnlockArgs* arguments) {
  if (arguments && !is_zero(arguments->reserved)) return CUDA_ERROR_INVALID_VALUE;
  return ask(process, {Operation::unlock, 0, 0, {}});
}

}  // namespace anywarp::driver
