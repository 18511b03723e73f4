// Formats of array elements: the runtime describes each channel's bits and kind, the driver names formats.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

// cudaErrorInvalidChannelDescriptor for bits and kinds that make up no format of the driver's.
cudaError_t format_of(const cudaChannelFormatDesc& description, CUarray_format* format, unsigned* channels);
cudaChannelFormatDesc description_of(CUarray_format format, unsigned channels);
// Bytes of one element with all its channels.
size_t element_bytes(CUarray_format format, unsigned channels);

}  // namespace anywarp::cudart
