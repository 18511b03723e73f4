// The compiler client against a child that crashes, hangs, lies or is killed.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <thread>

#include "harness.h"

using namespace anywarp;
using namespace test;

namespace {

struct Fake {
  std::string counter = temporary_directory() + "/starts";
  CompilerClient client;
  explicit Fake(const std::string& mode, double timeout = 60)
      : client({{PYTHON, TEST_DIR "/fake_compiler.py", mode, counter}, {}, timeout}) {}

  int starts() const {
    std::ifstream in(counter);
    int n = 0;
    for (std::string line; std::getline(in, line);) ++n;
    return n;
  }
  Result load(const std::string& image, Bytes* out, std::string* log = nullptr) {
    const ByteSpan bytes(reinterpret_cast<const std::uint8_t*>(image.data()), image.size());
    return client.load(sha256(bytes), sha256(bytes), bytes, 80, out, log);
  }
};

std::string text(const Bytes& bytes) { return {bytes.begin(), bytes.end()}; }

TEST(requests_are_answered) {
  Fake f("good");
  CHECK_EQUAL(f.client.child(), 0);
  Bytes out;
  OK(f.load("abc", &out));
  CHECK_EQUAL(text(out), "cba");
  CHECK(f.client.child() != 0);
  const Digest digest = sha256(Bytes{'a', 'b', 'c'});
  OK(f.client.compile(digest, digest, "entry", "line", &out, nullptr));
  Reader in(out);
  CHECK_EQUAL(in.str(), "entry");
  CHECK_EQUAL(in.str(), "line");
  f.client.unload(digest);
  std::string log;
  CHECK_EQUAL(f.client.compile(digest, digest, "entry", "line", &out, &log), Result::not_found);
  OK(f.client.link({{"a", ByteSpan()}}, 80, 0, &out, nullptr));
  CHECK_EQUAL(text(out), "linked");
  CHECK_EQUAL(f.load("bad", &out, &log), Result::invalid_ptx);
  CHECK_EQUAL(log, "line 3, column 7: expected ';'");
  const std::string big(20 << 20, 'x');  // more than any socket buffer
  OK(f.load(big, &out));
  CHECK_EQUAL(out.size(), big.size());
  CHECK_EQUAL(f.starts(), 1);
}

TEST(a_crash_is_survived_once) {
  Fake once("crash-once");
  Bytes out;
  OK(once.load("abc", &out));
  CHECK_EQUAL(once.starts(), 2);
  Fake always("crash");
  std::string log;
  CHECK(always.load("abc", &out, &log) != Result::success);
  CHECK(log.find("ended unexpectedly") != std::string::npos);
  CHECK_EQUAL(always.starts(), 2);
  CHECK(always.load("abc", &out, &log) != Result::success);
  CHECK_EQUAL(always.starts(), 4);
}

TEST(a_killed_child_is_replaced) {
  Fake f("good");
  Bytes out;
  OK(f.load("abc", &out));
  for (int i = 0; i < 3; ++i) {
    kill(f.client.child(), SIGKILL);
    OK(f.load("abc", &out));
    CHECK_EQUAL(text(out), "cba");
  }
  // Also if the program reaps it behind our back.
  const pid_t old = f.client.child();
  kill(old, SIGKILL);
  CHECK_EQUAL(waitpid(-1, nullptr, 0), old);
  OK(f.load("abc", &out));
}

TEST(a_child_that_hangs_costs_one_error) {
  Fake f("hang", 0.5);
  Bytes out;
  std::string log;
  CHECK(f.load("abc", &out, &log) != Result::success);
  CHECK(log.find("did not answer in time") != std::string::npos);
  CHECK_EQUAL(f.client.child(), 0);
  CHECK_EQUAL(waitpid(-1, nullptr, WNOHANG), -1);  // and no zombie
}

TEST(nonsense_is_an_error) {
  for (const char* mode : {"garbage", "huge", "partial", "wrong-type"}) {
    Fake f(mode, 2);
    Bytes out;
    std::string log;
    CHECK(f.load("abc", &out, &log) != Result::success);
    CHECK(!log.empty());
  }
}

TEST(a_missing_interpreter_is_an_error) {
  CompilerClient client({{"/no/such/python"}, {}, 5});
  Bytes out;
  std::string log;
  const Digest d{};
  CHECK_EQUAL(client.load(d, d, {}, 80, &out, &log), Result::jit_compiler_not_found);
  CHECK(!log.empty());
}

TEST(the_child_inherits_nothing_but_its_socket) {
  setenv("LD_PRELOAD", "", 1);
  int pipes[2];
  CHECK_EQUAL(pipe(pipes), 0);
  Fake f("environment");
  Bytes out;
  OK(f.load("x", &out));
  unsetenv("LD_PRELOAD");
  // 0, 1, 2, the socket, and the directory that lists them.
  CHECK_EQUAL(text(out), "None 1 [0, 1, 2, 3] 5 True");
  close(pipes[0]);
  close(pipes[1]);
}

TEST(signals_of_the_program_stay_its_own) {
  sigset_t mask, now;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &mask, nullptr);
  {
    Fake f("crash");
    Bytes out;
    CHECK(f.load("abc", &out) != Result::success);  // writes to a closed socket: no SIGPIPE
  }
  pthread_sigmask(SIG_BLOCK, nullptr, &now);
  CHECK(sigismember(&now, SIGUSR1) == 1 && sigismember(&now, SIGSEGV) == 0);
  pthread_sigmask(SIG_UNBLOCK, &mask, nullptr);
}

