#include "segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace anywarp::memory {
namespace {

constexpr std::size_t kPiece = 512;   // bytes; sizes and offsets of pieces are multiples
constexpr std::size_t kPage = 4096;

std::uintptr_t map(int file, std::size_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  return at == MAP_FAILED ? 0 : reinterpret_cast<std::uintptr_t>(at);
}

}  // namespace

std::unique_ptr<Segment> Segment::create(std::size_t bytes) {
  const int file = memfd_create("anywarp-pool", MFD_CLOEXEC);
  if (file < 0) return nullptr;
  const std::uintptr_t base = ftruncate(file, static_cast<off_t>(bytes)) == 0 ? map(file, bytes) : 0;
  if (base == 0) {
    close(file);
    return nullptr;
  }
  std::unique_ptr<Segment> made(new Segment(file, base, bytes));
  made->free_[0] = bytes / kPiece * kPiece;
  return made;
}

std::unique_ptr<Segment> Segment::import(int given) {
  struct stat info{};
  if (fstat(given, &info) != 0 || info.st_size <= 0) return nullptr;
  const int file = fcntl(given, F_DUPFD_CLOEXEC, 0);
  if (file < 0) return nullptr;
  const auto bytes = static_cast<std::size_t>(info.st_size);
  const std::uintptr_t base = map(file, bytes);
  if (base == 0) {
    close(file);
    return nullptr;
  }
  return std::unique_ptr<Segment>(new Segment(file, base, bytes));
}

Segment::~Segment() {
  munmap(reinterpret_cast<void*>(base_), bytes_);
  close(file_);
}

void* Segment::allocate(std::size_t bytes) {
  const std::size_t size = (bytes + kPiece - 1) / kPiece * kPiece;
  const std::lock_guard lock(mutex_);
  // The smallest hole that does.
  auto best = free_.end();
  for (auto hole = free_.begin(); hole != free_.end(); ++hole) {
    if (hole->second >= size && (best == free_.end() || hole->second < best->second)) best = hole;
  }
  if (size < bytes || best == free_.end()) return nullptr;
  const auto [offset, room] = *best;
  free_.erase(best);
  if (room > size) free_[offset + size] = room - size;
  pieces_[offset] = size;
  return reinterpret_cast<void*>(base_ + offset);
}

void Segment::free(void* piece) {
  const std::lock_guard lock(mutex_);
  const auto found = pieces_.find(reinterpret_cast<std::uintptr_t>(piece) - base_);
  if (found == pieces_.end()) return;
  std::size_t offset = found->first, size = found->second;
  pieces_.erase(found);
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && next->first == offset + size) {
    size += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      offset = before->first, size += before->second;
      free_.erase(before);
    }
  }
  free_[offset] = size;
  // Whole pages of the hole; a page with a neighbour in it stays.
  const std::size_t first = (offset + kPage - 1) / kPage * kPage, last = (offset + size) / kPage * kPage;
  if (first < last) fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(first), static_cast<off_t>(last - first));
}

}  // namespace anywarp::memory
