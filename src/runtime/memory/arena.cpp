#include "arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <set>

#include "arena_blocks.h"

namespace anywarp::memory {

namespace {

constexpr std::size_t kGuard = std::size_t{64} << 10;  // inaccessible bytes behind every big allocation and slab
constexpr std::size_t kSmallest = 256;                 // bytes; also the least alignment
constexpr std::size_t kLargestSmall = std::size_t{64} << 10;
// An accessible range between two inaccessible ones costs two mappings, of which the operating system allows 65,530. With more
// live allocations than this the guards become accessible, so that neighbours merge.
constexpr std::uint32_t kManyBlocks = 16384;
// The range starts at a multiple of the biggest alignment that can be asked for.
constexpr std::size_t kAlignment = std::size_t{1} << 30;
constexpr std::size_t kHugePages = std::size_t{8} << 20;  // from this size on huge pages are asked for

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

std::size_t round_up(std::size_t value, std::size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Size classes: four steps to a doubling (256, 512, 768, 1024, 1280 …), multiples of 256.
struct Classes {
  std::vector<std::size_t> bytes;
  std::vector<std::uint8_t> of;  // by units of 256
  Classes() {
    for (std::size_t power = kSmallest; power < kLargestSmall; power *= 2)
      for (std::size_t quarter = 0; quarter < 4; ++quarter) {
        const std::size_t size = power + power * quarter / 4;
        if (size % kSmallest == 0) bytes.push_back(size);
      }
    bytes.push_back(kLargestSmall);
    std::size_t index = 0;
    of.resize(kLargestSmall / kSmallest + 1);
    for (std::size_t unit = 0; unit < of.size(); ++unit) {
      while (bytes[index] < unit * kSmallest) ++index;
      of[unit] = static_cast<std::uint8_t>(index);
    }
  }
};

const Classes& classes() {
  static const Classes value;
  return value;
}

}  // namespace

const char* name(Kind kind) {
  switch (kind) {
    case Kind::none: return "no";
    case Kind::device: return "device";
    case Kind::managed: return "managed";
    case Kind::host: return "page-locked host";
    case Kind::registered: return "registered host";
    case Kind::variable: return "module variable";
    case Kind::heap: return "device heap";
    case Kind::mapped: return "mapped device";
    case Kind::internal: return "internal";
  }
  return "?";
}

std::size_t Arena::class_bytes(std::uint32_t size_class) { return classes().bytes[size_class]; }

std::size_t Arena::slab_bytes(const Slab& slab) { return round_up(slab.objects.size() * class_bytes(slab.size_class), page_bytes()); }

Arena::Arena() : Arena(Options()) {}

Arena::Arena(const Options& options) {
  for (auto& limit : limit_) limit = std::size_t{16} << 30;
  for (auto& used : used_) used = 0;
  classes_ = std::make_unique<SizeClass[]>(classes().bytes.size());
  for (std::size_t bytes = options.reserve; bytes >= 16 * kChunk; bytes /= 2) {
    void* p = mmap(nullptr, bytes + kAlignment, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) continue;
    base_ = round_up(reinterpret_cast<std::uintptr_t>(p), kAlignment);
    reserved_ = bytes / kChunk * kChunk;
    // Give back what alignment left over on either side.
    const std::uintptr_t start = reinterpret_cast<std::uintptr_t>(p), end = start + bytes + kAlignment;
    if (base_ > start) munmap(p, base_ - start);
    if (end > base_ + reserved_) munmap(reinterpret_cast<void*>(base_ + reserved_), end - base_ - reserved_);
    break;
  }
  chunk_count_ = static_cast<std::uint32_t>(reserved_ / kChunk);
  if (chunk_count_ == 0) return;
  void* table = mmap(nullptr, chunk_count_ * sizeof *table_, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (table == MAP_FAILED) {
    munmap(reinterpret_cast<void*>(base_), reserved_);
    reserved_ = chunk_count_ = 0;
    return;
  }
  table_ = static_cast<std::atomic<std::uintptr_t>*>(table);  // zero bytes are null pointers
}

Arena::~Arena() {
  if (table_ == nullptr) return;
  for (std::uint32_t chunk = 1; chunk < chunks_top_;) {
    const std::uintptr_t entry = table_[chunk].load();
    std::uint32_t step = 1;
    if (entry != 0 && (entry & 1) == 0) {
      auto* block = reinterpret_cast<Block*>(entry);
      step = block->count;
      delete block;
    }
    chunk += step;
  }
  munmap(table_, chunk_count_ * sizeof *table_);
  munmap(reinterpret_cast<void*>(base_), reserved_);
}

void Arena::set_limit(int device, std::size_t bytes) { limit_[device].store(bytes); }

void Arena::info(int device, std::size_t* free, std::size_t* total) const {
  const std::size_t limit = limit_[device].load(), used = used_[device].load();
  *total = limit;
  *free = used < limit ? limit - used : 0;
}

bool Arena::charge(int device, std::size_t bytes) {
  const std::size_t limit = limit_[device].load(std::memory_order_relaxed);
  std::size_t used = used_[device].load(std::memory_order_relaxed);
  do {
    if (bytes > limit || used > limit - bytes) return false;
  } while (!used_[device].compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

void Arena::discharge(int device, std::size_t bytes) { used_[device].fetch_sub(bytes, std::memory_order_relaxed); }

Result Arena::allocate(int device, std::size_t bytes, std::size_t alignment, Kind kind, void* owner, std::uint32_t flags, void** out) {
  if (bytes == 0 || device < 0 || device >= kMaxDevices || (alignment & (alignment - 1)) != 0 || alignment > kAlignment) return Result::invalid_value;
  if (bytes > reserved_) return Result::out_of_memory;
  alignment = std::max(alignment, kSmallest);
  std::size_t rounded = round_up(bytes, kSmallest);
  // Objects of a power-of-two class are aligned to their size, since the class divides the chunk.
  if (alignment > kSmallest) rounded = std::max(rounded, alignment);
  if (rounded <= kLargestSmall && alignment > kSmallest) {
    std::size_t power = kSmallest;
    while (power < rounded) power *= 2;
    rounded = power;
  }
  return rounded <= kLargestSmall ? allocate_small(device, bytes, rounded, kind, owner, flags, out)
                                  : allocate_big(device, bytes, alignment, kind, owner, flags, out);
}

Result Arena::allocate_small(int device, std::size_t bytes, std::size_t rounded, Kind kind, void* owner, std::uint32_t flags, void** out) {
  const std::uint32_t index = classes().of[rounded / kSmallest];
  const std::size_t size = classes().bytes[index];
  const bool counted = kind != Kind::host && kind != Kind::internal;
  if (counted && !charge(device, size)) return Result::out_of_memory;
  SizeClass& c = classes_[index];
  const std::lock_guard lock(c.mutex);
  if (c.partial.empty()) {
    const std::uint32_t capacity = static_cast<std::uint32_t>((kChunk - kGuard) / size);
    std::uint32_t chunk;
    {
      const std::lock_guard chunks(chunks_mutex_);
      chunk = take_chunks(1, 1);
    }
    const std::uintptr_t start = base_ + chunk * kChunk;
    if (chunk == 0 || mprotect(reinterpret_cast<void*>(start), round_up(capacity * size, page_bytes()), PROT_READ | PROT_WRITE) != 0) {
      if (chunk != 0) {
        const std::lock_guard chunks(chunks_mutex_);
        give_chunks(chunk, 1);
      }
      if (counted) discharge(device, size);
      return Result::out_of_memory;
    }
    Slab* slab;
    if (c.retired.empty()) {
      c.all.push_back(std::make_unique<Slab>());
      slab = c.all.back().get();
    } else {
      slab = c.retired.back();
      c.retired.pop_back();
    }
    slab->chunk = chunk;
    slab->size_class = index;
    slab->objects.assign(capacity, {});
    slab->free.resize(capacity);
    for (std::uint32_t i = 0; i < capacity; ++i) slab->free[i] = static_cast<std::uint16_t>(capacity - 1 - i);
    slab->listed = true;
    c.partial.push_back(slab);
    ++c.empty;
    table_[chunk].store(reinterpret_cast<std::uintptr_t>(slab) | 1, std::memory_order_release);
  }
  Slab* slab = c.partial.back();
  if (slab->free.size() == slab->objects.size()) --c.empty;
  const std::uint32_t i = slab->free.back();
  slab->free.pop_back();
  if (slab->free.empty()) {
    c.partial.pop_back();
    slab->listed = false;
  }
  slab->objects[i] = {next_id_.fetch_add(1, std::memory_order_relaxed), owner, static_cast<std::uint32_t>(bytes), flags, kind,
                      static_cast<std::uint8_t>(device)};
  *out = reinterpret_cast<void*>(base_ + slab->chunk * kChunk + i * size);
  return Result::success;
}

std::uint32_t Arena::take_chunks(std::uint32_t count, std::uint32_t alignment) {
  // The smallest free range that does; ties to the lowest address.
  std::uint32_t best = 0, best_count = ~0u;
  for (const auto& [first, available] : free_chunks_) {
    const std::uint32_t aligned = static_cast<std::uint32_t>(round_up(first, alignment));
    if (aligned - first + count <= available && available < best_count) {
      best = first;
      best_count = available;
      if (available == count) break;
    }
  }
  if (best != 0) {
    const std::uint32_t aligned = static_cast<std::uint32_t>(round_up(best, alignment));
    free_chunks_.erase(best);
    if (aligned > best) free_chunks_[best] = aligned - best;
    if (best + best_count > aligned + count) free_chunks_[aligned + count] = best + best_count - aligned - count;
    return aligned;
  }
  const std::uint32_t aligned = static_cast<std::uint32_t>(round_up(chunks_top_, alignment));
  if (aligned >= chunk_count_ || count > chunk_count_ - aligned) return 0;
  if (aligned > chunks_top_) give_chunks(chunks_top_, aligned - chunks_top_);
  chunks_top_ = aligned + count;
  return aligned;
}

void Arena::give_chunks(std::uint32_t first, std::uint32_t count) {
  auto next = free_chunks_.lower_bound(first);
  if (next != free_chunks_.end() && first + count == next->first) {
    count += next->second;
    next = free_chunks_.erase(next);
  }
  if (next != free_chunks_.begin()) {
    auto previous = std::prev(next);
    if (previous->first + previous->second == first) {
      previous->second += count;
      return;
    }
  }
  free_chunks_[first] = count;
}

Result Arena::allocate_big(int device, std::size_t bytes, std::size_t alignment, Kind kind, void* owner, std::uint32_t flags, void** out) {
  const std::size_t page = page_bytes();
  const std::size_t charged = round_up(bytes, page);
  const bool counted = kind != Kind::host && kind != Kind::internal;
  if (counted && !charge(device, charged)) return Result::out_of_memory;
  const std::lock_guard lock(chunks_mutex_);
  // Device memory starts at varying offsets: arrays that all start on a 2 MiB boundary would fight for the same cache sets, and
  // loads would falsely depend on stores with the same low twelve bits.
  std::size_t offset = 0;
  if (kind == Kind::device && alignment <= kSmallest) {
    const std::size_t n = big_sequence_++;
    offset = n % 16 * kSmallest + n * 7 % 32 * 4096;
  }
  const std::uint32_t count = static_cast<std::uint32_t>((offset + bytes + kGuard + kChunk - 1) / kChunk);
  const std::uint32_t first = take_chunks(count, static_cast<std::uint32_t>(std::max<std::size_t>(1, alignment / kChunk)));
  const std::uintptr_t start = base_ + first * kChunk;
  const std::size_t committed = big_live_ >= kManyBlocks ? count * kChunk : round_up(offset + bytes, page);
  if (first == 0 || mprotect(reinterpret_cast<void*>(start), committed, PROT_READ | PROT_WRITE) != 0) {
    if (first != 0) give_chunks(first, count);
    if (counted) discharge(device, charged);
    return Result::out_of_memory;
  }
  if (bytes >= kHugePages) madvise(reinterpret_cast<void*>(start), committed, MADV_HUGEPAGE);
  auto* block = new Block{first, count, committed, counted ? charged : 0,
                          {start + offset, bytes, kind, static_cast<std::uint8_t>(device), flags,
                           next_id_.fetch_add(1, std::memory_order_relaxed), owner}};
  for (std::uint32_t i = 0; i < count; ++i) table_[first + i].store(reinterpret_cast<std::uintptr_t>(block), std::memory_order_release);
  ++big_live_;
  *out = reinterpret_cast<void*>(start + offset);
  return Result::success;
}

Result Arena::free(void* base) {
  const auto address = reinterpret_cast<std::uintptr_t>(base);
  if (!in_range(base)) return Result::invalid_value;
  const std::uint32_t chunk = static_cast<std::uint32_t>((address - base_) / kChunk);
  const std::uintptr_t entry = table_[chunk].load(std::memory_order_acquire);
  if (entry == 0) return Result::invalid_value;
  if ((entry & 1) == 0) {
    const std::lock_guard lock(chunks_mutex_);
    if (table_[chunk].load(std::memory_order_relaxed) != entry) return Result::invalid_value;
    auto* block = reinterpret_cast<Block*>(entry);
    if (block->allocation.base != address) return Result::invalid_value;
    const auto start = reinterpret_cast<void*>(base_ + block->first * kChunk);
    if (block->file >= 0) unshare(base_ + block->first * kChunk, block->committed, &block->file);
    madvise(start, block->committed, MADV_DONTNEED);
    mprotect(start, block->committed, PROT_NONE);
    for (std::uint32_t i = 0; i < block->count; ++i) table_[block->first + i].store(0, std::memory_order_release);
    give_chunks(block->first, block->count);
    --big_live_;
    discharge(block->allocation.device, block->charged);
    delete block;
    return Result::success;
  }
  auto* slab = reinterpret_cast<Slab*>(entry & ~std::uintptr_t{1});
  const std::uint32_t index = slab->size_class;  // a slab keeps its class for good
  SizeClass& c = classes_[index];
  const std::size_t size = classes().bytes[index];
  const std::lock_guard lock(c.mutex);
  if (table_[chunk].load(std::memory_order_relaxed) != entry) return Result::invalid_value;
  const std::size_t offset = address - base_ - chunk * kChunk;
  const std::size_t i = offset / size;
  if (offset % size != 0 || i >= slab->objects.size() || slab->objects[i].id == 0) return Result::invalid_value;
  const Slab::Object object = slab->objects[i];
  slab->objects[i] = {};
  slab->free.push_back(static_cast<std::uint16_t>(i));
  if (object.kind != Kind::host && object.kind != Kind::internal) discharge(object.device, size);
  if (!slab->listed) {
    slab->listed = true;
    c.partial.push_back(slab);
  }
  if (slab->free.size() == slab->objects.size() && ++c.empty > 1) {
    // One empty slab stays, so that a loop of allocate and free does not go to the operating system.
    --c.empty;
    c.partial.erase(std::find(c.partial.begin(), c.partial.end(), slab));
    slab->listed = false;
    const auto start = reinterpret_cast<void*>(base_ + slab->chunk * kChunk);
    if (slab->file >= 0) unshare(base_ + slab->chunk * kChunk, slab_bytes(*slab), &slab->file);
    madvise(start, kChunk, MADV_DONTNEED);
    mprotect(start, kChunk, PROT_NONE);
    table_[slab->chunk].store(0, std::memory_order_release);
    c.retired.push_back(slab);
    const std::lock_guard chunks(chunks_mutex_);
    give_chunks(slab->chunk, 1);
  }
  return Result::success;
}

std::size_t Arena::free_owned_by(const void* owner) {
  std::vector<void*> found;
  std::uint32_t top;
  {
    const std::lock_guard lock(chunks_mutex_);
    top = chunks_top_;
  }
  for (std::uint32_t chunk = 1; chunk < top; ++chunk) {
    const std::uintptr_t entry = table_[chunk].load(std::memory_order_acquire);
    if (entry == 0) continue;
    if ((entry & 1) == 0) {
      const std::lock_guard lock(chunks_mutex_);
      if (table_[chunk].load(std::memory_order_relaxed) != entry) continue;
      const auto* block = reinterpret_cast<const Block*>(entry);
      if (block->allocation.owner == owner && block->first == chunk) found.push_back(reinterpret_cast<void*>(block->allocation.base));
    } else {
      auto* slab = reinterpret_cast<Slab*>(entry & ~std::uintptr_t{1});
      const std::lock_guard lock(classes_[slab->size_class].mutex);
      if (table_[chunk].load(std::memory_order_relaxed) != entry) continue;
      const std::size_t size = classes().bytes[slab->size_class];
      for (std::size_t i = 0; i < slab->objects.size(); ++i)
        if (slab->objects[i].id != 0 && slab->objects[i].owner == owner)
          found.push_back(reinterpret_cast<void*>(base_ + chunk * kChunk + i * size));
    }
  }
  std::size_t freed = 0;
  for (void* p : found)
    if (free(p) == Result::success) ++freed;
  const std::unique_lock lock(ranges_mutex_);
  for (auto it = ranges_.begin(); it != ranges_.end();) {
    if (it->second.owner == owner) {
      it = ranges_.erase(it);
      ++freed;
    } else {
      ++it;
    }
  }
  return freed;
}

Result Arena::add_range(void* base, std::size_t bytes, Kind kind, int device, void* owner, std::uint32_t flags) {
  const auto start = reinterpret_cast<std::uintptr_t>(base);
  if (bytes == 0 || start + bytes < start) return Result::invalid_value;
  const std::unique_lock lock(ranges_mutex_);
  const auto next = ranges_.lower_bound(start);
  if (next != ranges_.end() && next->first < start + bytes) return Result::invalid_value;
  if (next != ranges_.begin()) {
    const Allocation& previous = std::prev(next)->second;
    if (previous.base + previous.size > start) return Result::invalid_value;
  }
  ranges_[start] = {start, bytes, kind, static_cast<std::uint8_t>(device), flags, next_id_.fetch_add(1, std::memory_order_relaxed), owner};
  return Result::success;
}

Result Arena::remove_range(void* base, Allocation* removed) {
  const std::unique_lock lock(ranges_mutex_);
  const auto it = ranges_.find(reinterpret_cast<std::uintptr_t>(base));
  if (it == ranges_.end()) return Result::invalid_value;
  if (removed != nullptr) *removed = it->second;
  ranges_.erase(it);
  return Result::success;
}

bool Arena::lookup(const void* pointer, Allocation* out) const {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if (in_range(pointer)) {
    const std::uint32_t chunk = static_cast<std::uint32_t>((address - base_) / kChunk);
    const std::uintptr_t entry = table_[chunk].load(std::memory_order_acquire);
    if (entry != 0 && (entry & 1) == 0) {
      const std::lock_guard lock(chunks_mutex_);
      if (table_[chunk].load(std::memory_order_relaxed) != entry) return false;
      const auto* block = reinterpret_cast<const Block*>(entry);
      if (!block->allocation.contains(address)) return false;
      *out = block->allocation;
      return true;
    }
    if (entry != 0) {
      auto* slab = reinterpret_cast<Slab*>(entry & ~std::uintptr_t{1});
      const std::size_t size = classes().bytes[slab->size_class];
      const std::lock_guard lock(classes_[slab->size_class].mutex);
      if (table_[chunk].load(std::memory_order_relaxed) != entry) return false;
      const std::size_t i = (address - base_ - chunk * kChunk) / size;
      if (i >= slab->objects.size() || slab->objects[i].id == 0) return false;
      const Slab::Object& o = slab->objects[i];
      const Allocation found{base_ + chunk * kChunk + i * size, o.bytes, o.kind, o.device, o.flags, o.id, o.owner};
      if (!found.contains(address)) return false;
      *out = found;
      return true;
    }
    // Fall through: a foreign range may lie in addresses that were reserved here for it.
  }
  const std::shared_lock lock(ranges_mutex_);
  auto it = ranges_.upper_bound(address);
  if (it == ranges_.begin()) return false;
  --it;
  if (!it->second.contains(address)) return false;
  *out = it->second;
  return true;
}

bool Arena::nearest(const void* pointer, Allocation* out) const {
  if (lookup(pointer, out)) return true;
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  std::uintptr_t best = ~std::uintptr_t{0};
  const auto consider = [&](const Allocation& a) {
    if (a.kind == Kind::internal) return;
    const std::uintptr_t distance = address < a.base ? a.base - address : address - (a.base + a.size);
    if (distance < best) {
      best = distance;
      *out = a;
    }
  };
  std::uint32_t top;
  {
    const std::lock_guard lock(chunks_mutex_);
    top = chunks_top_;
  }
  for (std::uint32_t chunk = 1; chunk < top; ++chunk) {
    const std::uintptr_t entry = table_[chunk].load(std::memory_order_acquire);
    if (entry == 0) continue;
    if ((entry & 1) == 0) {
      const std::lock_guard lock(chunks_mutex_);
      if (table_[chunk].load(std::memory_order_relaxed) == entry) consider(reinterpret_cast<const Block*>(entry)->allocation);
      continue;
    }
    auto* slab = reinterpret_cast<Slab*>(entry & ~std::uintptr_t{1});
    const std::lock_guard lock(classes_[slab->size_class].mutex);
    if (table_[chunk].load(std::memory_order_relaxed) != entry) continue;
    const std::size_t size = classes().bytes[slab->size_class];
    for (std::size_t i = 0; i < slab->objects.size(); ++i) {
      const Slab::Object& o = slab->objects[i];
      if (o.id != 0) consider({base_ + chunk * kChunk + i * size, o.bytes, o.kind, o.device, o.flags, o.id, o.owner});
    }
  }
  const std::shared_lock lock(ranges_mutex_);
  for (const auto& [start, range] : ranges_) consider(range);
  return best != ~std::uintptr_t{0};
}

bool Arena::set_flags(void* base, std::uint32_t flags) {
  const auto address = reinterpret_cast<std::uintptr_t>(base);
  Allocation found;
  if (!lookup(base, &found) || found.base != address) return false;
  {
    const std::unique_lock lock(ranges_mutex_);
    const auto it = ranges_.find(address);
    if (it != ranges_.end()) {
      it->second.flags = flags;
      return true;
    }
  }
  const std::uint32_t chunk = static_cast<std::uint32_t>((address - base_) / kChunk);
  const std::uintptr_t entry = table_[chunk].load(std::memory_order_acquire);
  if (entry == 0) return false;
  if ((entry & 1) == 0) {
    const std::lock_guard lock(chunks_mutex_);
    if (table_[chunk].load(std::memory_order_relaxed) != entry) return false;
    reinterpret_cast<Block*>(entry)->allocation.flags = flags;
    return true;
  }
  auto* slab = reinterpret_cast<Slab*>(entry & ~std::uintptr_t{1});
  const std::lock_guard lock(classes_[slab->size_class].mutex);
  if (table_[chunk].load(std::memory_order_relaxed) != entry) return false;
  slab->objects[(address - base_ - chunk * kChunk) / classes().bytes[slab->size_class]].flags = flags;
  return true;
}

}  // namespace anywarp::memory
