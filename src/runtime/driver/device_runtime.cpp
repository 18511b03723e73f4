#include "driver/device_runtime.h"

#include <algorithm>
#include <cstring>

#include "driver/context.h"
#include "driver/device.h"
#include "driver/error.h"
#include "driver/execution.h"
#include "driver/graph_device.h"
#include "driver/initialization.h"
#include "driver/occupancy.h"
#include "driver/work.h"
#include "exec/services.h"

namespace anywarp::driver {
namespace {

// Values of cudaError_t that are not the driver's.
enum : unsigned { invalid_configuration = 9, invalid_device_function = 98, invalid_device = 101, invalid_resource_handle = 400, not_supported = 801 };
// Special streams of the runtime's headers.
enum : std::uint64_t { null_stream = 0, legacy_stream = 1, per_thread_stream = 2, tail_stream = 3, fire_and_forget_stream = 4 };

// One call. Arguments lie at multiples of eight bytes; `dim3` takes two of them.
class Call {
 public:
  Call(Grid& grid, std::uint64_t thread, const std::uint64_t* arguments, Fault* fault)
      : grid_(grid), thread_(thread), arguments_(arguments), fault_(fault) {}

  std::uint64_t answer(abi::DeviceFunction function) {
    using F = abi::DeviceFunction;
    switch (function) {
      case F::PARAMETER_BUFFER: return parameter_buffer();
      case F::PLAIN_PARAMETER_BUFFER: return plain_parameter_buffer();
      case F::SYNCHRONIZE: return grid_.offspring->is_pending();
      case F::LAST_ERROR: return grid_.offspring->error(thread_, true);
      case F::PEEK_ERROR: return grid_.offspring->error(thread_, false);
      case F::ERROR_NAME: return text(getErrorName);
      case F::ERROR_STRING: return text(getErrorString);
      default: break;
    }
    const unsigned error = status(function);
    if (error != 0) grid_.offspring->set_error(thread_, error);
    return error;
  }

 private:
  unsigned status(abi::DeviceFunction function) {
    using F = abi::DeviceFunction;
    const auto* a = arguments_;
    switch (function) {
      case F::LAUNCH: return launch(grid_.offspring->take_pending(a[0]), a[1]);
      case F::PLAIN_LAUNCH: return plain_launch();
      case F::STREAM_CREATE: return give(a[0], grid_.offspring->create_stream());
      case F::STREAM_DESTROY: return grid_.offspring->destroy_stream(a[0]) ? 0u : unsigned{invalid_resource_handle};
      case F::STREAM_WAIT_EVENT: return wait_event(a[0], a[1]);
      case F::EVENT_CREATE: return (word(1) & CU_EVENT_DISABLE_TIMING) == 0 ? 1u : give(a[0], grid_.offspring->create_event());
      case F::EVENT_RECORD: return record_event(a[0], a[1]);
      case F::EVENT_DESTROY: return grid_.offspring->destroy_event(a[0]) ? 0u : unsigned{invalid_resource_handle};
      case F::COPY: return copy(a[0], 0, a[1], 0, a[2], 1, a[4]);
      case F::COPY_2D: return copy(a[0], a[1], a[2], a[3], a[4], a[5], a[7]);
      case F::COPY_3D: return copy_3d();
      case F::FILL: return fill(a[0], 0, word(1), a[2], 1, a[3]);
      case F::FILL_2D: return fill(a[0], a[1], word(2), a[3], a[4], a[5]);
      case F::FILL_3D: return fill_3d();
      case F::DEVICE_COUNT: return give(a[0], static_cast<std::uint32_t>(device_count()));
      case F::DEVICE: return give(a[0], static_cast<std::uint32_t>(grid_.context().device()));
      case F::DEVICE_ATTRIBUTE: return device_attribute();
      case F::LIMIT: return limit();
      case F::ZERO_OPTION: return give(a[0], std::uint32_t{0});
      case F::VERSION: return give(a[0], static_cast<std::uint32_t>(driver_version()));
      case F::FUNCTION_ATTRIBUTES: return function_attributes();
      case F::OCCUPANCY: return occupancy();
      case F::MALLOC: return allocate();
      case F::FREE: return release();
      case F::GRAPH_LAUNCH: return launch_graph_from_device(grid_, a[0], a[1]);
      case F::NODE_SET_PARAMETER: return set_node_parameter(a[0], a[1], a[2], a[3], fault_);
      case F::NODE_SET_ENABLED: return set_node_enabled(a[0], (a[1] & 0xff) != 0);
      case F::NODE_SET_GRID: return set_node_grid(a[0], reinterpret_cast<const std::uint32_t*>(a + 1));
      case F::NODE_UPDATES: return apply_node_updates(a[0], a[1], fault_);
      default: return not_supported;
    }
  }

