#include "compiler_client.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>

#include "cache.h"

extern "C" char** environ;

namespace anywarp {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kChildSocket = 3;
constexpr std::size_t kMaxLog = std::size_t{1} << 20;

std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

bool is_file(const std::string& path) {
  struct stat info{};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool is_program(const std::string& path) { return is_file(path) && access(path.c_str(), X_OK) == 0; }

std::string on_path(const std::string& name) {
  const std::string path = env("PATH");
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find(':', at), path.size());
    const std::string candidate = (end > at ? path.substr(at, end - at) : std::string(".")) + "/" + name;
    if (is_program(candidate)) return candidate;
    at = end + 1;
  }
  return "";
}

std::string parent(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string absolute(const std::string& path) {
  if (path.empty() || path[0] == '/') return path;
  char buffer[PATH_MAX];
  return getcwd(buffer, sizeof buffer) != nullptr ? std::string(buffer) + "/" + path : path;
}

// The child's environment: the program's own, but without what makes every process load our libraries, with the package importable,
// and with relative directories made absolute, since the child does not stay in the program's directory.
std::vector<std::string> child_environment(const std::vector<std::string>& extra, const std::string& package) {
  std::vector<std::string> result;
  const auto name_of = [](std::string_view entry) { return entry.substr(0, entry.find('=')); };
  std::string python_path = package;
  for (char** e = environ; e != nullptr && *e != nullptr; ++e) {
    const std::string_view entry = *e, name = name_of(entry);
    if (name == "LD_PRELOAD" || name == "LD_AUDIT" || name == "PYTHONINSPECT" || name == "PYTHONSTARTUP" || name == "ANYWARP_CACHE_DIR") continue;
    if (name == "PYTHONPATH") {
      const std::string_view value = entry.substr(name.size() + 1);
      for (std::size_t at = 0; at <= value.size();) {
        const std::size_t end = std::min(value.find(':', at), value.size());
        if (end > at) python_path += (python_path.empty() ? "" : ":") + absolute(std::string(value.substr(at, end - at)));
        at = end + 1;
      }
      continue;
    }
    if (std::any_of(extra.begin(), extra.end(), [&](const std::string& x) { return name_of(x) == name; })) continue;
    result.emplace_back(entry);
  }
  if (!python_path.empty()) result.push_back("PYTHONPATH=" + python_path);
  result.push_back("PYTHONSAFEPATH=1");
  result.push_back("ANYWARP_COMPILER_CHILD=1");
  if (const std::string cache = Cache::default_directory(); !cache.empty()) result.push_back("ANYWARP_CACHE_DIR=" + absolute(cache));
  result.insert(result.end(), extra.begin(), extra.end());
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& s : strings) result.push_back(s.data());
  result.push_back(nullptr);
  return result;
}

// The body of the child between vfork and exec: system calls only. Returns errno if exec failed.
struct Start {
  const char* program;
  char* const* arguments;
  char* const* environment;
  const char* directory;
  int socket;
  sigset_t mask;
};

[[noreturn]] void child_main(const Start& start) {
  // Handlers are reset by exec; ignored signals would stay ignored.
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  for (const int signal : {SIGPIPE, SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}) sigaction(signal, &action, nullptr);
  setpgid(0, 0);  // Ctrl-C is for the program; the child ends when the socket closes
  const int nothing = open("/dev/null", O_RDWR);
  int socket = start.socket;
  if (socket < kChildSocket) socket = fcntl(socket, F_DUPFD, kChildSocket + 1);
  if (nothing >= 0) dup2(nothing, 0);
  dup2(2, 1);  // what the compiler prints is not the program's output
  if (socket == kChildSocket)
    fcntl(socket, F_SETFD, 0);
  else
    dup2(socket, kChildSocket);
  // The program's files stay its own: an inherited pipe would never see its end.
#ifdef SYS_close_range
  if (syscall(SYS_close_range, kChildSocket + 1, ~0u, 0) != 0)
#endif
    for (int fd = kChildSocket + 1; fd < 4096; ++fd) close(fd);
  if (start.directory != nullptr && chdir(start.directory) != 0) {
    // The interpreter's path then starts with the program's directory; the package is still found first.
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(start.program, start.arguments, start.environment);
  _exit(127);
}

// False at the deadline or when the other end is gone.
enum class Wait { ready, timeout, broken };

Wait wait_for(int fd, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return Wait::timeout;
    pollfd p{fd, events, 0};
    const int n = poll(&p, 1, static_cast<int>(std::min<long long>(left + 1, 60'000)));
    if (n > 0) return Wait::ready;
    if (n < 0 && errno != EINTR) return Wait::broken;
  }
}

}  // namespace

std::string package_parent() {
  if (const std::string own = env("ANYWARP_PYTHONPATH"); !own.empty()) return absolute(own);
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&package_parent), &info) == 0 || info.dli_fname == nullptr) return "";
  char resolved[PATH_MAX];
  std::string path = realpath(info.dli_fname, resolved) != nullptr ? resolved : absolute(info.dli_fname);
  // <parent>/anywarp/_runtime/lib/libcuda.so.1
  for (int i = 0; i < 4; ++i) path = parent(path);
  return is_file(path + "/anywarp/__init__.py") ? path : "";
}

