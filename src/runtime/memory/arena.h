// Device memory: one large reserved range of virtual addresses from which every allocation of every device is cut.
//
// A device pointer is a host address inside the range. Nothing is accessible until it is allocated: big allocations are
// committed page by page by the kernel of the operating system on first touch, have inaccessible gaps on both sides, and give
// their memory back when freed. Small ones come from slabs of one size class and cost well under a microsecond.
//
// Memory that does not come from the range (registered host memory, mapped physical memory, host allocations of the API layer) is
// made known with `add_range`, so that `lookup` answers for it too.
//
// Thread-safe. Locks: one per size class, one for the chunks, one for foreign ranges; none is held while another is taken except
// size class -> chunks.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "../exec/result.h"

namespace anywarp::memory {

enum class Kind : std::uint8_t {
  none,
  device,      // cuMemAlloc and friends
  managed,     // cuMemAllocManaged
  host,        // page-locked host memory
  registered,  // foreign host memory made known by cuMemHostRegister
  variable,    // a module's variable
  heap,        // in-kernel malloc
  mapped,      // virtual memory management: a mapped physical allocation
  internal,    // the runtime's own
};

const char* name(Kind kind);

struct Allocation {
  std::uintptr_t base = 0;
  std::size_t size = 0;  // bytes as asked for
  Kind kind = Kind::none;
  std::uint8_t device = 0;
  std::uint32_t flags = 0;   // the API layer's
  std::uint64_t id = 0;      // unique in the process (CU_POINTER_ATTRIBUTE_BUFFER_ID)
  void* owner = nullptr;     // the API layer's: the context

  bool contains(std::uintptr_t address) const { return address - base < size || (address == base && size == 0); }
};

class Arena {
 public:
  static constexpr std::size_t kChunk = std::size_t{2} << 20;  // granularity of big allocations and of slabs
  static constexpr int kMaxDevices = 64;

  struct Options {
    std::size_t reserve = std::size_t{1} << 40;  // bytes of addresses; halved until the reservation succeeds
  };

  Arena();
  explicit Arena(const Options& options);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // The size that the device reports; allocations beyond it fail with out_of_memory. Default: 16 GiB.
  void set_limit(int device, std::size_t bytes);
  void info(int device, std::size_t* free, std::size_t* total) const;

  // `alignment`: a power of two up to 1 GiB, at least 256 is given. Contents are undefined. bytes > 0. `owner` and `flags` are kept for lookup.
  // Kind::host and Kind::internal do not count against the device's limit.
  Result allocate(int device, std::size_t bytes, std::size_t alignment, Kind kind, void* owner, std::uint32_t flags, void** out);
  // invalid_value if `base` is not the start of a live allocation of this arena.
  Result free(void* base);
  // Frees every allocation of `owner` (a context that is destroyed). Returns how many.
  std::size_t free_owned_by(const void* owner);

  // Foreign memory. invalid_value if it overlaps a known range.
  Result add_range(void* base, std::size_t bytes, Kind kind, int device, void* owner, std::uint32_t flags);
  Result remove_range(void* base, Allocation* removed = nullptr);

  // The live allocation or foreign range that holds `address`.
  bool lookup(const void* address, Allocation* out) const;
  // The live allocation closest to `address` (for messages), but the runtime's own; may be slow.
  bool nearest(const void* address, Allocation* out) const;
  // The API layer may change what it stored. False if `base` is no allocation's start.
  bool set_flags(void* base, std::uint32_t flags);

  // Makes the memory around a live allocation one that other processes can map, in place: its contents move into a file in memory, which takes
  // the addresses over. Small allocations share their file with their neighbours. Threads that write meanwhile wait (see is_shared). It
  // stays so until it is freed. invalid_value: no allocation starts there, or it is foreign memory.
  struct Share {
    int file = -1;           // the arena's; closed when the memory is freed
    std::size_t offset = 0;  // of the allocation in it
    std::size_t bytes = 0;   // of the file
  };
  Result share(void* base, Share* out);

  bool in_range(const void* address) const {
    return reinterpret_cast<std::uintptr_t>(address) - base_ < reserved_;
  }
  std::uintptr_t base() const { return base_; }
  std::size_t reserved() const { return reserved_; }

 private:
  struct Slab;
  struct SizeClass;
  struct Block;  // a big allocation

  Result allocate_small(int device, std::size_t bytes, std::size_t rounded, Kind kind, void* owner, std::uint32_t flags, void** out);
  Result allocate_big(int device, std::size_t bytes, std::size_t alignment, Kind kind, void* owner, std::uint32_t flags, void** out);
  std::uint32_t take_chunks(std::uint32_t count, std::uint32_t alignment_chunks);  // 0: none; caller holds chunks_mutex_
  void give_chunks(std::uint32_t first, std::uint32_t count);                      // caller holds chunks_mutex_
  static std::size_t class_bytes(std::uint32_t size_class);
  static std::size_t slab_bytes(const Slab& slab);  // that are accessible
  Result move_to_file(std::uintptr_t start, std::size_t bytes, int* file);
  void unshare(std::uintptr_t start, std::size_t bytes, int* file);
  bool charge(int device, std::size_t bytes);
  void discharge(int device, std::size_t bytes);

  std::uintptr_t base_ = 0;
  std::size_t reserved_ = 0;
  std::uint32_t chunk_count_ = 0;
  // For each chunk: 0 free, else tagged pointer to its Slab (bit 0 set) or Block.
  std::atomic<std::uintptr_t>* table_ = nullptr;

  mutable std::mutex chunks_mutex_;
  std::map<std::uint32_t, std::uint32_t> free_chunks_;                 // first -> count
  std::uint32_t chunks_top_ = 1;                                       // chunks from here on were never used
  std::uint32_t big_sequence_ = 0;                                     // big allocations ever made
  std::uint32_t big_live_ = 0;
  std::unique_ptr<SizeClass[]> classes_;

  mutable std::shared_mutex ranges_mutex_;
  std::map<std::uintptr_t, Allocation> ranges_;

  std::atomic<std::uint64_t> next_id_{1};
  std::atomic<std::size_t> limit_[kMaxDevices];
  std::atomic<std::size_t> used_[kMaxDevices];
};

// Whether an address lies in shared memory (Arena::share), or in memory that is just being moved into a file. An access that faults there has met
// the move: it is to be tried again. Safe in a signal handler.
bool is_shared(std::uintptr_t address);

}  // namespace anywarp::memory
