// Executable memory: regions that many objects share. The loader itself is in loader.cpp.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "loader.h"

namespace anywarp {

namespace {

// Regions as a signal handler sees them: a slot is (base, size); size 0 is free.
struct Slot {
  std::atomic<std::uintptr_t> base{0};
  std::atomic<std::size_t> size{0};
};
constexpr int kSlots = 1024;
Slot slots[kSlots];
std::atomic<int> slots_top{0};
std::mutex slots_mutex;

bool publish(std::uintptr_t base, std::size_t size) {
  const std::lock_guard lock(slots_mutex);
  for (int i = 0; i < kSlots; ++i)
    if (slots[i].size.load(std::memory_order_relaxed) == 0) {
      slots[i].base.store(base, std::memory_order_relaxed);
      slots[i].size.store(size, std::memory_order_release);
      if (i >= slots_top.load(std::memory_order_relaxed)) slots_top.store(i + 1, std::memory_order_release);
      return true;
    }
  return false;
}

void retract(std::uintptr_t base) {
  const std::lock_guard lock(slots_mutex);
  for (Slot& slot : slots)
    if (slot.base.load(std::memory_order_relaxed) == base) slot.size.store(0, std::memory_order_release);
}

std::size_t round_up(std::size_t value, std::size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

int anonymous_file(std::size_t bytes) {
#ifdef SYS_memfd_create
  constexpr unsigned kCloseOnExec = 1, kExecutable = 0x10;
  int fd = static_cast<int>(syscall(SYS_memfd_create, "anywarp-code", kCloseOnExec | kExecutable));
  if (fd < 0) fd = static_cast<int>(syscall(SYS_memfd_create, "anywarp-code", kCloseOnExec));  // before Linux 6.3
  if (fd >= 0 && ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    close(fd);
    fd = -1;
  }
  return fd;
#else
  (void)bytes;
  return -1;
#endif
}

// First fit in a sorted map of free ranges, all sizes multiples of the unit.
class FreeList {
 public:
  void give(std::size_t offset, std::size_t bytes) {
    if (bytes == 0) return;
    auto next = free_.lower_bound(offset);
    if (next != free_.end() && offset + bytes == next->first) {
      bytes += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin()) {
      const auto previous = std::prev(next);
      if (previous->first + previous->second == offset) {
        previous->second += bytes;
        return;
      }
    }
    free_[offset] = bytes;
  }
  bool take(std::size_t bytes, std::size_t* offset) {
    for (auto it = free_.begin(); it != free_.end(); ++it)
      if (it->second >= bytes) {
        *offset = it->first;
        const std::size_t rest = it->second - bytes;
        free_.erase(it);
        if (rest != 0) free_[*offset + bytes] = rest;
        return true;
      }
    return false;
  }

 private:
  std::map<std::size_t, std::size_t> free_;
};

}  // namespace

bool is_kernel_code(std::uintptr_t pc) {
  const int top = slots_top.load(std::memory_order_acquire);
  for (int i = 0; i < top; ++i) {
    const std::size_t size = slots[i].size.load(std::memory_order_acquire);
    if (pc - slots[i].base.load(std::memory_order_relaxed) < size) return true;
  }
  return false;
}

// Addresses of a region: code (executable and constant), then a writable part, all within reach of 32-bit displacements.
struct CodeSpace::Region {
  std::uintptr_t base = 0;
  std::size_t code = 0, data = 0;      // bytes
  std::uint8_t* writable = nullptr;    // the second mapping of the code; null: pages change protection
  std::size_t unit = 64;               // granularity of code: a cache line, or a page without a second mapping
  FreeList code_free, data_free;

  ~Region() {
    retract(base);
    munmap(reinterpret_cast<void*>(base), code + data);
    if (writable != nullptr) munmap(writable, code);
  }

