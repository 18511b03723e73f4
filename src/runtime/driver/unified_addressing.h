// Manual: unified addressing.
#pragma once

#include "driver/objects.h"

namespace anywarp::driver {

CUresult pointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr address);
CUresult pointerGetAttributes(unsigned count, CUpointer_attribute* attributes, void** data, CUdeviceptr address);
CUresult pointerSetAttribute(const void* value, CUpointer_attribute attribute, CUdeviceptr address);

}  // namespace anywarp::driver
