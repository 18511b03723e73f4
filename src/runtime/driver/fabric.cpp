#include "driver/fabric.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "driver/device.h"
#include "driver/ipc.h"
#include "driver/memory.h"
#include "driver/physical_memory.h"
#include "driver/stream_capture.h"
#include "driver/virtual_memory.h"

namespace anywarp::driver {
namespace {

constexpr std::uint32_t kEndpoint = 0x4157494c;
constexpr cuuint64_t kLargest = cuuint64_t{1} << 40;

// A file's piece, mapped for copies for as long as a binding or an enqueued copy wants it.
struct Window {
  Window(int file, std::size_t offset, std::size_t size) {
    const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), first = offset / page * page;
    bytes = offset - first + size;
    start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, static_cast<off_t>(first));
    if (start != MAP_FAILED) memory = static_cast<std::uint8_t*>(start) + (offset - first);
  }
  ~Window() {
    if (memory) munmap(start, bytes);
  }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  std::uint8_t* memory = nullptr;
  void* start;
  std::size_t bytes;
};

// What a process tells others of an endpoint: a page of a file in memory.
struct Table {
  static constexpr unsigned kMost = 120;
  struct Row {
    std::uint64_t offset, size, file_offset;
    std::int32_t file;
    std::uint32_t is_there;
  };
  std::uint64_t size;
  std::atomic<std::uint32_t> version;
  std::uint32_t count;
  Row rows[kMost];
};

struct Binding {
  int device;
  cuuint64_t offset, size;
  Backing memory;
  std::shared_ptr<Window> window;
};

struct Endpoint {
  CUlogicalEndpointProp properties{};
  std::vector<int> devices;
  std::vector<Binding> bindings;
  bool is_queried = false;  // cuLogicalEndpointQuery has said that it is ready
  int table_file = -1;      // of an exported or imported endpoint
  Table* table = nullptr;
  Ticket exporter{};  // of an imported one
  bool is_imported = false;

  ~Endpoint() {
    for (const Binding& b : bindings) close(b.memory.file);
    if (table) munmap(table, sizeof(Table));
    if (table_file >= 0) close(table_file);
  }
  bool is_multicast() const { return properties.type == CU_LOGICAL_ENDPOINT_TYPE_MULTICAST; }
  bool is_complete() const { return is_imported || !is_multicast() || devices.size() == properties.multicast.numDevices; }
  bool has(int device) const { return std::find(devices.begin(), devices.end(), device) != devices.end(); }
  void publish() const {
    if (!table || is_imported) return;
    ++table->version;
    table->count = static_cast<std::uint32_t>(bindings.size());
    for (std::size_t i = 0; i < bindings.size(); ++i)
      table->rows[i] = {bindings[i].offset, bindings[i].size, bindings[i].memory.offset, bindings[i].memory.file, 1};
    ++table->version;
  }
};

// Reserved ids, with the endpoint that each stands for. Guarded by the lock of physical memory, which endpoints bind.
std::map<CUlogicalEndpointId, std::unique_ptr<Endpoint>>& endpoints() {
  static auto* all = new std::map<CUlogicalEndpointId, std::unique_ptr<Endpoint>>;
  return *all;
}

Endpoint* find(CUlogicalEndpointId id) {
  const auto found = endpoints().find(id);
  return found == endpoints().end() ? nullptr : found->second.get();
}