  static std::unique_ptr<Region> make(std::size_t bytes, bool dual) {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t code = round_up(bytes, page), data = round_up(bytes / 8, page);
    void* p = mmap(nullptr, code + data, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return nullptr;
    auto region = std::make_unique<Region>();
    region->base = reinterpret_cast<std::uintptr_t>(p);
    region->code = code;
    region->data = data;
    bool done = false;
    if (const int fd = dual ? anonymous_file(code) : -1; fd >= 0) {
      void* w = mmap(nullptr, code, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (w != MAP_FAILED && mmap(p, code, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED) {
        region->writable = static_cast<std::uint8_t*>(w);
        done = true;
      } else if (w != MAP_FAILED) {
        munmap(w, code);
      }
      close(fd);
    }
    if (!done) region->unit = page;
    if (mprotect(reinterpret_cast<void*>(region->base + code), data, PROT_READ | PROT_WRITE) != 0 || !publish(region->base, code))
      return nullptr;
    region->code_free.give(0, code);
    region->data_free.give(0, data);
    return region;
  }
};

CodeSpace::CodeSpace() : CodeSpace(Options()) {
  const char* dual = std::getenv("ANYWARP_DUAL_MAPPING");
  options_.allow_dual_mapping = dual == nullptr || std::strcmp(dual, "0") != 0;
}
CodeSpace::CodeSpace(const Options& options) : options_(options) {}
CodeSpace::~CodeSpace() = default;

bool CodeSpace::allocate(std::size_t code_bytes, std::size_t data_bytes, Place* out) {
  const std::lock_guard lock(mutex_);
  const auto attempt = [&](Region& region) {
    const std::size_t code = round_up(code_bytes, region.unit), data = round_up(data_bytes, 64);
    std::size_t code_at = 0, data_at = 0;
    if (!region.code_free.take(code, &code_at)) return false;
    if (data != 0 && !region.data_free.take(data, &data_at)) {
      region.code_free.give(code_at, code);
      return false;
    }
    out->execute = region.base + code_at;
    out->data = region.base + region.code + data_at;
    if (region.writable != nullptr) {
      out->write = region.writable + code_at;
    } else {
      out->write = reinterpret_cast<std::uint8_t*>(out->execute);
      if (mprotect(out->write, code, PROT_READ | PROT_WRITE) != 0) {
        region.code_free.give(code_at, code);
        if (data != 0) region.data_free.give(data_at, data);
        return false;
      }
    }
    if (data != 0) std::memset(reinterpret_cast<void*>(out->data), 0, data);
    used_ += code;
    return true;
  };
  for (const auto& region : regions_)
    if (attempt(*region)) return true;
  const std::size_t bytes = std::max({options_.region, round_up(code_bytes, 1 << 16), 8 * round_up(data_bytes, 1 << 16)});
  auto region = Region::make(bytes, options_.allow_dual_mapping);
  if (region == nullptr) return false;
  regions_.push_back(std::move(region));
  return attempt(*regions_.back());
}

bool CodeSpace::seal(const Place& place, std::size_t bytes) {
  char* const run = reinterpret_cast<char*>(place.execute);
  bool ok = true;
  if (reinterpret_cast<std::uintptr_t>(place.write) == place.execute)
    ok = mprotect(run, round_up(bytes, static_cast<std::size_t>(sysconf(_SC_PAGESIZE))), PROT_READ | PROT_EXEC) == 0;
  else
    __builtin___clear_cache(reinterpret_cast<char*>(place.write), reinterpret_cast<char*>(place.write) + bytes);
  __builtin___clear_cache(run, run + bytes);
  return ok;
}

void CodeSpace::release(const LoadedObject& object) {
  const std::lock_guard lock(mutex_);
  for (const auto& region : regions_) {
    const std::size_t offset = object.base_ - region->base;
    if (offset >= region->code) continue;
    const std::size_t code = round_up(object.size_, region->unit);
    if (region->writable != nullptr)
      std::memset(region->writable + offset, 0, code);  // whoever still jumps there faults (0 0 is `add [rax], al`; on AArch64 `udf`)
    else
      mprotect(reinterpret_cast<void*>(object.base_), code, PROT_NONE);
    region->code_free.give(offset, code);
    if (object.data_size_ != 0) region->data_free.give(object.data_ - region->base - region->code, round_up(object.data_size_, 64));
    used_ -= code;
    return;
  }
}

std::size_t CodeSpace::bytes_used() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

std::size_t CodeSpace::regions() const {
  const std::lock_guard lock(mutex_);
  return regions_.size();
}

}  // namespace anywarp
