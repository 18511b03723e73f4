#include "loader.h"

#include <elf.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "debug_line.h"

// libgcc's helpers for wide integers and half floats, which LLVM calls by these names.
extern "C" {
__int128 __divti3(__int128, __int128);
__int128 __modti3(__int128, __int128);
unsigned __int128 __udivti3(unsigned __int128, unsigned __int128);
unsigned __int128 __umodti3(unsigned __int128, unsigned __int128);
}

namespace anywarp {

namespace {

struct External {
  const char* name;
  void* address;
};

template <typename F>
void* pointer(F* function) {
  return reinterpret_cast<void*>(function);
}
using D1 = double(double);
using F1 = float(float);
using D2 = double(double, double);
using F2 = float(float, float);

const External kExternals[] = {
    {"memcpy", pointer<void*(void*, const void*, std::size_t)>(memcpy)},
    {"memmove", pointer<void*(void*, const void*, std::size_t)>(memmove)},
    {"memset", pointer<void*(void*, int, std::size_t)>(memset)},
    {"memcmp", pointer<int(const void*, const void*, std::size_t)>(memcmp)},
    {"fma", pointer<double(double, double, double)>(fma)},
    {"fmaf", pointer<float(float, float, float)>(fmaf)},
    {"fmod", pointer<D2>(fmod)}, {"fmodf", pointer<F2>(fmodf)},
    {"sqrt", pointer<D1>(sqrt)}, {"sqrtf", pointer<F1>(sqrtf)},
    {"exp", pointer<D1>(exp)}, {"expf", pointer<F1>(expf)},
    {"exp2", pointer<D1>(exp2)}, {"exp2f", pointer<F1>(exp2f)},
    {"log", pointer<D1>(log)}, {"logf", pointer<F1>(logf)},
    {"log2", pointer<D1>(log2)}, {"log2f", pointer<F1>(log2f)},
    {"log10", pointer<D1>(log10)}, {"log10f", pointer<F1>(log10f)},
    {"sin", pointer<D1>(sin)}, {"sinf", pointer<F1>(sinf)},
    {"cos", pointer<D1>(cos)}, {"cosf", pointer<F1>(cosf)},
    {"tan", pointer<D1>(tan)}, {"tanf", pointer<F1>(tanf)},
    {"tanh", pointer<D1>(tanh)}, {"tanhf", pointer<F1>(tanhf)},
    {"pow", pointer<D2>(pow)}, {"powf", pointer<F2>(powf)},
    {"floor", pointer<D1>(floor)}, {"floorf", pointer<F1>(floorf)},
    {"ceil", pointer<D1>(ceil)}, {"ceilf", pointer<F1>(ceilf)},
    {"trunc", pointer<D1>(trunc)}, {"truncf", pointer<F1>(truncf)},
    {"rint", pointer<D1>(rint)}, {"rintf", pointer<F1>(rintf)},
    {"nearbyint", pointer<D1>(nearbyint)}, {"nearbyintf", pointer<F1>(nearbyintf)},
    {"round", pointer<D1>(round)}, {"roundf", pointer<F1>(roundf)},
    {"fmin", pointer<D2>(fmin)}, {"fminf", pointer<F2>(fminf)},
    {"fmax", pointer<D2>(fmax)}, {"fmaxf", pointer<F2>(fmaxf)},
    {"ldexp", pointer<double(double, int)>(ldexp)}, {"ldexpf", pointer<float(float, int)>(ldexpf)},
    {"__divti3", pointer(__divti3)}, {"__modti3", pointer(__modti3)},
    {"__udivti3", pointer(__udivti3)}, {"__umodti3", pointer(__umodti3)},
};

std::size_t round_up(std::size_t value, std::size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

#if defined(__aarch64__)
constexpr std::uint16_t kMachine = EM_AARCH64;
#else
constexpr std::uint16_t kMachine = EM_X86_64;
#endif
constexpr std::size_t kStub = 16;

// Jumps to an address that may be out of a displacement's reach.
void write_stub(std::uint8_t* out, std::uint64_t target) {
#if defined(__aarch64__)
  const std::uint32_t code[2] = {0x58000050, 0xd61f0200};  // ldr x16, .+8; br x16
  std::memcpy(out, code, 8);
#else
  const std::uint8_t code[8] = {0xff, 0x25, 0x02, 0x00, 0x00, 0x00, 0x0f, 0x0b};  // jmp [rip+2]; ud2
  std::memcpy(out, code, 8);
#endif
  std::memcpy(out + 8, &target, 8);
}

bool fits(std::int64_t value, int bits) { return value >= -(std::int64_t{1} << (bits - 1)) && value < (std::int64_t{1} << (bits - 1)); }

}  // namespace

void* external_symbol(std::string_view name) {
  for (const External& e : kExternals)
    if (name == e.name) return e.address;
  return nullptr;
}

namespace {

// The object file with every access checked.
class Elf {
 public:
  explicit Elf(ByteSpan data) : data_(data) {}

