// Runtime functions that are functions of the driver under another name. The API table equates them (`= cuNAME`), the generated entry
// points call `forward`, which makes a context current and converts what the two APIs name differently: pointers to structs and enums of one
// layout, addresses as pointers or numbers. tests/api/test_table.py compares the layouts; sizes are checked here as well.
#pragma once

#include <bit>
#include <type_traits>

#include "cudart/runtime.h"

namespace anywarp::cudart {

template <typename T>
concept Complete = requires { sizeof(T); };

template <typename To, typename From>
To pass(From from) {
  if constexpr (std::is_same_v<To, From>) {
    return from;
  } else if constexpr (std::is_pointer_v<To> && std::is_pointer_v<From>) {
    using A = std::remove_pointer_t<To>;
    using B = std::remove_pointer_t<From>;
    if constexpr (!std::is_function_v<A> && Complete<A> && Complete<B>) static_assert(sizeof(A) == sizeof(B));
    return (To)from;  // NOLINT: the driver's prototypes lack some `const`
  } else if constexpr (std::is_pointer_v<From>) {
    return reinterpret_cast<To>(from);
  } else if constexpr (std::is_class_v<From>) {
    return std::bit_cast<To>(from);
  } else {
    static_assert(!std::is_pointer_v<To>);
    return static_cast<To>(from);
  }
}

template <typename... To, typename... From>
cudaError_t forward(CUresult (*function)(To...), From... arguments) {
  static_assert(sizeof...(To) == sizeof...(From));
  CUDART_TRY(use_context());
  return error_of(function(pass<To>(arguments)...));
}

}  // namespace anywarp::cudart
