// Manual: texture and surface objects; so far only what needs no object.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

cudaChannelFormatDesc createChannelDesc(int x, int y, int z, int w, cudaChannelFormatKind kind);

}  // namespace anywarp::cudart