  bool open(std::string* error) {
    const auto fail = [error](const char* why) {
      *error = std::string("not a loadable object: ") + why;
      return false;
    };
    if (data_.size() < sizeof header_) return fail("truncated");
    std::memcpy(&header_, data_.data(), sizeof header_);
    if (std::memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0 || header_.e_ident[EI_CLASS] != ELFCLASS64 ||
        header_.e_ident[EI_DATA] != ELFDATA2LSB)
      return fail("not 64-bit little-endian ELF");
    if (header_.e_type != ET_REL) return fail("not relocatable");
    if (header_.e_machine != kMachine) return fail("for another processor");
    if (header_.e_shentsize != sizeof(Elf64_Shdr) || header_.e_shnum == 0) return fail("no sections");
    if (header_.e_shoff > data_.size() || (data_.size() - header_.e_shoff) / sizeof(Elf64_Shdr) < header_.e_shnum) return fail("truncated");
    sections.resize(header_.e_shnum);
    std::memcpy(sections.data(), data_.data() + header_.e_shoff, sections.size() * sizeof(Elf64_Shdr));
    for (const Elf64_Shdr& s : sections) {
      if (s.sh_type != SHT_NOBITS && (s.sh_offset > data_.size() || s.sh_size > data_.size() - s.sh_offset)) return fail("truncated section");
      if (s.sh_addralign > 4096 || (s.sh_addralign & (s.sh_addralign - 1)) != 0) return fail("section alignment");
      if (s.sh_size > (std::size_t{1} << 30)) return fail("section too big");
    }
    if (header_.e_shstrndx >= sections.size()) return fail("no section names");
    for (const Elf64_Shdr& s : sections)
      if (s.sh_type == SHT_SYMTAB) {
        if (s.sh_entsize != sizeof(Elf64_Sym) || s.sh_link >= sections.size()) return fail("symbol table");
        symbols.resize(s.sh_size / sizeof(Elf64_Sym));
        std::memcpy(symbols.data(), data_.data() + s.sh_offset, symbols.size() * sizeof(Elf64_Sym));
        strings_ = contents(sections[s.sh_link]);
      }
    return true;
  }
  ByteSpan contents(const Elf64_Shdr& s) const { return s.sh_type == SHT_NOBITS ? ByteSpan() : data_.subspan(s.sh_offset, s.sh_size); }
  std::string_view section_name(const Elf64_Shdr& s) const { return string(contents(sections[header_.e_shstrndx]), s.sh_name); }
  std::string_view symbol_name(const Elf64_Sym& s) const { return string(strings_, s.st_name); }

  std::vector<Elf64_Shdr> sections;
  std::vector<Elf64_Sym> symbols;

