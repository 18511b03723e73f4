// Bounds on the time of kernels, which settings give: the watchdog's (CUDA_ERROR_LAUNCH_TIMEOUT), and the patience of those who end a context.
#pragma once

#include <cstdint>

namespace anywarp {

// $ANYWARP_LAUNCH_TIMEOUT in seconds; 0: kernels may run for ever.
double watchdog_seconds();
// When a kernel that starts now has to be done, by now_ns(); 0: never. The first call starts the watchdog's thread where there is a bound.
std::uint64_t watchdog_deadline();
// $ANYWARP_STOP_TIMEOUT: how long whoever destroys a context waits for a kernel to end.
std::uint64_t stop_patience_ns();

}  // namespace anywarp
