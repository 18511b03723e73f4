// Manual: module management, cuLink*. Inputs are gathered; cuLinkComplete has the compiler make one PTX text of them.
#pragma once

#include "driver/jit.h"
#include "driver/objects.h"

namespace anywarp::driver {

CUresult linkCreate(unsigned count, CUjit_option* options, void** values, CUlinkState* state);
CUresult linkAddData(CUlinkState state, CUjitInputType type, void* data, size_t size, const char* name, unsigned count, CUjit_option* options,
                     void** values);
CUresult linkAddFile(CUlinkState state, CUjitInputType type, const char* path, unsigned count, CUjit_option* options, void** values);
CUresult linkComplete(CUlinkState state, void** image, size_t* size);
CUresult linkDestroy(CUlinkState state);

}  // namespace anywarp::driver
