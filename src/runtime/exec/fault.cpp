// A jump from a fiber's stack to the thread's is none that the checks of fortified builds allow.
#undef _FORTIFY_SOURCE

#include "fault.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <iterator>
#include <mutex>
#include <utility>
#include <vector>

#include "../memory/arena.h"
#include "fiber.h"
#include "futex.h"
#include "loader.h"

namespace anywarp {

namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr int kCount = 4;

struct Frame {
  sigjmp_buf jump;
  Fault* fault = nullptr;
  const Limits* limits = nullptr;
  bool critical = false;  // the runtime's own code runs inside (a service): a fault is a bug of ours, not the kernel's
};

// Initial-exec: a signal handler must not allocate thread-local storage.
thread_local std::atomic<Frame*> frame __attribute__((tls_model("initial-exec"))) = nullptr;
// While the handler reads a frame: a fault in it then is not the kernel's, and must not come here for ever. Atomic, since the handler runs on
// the thread's fibers too, which the thread sanitizer takes for other threads.
thread_local std::atomic<bool> handling __attribute__((tls_model("initial-exec"))) = false;
thread_local int chained __attribute__((tls_model("initial-exec"))) = 0;

struct sigaction previous[kCount];
std::atomic<bool> installed{false};
std::mutex install_mutex;

int index_of(int signal) {
  for (int i = 0; i < kCount; ++i)
    if (kSignals[i] == signal) return i;
  return -1;
}

std::uintptr_t pc_of(const ucontext_t* context) {
#if defined(__x86_64__)
  return static_cast<std::uintptr_t>(context->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return static_cast<std::uintptr_t>(context->uc_mcontext.pc);
#endif
}

std::uintptr_t stack_of(const ucontext_t* context) {
#if defined(__x86_64__)
  return static_cast<std::uintptr_t>(context->uc_mcontext.gregs[REG_RSP]);
#elif defined(__aarch64__)
  return static_cast<std::uintptr_t>(context->uc_mcontext.sp);
#endif
}

// An inaccessible address so close to the stack pointer is the end of the stack.
constexpr std::uintptr_t kBelowStack = 4096, kAboveStack = std::uintptr_t{1} << 20;

// The handler that was there before, or the default action.
void chain(int signal, siginfo_t* info, void* context) {
  const struct sigaction action = previous[index_of(signal)];
  const bool sent = info->si_code <= 0;
  // A fault is always new (the handler before may have left the last one by a jump). A signal that is sent while the handler before
  // runs is that handler's way to say that it does not want it, as Python's faulthandler does.
  const bool raised_again = sent && chained > 0;
  if (!sent) chained = 0;
  if (action.sa_handler == SIG_IGN && sent) return;
  if (raised_again || action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) {
    // The default action. A fault happens again on return; a signal that was sent must be sent again.
    struct sigaction standard{};
    standard.sa_handler = SIG_DFL;
    sigaction(signal, &standard, nullptr);
    if (sent) raise(signal);
    return;
  }
  ++chained;
  if ((action.sa_flags & SA_SIGINFO) != 0)
    action.sa_sigaction(signal, info, context);
  else
    action.sa_handler(signal);
  --chained;
}

// The words of the stack from its end to the frame of Guard::run; on AArch64 the link register first.
// It reads whatever lies there, other frames' included, which AddressSanitizer would take for an error.
__attribute__((no_sanitize("address")))
void note_callers(const ucontext_t* context, std::uintptr_t outermost, Fault& fault) {
  std::uint32_t n = 0;
#if defined(__aarch64__)
  fault.callers[n++] = static_cast<std::uintptr_t>(context->uc_mcontext.regs[30]);
#endif
  const std::uintptr_t stack = stack_of(context);
  if (!fault.stack && stack < outermost)
    for (std::uintptr_t at = stack; at + sizeof at <= outermost && n < std::size(fault.callers); at += sizeof at)
      fault.callers[n++] = *reinterpret_cast<const std::uintptr_t*>(at);
  fault.caller_count = n;
}

// Sent to threads inside Guard::run by `interrupt_threads`: one of the signals that are handled anyway, marked with this address.
constexpr int kInterrupt = SIGILL;
const char interrupt_mark = 0;

Fault::Cause reached(const Frame& f) {
  if (f.limits == nullptr) return Fault::Cause::none;
  if (f.limits->abandoned != nullptr && f.limits->abandoned->load(std::memory_order_seq_cst) != 0) return Fault::Cause::abandoned;
  if (f.limits->deadline_ns != 0 && now_ns() > f.limits->deadline_ns) return Fault::Cause::timed_out;
  return Fault::Cause::none;
}

[[noreturn]] void jump(Frame* f) {
  handling.store(false, std::memory_order_relaxed);
  Fiber::before_jump(f);
  siglongjmp(f->jump, 1);
}

void handler(int signal, siginfo_t* info, void* context) {
  // A write met memory that is being moved into a file, for other processes to map: it is tried again.
  if (signal == SIGSEGV && info->si_code == SEGV_ACCERR && memory::is_shared(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
    const int error = errno;
    sched_yield();
    errno = error;
    return;
  }
  if (handling.load(std::memory_order_relaxed)) frame.store(nullptr, std::memory_order_relaxed);
  Frame* f = frame.load(std::memory_order_relaxed);
  handling.store(f != nullptr, std::memory_order_relaxed);
  const auto* machine = static_cast<const ucontext_t*>(context);
  if (signal == kInterrupt && info->si_code == SI_QUEUE && info->si_value.sival_ptr == &interrupt_mark) {
    const bool may_leave = f != nullptr && !f->critical && !Fiber::is_switching();  // Critical looks when it ends; who waits calls again
    if (may_leave) f->fault->cause = reached(*f);
    if (!may_leave || f->fault->cause == Fault::Cause::none) {
      handling.store(false, std::memory_order_relaxed);
      return;
    }
    f->fault->pc = pc_of(machine);
    note_callers(machine, reinterpret_cast<std::uintptr_t>(f), *f->fault);
    jump(f);
  }
  // Sent by kill or sigqueue: not a fault of this thread.
  if (f == nullptr || f->fault == nullptr || f->critical || info->si_code <= 0) {
    handling.store(false, std::memory_order_relaxed);
    const int error = errno;
    chain(signal, info, context);
    errno = error;
    return;
  }
  Fault& fault = *f->fault;
  fault.cause = Fault::Cause::signal;
  fault.signal = signal;
  fault.pc = pc_of(machine);
  fault.address = reinterpret_cast<std::uintptr_t>(info->si_addr);
#if defined(__x86_64__)
  constexpr long kPageFault = 14, kGeneralProtection = 13;
  const long trap = machine->uc_mcontext.gregs[REG_TRAPNO];
  fault.write_known = trap == kPageFault;
  fault.write = fault.write_known && (machine->uc_mcontext.gregs[REG_ERR] & 2) != 0;
  // An address that is not canonical is not reported.
  fault.address_known = trap != kGeneralProtection;
  fault.misaligned = signal == SIGBUS && info->si_code == BUS_ADRALN;
#else
  fault.misaligned = signal == SIGBUS && info->si_code == BUS_ADRALN;
#endif
  fault.stack = signal == SIGSEGV && fault.address - (stack_of(machine) - kBelowStack) < kBelowStack + kAboveStack;
  note_callers(machine, reinterpret_cast<std::uintptr_t>(f), fault);
  jump(f);
}

// The threads that may be inside Guard::run. One leaves the list before its `frame` goes.
struct GuardedThread {
  pthread_t thread;
  std::atomic<Frame*>* frame;
};
std::mutex threads_mutex;
std::vector<GuardedThread>& threads() {
  static auto* all = new std::vector<GuardedThread>;  // never destroyed: threads end after static objects
  return *all;
}

// An alternate stack of this thread's, if it has none, and its place in the list of threads. Given back when the thread ends.
struct AlternateStack {
  void* memory = nullptr;
  std::size_t bytes = 0;
  bool ready = false;

  void provide() {
    if (ready) return;
    ready = true;
    {
      const std::lock_guard lock(threads_mutex);
      threads().push_back({pthread_self(), &frame});
    }
    stack_t old{};
    if (sigaltstack(nullptr, &old) == 0 && (old.ss_flags & SS_DISABLE) == 0 && old.ss_size >= (std::size_t{32} << 10)) return;
    bytes = std::size_t{64} << 10;
    memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) {
      memory = nullptr;
      return;
    }
    stack_t stack{};
    stack.ss_sp = memory;
    stack.ss_size = bytes;
    sigaltstack(&stack, nullptr);
  }
  ~AlternateStack() {
    if (ready) {
      const std::lock_guard lock(threads_mutex);
      std::erase_if(threads(), [](const GuardedThread& t) { return t.frame == &frame; });
    }
    if (memory == nullptr) return;
    stack_t now{};
    if (sigaltstack(nullptr, &now) == 0 && now.ss_sp == memory) {
      stack_t none{};
      none.ss_flags = SS_DISABLE;
      sigaltstack(&none, nullptr);
    }
    munmap(memory, bytes);
  }
};
thread_local AlternateStack alternate_stack;
thread_local bool prepared __attribute__((tls_model("initial-exec"))) = false;

// ThreadSanitizer runs handlers with every signal blocked; otherwise the mask is as before, and saving it would be a system call.
#if defined(__SANITIZE_THREAD__)
constexpr int kSaveMask = 1;
#else
constexpr int kSaveMask = 0;
#endif

}  // namespace

bool Guard::run(void (*body)(void*), void* argument, Fault* fault, const Limits* limits) {
  struct Outer {
    Frame* const frame_before = frame.load(std::memory_order_relaxed);
    ~Outer() { frame.store(frame_before, std::memory_order_relaxed); }  // also where an exception leaves `body`
  } const restored;
  Frame here;
  Frame* const outer = restored.frame_before;
  here.fault = fault;
  here.limits = limits;
  if (sigsetjmp(here.jump, kSaveMask) != 0) {
    frame.store(outer, std::memory_order_relaxed);  // before anything else may fault
    Fiber::left_by_jump();
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(0x1f80);
#endif
    return false;
  }
  if (limits == nullptr) {
    frame.store(&here, std::memory_order_relaxed);
  } else {
    // Either `interrupt_threads` sees that this thread is inside, or this thread sees why it was called.
    frame.store(&here, std::memory_order_seq_cst);
    if (limits->abandoned != nullptr && limits->abandoned->load(std::memory_order_seq_cst) != 0) {
      fault->cause = Fault::Cause::abandoned;
      return false;
    }
  }
  body(argument);
  return true;
}

void interrupt_threads() {
  install_fault_handlers();  // where somebody replaced them
  const std::lock_guard lock(threads_mutex);
  sigval mark{};
  mark.sival_ptr = const_cast<char*>(&interrupt_mark);
  for (const GuardedThread& t : threads())
    if (t.frame->load(std::memory_order_seq_cst) != nullptr) pthread_sigqueue(t.thread, kInterrupt, mark);
}

void install_fault_handlers() {
  const std::lock_guard lock(install_mutex);
  for (int i = 0; i < kCount; ++i) {
    struct sigaction now{};
    sigaction(kSignals[i], nullptr, &now);
    if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == handler) continue;
    previous[i] = now;
    struct sigaction own{};
    own.sa_sigaction = handler;
    // The mask stays as it is, so that leaving by a jump needs no system call.
    own.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART;
    sigemptyset(&own.sa_mask);
    sigaction(kSignals[i], &own, nullptr);
  }
  installed.store(true);
}