TEST(a_fork_gets_a_clear_error) {
  Fake f("good");
  Bytes out;
  OK(f.load("abc", &out));
  const pid_t pid = fork();
  if (pid == 0) {
    std::string log;
    const bool right = f.load("abc", &out, &log) == Result::not_initialized && log.find("fork") != std::string::npos;
    _exit(right ? 7 : 8);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
  OK(f.load("abc", &out));
  CHECK_EQUAL(f.starts(), 1);
}

TEST(many_threads_ask) {
  Fake f("good");
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string image = std::to_string(t) + "-" + std::to_string(i);
        Bytes out;
        OK(f.load(image, &out));
        CHECK_EQUAL(text(out), std::string(image.rbegin(), image.rend()));
      }
    });
  for (auto& t : threads) t.join();
  CHECK_EQUAL(f.starts(), 1);
}

TEST(the_child_ends_with_the_client) {
  pid_t pid = 0;
  {
    Fake f("good");
    Bytes out;
    OK(f.load("abc", &out));
    pid = f.client.child();
  }
  CHECK(kill(pid, 0) != 0);
}

TEST(a_module_is_loaded_again_for_a_new_child) {
  // The manifest comes from the cache, the kernel must be compiled: the child says that it does not know the module.
  const std::string counter = temporary_directory() + "/starts";
  Fixture f(1, {{PYTHON, TEST_DIR "/fake_compiler.py", "good", counter}, {}, 60});
  const auto module = f.module({{"k_empty", {}}});
  for (int v = 0; v < 12; ++v) {
    const std::string image = "image 0";
    const ByteSpan bytes(reinterpret_cast<const std::uint8_t*>(image.data()), image.size());
    const Digest key = module_key(f.engine().fingerprint(), 80, sha256(bytes));
    unlink(f.engine().cache().path(Cache::Kind::kernel, kernel_key(key, f.engine().processor(), "k_empty", variant_name(v))).c_str());
  }
  const KernelCode* code = nullptr;
  std::string log;
  // The fake's answer is no kernel manifest, which shows that it was asked and answered.
  CHECK_EQUAL(module->kernel("k_empty")->any_code(&code, &log), Result::unknown);
  CHECK_EQUAL(log, "anywarp: kernel 'k_empty': damaged kernel manifest");
}

}  // namespace
