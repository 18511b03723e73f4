// Kernels written by hand to the ABI of src/anywarp/abi.py, in place of compiled PTX. Straight kernels run whole CTAs; stepped ones keep
// their state in Warp.frame and return at their cuts.
#include "abi.h"

#include <string.h>

using namespace anywarp::abi;

#define KERNEL extern "C" __attribute__((visibility("default")))

namespace {

template <typename T>
T parameter(const Launch* launch, unsigned offset) {
  T value;
  memcpy(&value, launch->params + offset, sizeof value);
  return value;
}

void set_ctaid(const Launch* l, Cta* c, std::uint64_t i) {
  c->ctaid[0] = static_cast<std::uint32_t>(i % l->grid[0]);
  c->ctaid[1] = static_cast<std::uint32_t>(i / l->grid[0] % l->grid[1]);
  c->ctaid[2] = static_cast<std::uint32_t>(i / l->grid[0] / l->grid[1]);
}

}  // namespace

KERNEL void k_empty(const Launch*, Cta*, std::uint64_t, std::uint64_t) {}

// (float* y, const float* x, float a, u32 n)
KERNEL void k_saxpy(const Launch* l, Cta* c, std::uint64_t first, std::uint64_t count) {
  auto* y = parameter<float*>(l, 0);
  const auto* x = parameter<const float*>(l, 8);
  const auto a = parameter<float>(l, 16);
  const auto n = parameter<std::uint32_t>(l, 20);
  for (std::uint64_t i = first; i < first + count; ++i) {
    set_ctaid(l, c, i);
    for (std::uint32_t w = 0; w < l->warps; ++w) {
      c->current_warp = w;
      for (std::uint32_t t = w * 32; t < w * 32 + 32 && t < l->threads; ++t) {
        const std::uint64_t at = i * l->threads + t;
        if (at < n) y[at] = a * x[at] + y[at];
      }
    }
  }
}

// (u32* hits): counts every CTA once, and spends some time.
KERNEL void k_count(const Launch* l, Cta* c, std::uint64_t first, std::uint64_t count) {
  auto* hits = parameter<std::uint32_t*>(l, 0);
  const auto work = parameter<std::uint32_t>(l, 8);
  for (std::uint64_t i = first; i < first + count; ++i) {
    set_ctaid(l, c, i);
    for (std::uint32_t k = 0; k < work; ++k) {
      __asm__ volatile("");
    }
    __atomic_fetch_add(&hits[i], 1, __ATOMIC_RELAXED);
  }
}

// (u32* sums): a block reduction: every thread puts its index into shared memory, barrier, warp 0 adds them up.
KERNEL std::uint32_t k_reduce(const Launch* l, Cta* c, Warp* w) {
  auto* shared = reinterpret_cast<std::uint32_t*>(c->shared);
  if (w->pc == 0) {
    for (std::uint32_t lane = 0; lane < 32; ++lane)
      if (w->live >> lane & 1) shared[w->index * 32 + lane] = w->index * 32 + lane + c->ctaid[0];
    w->pc = 1;
    w->arrived = w->live;
    w->barrier_id = 0;
    w->barrier_threads = 0;
    w->barrier_reduction = 0;
    return static_cast<std::uint32_t>(Status::BARRIER);
  }
  if (w->index == 0) {
    std::uint32_t sum = 0;
    for (std::uint32_t t = 0; t < l->threads; ++t) sum += shared[t];
    parameter<std::uint32_t*>(l, 0)[c->ctaid[0]] = sum;
  }
  return static_cast<std::uint32_t>(Status::EXITED);
}

// (u32 count): `count` barriers one after the other; warp 1 and up, odd ones, leave early at their own number.
KERNEL std::uint32_t k_barriers(const Launch* l, Cta*, Warp* w) {
  const auto count = parameter<std::uint32_t>(l, 0);
  const auto early = parameter<std::uint32_t>(l, 4);
  if (w->pc == count || (early != 0 && (w->index & 1) != 0 && w->pc == w->index)) return static_cast<std::uint32_t>(Status::EXITED);
  ++w->pc;
  w->arrived = w->live;
  w->barrier_id = 0;
  w->barrier_threads = 0;
  w->barrier_reduction = 0;
  return static_cast<std::uint32_t>(Status::BARRIER);
}

