// The functions that kernels call (cuda_device_runtime_api.h): launches, copies, streams and events of a kernel, questions about the device.
// Their PTX half is ptx/device_runtime.py; what they start lives in exec/offspring.h, graphs in driver/graph_device.h.
#pragma once

namespace anywarp::driver {

// From now on kernels' calls are answered. Called by cuInit.
void serve_device_runtime();

}  // namespace anywarp::driver
