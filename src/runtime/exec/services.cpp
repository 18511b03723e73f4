#include "services.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdio>
#include <cstring>
#include <mutex>

#include "engine.h"
#include "fiber.h"
#include "futex.h"
#include "grid.h"
#include "tensor.h"
#include "texture.h"

// The call in compiled code that a service was reached by.
#define CALLER (reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) - 1)

namespace anywarp {

namespace {

std::mutex output_mutex;
std::string output;  // printed by kernels, not yet written
std::atomic<bool> output_pending{false};

}  // namespace

bool copy_guarded(void* to, const void* from, std::size_t bytes, Fault* fault) {
  struct Call {
    void* to;
    const void* from;
    std::size_t bytes;
  } call{to, from, bytes};
  return Guard::run(
      [](void* argument) {
        const auto& c = *static_cast<const Call*>(argument);
        std::memcpy(c.to, c.from, c.bytes);
      },
      &call, fault);
}

namespace {

bool read_string(const char* from, std::string* out, Fault* fault) {
  struct Call {
    const char* from;
    std::size_t length;
  } call{from, 0};
  const bool ok = Guard::run(
      [](void* argument) {
        auto& c = *static_cast<Call*>(argument);
        c.length = std::strlen(c.from);
      },
      &call, fault);
  if (ok) out->assign(from, call.length);
  return ok;
}

struct Position {
  std::uint32_t thread[3];
};

Position position_of(const abi::Launch& launch, const abi::Cta& cta, std::uint32_t lane) {
  const std::uint32_t t = cta.current_warp * abi::kWarp + lane;
  return {{t % launch.block[0], t / launch.block[0] % launch.block[1], t / launch.block[0] / launch.block[1]}};
}

Grid& grid_of(const abi::Launch* launch) { return *static_cast<Grid*>(launch->runtime); }

void write_locked() {
  std::fwrite(output.data(), 1, output.size(), stdout);
  std::fflush(stdout);
  output.clear();
  output_pending.store(false, std::memory_order_relaxed);
}

template <typename F>
void for_lanes(std::uint32_t lanes, F f) {
  for (; lanes != 0; lanes &= lanes - 1) f(static_cast<std::uint32_t>(std::countr_zero(lanes)));
}

// A fault while a service reads the kernel's memory is the kernel's.
[[noreturn]] void leave_with(const Fault& fault, std::uintptr_t pc, std::uint32_t lanes) {
  Fault copy = fault;
  copy.pc = pc;
  copy.lanes = lanes;
  Guard::leave(std::move(copy));
}

void service_vprintf(const abi::Launch* launch, abi::Cta*, std::uint32_t lanes, const std::uint64_t* formats, const std::uint64_t* arguments,
                     std::uint32_t* results) {
  const auto pc = CALLER;
  Fault fault;
  std::uint32_t bad = 0;
  {
    const Guard::Critical critical;
    std::string text;
    for_lanes(lanes, [&](std::uint32_t lane) {
      if (bad != 0) return;
      const std::size_t before = text.size();
      results[lane] = static_cast<std::uint32_t>(format_printf(reinterpret_cast<const char*>(formats[lane]),
                                                               reinterpret_cast<const std::uint8_t*>(arguments[lane]), &text, &fault));
      if (fault.cause == Fault::Cause::none) return;
      bad = 1u << lane;
      text.resize(before);
    });
    const std::lock_guard lock(output_mutex);
    output += text;
    output_pending.store(true, std::memory_order_release);
    if (output.size() > grid_of(launch).context().printf_fifo_bytes.load(std::memory_order_relaxed)) write_locked();
  }
  if (bad != 0) leave_with(fault, pc, bad);
}

void service_malloc(const abi::Launch* launch, abi::Cta*, std::uint32_t lanes, const std::uint64_t* bytes, std::uint64_t* results) {
  const Guard::Critical critical;
  Context& context = grid_of(launch).context();
  for_lanes(lanes, [&](std::uint32_t lane) {
    results[lane] = 0;
    const std::uint64_t size = bytes[lane];
    const std::size_t limit = context.heap_bytes.load(std::memory_order_relaxed);
    if (size == 0 || size > limit) return;
    if (context.heap_used.fetch_add(size, std::memory_order_relaxed) + size > limit) {
      context.heap_used.fetch_sub(size, std::memory_order_relaxed);
      return;
    }
    void* p = nullptr;
    if (context.engine().arena().allocate(context.device(), size, 16, memory::Kind::heap, context.api_object(), 0, &p) == Result::success)
      results[lane] = reinterpret_cast<std::uint64_t>(p);
    else
      context.heap_used.fetch_sub(size, std::memory_order_relaxed);
  });
}

void service_free(const abi::Launch* launch, abi::Cta*, std::uint32_t lanes, const std::uint64_t* addresses) {
  const auto pc = CALLER;
  std::uint32_t bad = 0;
  {
    const Guard::Critical critical;
    Context& context = grid_of(launch).context();
    for_lanes(lanes, [&](std::uint32_t lane) {
      void* p = reinterpret_cast<void*>(addresses[lane]);
      if (p == nullptr || bad != 0) return;
      memory::Allocation found;
      memory::Arena& arena = context.engine().arena();
      if (!arena.lookup(p, &found) || found.base != addresses[lane] || found.kind != memory::Kind::heap ||
          arena.free(p) != Result::success)
        bad = 1u << lane;
      else
        context.heap_used.fetch_sub(found.size, std::memory_order_relaxed);
    });
  }
  if (bad != 0) {
    Fault fault;
    fault.cause = Fault::Cause::trap;
    fault.trap = abi::Trap::BAD_ADDRESS;
    fault.detail = addresses[std::countr_zero(bad)];
    leave_with(fault, pc, bad);
  }
}

void service_assertfail(const abi::Launch* launch, abi::Cta* cta, std::uint32_t lanes, const std::uint64_t* messages,
                        const std::uint64_t* files, const std::uint32_t* lines, const std::uint64_t* functions) {
  Fault fault;
  fault.cause = Fault::Cause::assertion;
  {
    const Guard::Critical critical;
    flush_printf();
    std::string all;
    for_lanes(lanes, [&](std::uint32_t lane) {
      Fault ignored;
      std::string message, file, function;
      const auto read = [&](std::uint64_t address, std::string* out) {
        if (address == 0 || !read_string(reinterpret_cast<const char*>(address), out, &ignored)) *out = "?";
      };
      read(messages[lane], &message);
      read(files[lane], &file);
      read(functions[lane], &function);
      const Position p = position_of(*launch, *cta, lane);
      char place[160];
      std::snprintf(place, sizeof place, ": block: [%u,%u,%u], thread: [%u,%u,%u] Assertion `", cta->ctaid[0], cta->ctaid[1], cta->ctaid[2],
                    p.thread[0], p.thread[1], p.thread[2]);
      all += file + ":" + std::to_string(lines[lane]) + ": " + function + place + message + "` failed.\n";
    });
    std::fwrite(all.data(), 1, all.size(), stderr);
  }
  leave_with(fault, CALLER, lanes);
}

void service_trap(const abi::Launch*, abi::Cta*, std::uint32_t lanes, std::uint32_t reason, std::uint64_t detail) {
  Fault fault;
  fault.cause = Fault::Cause::trap;
  fault.trap = static_cast<abi::Trap>(reason & 0xff);
  fault.line = reason >> 8;
  fault.detail = detail;
  leave_with(fault, CALLER, lanes);
}

std::uint64_t service_globaltimer() {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

// The caller yields afterwards, so that a short sleep is a turn of the others.
void service_nanosleep(std::uint32_t ns) {
  if (ns < 50'000) {
    pause_briefly();
    return;
  }
  const timespec pause{0, static_cast<long>(std::min(ns, 1'000'000u))};
  nanosleep(&pause, nullptr);
}

void service_yield(const abi::Launch*, abi::Cta*, abi::Warp* warp, std::uint32_t status) {
  static_cast<Fiber*>(warp->runtime)->suspend(status);
}

std::atomic<DeviceRuntime> device_runtime{nullptr};

void service_device(const abi::Launch* launch, abi::Cta* cta, std::uint32_t lanes, const std::uint64_t* functions, const std::uint64_t* arguments,
                    std::uint64_t* results) {
  const auto pc = CALLER;
  constexpr std::uint64_t kNotSupported = 801;
  Fault fault;
  std::uint32_t bad = 0;
  {
    const Guard::Critical critical;
    const DeviceRuntime runtime = device_runtime.load(std::memory_order_acquire);
    const std::uint64_t linear = (std::uint64_t{cta->ctaid[2]} * launch->grid[1] + cta->ctaid[1]) * launch->grid[0] + cta->ctaid[0];
    for_lanes(lanes, [&](std::uint32_t lane) {
      if (bad != 0) return;
      const std::uint64_t thread = linear * launch->threads + cta->current_warp * abi::kWarp + lane;
      results[lane] = runtime == nullptr ? kNotSupported
                                         : runtime(grid_of(launch), *cta, thread, static_cast<abi::DeviceFunction>(functions[lane]),
                                                   reinterpret_cast<const std::uint64_t*>(arguments[lane]), &fault);
      if (fault.cause != Fault::Cause::none) bad = 1u << lane;
    });
  }
  if (bad != 0) leave_with(fault, pc, bad);
}

// Probing variants run with services of their own (culprit.cpp).
void service_probe(const abi::Launch*, abi::Cta*, std::uint32_t, const std::uint64_t*, std::uint32_t, std::uint32_t) {}

}  // namespace

const abi::Services kServices = {service_vprintf, service_malloc,      service_free,     service_assertfail,
                                 service_trap,    service_globaltimer, service_nanosleep, service_tensor,
                                 service_texture, service_yield, service_probe, service_device};

void set_device_runtime(DeviceRuntime runtime) { device_runtime.store(runtime, std::memory_order_release); }

void flush_printf() {
  if (!output_pending.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(output_mutex);
  write_locked();
}

int format_printf(const char* format_address, const std::uint8_t* arguments, std::string* out, Fault* fault) {
  if (format_address == nullptr) return -1;
  std::string format;
  if (!read_string(format_address, &format, fault)) return -1;
  int used = 0;
  std::size_t offset = 0;
  bool ok = true;
  const auto fetch = [&](std::size_t bytes) -> std::uint64_t {
    offset = (offset + bytes - 1) / bytes * bytes;
    std::uint64_t value = 0;
    ok = ok && copy_guarded(&value, arguments + offset, bytes, fault);
    offset += bytes;
    ++used;
    return value;
  };
  for (std::size_t i = 0; i < format.size() && ok;) {
    if (format[i] != '%') {
      const std::size_t end = std::min(format.find('%', i), format.size());
      out->append(format, i, end - i);
      i = end;
      continue;
    }
    const std::size_t begin = i++;
    if (i < format.size() && format[i] == '%') {
      *out += '%';
      ++i;
      continue;
    }
    std::string spec = "%";
    while (i < format.size() && std::strchr("-+ #0'", format[i]) != nullptr) spec += format[i++];
    const auto number = [&] {
      if (i < format.size() && format[i] == '*') {
        ++i;
        spec += std::to_string(std::clamp(static_cast<std::int32_t>(fetch(4)), -4096, 4096));
        return;
      }
      std::size_t value = 0;
      bool any = false;
      for (; i < format.size() && format[i] >= '0' && format[i] <= '9'; ++i, any = true)
        value = std::min<std::size_t>(4096, value * 10 + static_cast<std::size_t>(format[i] - '0'));
      if (any) spec += std::to_string(value);
    };
    number();
    if (i < format.size() && format[i] == '.') {
      spec += '.';
      ++i;
      number();
    }
    std::string length;
    while (i < format.size() && std::strchr("hlLqjzt", format[i]) != nullptr) length += format[i++];
    if (!ok) break;
    if (i >= format.size()) {
      out->append(format, begin, std::string::npos);
      break;
    }
    const char conversion = format[i++];
    char buffer[8192];
    int written = -1;
    switch (conversion) {
      case 'd': case 'i': case 'u': case 'o': case 'x': case 'X': {
        const bool wide = length == "l" || length == "ll" || length == "q" || length == "j" || length == "z" || length == "t";
        std::uint64_t value = fetch(wide ? 8 : 4);
        const bool is_signed = conversion == 'd' || conversion == 'i';
        if (!wide && is_signed) value = static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(value)));
        if (length == "h") value = is_signed ? static_cast<std::uint64_t>(static_cast<std::int16_t>(value)) : value & 0xffff;
        if (length == "hh") value = is_signed ? static_cast<std::uint64_t>(static_cast<std::int8_t>(value)) : value & 0xff;
        spec += "ll";
        spec += conversion;
        written = std::snprintf(buffer, sizeof buffer, spec.c_str(), static_cast<unsigned long long>(value));
        break;
      }
      case 'c':
        spec += 'c';
        written = std::snprintf(buffer, sizeof buffer, spec.c_str(), static_cast<int>(fetch(4)));
        break;
      case 'e': case 'E': case 'f': case 'F': case 'g': case 'G': case 'a': case 'A':
        spec += conversion;
        written = std::snprintf(buffer, sizeof buffer, spec.c_str(), std::bit_cast<double>(fetch(8)));
        break;
      case 'p':
        spec += 'p';
        written = std::snprintf(buffer, sizeof buffer, spec.c_str(), reinterpret_cast<void*>(fetch(8)));
        break;
      case 's': {
        const auto* address = reinterpret_cast<const char*>(fetch(8));
        std::string text = "(null)";
        if (ok && address != nullptr) ok = read_string(address, &text, fault);
        if (!ok) break;
        spec += 's';
        const int size = std::snprintf(nullptr, 0, spec.c_str(), text.c_str());
        if (size > 0) {
          const std::size_t at = out->size();
          out->resize(at + static_cast<std::size_t>(size) + 1);
          std::snprintf(out->data() + at, static_cast<std::size_t>(size) + 1, spec.c_str(), text.c_str());
          out->resize(at + static_cast<std::size_t>(size));
        }
        break;
      }
      default:  // no conversion that is known: printed as it stands
        out->append(format, begin, i - begin);
    }
    if (ok && written > 0) out->append(buffer, std::min<std::size_t>(static_cast<std::size_t>(written), sizeof buffer - 1));
  }
  return used;
}

}  // namespace anywarp
