// The trace of API calls: ANYWARP_TRACE=1 (stderr) or a file's name (appended to). One line a call:
//
//     [1234] cuMemAlloc_v2(dptr=0x7ffd10 -> 0x7f0000000000, bytesize=1024) = CUDA_SUCCESS, 3.1 us
//
// In brackets the thread's id. What a pointer parameter points to is shown behind `->` if the call succeeded and the type says that it
// is one output value (a number, an enum or a handle). The generated entry points build the line, only while the trace is on.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

#include "cuda_abi.h"
#include "driver_enums.h"
#ifdef ANYWARP_TRACE_RUNTIME
#include "cudart_abi.h"
#include "cudart_enums.h"
#endif

namespace anywarp::trace {

// Reads the environment on the first call.
bool is_on();
std::uint64_t now_ns();

class Line {
 public:
  // `ok`: the call succeeded, its output parameters can be read.
  Line(const char* symbol, bool ok);

  template <typename T>
  Line& operator()(const char* name, T value) {
    separate(name);
    put(value);
    return *this;
  }
  // Ends the line and writes it.
  template <typename R>
  void finish(R result, std::uint64_t started_ns) {
    text_ += ") = ";
    put(result);
    write(started_ns);
  }
  void finish(std::uint64_t started_ns) {
    text_ += ')';
    write(started_ns);
  }

 private:
  template <typename T>
  void put(T value) {
    if constexpr (std::is_enum_v<T>) {
      if constexpr (requires { name_of(value); }) {
        if (const char* name = name_of(value)) {
          text_ += name;
          return;
        }
      }
      integer(static_cast<std::int64_t>(value));
    } else if constexpr (std::is_floating_point_v<T>) {
      real(value);
    } else if constexpr (std::is_integral_v<T>) {
      if constexpr (std::is_unsigned_v<T>) natural(value);
      else integer(value);
    } else if constexpr (std::is_same_v<T, const char*>) {
      string(value);
    } else if constexpr (std::is_pointer_v<T>) {
      pointer(reinterpret_cast<const void*>(value));
      using To = std::remove_pointer_t<T>;
      if constexpr (std::is_scalar_v<To> && !std::is_const_v<To> && !std::is_same_v<To, char> && !std::is_same_v<To, unsigned char>) {
        if (ok_ && value != nullptr) {
          text_ += " -> ";
          if constexpr (std::is_pointer_v<To> && !std::is_same_v<To, const char*>) pointer(reinterpret_cast<const void*>(*value));
          else put(*value);
        }
      }
    } else if constexpr (requires { value.x + value.y + value.z; }) {
      text_ += '{';
      natural(value.x), text_ += ", ", natural(value.y), text_ += ", ", natural(value.z);
      text_ += '}';
    } else {
      text_ += "{...}";
    }
  }
  void separate(const char* name);
  void natural(std::uint64_t value);
  void integer(std::int64_t value);
  void real(double value);
  void pointer(const void* value);
  void string(const char* value);
  void write(std::uint64_t started_ns);

  std::string text_;
  bool ok_;
  bool first_ = true;
};

// Says once a symbol, on stderr, that a function that a program called is not implemented. `reason`: the API table's, empty if it has none.
void report_missing(const char* symbol, const char* reason);

}  // namespace anywarp::trace
