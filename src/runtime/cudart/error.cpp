#include "cudart/error.h"

#include <atomic>

#include "cudart_results.h"

namespace anywarp::cudart {
namespace {

// A sticky error stays until the device is reset, by whichever thread: `generation` counts the resets.
struct LastError {
  cudaError_t error = cudaSuccess;
  unsigned generation = 0;
};
thread_local LastError t_last;
std::atomic<unsigned> g_resets{0};

struct Text {
  cudaError_t error;
  const char* text;
};

// Codes that the driver does not have; the others' texts are the driver's.
constexpr Text kTexts[] = {
    {cudaErrorInvalidConfiguration, "the launch asks for more than the device allows: a grid, block or cluster of a size that is not possible"},
    {cudaErrorVersionTranslation, "the driver's version of the entry point cannot serve this version of the runtime"},
    {cudaErrorInvalidPitchValue, "a pitch is too small or too large"},
    {cudaErrorInvalidSymbol, "the symbol is no variable of a registered program or module"},
    {cudaErrorInvalidHostPointer, "a pointer is no valid host address"},
    {cudaErrorInvalidDevicePointer, "a pointer is no valid device address"},
    {cudaErrorInvalidTexture, "the texture is not valid"},
    {cudaErrorInvalidTextureBinding, "the texture is not bound"},
    {cudaErrorInvalidChannelDescriptor, "the channel format is not valid"},
    {cudaErrorInvalidMemcpyDirection, "the direction of the copy is none that exists"},
    {cudaErrorInvalidFilterSetting, "the texture's filter is not allowed here"},
    {cudaErrorInvalidNormSetting, "the texture's read mode is not allowed here"},
    {cudaErrorInsufficientDriver, "the driver is older than this runtime needs"},
    {cudaErrorInvalidSurface, "the surface is not valid"},
    {cudaErrorDuplicateVariableName, "two variables have the same name"},
    {cudaErrorDuplicateTextureName, "two textures have the same name"},
    {cudaErrorDuplicateSurfaceName, "two surfaces have the same name"},
    {cudaErrorIncompatibleDriverContext, "the current context is not compatible with the runtime"},
    {cudaErrorMissingConfiguration, "the kernel is called without a launch configuration"},
    {cudaErrorLaunchMaxDepthExceeded, "launches from kernels are nested too deeply"},
    {cudaErrorInvalidDeviceFunction, "the function is no kernel of a registered program or module"},
    {cudaErrorStartupFailure, "the runtime could not be started"},
    {cudaErrorDeviceUninitialized, "no context is current, or it is not valid"},
    {cudaErrorApiFailureBase, "the call failed"},
};

}  // namespace

bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
    case cudaErrorTensorMemoryLeak: return true;
    default: return false;
  }
}

void remember_error(cudaError_t error) {
  if (error != cudaErrorNotReady) t_last = {error, g_resets.load(std::memory_order_relaxed)};
}

void forget_sticky_errors() {
  ++g_resets;
  t_last = {};
}

cudaError_t getLastError() {
  const cudaError_t error = t_last.error;
  if (!is_sticky(error) || t_last.generation != g_resets.load(std::memory_order_relaxed)) t_last = {};
  return error;
}

cudaError_t peekAtLastError() { return t_last.error; }

const char* getErrorName(cudaError_t error) {
  for (const ResultName& row : kResultNames) {
    if (row.value == static_cast<unsigned>(error)) return row.name;
  }
  return "unrecognized error code";
}

const char* getErrorString(cudaError_t error) {
  for (const Text& row : kTexts) {
    if (row.error == error) return row.text;
  }
  const char* text = nullptr;
  if (cuGetErrorString(static_cast<CUresult>(error), &text) == CUDA_SUCCESS && text) return text;
  return "unrecognized error code";
}

}  // namespace anywarp::cudart