void keep_fault_handlers() {
  if (!installed.load(std::memory_order_relaxed)) return;
  struct sigaction now{};
  sigaction(SIGSEGV, nullptr, &now);
  if ((now.sa_flags & SA_SIGINFO) == 0 || now.sa_sigaction != handler) install_fault_handlers();
}

void remove_fault_handlers() {
  const std::lock_guard lock(install_mutex);
  if (!installed.exchange(false)) return;
  for (int i = 0; i < kCount; ++i) {
    struct sigaction now{};
    sigaction(kSignals[i], nullptr, &now);
    if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == handler) sigaction(kSignals[i], &previous[i], nullptr);
  }
}

void prepare_thread_for_faults() {
  if (prepared) return;
  prepared = true;
  alternate_stack.provide();
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kSignals) sigaddset(&set, signal);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void Guard::leave(Fault&& fault) {
  Frame* const f = frame.load(std::memory_order_relaxed);
  *f->fault = std::move(fault);
  jump(f);
}

namespace {

// Where this thread's stack ends; 1 where that is not known, or nowhere in sight.
std::uintptr_t end_of_stack() {
  if (syscall(SYS_gettid) == getpid()) {
    // glibc reads all of /proc/self/maps to tell for the main thread, half a millisecond. The program's name lies above its stack.
    rlimit limit{};
    const std::uintptr_t top = getauxval(AT_EXECFN);
    if (top != 0 && getrlimit(RLIMIT_STACK, &limit) == 0) return limit.rlim_cur < top ? top - limit.rlim_cur : 1;
  }
  std::uintptr_t end = 1;
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    void* base = nullptr;
    std::size_t bytes = 0;
    if (pthread_attr_getstack(&attributes, &base, &bytes) == 0) end = reinterpret_cast<std::uintptr_t>(base);
    pthread_attr_destroy(&attributes);
  }
  return end;
}

}  // namespace