std::string find_interpreter() {
  if (const std::string own = env("ANYWARP_PYTHON"); !own.empty()) return own;
  // <prefix>/lib/python3.11/site-packages: the interpreter of that prefix has what the package depends on.
  const std::string site = package_parent(), versioned = parent(site);
  const std::string version = versioned.substr(versioned.find_last_of('/') + 1);
  if (version.rfind("python3", 0) == 0) {
    const std::string prefix = parent(parent(versioned));
    for (const std::string& name : {version, std::string("python3"), std::string("python")})
      if (is_program(prefix + "/bin/" + name)) return prefix + "/bin/" + name;
    if (const std::string found = on_path(version); !found.empty()) return found;
  }
  char self[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  if (n > 0) {
    const std::string program(self, static_cast<std::size_t>(n));
    if (program.substr(program.find_last_of('/') + 1).rfind("python3", 0) == 0) return program;
  }
  if (const std::string found = on_path("python3"); !found.empty()) return found;
  return on_path("python");
}

CompilerClient::CompilerClient() : CompilerClient(Options()) {}
CompilerClient::CompilerClient(Options options) : options_(std::move(options)), owner_(getpid()) {}

CompilerClient::~CompilerClient() {
  if (getpid() == owner_) stop();
}

pid_t CompilerClient::child() const {
  const std::lock_guard lock(mutex_);
  return pid_;
}

bool CompilerClient::start(std::string* log) {
  const std::string package = package_parent();
  std::vector<std::string> command = options_.command;
  if (command.empty()) {
    const std::string python = find_interpreter();
    if (python.empty()) {
      *log = "anywarp: no Python interpreter for the compiler was found; set ANYWARP_PYTHON";
      return false;
    }
    command = {python, "-m", "anywarp.compiler"};
  }
  if (command[0].find('/') == std::string::npos)
    if (const std::string found = on_path(command[0]); !found.empty()) command[0] = found;
  const std::string program = absolute(command[0]);
  command.push_back("--fd");
  command.push_back(std::to_string(kChildSocket));
  std::vector<std::string> environment = child_environment(options_.environment, package);
  std::vector<char*> argv = pointers(command), envp = pointers(environment);

  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    *log = std::string("anywarp: no socket pair for the compiler: ") + std::strerror(errno);
    return false;
  }
  Start start{program.c_str(), argv.data(), envp.data(), package.empty() ? nullptr : package.c_str(), ends[1], {}};
  // No handler of the host program may run in the child, which shares our memory until it has replaced itself.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &start.mask);
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  const pid_t pid = fork();
#else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  const pid_t pid = vfork();
#pragma GCC diagnostic pop
#endif
  if (pid == 0) child_main(start);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &start.mask, nullptr);
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    *log = std::string("anywarp: the compiler could not be started: ") + std::strerror(error);
    return false;
  }
  pid_ = pid;
  socket_ = ends[0];
#ifdef SYS_pidfd_open
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd_ >= 0) fcntl(pidfd_, F_SETFD, FD_CLOEXEC);
#endif
  return true;
}

