#include "debug_line.h"

namespace anywarp {

namespace {

// Reads within bounds; past the end everything is zero and `ok` false.
struct Cursor {
  ByteSpan data;
  std::size_t at = 0;
  bool ok = true;

  template <typename T>
  T fixed() {
    T value = 0;
    if (data.size() - at < sizeof(T)) {
      ok = false;
      at = data.size();
      return 0;
    }
    std::memcpy(&value, data.data() + at, sizeof(T));
    at += sizeof(T);
    return value;
  }
  std::uint64_t uleb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = fixed<std::uint8_t>();
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) break;
    }
    return value;
  }
  std::int64_t sleb() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64;) {
      const auto byte = fixed<std::uint8_t>();
      value |= std::uint64_t{byte & 0x7fu} << shift;
      shift += 7;
      if ((byte & 0x80) == 0) {
        if (shift < 64 && (byte & 0x40) != 0) value |= ~std::uint64_t{0} << shift;
        break;
      }
    }
    return static_cast<std::int64_t>(value);
  }
  bool more() const { return ok && at < data.size(); }
};

}  // namespace

std::optional<std::uint32_t> find_line(ByteSpan section, std::uintptr_t pc) {
  Cursor units{section};
  while (units.more()) {
    std::uint64_t length = units.fixed<std::uint32_t>();
    const bool wide = length == 0xffffffff;
    if (wide) length = units.fixed<std::uint64_t>();
    if (!units.ok || length > section.size() - units.at) return std::nullopt;
    Cursor in{section.subspan(units.at, length)};
    units.at += length;

    const auto version = in.fixed<std::uint16_t>();
    if (version < 2 || version > 5) continue;
    if (version >= 5) in.fixed<std::uint16_t>();  // address and segment selector sizes
    const std::uint64_t header = wide ? in.fixed<std::uint64_t>() : in.fixed<std::uint32_t>();
    if (header > in.data.size() - in.at) continue;
    const std::size_t program = in.at + header;
    const auto unit = in.fixed<std::uint8_t>();
    if (version >= 4) in.fixed<std::uint8_t>();  // operations of an instruction: 1 on these machines
    in.fixed<std::uint8_t>();                    // default of is_stmt
    const auto line_base = in.fixed<std::int8_t>();
    const auto line_range = in.fixed<std::uint8_t>();
    const auto opcode_base = in.fixed<std::uint8_t>();
    std::uint8_t operands[256] = {};
    for (unsigned i = 1; i < opcode_base; ++i) operands[i] = in.fixed<std::uint8_t>();
    if (!in.ok || line_range == 0 || opcode_base == 0) continue;
    in.at = program;

    std::uint64_t address = 0, row_address = 0;
    std::int64_t line = 1, row_line = 0;
    bool open = false;  // a row began at row_address
    std::optional<std::uint32_t> found;
    const auto emit = [&](bool end) {
      if (open && pc >= row_address && pc < address && row_line > 0) found = static_cast<std::uint32_t>(row_line);
      row_address = address;
      row_line = line;
      open = !end;
    };
    while (in.more() && !found) {
      const auto opcode = in.fixed<std::uint8_t>();
      if (opcode >= opcode_base) {
        const unsigned adjusted = opcode - opcode_base;
        address += std::uint64_t{adjusted / line_range} * unit;
        line += line_base + static_cast<int>(adjusted % line_range);
        emit(false);
        continue;
      }
      switch (opcode) {
        case 0: {  // extended
          const std::uint64_t size = in.uleb();
          if (size == 0 || size > in.data.size() - in.at) {
            in.ok = false;
            break;
          }
          const std::size_t next = in.at + size;
          const auto extended = in.fixed<std::uint8_t>();
          if (extended == 1) {  // end of sequence
            emit(true);
            address = 0;
            line = 1;
          } else if (extended == 2 && size == 9) {
            address = in.fixed<std::uint64_t>();
          }
          in.at = next;
          break;
        }
        case 1: emit(false); break;                                                        // copy
        case 2: address += in.uleb() * unit; break;                                        // advance pc
        case 3: line += in.sleb(); break;                                                  // advance line
        case 8: address += std::uint64_t{(255u - opcode_base) / line_range} * unit; break;  // const add pc
        case 9: address += in.fixed<std::uint16_t>(); break;                               // fixed advance pc
        default:
          for (unsigned i = 0; i < operands[opcode]; ++i) in.uleb();
      }
    }
    if (found) return found;
  }
  return std::nullopt;
}

}  // namespace anywarp
