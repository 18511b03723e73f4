#include "redirect/redirect.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "redirect/jump.h"
#include "redirect/module_file.h"
#include "redirect/stubs.h"
#include "redirect_names.h"

namespace anywarp::redirect {
namespace {

// A module with this many entry points holds the whole runtime (365 names or more in CUDA 11 to 13), and not just wrappers of some.
constexpr int kWholeRuntime = 200;

// What is written over one place of the module.
struct Edit {
  std::uint8_t* place;
  std::size_t bytes;
  std::uint8_t code[kMostBytes];
};

class Module {
 public:
  Module(const link_map* map, const ModuleFile& file, const char* path) : map_(map), file_(file), path_(path) {}

  bool has_runtime() const { return known_ > 0; }
  int flavour() const { return flavour_; }

  void count() {
    int found[kFlavours] = {};
    for (const Definition& d : file_.definitions()) {
      if (d.name < 0) continue;
      ++known_;
      for (int f = 0; f < kFlavours; ++f) found[f] += (kNames[d.name].flavours >> f) & 1;
    }
    for (int f = 0; f < kFlavours; ++f)
      if (found[f] >= found[flavour_]) flavour_ = f;
    whole_ = known_ >= kWholeRuntime || file_.soname().starts_with("libcudart.so");
    for (const Definition& d : file_.definitions())
      if (d.name >= 0) lowest_ = std::min(lowest_, d.vaddr), highest_ = std::max(highest_, d.vaddr);
  }

  // Plans a jump for every entry point.
  void plan() {
    const Definition* previous = nullptr;
    std::vector<const Definition*> small;
    for (const Definition& d : file_.definitions()) {
      if (!is_ours_to_redirect(d)) continue;
      if (previous && previous->vaddr == d.vaddr) {
        say("%s: %s and %s are one function there; calls of both go to %s", path_, previous->text, d.text, previous->text);
        continue;
      }
      previous = &d;
      std::uint8_t* place = address(d.vaddr);
      if (std::memcmp(place, d.code, std::min<std::size_t>(d.room, kMostBytes)) != 0) {
        if (!is_jump(place)) say("%s: the code of %s is not what the file says; it is left as it is", path_, d.text);
        continue;
      }
      const std::size_t landing = landing_bytes(d.code, d.room);
      if (d.room >= landing + kJumpBytes) {
        Edit& edit = add(place + landing);
        edit.bytes = write_jump(edit.code, target(d));
        if (d.bytes >= landing + 2 * kJumpBytes + 16) spare_.push_back({place + landing + kJumpBytes + 15, place + d.bytes});
      } else {
        small.push_back(&d);
      }
    }
    for (const Definition* d : small) plan_small(*d);
  }

  // Writes the jumps. Pages are writable meanwhile, and stay executable, since other threads may run code on them.
  int write() {
    if (edits_.empty()) return 0;
    std::sort(edits_.begin(), edits_.end(), [](const Edit& a, const Edit& b) { return a.place < b.place; });
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (std::size_t first = 0, last; first < edits_.size(); first = last) {
      const ElfW(Phdr)* segment = segment_of(edits_[first]);
      for (last = first; last < edits_.size() && segment_of(edits_[last]) == segment; ++last) {
      }
      const auto begin = reinterpret_cast<std::uintptr_t>(edits_[first].place) & ~(page - 1);
      const auto end = (reinterpret_cast<std::uintptr_t>(edits_[last - 1].place) + edits_[last - 1].bytes + page - 1) & ~(page - 1);
      void* pages = reinterpret_cast<void*>(begin);
      const int before = PROT_EXEC | (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0);
      if (mprotect(pages, end - begin, before | PROT_READ | PROT_WRITE) != 0) {
        say("%s: the CUDA runtime in it cannot be redirected: its code cannot be made writable (%s)", path_, std::strerror(errno));
        return 0;
      }
      for (std::size_t i = first; i < last; ++i) std::memcpy(edits_[i].place, edits_[i].code, edits_[i].bytes);
      __builtin___clear_cache(reinterpret_cast<char*>(begin), reinterpret_cast<char*>(end));
      mprotect(pages, end - begin, before);
    }
    return static_cast<int>(edits_.size());
  }

 private:
  struct Spare {
    std::uint8_t *begin, *end;
  };

  std::uint8_t* address(std::uint64_t vaddr) const { return reinterpret_cast<std::uint8_t*>(map_->l_addr + vaddr); }

