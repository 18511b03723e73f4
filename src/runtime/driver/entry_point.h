// Manual: driver entry point access.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult getProcAddress_v1(const char* symbol, void** function, int version, cuuint64_t flags);
CUresult getProcAddress_v2(const char* symbol, void** function, int version, cuuint64_t flags, CUdriverProcAddressQueryResult* status);
// No interface outside the documented API is offered: always not_found.
CUresult getExportTable(const void** table, const CUuuid* id);

}  // namespace anywarp::driver
