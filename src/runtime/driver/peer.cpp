#include "driver/peer.h"

#include "driver/device.h"

namespace anywarp::driver {

CUresult deviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) {
  if (!can) return CUDA_ERROR_INVALID_VALUE;
  if (!find_device(device) || !find_device(peer)) return CUDA_ERROR_INVALID_DEVICE;
  *can = device != peer;
  return CUDA_SUCCESS;
}

CUresult ctxEnablePeerAccess(CUcontext peer, unsigned flags) {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check_context(peer));
  if (peer == context) return CUDA_ERROR_INVALID_CONTEXT;
  if (peer->device == context->device) return CUDA_ERROR_PEER_ACCESS_UNSUPPORTED;
  const std::lock_guard lock(context->mutex);
  return context->peers.insert(peer).second ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED;
}

CUresult ctxDisablePeerAccess(CUcontext peer) {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  ANYWARP_TRY(check_context(peer));
  const std::lock_guard lock(context->mutex);
  return context->peers.erase(peer) ? CUDA_SUCCESS : CUDA_ERROR_PEER_ACCESS_NOT_ENABLED;
}

CUresult deviceGetP2PAttribute(int* value, CUdevice_P2PAttribute attribute, CUdevice source, CUdevice destination) {
  if (!value) return CUDA_ERROR_INVALID_VALUE;
  if (!find_device(source) || !find_device(destination) || source == destination) return CUDA_ERROR_INVALID_DEVICE;
  switch (attribute) {
    case CU_DEVICE_P2P_ATTRIBUTE_PERFORMANCE_RANK: *value = 0; break;
    case CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED:
    case CU_DEVICE_P2P_ATTRIBUTE_NATIVE_ATOMIC_SUPPORTED: *value = 1; break;
    case CU_DEVICE_P2P_ATTRIBUTE_CUDA_ARRAY_ACCESS_SUPPORTED:
    case CU_DEVICE_P2P_ATTRIBUTE_ONLY_PARTIAL_NATIVE_ATOMIC_SUPPORTED: *value = 0; break;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

CUresult deviceGetP2PAtomicCapabilities(unsigned* capabilities, const CUatomicOperation* operations, unsigned count, CUdevice source,
                                        CUdevice destination) {
  if (!find_device(destination)) return CUDA_ERROR_INVALID_DEVICE;
  return deviceGetHostAtomicCapabilities(capabilities, operations, count, source);
}

}  // namespace anywarp::driver
