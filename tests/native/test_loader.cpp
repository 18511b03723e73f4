// The loader: real objects run, damaged ones are refused, memory comes back, writable and executable stay apart.
#include <elf.h>

#include <cmath>
#include <fstream>
#include <random>

#include "harness.h"

using namespace anywarp;
using namespace test;

namespace {

abi::Launch launch_with(const void* params) {
  abi::Launch l{};
  l.params = static_cast<const std::uint8_t*>(params);
  l.grid[0] = l.grid[1] = l.grid[2] = l.warps = 1;
  return l;
}

TEST(relocations_calls_and_data_work) {
  for (const bool dual : {true, false}) {
    CodeSpace space({std::size_t{8} << 20, dual});
    std::unique_ptr<LoadedObject> object;
    std::string error;
    OK(space.load(kernel_object(), &object, &error));
    CHECK(object != nullptr && object->symbol("k_relocations") != nullptr);
    CHECK(object->symbol("no_such_function") == nullptr);
    const auto f = reinterpret_cast<abi::StraightEntry>(object->symbol("k_relocations"));
    CHECK(is_kernel_code(reinterpret_cast<std::uintptr_t>(f)));
    CHECK(!is_kernel_code(reinterpret_cast<std::uintptr_t>(&fmod)));
    const double expected[] = {10, -3, 77, 1e9, 5, 0.5, 12, 13};
    double out[12];
    struct {
      double* out;
      std::uint32_t mode;
    } params{out, 0};
    const abi::Launch l = launch_with(&params);
    for (params.mode = 0; params.mode < 8; ++params.mode) {
      out[0] = 100;
      f(&l, nullptr, 0, 1);
      CHECK_EQUAL(out[0], std::fmod(100, 7.25));
      CHECK_EQUAL(out[1], expected[params.mode]);
      CHECK_EQUAL(reinterpret_cast<std::uint8_t*>(out + 2)[63], params.mode);
    }
  }
}

TEST(addresses_have_lines) {
  CodeSpace space;
  std::unique_ptr<LoadedObject> object;
  OK(space.load(kernel_object(), &object, nullptr));
  std::ifstream in(KERNEL_SOURCE);
  unsigned number = 0, expected = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.find("void k_saxpy") != std::string::npos) expected = number;
  }
  const auto line = object->line(reinterpret_cast<std::uintptr_t>(object->symbol("k_saxpy")));
  CHECK(line.has_value());
  CHECK_EQUAL(line.value_or(0), expected);
  CHECK(!object->line(1).has_value());
}

TEST(memory_comes_back) {
  CodeSpace space({std::size_t{1} << 20, true});
  for (int i = 0; i < 300; ++i) {
    std::vector<std::unique_ptr<LoadedObject>> objects(10);
    for (auto& o : objects) OK(space.load(kernel_object(), &o, nullptr));
  }
  CHECK_EQUAL(space.bytes_used(), 0u);
  CHECK_EQUAL(space.regions(), 1u);
}

TEST(many_objects_use_few_mappings) {
  CodeSpace space;
  std::vector<std::unique_ptr<LoadedObject>> objects(2000);
  for (auto& o : objects) OK(space.load(kernel_object(), &o, nullptr));
  CHECK(space.regions() <= 2);
  for (const auto& o : objects) CHECK(o->symbol("k_empty") != nullptr);
}

TEST(no_page_is_writable_and_executable) {
  for (const bool dual : {true, false}) {
    CodeSpace space({std::size_t{8} << 20, dual});
    std::unique_ptr<LoadedObject> object;
    OK(space.load(kernel_object(), &object, nullptr));
    std::ifstream maps("/proc/self/maps");
    bool found = false;
    const auto address = reinterpret_cast<std::uintptr_t>(object->symbol("k_empty"));
    for (std::string line; std::getline(maps, line);) {
      CHECK(line.find("rwx") == std::string::npos);
      unsigned long from = 0, to = 0;
      std::sscanf(line.c_str(), "%lx-%lx", &from, &to);
      if (address >= from && address < to) found = line.find("r-x") != std::string::npos;
    }
    CHECK(found);
  }
}

TEST(damaged_objects_are_refused) {
  CodeSpace space;
  std::unique_ptr<LoadedObject> object;
  std::string error;
  const Bytes& whole = kernel_object();
  CHECK_EQUAL(space.load({}, &object, &error), Result::invalid_image);
  for (std::size_t n = 0; n < 200; ++n) CHECK_EQUAL(space.load(ByteSpan(whole).first(n * whole.size() / 200), &object, &error), Result::invalid_image);
  std::mt19937 random(4);
  for (int i = 0; i < 5000; ++i) {
    Bytes changed = whole;
    // Mostly where the structure is: the header and the section headers at the end.
    for (unsigned n = 1 + random() % 3; n > 0; --n) {
      const std::size_t at = random() % 3 == 0 ? random() % 64 : random() % 2 == 0 ? changed.size() - 1 - random() % 2000 : random() % changed.size();
      changed[at] = static_cast<std::uint8_t>(random());
    }
    (void)space.load(changed, &object, &error);  // never run
  }
  object.reset();
  CHECK_EQUAL(space.bytes_used(), 0u);
}

TEST(unknown_functions_are_refused_by_name) {
  Bytes changed = kernel_object();
  const std::string name = "fmod";
  bool found = false;
  for (std::size_t i = 0; i + 6 < changed.size(); ++i)
    if (changed[i] == 0 && std::memcmp(&changed[i + 1], "fmod\0", 5) == 0) {
      changed[i + 1] = 'q';
      found = true;
    }
  CHECK(found);
  CodeSpace space;
  std::unique_ptr<LoadedObject> object;
  std::string error;
  CHECK_EQUAL(space.load(changed, &object, &error), Result::invalid_image);
  CHECK(error.find("undefined symbol 'qmod'") != std::string::npos);
  CHECK_EQUAL(space.bytes_used(), 0u);
}

}  // namespace
