// Manual: device management. Properties are in device_properties.cpp.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t getDeviceCount(int* count);
cudaError_t getDeviceProperties_v1(cudaDeviceProp_v11* properties, int device);
cudaError_t getDeviceProperties_v1(cudaDeviceProp* properties, int device);
cudaError_t getDeviceProperties_v2(cudaDeviceProp_v12* properties, int device);
cudaError_t chooseDevice(int* device, const cudaDeviceProp_v11* wanted);
cudaError_t chooseDevice(int* device, const cudaDeviceProp_v12* wanted);
cudaError_t chooseDevice(int* device, const cudaDeviceProp* wanted);
cudaError_t deviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t deviceGetHostAtomicCapabilities(unsigned* capabilities, const cudaAtomicOperation* operations, unsigned count, int device);
cudaError_t deviceGetDefaultMemPool(cudaMemPool_t* pool, int device);
cudaError_t deviceSetMemPool(int device, cudaMemPool_t pool);
cudaError_t deviceGetMemPool(cudaMemPool_t* pool, int device);
cudaError_t deviceGetP2PAttribute(int* value, cudaDeviceP2PAttr attribute, int source, int destination);
cudaError_t deviceGetP2PAtomicCapabilities(unsigned* capabilities, const cudaAtomicOperation* operations, unsigned count, int source,
                                           int destination);
cudaError_t initDevice(int device, unsigned device_flags, unsigned flags);
cudaError_t setDevice(int device);
cudaError_t getDevice(int* device);
cudaError_t setValidDevices(int* devices, int count);
cudaError_t setDeviceFlags(unsigned flags);
cudaError_t getDeviceFlags(unsigned* flags);
cudaError_t deviceReset();
cudaError_t deviceGetTexture1DLinearMaxWidth(size_t* width, const cudaChannelFormatDesc* format, int device);
cudaError_t deviceGetByPCIBusId(int* device, const char* bus_id);
cudaError_t deviceGetPCIBusId(char* bus_id, int length, int device);

// Thread management, deprecated: the same by older names.
cudaError_t threadExit();

// The device's primary context is active until the process ends. `context` may be null.
cudaError_t retain_primary_context(int device, CUcontext* context);
// The device's primary context is current, and the device is the thread's from now on.
cudaError_t use_primary_context(int device);
// One attribute of a device that exists.
int attribute_of(CUdevice device, CUdevice_attribute attribute);

}  // namespace anywarp::cudart
