// Manual: initialization; version management.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult init(unsigned flags);
CUresult driverGetVersion(int* version);

// cuInit has succeeded, this process is not a fork of the one that called it, and is not ending.
bool is_ready();
// The error of every other call while it is not: not_initialized or deinitialized.
CUresult why_not_ready();
// Calls wait, or no longer (checkpoint.h).
void set_locked(bool is_locked);
// The version that is reported: $ANYWARP_DRIVER_VERSION (13050, or "13.5"), else 13050.
int driver_version();

}  // namespace anywarp::driver
