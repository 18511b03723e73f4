#include "harness.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace test {

namespace {

std::vector<const Case*>& cases() {
  static std::vector<const Case*> all;
  return all;
}
int failures = 0;

}  // namespace

Case::Case(const char* n, void (*b)()) : name(n), body(b) { cases().push_back(this); }

void fail(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, what.c_str());
  ++failures;
}

std::string temporary_directory() {
  std::string name = (std::filesystem::temp_directory_path() / "anywarp-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) std::abort();
  return name;
}

anywarp::Bytes read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void write_file(const std::string& path, anywarp::ByteSpan data) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
}

const anywarp::Bytes& kernel_object() {
  static const anywarp::Bytes bytes = read_file(KERNEL_OBJECT);
  return bytes;
}

namespace {

anywarp::Bytes cache_file(const anywarp::Bytes& payload) {
  anywarp::Writer w;
  w.raw("AWCACHE1", 8);
  w.u64(payload.size());
  const anywarp::Digest digest = anywarp::sha256(payload);
  w.raw(digest.data(), digest.size());
  w.raw(payload.data(), payload.size());
  return w.data();
}

}  // namespace

Fixture::Fixture(int threads, anywarp::CompilerClient::Options compiler) : directory_(temporary_directory()) {
  anywarp::Engine::Options options;
  options.threads = threads;
  options.cache_directory = directory_;
  options.compiler = std::move(compiler);
  options.reserve = std::size_t{1} << 36;
  engine_ = std::make_unique<anywarp::Engine>(options);
  context_ = std::make_unique<anywarp::Context>(*engine_, 0);
}

Fixture::~Fixture() {
  context_.reset();
  modules_.clear();
  engine_.reset();
  std::filesystem::remove_all(directory_);
}

void Fixture::fresh_context() {
  context_.reset();
  context_ = std::make_unique<anywarp::Context>(*engine_, 0);
}

std::unique_ptr<anywarp::Module> Fixture::module(const std::vector<KernelSpec>& kernels, const std::vector<anywarp::VariableInfo>& variables,
                                                 const std::vector<std::string>& functions) {
  const std::string image = "image " + std::to_string(images_++);
  const anywarp::ByteSpan bytes(reinterpret_cast<const std::uint8_t*>(image.data()), image.size());
  const anywarp::Digest key = anywarp::module_key(engine_->fingerprint(), 80, anywarp::sha256(bytes));
  anywarp::ModuleManifest manifest;
  manifest.target = "sm_80";
  manifest.variables = variables;
  manifest.functions = functions;
  for (const KernelSpec& spec : kernels) {
    anywarp::EntryInfo entry;
    entry.name = spec.function;
    std::uint32_t offset = 0;
    for (const std::uint32_t size : spec.params) {
      offset = (offset + size - 1) / size * size;
      entry.params.push_back({offset, size, size});
      offset += size;
    }
    entry.param_bytes = offset;
    manifest.entries.push_back(entry);
    anywarp::KernelManifest kernel;
    kernel.entry = kernel.function = spec.function;
    kernel.kind = spec.kind;
    kernel.static_shared_bytes = spec.static_shared;
    kernel.frame_bytes = spec.frame;
    kernel.local_bytes = spec.local;
    kernel.flags = spec.flags;
    kernel.symbols = spec.symbols;
    kernel.object = kernel_object();
    for (int v = 0; v < 12; ++v) {
      const anywarp::Digest name = anywarp::kernel_key(key, engine_->processor(), spec.function, anywarp::variant_name(v));
      write_file(engine_->cache().path(anywarp::Cache::Kind::kernel, name), cache_file(serialize(kernel)));
    }
  }
  write_file(engine_->cache().path(anywarp::Cache::Kind::module, key), cache_file(serialize(manifest)));
  std::unique_ptr<anywarp::Module> module;
  std::string log;
  const anywarp::Result r = anywarp::Module::load(*engine_, bytes, {}, &module, &log);
  if (r != anywarp::Result::success) fail(__FILE__, __LINE__, "the module does not load: " + log);
  return module;
}

anywarp::Kernel& Fixture::kernel(const KernelSpec& spec) {
  modules_.push_back(module({spec}));
  return *modules_.back()->kernel(spec.function);
}

}  // namespace test

// A name runs only that test.
int main(int count, char** arguments) {
  for (const test::Case* c : test::cases()) {
    if (count > 1 && std::strcmp(arguments[1], c->name) != 0) continue;
    std::fprintf(stderr, "-- %s\n", c->name);
    c->body();
  }
  std::fprintf(stderr, test::failures == 0 ? "passed\n" : "%d failures\n", test::failures);
  return test::failures == 0 ? 0 : 1;
}
