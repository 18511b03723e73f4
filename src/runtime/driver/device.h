// Manual: device management.
#pragma once

#include "driver/objects.h"
#include "driver/profile.h"

namespace anywarp::driver {

CUresult deviceGet(CUdevice* device, int ordinal);
CUresult deviceGetCount(int* count);
CUresult deviceGetName(char* name, int length, CUdevice device);
CUresult deviceGetUuid(CUuuid* uuid, CUdevice device);
CUresult deviceGetLuid(char* luid, unsigned* node_mask, CUdevice device);
CUresult deviceTotalMem(size_t* bytes, CUdevice device);
CUresult deviceGetTexture1DLinearMaxWidth(size_t* width, CUarray_format format, unsigned channels, CUdevice device);
CUresult deviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device);
CUresult deviceGetHostAtomicCapabilities(unsigned* capabilities, const CUatomicOperation* operations, unsigned count, CUdevice device);
CUresult deviceGetProperties(CUdevprop* properties, CUdevice device);
CUresult deviceComputeCapability(int* major, int* minor, CUdevice device);
CUresult deviceGetExecAffinitySupport(int* value, CUexecAffinityType type, CUdevice device);
CUresult deviceGetByPCIBusId(CUdevice* device, const char* bus_id);
CUresult deviceGetPCIBusId(char* bus_id, int length, CUdevice device);
CUresult deviceSetMemPool(CUdevice device, CUmemoryPool pool);
CUresult deviceGetMemPool(CUmemoryPool* pool, CUdevice device);
CUresult deviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device);
CUresult flushGPUDirectRDMAWrites(CUflushGPUDirectRDMAWritesTarget target, CUflushGPUDirectRDMAWritesScope scope);

// One virtual device. All share the processor and the profile; memory is divided. Constant once the driver is initialized, but for
// its primary context and memory pools.
struct Device {
  int ordinal = 0;
  const Profile* profile = nullptr;
  int major = 8, minor = 0;
  int sm_count = 1;
  std::size_t memory = 0;  // bytes
  std::string name;
  CUuuid uuid{};
  int attributes[256]{};  // by CUdevice_attribute

  std::atomic<std::uint64_t> graph_memory{0}, graph_memory_high{0};  // bytes of graphs' allocation nodes

  std::mutex mutex;  // guards what follows
  CUctx_st* primary = nullptr;  // made on first use, kept for ever
  unsigned primary_references = 0;
  CUmemoryPool default_pool = nullptr, current_pool = nullptr;

  int attribute(CUdevice_attribute number) const { return attributes[number]; }
  // Compute capability as one number: 80.
  unsigned capability() const { return static_cast<unsigned>(major * 10 + minor); }
};

// Called once, by cuInit: reads $ANYWARP_DEVICE (a profile), $ANYWARP_COMPUTE_CAPABILITY ("8.6"), $ANYWARP_DEVICES (how many).
CUresult start_devices(Engine& engine);
int device_count();
// Null if there is none of that number.
Device* find_device(CUdevice device);

}  // namespace anywarp::driver
