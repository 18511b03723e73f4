// Manual: execution control.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult funcGetAttribute(int* value, CUfunction_attribute attribute, CUfunction function);
CUresult funcSetAttribute(CUfunction function, CUfunction_attribute attribute, int value);
CUresult funcSetCacheConfig(CUfunction function, CUfunc_cache config);
CUresult funcGetModule(CUmodule* module, CUfunction function);
CUresult funcGetName(const char** name, CUfunction function);
CUresult funcGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* bytes);
CUresult funcGetParamCount(CUfunction function, size_t* count);
CUresult funcIsLoaded(CUfunctionLoadingState* state, CUfunction function);
CUresult funcLoad(CUfunction function);
CUresult launchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                      unsigned shared_bytes, CUstream stream, void** params, void** extra);
CUresult launchKernelEx(const CUlaunchConfig* config, CUfunction function, void** params, void** extra, CUstream default_stream);
CUresult launchCooperativeKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                                 unsigned block_z, unsigned shared_bytes, CUstream stream, void** params);
CUresult launchHostFunc_v1(CUstream stream, CUhostFn function, void* data);
CUresult launchHostFunc_v2(CUstream stream, CUhostFn function, void* data, unsigned mode);

// Any function or kernel, checked; for a kernel the function in the current context.
CUresult use_function(CUfunction handle, CUfunc_st** out);
// The compiled code of any variant: what registers and shared memory a function takes. Compiles if need be.
CUresult code_of(CUfunc_st& function, const KernelCode** code);
// How many threads a block of the function may have.
int max_threads(const CUfunc_st& function, const KernelCode& code, const struct Device& device);
// Launches, or adds a node to the graph that the stream captures.
// `device_node`: the node is one that kernels may change, and its handle is given; invalid_value if the stream does not capture.
CUresult launch_function(const StreamUse& use, CUfunction handle, const LaunchShape& shape, void** params, void** extra,
                         CUgraphDeviceNode* device_node = nullptr);
// Of a launch configuration's attributes those that change the shape. invalid_value for unknown ones.
CUresult read_attributes(const CUlaunchAttribute* attributes, unsigned count, LaunchShape* shape);
// `extra` as the engine takes it; invalid_value if it is malformed.
CUresult read_extra(void** extra, Arguments* out);

}  // namespace anywarp::driver
