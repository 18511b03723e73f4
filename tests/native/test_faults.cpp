// Faults in kernels become errors of the context; services; faults that are not ours stay the program's.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csetjmp>
#include <cstring>
#include <fstream>

#include "exec/services.h"
#include "harness.h"

using namespace anywarp;
using namespace test;

namespace {

constexpr std::uint32_t kStepped = KernelManifest::stepped;

// The line of kernels.cpp that holds a text.
unsigned line_of(const std::string& text) {
  std::ifstream in(KERNEL_SOURCE);
  unsigned number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.find(text) != std::string::npos) return number;
  }
  return 0;
}

bool has(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return true;
  std::fprintf(stderr, "'%s' is not in '%s'\n", part.c_str(), text.c_str());
  return false;
}

// What is written to a descriptor while `body` runs.
template <typename F>
std::string captured(int descriptor, F body) {
  std::fflush(nullptr);
  char name[] = "/tmp/anywarp-capture-XXXXXX";
  const int file = mkstemp(name), saved = dup(descriptor);
  dup2(file, descriptor);
  body();
  std::fflush(nullptr);
  dup2(saved, descriptor);
  close(saved);
  std::string text(1 << 20, 0);
  const ssize_t n = pread(file, text.data(), text.size(), 0);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  close(file);
  unlink(name);
  return text;
}

TEST(a_stray_write_is_an_illegal_address) {
  Fixture f(2);
  Kernel& k = f.kernel({"k_write", {8, 4}});
  for (const std::uint32_t grid : {1u, 1000u}) {
    f.fresh_context();
    auto* p = f.allocate<std::uint32_t>(1 << 18);
    auto* bad = p + (1 << 18) + 8192;
    CHECK_EQUAL(launch(*f.context().legacy(), k, shape(grid, 64), bad, grid - 1), Result::success);
    CHECK_EQUAL(f.context().legacy()->synchronize(), Result::illegal_address);
    const std::string m = f.context().message();
    CHECK(has(m, "kernel 'k_write': illegal write to address 0x"));
    CHECK(has(m, "PTX line " + std::to_string(line_of("k_write faults here"))));
    CHECK(has(m, "block [" + std::to_string(grid - 1) + ",0,0], one of threads [32,0,0] to [63,0,0] (warp 1)"));
    CHECK(has(m, "32768 bytes past the end of the device allocation at 0x"));
    // The error stays.
    CHECK_EQUAL(launch(*f.context().legacy(), k, shape(1, 32), bad, 0u), Result::illegal_address);
    CHECK_EQUAL(f.context().synchronize(), Result::illegal_address);
    Event e;
    CHECK_EQUAL(e.record(*f.context().legacy()), Result::illegal_address);
  }
  // Null, not canonical, freed.
  void* freed = nullptr;
  OK(f.engine().arena().allocate(0, 1 << 20, 256, memory::Kind::device, nullptr, 0, &freed));
  OK(f.engine().arena().free(freed));
  for (void* address : {static_cast<void*>(nullptr), reinterpret_cast<void*>(0x1234567890abcdef), freed}) {
    f.fresh_context();
    OK(launch(*f.context().legacy(), k, shape(1, 32), address, 0u));
    CHECK_EQUAL(f.context().synchronize(), Result::illegal_address);
  }
  // And the process goes on.
  f.fresh_context();
  auto* good = f.allocate<std::uint32_t>(1);
  OK(launch(*f.context().legacy(), k, shape(1, 32), good, 0u));
  OK(f.context().synchronize());
  CHECK_EQUAL(*good, 7u);
}

TEST(later_work_of_a_failed_context_does_not_run) {
  Fixture f(2);
  Kernel& bad = f.kernel({"k_write", {8, 4}});
  Kernel& count = f.kernel({"k_count", {8, 4}});
  auto* hits = f.allocate<std::uint32_t>(1);
  const StreamRef s = f.context().create_stream();
  std::atomic<bool> open{false};
  OK(s->task([&](Result) {
    while (!open.load()) usleep(100);
  }, Where::pool));
  OK(launch(*s, bad, shape(1, 32), static_cast<void*>(nullptr), 0u));
  OK(launch(*s, count, shape(1, 32), hits, 0u));
  Result seen = Result::success;
  OK(s->task([&](Result r) { seen = r; }));
  open = true;
  CHECK_EQUAL(s->synchronize(), Result::illegal_address);
  CHECK_EQUAL(seen, Result::illegal_address);
  CHECK_EQUAL(*hits, 0u);
}

