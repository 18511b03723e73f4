// Memory of the arena that other processes map: Arena::share.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "arena.h"
#include "arena_blocks.h"

namespace anywarp::memory {
namespace {

// Shared ranges, for the handler of faults: it can take no lock. An entry is free while its end is 0.
struct Range {
  std::atomic<std::uintptr_t> start{0}, end{0};
};
constexpr std::size_t kMostRanges = 4096;
Range ranges[kMostRanges];
std::atomic<std::size_t> range_count{0};  // entries that were ever used

bool add(std::uintptr_t start, std::uintptr_t end) {
  for (std::size_t i = 0; i < kMostRanges; ++i) {
    std::uintptr_t none = 0;
    if (!ranges[i].end.compare_exchange_strong(none, end)) continue;
    ranges[i].start.store(start);
    std::size_t seen = range_count.load();
    while (seen < i + 1 && !range_count.compare_exchange_weak(seen, i + 1)) {
    }
    return true;
  }
  return false;
}

void remove(std::uintptr_t start) {
  for (std::size_t i = 0; i < range_count.load(); ++i) {
    if (ranges[i].end.load() == 0 || ranges[i].start.load() != start) continue;
    ranges[i].start.store(0);
    ranges[i].end.store(0);
    return;
  }
}

}  // namespace

bool is_shared(std::uintptr_t address) {
  for (std::size_t i = 0, n = range_count.load(); i < n; ++i) {
    const std::uintptr_t start = ranges[i].start.load(), end = ranges[i].end.load();
    if (start != 0 && address - start < end - start) return true;
  }
  return false;
}

// The range is announced first: a write that meets it without the right to write waits in the handler of faults, until the file is there.
Result Arena::move_to_file(std::uintptr_t start, std::size_t bytes, int* out) {
  const int file = memfd_create("anywarp-memory", MFD_CLOEXEC);
  if (file < 0) return Result::operating_system;
  void* copy = ftruncate(file, static_cast<off_t>(bytes)) == 0 ? mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
  if (copy == MAP_FAILED || !add(start, start + bytes)) {
    if (copy != MAP_FAILED) munmap(copy, bytes);
    close(file);
    return Result::out_of_memory;
  }
  mprotect(reinterpret_cast<void*>(start), bytes, PROT_READ);
  // Pages of zeros are left out: memory that was never touched takes none in the file either.
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  for (std::size_t at = 0; at < bytes; at += page) {
    const auto* from = reinterpret_cast<const char*>(start + at);
    const std::size_t size = std::min(page, bytes - at);
    if (from[0] != 0 || std::memcmp(from, from + 1, size - 1) != 0) std::memcpy(static_cast<char*>(copy) + at, from, size);
  }
  void* at = mmap(reinterpret_cast<void*>(start), bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
  munmap(copy, bytes);
  if (at == MAP_FAILED) {
    mprotect(reinterpret_cast<void*>(start), bytes, PROT_READ | PROT_WRITE);
    remove(start);
    close(file);
    return Result::out_of_memory;
  }
  *out = file;
  return Result::success;
}

void Arena::unshare(std::uintptr_t start, std::size_t bytes, int* file) {
  remove(start);
  mmap(reinterpret_cast<void*>(start), bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  close(*file);
  *file = -1;
}

Result Arena::share(void* base, Share* out) {
  const auto address = reinterpret_cast<std::uintptr_t>(base);
  if (!in_range(base)) return Result::invalid_value;
  const std::uint32_t chunk = static_cast<std::uint32_t>((address - base_) / kChunk);
  const std::uintptr_t entry = table_[chunk].load(std::memory_order_acquire);
  if (entry == 0) return Result::invalid_value;
  if ((entry & 1) == 0) {
    const std::lock_guard lock(chunks_mutex_);
    if (table_[chunk].load(std::memory_order_relaxed) != entry) return Result::invalid_value;
    auto* block = reinterpret_cast<Block*>(entry);
    const std::uintptr_t start = base_ + block->first * kChunk;
    if (block->allocation.base != address) return Result::invalid_value;
    if (block->file < 0) {
      if (const Result moved = move_to_file(start, block->committed, &block->file); moved != Result::success) return moved;
    }
    *out = {block->file, address - start, block->committed};
    return Result::success;
  }
  auto* slab = reinterpret_cast<Slab*>(entry & ~std::uintptr_t{1});
  const std::size_t size = class_bytes(slab->size_class);
  const std::lock_guard lock(classes_[slab->size_class].mutex);
  if (table_[chunk].load(std::memory_order_relaxed) != entry) return Result::invalid_value;
  const std::uintptr_t start = base_ + chunk * kChunk;
  const std::size_t i = (address - start) / size;
  if ((address - start) % size != 0 || i >= slab->objects.size() || slab->objects[i].id == 0) return Result::invalid_value;
  const std::size_t bytes = slab_bytes(*slab);
  if (slab->file < 0) {
    if (const Result moved = move_to_file(start, bytes, &slab->file); moved != Result::success) return moved;
  }
  *out = {slab->file, address - start, bytes};
  return Result::success;
}

}  // namespace anywarp::memory
