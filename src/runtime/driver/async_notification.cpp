#include "driver/async_notification.h"

#include "driver/device.h"

struct CUasyncCallbackEntry_st {
  CUdevice device;
  CUasyncCallback callback;
  void* data;
};

namespace anywarp::driver {
namespace {

struct State {
  std::mutex mutex;
  std::vector<std::shared_ptr<CUasyncCallbackEntry_st>> all;
};
State& state() {
  static auto* s = new State;
  return *s;
}

thread_local bool t_calling = false;  // callbacks may neither register nor unregister

}  // namespace

CUresult deviceRegisterAsyncNotification(CUdevice device, CUasyncCallback callback, void* data, CUasyncCallbackHandle* handle) {
  if (!callback || !handle) return CUDA_ERROR_INVALID_VALUE;
  if (!find_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (t_calling) return CUDA_ERROR_NOT_PERMITTED;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.all.push_back(std::make_shared<CUasyncCallbackEntry_st>(CUasyncCallbackEntry_st{device, callback, data}));
  *handle = s.all.back().get();
  return CUDA_SUCCESS;
}

CUresult deviceUnregisterAsyncNotification(CUdevice device, CUasyncCallbackHandle handle) {
  if (!find_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (t_calling) return CUDA_ERROR_NOT_PERMITTED;
  State& s = state();
  const std::lock_guard lock(s.mutex);
  const auto removed = std::erase_if(s.all, [&](const auto& entry) { return entry.get() == handle && entry->device == device; });
  return removed ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

void notify_over_budget(CUdevice device, std::uint64_t bytes) {
  std::vector<std::shared_ptr<CUasyncCallbackEntry_st>> called;
  {
    State& s = state();
    const std::lock_guard lock(s.mutex);
    called = s.all;
  }
  for (const auto& entry : called) {
    if (entry->device != device || t_calling) continue;
    CUasyncNotificationInfo info{};
    info.type = CU_ASYNC_NOTIFICATION_TYPE_OVER_BUDGET;
    info.info.overBudget.bytesOverBudget = bytes;
    t_calling = true;
    entry->callback(&info, entry->data, entry.get());
    t_calling = false;
  }
}

}  // namespace anywarp::driver
