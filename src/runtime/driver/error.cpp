#include "driver/error.h"

#include <algorithm>

#include "driver_results.h"

namespace anywarp::driver {
namespace {

struct Text {
  unsigned value;
  const char* text;
};

constexpr Text kTexts[] = {
    {0, "no error"},
    {1, "an argument has a value that is not allowed"},
    {2, "memory could not be allocated"},
    {3, "the driver is not initialized: cuInit has not been called, or the process is a fork"},
    {4, "the driver is shutting down"},
    {5, "the profiler is not in use"},
    {6, "the profiler has not been initialized"},
    {7, "the profiler has been started already"},
    {8, "the profiler has been stopped already"},
    {34, "the driver library in use is only a stub"},
    {36, "the call needs a newer driver"},
    {46, "the device is unavailable"},
    {47, "no resources are left for another multicast object"},
    {100, "there is no CUDA device"},
    {101, "there is no device of this number"},
    {102, "the device has no licence"},
    {200, "the image of a kernel or module is not valid"},
    {201, "no context is current, or it is not valid"},
    {202, "the context is current already"},
    {205, "mapping failed"},
    {206, "unmapping failed"},
    {207, "the array is mapped and cannot be destroyed"},
    {208, "the resource is mapped already"},
    {209, "the image holds no code that this device can run: it needs PTX"},
    {210, "the resource has been acquired already"},
    {211, "the resource is not mapped"},
    {212, "the resource is not mapped as an array"},
    {213, "the resource is not mapped as a pointer"},
    {214, "an error in memory could not be corrected"},
    {215, "the device has no such limit"},
    {216, "the context is in use by another thread"},
    {217, "the devices cannot access one another's memory"},
    {218, "the PTX could not be compiled"},
    {219, "the graphics context is not valid"},
    {220, "an error of the link between devices could not be corrected"},
    {221, "the PTX compiler could not be found or started"},
    {222, "the PTX was written for a newer version than the compiler knows"},
    {223, "compiling PTX is switched off"},
    {224, "the execution affinity is not supported"},
    {225, "device code calls cudaDeviceSynchronize, which is not supported"},
    {226, "an error was contained to this process"},
    {227, "the loader is too old for this"},
    {300, "the source of a kernel or module is not valid"},
    {301, "the file was not found"},
    {302, "a symbol of a shared object was not found"},
    {303, "a shared object could not be initialized"},
    {304, "a call of the operating system failed"},
    {400, "the handle is not valid"},
    {401, "the object is not in a state that allows this"},
    {402, "the answer would lose information"},
    {500, "the named symbol was not found"},
    {600, "the work has not been completed yet"},
    {700, "a kernel accessed an address that is not allocated"},
    {701, "the launch needs more threads, registers or shared memory than there are"},
    {702, "the kernel ran longer than allowed and was stopped"},
    {703, "the launch uses another texturing mode"},
    {704, "access to this peer is enabled already"},
    {705, "access to this peer has not been enabled"},
    {708, "the primary context is active already"},
    {709, "the context has been destroyed"},
    {710, "an assertion in a kernel failed"},
    {711, "there are too many peers"},
    {712, "the host memory is registered already"},
    {713, "the host memory is not registered"},
    {714, "the stack of a kernel overflowed or was damaged"},
    {715, "a kernel ran an instruction that is not legal"},
    {716, "a kernel accessed an address that is not a multiple of the access size"},
    {717, "a kernel accessed an address outside the state space that the instruction allows"},
    {718, "a kernel jumped to an address that holds no code"},
    {719, "a kernel stopped with an error"},
    {720, "the cooperative launch has more CTAs than can be resident at once"},
    {721, "a kernel ended without freeing its tensor memory"},
    {800, "the operation is not permitted"},
    {801, "the operation is not supported"},
    {802, "the system is not ready"},
    {803, "the driver and other parts of the system do not fit together"},
    {804, "compatibility mode is not supported on this device"},
    {805, "the MPS server could not be reached"},
    {806, "a call of the MPS server failed"},
    {807, "the MPS server is not ready"},
    {808, "the MPS server has too many clients"},
    {809, "the MPS server has too many connections"},
    {810, "the MPS server ended the client"},
    {811, "dynamic parallelism is not supported"},
    {812, "device and host disagree on the version of dynamic parallelism"},
    {900, "the operation is not allowed while a stream is capturing"},
    {901, "an earlier error made the capture invalid"},
    {902, "the operation would join two independent captures"},
    {903, "the capture did not begin in this stream"},
    {904, "streams that forked from the capture were not joined to it"},
    {905, "the capture would depend on work outside it"},
    {906, "the operation would depend on the legacy default stream"},
    {907, "the event was recorded in a capturing stream"},
    {908, "the capture began in another thread"},
    {909, "the time allowed has passed"},
    {910, "the graph differs too much from the one that was instantiated"},
    {911, "a device outside CUDA's control failed"},
    {912, "the cluster has a size that is not allowed"},
    {913, "the function has not been loaded"},
    {914, "the type of the resource is not allowed here"},
    {915, "the configuration of the resource is not allowed"},
    {916, "the keys were replaced while work was running"},
    {917, "the stream is detached from its context"},
    {918, "the graph could not be captured again"},
    {919, "the fabric is not ready"},
    {999, "unknown error"},
};

}  // namespace

CUresult getErrorName(CUresult error, const char** text) {
  if (!text) return CUDA_ERROR_INVALID_VALUE;
  for (const ResultName& row : kResultNames) {
    if (row.value == static_cast<unsigned>(error)) {
      *text = row.name;
      return CUDA_SUCCESS;
    }
  }
  *text = nullptr;
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult getErrorString(CUresult error, const char** text) {
  if (!text) return CUDA_ERROR_INVALID_VALUE;
  const auto value = static_cast<unsigned>(error);
  const Text* row = std::lower_bound(std::begin(kTexts), std::end(kTexts), value, [](const Text& t, unsigned v) { return t.value < v; });
  if (row == std::end(kTexts) || row->value != value) {
    *text = nullptr;
    return CUDA_ERROR_INVALID_VALUE;
  }
  *text = row->text;
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
