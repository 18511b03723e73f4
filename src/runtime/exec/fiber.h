// A stack of its own for code that must stop in the middle: a warp of a kernel in which a function that is called, not inlined, waits.
//
// `run` goes over to the fiber's stack and comes back when the code there returns, or calls `suspend`; then the next `run` goes on behind
// that call, perhaps on another thread. What runs on a fiber may be left by a long jump (fault.h): nothing on its stack needs to be
// destroyed, and `drop` forgets it. Kernels without such functions never come here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace anywarp {

class Fiber {
 public:
  using Body = std::uint32_t (*)(void* argument);

  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The stack, which the caller owns; what was suspended on the one before is forgotten.
  void use(std::uint8_t* stack, std::size_t bytes);
  // Starts body(argument), or lets what is suspended go on. Gives what the body returned or what was given to `suspend`.
  std::uint32_t run(Body body, void* argument);
  // Called on the fiber.
  void suspend(std::uint32_t value);
  bool is_suspended() const { return suspended_; }
  // Forgets what runs or is suspended there.
  void drop();

  // For the sanitizers: before a long jump, whose target's frame is at `to`, and behind one.
  static void before_jump(const void* to);
  static void left_by_jump();
  // Between what the sanitizers are told before a switch and after it, where no jump may begin.
  static bool is_switching();

 private:
  static void enter(void* self);
  bool holds(const void* address) const;
  void to_fiber();
  void to_thread(bool ends);

  std::uint8_t* stack_ = nullptr;
  std::size_t bytes_ = 0;
  void* fiber_sp_ = nullptr;   // of the suspended code
  void* thread_sp_ = nullptr;  // of the code that called `run`
  Body body_ = nullptr;
  void* argument_ = nullptr;
  std::uint32_t value_ = 0;
  bool suspended_ = false;
  // For the sanitizers.
  void *tsan_fiber_ = nullptr, *tsan_thread_ = nullptr, *fake_stack_ = nullptr;
  const void* thread_stack_ = nullptr;
  std::size_t thread_bytes_ = 0;
};

}  // namespace anywarp