void CompilerClient::end(bool kill_it) {
  if (pid_ == 0) return;
  close(socket_);
  if (kill_it) {
    // By descriptor: the host program may have reaped the child, and its number may be another process's by now.
#ifdef SYS_pidfd_send_signal
    if (pidfd_ >= 0)
      syscall(SYS_pidfd_send_signal, pidfd_, SIGKILL, nullptr, 0);
    else
#endif
      ::kill(pid_, SIGKILL);
  }
  // A child that was told to end by closing the socket gets a moment, then it is killed.
  for (int i = 0;; ++i) {
    const pid_t got = waitpid(pid_, nullptr, WNOHANG);
    if (got == pid_ || (got < 0 && errno != EINTR)) break;
    if (i == 50 && !kill_it) {
#ifdef SYS_pidfd_send_signal
      if (pidfd_ >= 0)
        syscall(SYS_pidfd_send_signal, pidfd_, SIGKILL, nullptr, 0);
      else
#endif
        ::kill(pid_, SIGKILL);
    }
    timespec pause{0, 2'000'000};
    nanosleep(&pause, nullptr);
  }
  if (pidfd_ >= 0) close(pidfd_);
  pidfd_ = -1;
  pid_ = 0;
  socket_ = -1;
}

double CompilerClient::timeout_seconds() const {
  if (options_.timeout_seconds > 0) return options_.timeout_seconds;
  const std::string text = env("ANYWARP_COMPILE_TIMEOUT");
  const double value = text.empty() ? 0 : std::strtod(text.c_str(), nullptr);
  return value > 0 ? value : 300;
}

void CompilerClient::warm_up() {
  const std::lock_guard lock(mutex_);
  std::string log;
  if (getpid() == owner_ && pid_ == 0) (void)start(&log);
}

void CompilerClient::stop() {
  const std::lock_guard lock(mutex_);
  if (getpid() == owner_) end(false);
}

CompilerClient::Exchange CompilerClient::exchange(protocol::Request type, const Bytes& payload, Reply* reply) {
  const auto deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(timeout_seconds()));
  const auto failed = [](Wait w) { return w == Wait::timeout ? Exchange::timeout : Exchange::broken; };
  std::uint32_t header[2] = {static_cast<std::uint32_t>(payload.size()), static_cast<std::uint32_t>(type)};
  Bytes message(sizeof header + payload.size());
  std::memcpy(message.data(), header, sizeof header);
  std::copy(payload.begin(), payload.end(), message.begin() + sizeof header);
  for (std::size_t sent = 0; sent < message.size();) {
    const ssize_t n = send(socket_, message.data() + sent, message.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      sent += static_cast<std::size_t>(n);
    } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      if (const Wait w = wait_for(socket_, POLLOUT, deadline); w != Wait::ready) return failed(w);
    } else if (n < 0 && errno != EINTR) {
      return Exchange::broken;
    }
  }
  const auto receive = [&](std::uint8_t* out, std::size_t size) {
    for (std::size_t got = 0; got < size;) {
      const ssize_t n = recv(socket_, out + got, size - got, MSG_DONTWAIT);
      if (n > 0) {
        got += static_cast<std::size_t>(n);
      } else if (n == 0) {
        return Wait::broken;
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        if (const Wait w = wait_for(socket_, POLLIN, deadline); w != Wait::ready) return w;
      } else if (errno != EINTR) {
        return Wait::broken;
      }
    }
    return Wait::ready;
  };
  if (const Wait w = receive(reinterpret_cast<std::uint8_t*>(header), sizeof header); w != Wait::ready) return failed(w);
  if (header[0] > protocol::kMaxPayload) return Exchange::broken;
  reply->type = header[1];
  // In steps: a length that is not true must not cost memory that is not there.
  reply->payload.clear();
  while (reply->payload.size() < header[0]) {
    const std::size_t at = reply->payload.size(), step = std::min<std::size_t>(header[0] - at, std::size_t{1} << 24);
    reply->payload.resize(at + step);
    if (const Wait w = receive(reply->payload.data() + at, step); w != Wait::ready) return failed(w);
  }
  return Exchange::done;
}

