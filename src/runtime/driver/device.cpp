#include "driver/device.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "device_profiles.h"
#include "driver/memory_pool.h"
#include "exec/watchdog.h"

namespace anywarp::driver {
namespace {

// Made once by cuInit and never destroyed: programs call from destructors and other threads until the very end.
std::vector<std::unique_ptr<Device>>& devices() {
  static auto* all = new std::vector<std::unique_ptr<Device>>;
  return *all;
}

std::uint64_t read_number(const char* path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? value : 0;
}

std::size_t host_memory() {
  const long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
  std::size_t memory = pages > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(bytes) : std::size_t{4} << 30;
  // A container may have less than the machine.
  const std::uint64_t group = read_number("/sys/fs/cgroup/memory.max");
  if (group && group < memory) memory = group;
  return memory;
}

// kHz, from what Linux says of the first core; 0 if it does not.
int clock_khz() {
  if (const std::uint64_t khz = read_number("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")) return static_cast<int>(khz);
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    double mhz = 0;
    if (line.starts_with("cpu MHz") && std::sscanf(line.c_str() + line.find(':') + 1, "%lf", &mhz) == 1) return static_cast<int>(mhz * 1000);
  }
  return 0;
}

int last_level_cache_bytes() {
  std::uint64_t bytes = 0;
  for (int index = 0; index < 5; ++index) {
    const std::string path = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/size";
    bytes = std::max(bytes, read_number(path.c_str()) * 1024);  // "32768K"
  }
  return bytes ? static_cast<int>(std::min<std::uint64_t>(bytes, 1u << 30)) : 1 << 20;
}

// FNV-1a, twice with different starts: an identity, no secret.
CUuuid make_uuid(const std::string& text) {
  CUuuid uuid{};
  std::uint64_t halves[2] = {0xcbf29ce484222325u, 0x9ae16a3b2f90404fu};
  for (std::uint64_t& half : halves) {
    for (const char c : text) half = (half ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  std::memcpy(uuid.bytes, halves, sizeof uuid.bytes);
  uuid.bytes[6] = static_cast<char>((uuid.bytes[6] & 0x0f) | 0x80);  // version 8: the vendor's own
  uuid.bytes[8] = static_cast<char>((uuid.bytes[8] & 0x3f) | 0x80);
  return uuid;
}

const Profile* choose_profile() {
  const char* wanted = std::getenv("ANYWARP_DEVICE");
  const Profile* fallback = &kProfiles[0];
  for (const Profile& p : kProfiles) {
    if (std::strcmp(p.id, "generic-sm80") == 0) fallback = &p;
  }
  if (!wanted || !*wanted) return fallback;
  for (const Profile& p : kProfiles) {
    if (std::strcmp(p.id, wanted) == 0) return &p;
  }
  std::fprintf(stderr, "anywarp: ANYWARP_DEVICE=%s is no known profile; %s is used. Known:", wanted, fallback->id);
  for (const Profile& p : kProfiles) std::fprintf(stderr, " %s", p.id);
  std::fputc('\n', stderr);
  return fallback;
}

// A number from the environment within [low, high], else `fallback` and a line on stderr if something else was there.
int environment_number(const char* name, int low, int high, int fallback) {
  const char* text = std::getenv(name);
  if (!text || !*text) return fallback;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*end == 0 && value >= low && value <= high) return static_cast<int>(value);
  std::fprintf(stderr, "anywarp: %s=%s is no number from %d to %d; %d is used\n", name, text, low, high, fallback);
  return fallback;
}

void read_capability(int* major, int* minor) {
  const char* text = std::getenv("ANYWARP_COMPUTE_CAPABILITY");
  if (!text || !*text) return;
  int a = 0, b = 0;
  char rest = 0;
  if (std::sscanf(text, "%d.%d%c", &a, &b, &rest) == 2 && a >= 3 && a < 100 && b >= 0 && b < 10) {
    *major = a, *minor = b;
  } else if (std::sscanf(text, "%d%c", &a, &rest) == 1 && a >= 30 && a < 1000) {
    *major = a / 10, *minor = a % 10;
  } else {
    std::fprintf(stderr, "anywarp: ANYWARP_COMPUTE_CAPABILITY=%s is no capability such as 8.0; %d.%d is used\n", text, *major, *minor);
  }
}

}  // namespace

CUresult start_devices(Engine& engine) {
  const Profile* profile = choose_profile();
  const int count = environment_number("ANYWARP_DEVICES", 0, memory::Arena::kMaxDevices, 1);
  if (count == 0) return CUDA_ERROR_NO_DEVICE;
  char host[128] = "";
  gethostname(host, sizeof host - 1);
  const int clock = clock_khz(), cache = last_level_cache_bytes();
  const std::size_t memory = static_cast<std::size_t>(static_cast<double>(host_memory()) * profile->memory_fraction) & ~(memory::Arena::kChunk - 1);
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    auto d = std::make_unique<Device>();
    d->ordinal = ordinal;
    d->profile = profile;
    d->major = profile->major, d->minor = profile->minor;
    read_capability(&d->major, &d->minor);
    d->sm_count = profile->sm_count ? profile->sm_count : static_cast<int>(engine.sm_count());
    d->memory = memory / static_cast<unsigned>(count);
    d->name = profile->name;
    d->uuid = make_uuid(std::string(host) + "/" + profile->id + "/" + std::to_string(ordinal));
    for (const Attribute& a : profile->attributes) {
      if (a.number >= 0 && a.number < 256) d->attributes[a.number] = a.value;
    }
    d->attributes[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR] = d->major;
    d->attributes[CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR] = d->minor;
    d->attributes[CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT] = d->sm_count;
    for (const CUdevice_attribute fabric : {CU_DEVICE_ATTRIBUTE_LOGICAL_ENDPOINT_UNICAST_SUPPORTED, CU_DEVICE_ATTRIBUTE_LOGICAL_ENDPOINT_MULTICAST_SUPPORTED,
                                            CU_DEVICE_ATTRIBUTE_LOGICAL_ENDPOINT_UNICAST_ACCESS_ON_OWNER_DEVICE_SUPPORTED})
      d->attributes[fabric] = 1;
    d->attributes[CU_DEVICE_ATTRIBUTE_LOGICAL_ENDPOINT_SUPPORTED_HANDLE_TYPES] = CU_LOGICAL_ENDPOINT_IPC_HANDLE_TYPE_FABRIC;
    d->attributes[CU_DEVICE_ATTRIBUTE_MEM_DECOMPRESS_ALGORITHM_MASK] =
        CU_MEM_DECOMPRESS_ALGORITHM_DEFLATE | CU_MEM_DECOMPRESS_ALGORITHM_SNAPPY | CU_MEM_DECOMPRESS_ALGORITHM_LZ4;
    d->attributes[CU_DEVICE_ATTRIBUTE_MEM_DECOMPRESS_MAXIMUM_LENGTH] = 1 << 30;  // bytes
    d->attributes[CU_DEVICE_ATTRIBUTE_MULTICAST_SUPPORTED] = d->major >= 9;  // the first with `multimem` instructions
    d->attributes[CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT] = watchdog_seconds() > 0;
    d->attributes[CU_DEVICE_ATTRIBUTE_PCI_BUS_ID] += ordinal;
    if (!d->attributes[CU_DEVICE_ATTRIBUTE_CLOCK_RATE]) d->attributes[CU_DEVICE_ATTRIBUTE_CLOCK_RATE] = clock;
    if (!d->attributes[CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE]) d->attributes[CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE] = 1600000;
    if (!d->attributes[CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE]) d->attributes[CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE] = cache;
    engine.arena().set_limit(ordinal, d->memory);
    devices().push_back(std::move(d));
  }
  return CUDA_SUCCESS;
}

