#include "tensor.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "narrow_floats.h"

namespace anywarp {
namespace {

using abi::TensorMap;
using Operation = abi::TensorOperation;

// The place in shared memory that the swizzle gives to an address: units of 16 bytes change places within 1024 bytes, those of 32 within
// 512 and those of 64 within 256. `mode`: the swizzle mode and, above it, the units (tensormap.replace's numbers, PTX ISA 5.5.7).
std::uint64_t swizzled(std::uint64_t address, std::uint8_t mode) {
  switch (mode) {
    case 0x13: return address ^ (address >> 2 & 0x60);
    case 0x33: return address ^ (address >> 1 & 0x40);
    case 1: return address ^ (address >> 3 & 0x10);
    case 2: return address ^ (address >> 3 & 0x30);
    case 3: return address ^ (address >> 3 & 0x70);
    default: return address;
  }
}

std::int64_t size_of(const TensorMap& m, int dimension) { return m.size[dimension] == 0 ? std::int64_t{1} << 32 : m.size[dimension]; }

// What out-of-bounds elements read as: zeros, or the canonical NaN of the type.
std::uint64_t fill_pattern(const TensorMap& m) {
  if (m.fill == 0) return 0;
  switch (m.type) {
    case 6: return 0x7fff;               // f16
    case 9: return 0x7fff;               // bf16
    case 7: case 10: case 11: case 12: return 0x7fffffff;
    case 8: return 0x7fffffffffffffff;
    default: return 0;
  }
}

template <typename T>
T combine_integers(Operation operation, T a, T b) {
  using U = std::make_unsigned_t<T>;
  switch (operation) {
    case Operation::ADD: return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
    case Operation::MIN: return std::min(a, b);
    case Operation::MAX: return std::max(a, b);
    case Operation::INC: return static_cast<U>(a) >= static_cast<U>(b) ? T{0} : static_cast<T>(a + 1);
    case Operation::DEC: return a == 0 || static_cast<U>(a) > static_cast<U>(b) ? b : static_cast<T>(a - 1);
    case Operation::AND: return a & b;
    case Operation::OR: return a | b;
    default: return a ^ b;
  }
}

template <typename F>
F combine_floats(Operation operation, F a, F b) {
  if (operation == Operation::ADD) return a + b;
  if (a != a) return b;
  if (b != b) return a;
  return (operation == Operation::MIN) == (a < b) ? a : b;
}

// The element in memory becomes combined(old, value), without interruption.
template <typename Bits, typename Combine>
void update(std::uint8_t* place, const std::uint8_t* value, Combine combine) {
  Bits b;
  std::memcpy(&b, value, sizeof b);
  std::atomic_ref<Bits> cell(*reinterpret_cast<Bits*>(place));
  Bits old = cell.load(std::memory_order_relaxed);
  while (!cell.compare_exchange_weak(old, combine(old, b), std::memory_order_relaxed)) {
  }
}

void reduce(const TensorMap& m, Operation operation, std::uint8_t* place, const std::uint8_t* value) {
  const auto integers = [operation](auto a, auto b) { return combine_integers(operation, a, b); };
  switch (m.type) {
    case 0: return update<std::uint8_t>(place, value, integers);
    case 1: return update<std::uint16_t>(place, value, integers);
    case 2: return update<std::uint32_t>(place, value, integers);
    case 3: return update<std::int32_t>(place, value, integers);
    case 4: return update<std::uint64_t>(place, value, integers);
    case 5: return update<std::int64_t>(place, value, integers);
    case 6:
      return update<std::uint16_t>(place, value, [operation](std::uint16_t a, std::uint16_t b) {
        return half_of(combine_floats(operation, float_of_half(a), float_of_half(b)));
      });
    case 9:
      return update<std::uint16_t>(place, value, [operation](std::uint16_t a, std::uint16_t b) {
        return bfloat_of(combine_floats(operation, float_of_bfloat(a), float_of_bfloat(b)));
      });
    case 8:
      return update<std::uint64_t>(place, value, [operation](std::uint64_t a, std::uint64_t b) {
        return std::bit_cast<std::uint64_t>(combine_floats(operation, std::bit_cast<double>(a), std::bit_cast<double>(b)));
      });
    default:
      return update<std::uint32_t>(place, value, [operation](std::uint32_t a, std::uint32_t b) {
        return std::bit_cast<std::uint32_t>(combine_floats(operation, std::bit_cast<float>(a), std::bit_cast<float>(b)));
      });
  }
}

struct Copy {
  const TensorMap& map;
  Operation operation;
  std::uint32_t element;
  std::uint64_t shared;  // next byte, before swizzling

