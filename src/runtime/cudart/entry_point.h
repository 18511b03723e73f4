// Manual: driver entry point access.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t getDriverEntryPoint(const char* symbol, void** function, unsigned long long flags, cudaStream_t default_stream);
cudaError_t getDriverEntryPoint(const char* symbol, void** function, unsigned long long flags, cudaDriverEntryPointQueryResult* status,
                                cudaStream_t default_stream);
cudaError_t getDriverEntryPointByVersion(const char* symbol, void** function, unsigned version, unsigned long long flags,
                                         cudaDriverEntryPointQueryResult* status, cudaStream_t default_stream);
cudaError_t getExportTable(const void** table, const cudaUUID_t* id);

}  // namespace anywarp::cudart