 private:
  static std::string_view string(ByteSpan table, std::size_t offset) {
    if (offset >= table.size()) return {};
    const char* text = reinterpret_cast<const char*>(table.data()) + offset;
    return {text, strnlen(text, table.size() - offset)};
  }
  ByteSpan data_, strings_;
  Elf64_Ehdr header_{};
};

}  // namespace

Result CodeSpace::load(ByteSpan bytes, std::unique_ptr<LoadedObject>* out, std::string* error) {
  std::string ignored;
  if (error == nullptr) error = &ignored;
  Elf elf(bytes);
  if (!elf.open(error)) return Result::invalid_image;
  const auto fail = [error](std::string why) {
    *error = "not a loadable object: " + why;
    return Result::invalid_image;
  };

  // Layout: code and constants, then stubs and GOT slots for what the object refers to; writable sections apart.
  std::vector<std::size_t> offset(elf.sections.size(), 0);
  std::size_t code = 0, data = 0;
  for (std::size_t i = 0; i < elf.sections.size(); ++i) {
    const Elf64_Shdr& s = elf.sections[i];
    if ((s.sh_flags & SHF_ALLOC) == 0) continue;
    if ((s.sh_flags & SHF_TLS) != 0) return fail("thread-local data");
    std::size_t& position = (s.sh_flags & SHF_WRITE) != 0 ? data : code;
    if (s.sh_addralign > 64) return fail("section aligned to more than 64 bytes");
    position = round_up(position, std::max<std::size_t>(s.sh_addralign, 1));
    offset[i] = position;
    position += s.sh_size;
  }
  code = round_up(code, kStub);
  const std::size_t slots = code, slot_bytes = kStub + 8;  // for each symbol: the stub, then the GOT entry
  // Only symbols that need a slot get one.
  std::vector<std::uint32_t> slot_of(elf.symbols.size(), 0);
  std::uint32_t slot_count = 0;
  for (const Elf64_Shdr& s : elf.sections) {
    if (s.sh_type == SHT_REL && s.sh_info < elf.sections.size() && (elf.sections[s.sh_info].sh_flags & SHF_ALLOC) != 0)
      return fail("REL relocations");
    if (s.sh_type != SHT_RELA || s.sh_info >= elf.sections.size() || (elf.sections[s.sh_info].sh_flags & SHF_ALLOC) == 0) continue;
    const ByteSpan entries = elf.contents(s);
    for (std::size_t at = 0; at + sizeof(Elf64_Rela) <= entries.size(); at += sizeof(Elf64_Rela)) {
      Elf64_Rela r;
      std::memcpy(&r, entries.data() + at, sizeof r);
      const std::size_t index = ELF64_R_SYM(r.r_info);
      if (index >= elf.symbols.size()) return fail("relocation against an unknown symbol");
      const auto type = ELF64_R_TYPE(r.r_info);
#if defined(__aarch64__)
      const bool got = type == R_AARCH64_ADR_GOT_PAGE || type == R_AARCH64_LD64_GOT_LO12_NC;
#else
      const bool got = type == R_X86_64_GOTPCREL || type == R_X86_64_GOTPCRELX || type == R_X86_64_REX_GOTPCRELX;
#endif
      if (slot_of[index] == 0 && index != 0 && (got || elf.symbols[index].st_shndx == SHN_UNDEF)) slot_of[index] = ++slot_count;
    }
  }
  code += slot_count * slot_bytes;
  if (code == 0) return fail("no code");

  Place place;
  if (!allocate(code, data, &place)) {
    *error = "no executable memory";
    return Result::out_of_memory;
  }
  std::unique_ptr<LoadedObject> object(new LoadedObject);
  object->space_ = this;  // from here on the destructor gives the memory back
  object->base_ = place.execute;
  object->size_ = code;
  object->data_ = place.data;
  object->data_size_ = data;

  const auto run_address = [&](std::size_t section) {
    return ((elf.sections[section].sh_flags & SHF_WRITE) != 0 ? place.data : place.execute) + offset[section];
  };
  const auto write_address = [&](std::size_t section) {
    return ((elf.sections[section].sh_flags & SHF_WRITE) != 0 ? reinterpret_cast<std::uint8_t*>(place.data) : place.write) + offset[section];
  };
  for (std::size_t i = 0; i < elf.sections.size(); ++i) {
    const Elf64_Shdr& s = elf.sections[i];
    if ((s.sh_flags & SHF_ALLOC) == 0) continue;
    if (s.sh_type == SHT_NOBITS)
      std::memset(write_address(i), 0, s.sh_size);
    else
      std::memcpy(write_address(i), elf.contents(s).data(), s.sh_size);
  }

  std::vector<std::uint64_t> value(elf.symbols.size(), 0);
  for (std::size_t i = 1; i < elf.symbols.size(); ++i) {
    const Elf64_Sym& s = elf.symbols[i];
    const std::size_t slot = slot_of[i] != 0 ? slots + (slot_of[i] - 1) * slot_bytes : 0;
    std::uint64_t target = 0;
    if (s.st_shndx == SHN_UNDEF) {
      if (slot_of[i] == 0) continue;  // nothing refers to it
      void* external = external_symbol(elf.symbol_name(s));
      if (external == nullptr && ELF64_ST_BIND(s.st_info) != STB_WEAK)
        return fail("undefined symbol '" + std::string(elf.symbol_name(s)) + "'");
      target = reinterpret_cast<std::uint64_t>(external);
      value[i] = place.execute + slot;
      write_stub(place.write + slot, target);
    } else if (s.st_shndx == SHN_ABS) {
      value[i] = target = s.st_value;
    } else if (s.st_shndx < elf.sections.size()) {
      if ((elf.sections[s.st_shndx].sh_flags & SHF_ALLOC) == 0) continue;
      value[i] = target = run_address(s.st_shndx) + s.st_value;
      const int type = ELF64_ST_TYPE(s.st_info);
      if (type == STT_FUNC || type == STT_OBJECT || (type == STT_NOTYPE && ELF64_ST_BIND(s.st_info) != STB_LOCAL))
        object->symbols_.emplace(elf.symbol_name(s), value[i]);
    } else {
      return fail("common symbol");
    }
    if (slot_of[i] != 0) std::memcpy(place.write + slot + kStub, &target, 8);
  }

  for (const Elf64_Shdr& s : elf.sections) {
    if (s.sh_type != SHT_RELA || s.sh_info >= elf.sections.size() || (elf.sections[s.sh_info].sh_flags & SHF_ALLOC) == 0) continue;
    const Elf64_Shdr& target = elf.sections[s.sh_info];
    const ByteSpan entries = elf.contents(s);
    for (std::size_t at = 0; at + sizeof(Elf64_Rela) <= entries.size(); at += sizeof(Elf64_Rela)) {
      Elf64_Rela r;
      std::memcpy(&r, entries.data() + at, sizeof r);
      const std::size_t index = ELF64_R_SYM(r.r_info);
      const auto type = ELF64_R_TYPE(r.r_info);
      if (r.r_offset > target.sh_size || target.sh_size - r.r_offset < 4) return fail("relocation outside its section");
      std::uint8_t* where = write_address(s.sh_info) + r.r_offset;
      const std::uint64_t p = run_address(s.sh_info) + r.r_offset;
      const std::uint64_t sa = value[index] + static_cast<std::uint64_t>(r.r_addend);
      const std::uint64_t got = place.execute + slots + (slot_of[index] - 1) * slot_bytes + kStub;
      const auto store32 = [where](std::uint32_t v) { std::memcpy(where, &v, 4); };
      bool ok = true;
#if defined(__aarch64__)
      std::uint32_t instruction;
      std::memcpy(&instruction, where, 4);
      const auto page = [](std::uint64_t a) { return a & ~std::uint64_t{0xfff}; };
      const auto low12 = [&](std::uint64_t address, int shift) {
        ok = (address & ((1u << shift) - 1)) == 0;
        store32((instruction & ~(0xfffu << 10)) | static_cast<std::uint32_t>((address & 0xfff) >> shift) << 10);
      };
      const auto adr = [&](std::int64_t pages) {
        ok = fits(pages, 21);
        const auto v = static_cast<std::uint32_t>(pages);
        store32((instruction & 0x9f00001f) | (v & 3) << 29 | (v >> 2 & 0x7ffff) << 5);
      };
      switch (type) {
        case R_AARCH64_NONE: break;
        case R_AARCH64_ABS64: case R_AARCH64_PREL64: {
          if (target.sh_size - r.r_offset < 8) return fail("relocation outside its section");
          const std::uint64_t v = type == R_AARCH64_ABS64 ? sa : sa - p;
          std::memcpy(where, &v, 8);
          break;
        }
        case R_AARCH64_PREL32:
          ok = fits(static_cast<std::int64_t>(sa - p), 33);
          store32(static_cast<std::uint32_t>(sa - p));
          break;
        case R_AARCH64_ADR_PREL_LO21: adr(static_cast<std::int64_t>(sa - p)); break;
        case R_AARCH64_ADR_PREL_PG_HI21: case R_AARCH64_ADR_PREL_PG_HI21_NC:
          adr(static_cast<std::int64_t>(page(sa) - page(p)) >> 12);
          break;
        case R_AARCH64_ADR_GOT_PAGE: adr(static_cast<std::int64_t>(page(got) - page(p)) >> 12); break;
        case R_AARCH64_LD64_GOT_LO12_NC: low12(got, 3); break;
        case R_AARCH64_ADD_ABS_LO12_NC: case R_AARCH64_LDST8_ABS_LO12_NC: low12(sa, 0); break;
        case R_AARCH64_LDST16_ABS_LO12_NC: low12(sa, 1); break;
        case R_AARCH64_LDST32_ABS_LO12_NC: low12(sa, 2); break;
        case R_AARCH64_LDST64_ABS_LO12_NC: low12(sa, 3); break;
        case R_AARCH64_LDST128_ABS_LO12_NC: low12(sa, 4); break;
        case R_AARCH64_JUMP26: case R_AARCH64_CALL26: {
          const auto words = static_cast<std::int64_t>(sa - p) >> 2;
          ok = fits(words, 26);
          store32((instruction & 0xfc000000) | (static_cast<std::uint32_t>(words) & 0x03ffffff));
          break;
        }
        case R_AARCH64_CONDBR19: {
          const auto words = static_cast<std::int64_t>(sa - p) >> 2;
          ok = fits(words, 19);
          store32((instruction & ~(0x7ffffu << 5)) | (static_cast<std::uint32_t>(words) & 0x7ffff) << 5);
          break;
        }
        case R_AARCH64_TSTBR14: {
          const auto words = static_cast<std::int64_t>(sa - p) >> 2;
          ok = fits(words, 14);
          store32((instruction & ~(0x3fffu << 5)) | (static_cast<std::uint32_t>(words) & 0x3fff) << 5);
          break;
        }
        default: return fail("relocation type " + std::to_string(type));
      }
#else
      switch (type) {
        case R_X86_64_NONE: break;
        case R_X86_64_64: case R_X86_64_PC64: {
          if (target.sh_size - r.r_offset < 8) return fail("relocation outside its section");
          const std::uint64_t v = type == R_X86_64_64 ? sa : sa - p;
          std::memcpy(where, &v, 8);
          break;
        }
        case R_X86_64_PC32: case R_X86_64_PLT32:
          ok = fits(static_cast<std::int64_t>(sa - p), 32);
          store32(static_cast<std::uint32_t>(sa - p));
          break;
        case R_X86_64_GOTPCREL: case R_X86_64_GOTPCRELX: case R_X86_64_REX_GOTPCRELX: {
          const std::uint64_t v = got + static_cast<std::uint64_t>(r.r_addend) - p;
          ok = fits(static_cast<std::int64_t>(v), 32);
          store32(static_cast<std::uint32_t>(v));
          break;
        }
        default: return fail("relocation type " + std::to_string(type));
      }
#endif
      if (!ok) return fail("relocation out of range");
    }
  }

  // Line table: kept with its addresses relocated, parsed when somebody asks.
  for (std::size_t i = 0; i < elf.sections.size(); ++i) {
    const Elf64_Shdr& s = elf.sections[i];
    if (elf.section_name(s) != ".debug_line" || s.sh_type == SHT_NOBITS || (s.sh_flags & SHF_COMPRESSED) != 0) continue;
    const ByteSpan contents = elf.contents(s);
    object->debug_line_.assign(contents.begin(), contents.end());
    for (const Elf64_Shdr& relocations : elf.sections) {
      if (relocations.sh_type != SHT_RELA || relocations.sh_info != i) continue;
      const ByteSpan entries = elf.contents(relocations);
      for (std::size_t at = 0; at + sizeof(Elf64_Rela) <= entries.size(); at += sizeof(Elf64_Rela)) {
        Elf64_Rela r;
        std::memcpy(&r, entries.data() + at, sizeof r);
        const std::size_t index = ELF64_R_SYM(r.r_info);
#if defined(__aarch64__)
        const bool absolute = ELF64_R_TYPE(r.r_info) == R_AARCH64_ABS64;
#else
        const bool absolute = ELF64_R_TYPE(r.r_info) == R_X86_64_64;
#endif
        if (!absolute || index >= value.size() || r.r_offset > contents.size() || contents.size() - r.r_offset < 8) continue;
        const std::uint64_t v = value[index] + static_cast<std::uint64_t>(r.r_addend);
        std::memcpy(object->debug_line_.data() + r.r_offset, &v, 8);
      }
    }
  }
  if (!seal(place, code)) {
    *error = "no executable memory";
    return Result::out_of_memory;
  }
  *out = std::move(object);
  return Result::success;
}

LoadedObject::~LoadedObject() {
  if (space_ != nullptr) space_->release(*this);
}

void* LoadedObject::symbol(std::string_view name) const {
  const auto it = symbols_.find(name);
  return it == symbols_.end() ? nullptr : reinterpret_cast<void*>(it->second);
}

std::optional<std::uint32_t> LoadedObject::line(std::uintptr_t pc) const {
  if (!contains(pc)) return std::nullopt;
  return find_line(debug_line_, pc);
}

}  // namespace anywarp
