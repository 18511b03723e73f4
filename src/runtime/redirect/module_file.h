// What the file of a loaded module says about CUDA entry points in it.
//
// The file is untrusted: every offset and count is checked against its size before use. It is compared with what is loaded (ELF and program
// headers, place of the dynamic section), so that a file replaced on disk since then is not taken for it. Nothing is written here.
#pragma once

#include <link.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace anywarp::redirect {

// A function that the module itself defines under a name that a runtime's entry point could have.
struct Definition {
  int name;              // in kNames; -1: none of them
  const char* text;      // the name as it stands in the file
  std::uint64_t vaddr;   // relative to the module's load address
  std::uint64_t bytes;   // of its body
  std::uint64_t room;    // body and filler up to the next function: what may be written over
  const std::uint8_t* code;  // the body in the file
};

class ModuleFile {
 public:
  // `path`: the file that was loaded at `map`. A module that cannot be read, or is another than the loaded one, defines nothing.
  ModuleFile(const char* path, const link_map* map);
  ~ModuleFile();
  ModuleFile(const ModuleFile&) = delete;
  ModuleFile& operator=(const ModuleFile&) = delete;

  // Named cuda… or __cuda…, by rising address; a function with two such names stands here twice. Empty in most modules, and quickly so.
  const std::vector<Definition>& definitions() const { return definitions_; }
  // Functions that nvcc writes into each object file to register its kernels: addresses relative to the load address.
  const std::vector<std::uint64_t>& registrations() const { return registrations_; }
  // The section that nvcc puts device code in is there.
  bool has_device_code() const { return has_device_code_; }
  // It asks another module for the registration functions, or loads one for them when it calls them.
  bool imports_runtime() const { return imports_runtime_; }
  bool is_exported(std::string_view name) const;
  std::string_view soname() const { return soname_; }
  // The same file as `path`.
  bool is(const char* path) const;
  // The executable segment that holds an address; null if none does.
  const ElfW(Phdr)* segment_of(std::uint64_t vaddr) const;

 private:
  struct Table {
    const ElfW(Sym)* symbols = nullptr;
    std::size_t count = 0;
    std::string_view strings;
  };

  template <typename T>
  const T* at(std::uint64_t offset, std::uint64_t count) const;
  bool open(const char* path);
  bool is_loaded_at(const link_map* map) const;
  void read_sections();
  void read_dynamic_section(const ElfW(Shdr)& section);
  void read_exports(const Table& table);
  void read_definitions(const Table& table);
  Table table_of(const ElfW(Shdr)* sections, std::size_t count, const ElfW(Shdr)& section) const;
  std::uint64_t room_of(const Table& table, const ElfW(Sym)& symbol, const std::uint8_t* code, std::uint64_t left) const;

  int file_ = -1;
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
  const ElfW(Ehdr)* header_ = nullptr;
  const ElfW(Phdr)* segments_ = nullptr;
  std::vector<Definition> definitions_;
  std::vector<std::uint64_t> registrations_;
  std::vector<std::string_view> exports_;
  std::string_view soname_;
  bool has_device_code_ = false;
  bool imports_runtime_ = false;
};

}  // namespace anywarp::redirect
