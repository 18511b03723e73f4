#include "driver/green_context.h"

#include <cstring>

#include "driver/context.h"
#include "driver/device.h"
#include "driver/primary_context.h"
#include "driver/stream.h"
#include "driver/stream_capture.h"
#include "exec/item.h"

namespace anywarp::driver {
namespace {

// What a resource holds beside its public members, in its padding: a resource that is not from here is refused.
struct Origin {
  std::uint32_t magic;
  std::int32_t device;
};
constexpr std::uint32_t kMagic = 0x41574452;
constexpr unsigned kLeastSms = 1;  // of a partition; partitions may have any size

CUdevResource make_resource(int device, CUdevResourceType type, unsigned sms) {
  CUdevResource r;
  std::memset(&r, 0, sizeof r);
  r.type = type;
  const Origin origin{kMagic, device};
  std::memcpy(r._internal_padding, &origin, sizeof origin);
  if (type == CU_DEV_RESOURCE_TYPE_SM) {
    r.sm.smCount = sms;
    r.sm.minSmPartitionSize = r.sm.smCoscheduledAlignment = kLeastSms;
  } else if (type == CU_DEV_RESOURCE_TYPE_WORKQUEUE_CONFIG) {
    r.wqConfig.device = device;
    r.wqConfig.wqConcurrencyLimit = static_cast<unsigned>(find_device(device)->sm_count);
  }
  return r;
}

bool device_of(const CUdevResource& r, int* device) {
  Origin origin;
  std::memcpy(&origin, r._internal_padding, sizeof origin);
  *device = origin.device;
  return origin.magic == kMagic && find_device(origin.device) != nullptr;
}

bool is_type(CUdevResourceType type) {
  return type == CU_DEV_RESOURCE_TYPE_SM || type == CU_DEV_RESOURCE_TYPE_WORKQUEUE_CONFIG || type == CU_DEV_RESOURCE_TYPE_WORKQUEUE;
}

CUresult whole_device(int device, CUdevResource* resource, CUdevResourceType type) {
  if (!is_type(type)) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
  *resource = make_resource(device, type, static_cast<unsigned>(find_device(device)->sm_count));
  return CUDA_SUCCESS;
}

// The streams of a green context.
std::vector<StreamRef> streams_of(CUgreenCtx green) {
  std::vector<StreamRef> streams;
  const std::lock_guard lock(green->primary->mutex);
  for (const CUstream stream : green->primary->streams) {
    if (stream->green == green) streams.push_back(stream->stream);
  }
  return streams;
}

}  // namespace

CUgreenCtx green_context_of(CUstream stream) { return reinterpret_cast<std::uintptr_t>(stream) <= 2 ? top_green_context() : stream->green; }

CUresult deviceGetDevResource(CUdevice device, CUdevResource* resource, CUdevResourceType type) {
  if (!resource) return CUDA_ERROR_INVALID_VALUE;
  if (!find_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  return whole_device(device, resource, type);
}

CUresult ctxGetDevResource(CUcontext context, CUdevResource* resource, CUdevResourceType type) {
  if (!resource) return CUDA_ERROR_INVALID_VALUE;
  if (!context) context = top_context();
  ANYWARP_TRY(check_context(context));
  return context->green ? greenCtxGetDevResource(context->green, resource, type) : whole_device(context->device, resource, type);
}

CUresult greenCtxGetDevResource(CUgreenCtx green, CUdevResource* resource, CUdevResourceType type) {
  if (!resource) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(green)) return CUDA_ERROR_INVALID_CONTEXT;
  if (!is_type(type)) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
  for (const CUdevResource& r : green->resources) {
    if (r.type == type) return *resource = r, CUDA_SUCCESS;
  }
  // What it was not made with it shares with the device.
  return whole_device(green->device, resource, type);
}

CUresult streamGetDevResource(CUstream stream, CUdevResource* resource, CUdevResourceType type) {
  if (!resource) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  const CUgreenCtx green = use.object ? use.object->green : top_green_context();
  return green ? greenCtxGetDevResource(green, resource, type) : whole_device(use.context->device, resource, type);
}

CUresult devSmResourceSplitByCount(CUdevResource* result, unsigned* groups, const CUdevResource* input, CUdevResource* remainder, unsigned flags,
                                   unsigned least) {
  constexpr unsigned kFlags = CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING | CU_DEV_SM_RESOURCE_SPLIT_MAX_POTENTIAL_CLUSTER_SIZE;
  if (!groups || !input || (flags & ~kFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (input->type != CU_DEV_RESOURCE_TYPE_SM) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
  int device = 0;
  if (!device_of(*input, &device) || least > input->sm.smCount) return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
  const unsigned size = least < kLeastSms ? kLeastSms : least, possible = input->sm.smCount / size;
  if (!result) return *groups = possible, CUDA_SUCCESS;
  if (*groups == 0) return CUDA_ERROR_INVALID_VALUE;
  if (*groups > possible) *groups = possible;
  for (unsigned i = 0; i < *groups; ++i) result[i] = make_resource(device, CU_DEV_RESOURCE_TYPE_SM, size);
  const unsigned left = input->sm.smCount - *groups * size;
  if (remainder) *remainder = make_resource(device, left ? CU_DEV_RESOURCE_TYPE_SM : CU_DEV_RESOURCE_TYPE_INVALID, left);
  return CUDA_SUCCESS;
}

// Groups of the sizes that the program names; 0 takes what is left for as many as ask.
CUresult devSmResourceSplit(CUdevResource* result, unsigned groups, const CUdevResource* input, CUdevResource* remainder, unsigned flags,
                            CU_DEV_SM_RESOURCE_GROUP_PARAMS* parameters) {
  if (!input || !parameters || groups == 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (input->type != CU_DEV_RESOURCE_TYPE_SM) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
  int device = 0;
  if (!device_of(*input, &device)) return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
  unsigned left = input->sm.smCount, open = 0;
  for (unsigned i = 0; i < groups; ++i) {
    if (parameters[i].smCount > left) return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
    left -= parameters[i].smCount;
    open += parameters[i].smCount == 0;
  }
  if (open > left) return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
  for (unsigned i = 0; i < groups; ++i) {
    if (parameters[i].smCount == 0) {
      parameters[i].smCount = left / open--;
      left -= parameters[i].smCount;
    }
    if (result) result[i] = make_resource(device, CU_DEV_RESOURCE_TYPE_SM, parameters[i].smCount);
  }
  if (remainder) *remainder = make_resource(device, left ? CU_DEV_RESOURCE_TYPE_SM : CU_DEV_RESOURCE_TYPE_INVALID, left);
  return CUDA_SUCCESS;
}

CUresult devResourceGenerateDesc(CUdevResourceDesc* description, CUdevResource* resources, unsigned count) {
  if (!description || !resources || count == 0) return CUDA_ERROR_INVALID_VALUE;
  auto made = std::make_unique<CUdevResourceDesc_st>();
  CUdevResource sum{};
  for (unsigned i = 0; i < count; ++i) {
    int device = 0;
    if (!is_type(resources[i].type)) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
    if (!device_of(resources[i], &device) || (i > 0 && device != made->device)) return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
    made->device = device;
    if (resources[i].type != CU_DEV_RESOURCE_TYPE_SM) made->resources.push_back(resources[i]);
    else if (sum.type == CU_DEV_RESOURCE_TYPE_SM) sum.sm.smCount += resources[i].sm.smCount;  // parts of one device join
    else sum = resources[i];
  }
  if (sum.type == CU_DEV_RESOURCE_TYPE_SM) {
    if (sum.sm.smCount > static_cast<unsigned>(find_device(made->device)->sm_count)) return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
    made->resources.push_back(sum);
  }
  *description = made.release();  // the API has no call that destroys one
  return CUDA_SUCCESS;
}

CUresult greenCtxCreate(CUgreenCtx* green, CUdevResourceDesc description, CUdevice device, unsigned flags) {
  if (!green || !description || flags != CU_GREEN_CTX_DEFAULT_STREAM) return CUDA_ERROR_INVALID_VALUE;
  if (!find_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (description->device != device) return CUDA_ERROR_INVALID_VALUE;
  auto made = std::make_unique<CUgreenCtx_st>();
  ANYWARP_TRY(devicePrimaryCtxRetain(&made->primary, device));
  made->device = device;
  made->id = next_context_id();
  made->resources = description->resources;
  const int threads = made->primary->engine->engine().pool().threads(), sms = find_device(device)->sm_count;
  for (const CUdevResource& r : made->resources) {
    if (r.type != CU_DEV_RESOURCE_TYPE_SM || static_cast<int>(r.sm.smCount) >= sms) continue;
    made->quota = std::make_shared<Quota>(std::max(1, static_cast<int>(r.sm.smCount) * threads / sms));
  }
  made->stand_in = new CUctx_st;
  made->stand_in->device = device;
  made->stand_in->id = made->id;
  made->stand_in->target = made->primary;
  made->stand_in->green = made.get();
  *green = made.release();
  return CUDA_SUCCESS;
}

CUresult greenCtxDestroy(CUgreenCtx green) {
  if (!is_valid(green)) return CUDA_ERROR_INVALID_CONTEXT;
  green->magic = Magic::dead;
  green->stand_in->magic = Magic::dead;
  // Its streams live on in the primary context, until they are destroyed.
  {
    const std::lock_guard lock(green->primary->mutex);
    for (const CUstream stream : green->primary->streams) {
      if (stream->green == green) stream->green = nullptr;
    }
  }
  const CUresult result = devicePrimaryCtxRelease(green->device);
  delete green;
  return result;
}

CUresult ctxFromGreenCtx(CUcontext* context, CUgreenCtx green) {
  if (!context) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(green)) return CUDA_ERROR_INVALID_CONTEXT;
  *context = green->stand_in;
  return CUDA_SUCCESS;
}

CUresult greenCtxRecordEvent(CUgreenCtx green, CUevent event) {
  if (!is_valid(green)) return CUDA_ERROR_INVALID_CONTEXT;
  if (!is_valid(event)) return CUDA_ERROR_INVALID_HANDLE;
  ANYWARP_TRY(check_context(green->primary));
  if (event->context != green->primary) return CUDA_ERROR_INVALID_HANDLE;
  if (is_capturing(*green->primary)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  // One event for the ends of all: recorded in a stream that waits for the others.
  const StreamRef all = green->primary->engine->create_stream(Stream::Type::non_blocking);
  for (const StreamRef& stream : streams_of(green)) {
    Event end(false);
    ANYWARP_TRY(api(end.record(*stream)));
    ANYWARP_TRY(api(all->wait(end)));
  }
  const CUresult result = api(event->event.record(*all));
  green->primary->engine->forget(all);
  return result;
}

CUresult greenCtxWaitEvent(CUgreenCtx green, CUevent event) {
  if (!is_valid(green)) return CUDA_ERROR_INVALID_CONTEXT;
  if (!is_valid(event)) return CUDA_ERROR_INVALID_HANDLE;
  ANYWARP_TRY(check_context(green->primary));
  if (is_capturing(*green->primary)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  for (const StreamRef& stream : streams_of(green)) ANYWARP_TRY(api(stream->wait(event->event)));
  return CUDA_SUCCESS;
}

CUresult streamGetGreenCtx(CUstream stream, CUgreenCtx* green) {
  if (!green) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  *green = green_context_of(stream);
  return CUDA_SUCCESS;
}

CUresult greenCtxStreamCreate(CUstream* stream, CUgreenCtx green, unsigned flags, int priority) {
  if (!stream || flags != CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(green)) return CUDA_ERROR_INVALID_CONTEXT;
  ANYWARP_TRY(check_context(green->primary));
  ANYWARP_TRY(ctxPushCurrent(green->stand_in));
  const CUresult result = streamCreateWithPriority(stream, flags, priority);
  ANYWARP_TRY(ctxPopCurrent(nullptr));
  return result;
}

CUresult greenCtxGetId(CUgreenCtx green, unsigned long long* id) {
  if (!id) return CUDA_ERROR_INVALID_VALUE;
  if (!is_valid(green)) return CUDA_ERROR_INVALID_CONTEXT;
  *id = green->id;
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
