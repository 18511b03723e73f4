// Faults in compiled code become errors of the context, never signals of the process.
//
// A handler for SIGSEGV, SIGBUS, SIGFPE and SIGILL is installed when the engine starts. A fault is ours if the thread is inside
// `Guard::run` and the program counter is in kernel code (or the thread declared that it touches the user's memory on behalf of
// a kernel or copy); then the handler jumps back to `Guard::run`. All other faults go to the handler that was there before, or to the
// default action. Compiled code holds no locks and no destructors, so leaving it is safe.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <functional>
#include <string>

#include "abi.h"
#include "result.h"

namespace anywarp {

struct Fault {
  enum class Cause { none, signal, trap, assertion, cancelled };
  Cause cause = Cause::none;
  int signal = 0;
  std::uintptr_t pc = 0;       // signal: where; trap: where the service was called
  std::uintptr_t address = 0;  // signal: of the access
  bool write = false, write_known = false;
  abi::Trap trap = abi::Trap::TRAP;
  std::uint64_t detail = 0;
  std::uint32_t lanes = 0;  // trap: the active lanes
  std::string text;         // assertion: the message that was printed
};

// Installs the handlers; again after somebody replaced them (cheap: looks first).
void install_fault_handlers();
void remove_fault_handlers();
// Gives the calling thread an alternate stack and unblocks the signals. Once per thread; cheap afterwards.
void prepare_thread_for_faults();

class Guard {
 public:
  // Calls body(argument). False if it was left by a fault, which `fault` then describes. Not reentrant within a thread's guarded code.
  static bool run(void (*body)(void*), void* argument, Fault* fault);
  // As `run`, for code of the runtime that touches the user's memory (copies, fills): any SIGSEGV or SIGBUS in it is a fault.
  static bool run_access(void (*body)(void*), void* argument, Fault* fault);
  // Leaves the innermost `run` of this thread. Called by services.
  [[noreturn]] static void leave(Fault&& fault);
  static bool active();
  // A service reads the user's memory here (printf's strings): faults count as the kernel's.
  static void set_access(bool on);
};

// The error code and the text that describe a fault of a kernel.
Result result_of(const Fault& fault);

}  // namespace anywarp
