// The fetches of a warp once more, for processors with AVX2. What the included headers define inline was compiled for every processor before
// the options change, so that the linker may take either copy.
#if defined(__x86_64__)
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "narrow_floats.h"
#include "texture_warp.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif
#define ANYWARP_FETCH_WARP fetch_warp_avx2
#include "texture_warp.cpp"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
