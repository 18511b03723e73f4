// The device profile: what kind of CUDA device the processor is presented as. The profiles themselves are generated from
// src/anywarp/devices/*.toml (device_profiles.h).
#pragma once

#include <span>

namespace anywarp::driver {

struct Attribute {
  int number;  // a CUdevice_attribute
  int value;
};

struct Profile {
  const char* id;
  const char* name;
  int major, minor;        // compute capability
  int sm_count;            // 0: the number of worker threads
  double memory_fraction;  // of the host's memory
  std::span<const Attribute> attributes;
};

}  // namespace anywarp::driver
