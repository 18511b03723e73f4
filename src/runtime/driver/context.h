// Manual: context management.
#pragma once

#include <functional>

#include "driver/objects.h"

namespace anywarp::driver {

CUresult ctxCreate_v2(CUcontext* context, unsigned flags, CUdevice device);
CUresult ctxCreate_v3(CUcontext* context, CUexecAffinityParam* affinities, int count, unsigned flags, CUdevice device);
CUresult ctxCreate_v4(CUcontext* context, CUctxCreateParams* parameters, unsigned flags, CUdevice device);
CUresult ctxDestroy(CUcontext context);
CUresult ctxPushCurrent(CUcontext context);
CUresult ctxPopCurrent(CUcontext* context);
CUresult ctxSetCurrent(CUcontext context);
CUresult ctxGetCurrent(CUcontext* context);
CUresult ctxGetDevice_v1(CUdevice* device);
CUresult ctxGetDevice_v2(CUdevice* device, CUcontext context);
CUresult ctxGetFlags(unsigned* flags);
CUresult ctxSetFlags(unsigned flags);
CUresult ctxGetId(CUcontext context, unsigned long long* id);
CUresult ctxSynchronize_v1();
CUresult ctxSynchronize_v2(CUcontext context);
CUresult ctxSetLimit(CUlimit limit, size_t value);
CUresult ctxGetLimit(size_t* value, CUlimit limit);
CUresult ctxGetCacheConfig(CUfunc_cache* config);
CUresult ctxSetCacheConfig(CUfunc_cache config);
CUresult ctxGetSharedMemConfig(CUsharedconfig* config);
CUresult ctxSetSharedMemConfig(CUsharedconfig config);
CUresult ctxGetApiVersion(CUcontext context, unsigned* version);
CUresult ctxGetStreamPriorityRange(int* least, int* greatest);
CUresult ctxResetPersistingL2Cache();
CUresult ctxGetExecAffinity(CUexecAffinityParam* affinity, CUexecAffinityType type);
CUresult ctxRecordEvent(CUcontext context, CUevent event);
CUresult ctxWaitEvent(CUcontext context, CUevent event);
CUresult ctxAttach(CUcontext* context, unsigned flags);
CUresult ctxDetach(CUcontext context);

// cuCtxGetLimit of a context.
CUresult limit_of(const CUctx_st& context, CUlimit limit, std::size_t* value);
std::uint64_t next_context_id();
bool are_context_flags(unsigned flags);
// Makes a context ready for work (its engine's half is made), and the reverse: waits for its work, then destroys its streams, events,
// modules and memory.
void start_context(CUctx_st& context);
void stop_context(CUctx_st& context);
// Those that are active.
void for_all_contexts(const std::function<void(CUctx_st&)>& visit);
// The top of the calling thread's stack, unchecked; null if it is empty. Of a green context's stand-in the primary context.
CUctx_st* top_context();
// The green context whose stand-in is current, or null.
CUgreenCtx top_green_context();

inline constexpr int kLeastPriority = 0, kGreatestPriority = -5;

}  // namespace anywarp::driver