int device_count() { return static_cast<int>(devices().size()); }

Device* find_device(CUdevice device) {
  if (device < 0 || device >= device_count()) return nullptr;
  return devices()[static_cast<std::size_t>(device)].get();
}

CUresult deviceGet(CUdevice* device, int ordinal) {
  if (!device) return CUDA_ERROR_INVALID_VALUE;
  if (!find_device(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

CUresult deviceGetCount(int* count) {
  if (!count) return CUDA_ERROR_INVALID_VALUE;
  *count = device_count();
  return CUDA_SUCCESS;
}

CUresult deviceGetName(char* name, int length, CUdevice device) {
  if (!name || length <= 0) return CUDA_ERROR_INVALID_VALUE;
  const Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  std::snprintf(name, static_cast<std::size_t>(length), "%s", d->name.c_str());
  return CUDA_SUCCESS;
}

CUresult deviceGetUuid(CUuuid* uuid, CUdevice device) {
  if (!uuid) return CUDA_ERROR_INVALID_VALUE;
  const Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  *uuid = d->uuid;
  return CUDA_SUCCESS;
}

CUresult deviceGetLuid(char* luid, unsigned* node_mask, CUdevice device) {
  if (!luid || !node_mask) return CUDA_ERROR_INVALID_VALUE;
  if (!find_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  return CUDA_ERROR_NOT_SUPPORTED;  // an identifier of Windows
}

CUresult deviceTotalMem(size_t* bytes, CUdevice device) {
  if (!bytes) return CUDA_ERROR_INVALID_VALUE;
  const Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  *bytes = d->memory;
  return CUDA_SUCCESS;
}

CUresult deviceGetTexture1DLinearMaxWidth(size_t* width, CUarray_format, unsigned channels, CUdevice device) {
  if (!width || (channels != 1 && channels != 2 && channels != 4)) return CUDA_ERROR_INVALID_VALUE;
  const Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  *width = static_cast<std::size_t>(d->attribute(CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_LINEAR_WIDTH));
  return CUDA_SUCCESS;
}

CUresult deviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  if (!value || attribute <= 0 || attribute >= CU_DEVICE_ATTRIBUTE_MAX) return CUDA_ERROR_INVALID_VALUE;
  const Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  *value = d->attribute(attribute);
  return CUDA_SUCCESS;
}

CUresult deviceGetHostAtomicCapabilities(unsigned* capabilities, const CUatomicOperation* operations, unsigned count, CUdevice device) {
  if (!capabilities || !operations || count == 0) return CUDA_ERROR_INVALID_VALUE;
  if (!find_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  // Device memory is host memory: every operation is native, on 32 and 64 bits, signed and unsigned.
  for (unsigned i = 0; i < count; ++i) {
    if (operations[i] > CU_ATOMIC_OPERATION_MAX) return CUDA_ERROR_INVALID_VALUE;
    capabilities[i] = CU_ATOMIC_CAPABILITY_SIGNED | CU_ATOMIC_CAPABILITY_UNSIGNED | CU_ATOMIC_CAPABILITY_SCALAR_32 | CU_ATOMIC_CAPABILITY_SCALAR_64;
  }
  return CUDA_SUCCESS;
}

CUresult deviceGetProperties(CUdevprop* properties, CUdevice device) {
  if (!properties) return CUDA_ERROR_INVALID_VALUE;
  const Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  *properties = CUdevprop{};
  properties->maxThreadsPerBlock = d->attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
  for (int i = 0; i < 3; ++i) {
    properties->maxThreadsDim[i] = d->attributes[CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X + i];
    properties->maxGridSize[i] = d->attributes[CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X + i];
  }
  properties->sharedMemPerBlock = d->attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK);
  properties->totalConstantMemory = d->attribute(CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY);
  properties->SIMDWidth = d->attribute(CU_DEVICE_ATTRIBUTE_WARP_SIZE);
  properties->memPitch = d->attribute(CU_DEVICE_ATTRIBUTE_MAX_PITCH);
  properties->regsPerBlock = d->attribute(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK);
  properties->clockRate = d->attribute(CU_DEVICE_ATTRIBUTE_CLOCK_RATE);
  properties->textureAlign = d->attribute(CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT);
  return CUDA_SUCCESS;
}

CUresult deviceComputeCapability(int* major, int* minor, CUdevice device) {
  if (!major || !minor) return CUDA_ERROR_INVALID_VALUE;
  const Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  *major = d->major, *minor = d->minor;
  return CUDA_SUCCESS;
}

CUresult deviceGetExecAffinitySupport(int* value, CUexecAffinityType type, CUdevice device) {
  if (!value || type >= CU_EXEC_AFFINITY_TYPE_MAX) return CUDA_ERROR_INVALID_VALUE;
  if (!find_device(device)) return CUDA_ERROR_INVALID_DEVICE;
  *value = 0;
  return CUDA_SUCCESS;
}

CUresult deviceGetByPCIBusId(CUdevice* device, const char* bus_id) {
  if (!device || !bus_id) return CUDA_ERROR_INVALID_VALUE;
  // [domain:]bus:device[.function], hexadecimal.
  unsigned domain = 0, bus = 0, slot = 0, function = 0;
  if (std::sscanf(bus_id, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4) {
    domain = function = 0;
    if (std::sscanf(bus_id, "%x:%x.%x", &bus, &slot, &function) < 2 && std::sscanf(bus_id, "%x:%x", &bus, &slot) != 2) return CUDA_ERROR_INVALID_VALUE;
  }
  for (const auto& d : devices()) {
    if (d->attribute(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID) == static_cast<int>(bus) && d->attribute(CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID) == static_cast<int>(slot) &&
        d->attribute(CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID) == static_cast<int>(domain)) {
      *device = d->ordinal;
      return CUDA_SUCCESS;
    }
  }
  return CUDA_ERROR_INVALID_DEVICE;
}

CUresult deviceGetPCIBusId(char* bus_id, int length, CUdevice device) {
  if (!bus_id || length <= 0) return CUDA_ERROR_INVALID_VALUE;
  const Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  std::snprintf(bus_id, static_cast<std::size_t>(length), "%04x:%02x:%02x.0", d->attribute(CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID),
                d->attribute(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID), d->attribute(CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID));
  return CUDA_SUCCESS;
}

CUresult deviceSetMemPool(CUdevice device, CUmemoryPool pool) {
  Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  if (!is_valid(pool) || pool->device != device) return CUDA_ERROR_INVALID_VALUE;
  const std::lock_guard lock(d->mutex);
  d->current_pool = pool;
  return CUDA_SUCCESS;
}

CUresult deviceGetMemPool(CUmemoryPool* pool, CUdevice device) {
  if (!pool) return CUDA_ERROR_INVALID_VALUE;
  Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  *pool = current_pool(*d);
  return CUDA_SUCCESS;
}

CUresult deviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) {
  if (!pool) return CUDA_ERROR_INVALID_VALUE;
  Device* d = find_device(device);
  if (!d) return CUDA_ERROR_INVALID_DEVICE;
  *pool = default_pool(*d);
  return CUDA_SUCCESS;
}

CUresult flushGPUDirectRDMAWrites(CUflushGPUDirectRDMAWritesTarget, CUflushGPUDirectRDMAWritesScope) {
  CUctx_st* context = nullptr;
  ANYWARP_TRY(current_context(&context));
  return CUDA_ERROR_NOT_SUPPORTED;  // no peripheral writes into device memory; CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_SUPPORTED is 0
}

}  // namespace anywarp::driver