TEST(traps_have_their_codes) {
  Fixture f(2);
  Kernel& k = f.kernel({"k_trap", {4, 8}});
  struct {
    abi::Trap trap;
    Result result;
    const char* text;
  } expected[] = {
      {abi::Trap::TRAP, Result::launch_failed, "trap"},
      {abi::Trap::BREAKPOINT, Result::launch_failed, "breakpoint"},
      {abi::Trap::MISALIGNED, Result::misaligned_address, "misaligned address 0x1235"},
      {abi::Trap::BAD_ADDRESS, Result::illegal_address, "address 0x1235 outside"},
      {abi::Trap::STACK_OVERFLOW, Result::hardware_stack_error, "call stack overflow"},
      {abi::Trap::UNREACHABLE, Result::invalid_pc, "PTX defines nothing"},
      {abi::Trap::INVALID_BARRIER, Result::illegal_instruction, "invalid barrier"},
  };
  for (const auto& e : expected) {
    f.fresh_context();
    LaunchShape s;
    s.block[0] = 4;
    s.block[1] = 8;
    OK(launch(*f.context().legacy(), k, s, static_cast<std::uint32_t>(e.trap), std::uint64_t{0x1235}));
    CHECK_EQUAL(f.context().synchronize(), e.result);
    CHECK(has(f.context().message(), e.text));
    CHECK(has(f.context().message(), "block [0,0,0], thread [1,1,0]"));
    CHECK(has(f.context().message(), "PTX line " + std::to_string(line_of("l->services->trap(l, c, 1u << 5"))));
  }
}

TEST(a_stepped_kernel_traps) {
  for (const int threads : {1, 3}) {
    Fixture f(threads);
    Kernel& k = f.kernel({"k_stepped_trap", {}, kStepped});
    OK(launch(*f.context().legacy(), k, shape(500, 96)));
    CHECK_EQUAL(f.context().synchronize(), Result::launch_failed);
    CHECK(has(f.context().message(), "block [3,0,0], thread [32,0,0] and 31 more of warp 1"));
  }
}

TEST(a_deadlock_is_reported) {
  Fixture f(2);
  Kernel& k = f.kernel({"k_deadlock", {}, kStepped});
  OK(launch(*f.context().legacy(), k, shape(4, 64)));
  CHECK_EQUAL(f.context().synchronize(), Result::launch_failed);
  CHECK(has(f.context().message(), "kernel 'k_deadlock': deadlock"));
}

