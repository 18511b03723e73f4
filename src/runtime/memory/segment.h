// Memory that several processes share: a file in memory (memfd), mapped as a whole, from which pieces are cut. What exportable memory pools
// are made of. Pages that no piece uses are given back to the system.
//
// Thread-safe, but for pieces of an imported segment, which the exporter manages: importers only map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace anywarp::memory {

class Segment {
 public:
  // Null if the system refuses. `bytes`: addresses; memory comes with use.
  static std::unique_ptr<Segment> create(std::size_t bytes);
  // The segment behind a descriptor of another process's (the descriptor stays the caller's).
  static std::unique_ptr<Segment> import(int file);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  // Null if there is no room. Aligned to 512 bytes.
  void* allocate(std::size_t bytes);
  void free(void* piece);

  int file() const { return file_; }
  std::size_t bytes() const { return bytes_; }
  std::uintptr_t base() const { return base_; }
  bool contains(const void* address) const { return reinterpret_cast<std::uintptr_t>(address) - base_ < bytes_; }

 private:
  Segment(int file, std::uintptr_t base, std::size_t bytes) : file_(file), base_(base), bytes_(bytes) {}

  const int file_;
  const std::uintptr_t base_;
  const std::size_t bytes_;
  std::mutex mutex_;  // guards what follows
  std::map<std::size_t, std::size_t> free_;    // offset -> bytes
  std::map<std::size_t, std::size_t> pieces_;  // likewise
};

}  // namespace anywarp::memory
