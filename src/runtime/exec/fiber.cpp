#include "fiber.h"

#include <atomic>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define ANYWARP_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define ANYWARP_TSAN 1
#endif

// void anywarp_switch_stack(void** save, void* to): saves what a call keeps on this stack and its pointer in *save, and returns on the
// other. A new stack is made to look as if it had been left this way (`to_fiber`). The floating-point environment is not saved: compiled
// code leaves it as it found it at every call.
#if defined(__x86_64__)
asm(R"(
.text
.p2align 4
.hidden anywarp_switch_stack
.globl anywarp_switch_stack
.type anywarp_switch_stack, @function
anywarp_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  retq
.size anywarp_switch_stack, . - anywarp_switch_stack
.p2align 4
.hidden anywarp_start_on_stack
.globl anywarp_start_on_stack
.type anywarp_start_on_stack, @function
anywarp_start_on_stack:
  movq %r12, %rdi
  callq *%r13
  ud2
.size anywarp_start_on_stack, . - anywarp_start_on_stack
)");
#elif defined(__aarch64__)
asm(R"(
.text
.p2align 4
.hidden anywarp_switch_stack
.globl anywarp_switch_stack
.type anywarp_switch_stack, %function
anywarp_switch_stack:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size anywarp_switch_stack, . - anywarp_switch_stack
.p2align 4
.hidden anywarp_start_on_stack
.globl anywarp_start_on_stack
.type anywarp_start_on_stack, %function
anywarp_start_on_stack:
  mov x0, x19
  blr x20
  brk #1
.size anywarp_start_on_stack, . - anywarp_start_on_stack
)");
#else
#error "no stack switch for this processor"
#endif

extern "C" void anywarp_switch_stack(void** save, void* to);
extern "C" void anywarp_start_on_stack();

namespace anywarp {

namespace {

// The fault handler looks at so many bytes above the stack pointer (fault.cpp).
constexpr std::size_t kHeadroom = 4096;

#if defined(ANYWARP_ASAN) || defined(ANYWARP_TSAN)
thread_local std::atomic<Fiber*> running __attribute__((tls_model("initial-exec"))) = nullptr;
thread_local std::atomic<bool> switching __attribute__((tls_model("initial-exec"))) = false;
#define ANYWARP_SWITCHING(value) switching.store(value, std::memory_order_relaxed)
#else
#define ANYWARP_SWITCHING(value) static_cast<void>(0)
#endif

}  // namespace

Fiber::~Fiber() { drop(); }

void Fiber::use(std::uint8_t* stack, std::size_t bytes) {
  drop();
  stack_ = stack;
  bytes_ = bytes;
}

void Fiber::drop() {
  suspended_ = false;
#if defined(ANYWARP_TSAN)
  if (tsan_fiber_ != nullptr) __tsan_destroy_fiber(tsan_fiber_);
  tsan_fiber_ = nullptr;
#endif
}

void Fiber::enter(void* argument) {
  auto& self = *static_cast<Fiber*>(argument);
#if defined(ANYWARP_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &self.thread_stack_, &self.thread_bytes_);
#endif
  ANYWARP_SWITCHING(false);
  self.value_ = self.body_(self.argument_);
  self.suspended_ = false;
  self.to_thread(true);
}

__attribute__((noinline)) void Fiber::to_fiber() {
  ANYWARP_SWITCHING(true);
#if defined(ANYWARP_ASAN) || defined(ANYWARP_TSAN)
  running.store(this, std::memory_order_relaxed);
#endif
#if defined(ANYWARP_ASAN)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack_, bytes_);
#endif
#if defined(ANYWARP_TSAN)
  tsan_thread_ = __tsan_get_current_fiber();
  if (tsan_fiber_ == nullptr) tsan_fiber_ = __tsan_create_fiber(0);
  __tsan_switch_to_fiber(tsan_fiber_, 0);
#endif
  anywarp_switch_stack(&thread_sp_, fiber_sp_);
#if defined(ANYWARP_ASAN)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
#if defined(ANYWARP_ASAN) || defined(ANYWARP_TSAN)
  running.store(nullptr, std::memory_order_relaxed);
#endif
  ANYWARP_SWITCHING(false);
}

__attribute__((noinline)) void Fiber::to_thread(bool ends) {
  ANYWARP_SWITCHING(true);
#if defined(ANYWARP_ASAN)
  __sanitizer_start_switch_fiber(ends ? nullptr : &fake_stack_, thread_stack_, thread_bytes_);
#else
  (void)ends;
#endif
#if defined(ANYWARP_TSAN)
  __tsan_switch_to_fiber(tsan_thread_, 0);
#endif
  anywarp_switch_stack(&fiber_sp_, thread_sp_);
#if defined(ANYWARP_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack_, &thread_stack_, &thread_bytes_);
#endif
  ANYWARP_SWITCHING(false);
}

std::uint32_t Fiber::run(Body body, void* argument) {
  if (!suspended_) {
    body_ = body;
    argument_ = argument;
    // What anywarp_switch_stack takes off: the registers, and where it returns to. The address where the callee's frame begins is then a
    // multiple of 16, as the calling conventions want it.
    auto* top = reinterpret_cast<void**>(reinterpret_cast<std::uintptr_t>(stack_ + bytes_ - kHeadroom) & ~std::uintptr_t{15});
#if defined(__x86_64__)
    void** frame = top - 9;
    for (int i = 0; i < 9; ++i) frame[i] = nullptr;
    frame[2] = reinterpret_cast<void*>(&Fiber::enter);  // r13
    frame[3] = this;                                    // r12
    frame[6] = reinterpret_cast<void*>(&anywarp_start_on_stack);
#else
    void** frame = top - 20;
    for (int i = 0; i < 20; ++i) frame[i] = nullptr;
    frame[0] = this;                                     // x19
    frame[1] = reinterpret_cast<void*>(&Fiber::enter);   // x20
    frame[11] = reinterpret_cast<void*>(&anywarp_start_on_stack);  // x30
#endif
    fiber_sp_ = frame;
    suspended_ = true;
#if defined(ANYWARP_ASAN)
    __asan_unpoison_memory_region(stack_, bytes_);  // what was dropped there left its marks
#endif
  }
  to_fiber();
  return value_;
}

void Fiber::suspend(std::uint32_t value) {
  value_ = value;
  to_thread(false);
}

bool Fiber::holds(const void* address) const {
  return reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(stack_) < bytes_;
}

// A service that reads the kernel's memory may jump within the fiber; then it goes on to run.

void Fiber::before_jump([[maybe_unused]] const void* to) {
#if defined(ANYWARP_TSAN)  // which looks for the target among those of the running fiber
  Fiber* const fiber = running.load(std::memory_order_relaxed);
  if (fiber == nullptr || fiber->holds(to)) return;
  __tsan_switch_to_fiber(fiber->tsan_thread_, 0);
  running.store(nullptr, std::memory_order_relaxed);
#endif
}

bool Fiber::is_switching() {
#if defined(ANYWARP_ASAN) || defined(ANYWARP_TSAN)
  return switching.load(std::memory_order_relaxed);
#else
  return false;
#endif
}

void Fiber::left_by_jump() {
#if defined(ANYWARP_ASAN)
  Fiber* const fiber = running.load(std::memory_order_relaxed);
  if (fiber == nullptr || fiber->holds(__builtin_frame_address(0))) return;
  __sanitizer_start_switch_fiber(nullptr, fiber->thread_stack_, fiber->thread_bytes_);
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
  running.store(nullptr, std::memory_order_relaxed);
#endif
}

}  // namespace anywarp
