// The functions that compiled code calls (abi.py, SERVICES): printf, malloc and free, assertions, traps, time.
#pragma once

#include <string>

#include "abi.h"

namespace anywarp {

class Context;

extern const abi::Services kServices;

// Formats one printf call of one thread: `format` and the strings that %s names are C strings in device memory; `arguments` is the packed
// buffer of CUDA's vprintf (each argument at its natural alignment; floats as doubles). Appends to `out`; returns the number of
// conversions, or -1 for a bad format.
int format_printf(const char* format, const std::uint8_t* arguments, std::string* out);

// Writes what kernels have printed to stdout. Called at synchronisation.
void flush_printf();

}  // namespace anywarp
