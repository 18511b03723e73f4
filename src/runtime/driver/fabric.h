// Manual: fabric clique information; logical endpoints; fabric copies.
//
// All devices are one clique in one process's memory. A logical endpoint is a range of offsets to which memory of a device (unicast) or of each
// device of a team (multicast) is bound; fabric copies are what reaches it. Counted operations are not supported, which the device says.
// An exported unicast endpoint is a table of its bindings in a file in memory, which the importer finds as with ipc.h.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult deviceGetFabricClusterUuid(CUuuid* uuid, CUdevice device);
CUresult deviceGetCliqueCount(size_t* count, CUdevice device);
CUresult deviceGetCliqueInfo(CUcliqueInfo* info, size_t* count, CUdevice device);
CUresult logicalEndpointIdReserve(CUlogicalEndpointId* first, cuuint32_t count);
CUresult logicalEndpointIdRelease(CUlogicalEndpointId first, cuuint32_t count);
CUresult logicalEndpointCreate(CUlogicalEndpointId id, const CUlogicalEndpointProp* properties);
CUresult logicalEndpointAddDevice(CUlogicalEndpointId id, CUdevice device);
CUresult logicalEndpointDestroy(CUlogicalEndpointId id);
CUresult logicalEndpointBindAddr(CUlogicalEndpointId id, CUdevice device, cuuint64_t offset, void* address, cuuint64_t size, unsigned long long flags);
CUresult logicalEndpointBindMem(CUlogicalEndpointId id, CUdevice device, cuuint64_t offset, CUmemGenericAllocationHandle memory,
                                cuuint64_t memory_offset, cuuint64_t size, unsigned long long flags);
CUresult logicalEndpointUnbind(CUlogicalEndpointId id, CUdevice device, cuuint64_t offset, cuuint64_t size);
CUresult logicalEndpointExport(void* handle, CUlogicalEndpointId id, CUlogicalEndpointIpcHandleType type);
CUresult logicalEndpointImport(CUlogicalEndpointId id, const void* handle, CUlogicalEndpointIpcHandleType type);
CUresult logicalEndpointGetLimits(cuuint64_t* alignment, cuuint64_t* largest, const CUlogicalEndpointProp* properties);
CUresult logicalEndpointQuery(CUlogicalEndpointId first, cuuint32_t count, int* status);
CUresult fabricCpyBatchAsync(size_t count, CUDA_FABRIC_COPY_BATCH_OP* operations, unsigned long long flags, CUstream stream);

}  // namespace anywarp::driver
