// Faults in compiled code become errors of the context, never signals of the process; and compiled code can be stopped from outside.
//
// A handler for SIGSEGV, SIGBUS, SIGFPE and SIGILL is installed when the engine starts. A fault is ours if the thread is inside
// `Guard::run`, which runs nothing but compiled code, the scheduler of its warps, C functions that it calls, and copies of the user's
// memory; then the handler jumps back to `Guard::run`. Services run with `Critical`, where a fault is the runtime's own. All other faults
// go to the handler that was there before, or to the default action. What runs inside holds no locks and no destructors, so
// leaving it is safe.
//
// Whoever wants such code to end early sets what `Limits` names and calls `interrupt_threads`: each thread that is inside gets a signal, looks
// at its limits, and jumps. Nothing is polled, and a loop without memory accesses ends as well.
#pragma once

#include <atomic>
#include <csetjmp>
#include <cstdint>
#include <functional>
#include <string>

#include "abi.h"
#include "result.h"

namespace anywarp {

struct Fault {
  enum class Cause { none, signal, trap, assertion, deadlock, abandoned, timed_out };
  Cause cause = Cause::none;
  int signal = 0;
  std::uintptr_t pc = 0;       // signal: where; trap: where the service was called
  std::uintptr_t address = 0;  // signal: of the access
  bool address_known = true, write = false, write_known = false;
  bool misaligned = false;     // a bus error of that kind
  bool stack = false;          // the end of a call stack: the thread's, or one of the CTA's (set by who knows those)
  abi::Trap trap = abi::Trap::TRAP;
  std::uint32_t line = 0;  // of the PTX text, where it is known without the pc
  std::uint64_t detail = 0;
  std::uint32_t lanes = 0;  // who is to blame; 0: not known. Trap: the lanes that the service was called for
  // Signal: what may be return addresses, the innermost first. A function of the object that has no lines was called by one that has.
  std::uintptr_t callers[192];
  std::uint32_t caller_count = 0;
  std::string text;         // assertion: the message that was printed
};

// Installs the handlers; again where somebody replaced them: that handler is then the one that gets the other faults.
void install_fault_handlers();
// Installs them again if the handler of SIGSEGV is another's (Python's faulthandler, say). One system call.
void keep_fault_handlers();
void remove_fault_handlers();
// Gives the calling thread an alternate stack and unblocks the signals. Once per thread; cheap afterwards.
void prepare_thread_for_faults();
// Does the calling thread have stack enough for a kernel (1 MiB)?
bool has_stack_for_kernels();

// Why code inside `Guard::run` has to end early.
struct Limits {
  const std::atomic<std::uint32_t>* abandoned = nullptr;  // not zero: at once
  std::uint64_t deadline_ns = 0;                          // by now_ns(); 0: none
};

// Makes every thread inside `Guard::run` look at its limits. One that is in a service does so at the service's end.
void interrupt_threads();

class Guard {
 public:
  // Calls body(argument). False if it was left by a fault, which `fault` then describes. Not reentrant within a thread's guarded code.
  static bool run(void (*body)(void*), void* argument, Fault* fault, const Limits* limits = nullptr);
  // Leaves the innermost `run` of this thread. Called by services.
  [[noreturn]] static void leave(Fault&& fault);
  static bool active();

  // While it lives, faults are not the kernel's: the runtime's own code runs, perhaps with locks held.
  class Critical {
   public:
    Critical();
    ~Critical();
    Critical(const Critical&) = delete;
    Critical& operator=(const Critical&) = delete;

   private:
    bool before_;
  };
};

// The error code and the text that describe a fault of a kernel.
Result result_of(const Fault& fault);

}  // namespace anywarp
