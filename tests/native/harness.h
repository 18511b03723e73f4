// A test harness of a page: CHECK, tests that register themselves, and an engine whose "compiler" is a cache filled by hand.
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "exec/engine.h"
#include "exec/grid.h"

namespace test {

struct Case {
  const char* name;
  void (*body)();
  Case(const char* name, void (*body)());
};

void fail(const char* file, int line, const std::string& what);

#define CHECK(condition) \
  do { \
    if (!(condition)) ::test::fail(__FILE__, __LINE__, #condition); \
  } while (false)
#define CHECK_EQUAL(a, b) ::test::check_equal(__FILE__, __LINE__, #a " == " #b, (a), (b))
#define OK(expression) CHECK_EQUAL((expression), anywarp::Result::success)
#define TEST(name) \
  static void name(); \
  static const ::test::Case case_##name(#name, name); \
  static void name()

template <typename T>
std::string show(const T& value) {
  if constexpr (std::is_enum_v<T>)
    return std::to_string(static_cast<long long>(value));
  else if constexpr (std::is_convertible_v<T, std::string>)
    return "'" + std::string(value) + "'";
  else if constexpr (std::is_pointer_v<T>)
    return std::to_string(reinterpret_cast<unsigned long long>(value));
  else
    return std::to_string(value);
}

template <typename A, typename B>
void check_equal(const char* file, int line, const char* text, const A& a, const B& b) {
  if (!(a == b)) fail(file, line, std::string(text) + " (" + show(a) + " and " + show(b) + ")");
}

std::string temporary_directory();
anywarp::Bytes read_file(const std::string& path);
void write_file(const std::string& path, anywarp::ByteSpan data);
const anywarp::Bytes& kernel_object();

// What a hand-made kernel is: a function of kernels.cpp with its parameters.
struct KernelSpec {
  std::string function;
  std::vector<std::uint32_t> params = {};  // bytes of each
  std::uint32_t kind = anywarp::KernelManifest::straight;
  std::uint32_t static_shared = 0, frame = 0, local = 0, flags = 0;
  std::vector<std::string> symbols = {};
};

// An engine with a cache directory of its own.
class Fixture {
 public:
  explicit Fixture(int threads = 0, anywarp::CompilerClient::Options compiler = {{"/bin/false"}, {}, 5});
  ~Fixture();

  anywarp::Engine& engine() { return *engine_; }
  anywarp::Context& context() { return *context_; }
  // A context without the errors of the one before.
  void fresh_context();
  // Puts manifests for these kernels and variables into the cache and loads the module.
  std::unique_ptr<anywarp::Module> module(const std::vector<KernelSpec>& kernels, const std::vector<anywarp::VariableInfo>& variables = {},
                                          const std::vector<std::string>& functions = {});
  // One kernel, for all block shapes.
  anywarp::Kernel& kernel(const KernelSpec& spec);
  template <typename T>
  T* allocate(std::size_t count, T value = {}) {
    void* p = nullptr;
    if (engine_->arena().allocate(0, count * sizeof(T), 256, anywarp::memory::Kind::device, nullptr, 0, &p) != anywarp::Result::success)
      return nullptr;
    for (std::size_t i = 0; i < count; ++i) static_cast<T*>(p)[i] = value;
    return static_cast<T*>(p);
  }
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
  std::unique_ptr<anywarp::Engine> engine_;
  std::unique_ptr<anywarp::Context> context_;
  std::vector<std::unique_ptr<anywarp::Module>> modules_;
  int images_ = 0;
};

// Launches with the parameters in order.
template <typename... P>
anywarp::Result launch(anywarp::Stream& stream, anywarp::Kernel& kernel, const anywarp::LaunchShape& shape, P... params) {
  const void* pointers[] = {&params..., nullptr};
  anywarp::Arguments arguments;
  arguments.pointers = pointers;
  return stream.launch(kernel, shape, arguments);
}

inline anywarp::LaunchShape shape(std::uint32_t grid, std::uint32_t block, std::uint32_t dynamic_shared = 0) {
  anywarp::LaunchShape s;
  s.grid[0] = grid;
  s.block[0] = block;
  s.dynamic_shared = dynamic_shared;
  return s;
}

}  // namespace test
