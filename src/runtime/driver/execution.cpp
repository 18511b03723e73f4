#include "driver/execution.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "driver/device.h"
#include "driver/graph_device.h"
#include "driver/library.h"
#include "driver/work.h"

namespace anywarp::driver {
namespace {

constexpr int kDefaultDynamicShared = 48 * 1024;  // bytes, until cuFuncSetAttribute allows more

// "sm_90a", "compute_80" -> 90, 80.
int target_version(const std::string& target) {
  const std::size_t digit = target.find_first_of("0123456789");
  int version = 0;
  if (digit != std::string::npos) std::from_chars(target.data() + digit, target.data() + target.size(), version);
  return version;
}

// Bytes of dynamic shared memory that a launch may ask for. `mode` is a CUsharedMemoryMode (CUDA 13.3 and later): the launch's own, else
// the function's. Oversized memory (8 KiB of L1 are left) is no more than what the device has anyway.
int allowed_shared(const CUfunc_st& function, int mode, const Device& device) {
  if (mode == CU_SHARED_MEMORY_MODE_DEFAULT) mode = function.attributes[CU_FUNC_ATTRIBUTE_SHARED_MEMORY_MODE];
  switch (mode) {
    case CU_SHARED_MEMORY_MODE_DEFAULT: return std::max(function.max_dynamic_shared.load(), kDefaultDynamicShared);
    case CU_SHARED_MEMORY_MODE_REQUIRE_PORTABLE: return device.attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK);
    default: return device.attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
  }
}

CUresult check_shape(const CUfunc_st& function, const LaunchShape& s, const Device& device) {
  const auto limit = [&](CUdevice_attribute first, int axis) { return static_cast<unsigned>(device.attributes[first + axis]); };
  for (int axis = 0; axis < 3; ++axis) {
    if (s.grid[axis] == 0 || s.block[axis] == 0) return CUDA_ERROR_INVALID_VALUE;
    if (s.grid[axis] > limit(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, axis)) return CUDA_ERROR_INVALID_VALUE;
    if (s.block[axis] > limit(CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X, axis)) return CUDA_ERROR_INVALID_VALUE;
  }
  if (s.dynamic_shared > static_cast<unsigned>(allowed_shared(function, s.shared_mode, device))) return CUDA_ERROR_INVALID_VALUE;
  return CUDA_SUCCESS;
}

LaunchShape make_shape(unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared) {
  LaunchShape s;
  s.grid[0] = gx, s.grid[1] = gy, s.grid[2] = gz;
  s.block[0] = bx, s.block[1] = by, s.block[2] = bz;
  s.dynamic_shared = shared;
  return s;
}

}  // namespace

CUresult use_function(CUfunction handle, CUfunc_st** out) {
  if (is_valid(handle)) {
    *out = handle;
    return check_context(handle->module->context);
  }
  if (!handle) return CUDA_ERROR_INVALID_HANDLE;
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  return resolve_function(handle, *context, out);
}

CUresult code_of(CUfunc_st& function, const KernelCode** code) {
  std::string log;
  const CUresult result = api(function.kernel->any_code(code, &log));
  report_log(result, log);
  return result;
}

int max_threads(const CUfunc_st& function, const KernelCode& code, const Device& device) {
  const EntryInfo& info = function.kernel->info();
  int limit = device.attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  for (const auto& declared : {info.reqntid, info.maxntid}) {
    if (declared[0]) limit = std::min<int>(limit, static_cast<int>(declared[0] * std::max(declared[1], 1u) * std::max(declared[2], 1u)));
  }
  if (code.manifest.registers) limit = std::min(limit, device.attribute(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK) / static_cast<int>(std::min(code.manifest.registers, 255u)) / 32 * 32);
  return std::max(limit, 32);
}

CUresult funcGetAttribute(int* value, CUfunction_attribute attribute, CUfunction handle) {
  if (!value || attribute >= CU_FUNC_ATTRIBUTE_MAX) return CUDA_ERROR_INVALID_VALUE;
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  const Module& module = *function->module->module;
  const EntryInfo& info = function->kernel->info();
  const Device& device = *find_device(function->module->context->device);
  const auto code = [&](auto get) -> CUresult {
    const KernelCode* compiled = nullptr;
    ANYWARP_TRY(code_of(*function, &compiled));
    *value = get(*compiled);
    return CUDA_SUCCESS;
  };
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: return code([&](const KernelCode& c) { return max_threads(*function, c, device); });
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: return code([](const KernelCode& c) { return static_cast<int>(c.manifest.static_shared_bytes); });
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES: return code([](const KernelCode& c) { return static_cast<int>(c.manifest.local_bytes); });
    case CU_FUNC_ATTRIBUTE_NUM_REGS: return code([](const KernelCode& c) { return static_cast<int>(std::clamp(c.manifest.registers, 1u, 255u)); });
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES: {
      std::uint64_t bytes = 0;
      for (const VariableInfo& v : module.manifest().variables) {
        if (v.space == VariableInfo::constant) bytes += v.bytes;
      }
      *value = static_cast<int>(bytes);
      return CUDA_SUCCESS;
    }
    case CU_FUNC_ATTRIBUTE_PTX_VERSION: *value = target_version(module.manifest().target); return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION: *value = static_cast<int>(device.capability()); return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      *value = function->max_dynamic_shared ? function->max_dynamic_shared.load() : kDefaultDynamicShared;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT: *value = function->carveout; return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET: *value = info.cluster[0] != 0; return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
      *value = static_cast<int>(info.cluster[attribute - CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH]);
      return CUDA_SUCCESS;
    default: *value = function->attributes[attribute]; return CUDA_SUCCESS;
  }
}