  const ElfW(Phdr)* segment_of(const Edit& edit) const { return file_.segment_of(reinterpret_cast<std::uintptr_t>(edit.place) - map_->l_addr); }

  // Names that are none of the table's belong to the runtime if they lie among its entry points: newer or undocumented functions, which
  // must not run. The program's own functions lie elsewhere.
  bool is_ours_to_redirect(const Definition& d) const {
    if (!whole_ && file_.is_exported(d.text)) return false;
    if (d.name >= 0) return true;
    const char* word = d.text + (d.text[0] == '_' ? std::strlen("__cuda") : std::strlen("cuda"));
    return whole_ && d.vaddr > lowest_ && d.vaddr < highest_ && *word >= 'A' && *word <= 'Z';
  }

  const void* target(const Definition& d) const { return d.name >= 0 ? stub(flavour_, d.name) : unknown_stub(d.text); }

  // A body shorter than a far jump: a near one to the rest of a larger body, where the far one stands.
  void plan_small(const Definition& d) {
    std::uint8_t* place = address(d.vaddr) + landing_bytes(d.code, d.room);
    const std::size_t room = d.room - landing_bytes(d.code, d.room);
    for (Spare& spare : spare_) {
      std::uint8_t* island = reinterpret_cast<std::uint8_t*>(reinterpret_cast<std::uintptr_t>(spare.begin) & ~std::uintptr_t{15});
      if (room < kNearJumpBytes || spare.end - island < static_cast<std::ptrdiff_t>(kJumpBytes)) continue;
      std::uint8_t code[kMostBytes];
      const std::size_t bytes = write_near_jump(code, place, island);
      if (bytes == 0) continue;
      Edit& far = add(island);
      far.bytes = write_jump(far.code, target(d));
      Edit& near = add(place);
      near.bytes = bytes;
      std::memcpy(near.code, code, bytes);
      spare.begin = island + kJumpBytes + 15;
      return;
    }
    if (d.name >= 0) say("%s: %s is too short there to be redirected; calls of it fail", path_, d.text);
  }

  Edit& add(std::uint8_t* place) { return edits_.emplace_back(Edit{place, 0, {}}); }

  const link_map* map_;
  const ModuleFile& file_;
  const char* path_;
  int known_ = 0;
  int flavour_ = 0;
  bool whole_ = false;
  std::uint64_t lowest_ = ~std::uint64_t{0}, highest_ = 0;
  std::vector<Edit> edits_;
  std::vector<Spare> spare_;
};

bool is_traced() {
  const char* trace = std::getenv("ANYWARP_TRACE");
  return trace && std::strcmp(trace, "1") == 0;
}

}  // namespace

void redirect_module(const link_map* map, bool has_run) {
  const char* path = map->l_name && *map->l_name ? map->l_name : "/proc/self/exe";
  const ModuleFile file(path, map);
  if (file.definitions().empty() && !file.has_device_code()) return;
  char program[4096];
  if (path[1] == 'p' && std::strcmp(path, "/proc/self/exe") == 0) {
    const ssize_t bytes = readlink(path, program, sizeof program - 1);
    if (bytes > 0) program[bytes] = 0, path = program;
  }
  if (file.soname().starts_with("libcudart.so") && is_own_library(file)) return;
  Module module(map, file, path);
  module.count();
  if (!module.has_runtime()) {
    if (file.has_device_code() && !file.imports_runtime())
      say("%s: it has the CUDA runtime inside, and its symbols were stripped, so that calls cannot be sent to Anywarp and fail. "
          "What helps: link it with `nvcc -cudart shared`, or do not strip it.", path);
    return;
  }
  module.plan();
  const int written = module.write();
  if (written > 0 && is_traced()) say("%s: %d places in it lead to libcudart.so.%s now", path, written, kFlavourNames[module.flavour()]);
  if (written > 0 && has_run)
    for (const std::uint64_t vaddr : file.registrations()) reinterpret_cast<void (*)()>(map->l_addr + vaddr)();
}

void say(const char* format, ...) {
  char line[8192];
  const int head = std::snprintf(line, sizeof line, "anywarp: ");
  va_list arguments;
  va_start(arguments, format);
  int bytes = head + std::vsnprintf(line + head, sizeof line - static_cast<std::size_t>(head) - 1, format, arguments);
  va_end(arguments);
  bytes = std::min(bytes, static_cast<int>(sizeof line) - 2);
  line[bytes++] = '\n';
  if (::write(STDERR_FILENO, line, static_cast<std::size_t>(bytes)) < 0) return;  // nowhere to say it
}

}  // namespace anywarp::redirect
