// Manual: event management.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult eventCreate(CUevent* event, unsigned flags);
CUresult eventRecord(CUevent event, CUstream stream);
CUresult eventRecordWithFlags(CUevent event, CUstream stream, unsigned flags);
CUresult eventQuery(CUevent event);
CUresult eventSynchronize(CUevent event);
CUresult eventDestroy(CUevent event);
CUresult eventElapsedTime(float* milliseconds, CUevent start, CUevent end);

}  // namespace anywarp::driver