CUresult funcSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: {
      const Device& device = *find_device(function->module->context->device);
      const KernelCode* code = nullptr;
      ANYWARP_TRY(code_of(*function, &code));
      const int most = device.attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN) - static_cast<int>(code->manifest.static_shared_bytes);
      if (value < 0 || value > most) return CUDA_ERROR_INVALID_VALUE;
      function->max_dynamic_shared = value;
      return CUDA_SUCCESS;
    }
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      if (value < -1 || value > 100) return CUDA_ERROR_INVALID_VALUE;
      function->carveout = value;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
    case CU_FUNC_ATTRIBUTE_SHARED_MEMORY_MODE:
      if (value < 0 || (attribute == CU_FUNC_ATTRIBUTE_SHARED_MEMORY_MODE && value > CU_SHARED_MEMORY_MODE_PREFER_OVERSIZED_SHARED_MEMORY))
        return CUDA_ERROR_INVALID_VALUE;
      function->attributes[attribute] = value;
      return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult funcSetCacheConfig(CUfunction handle, CUfunc_cache config) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  return config <= CU_FUNC_CACHE_PREFER_EQUAL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult funcGetModule(CUmodule* module, CUfunction handle) {
  if (!module) return CUDA_ERROR_INVALID_VALUE;
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  *module = function->module;
  return CUDA_SUCCESS;
}

CUresult funcGetName(const char** name, CUfunction handle) {
  if (!name) return CUDA_ERROR_INVALID_VALUE;
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  *name = function->kernel->name().c_str();
  return CUDA_SUCCESS;
}

CUresult funcGetParamInfo(CUfunction handle, size_t index, size_t* offset, size_t* bytes) {
  if (!offset) return CUDA_ERROR_INVALID_VALUE;
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  const auto& params = function->kernel->info().params;
  if (index >= params.size()) return CUDA_ERROR_INVALID_VALUE;
  *offset = params[index].offset;
  if (bytes) *bytes = params[index].bytes;
  return CUDA_SUCCESS;
}

CUresult funcGetParamCount(CUfunction handle, size_t* count) {
  if (!count) return CUDA_ERROR_INVALID_VALUE;
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  *count = function->kernel->info().params.size();
  return CUDA_SUCCESS;
}

CUresult funcIsLoaded(CUfunctionLoadingState* state, CUfunction handle) {
  if (!state) return CUDA_ERROR_INVALID_VALUE;
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  *state = CU_FUNCTION_LOADING_STATE_LOADED;  // its module is; code is compiled when a launch needs it
  return CUDA_SUCCESS;
}

CUresult funcLoad(CUfunction handle) {
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(use_function(handle, &function));
  const KernelCode* code = nullptr;
  return code_of(*function, &code);
}

CUresult read_extra(void** extra, Arguments* out) {
  const std::size_t* bytes = nullptr;
  for (; reinterpret_cast<std::uintptr_t>(*extra) != CU_LAUNCH_PARAM_END; extra += 2) {
    switch (reinterpret_cast<std::uintptr_t>(*extra)) {
      case CU_LAUNCH_PARAM_BUFFER_POINTER: out->buffer = extra[1]; break;
      case CU_LAUNCH_PARAM_BUFFER_SIZE: bytes = static_cast<const std::size_t*>(extra[1]); break;
      default: return CUDA_ERROR_INVALID_VALUE;
    }
  }
  if ((out->buffer != nullptr) != (bytes != nullptr)) return CUDA_ERROR_INVALID_VALUE;
  if (bytes) out->buffer_bytes = *bytes;
  return CUDA_SUCCESS;
}