TEST(an_endless_recursion_is_a_stack_error) {
  Fixture f(2);
  Kernel& k = f.kernel({"k_recurse", {4}});
  OK(launch(*f.context().legacy(), k, shape(1, 32), 10u));
  OK(f.context().synchronize());
  // On a worker and on the thread that waits.
  for (const bool helper : {true, false}) {
    f.fresh_context();
    OK(launch(*f.context().legacy(), k, shape(1, 32), 1u << 30));
    if (!helper) usleep(20'000);
    CHECK_EQUAL(f.context().synchronize(), Result::hardware_stack_error);
    CHECK(has(f.context().message(), "stack"));
  }
}

TEST(a_copy_from_nowhere_is_an_error) {
  Fixture f(2);
  auto* p = f.allocate<std::uint8_t>(4 << 20);
  OK(f.context().legacy()->copy({p, reinterpret_cast<const void*>(0x1000), 4 << 20}));
  CHECK_EQUAL(f.context().synchronize(), Result::illegal_address);
  CHECK(has(f.context().message(), "a copy reads from address 0x10"));
}

TEST(printf_formats_and_flushes_at_synchronisation) {
  Fixture f(2);
  Kernel& k = f.kernel({"k_printf", {8, 8}});
  static const char format[] = "[%d %5.2f %s %%]\n";
  static const char name[] = "abc";
  const std::string text = captured(1, [&] {
    std::printf("before\n");
    OK(launch(*f.context().legacy(), k, shape(2, 32), format, name));
    OK(f.context().synchronize());
    std::printf("after\n");
  });
  CHECK_EQUAL(text, "before\n[0  0.50 abc %]\n[20  2.50 abc %]\n[0  0.50 abc %]\n[20  2.50 abc %]\nafter\n");
  OK(launch(*f.context().legacy(), k, shape(1, 32), format, reinterpret_cast<const char*>(0x10)));
  CHECK_EQUAL(f.context().synchronize(), Result::illegal_address);
  CHECK(has(f.context().message(), "kernel 'k_printf': illegal read from address 0x10"));
}

// The packed arguments of one call.
struct Buffer {
  std::vector<std::uint8_t> data;
  template <typename T>
  Buffer& add(T value) {
    while (data.size() % sizeof value != 0) data.push_back(0);
    const auto* p = reinterpret_cast<const std::uint8_t*>(&value);
    data.insert(data.end(), p, p + sizeof value);
    return *this;
  }
};

TEST(printf_conversions) {
  const auto format = [](const char* text, const Buffer& buffer, int expected_used) {
    std::string out;
    Fault fault;
    CHECK_EQUAL(format_printf(text, buffer.data.data(), &out, &fault), expected_used);
    return out;
  };
  CHECK_EQUAL(format("plain", {}, 0), "plain");
  CHECK_EQUAL(format("%d%%%i", Buffer().add(-5).add(7), 2), "-5%7");
  CHECK_EQUAL(format("%u %x %X %o %#x", Buffer().add(~0u).add(255u).add(255u).add(8u).add(16u), 5), "4294967295 ff FF 10 0x10");
  CHECK_EQUAL(format("%d %lld %ld %zu", Buffer().add(1).add(-1ll).add(1l << 40).add(std::size_t{9}), 4), "1 -1 1099511627776 9");
  CHECK_EQUAL(format("%hd %hhu", Buffer().add(65537).add(257u), 2), "1 1");
  CHECK_EQUAL(format("%c%c", Buffer().add(int{'a'}).add(int{'b'}), 2), "ab");
  CHECK_EQUAL(format("%*d|%-*d|%.*f", Buffer().add(5).add(42).add(5).add(42).add(2).add(3.14159), 6), "   42|42   |3.14");
  CHECK_EQUAL(format("%+.3e %g %a", Buffer().add(12345.678).add(0.5).add(1.0), 3), "+1.235e+04 0.5 0x1p+0");
  CHECK_EQUAL(format("%5s|%-5s|%.2s|%s", Buffer().add("abc").add("abc").add("abc").add(static_cast<const char*>(nullptr)), 4),
              "  abc|abc  |ab|(null)");
  CHECK_EQUAL(format("%p", Buffer().add(std::uint64_t{0xdead}), 1), "0xdead");
  CHECK_EQUAL(format("%y %", {}, 0), "%y %");
  std::string out;
  Fault fault;
  CHECK_EQUAL(format_printf(nullptr, nullptr, &out, &fault), -1);
}

TEST(kernels_allocate_memory) {
  Fixture f(2);
  Kernel& k = f.kernel({"k_malloc", {8, 8}});
  auto* failures = f.allocate<std::uint32_t>(1);
  OK(launch(*f.context().legacy(), k, shape(200, 32), failures, std::uint64_t{100}));
  OK(f.context().synchronize());
  CHECK_EQUAL(*failures, 0u);
  CHECK_EQUAL(f.context().heap_used.load(), 0u);
  f.context().heap_bytes = 1000;
  OK(launch(*f.context().legacy(), k, shape(1, 32), failures, std::uint64_t{100}));
  OK(f.context().synchronize());
  CHECK_EQUAL(*failures, 22u);
  CHECK_EQUAL(f.context().heap_used.load(), 0u);
}

TEST(assertions_print_as_cuda_does) {
  Fixture f(2);
  Kernel& k = f.kernel({"k_assert", {8, 8, 8}});
  const std::string text = captured(2, [&] {
    OK(launch(*f.context().legacy(), k, shape(1, 64), "x > 0", "file.cu", "void k(int)"));
    CHECK_EQUAL(f.context().synchronize(), Result::assert_failed);
  });
  CHECK(has(text, "file.cu:42: void k(int): block: [0,0,0], thread: [35,0,0] Assertion `x > 0` failed.\n"));
}

sigjmp_buf own_jump;
int own_faults = 0;

TEST(the_programs_own_handler_gets_its_own_faults) {
  struct sigaction own{}, before{};
  own.sa_handler = [](int) {
    ++own_faults;
    siglongjmp(own_jump, 1);
  };
  own.sa_flags = SA_NODEFER;
  sigaction(SIGSEGV, &own, &before);
  {
    Fixture f(2);
    install_fault_handlers();
    Kernel& k = f.kernel({"k_write", {8, 4}});
    OK(launch(*f.context().legacy(), k, shape(1, 32), static_cast<void*>(nullptr), 0u));
    CHECK_EQUAL(f.context().synchronize(), Result::illegal_address);
    CHECK_EQUAL(own_faults, 0);
    if (sigsetjmp(own_jump, 1) == 0) {
      *static_cast<volatile int*>(nullptr) = 1;
    }
    CHECK_EQUAL(own_faults, 1);
    remove_fault_handlers();
  }
  sigaction(SIGSEGV, &before, nullptr);
  install_fault_handlers();
}

// What becomes of a process that does this.
template <typename F>
int status_of(F body) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    const int nothing = open("/dev/null", O_WRONLY);
    dup2(nothing, 2);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return status;
}

