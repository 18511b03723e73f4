// Loads ELF relocatable objects (x86-64, AArch64) into executable memory, without a linker.
//
// Executable memory is reserved in regions; each is one file without a name mapped twice, once to be written and once to be
// executed, so that no page is ever both and ten thousand objects share a few mappings. Where that is not allowed, every object has
// pages of its own that change from writable to executable. Objects see nothing but a short list of C functions
// (`external_symbol`). Addresses are remembered, so that a program counter can be told apart from the host program's
// (`is_kernel_code`, safe in a signal handler) and attributed (`LoadedObject::line`, not safe there).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bytes.h"
#include "result.h"

namespace anywarp {

class CodeSpace;

// One object in executable memory. Unloaded by the destructor; nobody may be running it then.
class LoadedObject {
 public:
  ~LoadedObject();
  LoadedObject(const LoadedObject&) = delete;
  LoadedObject& operator=(const LoadedObject&) = delete;

  // The address of a defined global symbol, or null.
  void* symbol(std::string_view name) const;
  bool contains(std::uintptr_t pc) const { return pc - base_ < size_; }
  // The line of `pc` by `.debug_line` (versions 2 to 5), if there is one.
  std::optional<std::uint32_t> line(std::uintptr_t pc) const;
  std::size_t size() const { return size_; }

 private:
  friend class CodeSpace;
  LoadedObject() = default;

  CodeSpace* space_ = nullptr;
  std::uintptr_t base_ = 0;  // code and constants
  std::size_t size_ = 0;
  std::uintptr_t data_ = 0;  // writable sections
  std::size_t data_size_ = 0;
  std::map<std::string, std::uintptr_t, std::less<>> symbols_;
  Bytes debug_line_;
};

class CodeSpace {
 public:
  struct Options {
    std::size_t region = std::size_t{64} << 20;  // bytes of a region
    bool allow_dual_mapping = true;
  };

  CodeSpace();
  explicit CodeSpace(const Options& options);
  ~CodeSpace();  // every object must have been unloaded
  CodeSpace(const CodeSpace&) = delete;
  CodeSpace& operator=(const CodeSpace&) = delete;

  // invalid_image with a message for anything that is not a loadable object.
  Result load(ByteSpan object, std::unique_ptr<LoadedObject>* out, std::string* error);

  std::size_t bytes_used() const;
  std::size_t regions() const;

 private:
  friend class LoadedObject;
  struct Region;
  struct Place {
    std::uintptr_t execute = 0;     // where the code runs
    std::uint8_t* write = nullptr;  // where it is written
    std::uintptr_t data = 0;        // the writable sections
  };

  bool allocate(std::size_t code_bytes, std::size_t data_bytes, Place* out);
  bool seal(const Place& place, std::size_t code_bytes);
  void release(const LoadedObject& object);

  Options options_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Region>> regions_;
  std::size_t used_ = 0;
};

// Is `pc` inside any code space of this process? Async-signal-safe.
bool is_kernel_code(std::uintptr_t pc);

// The C function that objects may call by this name, or null.
void* external_symbol(std::string_view name);

}  // namespace anywarp
