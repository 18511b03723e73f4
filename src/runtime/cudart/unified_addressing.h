// Manual: unified addressing.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaError_t pointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer);

}  // namespace anywarp::cudart
