// Manual: memory management, decompression of batches. The "engine" is software: DEFLATE (RFC 1951), Snappy's raw format, LZ4 blocks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "driver/objects.h"

namespace anywarp::driver {

CUresult memBatchDecompressAsync(CUmemDecompressParams* operations, size_t count, unsigned flags, size_t* error_index, CUstream stream);

// Each decodes all of `source` into at most `room` bytes and gives how many it wrote; broken input ends the output early, with `*ok` false.
std::size_t inflate(const std::uint8_t* source, std::size_t bytes, std::uint8_t* out, std::size_t room, bool* ok);
std::size_t decode_snappy(const std::uint8_t* source, std::size_t bytes, std::uint8_t* out, std::size_t room, bool* ok);
std::size_t decode_lz4(const std::uint8_t* source, std::size_t bytes, std::uint8_t* out, std::size_t room, bool* ok);

}  // namespace anywarp::driver