  std::uint32_t word(int number) const { return static_cast<std::uint32_t>(arguments_[number]); }

  // Writes a result where the kernel wants it.
  template <typename T>
  unsigned give(std::uint64_t address, const T& value) {
    return copy_guarded(reinterpret_cast<void*>(address), &value, sizeof value, fault_) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  }

  std::uint64_t text(CUresult (*get)(CUresult, const char**)) const {
    const char* result = nullptr;
    if (get(static_cast<CUresult>(word(0)), &result) != CUDA_SUCCESS) result = "unrecognized error code";
    return reinterpret_cast<std::uint64_t>(result);
  }

  // ---- launches

  static bool set_shape(LaunchShape* shape, const std::uint64_t* grid, const std::uint64_t* block, std::uint64_t shared) {
    std::memcpy(shape->grid, grid, sizeof shape->grid);
    std::memcpy(shape->block, block, sizeof shape->block);
    shape->dynamic_shared = static_cast<std::uint32_t>(shared);
    std::uint64_t threads = 1;
    for (int axis = 0; axis < 3; ++axis) {
      if (shape->grid[axis] == 0 || shape->grid[axis] > kMaxGrid[axis] || shape->block[axis] == 0 || shape->block[axis] > kMaxBlock[axis]) return false;
      threads *= shape->block[axis];
    }
    return threads <= kMaxThreads && shape->dynamic_shared <= kMaxShared;
  }

  std::uint64_t parameter_buffer() {
    auto launch = std::make_unique<PendingLaunch>();
    launch->kernel = grid_.code().kernel->module().kernel_at(arguments_[0]);
    const bool is_possible = set_shape(&launch->shape, arguments_ + 1, arguments_ + 3, arguments_[5]);
    if (!launch->kernel || !is_possible) {
      grid_.offspring->set_error(thread_, launch->kernel ? invalid_configuration : invalid_device_function);
      return 0;
    }
    launch->bytes = std::max<std::size_t>(launch->kernel->info().param_bytes, 1);
    return reinterpret_cast<std::uint64_t>(grid_.offspring->add_pending(std::move(launch)));
  }

  std::uint64_t plain_parameter_buffer() {
    if (arguments_[1] > kMaxParameterBytes) return 0;
    auto launch = std::make_unique<PendingLaunch>();
    launch->bytes = std::max<std::size_t>(arguments_[1], 1);
    return reinterpret_cast<std::uint64_t>(grid_.offspring->add_pending(std::move(launch)));
  }

  unsigned plain_launch() {
    auto pending = grid_.offspring->take_pending(arguments_[1]);
    if (!pending) {
      if (arguments_[1] != 0) return CUDA_ERROR_INVALID_VALUE;
      pending = std::make_unique<PendingLaunch>();
    }
    pending->kernel = grid_.code().kernel->module().kernel_at(arguments_[0]);
    if (!pending->kernel) return invalid_device_function;
    if (!set_shape(&pending->shape, arguments_ + 2, arguments_ + 4, arguments_[6])) return invalid_configuration;
    return launch(std::move(pending), arguments_[7]);
  }

  unsigned launch(std::shared_ptr<PendingLaunch> pending, std::uint64_t handle) {
    if (!pending || !pending->kernel) return CUDA_ERROR_INVALID_VALUE;
    const auto start = [pending](Stream& stream) {
      Arguments arguments;
      arguments.buffer = pending->parameters;
      arguments.buffer_bytes = pending->bytes;
      std::string log;
      const Result result = stream.launch(*pending->kernel, pending->shape, arguments, &log);
      report_log(static_cast<CUresult>(result), log);
      return result;
    };
    return in_stream(handle, start);
  }

  // ---- streams

