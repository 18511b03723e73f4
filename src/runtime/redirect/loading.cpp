// The two ways in which the dynamic loader tells of modules that it has mapped and not yet initialised.
//
// Under `anywarp run` this is an audit library (LD_AUDIT, rtld-audit(7)): la_activity is called after the program and its libraries, and after
// every set of modules that dlopen brings, have been mapped, before any of their constructors has run.
//
// In a process that runs already (`import anywarp.auto`) the loader's own function for debuggers serves: <link.h> says of r_brk that it is always
// called when a mapping is complete, and that a debugger may set a breakpoint there. The function is empty; a jump is written over it.
// Where it does not look so, modules that are loaded later are not seen, and the caller is told.
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "redirect/jump.h"
#include "redirect/redirect.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace anywarp::redirect {
namespace {

// As an audit library: modules of which the loader has told, until they are complete. The loader's lock guards it.
std::vector<link_map*>& mapped() {
  static auto* modules = new std::vector<link_map*>;
  return *modules;
}

// In a running process: dynamic sections of the modules that have been looked at.
pthread_mutex_t g_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;  // registration functions may load modules
std::vector<const void*>& seen() {
  static auto* sections = new std::vector<const void*>;
  return *sections;
}

void look_at_new_modules(bool has_run) {
  std::vector<link_map*> fresh;
  pthread_mutex_lock(&g_lock);
  std::vector<const void*> now;
  for (link_map* map = _r_debug.r_map; map; map = map->l_next) {
    now.push_back(map->l_ld);
    if (!std::binary_search(seen().begin(), seen().end(), map->l_ld)) fresh.push_back(map);
  }
  std::sort(now.begin(), now.end());
  seen() = std::move(now);
  for (const link_map* map : fresh) redirect_module(map, has_run);
  pthread_mutex_unlock(&g_lock);
}

void mapping_has_changed() {
  if (_r_debug.r_state == r_debug::RT_CONSISTENT) look_at_new_modules(false);
}

// A page within a near jump's reach of `place`, with a far jump to `target` at its start; null where there is no room.
void* island_near(std::uint8_t* place, const void* target, std::size_t page) {
  constexpr std::intptr_t kReach = 100 << 20, kStep = 1 << 20;
  for (std::intptr_t distance = kStep; distance < kReach; distance += kStep) {
    for (const std::intptr_t offset : {-distance, distance}) {
      void* wanted = reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(place) + static_cast<std::uintptr_t>(offset)) & ~(page - 1));
      void* island = mmap(wanted, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
      if (island == MAP_FAILED) continue;
      if (island == wanted) {  // kernels before 4.17 take the address for a hint
        const std::size_t bytes = write_jump(static_cast<std::uint8_t*>(island), target);
        mprotect(island, page, PROT_READ | PROT_EXEC);
        __builtin___clear_cache(static_cast<char*>(island), static_cast<char*>(island) + bytes);
        return island;
      }
      munmap(island, page);
    }
  }
  return nullptr;
}

// Writes the jump over the loader's empty function; false where it is not empty or nothing is free near it.
bool take_breakpoint() {
  auto* function = reinterpret_cast<std::uint8_t*>(_r_debug.r_brk);
  if (!function) return false;
  const std::size_t landing = landing_bytes(function, 4);
#if defined(__x86_64__)
  const std::size_t body = function[landing] == 0xc3 ? landing + 1 : 0;  // ret
#else
  std::uint32_t first;
  std::memcpy(&first, function + landing, sizeof first);
  const std::size_t body = first == 0xd65f03c0 ? landing + 4 : 0;  // ret
#endif
  // On x86-64 the body may be one byte; functions start at multiples of 16 there, so the filler up to the next is no one else's.
  const std::size_t room = 16 - reinterpret_cast<std::uintptr_t>(function) % 16;
  if (body == 0 || (body < kNearJumpBytes && body + filler_bytes(function + body, room - std::min(room, body)) < kNearJumpBytes)) return false;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const void* island = island_near(function, reinterpret_cast<const void*>(&mapping_has_changed), page);
  std::uint8_t code[kMostBytes];
  const std::size_t bytes = island ? write_near_jump(code, function, island) : 0;
  void* start = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(function) & ~(page - 1));
  if (bytes == 0 || mprotect(start, page, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) return false;
  std::memcpy(function, code, bytes);
  __builtin___clear_cache(reinterpret_cast<char*>(function), reinterpret_cast<char*>(function + bytes));
  mprotect(start, page, PROT_READ | PROT_EXEC);
  return true;
}

}  // namespace
}  // namespace anywarp::redirect

using namespace anywarp::redirect;

EXPORT unsigned la_version(unsigned version) { return version; }

EXPORT unsigned la_objopen(link_map* map, Lmid_t, std::uintptr_t*) {
  mapped().push_back(map);
  return 0;  // no interest in calls between modules
}

EXPORT void la_activity(std::uintptr_t*, unsigned activity) {
  if (activity != LA_ACT_CONSISTENT) return;
  for (const link_map* map : mapped()) redirect_module(map, false);
  mapped().clear();
}

// A dlopen that fails half-way takes back what it has told of.
EXPORT unsigned la_objclose(std::uintptr_t* cookie) {
  std::erase_if(mapped(), [&](const link_map* map) { return reinterpret_cast<std::uintptr_t>(map) == *cookie; });
  return 0;
}

// Redirects what is loaded and, from now on, what will be. Once a process. 0, or 1 where later modules will not be seen.
EXPORT int anywarp_redirect_start() {
  static bool is_seen = false, has_started = false;
  pthread_mutex_lock(&g_lock);
  const bool first = !has_started;
  has_started = true;
  if (first) {
    look_at_new_modules(true);
    is_seen = take_breakpoint();
  }
  pthread_mutex_unlock(&g_lock);
  return is_seen ? 0 : 1;
}
