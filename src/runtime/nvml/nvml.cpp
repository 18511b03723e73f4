// The management library: devices, their memory and what uses them, for monitoring programs. Everything is answered from the driver
// API; what a processor has no counterpart of (fans, power limits, NVLink) is "not supported", as on devices without it. Memory and
// processes are this process's: virtual devices have no state of their own outside it.
//
// Names, numbers and layouts are those of NVIDIA's public documentation of NVML, as the package nvidia-ml-py states them too.
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <mutex>
#include <string>

#include "cuda_abi.h"
#include "driver_functions.h"

#define NVML extern "C" __attribute__((visibility("default")))

namespace {

enum Return : int {
  success = 0,
  uninitialized = 1,
  invalid_argument = 2,
  not_supported = 3,
  not_found = 6,
  insufficient_size = 7,
  driver_not_loaded = 9,
  unknown = 999,
};

struct Memory {
  unsigned long long total, free, used;
};
struct MemoryV2 {
  unsigned version;
  unsigned long long total, reserved, free, used;
};
struct Utilization {
  unsigned gpu, memory;
};
struct PciInfo {
  char legacy_id[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char id[32];
};
struct ProcessV1 {
  unsigned pid;
  unsigned long long used;
};
struct Process {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};
struct DeviceHandle;  // 1 and up: the ordinal plus one
using Device = DeviceHandle*;

std::atomic<int> users{0};

Device handle_of(unsigned ordinal) { return reinterpret_cast<Device>(std::uintptr_t{ordinal} + 1); }  // NOLINT

Return find(Device handle, CUdevice* device) {
  if (users.load() == 0) return uninitialized;
  int count = 0;
  const auto number = reinterpret_cast<std::uintptr_t>(handle);
  if (cuDeviceGetCount(&count) != CUDA_SUCCESS || number == 0 || number > static_cast<std::uintptr_t>(count)) return invalid_argument;
  *device = static_cast<CUdevice>(number - 1);
  return success;
}

int attribute(CUdevice device, CUdevice_attribute which) {
  int value = 0;
  cuDeviceGetAttribute(&value, which, device);
  return value;
}

Return put(const char* text, char* out, unsigned room) {
  if (!out) return invalid_argument;
  if (std::strlen(text) + 1 > room) return insufficient_size;
  std::strcpy(out, text);
  return success;
}

void uuid_text(CUdevice device, char (&out)[64]) {
  CUuuid uuid{};
  cuDeviceGetUuid_v2(&uuid, device);
  const auto* b = reinterpret_cast<const unsigned char*>(uuid.bytes);
  std::snprintf(out, sizeof out, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7],
                b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

void pci_text(CUdevice device, char (&out)[32]) {
  std::snprintf(out, sizeof out, "%08X:%02X:%02X.0", attribute(device, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID), attribute(device, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID),
                attribute(device, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID));
}

// What this process has of a device's memory.
Memory memory_of(CUdevice device) {
  Memory m{};
  size_t total = 0, free = 0;
  cuDeviceTotalMem_v2(&total, device);
  m.total = m.free = total;
  // Only a device that is in use has anything allocated; asking must not put it into use.
  unsigned flags = 0;
  int active = 0;
  CUcontext context = nullptr;
  if (cuDevicePrimaryCtxGetState(device, &flags, &active) != CUDA_SUCCESS || !active) return m;
  if (cuDevicePrimaryCtxRetain(&context, device) != CUDA_SUCCESS) return m;
  cuCtxPushCurrent_v2(context);
  if (cuMemGetInfo_v2(&free, &total) == CUDA_SUCCESS) m.free = free;
  cuCtxPopCurrent_v2(nullptr);
  cuDevicePrimaryCtxRelease_v2(device);
  m.used = m.total - m.free;
  return m;
}

// Processor time of this process against the time that passed, over all cores, since the last question.
unsigned utilization() {
  static std::mutex mutex;
  static double last_time = 0, last_busy = 0;
  static unsigned last = 0;
  const std::lock_guard lock(mutex);
  timespec now{}, busy{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &busy);
  const double t = static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  const double b = static_cast<double>(busy.tv_sec) + 1e-9 * static_cast<double>(busy.tv_nsec);
  const double cores = static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN));
  if (last_time > 0 && t - last_time > 0.01) {
    const double share = 100 * (b - last_busy) / ((t - last_time) * cores);
    last = static_cast<unsigned>(share < 0 ? 0 : share > 100 ? 100 : share);
  }
  if (last_time == 0 || t - last_time > 0.01) last_time = t, last_busy = b;
  return last;
}

Return start() {
  if (cuInit(0) != CUDA_SUCCESS) return driver_not_loaded;
  ++users;
  return success;
}

template <typename Item>
Return processes(Device handle, unsigned* count, Item* items, const Item& own) {
  CUdevice device = 0;
  if (const Return r = find(handle, &device); r != success) return r;
  if (!count) return invalid_argument;
  unsigned flags = 0;
  int active = 0;
  cuDevicePrimaryCtxGetState(device, &flags, &active);
  const unsigned room = *count, there = active ? 1 : 0;
  *count = there;
  if (there > room) return insufficient_size;
  if (there && !items) return invalid_argument;
  if (there) {
    items[0] = own;
    items[0].pid = static_cast<unsigned>(getpid());
    items[0].used = memory_of(device).used;
  }
  return success;
}

}  // namespace