  // Starts something in a stream of the kernel's, now or when its turn comes.
  unsigned in_stream(std::uint64_t handle, Offspring::Start start) {
    if (handle == tail_stream) {
      grid_.offspring->add_tail(std::move(start));
      return CUDA_SUCCESS;
    }
    const StreamRef stream = find_stream(handle);
    return stream ? static_cast<unsigned>(start(*stream)) : invalid_resource_handle;
  }

  StreamRef find_stream(std::uint64_t handle) const {
    switch (handle) {
      case null_stream:
      case legacy_stream:
      case per_thread_stream: return grid_.offspring->stream_of(thread_ / grid_.launch().threads);
      case fire_and_forget_stream: return grid_.offspring->any_stream();
      default: return grid_.offspring->find_stream(handle);
    }
  }

  unsigned wait_event(std::uint64_t stream_handle, std::uint64_t event_handle) {
    const auto event = grid_.offspring->find_event(event_handle);
    if (!event) return invalid_resource_handle;
    return in_stream(stream_handle, [event](Stream& stream) { return stream.wait(*event); });
  }

  unsigned record_event(std::uint64_t event_handle, std::uint64_t stream_handle) {
    const auto event = grid_.offspring->find_event(event_handle);
    if (!event) return invalid_resource_handle;
    return in_stream(stream_handle, [event](Stream& stream) { return event->record(stream); });
  }

  // ---- memory

  unsigned copy(std::uint64_t to, std::uint64_t to_pitch, std::uint64_t from, std::uint64_t from_pitch, std::uint64_t width, std::uint64_t height,
                std::uint64_t stream) {
    if (height > 1 && (width > to_pitch || width > from_pitch)) return CUDA_ERROR_INVALID_VALUE;
    Copy c;
    c.destination = reinterpret_cast<void*>(to), c.source = reinterpret_cast<const void*>(from);
    c.width = width, c.height = height;
    c.destination_pitch = to_pitch, c.source_pitch = from_pitch;
    return in_stream(stream, [c](Stream& s) { return s.copy(c); });
  }

  // cudaMemcpy3DParms of the public header driver_types.h.
  unsigned copy_3d() {
    struct Pitched {
      std::uint64_t address, pitch, width, height;
    };
    struct Side {
      std::uint64_t array, x, y, z;
      Pitched memory;
    };
    struct Parameters {
      Side source, destination;
      std::uint64_t width, height, depth;
      std::uint64_t kind;
    } p;
    if (!copy_guarded(&p, reinterpret_cast<const void*>(arguments_[0]), sizeof p, fault_)) return CUDA_ERROR_INVALID_VALUE;
    if (p.source.array != 0 || p.destination.array != 0) return not_supported;
    const auto begin = [](const Side& s) { return s.memory.address + (s.z * s.memory.height + s.y) * s.memory.pitch + s.x; };
    Copy c;
    c.destination = reinterpret_cast<void*>(begin(p.destination)), c.source = reinterpret_cast<const void*>(begin(p.source));
    c.width = p.width, c.height = p.height, c.depth = p.depth;
    c.destination_pitch = p.destination.memory.pitch, c.source_pitch = p.source.memory.pitch;
    c.destination_slice = c.destination_pitch * p.destination.memory.height, c.source_slice = c.source_pitch * p.source.memory.height;
    return in_stream(arguments_[1], [c](Stream& s) { return s.copy(c); });
  }

  unsigned fill(std::uint64_t to, std::uint64_t pitch, std::uint32_t value, std::uint64_t width, std::uint64_t height, std::uint64_t stream) {
    Fill f;
    f.destination = reinterpret_cast<void*>(to);
    f.value = value;
    f.width = width, f.height = height, f.pitch = pitch;
    return in_stream(stream, [f](Stream& s) { return s.fill(f); });
  }

  unsigned fill_3d() {
    const auto* a = arguments_;  // cudaPitchedPtr: address, pitch, width, height; the value; cudaExtent
    const std::uint64_t slice = a[1] * a[3];
    unsigned error = CUDA_SUCCESS;
    for (std::uint64_t z = 0; z < a[7] && error == CUDA_SUCCESS; ++z) error = fill(a[0] + z * slice, a[1], word(4), a[5], a[6], a[8]);
    return error;
  }

