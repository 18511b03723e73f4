#include "driver/context.h"

#include "driver/coredump.h"
#include "driver/device.h"
#include "driver/ipc.h"
#include "driver/memory_pool.h"
#include "driver/module.h"
#include "driver/stream.h"
#include "driver/stream_capture.h"
#include "exec/services.h"
#include "exec/watchdog.h"

namespace anywarp::driver {
namespace {

// The thread's stack of contexts; the last one is current. Null entries: cuCtxSetCurrent(NULL) on an empty stack leaves it empty.
thread_local std::vector<CUctx_st*> t_stack;

CUresult create(CUcontext* context, unsigned flags, CUdevice device) {
  if (!context) return CUDA_ERROR_INVALID_VALUE;
  if (!are_context_flags(flags)) return CUDA_ERROR_INVALID_VALUE;
  if (!find_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  auto* made = new CUctx_st;  // never freed: see objects.h
  made->device = device;
  made->flags = flags;
  made->id = next_context_id();
  start_context(*made);
  t_stack.push_back(made);
  *context = made;
  return CUDA_SUCCESS;
}

// The contexts that are active.
struct Active {
  std::mutex mutex;
  std::unordered_set<CUctx_st*> all;
};
Active& active() {
  static auto* a = new Active;
  return *a;
}

// The size in bytes or count that a limit has by default.
std::size_t default_limit(CUlimit limit) {
  switch (limit) {
    case CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH: return 2;
    case CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT: return 2048;
    case CU_LIMIT_MAX_L2_FETCH_GRANULARITY: return 64;
    default: return 0;
  }
}

}  // namespace

std::uint64_t next_context_id() {
  static std::atomic<std::uint64_t> next{1};
  return next.fetch_add(1);
}

bool are_context_flags(unsigned flags) {
  const unsigned schedule = flags & CU_CTX_SCHED_MASK;
  return (flags & ~static_cast<unsigned>(CU_CTX_FLAGS_MASK)) == 0 &&
         (schedule == CU_CTX_SCHED_AUTO || schedule == CU_CTX_SCHED_SPIN || schedule == CU_CTX_SCHED_YIELD || schedule == CU_CTX_SCHED_BLOCKING_SYNC);
}

namespace {

// The context that a handle stands for.
CUctx_st* actual(CUctx_st* context) { return context && context->magic == Magic::context && context->target ? context->target : context; }

}  // namespace

CUctx_st* top_context() { return t_stack.empty() ? nullptr : actual(t_stack.back()); }

CUgreenCtx top_green_context() { return t_stack.empty() || t_stack.back()->magic != Magic::context ? nullptr : t_stack.back()->green; }

void start_context(CUctx_st& context) {
  for (int limit = 0; limit < 16; ++limit) context.limits[limit] = default_limit(static_cast<CUlimit>(limit));
  context.engine = std::make_unique<Context>(*Engine::instance(), context.device, &context);
  const std::lock_guard lock(active().mutex);
  active().all.insert(&context);
}

void for_all_contexts(const std::function<void(CUctx_st&)>& visit) {
  const std::lock_guard lock(active().mutex);
  for (CUctx_st* context : active().all) visit(*context);
}

void stop_context(CUctx_st& context) {
  if (!context.engine) return;
  {
    const std::lock_guard lock(active().mutex);
    active().all.erase(&context);
  }
  // The error, if there is one, has been reported to whoever synchronised; here only the end of the work matters.
  context.engine->finish(stop_patience_ns());
  std::unordered_set<CUstream> streams;
  std::unordered_set<CUevent> events;
  std::unordered_set<CUmodule> modules;
  {
    const std::lock_guard lock(context.mutex);
    streams.swap(context.streams), events.swap(context.events), modules.swap(context.modules);
    context.peers.clear();
  }
  for (CUevent event : events) {
    event->magic = Magic::dead;
    delete event;
  }
  for (CUmodule module : modules) delete_module(module);
  for (CUstream stream : streams) delete_stream(stream);
  forget_ipc(context);
  forget_pool_allocations(context);
  context.engine->engine().arena().free_owned_by(&context);
  context.engine.reset();
}

CUresult check_context(CUctx_st* context) {
  if (!context) return CUDA_ERROR_INVALID_CONTEXT;
  if (context->magic != Magic::context) return context->magic == Magic::dead ? CUDA_ERROR_CONTEXT_IS_DESTROYED : CUDA_ERROR_INVALID_CONTEXT;
  if (context->target) return check_context(context->target);
  if (!context->engine) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  const Result state = context->engine->status();
  if (state != Result::success) report_context_error(*context);
  return api(state);
}

CUresult current_context(CUctx_st** out) {
  *out = top_context();
  return check_context(*out);
}

CUresult ctxCreate_v2(CUcontext* context, unsigned flags, CUdevice device) { return create(context, flags, device); }

CUresult ctxCreate_v3(CUcontext* context, CUexecAffinityParam* affinities, int count, unsigned flags, CUdevice device) {
  if (count < 0 || (count > 0 && !affinities)) return CUDA_ERROR_INVALID_VALUE;
  if (count > 0) return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
  return create(context, flags, device);
}

CUresult ctxCreate_v4(CUcontext* context, CUctxCreateParams* parameters, unsigned flags, CUdevice device) {
  if (parameters) {
    if (parameters->execAffinityParams && parameters->cigParams) return CUDA_ERROR_INVALID_VALUE;
    if (parameters->cigParams) return CUDA_ERROR_NOT_SUPPORTED;  // shares a graphics queue
    if (parameters->execAffinityParams) return ctxCreate_v3(context, parameters->execAffinityParams, parameters->numExecAffinityParams, flags, device);
  }
  return create(context, flags, device);
}

CUresult ctxDestroy(CUcontext context) {
  if (!context) return CUDA_ERROR_INVALID_CONTEXT;
  if (context->magic == Magic::dead) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  if (!is_valid(context) || context->primary || context->target) return CUDA_ERROR_INVALID_CONTEXT;
  if (!t_stack.empty() && t_stack.back() == context) t_stack.pop_back();
  stop_context(*context);
  context->magic = Magic::dead;
  return CUDA_SUCCESS;
}

CUresult ctxPushCurrent(CUcontext context) {
  if (!context || context->magic != Magic::context) return CUDA_ERROR_INVALID_CONTEXT;
  if (!actual(context)->engine) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  t_stack.push_back(context);
  return CUDA_SUCCESS;
}

CUresult ctxPopCurrent(CUcontext* context) {
  if (t_stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  if (context) *context = t_stack.back();
  t_stack.pop_back();
  return CUDA_SUCCESS;
}

CUresult ctxSetCurrent(CUcontext context) {
  if (context && context->magic != Magic::context) return CUDA_ERROR_INVALID_CONTEXT;
  if (context && !actual(context)->engine) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  if (!t_stack.empty()) t_stack.pop_back();
  if (context) t_stack.push_back(context);
  return CUDA_SUCCESS;
}

CUresult ctxGetCurrent(CUcontext* context) {
  if (!context) return CUDA_ERROR_INVALID_VALUE;
  *context = t_stack.empty() ? nullptr : t_stack.back();
  return CUDA_SUCCESS;
}

CUresult ctxGetDevice_v1(CUdevice* device) { return ctxGetDevice_v2(device, nullptr); }

CUresult ctxGetDevice_v2(CUdevice* device, CUcontext context) {
  if (!device) return CUDA_ERROR_INVALID_VALUE;
  if (!context) context = top_context();
  if (!context) return CUDA_ERROR_INVALID_CONTEXT;
  if (context->magic == Magic::dead) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  if (!is_valid(context)) return CUDA_ERROR_INVALID_CONTEXT;
  *device = context->device;
  return CUDA_SUCCESS;
}

CUresult ctxGetFlags(unsigned* flags) {
  if (!flags) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  *flags = context->flags;
  return CUDA_SUCCESS;
}

CUresult ctxSetFlags(unsigned flags) {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  if (!are_context_flags(flags)) return CUDA_ERROR_INVALID_VALUE;
  context->flags = flags;
  return CUDA_SUCCESS;
}

CUresult ctxGetId(CUcontext context, unsigned long long* id) {
  if (!id) return CUDA_ERROR_INVALID_VALUE;
  if (!context) context = top_context();
  if (context && context->magic == Magic::dead) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  if (!is_valid(context)) return CUDA_ERROR_INVALID_CONTEXT;
  *id = context->id;
  return CUDA_SUCCESS;
}

CUresult ctxSynchronize_v1() { return ctxSynchronize_v2(nullptr); }

CUresult ctxSynchronize_v2(CUcontext context) {
  if (!context) context = top_context();
  context = actual(context);
  ANYWARP_TRY(check_context(context));
  if (is_capturing(*context)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  const Result result = context->engine->synchronize();
  release_unused_memory();
  return api(result);
}

CUresult ctxSetLimit(CUlimit limit, size_t value) {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  switch (limit) {
    case CU_LIMIT_STACK_SIZE: context->engine->stack_bytes = (value + 15) & ~std::size_t{15}; return CUDA_SUCCESS;
    case CU_LIMIT_PRINTF_FIFO_SIZE: context->engine->printf_fifo_bytes = value; return CUDA_SUCCESS;
    case CU_LIMIT_MALLOC_HEAP_SIZE: context->engine->heap_bytes = value; return CUDA_SUCCESS;
    case CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH:
      if (value > 24) return CUDA_ERROR_INVALID_VALUE;
      break;
    case CU_LIMIT_MAX_L2_FETCH_GRANULARITY:
      if (value > 128) return CUDA_ERROR_INVALID_VALUE;
      break;
    case CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT: break;
    case CU_LIMIT_PERSISTING_L2_CACHE_SIZE: return CUDA_ERROR_UNSUPPORTED_LIMIT;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
  context->limits[limit] = value;
  return CUDA_SUCCESS;
}

CUresult ctxGetLimit(size_t* value, CUlimit limit) {
  if (!value) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  return limit_of(*context, limit, value);
}

CUresult limit_of(const CUctx_st& context, CUlimit limit, std::size_t* value) {
  switch (limit) {
    case CU_LIMIT_STACK_SIZE: *value = context.engine->stack_bytes; break;
    case CU_LIMIT_PRINTF_FIFO_SIZE: *value = context.engine->printf_fifo_bytes; break;
    case CU_LIMIT_MALLOC_HEAP_SIZE: *value = context.engine->heap_bytes; break;
    case CU_LIMIT_DEV_RUNTIME_SYNC_DEPTH:
    case CU_LIMIT_DEV_RUNTIME_PENDING_LAUNCH_COUNT:
    case CU_LIMIT_MAX_L2_FETCH_GRANULARITY:
    case CU_LIMIT_PERSISTING_L2_CACHE_SIZE: *value = context.limits[limit]; break;
    default: return CUDA_ERROR_UNSUPPORTED_LIMIT;
  }
  return CUDA_SUCCESS;
}

CUresult ctxGetCacheConfig(CUfunc_cache* config) {
  if (!config) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  *config = context->cache;
  return CUDA_SUCCESS;
}

CUresult ctxSetCacheConfig(CUfunc_cache config) {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  if (config > CU_FUNC_CACHE_PREFER_EQUAL) return CUDA_ERROR_INVALID_VALUE;
  context->cache = config;
  return CUDA_SUCCESS;
}

CUresult ctxGetSharedMemConfig(CUsharedconfig* config) {
  if (!config) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  *config = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;  // not configurable from compute capability 5.0 on
  return CUDA_SUCCESS;
}

CUresult ctxSetSharedMemConfig(CUsharedconfig config) {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  if (config > CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE) return CUDA_ERROR_INVALID_VALUE;
  context->shared_config = config;
  return CUDA_SUCCESS;
}

CUresult ctxGetApiVersion(CUcontext context, unsigned* version) {
  if (!version) return CUDA_ERROR_INVALID_VALUE;
  if (!context) context = top_context();
  if (context && context->magic == Magic::dead) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  if (!is_valid(context)) return CUDA_ERROR_INVALID_CONTEXT;
  *version = 3020;  // the version of the context interface: cuCtxCreate_v2
  return CUDA_SUCCESS;
}

CUresult ctxGetStreamPriorityRange(int* least, int* greatest) {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  if (least) *least = kLeastPriority;
  if (greatest) *greatest = kGreatestPriority;
  return CUDA_SUCCESS;
}

CUresult ctxResetPersistingL2Cache() {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  return CUDA_SUCCESS;  // nothing persists
}

CUresult ctxGetExecAffinity(CUexecAffinityParam* affinity, CUexecAffinityType type) {
  if (!affinity || type >= CU_EXEC_AFFINITY_TYPE_MAX) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
}

CUresult ctxRecordEvent(CUcontext context, CUevent event) {
  if (!is_valid(event)) return CUDA_ERROR_INVALID_HANDLE;
  if (!context) context = top_context();
  context = actual(context);
  ANYWARP_TRY(check_context(context));
  if (event->context != context) return CUDA_ERROR_INVALID_HANDLE;
  if (is_capturing(*context)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  // The legacy default stream waits for the blocking ones; the others are joined to it first.
  Stream& legacy = *context->engine->legacy();
  for (const StreamRef& stream : context->engine->streams()) {
    if (stream->type() == Stream::Type::legacy) continue;
    Event end(false);
    ANYWARP_TRY(api(end.record(*stream)));
    ANYWARP_TRY(api(legacy.wait(end)));
  }
  return api(event->event.record(legacy));
}

CUresult ctxWaitEvent(CUcontext context, CUevent event) {
  if (!is_valid(event)) return CUDA_ERROR_INVALID_HANDLE;
  if (!context) context = top_context();
  context = actual(context);
  ANYWARP_TRY(check_context(context));
  if (is_capturing(*context)) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  ANYWARP_TRY(api(context->engine->legacy()->wait(event->event)));
  for (const StreamRef& stream : context->engine->streams()) ANYWARP_TRY(api(stream->wait(event->event)));
  return CUDA_SUCCESS;
}

CUresult ctxAttach(CUcontext* context, unsigned flags) {
  if (!context || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  CUctx_st* current = nullptr;
  ANYWARP_TRY(current_context(&current));
  ++current->attached;
  *context = current;
  return CUDA_SUCCESS;
}

CUresult ctxDetach(CUcontext context) {
  ANYWARP_TRY(check_context(context));
  if (context != top_context()) return CUDA_ERROR_INVALID_CONTEXT;
  if (--context->attached > 0) return CUDA_SUCCESS;
  return ctxDestroy(context);
}

}  // namespace anywarp::driver
