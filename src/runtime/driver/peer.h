// Manual: peer context memory access. All devices share one address space, so that every pair can reach one another; what is
// enabled is kept because programs ask.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult deviceCanAccessPeer(int* can, CUdevice device, CUdevice peer);
CUresult ctxEnablePeerAccess(CUcontext peer, unsigned flags);
CUresult ctxDisablePeerAccess(CUcontext peer);
CUresult deviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attribute, CUdevice source, CUdevice destination);
CUresult deviceGetP2PAtomicCapabilities(unsigned* capabilities, const CUatomicOperation* operations, unsigned count, CUdevice source,
                                        CUdevice destination);

}  // namespace anywarp::driver