// (u32* out): barrier.red.{popc,and,or} with the predicate "thread index is odd"; out[3 * cta + 0..2].
KERNEL std::uint32_t k_reductions(const Launch* l, Cta* c, Warp* w) {
  auto* out = parameter<std::uint32_t*>(l, 0);
  if (w->pc > 0 && w->index == l->warps - 1) out[3 * c->ctaid[0] + w->pc - 1] = w->barrier_result;
  if (w->pc == 3) return static_cast<std::uint32_t>(Status::EXITED);
  ++w->pc;
  w->arrived = w->live;
  w->barrier_id = 3;
  w->barrier_threads = 0;
  w->barrier_reduction = w->pc;  // POPC, AND, OR
  w->barrier_predicates = 0xaaaaaaaa;
  return static_cast<std::uint32_t>(Status::BARRIER);
}

// Named barriers: producers (even warps) arrive at 1 and go on to 2; consumers (odd) wait at 1, then arrive at 2. (u32* log)
KERNEL std::uint32_t k_named(const Launch* l, Cta* c, Warp* w) {
  auto* shared = reinterpret_cast<std::uint32_t*>(c->shared);
  auto* out = parameter<std::uint32_t*>(l, 0);
  const bool producer = (w->index & 1) == 0;
  const std::uint32_t all = l->warps * 32;
  switch (w->pc++) {
    case 0:
      if (producer) shared[w->index] = 100 + w->index;
      w->arrived = w->live;
      w->barrier_id = 1;
      w->barrier_threads = all;
      w->barrier_reduction = 0;
      return static_cast<std::uint32_t>(producer ? Status::ARRIVED : Status::BARRIER);
    case 1:
      if (!producer) out[c->ctaid[0] * 32 + w->index] = shared[w->index - 1];
      w->arrived = w->live;
      w->barrier_id = 2;
      w->barrier_threads = all;
      w->barrier_reduction = 0;
      return static_cast<std::uint32_t>(producer ? Status::BARRIER : Status::ARRIVED);
    default: return static_cast<std::uint32_t>(Status::EXITED);
  }
}

// Warp 0 waits at barrier 1 for more threads than there are.
KERNEL std::uint32_t k_deadlock(const Launch*, Cta*, Warp* w) {
  w->arrived = w->live;
  w->barrier_id = 1;
  w->barrier_threads = 1024;
  w->barrier_reduction = 0;
  return static_cast<std::uint32_t>(Status::BARRIER);
}

// (u32* flags, u32 n): CTA i waits until flag i + 1 is set, the last sets its own: nobody finishes unless all are resident or rotate.
KERNEL std::uint32_t k_chain(const Launch* l, Cta* c, Warp* w) {
  auto* flags = parameter<std::uint32_t*>(l, 0);
  const auto n = parameter<std::uint32_t>(l, 8);
  const std::uint32_t i = c->ctaid[0];
  w->pc = 1;
  if (i + 1 < n && __atomic_load_n(&flags[i + 1], __ATOMIC_ACQUIRE) == 0) return static_cast<std::uint32_t>(Status::YIELD);
  __atomic_store_n(&flags[i], 1, __ATOMIC_RELEASE);
  return static_cast<std::uint32_t>(Status::EXITED);
}

// (u32* flag, u32 wait_for, u32 set): waits for a value in memory, then stores another.
KERNEL std::uint32_t k_wait_value(const Launch* l, Cta*, Warp* w) {
  auto* flag = parameter<std::uint32_t*>(l, 0);
  w->pc = 1;
  if (__atomic_load_n(flag, __ATOMIC_ACQUIRE) != parameter<std::uint32_t>(l, 8)) return static_cast<std::uint32_t>(Status::YIELD);
  __atomic_store_n(flag, parameter<std::uint32_t>(l, 12), __ATOMIC_RELEASE);
  return static_cast<std::uint32_t>(Status::EXITED);
}

