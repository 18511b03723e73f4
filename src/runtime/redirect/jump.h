// The machine code that is written over an entry point's first bytes.
//
// A far jump takes an address anywhere; a near jump reaches places in the same module, where a far jump then stands in the rest of a
// larger body (nobody runs that any more). Registers that a call may not keep are the only ones used.
#pragma once

#include <cstddef>
#include <cstdint>

namespace anywarp::redirect {

#if defined(__x86_64__)
constexpr std::size_t kJumpBytes = 14;     // jmp *0(%rip); the address
constexpr std::size_t kNearJumpBytes = 5;  // jmp rel32
#elif defined(__aarch64__)
constexpr std::size_t kJumpBytes = 16;     // ldr x16, 8; br x16; the address
constexpr std::size_t kNearJumpBytes = 4;  // b
#endif

// The most that is written at the start of a function: landing mark and far jump.
constexpr std::size_t kMostBytes = kJumpBytes + 4;

// Bytes at the start of a function that must stay: the mark of places where an indirect call may arrive (endbr64, bti).
std::size_t landing_bytes(const std::uint8_t* code, std::size_t bytes);

// How many of `bytes` are filler (no-operations and traps as assemblers put between functions), from `code` on.
std::size_t filler_bytes(const std::uint8_t* code, std::size_t bytes);

// Writes a jump to `out` and returns its bytes. A near one will stand at `place`; 0 where `target` is too far from there.
std::size_t write_jump(std::uint8_t* out, const void* target);
std::size_t write_near_jump(std::uint8_t* out, const void* place, const void* target);

// At `code` stands a jump, far or near, as written above.
bool is_jump(const std::uint8_t* code);

}  // namespace anywarp::redirect
