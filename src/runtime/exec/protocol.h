// Numbers and framing of the compiler's protocol (architecture, section 8). The other end is src/anywarp/compiler/protocol.py.
#pragma once

#include <cstdint>

namespace anywarp::protocol {

enum class Request : std::uint32_t { load = 1, compile = 2, link = 3, unload = 4 };
enum class Reply : std::uint32_t { module = 101, kernel = 102, image = 103, done = 104, error = 199 };

// Every message: u32 bytes of the payload, u32 type, the payload.
inline constexpr std::uint32_t kHeader = 8;
inline constexpr std::uint32_t kMaxPayload = 1u << 30;

}  // namespace anywarp::protocol
