// Options of the just-in-time compiler (CUjit_option) and the images that modules are made of.
#pragma once

#include <chrono>

#include "driver/objects.h"

namespace anywarp::driver {

// The options of one call. Logs are written, and sizes and times given back, by `finish`.
class JitOptions {
 public:
  CUresult read(unsigned count, CUjit_option* options, void** values);

  // Registers a thread that kernels may report at most (CU_JIT_MAX_REGISTERS); 0: no limit.
  std::uint32_t most_registers() const { return most_registers_; }
  // `log`: what the compiler said; it goes to the error log if `failed`, else to the information log.
  void finish(const std::string& log, bool failed);

 private:
  struct Log {
    char* text = nullptr;
    std::size_t size = 0;     // bytes, the terminating zero included
    void** given = nullptr;   // where the number of bytes written goes
    void write(const std::string& message) const;
  };
  Log info_, error_;
  void** wall_time_ = nullptr;
  std::uint32_t most_registers_ = 0;
  std::chrono::steady_clock::time_point start_;
};

// The bytes of an image of unknown size: PTX text (up to its zero), a fatbin, what a fatbin wrapper points to, an ELF file. Empty: none of them.
ByteSpan image_bytes(const void* image);
// A file's bytes. file_not_found; invalid_image if it is empty.
CUresult read_file(const char* path, Bytes* out);

}  // namespace anywarp::driver
