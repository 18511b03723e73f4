#include "redirect/module_file.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "redirect/jump.h"
#include "redirect_names.h"

namespace anywarp::redirect {
namespace {

#if defined(__x86_64__)
constexpr ElfW(Half) kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr ElfW(Half) kMachine = EM_AARCH64;
#endif

int name_index(std::string_view name) {
  const auto* found = std::lower_bound(std::begin(kNames), std::end(kNames), name,
                                       [](const Name& row, std::string_view wanted) { return row.text < wanted; });
  return found != std::end(kNames) && found->text == name ? static_cast<int>(found - kNames) : -1;
}

bool has_prefix(std::string_view name) { return name.starts_with("cuda") || name.starts_with("__cuda"); }

// The string at `offset`; empty where it does not end inside the table.
std::string_view string_at(std::string_view table, std::uint64_t offset) {
  if (offset >= table.size()) return {};
  const std::string_view rest = table.substr(offset);
  const std::size_t end = rest.find('\0');
  return end == rest.npos ? std::string_view{} : rest.substr(0, end);
}

bool is_function(const ElfW(Sym)& symbol) { return ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_shndx != SHN_UNDEF; }

}  // namespace

ModuleFile::ModuleFile(const char* path, const link_map* map) {
  if (!open(path) || !is_loaded_at(map)) return;
  read_sections();
}

ModuleFile::~ModuleFile() {
  if (data_) munmap(const_cast<std::uint8_t*>(data_), size_);
  if (file_ >= 0) close(file_);
}

template <typename T>
const T* ModuleFile::at(std::uint64_t offset, std::uint64_t count) const {
  if (offset > size_ || offset % alignof(T) != 0 || count > (size_ - offset) / sizeof(T)) return nullptr;
  return reinterpret_cast<const T*>(data_ + offset);
}

bool ModuleFile::open(const char* path) {
  file_ = ::open(path, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (file_ < 0 || fstat(file_, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size <= 0) return false;
  void* mapped = mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_PRIVATE, file_, 0);
  if (mapped == MAP_FAILED) return false;
  data_ = static_cast<const std::uint8_t*>(mapped);
  size_ = static_cast<std::size_t>(status.st_size);
  header_ = at<ElfW(Ehdr)>(0, 1);
  if (!header_ || std::memcmp(header_->e_ident, ELFMAG, SELFMAG) != 0 || header_->e_ident[EI_CLASS] != ELFCLASS64 ||
      header_->e_ident[EI_DATA] != ELFDATA2LSB || header_->e_machine != kMachine || header_->e_phentsize != sizeof(ElfW(Phdr)))
    return false;
  segments_ = at<ElfW(Phdr)>(header_->e_phoff, header_->e_phnum);
  return segments_ != nullptr;
}

// The loader maps a file's first page, with both headers in it, unless its segments leave it out; then nothing can be compared.
bool ModuleFile::is_loaded_at(const link_map* map) const {
  const std::uint64_t headers = std::max<std::uint64_t>(sizeof *header_, header_->e_phoff + header_->e_phnum * sizeof *segments_);
  bool dynamic_agrees = false;
  const std::uint8_t* first = nullptr;
  for (int i = 0; i < header_->e_phnum; ++i) {
    const ElfW(Phdr)& s = segments_[i];
    if (s.p_type == PT_DYNAMIC) dynamic_agrees = map->l_addr + s.p_vaddr == reinterpret_cast<ElfW(Addr)>(map->l_ld);
    if (s.p_type == PT_LOAD && s.p_offset == 0 && headers <= s.p_filesz && headers <= 4096)
      first = reinterpret_cast<const std::uint8_t*>(map->l_addr + s.p_vaddr);
  }
  return dynamic_agrees && first && std::memcmp(first, data_, headers) == 0;
}

const ElfW(Phdr)* ModuleFile::segment_of(std::uint64_t vaddr) const {
  for (int i = 0; i < header_->e_phnum; ++i) {
    const ElfW(Phdr)& s = segments_[i];
    if (s.p_type == PT_LOAD && (s.p_flags & PF_X) && vaddr >= s.p_vaddr && vaddr - s.p_vaddr < s.p_filesz) return &s;
  }
  return nullptr;
}

ModuleFile::Table ModuleFile::table_of(const ElfW(Shdr)* sections, std::size_t count, const ElfW(Shdr)& section) const {
  if (section.sh_entsize != sizeof(ElfW(Sym)) || section.sh_link >= count) return {};
  const ElfW(Shdr)& names = sections[section.sh_link];
  const std::size_t symbols = section.sh_size / sizeof(ElfW(Sym));
  const auto* first = at<ElfW(Sym)>(section.sh_offset, symbols);
  const auto* text = at<char>(names.sh_offset, names.sh_size);
  if (!first || !text || names.sh_type != SHT_STRTAB) return {};
  return {first, symbols, {text, names.sh_size}};
}

void ModuleFile::read_sections() {
  // Files with more than 65,279 sections keep the count elsewhere; none that is loaded has that many.
  if (header_->e_shentsize != sizeof(ElfW(Shdr)) || header_->e_shnum == 0) return;
  const std::size_t count = header_->e_shnum;
  const auto* sections = at<ElfW(Shdr)>(header_->e_shoff, count);
  if (!sections) return;
  std::string_view names;
  if (header_->e_shstrndx < count) {
    const ElfW(Shdr)& s = sections[header_->e_shstrndx];
    if (const auto* text = at<char>(s.sh_offset, s.sh_size)) names = {text, s.sh_size};
  }
  const ElfW(Shdr)* symbols = nullptr;
  for (std::size_t i = 0; i < count; ++i) {
    const ElfW(Shdr)& s = sections[i];
    if (s.sh_type == SHT_SYMTAB) symbols = &s;
    if (s.sh_type == SHT_DYNAMIC) read_dynamic_section(s);
    if (s.sh_type == SHT_DYNSYM) read_exports(table_of(sections, count, s));
    if (string_at(names, s.sh_name) == ".nv_fatbin") has_device_code_ = true;
  }
  // A runtime of its own may have lost .symtab; its exported names serve as well. (It is looked for by its name below.)
  for (std::size_t i = 0; !symbols && i < count; ++i)
    if (sections[i].sh_type == SHT_DYNSYM) symbols = &sections[i];
  if (symbols) read_definitions(table_of(sections, count, *symbols));
}

void ModuleFile::read_dynamic_section(const ElfW(Shdr)& section) {
  const std::size_t count = section.sh_size / sizeof(ElfW(Dyn));
  const auto* entries = at<ElfW(Dyn)>(section.sh_offset, count);
  const auto* sections = at<ElfW(Shdr)>(header_->e_shoff, header_->e_shnum);
  if (!entries || section.sh_link >= header_->e_shnum) return;
  const ElfW(Shdr)& names = sections[section.sh_link];
  const auto* text = at<char>(names.sh_offset, names.sh_size);
  for (std::size_t i = 0; text && i < count && entries[i].d_tag != DT_NULL; ++i)
    if (entries[i].d_tag == DT_SONAME) soname_ = string_at({text, names.sh_size}, entries[i].d_un.d_val);
}

void ModuleFile::read_exports(const Table& table) {
  for (std::size_t i = 0; i < table.count; ++i) {
    const std::string_view name = string_at(table.strings, table.symbols[i].st_name);
    if (!has_prefix(name)) continue;
    if (is_function(table.symbols[i])) exports_.push_back(name);
    else if (table.symbols[i].st_shndx == SHN_UNDEF && name == "__cudaRegisterFatBinary") imports_runtime_ = true;
  }
  std::sort(exports_.begin(), exports_.end());
}

bool ModuleFile::is_exported(std::string_view name) const { return std::binary_search(exports_.begin(), exports_.end(), name); }

bool ModuleFile::is(const char* path) const {
  struct stat mine, other;
  return file_ >= 0 && fstat(file_, &mine) == 0 && stat(path, &other) == 0 && mine.st_dev == other.st_dev && mine.st_ino == other.st_ino;
}

void ModuleFile::read_definitions(const Table& table) {
  // Most modules with symbols have none of CUDA's: one search in their strings is all that they cost.
  if (!memmem(table.strings.data(), table.strings.size(), "cuda", 4)) return;
  for (std::size_t i = 0; i < table.count; ++i) {
    const ElfW(Sym)& symbol = table.symbols[i];
    if (!is_function(symbol) || symbol.st_name >= table.strings.size()) continue;
    const char first = table.strings[symbol.st_name];
    if (first != 'c' && first != '_') continue;
    const std::string_view name = string_at(table.strings, symbol.st_name);
    // Compilers write a function's size. Without one it is a trampoline in assembly, by which a program loads the shared runtime at its
    // first call (XLA does): no runtime is inside.
    if (symbol.st_size == 0) {
      imports_runtime_ = imports_runtime_ || name == "__cudaRegisterFatBinary";
      continue;
    }
    const bool registers = first == '_' && name.find("__sti____cudaRegisterAll") != name.npos;  // C++ puts more in front
    if (!registers && !has_prefix(name)) continue;
    const ElfW(Phdr)* segment = segment_of(symbol.st_value);
    if (!segment) continue;
    if (registers) {
      registrations_.push_back(symbol.st_value);
      continue;
    }
    const std::uint64_t into = symbol.st_value - segment->p_vaddr;
    const std::uint64_t left = segment->p_filesz - into;
    const auto* code = at<std::uint8_t>(segment->p_offset + into, std::min<std::uint64_t>(left, kMostBytes));
    if (!code || symbol.st_size > left) continue;
    definitions_.push_back({name_index(name), name.data(), symbol.st_value, symbol.st_size, room_of(table, symbol, code, left), code});
  }
  std::sort(definitions_.begin(), definitions_.end(), [](const Definition& a, const Definition& b) { return a.vaddr < b.vaddr; });
}

// Where the body is shorter than a jump, the filler behind it counts: up to the next symbol or multiple of 16, and only what is filler.
std::uint64_t ModuleFile::room_of(const Table& table, const ElfW(Sym)& symbol, const std::uint8_t* code, std::uint64_t left) const {
  if (symbol.st_size >= kMostBytes) return symbol.st_size;
  const std::uint64_t body_end = symbol.st_value + symbol.st_size;
  std::uint64_t end = std::min((body_end + 15) & ~std::uint64_t{15}, symbol.st_value + std::min<std::uint64_t>(left, kMostBytes));
  for (std::size_t i = 0; i < table.count; ++i) {
    const ElfW(Sym)& other = table.symbols[i];
    if (other.st_shndx != SHN_UNDEF && other.st_value > symbol.st_value) end = std::min(end, other.st_value);
  }
  return symbol.st_size + (end > body_end ? filler_bytes(code + symbol.st_size, end - body_end) : 0);
}

}  // namespace anywarp::redirect
