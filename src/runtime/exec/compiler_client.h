// The compiler as a child process: `python -m anywarp.compiler --fd N`, asked over a socket pair (architecture, section 8).
//
// The child is started on the first request. If it dies, hangs (ANYWARP_COMPILE_TIMEOUT seconds, default 300) or answers nonsense it
// is killed and started once more for the same request; if that fails too, the caller gets an error and the next request starts afresh.
// Thread-safe: one request at a time. After fork() the forked process gets an error from every call. The child's stderr is the
// program's own. The child is started by clone-and-exec without running handlers of the host program; it is reaped by waiting for its
// own id only, so that the host program's SIGCHLD handlers see at most one more SIGCHLD and can reap nothing that is missed here.
#pragma once

#include <sys/types.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "bytes.h"
#include "protocol.h"
#include "result.h"
#include "sha256.h"

namespace anywarp {

class CompilerClient {
 public:
  struct Options {
    std::vector<std::string> command;      // without `--fd N`; empty: found as `find_command` says
    std::vector<std::string> environment;  // NAME=value, in place of the inherited ones of the same name
    double timeout_seconds = 0;            // 0: $ANYWARP_COMPILE_TIMEOUT, else 300
  };

  CompilerClient();
  explicit CompilerClient(Options options);
  ~CompilerClient();  // ends the child
  CompilerClient(const CompilerClient&) = delete;
  CompilerClient& operator=(const CompilerClient&) = delete;

  // `log` receives the compiler's message on an error (may be null).
  Result load(const Digest& digest, const Digest& key, ByteSpan image, std::uint32_t capability, Bytes* module_manifest, std::string* log);
  // not_found: the child does not hold the module (any more); load it again.
  Result compile(const Digest& digest, const Digest& key, std::string_view entry, std::string_view variant, Bytes* kernel_manifest,
                 std::string* log);
  Result link(const std::vector<std::pair<std::string, ByteSpan>>& images, std::uint32_t capability, std::uint32_t most_registers,
              Bytes* image, std::string* log);
  // Best effort; does not start a child.
  void unload(const Digest& digest);

  // Starts the child now, ahead of need. Cheap if it runs.
  void warm_up();
  // Ends the child; the next request starts another.
  void stop();
  pid_t child() const;  // 0: none
  // How long a request may take.
  double timeout_seconds() const;

 private:
  struct Reply {
    std::uint32_t type = 0;
    Bytes payload;
  };
  enum class Exchange { done, broken, timeout };

  Result request(protocol::Request type, const Bytes& payload, protocol::Reply expected, Bytes* out, std::string* log);
  Exchange exchange(protocol::Request type, const Bytes& payload, Reply* reply);  // lock held
  bool start(std::string* log);                                                   // lock held
  void end(bool kill);                                                            // lock held

  Options options_;
  mutable std::mutex mutex_;
  pid_t pid_ = 0;
  int socket_ = -1;
  int pidfd_ = -1;
  pid_t owner_ = 0;  // the process that made this object
};

// The directory that holds the package `anywarp` (empty: not found), and the interpreter for it.
std::string package_parent();
std::string find_interpreter();

}  // namespace anywarp