NVML int nvmlInit_v2() { return start(); }
NVML int nvmlInit() { return start(); }
NVML int nvmlInitWithFlags(unsigned) { return start(); }
NVML int nvmlShutdown() {
  if (users.load() == 0) return uninitialized;
  --users;
  return success;
}

NVML const char* nvmlErrorString(int result) {
  switch (result) {
    case success: return "The operation was successful";
    case uninitialized: return "NVML was not first initialized with nvmlInit()";
    case invalid_argument: return "A supplied argument is invalid";
    case not_supported: return "The requested operation is not available on the device";
    case not_found: return "A query to find an object was unsuccessful";
    case insufficient_size: return "An input argument is not large enough";
    case driver_not_loaded: return "The driver is not loaded";
    default: return "An internal driver error occurred";
  }
}

NVML int nvmlSystemGetDriverVersion(char* version, unsigned length) {
  if (users.load() == 0) return uninitialized;
  int number = 0;
  cuDriverGetVersion(&number);
  char text[32];
  // The form of a driver's version; its first number follows CUDA's as a reader may expect (580 for 13.0).
  std::snprintf(text, sizeof text, "%d.%02d.0", 450 + number / 100, number % 1000 / 10);
  return put(text, version, length);
}
NVML int nvmlSystemGetNVMLVersion(char* version, unsigned length) {
  int number = 0;
  cuDriverGetVersion(&number);
  char text[32];
  std::snprintf(text, sizeof text, "%d.%d", number / 1000, 450 + number / 100);
  return put(text, version, length);
}
NVML int nvmlSystemGetCudaDriverVersion(int* version) {
  if (!version) return invalid_argument;
  return cuDriverGetVersion(version) == CUDA_SUCCESS ? success : unknown;
}
NVML int nvmlSystemGetCudaDriverVersion_v2(int* version) { return nvmlSystemGetCudaDriverVersion(version); }
NVML int nvmlSystemGetProcessName(unsigned pid, char* name, unsigned length) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string text;
  if (!std::getline(file, text)) return not_found;
  return put(text.c_str(), name, length);
}

NVML int nvmlDeviceGetCount_v2(unsigned* count) {
  if (users.load() == 0) return uninitialized;
  if (!count) return invalid_argument;
  int number = 0;
  if (cuDeviceGetCount(&number) != CUDA_SUCCESS) return unknown;
  *count = static_cast<unsigned>(number);
  return success;
}
NVML int nvmlDeviceGetCount(unsigned* count) { return nvmlDeviceGetCount_v2(count); }

NVML int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device* device) {
  if (!device) return invalid_argument;
  CUdevice ordinal = 0;
  const Return r = find(handle_of(index), &ordinal);
  if (r == success) *device = handle_of(index);
  return r;
}
NVML int nvmlDeviceGetHandleByIndex(unsigned index, Device* device) { return nvmlDeviceGetHandleByIndex_v2(index, device); }

NVML int nvmlDeviceGetHandleByUUID(const char* uuid, Device* device) {
  if (!uuid || !device) return invalid_argument;
  unsigned count = 0;
  if (const int r = nvmlDeviceGetCount_v2(&count); r != success) return r;
  for (unsigned i = 0; i < count; ++i) {
    char text[64];
    uuid_text(static_cast<CUdevice>(i), text);
    if (std::strcmp(text, uuid) == 0) return *device = handle_of(i), success;
  }
  return not_found;
}

