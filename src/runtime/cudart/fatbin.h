// Fat binaries as compiled programs carry them, made libraries of the driver.
#pragma once

#include "cudart/runtime.h"

namespace anywarp::cudart {

// `wrapper`: what __cudaRegisterFatBinary got. A wrapper of version 1 points to one fat binary; version 2 (programs whose device code is
// linked, nvcc -rdc=true) also to those of the object files, which are linked here if the program carries PTX that was not linked before.
cudaError_t load_fatbin(const void* wrapper, CUlibrary* library);

}  // namespace anywarp::cudart
