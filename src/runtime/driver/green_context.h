// Manual: green contexts. A green context is the device's primary context with a part of its multiprocessors: so many threads at once work on the
// kernels of its streams, together (exec/item.h, Quota). Kernels that wait for others count only while they run.
#pragma once

#include <set>

#include "driver/objects.h"

struct CUgreenCtx_st : anywarp::driver::TypeStable<CUgreenCtx_st> {
  static constexpr auto kMagic = anywarp::driver::Magic::green_context;
  anywarp::driver::Magic magic = kMagic;
  int device = 0;
  std::uint64_t id = 0;
  CUctx_st* primary = nullptr;     // retained
  CUctx_st* stand_in = nullptr;    // for cuCtxFromGreenCtx; never freed, as contexts are
  std::vector<CUdevResource> resources;
  std::shared_ptr<anywarp::Quota> quota;  // of threads; null: all
};

struct CUdevResourceDesc_st {
  int device = 0;
  std::vector<CUdevResource> resources;
};

namespace anywarp::driver {

CUresult deviceGetDevResource(CUdevice device, CUdevResource* resource, CUdevResourceType type);
CUresult ctxGetDevResource(CUcontext context, CUdevResource* resource, CUdevResourceType type);
CUresult greenCtxGetDevResource(CUgreenCtx green, CUdevResource* resource, CUdevResourceType type);
CUresult streamGetDevResource(CUstream stream, CUdevResource* resource, CUdevResourceType type);
CUresult devSmResourceSplitByCount(CUdevResource* result, unsigned* groups, const CUdevResource* input, CUdevResource* remainder, unsigned flags,
                                   unsigned least);
CUresult devSmResourceSplit(CUdevResource* result, unsigned groups, const CUdevResource* input, CUdevResource* remainder, unsigned flags,
                            CU_DEV_SM_RESOURCE_GROUP_PARAMS* parameters);
CUresult devResourceGenerateDesc(CUdevResourceDesc* description, CUdevResource* resources, unsigned count);
CUresult greenCtxCreate(CUgreenCtx* green, CUdevResourceDesc description, CUdevice device, unsigned flags);
CUresult greenCtxDestroy(CUgreenCtx green);
CUresult ctxFromGreenCtx(CUcontext* context, CUgreenCtx green);
CUresult greenCtxRecordEvent(CUgreenCtx green, CUevent event);
CUresult greenCtxWaitEvent(CUgreenCtx green, CUevent event);
CUresult streamGetGreenCtx(CUstream stream, CUgreenCtx* green);
CUresult greenCtxStreamCreate(CUstream* stream, CUgreenCtx green, unsigned flags, int priority);
CUresult greenCtxGetId(CUgreenCtx green, unsigned long long* id);

// Of a valid stream, or of the current context for the default streams.
CUgreenCtx green_context_of(CUstream stream);

}  // namespace anywarp::driver