NVML int nvmlDeviceGetHandleByPciBusId_v2(const char* id, Device* device) {
  if (!id || !device) return invalid_argument;
  if (users.load() == 0) return uninitialized;
  CUdevice found = 0;
  if (cuDeviceGetByPCIBusId(&found, id) != CUDA_SUCCESS) return not_found;
  *device = handle_of(static_cast<unsigned>(found));
  return success;
}
NVML int nvmlDeviceGetHandleByPciBusId(const char* id, Device* device) { return nvmlDeviceGetHandleByPciBusId_v2(id, device); }

NVML int nvmlDeviceGetName(Device handle, char* name, unsigned length) {
  CUdevice device = 0;
  if (const Return r = find(handle, &device); r != success) return r;
  char text[96] = "";
  cuDeviceGetName(text, sizeof text, device);
  return put(text, name, length);
}

NVML int nvmlDeviceGetUUID(Device handle, char* uuid, unsigned length) {
  CUdevice device = 0;
  if (const Return r = find(handle, &device); r != success) return r;
  char text[64];
  uuid_text(device, text);
  return put(text, uuid, length);
}

NVML int nvmlDeviceGetIndex(Device handle, unsigned* index) {
  CUdevice device = 0;
  if (const Return r = find(handle, &device); r != success) return r;
  if (!index) return invalid_argument;
  *index = static_cast<unsigned>(device);
  return success;
}
NVML int nvmlDeviceGetMinorNumber(Device handle, unsigned* number) { return nvmlDeviceGetIndex(handle, number); }

NVML int nvmlDeviceGetPciInfo_v3(Device handle, PciInfo* info) {
  CUdevice device = 0;
  if (const Return r = find(handle, &device); r != success) return r;
  if (!info) return invalid_argument;
  std::memset(info, 0, sizeof *info);
  info->domain = static_cast<unsigned>(attribute(device, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID));
  info->bus = static_cast<unsigned>(attribute(device, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID));
  info->device = static_cast<unsigned>(attribute(device, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID));
  char text[32];
  pci_text(device, text);
  std::memcpy(info->id, text, sizeof info->id);
  std::memcpy(info->legacy_id, text + 4, sizeof info->legacy_id - 1);  // the domain with four digits
  return success;
}
NVML int nvmlDeviceGetPciInfo_v2(Device handle, PciInfo* info) { return nvmlDeviceGetPciInfo_v3(handle, info); }
NVML int nvmlDeviceGetPciInfo(Device handle, PciInfo* info) { return nvmlDeviceGetPciInfo_v3(handle, info); }

NVML int nvmlDeviceGetMemoryInfo(Device handle, Memory* memory) {
  CUdevice device = 0;
  if (const Return r = find(handle, &device); r != success) return r;
  if (!memory) return invalid_argument;
  *memory = memory_of(device);
  return success;
}
NVML int nvmlDeviceGetMemoryInfo_v2(Device handle, MemoryV2* memory) {
  CUdevice device = 0;
  if (const Return r = find(handle, &device); r != success) return r;
  if (!memory) return invalid_argument;
  const Memory m = memory_of(device);
  memory->total = m.total, memory->reserved = 0, memory->free = m.free, memory->used = m.used;
  return success;
}

NVML int nvmlDeviceGetUtilizationRates(Device handle, Utilization* rates) {
  CUdevice device = 0;
  if (const Return r = find(handle, &device); r != success) return r;
  if (!rates) return invalid_argument;
  *rates = {utilization(), 0};
  return success;
}

NVML int nvmlDeviceGetCudaComputeCapability(Device handle, int* major, int* minor) {
  CUdevice device = 0;
  if (const Return r = find(handle, &device); r != success) return r;
  if (!major || !minor) return invalid_argument;
  *major = attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  *minor = attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  return success;
}

NVML int nvmlDeviceGetMemoryBusWidth(Device handle, unsigned* width) {
  CUdevice device = 0;
  if (const Return r = find(handle, &device); r != success) return r;
  if (!width) return invalid_argument;
  *width = static_cast<unsigned>(attribute(device, CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH));
  return success;
}

