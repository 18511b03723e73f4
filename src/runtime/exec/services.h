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

// Copies from or to memory that may not be there; false: `fault` says why.
bool copy_guarded(void* to, const void* from, std::size_t bytes, Fault* fault);

class Grid;

// One lane's call of a function of the device runtime (abi::DeviceFunction). `thread`: its number in the grid. A bad address of the kernel's is
// left in `fault`. The driver has it (driver/device_runtime.h); without one every call gives cudaErrorNotSupported.
using DeviceRuntime = std::uint64_t (*)(Grid& grid, const abi::Cta& cta, std::uint64_t thread, abi::DeviceFunction function,
                                        const std::uint64_t* arguments, Fault* fault);
void set_device_runtime(DeviceRuntime runtime);

// Writes what kernels have printed to stdout. Called at synchronisation; cheap if there is nothing.
void flush_printf();

}  // namespace anywarp