  // A run of `count` elements along dimension 0 from element `first`; `row` is the address of the row's element 0, or null if the row is
  // outside of the tensor.
  void run(std::uint8_t* row, std::int64_t first, std::uint32_t count) {
    const std::int64_t size = size_of(map, 0);
    const std::uint64_t pattern = fill_pattern(map);
    for (std::uint32_t i = 0; i < count; ++i, shared += element) {
      auto* inside = reinterpret_cast<std::uint8_t*>(swizzled(shared, map.swizzle));
      const std::int64_t x = first + i;
      std::uint8_t* outside = row != nullptr && x >= 0 && x < size ? row + x * element : nullptr;
      if (operation == Operation::LOAD) {
        std::memcpy(inside, outside != nullptr ? outside : reinterpret_cast<const std::uint8_t*>(&pattern), element);
      } else if (outside != nullptr) {
        if (operation == Operation::STORE)
          std::memcpy(outside, inside, element);
        else
          reduce(map, operation, outside, inside);
      }
    }
  }

  // The address of element 0 of the row at coordinates 1 to rank - 1, or null outside of the tensor.
  std::uint8_t* row(const std::int64_t* at) const {
    std::uint64_t address = map.address;
    for (int d = 1; d < map.rank; ++d) {
      if (at[d] < 0 || at[d] >= size_of(map, d)) return nullptr;
      address += static_cast<std::uint64_t>(at[d]) * map.stride[d - 1];
    }
    return reinterpret_cast<std::uint8_t*>(address);
  }
};

void copy_tile(Copy& copy, const std::int32_t* c) {
  const TensorMap& m = copy.map;
  std::int64_t counts[5] = {1, 1, 1, 1, 1}, i[5] = {};
  for (int d = 1; d < m.rank; ++d) counts[d] = (m.box[d] + m.step[d] - 1) / m.step[d];
  for (i[4] = 0; i[4] < counts[4]; ++i[4])
    for (i[3] = 0; i[3] < counts[3]; ++i[3])
      for (i[2] = 0; i[2] < counts[2]; ++i[2])
        for (i[1] = 0; i[1] < counts[1]; ++i[1]) {
          std::int64_t at[5] = {};
          for (int d = 1; d < m.rank; ++d) at[d] = c[d] + i[d] * m.step[d];
          copy.run(copy.row(at), c[0], m.box[0]);
        }
}

// Pixels of the bounding box in the order of memory, from the one that the coordinates name; channels of each, moved by the offsets.
void copy_im2col(Copy& copy, const std::int32_t* c, const std::uint16_t* offsets) {
  const TensorMap& m = copy.map;
  const int last = m.rank - 1;  // the batch
  std::int64_t at[5] = {};
  for (int d = 1; d < m.rank; ++d) at[d] = c[d];
  for (std::uint32_t pixel = 0; pixel < m.box[1]; ++pixel) {
    std::int64_t moved[5] = {};
    for (int d = 1; d < m.rank; ++d) moved[d] = at[d] + (d < last && offsets != nullptr ? offsets[d - 1] : 0);
    copy.run(copy.row(moved), c[0], m.box[0]);
    for (int d = 1; d < m.rank; ++d) {
      at[d] += d < last ? m.step[d] : 1;
      if (d == last) break;
      const auto lower = static_cast<std::int16_t>(m.box[d + 1] & 0xffff), upper = static_cast<std::int16_t>(m.box[d + 1] >> 16);
      if (at[d] < size_of(m, d) + upper) break;
      at[d] = lower;
    }
  }
}

}  // namespace

std::uint32_t tensor_element_bytes(std::uint8_t type) {
  constexpr std::uint8_t kBytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
  return type < sizeof kBytes ? kBytes[type] : 0;
}

std::uint32_t service_tensor(const abi::Launch*, abi::Cta*, std::uint32_t, std::uint32_t operation, std::uint64_t map, std::uint64_t shared,
                             const std::int32_t* coordinates, const std::uint16_t* offsets) {
  TensorMap m;
  std::memcpy(&m, reinterpret_cast<const void*>(map), sizeof m);
  const std::uint32_t element = tensor_element_bytes(m.type);
  if (m.rank == 0 || m.rank > 5 || element == 0) return 0;
  Copy copy{m, static_cast<Operation>(operation & 0xff), element, shared};
  if ((operation & 0x100) != 0)
    copy_im2col(copy, coordinates, offsets);
  else
    copy_tile(copy, coordinates);
  return static_cast<std::uint32_t>(copy.shared - shared);
}

}  // namespace anywarp