CUresult read_attributes(const CUlaunchAttribute* attributes, unsigned count, LaunchShape* shape) {
  if (count > 0 && !attributes) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    const CUlaunchAttributeValue& v = attributes[i].value;
    switch (attributes[i].id) {
      case CU_LAUNCH_ATTRIBUTE_COOPERATIVE: shape->cooperative = v.cooperative != 0; break;
      case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION: {
        const unsigned dimensions[] = {v.clusterDim.x, v.clusterDim.y, v.clusterDim.z};
        for (int axis = 0; axis < 3; ++axis) {
          if (dimensions[axis] == 0 || shape->grid[axis] % dimensions[axis] != 0) return CUDA_ERROR_INVALID_CLUSTER_SIZE;
          shape->cluster[axis] = dimensions[axis];
        }
        break;
      }
      case CU_LAUNCH_ATTRIBUTE_SHARED_MEMORY_MODE:
        if (v.sharedMemoryMode > CU_SHARED_MEMORY_MODE_PREFER_OVERSIZED_SHARED_MEMORY) return CUDA_ERROR_INVALID_VALUE;
        shape->shared_mode = static_cast<int>(v.sharedMemoryMode);
        break;
      default:
        // Priorities, policies and hints have no effect; events are recorded by the caller.
        if (attributes[i].id > CU_LAUNCH_ATTRIBUTE_SHARED_MEMORY_MODE) return CUDA_ERROR_INVALID_VALUE;
        break;
    }
  }
  return CUDA_SUCCESS;
}

CUresult launch_function(const StreamUse& use, CUfunction handle, const LaunchShape& shape, void** params, void** extra,
                         CUgraphDeviceNode* device_node) {
  if (!handle) return CUDA_ERROR_INVALID_HANDLE;
  if (params && extra) return CUDA_ERROR_INVALID_VALUE;
  CUfunc_st* function = nullptr;
  ANYWARP_TRY(resolve_function(handle, *use.context, &function));
  if (function->module->context != use.context) return CUDA_ERROR_INVALID_HANDLE;
  ANYWARP_TRY(check_shape(*function, shape, *find_device(use.context->device)));
  if (use.capture()) {
    KernelWork work;
    work.function = function;
    work.kernel = function == handle ? nullptr : reinterpret_cast<CUkernel>(handle);
    work.shape = shape;
    ANYWARP_TRY(work.take(params, extra));
    if (device_node) *device_node = make_device_node(&work);
    return submit(use, std::move(work));
  }
  if (device_node) return CUDA_ERROR_INVALID_VALUE;
  Arguments arguments;
  arguments.pointers = params;
  if (extra) ANYWARP_TRY(read_extra(extra, &arguments));
  if (!params && !arguments.buffer && !function->kernel->info().params.empty()) return CUDA_ERROR_INVALID_VALUE;
  std::string log;
  const CUresult result = api(use.stream->launch(*function->kernel, shape, arguments, &log));
  if (result != CUDA_SUCCESS) report_log(result, log);
  return result;
}

CUresult launchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                      unsigned shared_bytes, CUstream stream, void** params, void** extra) {
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  return launch_function(use, function, make_shape(grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes), params, extra);
}

CUresult launchKernelEx(const CUlaunchConfig* config, CUfunction function, void** params, void** extra, CUstream default_stream) {
  if (!config) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(config->hStream ? config->hStream : default_stream, &use));
  LaunchShape shape = make_shape(config->gridDimX, config->gridDimY, config->gridDimZ, config->blockDimX, config->blockDimY, config->blockDimZ, config->sharedMemBytes);
  ANYWARP_TRY(read_attributes(config->attrs, config->numAttrs, &shape));
  CUgraphDeviceNode* device_node = nullptr;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    CUlaunchAttribute& a = config->attrs[i];
    if (a.id == CU_LAUNCH_ATTRIBUTE_DEVICE_UPDATABLE_KERNEL_NODE && a.value.deviceUpdatableKernelNode.deviceUpdatable)
      device_node = &a.value.deviceUpdatableKernelNode.devNode;
  }
  ANYWARP_TRY(launch_function(use, function, shape, params, extra, device_node));
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const CUlaunchAttribute& a = config->attrs[i];
    CUevent event = a.id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT        ? a.value.programmaticEvent.event
                    : a.id == CU_LAUNCH_ATTRIBUTE_LAUNCH_COMPLETION_EVENT ? a.value.launchCompletionEvent.event
                                                                          : nullptr;
    if (!event) continue;
    if (!is_valid(event)) return CUDA_ERROR_INVALID_HANDLE;
    // Recorded behind the kernel: later than allowed, never too early.
    ANYWARP_TRY(submit(use, RecordWork{event}));
  }
  return CUDA_SUCCESS;
}

CUresult launchCooperativeKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                                 unsigned block_z, unsigned shared_bytes, CUstream stream, void** params) {
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  LaunchShape shape = make_shape(grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes);
  shape.cooperative = true;
  return launch_function(use, function, shape, params, nullptr);
}

CUresult launchHostFunc_v1(CUstream stream, CUhostFn function, void* data) {
  if (!function) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  return submit(use, HostWork{function, data});
}

CUresult launchHostFunc_v2(CUstream stream, CUhostFn function, void* data, unsigned) { return launchHostFunc_v1(stream, function, data); }

}  // namespace anywarp::driver