// Clocks in MHz; kind 0 and 1: graphics and multiprocessors, 2: memory.
NVML int nvmlDeviceGetMaxClockInfo(Device handle, unsigned kind, unsigned* clock) {
  CUdevice device = 0;
  if (const Return r = find(handle, &device); r != success) return r;
  if (!clock || kind > 3) return invalid_argument;
  *clock = static_cast<unsigned>(attribute(device, kind == 2 ? CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE : CU_DEVICE_ATTRIBUTE_CLOCK_RATE)) / 1000;
  return success;
}
NVML int nvmlDeviceGetClockInfo(Device handle, unsigned kind, unsigned* clock) { return nvmlDeviceGetMaxClockInfo(handle, kind, clock); }

NVML int nvmlDeviceGetComputeRunningProcesses_v3(Device handle, unsigned* count, Process* items) {
  return processes(handle, count, items, Process{0, 0, ~0u, ~0u});
}
NVML int nvmlDeviceGetComputeRunningProcesses_v2(Device handle, unsigned* count, Process* items) {
  return nvmlDeviceGetComputeRunningProcesses_v3(handle, count, items);
}
NVML int nvmlDeviceGetComputeRunningProcesses(Device handle, unsigned* count, ProcessV1* items) { return processes(handle, count, items, ProcessV1{}); }
NVML int nvmlDeviceGetGraphicsRunningProcesses_v3(Device handle, unsigned* count, Process*) {
  CUdevice device = 0;
  if (const Return r = find(handle, &device); r != success) return r;
  if (!count) return invalid_argument;
  *count = 0;
  return success;
}

// All virtual devices are on one board.
NVML int nvmlDeviceGetTopologyCommonAncestor(Device a, Device b, unsigned* level) {
  CUdevice first = 0, second = 0;
  if (const Return r = find(a, &first); r != success) return r;
  if (const Return r = find(b, &second); r != success) return r;
  if (!level) return invalid_argument;
  *level = 0;  // internal
  return success;
}

// 0: the queried kind of access works.
NVML int nvmlDeviceGetP2PStatus(Device a, Device b, unsigned, unsigned* status) {
  CUdevice first = 0, second = 0;
  if (const Return r = find(a, &first); r != success) return r;
  if (const Return r = find(b, &second); r != success) return r;
  if (!status) return invalid_argument;
  *status = 0;
  return success;
}

// What a processor has no counterpart of. Prototypes differ; none of the arguments is looked at.
#define NVML_NOT_SUPPORTED(name) \
  NVML int name() { return users.load() == 0 ? uninitialized : not_supported; }
NVML_NOT_SUPPORTED(nvmlDeviceGetTemperature)
NVML_NOT_SUPPORTED(nvmlDeviceGetFanSpeed)
NVML_NOT_SUPPORTED(nvmlDeviceGetPowerUsage)
NVML_NOT_SUPPORTED(nvmlDeviceGetPowerManagementLimit)
NVML_NOT_SUPPORTED(nvmlDeviceGetEnforcedPowerLimit)
NVML_NOT_SUPPORTED(nvmlDeviceGetTotalEnergyConsumption)
NVML_NOT_SUPPORTED(nvmlDeviceGetPerformanceState)
NVML_NOT_SUPPORTED(nvmlDeviceGetPersistenceMode)
NVML_NOT_SUPPORTED(nvmlDeviceGetEccMode)
NVML_NOT_SUPPORTED(nvmlDeviceGetMigMode)
NVML_NOT_SUPPORTED(nvmlDeviceGetSerial)
NVML_NOT_SUPPORTED(nvmlDeviceGetBoardPartNumber)
NVML_NOT_SUPPORTED(nvmlDeviceGetDisplayMode)
NVML_NOT_SUPPORTED(nvmlDeviceGetCurrPcieLinkGeneration)
NVML_NOT_SUPPORTED(nvmlDeviceGetMaxPcieLinkGeneration)
NVML_NOT_SUPPORTED(nvmlDeviceGetCurrPcieLinkWidth)
NVML_NOT_SUPPORTED(nvmlDeviceGetMaxPcieLinkWidth)
NVML_NOT_SUPPORTED(nvmlDeviceGetPcieSpeed)
NVML_NOT_SUPPORTED(nvmlDeviceGetNvLinkState)
NVML_NOT_SUPPORTED(nvmlDeviceGetNvLinkCapability)
NVML_NOT_SUPPORTED(nvmlDeviceGetNvLinkRemotePciInfo_v2)
NVML_NOT_SUPPORTED(nvmlDeviceGetFieldValues)
NVML_NOT_SUPPORTED(nvmlDeviceGetGpuFabricInfo)
NVML_NOT_SUPPORTED(nvmlDeviceGetGpuFabricInfoV)