// (u32* counter, u32* out): a grid barrier by an atomic counter, after which everybody must see every arrival.
KERNEL std::uint32_t k_grid_barrier(const Launch* l, Cta* c, Warp* w) {
  auto* counter = parameter<std::uint32_t*>(l, 0);
  if (w->pc == 0) {
    __atomic_fetch_add(counter, 1, __ATOMIC_ACQ_REL);
    w->pc = 1;
  }
  if (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < l->grid[0]) return static_cast<std::uint32_t>(Status::YIELD);
  parameter<std::uint32_t*>(l, 8)[c->ctaid[0]] = 1;
  return static_cast<std::uint32_t>(Status::EXITED);
}

// (u32* out): every CTA of a cluster writes its rank into its shared memory, cluster barrier, reads its right neighbour's.
KERNEL std::uint32_t k_cluster(const Launch* l, Cta* c, Warp* w) {
  const std::uint32_t size = l->cluster[0] * l->cluster[1] * l->cluster[2];
  switch (w->pc++) {
    case 0:
      if (w->index == 0) *reinterpret_cast<std::uint32_t*>(c->shared) = 1000 + c->cluster_rank;
      w->arrived = w->live;
      return static_cast<std::uint32_t>(Status::CLUSTER_ARRIVED);
    case 1: return static_cast<std::uint32_t>(Status::CLUSTER_WAIT);
    default:
      if (w->index == 0)
        parameter<std::uint32_t*>(l, 0)[c->ctaid[1] * l->grid[0] + c->ctaid[0]] =
            *reinterpret_cast<std::uint32_t*>(c->cluster[(c->cluster_rank + 1) % size]);
      return static_cast<std::uint32_t>(Status::EXITED);
  }
}

// (u32* pointer, u32 cta): thread 0 of the CTA writes to the pointer.
KERNEL void k_write(const Launch* l, Cta* c, std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t i = first; i < first + count; ++i) {
    set_ctaid(l, c, i);
    c->current_warp = l->warps - 1;
    if (i == parameter<std::uint32_t>(l, 8)) *parameter<volatile std::uint32_t*>(l, 0) = 7;  // k_write faults here
  }
}

// (u32 reason, u64 detail)
KERNEL void k_trap(const Launch* l, Cta* c, std::uint64_t first, std::uint64_t) {
  set_ctaid(l, c, first);
  c->current_warp = 0;
  l->services->trap(l, c, 1u << 5, parameter<std::uint32_t>(l, 0), parameter<std::uint64_t>(l, 8));
}

KERNEL std::uint32_t k_stepped_trap(const Launch* l, Cta* c, Warp* w) {
  if (w->pc == 0) {
    w->pc = 1;
    w->arrived = w->live;
    w->barrier_id = 0;
    w->barrier_threads = 0;
    w->barrier_reduction = 0;
    return static_cast<std::uint32_t>(Status::BARRIER);
  }
  if (w->index == 1 && c->ctaid[0] == 3) l->services->trap(l, c, w->live, 0, 0);
  return static_cast<std::uint32_t>(Status::EXITED);
}

// (u32 depth): recurses until the stack ends.
namespace {
__attribute__((noinline)) std::uint32_t recurse(std::uint32_t depth) {
  volatile char big[4096];
  big[0] = static_cast<char>(depth);
  if (depth == 0) return 0;
  return recurse(depth - 1) + static_cast<std::uint32_t>(big[0]);
}
}  // namespace
KERNEL void k_recurse(const Launch* l, Cta*, std::uint64_t, std::uint64_t) { recurse(parameter<std::uint32_t>(l, 0)); }

// (u64 format, u64 string): prints for the lanes 0 and 2 of each CTA: int, double and string.
KERNEL void k_printf(const Launch* l, Cta* c, std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t i = first; i < first + count; ++i) {
    set_ctaid(l, c, i);
    c->current_warp = 0;
    struct Packed {
      std::int32_t i;
      double d;
      std::uint64_t s;
    } packed[32];
    std::uint64_t formats[32], arguments[32];
    std::uint32_t results[32];
    for (int lane = 0; lane < 32; ++lane) {
      packed[lane].i = lane * 10;
      packed[lane].d = lane + 0.5;
      packed[lane].s = parameter<std::uint64_t>(l, 8);
      formats[lane] = parameter<std::uint64_t>(l, 0);
      arguments[lane] = reinterpret_cast<std::uint64_t>(&packed[lane]);
    }
    l->services->vprintf(l, c, 5, formats, arguments, results);
  }
}

