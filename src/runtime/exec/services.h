// The functions that compiled code calls (abi.py, SERVICES): printf, malloc and free, assertions, traps, time.
#pragma once

#include <string>

#include "abi.h"
#include "fault.h"

namespace anywarp {

extern const abi::Services kServices;

// Formats one printf call of one thread: `format` and the strings that %s names are C strings in memory that may not be accessible;
// `arguments` is the packed buffer of CUDA's vprintf (each argument at its natural alignment, at least four bytes; floats as doubles).
// Appends to `out`. Returns the number of arguments used, or -1 for a null format. On a bad address `fault` says so.
int format_printf(const char* format, const std::uint8_t* arguments, std::string* out, Fault* fault);

// Writes what kernels have printed to stdout. Called at synchronisation; cheap if there is nothing.
void flush_printf();

}  // namespace anywarp
