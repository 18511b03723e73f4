// The cache of compiled modules and kernels on disk, as its reader. The compiler writes it (architecture, section 8).
//
// A file that is missing, short, long, foreign or altered in any byte is the same as no file: the compiler is asked. Of several processes
// that miss the same key at once one asks, the others wait for what it stores (`Turn`).
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "bytes.h"
#include "sha256.h"

namespace anywarp {

class Cache {
 public:
  enum class Kind { module, kernel };

  explicit Cache(std::string directory) : directory_(std::move(directory)) {}
  // $ANYWARP_CACHE_DIR, else $XDG_CACHE_HOME/anywarp, else ~/.cache/anywarp. Empty where none can be named: nothing is found then.
  static std::string default_directory();

  // The payload, verified.
  std::optional<Bytes> read(Kind kind, const Digest& key) const;
  std::string path(Kind kind, const Digest& key) const;
  const std::string& directory() const { return directory_; }

  // The right to compile a key, among processes that share the directory; given back by the destructor, or by the process's end.
  class Turn {
   public:
    Turn() = default;
    Turn(Turn&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Turn& operator=(Turn&&) = delete;
    ~Turn();

   private:
    friend class Cache;
    explicit Turn(int fd) : fd_(fd) {}
    int fd_ = -1;
  };
  // To be called after a miss: waits while another process has the turn, until the key is there. Gives what is in the cache then, else
  // nothing and the turn in `turn`, which the caller holds while it compiles. Does not wait for longer than `seconds`, nor where no
  // lock can be had: the turn is empty then, and the caller compiles all the same.
  std::optional<Bytes> wait(Kind kind, const Digest& key, double seconds, std::optional<Turn>* turn) const;

 private:
  std::string directory_;
};

// SHA-256 over path, size and mtime of the `.py` files below `package_directory` (relative paths, sorted), without the folders that the
// compiler imports nothing of.
Digest fingerprint(const std::string& package_directory);
// The host processor's name and features, as the kernel of the operating system or CPUID tell them.
std::string host_processor();
Digest module_key(const Digest& fingerprint, std::uint32_t capability, const Digest& image);
Digest kernel_key(const Digest& module_key, std::string_view processor, std::string_view entry, std::string_view variant);

}  // namespace anywarp