TEST(a_handler_that_comes_later_does_not_take_kernels_faults) {
  // As Python's faulthandler does when it is enabled after the first launch.
  Fixture f(2);
  Kernel& k = f.kernel({"k_write", {8, 4}});
  OK(launch(*f.context().legacy(), k, shape(1, 32), f.allocate<std::uint32_t>(1), 0u));
  OK(f.context().synchronize());
  struct sigaction own{}, standard{};
  own.sa_handler = [](int) {
    ++own_faults;
    siglongjmp(own_jump, 1);
  };
  own.sa_flags = SA_NODEFER;
  sigaction(SIGSEGV, &own, nullptr);
  own_faults = 0;
  OK(launch(*f.context().legacy(), k, shape(1, 32), static_cast<void*>(nullptr), 0u));
  CHECK_EQUAL(f.context().synchronize(), Result::illegal_address);
  CHECK_EQUAL(own_faults, 0);
  if (sigsetjmp(own_jump, 1) == 0) *static_cast<volatile int*>(nullptr) = 1;
  CHECK_EQUAL(own_faults, 1);
  remove_fault_handlers();
  standard.sa_handler = SIG_DFL;
  sigaction(SIGSEGV, &standard, nullptr);
  install_fault_handlers();
}

TEST(a_thread_with_a_small_stack_lets_workers_run_kernels) {
  Fixture f(2);
  Kernel& k = f.kernel({"k_recurse", {4}});
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 128 << 10);
  struct Call {
    Fixture* f;
    Kernel* k;
  } call{&f, &k};
  pthread_t thread{};
  CHECK_EQUAL(pthread_create(&thread, &attributes, [](void* p) -> void* {
    const auto& c = *static_cast<Call*>(p);
    OK(launch(*c.f->context().legacy(), *c.k, shape(1, 32), 500u));  // 2 MiB of stack
    OK(c.f->context().legacy()->synchronize());
    return nullptr;
  }, &call), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

TEST(faults_that_nobody_wants_end_the_process) {
  install_fault_handlers();
  int status = status_of([] { *static_cast<volatile int*>(nullptr) = 1; });
#if !defined(__SANITIZE_ADDRESS__)
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  status = status_of([] { kill(getpid(), SIGSEGV); });
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
#endif
  status = status_of([] { kill(getpid(), SIGTERM); });
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

#if !defined(__SANITIZE_THREAD__)  // which reports threads that run at exit, and that is what is tested
TEST(the_process_ends_while_kernels_run) {
  for (int i = 0; i < 10; ++i) {
    const int status = status_of([i] {
      auto* f = new Fixture(3);
      Kernel& k = f->kernel({"k_count", {8, 4}});
      Kernel& w = f->kernel({"k_wait_value", {8, 4, 4}, kStepped});
      auto* hits = f->allocate<std::uint32_t>(1000);
      const StreamRef s = f->context().create_stream();
      for (int n = 0; n < 20; ++n) OK(launch(*f->context().legacy(), k, shape(1000, 32), hits, 1'000'000u));
      OK(launch(*s, w, shape(1, 32), hits, 12345u, 0u));
      usleep(i * 1000);
      f->engine().stop();
      std::exit(3);
    });
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3);
  }
}
#endif

}  // namespace
