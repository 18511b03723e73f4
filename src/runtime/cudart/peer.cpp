#include "cudart/peer.h"

#include "cudart/device.h"

namespace anywarp::cudart {

cudaError_t deviceCanAccessPeer(int* can, int device, int peer) {
  CUDART_TRY(check_device(device));
  CUDART_TRY(check_device(peer));
  return error_of(cuDeviceCanAccessPeer(can, device, peer));
}

cudaError_t deviceEnablePeerAccess(int peer, unsigned flags) {
  CUcontext context = nullptr;
  CUDART_TRY(retain_primary_context(peer, &context));
  CUDART_TRY(use_context());
  return error_of(cuCtxEnablePeerAccess(context, flags));
}

cudaError_t deviceDisablePeerAccess(int peer) {
  CUcontext context = nullptr;
  CUDART_TRY(retain_primary_context(peer, &context));
  CUDART_TRY(use_context());
  return error_of(cuCtxDisablePeerAccess(context));
}

}  // namespace anywarp::cudart
