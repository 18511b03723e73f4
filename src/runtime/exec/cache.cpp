#include "cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "abi.h"

namespace anywarp {

namespace {

constexpr char kMagic[8] = {'A', 'W', 'C', 'A', 'C', 'H', 'E', '1'};
constexpr std::size_t kHeader = sizeof kMagic + 8 + 32;

}  // namespace

std::string Cache::default_directory() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
  };
  if (const std::string own = variable("ANYWARP_CACHE_DIR"); !own.empty()) return own;
  if (const std::string xdg = variable("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/anywarp";
  std::string home = variable("HOME");
  if (home.empty()) {
    passwd entry{}, *found = nullptr;
    char buffer[4096];
    if (getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr && entry.pw_dir != nullptr) home = entry.pw_dir;
  }
  return home.empty() ? "" : home + "/.cache/anywarp";
}

std::string Cache::path(Kind kind, const Digest& key) const {
  const std::string name = hex(key);
  return directory_ + (kind == Kind::module ? "/module/" : "/kernel/") + name.substr(0, 2) + "/" + name;
}

std::optional<Bytes> Cache::read(Kind kind, const Digest& key) const {
  if (directory_.empty()) return std::nullopt;
  const int fd = open(path(kind, key).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return std::nullopt;
  struct stat info{};
  std::optional<Bytes> result;
  // Only files of this user's (or root's) making: code from here is executed.
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (info.st_uid == geteuid() || info.st_uid == 0) &&
      static_cast<std::size_t>(info.st_size) >= kHeader && info.st_size < (std::int64_t{1} << 31)) {
    Bytes data(static_cast<std::size_t>(info.st_size));
    std::size_t got = 0;
    while (got < data.size()) {
      const ssize_t n = ::read(fd, data.data() + got, data.size() - got);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      got += static_cast<std::size_t>(n);
    }
    std::uint64_t payload = 0;
    std::memcpy(&payload, data.data() + sizeof kMagic, 8);
    if (got == data.size() && std::memcmp(data.data(), kMagic, sizeof kMagic) == 0 && payload == data.size() - kHeader) {
      const Digest digest = sha256(ByteSpan(data).subspan(kHeader));
      if (std::memcmp(digest.data(), data.data() + sizeof kMagic + 8, digest.size()) == 0) {
        data.erase(data.begin(), data.begin() + kHeader);
        result = std::move(data);
        // The cache is bounded by deleting what was not used for long: reading is using.
        timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
        (void)futimens(fd, times);
      }
    }
  }
  close(fd);
  return result;
}

Cache::Turn::~Turn() {
  if (fd_ >= 0) close(fd_);
}

std::optional<Bytes> Cache::wait(Kind kind, const Digest& key, double seconds, std::optional<Turn>* turn) const {
  if (directory_.empty()) return std::nullopt;
  // One of 256 files, so that they need not be cleaned up. A lock of the process (not of the open file): a forked child does not keep it.
  const std::string folder = directory_ + "/turns";
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  (void)chmod(directory_.c_str(), 0700);
  const int fd = open((folder + "/" + hex(key).substr(0, 2)).c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return std::nullopt;
  Turn mine(fd);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  for (auto pause = std::chrono::milliseconds(1); std::chrono::steady_clock::now() < end; pause = std::min(pause * 2, std::chrono::milliseconds(64))) {
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    const bool got = fcntl(fd, F_SETLK, &lock) == 0;
    if (!got && errno != EAGAIN && errno != EACCES && errno != EINTR) break;  // a file system without locks
    if (std::optional<Bytes> found = read(kind, key)) return found;
    if (got) {
      turn->emplace(std::move(mine));
      break;
    }
    std::this_thread::sleep_for(pause);
  }
  return std::nullopt;
}

namespace {

struct SourceFile {
  std::string path;
  struct stat info;
};

// Adds the `.py` and `.ptx` files of an open directory, which it closes. Entry by entry and by descriptor: a new process waits for this before its
// first kernel, and std::filesystem takes twice as long.
void add_sources(int directory, const std::string& path, std::vector<SourceFile>* out) {
  DIR* entries = fdopendir(directory);
  if (entries == nullptr) {
    close(directory);
    return;
  }
  while (const dirent* entry = readdir(entries)) {
    const std::string_view name = entry->d_name;
    if (name[0] == '.' || name == "__pycache__") continue;
    // The compiler imports nothing of these.
    const bool is_apart = name == "api" || name == "cli" || name == "integrations" || name == "toolchain" || name == "_runtime";
    if (name.ends_with(".py") || name.ends_with(".ptx")) {
      SourceFile file{path + "/" + entry->d_name, {}};
      if (fstatat(directory, entry->d_name, &file.info, 0) == 0) out->push_back(std::move(file));
    } else if ((entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN) && !(path.empty() && is_apart)) {
      const int inner = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (inner >= 0) add_sources(inner, path + "/" + entry->d_name, out);
    }
  }
  closedir(entries);
}

}  // namespace

Digest fingerprint(const std::string& package) {
  std::vector<SourceFile> files;
  if (const int directory = open(package.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); directory >= 0) add_sources(directory, "", &files);
  std::sort(files.begin(), files.end(), [](const SourceFile& a, const SourceFile& b) { return a.path < b.path; });
  Sha256 hash;
  for (const SourceFile& file : files) {
    hash.str(file.path).u64(static_cast<std::uint64_t>(file.info.st_size));
    hash.u64(static_cast<std::uint64_t>(file.info.st_mtim.tv_sec)).u64(static_cast<std::uint64_t>(file.info.st_mtim.tv_nsec));
  }
  return hash.finish();
}

std::string host_processor() {
#if defined(__x86_64__)
  // The identification, feature and extended-feature leaves, without what differs between cores or runs (APIC id, cache of a core).
  std::string result = "x86_64";
  const auto add = [&result](const char* name, unsigned value) {
    char text[32];
    std::snprintf(text, sizeof text, " %s=%08x", name, value);
    result += text;
  };
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) != 0) {
    add("1a", a), add("1c", c), add("1d", d);
  }
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0) {
    add("7b", b), add("7c", c), add("7d", d);
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) add("71a", a), add("71d", d);
  }
  if (__get_cpuid(0x80000001u, &a, &b, &c, &d) != 0) add("81c", c), add("81d", d);
  // What the operating system saves (AVX, AVX-512).
  if (__get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 27 & 1) != 0) {
    unsigned low = 0, high = 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    add("xcr0", low);
  }
  return result;
#else
  std::set<std::string> lines;  // the cores of one machine may differ
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    for (const char* name : {"Features", "CPU implementer", "CPU part", "CPU variant", "CPU architecture", "isa"})
      if (line.rfind(name, 0) == 0) lines.insert(line);
  std::string result;
  for (const std::string& line : lines) result += line + "\n";
  return result;
#endif
}

Digest module_key(const Digest& fingerprint, std::uint32_t capability, const Digest& image) {
  return Sha256().u32(abi::kVersion).update(fingerprint.data(), 32).u32(capability).update(image.data(), 32).finish();
}

Digest kernel_key(const Digest& module_key, std::string_view processor, std::string_view entry, std::string_view variant) {
  return Sha256().update(module_key.data(), 32).str(processor).str(entry).str(variant).finish();
}

}  // namespace anywarp