CUresult check(const CUlogicalEndpointProp* p) {
  if (!p) return CUDA_ERROR_INVALID_VALUE;
  if (p->type == CU_LOGICAL_ENDPOINT_TYPE_UNICAST) {
    if (!find_device(p->unicast.device)) return CUDA_ERROR_INVALID_VALUE;
  } else if (p->type == CU_LOGICAL_ENDPOINT_TYPE_MULTICAST) {
    if (p->multicast.numDevices == 0 || p->multicast.numDevices > static_cast<unsigned>(device_count())) return CUDA_ERROR_INVALID_VALUE;
  } else {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if ((p->ipcHandleTypes & ~unsigned{CU_LOGICAL_ENDPOINT_IPC_HANDLE_TYPE_FABRIC}) != 0) return CUDA_ERROR_INVALID_VALUE;
  if ((p->flags & ~unsigned{CU_LOGICAL_ENDPOINT_FLAG_COUNTED_OPS}) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (p->flags & CU_LOGICAL_ENDPOINT_FLAG_COUNTED_OPS) return CUDA_ERROR_NOT_SUPPORTED;
  // A team of several processes.
  if (p->type == CU_LOGICAL_ENDPOINT_TYPE_MULTICAST && p->ipcHandleTypes != 0) return CUDA_ERROR_NOT_SUPPORTED;
  return CUDA_SUCCESS;
}

CUresult make_table(Endpoint& e) {
  e.table_file = memfd_create("anywarp-endpoint", MFD_CLOEXEC);
  if (e.table_file < 0 || ftruncate(e.table_file, sizeof(Table)) != 0) return CUDA_ERROR_OPERATING_SYSTEM;
  void* at = mmap(nullptr, sizeof(Table), PROT_READ | PROT_WRITE, MAP_SHARED, e.table_file, 0);
  if (at == MAP_FAILED) return CUDA_ERROR_OPERATING_SYSTEM;
  e.table = static_cast<Table*>(at);
  e.table->size = e.properties.size;
  return CUDA_SUCCESS;
}

template <typename Back>
CUresult bind(CUlogicalEndpointId id, int device, cuuint64_t offset, cuuint64_t size, unsigned long long flags, bool aligned, const Back& back) {
  if (flags != 0 || !aligned || size == 0 || size % kGranularity != 0 || offset % kGranularity != 0) return CUDA_ERROR_INVALID_VALUE;
  if (!find_device(device)) return CUDA_ERROR_INVALID_VALUE;
  const std::lock_guard lock(physical_memory().mutex);
  Endpoint* e = find(id);
  if (!e || e->is_imported || !e->is_queried || !e->has(device)) return CUDA_ERROR_INVALID_VALUE;
  if (offset > e->properties.size || size > e->properties.size - offset) return CUDA_ERROR_INVALID_VALUE;
  for (const Binding& b : e->bindings) {
    if (b.device == device && b.offset < offset + size && offset < b.offset + b.size) return CUDA_ERROR_INVALID_VALUE;
  }
  if (e->table && e->bindings.size() >= Table::kMost) return CUDA_ERROR_OUT_OF_MEMORY;
  Binding made{device, offset, size, {}, nullptr};
  ANYWARP_TRY(back(&made.memory));
  CUresult result = CUDA_SUCCESS;
  if (made.memory.device != device || (e->properties.ipcHandleTypes != 0 && !made.memory.is_shareable)) result = CUDA_ERROR_INVALID_VALUE;
  if (result == CUDA_SUCCESS) {
    made.window = std::make_shared<Window>(made.memory.file, made.memory.offset, size);
    if (!made.window->memory) result = CUDA_ERROR_OUT_OF_MEMORY;
  }
  if (result != CUDA_SUCCESS) {
    close(made.memory.file);
    return result;
  }
  e->bindings.push_back(std::move(made));
  e->publish();
  return CUDA_SUCCESS;
}

// A stretch of memory that a copy touches, kept mapped until it has run.
struct Piece {
  std::uint8_t* memory;
  cuuint64_t begin, end;  // of the copy's bytes
  std::shared_ptr<Window> window;
};

// What lies behind [offset, offset + size) of an endpoint; on one device, or on each of a team. invalid_value where nothing is bound.
CUresult resolve(const Endpoint& e, cuuint64_t offset, cuuint64_t size, std::vector<Piece>* pieces) {
  if (offset > e.properties.size || size > e.properties.size - offset) return CUDA_ERROR_INVALID_VALUE;
  const auto cover = [&](cuuint64_t at, cuuint64_t bytes, const auto& window) -> CUresult {
    const cuuint64_t begin = std::max(at, offset), end = std::min(at + bytes, offset + size);
    if (begin >= end) return CUDA_SUCCESS;
    const std::shared_ptr<Window> w = window();
    if (!w || !w->memory) return CUDA_ERROR_INVALID_VALUE;
    pieces->push_back({w->memory + (begin - at), begin - offset, end - offset, w});
    return CUDA_SUCCESS;
  };
  cuuint64_t wanted = size;
  if (e.is_imported) {
    Table copy{};
    std::uint32_t version = 0;
    do {  // the exporter may be writing
      version = e.table->version.load();
      copy.count = e.table->count;
      std::memcpy(copy.rows, e.table->rows, sizeof copy.rows);
    } while (version % 2 != 0 || e.table->version.load() != version);
    for (unsigned i = 0; i < std::min(copy.count, Table::kMost); ++i) {
      const Table::Row& row = copy.rows[i];
      ANYWARP_TRY(cover(row.offset, row.size, [&]() -> std::shared_ptr<Window> {
        Ticket ticket = e.exporter;
        ticket.file = row.file, ticket.offset = row.file_offset, ticket.bytes = row.size;
        int file = -1;
        if (open_file(ticket, kEndpoint, &file) != CUDA_SUCCESS) return nullptr;
        auto window = std::make_shared<Window>(file, row.file_offset, row.size);
        close(file);
        return window;
      }));
    }
  } else {
    for (const Binding& b : e.bindings) ANYWARP_TRY(cover(b.offset, b.size, [&] { return b.window; }));
    wanted *= e.devices.size();
  }
  for (const Piece& p : *pieces) wanted -= p.end - p.begin;
  return wanted == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

CUresult deviceGetFabricClusterUuid(CUuuid* uuid, CUdevice device) {
  if (!uuid || !find_device(device)) return CUDA_ERROR_INVALID_VALUE;
  *uuid = find_device(0)->uuid;  // the cluster is this process's devices
  return CUDA_SUCCESS;
}

namespace {
constexpr CUcliqueType kCliques[] = {CU_CLIQUE_TYPE_UNICAST_POINTER, CU_CLIQUE_TYPE_UNICAST_LOGICAL_ENDPOINT, CU_CLIQUE_TYPE_MULTICAST_LOGICAL_ENDPOINT};
}

CUresult deviceGetCliqueCount(size_t* count, CUdevice device) {
  if (!count || !find_device(device)) return CUDA_ERROR_INVALID_VALUE;
  *count = std::size(kCliques);
  return CUDA_SUCCESS;
}

CUresult deviceGetCliqueInfo(CUcliqueInfo* info, size_t* count, CUdevice device) {
  if (!info || !count || !find_device(device)) return CUDA_ERROR_INVALID_VALUE;
  *count = std::min(*count, std::size(kCliques));
  for (std::size_t i = 0; i < *count; ++i) info[i] = {kCliques[i], 0};
  return CUDA_SUCCESS;
}

CUresult logicalEndpointIdReserve(CUlogicalEndpointId* first, cuuint32_t count) {
  if (!first || count == 0) return CUDA_ERROR_INVALID_VALUE;
  const std::lock_guard lock(physical_memory().mutex);
  auto& all = endpoints();
  cuuint64_t at = 1;
  for (const auto& [id, endpoint] : all) {
    if (id - at >= count) break;
    at = cuuint64_t{id} + 1;
  }
  if (at + count > cuuint64_t{1} << 20) return CUDA_ERROR_OUT_OF_MEMORY;
  for (cuuint32_t i = 0; i < count; ++i) all.emplace(static_cast<CUlogicalEndpointId>(at + i), nullptr);
  *first = static_cast<CUlogicalEndpointId>(at);
  return CUDA_SUCCESS;
}

CUresult logicalEndpointIdRelease(CUlogicalEndpointId first, cuuint32_t count) {
  if (count == 0) return CUDA_ERROR_INVALID_VALUE;
  const std::lock_guard lock(physical_memory().mutex);
  auto& all = endpoints();
  for (cuuint32_t i = 0; i < count; ++i) {
    const auto found = all.find(first + i);
    if (found == all.end() || found->second) return CUDA_ERROR_INVALID_VALUE;
  }
  for (cuuint32_t i = 0; i < count; ++i) all.erase(first + i);
  return CUDA_SUCCESS;
}

CUresult logicalEndpointCreate(CUlogicalEndpointId id, const CUlogicalEndpointProp* properties) {
  ANYWARP_TRY(check(properties));
  if (properties->size == 0 || properties->size % kGranularity != 0 || properties->size > kLargest) return CUDA_ERROR_INVALID_VALUE;
  auto made = std::make_unique<Endpoint>();
  made->properties = *properties;
  if (!made->is_multicast()) made->devices = {properties->unicast.device};
  if (properties->ipcHandleTypes != 0) ANYWARP_TRY(make_table(*made));
  const std::lock_guard lock(physical_memory().mutex);
  const auto found = endpoints().find(id);
  if (found == endpoints().end() || found->second) return CUDA_ERROR_INVALID_VALUE;
  found->second = std::move(made);
  return CUDA_SUCCESS;
}

CUresult logicalEndpointAddDevice(CUlogicalEndpointId id, CUdevice device) {
  if (!find_device(device)) return CUDA_ERROR_INVALID_VALUE;
  const std::lock_guard lock(physical_memory().mutex);
  Endpoint* e = find(id);
  if (!e || !e->is_multicast() || e->is_complete() || e->has(device)) return CUDA_ERROR_INVALID_VALUE;
  e->devices.push_back(device);
  return CUDA_SUCCESS;
}

CUresult logicalEndpointDestroy(CUlogicalEndpointId id) {
  const std::lock_guard lock(physical_memory().mutex);
  const auto found = endpoints().find(id);
  if (found == endpoints().end() || !found->second) return CUDA_ERROR_INVALID_VALUE;
  if (Table* table = found->second->table; table && !found->second->is_imported) table->count = 0;
  found->second.reset();  // copies that have not run hold their windows
  return CUDA_SUCCESS;
}

CUresult logicalEndpointBindAddr(CUlogicalEndpointId id, CUdevice device, cuuint64_t offset, void* address, cuuint64_t size, unsigned long long flags) {
  const auto at = reinterpret_cast<CUdeviceptr>(address);
  return bind(id, device, offset, size, flags, at != 0 && at % kGranularity == 0, [&](Backing* out) { return back_address(at, size, out); });
}

CUresult logicalEndpointBindMem(CUlogicalEndpointId id, CUdevice device, cuuint64_t offset, CUmemGenericAllocationHandle memory,
                                cuuint64_t memory_offset, cuuint64_t size, unsigned long long flags) {
  return bind(id, device, offset, size, flags, memory_offset % kGranularity == 0,
              [&](Backing* out) { return back_handle(memory, memory_offset, size, out); });
}

// The range must begin where a binding does, and hold whole ones only.
CUresult logicalEndpointUnbind(CUlogicalEndpointId id, CUdevice device, cuuint64_t offset, cuuint64_t size) {
  if (size == 0 || offset % kGranularity != 0 || size % kGranularity != 0) return CUDA_ERROR_INVALID_VALUE;
  const std::lock_guard lock(physical_memory().mutex);
  Endpoint* e = find(id);
  if (!e || e->is_imported || !e->has(device)) return CUDA_ERROR_INVALID_VALUE;
  bool begins = false;
  for (const Binding& b : e->bindings) {
    if (b.device != device || b.offset >= offset + size || b.offset + b.size <= offset) continue;
    if (b.offset < offset || b.offset + b.size > offset + size) return CUDA_ERROR_INVALID_VALUE;
    begins |= b.offset == offset;
  }
  if (!begins) return CUDA_ERROR_INVALID_VALUE;
  std::erase_if(e->bindings, [&](const Binding& b) {
    if (b.device != device || b.offset < offset || b.offset >= offset + size) return false;
    close(b.memory.file);
    return true;
  });
  e->publish();
  return CUDA_SUCCESS;
}

CUresult logicalEndpointExport(void* handle, CUlogicalEndpointId id, CUlogicalEndpointIpcHandleType type) {
  if (!handle || type != CU_LOGICAL_ENDPOINT_IPC_HANDLE_TYPE_FABRIC) return CUDA_ERROR_INVALID_VALUE;
  const std::lock_guard lock(physical_memory().mutex);
  const Endpoint* e = find(id);
  if (!e || !e->table || e->is_imported) return CUDA_ERROR_INVALID_VALUE;
  const Ticket ticket{kEndpoint, getpid(), own_start(), e->table_file, e->devices[0], 0, sizeof(Table), 0};
  std::memset(handle, 0, sizeof(CUlogicalEndpointFabricHandle));
  std::memcpy(handle, &ticket, sizeof ticket);
  return CUDA_SUCCESS;
}

CUresult logicalEndpointImport(CUlogicalEndpointId id, const void* handle, CUlogicalEndpointIpcHandleType type) {
  if (!handle || type != CU_LOGICAL_ENDPOINT_IPC_HANDLE_TYPE_FABRIC) return CUDA_ERROR_INVALID_VALUE;
  auto made = std::make_unique<Endpoint>();
  std::memcpy(&made->exporter, handle, sizeof made->exporter);
  if (made->exporter.bytes != sizeof(Table)) return CUDA_ERROR_INVALID_VALUE;
  const CUresult opened = open_file(made->exporter, kEndpoint, &made->table_file);
  if (opened != CUDA_SUCCESS) return opened == CUDA_ERROR_MAP_FAILED ? CUDA_ERROR_NOT_PERMITTED : opened;
  void* at = mmap(nullptr, sizeof(Table), PROT_READ | PROT_WRITE, MAP_SHARED, made->table_file, 0);
  if (at == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  made->table = static_cast<Table*>(at);
  made->is_imported = true;
  made->properties.type = CU_LOGICAL_ENDPOINT_TYPE_UNICAST;
  made->properties.size = made->table->size;
  const std::lock_guard lock(physical_memory().mutex);
  const auto found = endpoints().find(id);
  if (found == endpoints().end() || found->second) return CUDA_ERROR_INVALID_VALUE;
  found->second = std::move(made);
  return CUDA_SUCCESS;
}

CUresult logicalEndpointGetLimits(cuuint64_t* alignment, cuuint64_t* largest, const CUlogicalEndpointProp* properties) {
  if (!alignment || !largest) return CUDA_ERROR_INVALID_VALUE;
  ANYWARP_TRY(check(properties));
  *alignment = kGranularity;
  *largest = kLargest;
  return CUDA_SUCCESS;
}

CUresult logicalEndpointQuery(CUlogicalEndpointId first, cuuint32_t count, int* status) {
  if (count == 0 || !status) return CUDA_ERROR_INVALID_VALUE;
  const std::lock_guard lock(physical_memory().mutex);
  bool all = true;
  for (cuuint32_t i = 0; i < count; ++i) {
    Endpoint* e = find(first + i);
    if (!e) return CUDA_ERROR_INVALID_VALUE;
    if (e->is_complete()) e->is_queried = true;
    else all = false;
  }
  *status = all;
  return CUDA_SUCCESS;
}

CUresult fabricCpyBatchAsync(size_t count, CUDA_FABRIC_COPY_BATCH_OP* operations, unsigned long long flags, CUstream stream) {
  if (count == 0 || !operations || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  StreamUse use;
  ANYWARP_TRY(use_stream(stream, &use));
  if (!use.object && use.stream->type() == Stream::Type::legacy) return CUDA_ERROR_INVALID_VALUE;
  if (use.capture()) return invalidate(use, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  // All operands are checked before anything is enqueued.
  std::vector<Copy> copies;
  std::vector<std::shared_ptr<Window>> windows;
  {
    const std::lock_guard lock(physical_memory().mutex);
    for (std::size_t i = 0; i < count; ++i) {
      const CUDA_FABRIC_COPY_BATCH_OP& o = operations[i];
      if (o.flags != 0) return CUDA_ERROR_INVALID_VALUE;
      const auto is_endpoint = [](const CUfabricCpyOperand& p) { return p.type == CU_FABRIC_COPY_OPERAND_TYPE_LOGICAL_ENDPOINT; };
      for (const CUfabricCpyOperand* p : {&o.src, &o.dst}) {
        if (!is_endpoint(*p) && p->type != CU_FABRIC_COPY_OPERAND_TYPE_POINTER) return CUDA_ERROR_INVALID_VALUE;
        if (!is_endpoint(*p) && p->op.ptr.ptr == 0) return CUDA_ERROR_INVALID_VALUE;
      }
      if (is_endpoint(o.src) && is_endpoint(o.dst)) return CUDA_ERROR_INVALID_VALUE;
      if (!is_endpoint(o.src) && !is_endpoint(o.dst)) {
        if (o.size == 0) continue;
        Copy& c = copies.emplace_back();
        c.destination = pointer(o.dst.op.ptr.ptr), c.source = pointer(o.src.op.ptr.ptr), c.width = o.size;
        continue;
      }
      const bool reads = is_endpoint(o.src);
      const CUfabricCpyOperand& far = reads ? o.src : o.dst;
      auto* near = static_cast<std::uint8_t*>(pointer(reads ? o.dst.op.ptr.ptr : o.src.op.ptr.ptr));
      const Endpoint* e = find(far.op.le.id);
      if (!e || !e->is_queried || (reads && e->is_multicast())) return CUDA_ERROR_INVALID_VALUE;
      std::vector<Piece> pieces;
      ANYWARP_TRY(resolve(*e, far.op.le.offset, o.size, &pieces));
      for (Piece& p : pieces) {
        Copy& c = copies.emplace_back();
        c.destination = reads ? near + p.begin : p.memory, c.source = reads ? p.memory : near + p.begin, c.width = p.end - p.begin;
        windows.push_back(std::move(p.window));
      }
    }
  }
  for (const Copy& c : copies) ANYWARP_TRY(api(use.stream->copy(c)));
  // The windows live until the copies have run.
  if (!windows.empty()) ANYWARP_TRY(api(use.stream->task([kept = std::move(windows)](Result) {})));
  return CUDA_SUCCESS;
}

}  // namespace anywarp::driver