// (u32* freed): every lane allocates 100 bytes, writes them, frees them; counts nulls.
KERNEL void k_malloc(const Launch* l, Cta* c, std::uint64_t first, std::uint64_t count) {
  auto* failures = parameter<std::uint32_t*>(l, 0);
  const auto size = parameter<std::uint64_t>(l, 8);
  for (std::uint64_t i = first; i < first + count; ++i) {
    set_ctaid(l, c, i);
    std::uint64_t bytes[32], addresses[32];
    for (auto& b : bytes) b = size;
    l->services->malloc(l, c, ~0u, bytes, addresses);
    for (int lane = 0; lane < 32; ++lane) {
      if (addresses[lane] == 0)
        __atomic_fetch_add(failures, 1, __ATOMIC_RELAXED);
      else
        memset(reinterpret_cast<void*>(addresses[lane]), lane, size);
    }
    l->services->free(l, c, ~0u, addresses);
  }
}

// (u64 message, u64 file, u64 function)
KERNEL void k_assert(const Launch* l, Cta* c, std::uint64_t first, std::uint64_t) {
  set_ctaid(l, c, first);
  c->current_warp = 1;
  std::uint64_t messages[32], files[32], functions[32];
  std::uint32_t lines[32];
  for (int lane = 0; lane < 32; ++lane) {
    messages[lane] = parameter<std::uint64_t>(l, 0);
    files[lane] = parameter<std::uint64_t>(l, 8);
    functions[lane] = parameter<std::uint64_t>(l, 16);
    lines[lane] = 42;
  }
  l->services->assertfail(l, c, 1u << 3, messages, files, lines, functions);
}

// Adds the module's variable `table` (symbol 0) into `counter` (symbol 1); uses constants, a jump table and library calls.
KERNEL void k_symbols(const Launch* l, Cta*, std::uint64_t, std::uint64_t) {
  const auto* table = reinterpret_cast<const std::uint32_t*>(l->symbols[0]);
  auto* counter = reinterpret_cast<std::uint32_t*>(l->symbols[1]);
  std::uint32_t sum = 0;
  for (int i = 0; i < 4; ++i) sum += table[i];
  *counter += sum;
}

// (f64* out): what external calls, constants and writable data give.
namespace {
std::uint32_t calls;  // .bss
std::uint32_t start = 5;  // .data
}  // namespace
KERNEL void k_relocations(const Launch* l, Cta*, std::uint64_t, std::uint64_t) {
  auto* out = parameter<double*>(l, 0);
  const auto mode = parameter<std::uint32_t>(l, 8);
  ++calls;
  out[0] = __builtin_fmod(out[0], 7.25);
  switch (mode) {
    case 0: out[1] = 10; break;
    case 1: out[1] = -3; break;
    case 2: out[1] = 77; break;
    case 3: out[1] = 1e9; break;
    case 4: out[1] = 5; break;
    case 5: out[1] = 0.5; break;
    default: out[1] = start + calls;
  }
  memset(out + 2, static_cast<int>(mode), 64);
}

// (u32* smids): the first thread's worker of each CTA. (u32* local_ok): local memory of the scratch warp is writable.
KERNEL void k_local(const Launch* l, Cta* c, std::uint64_t first, std::uint64_t count) {
  auto* out = parameter<std::uint32_t*>(l, 0);
  for (std::uint64_t i = first; i < first + count; ++i) {
    memset(c->warps[0].local, static_cast<int>(i), 32 * 48);
    c->shared[l->total_shared - 1] = static_cast<std::uint8_t>(i);
    out[i] = c->warps[0].local[32 * 48 - 1];
  }
}