  // cudaMalloc of a kernel takes from the heap that malloc takes from.
  unsigned allocate() {
    std::uint64_t bytes[abi::kWarp], result[abi::kWarp]{};
    bytes[0] = arguments_[1];
    kServices.malloc(&grid_.launch(), nullptr, 1, bytes, result);
    const unsigned error = give(arguments_[0], result[0]);
    return error != CUDA_SUCCESS ? error : result[0] == 0 && bytes[0] != 0 ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
  }

  unsigned release() {
    memory::Allocation found;
    Context& context = grid_.context();
    memory::Arena& arena = context.engine().arena();
    if (arguments_[0] == 0) return CUDA_SUCCESS;
    void* const p = reinterpret_cast<void*>(arguments_[0]);
    if (!arena.lookup(p, &found) || found.base != arguments_[0] || found.kind != memory::Kind::heap || arena.free(p) != Result::success)
      return CUDA_ERROR_INVALID_VALUE;
    context.heap_used.fetch_sub(found.size, std::memory_order_relaxed);
    return CUDA_SUCCESS;
  }

  // ---- questions

  unsigned device_attribute() {
    const Device* device = find_device(static_cast<CUdevice>(word(2)));
    if (!device) return invalid_device;
    if (word(1) == 0 || word(1) >= std::size(device->attributes)) return CUDA_ERROR_INVALID_VALUE;
    return give(arguments_[0], device->attributes[word(1)]);
  }

  unsigned limit() {
    std::size_t value = 0;
    auto& context = *static_cast<CUctx_st*>(grid_.context().api_object());
    if (limit_of(context, static_cast<CUlimit>(word(1)), &value) != CUDA_SUCCESS) return CUDA_ERROR_UNSUPPORTED_LIMIT;
    return give(arguments_[0], static_cast<std::uint64_t>(value));
  }

  CUfunction function_at(std::uint64_t token) {
    const Kernel* kernel = grid_.code().kernel->module().kernel_at(token);
    auto& context = *static_cast<CUctx_st*>(grid_.context().api_object());
    const std::lock_guard lock(context.mutex);
    for (const CUmodule module : context.modules) {
      for (const auto& function : module->functions) {
        if (kernel && function->kernel == kernel) return function.get();
      }
    }
    return nullptr;
  }

  unsigned function_attributes() {
    const CUfunction function = function_at(arguments_[1]);
    if (!function) return invalid_device_function;
    // The fields of cudaFuncAttributes that all versions have.
    struct {
      std::uint64_t sizes[3]{};
      std::int32_t numbers[6]{};
    } out;
    constexpr CUfunction_attribute kSizes[] = {CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES, CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES};
    constexpr CUfunction_attribute kNumbers[] = {CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, CU_FUNC_ATTRIBUTE_NUM_REGS, CU_FUNC_ATTRIBUTE_PTX_VERSION,
                                                 CU_FUNC_ATTRIBUTE_BINARY_VERSION, CU_FUNC_ATTRIBUTE_CACHE_MODE_CA,
                                                 CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES};
    int value = 0;
    for (int i = 0; i < 3; ++i) {
      if (const CUresult r = funcGetAttribute(&value, kSizes[i], function); r != CUDA_SUCCESS) return r;
      out.sizes[i] = static_cast<std::uint64_t>(value);
    }
    for (int i = 0; i < 6; ++i) {
      if (const CUresult r = funcGetAttribute(&out.numbers[i], kNumbers[i], function); r != CUDA_SUCCESS) return r;
    }
    return give(arguments_[0], out);
  }

  unsigned occupancy() {
    const CUfunction function = function_at(arguments_[1]);
    if (!function) return invalid_device_function;
    int blocks = 0;
    const CUresult r = occupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, static_cast<int>(word(2)), arguments_[3]);
    return r != CUDA_SUCCESS ? r : give(arguments_[0], blocks);
  }

  Grid& grid_;
  const std::uint64_t thread_;  // in the grid
  const std::uint64_t* const arguments_;
  Fault* const fault_;
};

}  // namespace

void serve_device_runtime() {
  set_device_runtime([](Grid& grid, const abi::Cta&, std::uint64_t thread, abi::DeviceFunction function, const std::uint64_t* arguments,
                        Fault* fault) { return Call(grid, thread, arguments, fault).answer(function); });
}

}  // namespace anywarp::driver
