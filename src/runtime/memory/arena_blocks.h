// What the arena keeps of its memory: slabs of small allocations and blocks for big ones. Included by the arena's sources only.
#pragma once

#include "arena.h"

namespace anywarp::memory {

struct Arena::Slab {
  struct Object {
    std::uint64_t id = 0;  // 0: free
    void* owner = nullptr;
    std::uint32_t bytes = 0, flags = 0;
    Kind kind = Kind::none;
    std::uint8_t device = 0;
  };
  std::uint32_t chunk = 0;
  std::uint32_t size_class = 0;
  std::vector<Object> objects;
  std::vector<std::uint16_t> free;
  bool listed = false;  // in SizeClass::partial
  int file = -1;        // if it is shared
};

struct Arena::SizeClass {
  std::mutex mutex;
  std::vector<Slab*> partial;  // slabs with a free object
  std::vector<std::unique_ptr<Slab>> all;
  std::vector<Slab*> retired;  // without a chunk; reused, never deleted, since lookups may still look at them
  std::uint32_t empty = 0;     // slabs without a live object that keep their chunk
};

struct Arena::Block {
  std::uint32_t first = 0, count = 0;  // chunks
  std::size_t committed = 0;           // bytes from the first chunk's start
  std::size_t charged = 0;
  Allocation allocation;
  int file = -1;  // if it is shared
};

}  // namespace anywarp::memory