bool has_stack_for_kernels() {
  thread_local std::uintptr_t lowest = 0;
  if (lowest == 0) lowest = end_of_stack();
  return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) - lowest >= std::uintptr_t{1} << 20;
}

bool Guard::active() { return frame.load(std::memory_order_relaxed) != nullptr; }

Guard::Critical::Critical() : before_(false) {
  Frame* const f = frame.load(std::memory_order_relaxed);
  if (f == nullptr) return;
  before_ = f->critical;
  f->critical = true;
}

// The service's own objects are gone by now: this one is made before them.
Guard::Critical::~Critical() {
  Frame* const f = frame.load(std::memory_order_relaxed);
  if (f == nullptr) return;
  f->critical = before_;
  if (before_ || f->limits == nullptr) return;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  f->fault->cause = reached(*f);
  if (f->fault->cause != Fault::Cause::none) jump(f);
}

Result result_of(const Fault& fault) {
  switch (fault.cause) {
    case Fault::Cause::none: return Result::success;
    case Fault::Cause::abandoned: return Result::context_is_destroyed;
    case Fault::Cause::timed_out: return Result::launch_timeout;
    case Fault::Cause::deadlock: return Result::launch_failed;
    case Fault::Cause::assertion: return Result::assert_failed;
    case Fault::Cause::signal:
      if (fault.misaligned) return Result::misaligned_address;
      if (fault.signal == SIGILL) return Result::illegal_instruction;
      if (fault.signal == SIGFPE) return Result::launch_failed;
      return fault.stack ? Result::hardware_stack_error : Result::illegal_address;
    case Fault::Cause::trap:
      switch (fault.trap) {
        case abi::Trap::TRAP: case abi::Trap::BREAKPOINT: return Result::launch_failed;
        case abi::Trap::MISALIGNED: return Result::misaligned_address;
        case abi::Trap::BAD_ADDRESS: return Result::illegal_address;
        case abi::Trap::STACK_OVERFLOW: return Result::hardware_stack_error;
        case abi::Trap::UNREACHABLE: return Result::invalid_pc;
        case abi::Trap::INVALID_BARRIER: return Result::illegal_instruction;
      }
  }
  return Result::unknown;
}

}  // namespace anywarp
