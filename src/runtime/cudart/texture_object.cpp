#include "cudart/texture_object.h"

namespace anywarp::cudart {

cudaChannelFormatDesc createChannelDesc(int x, int y, int z, int w, cudaChannelFormatKind kind) { return {x, y, z, w, kind}; }

}  // namespace anywarp::cudart
