// Copies between a tensor in global memory, which a tensor map describes, and a box of its elements in shared memory.
#pragma once

#include <cstdint>

#include "abi.h"

namespace anywarp {

// The service `tensor` of abi.py. No locks and no destructors: a bad address leaves it by the fault handler.
std::uint32_t service_tensor(const abi::Launch* launch, abi::Cta* cta, std::uint32_t lanes, std::uint32_t operation, std::uint64_t map,
                             std::uint64_t shared, const std::int32_t* coordinates, const std::uint16_t* offsets);

// Bytes of an element by CUtensorMapDataType; 0 for types that are not supported.
std::uint32_t tensor_element_bytes(std::uint8_t type);

}  // namespace anywarp