Result CompilerClient::request(protocol::Request type, const Bytes& payload, protocol::Reply expected, Bytes* out, std::string* log) {
  std::string message;
  Result result = Result::unknown;
  const auto finish = [&] {
    if (log != nullptr) *log = message;
    return result;
  };
  if (getpid() != owner_) {
    message = "anywarp: CUDA was initialised before fork(); it cannot be used in the forked process";
    result = Result::not_initialized;
    return finish();
  }
  if (payload.size() > protocol::kMaxPayload) {
    message = "anywarp: the image is too big";
    result = Result::invalid_image;
    return finish();
  }
  const std::lock_guard lock(mutex_);
  // The first failure may be an old child's death, so one more child gets the same request.
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (pid_ == 0 && !start(&message)) {
      result = Result::jit_compiler_not_found;
      return finish();
    }
    Reply reply;
    const Exchange exchanged = exchange(type, payload, &reply);
    if (exchanged == Exchange::done && reply.type == static_cast<std::uint32_t>(expected)) {
      if (expected == protocol::Reply::done) {
        result = Result::success;
        return finish();
      }
      Reader in(reply.payload);
      const ByteSpan answer = in.bytes();
      if (in.at_end()) {
        if (out != nullptr) out->assign(answer.begin(), answer.end());
        result = Result::success;
        return finish();
      }
    } else if (exchanged == Exchange::done && reply.type == static_cast<std::uint32_t>(protocol::Reply::error)) {
      Reader in(reply.payload);
      const std::uint32_t code = in.u32();
      const ByteSpan text = in.bytes();
      if (in.at_end() && code != 0) {
        message.assign(reinterpret_cast<const char*>(text.data()), std::min(text.size(), kMaxLog));
        // The protocol's "not loaded"; everything else is a CUresult.
        result = code == 404 ? Result::not_found : static_cast<Result>(code);
        return finish();
      }
    }
    message = exchanged == Exchange::timeout  ? "anywarp: the compiler did not answer in time (ANYWARP_COMPILE_TIMEOUT)"
              : exchanged == Exchange::broken ? "anywarp: the compiler ended unexpectedly"
                                              : "anywarp: the compiler gave an answer that makes no sense";
    result = exchanged == Exchange::timeout ? Result::jit_compiler_not_found : Result::unknown;
    end(true);
    // A compile that takes for ever takes for ever again.
    if (exchanged == Exchange::timeout) break;
  }
  result = Result::jit_compiler_not_found;
  return finish();
}

Result CompilerClient::load(const Digest& digest, const Digest& key, ByteSpan image, std::uint32_t capability, Bytes* manifest,
                            std::string* log) {
  Writer w;
  w.bytes(digest);
  w.bytes(key);
  w.bytes(image);
  w.u32(capability);
  return request(protocol::Request::load, w.data(), protocol::Reply::module, manifest, log);
}

Result CompilerClient::compile(const Digest& digest, const Digest& key, std::string_view entry, std::string_view variant, Bytes* manifest,
                               std::string* log) {
  Writer w;
  w.bytes(digest);
  w.bytes(key);
  w.str(entry);
  w.str(variant);
  return request(protocol::Request::compile, w.data(), protocol::Reply::kernel, manifest, log);
}

Result CompilerClient::link(const std::vector<std::pair<std::string, ByteSpan>>& images, std::uint32_t capability,
                            std::uint32_t most_registers, Bytes* image, std::string* log) {
  Writer w;
  w.u32(static_cast<std::uint32_t>(images.size()));
  for (const auto& [name, data] : images) {
    w.str(name);
    w.bytes(data);
  }
  w.u32(capability);
  w.u32(most_registers);
  return request(protocol::Request::link, w.data(), protocol::Reply::image, image, log);
}

void CompilerClient::unload(const Digest& digest) {
  {
    const std::lock_guard lock(mutex_);
    if (pid_ == 0 || getpid() != owner_) return;
  }
  Writer w;
  w.bytes(digest);
  (void)request(protocol::Request::unload, w.data(), protocol::Reply::done, nullptr, nullptr);
}

}  // namespace anywarp
