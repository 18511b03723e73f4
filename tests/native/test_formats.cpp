// What is read from outside: manifests, cache files, digests, line tables. Damaged input is refused and never harms.
#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "exec/debug_line.h"
#include "harness.h"

using namespace anywarp;
using namespace test;

namespace {

ModuleManifest module_manifest() {
  ModuleManifest m;
  m.target = "sm_80";
  m.entries = {{"first", 24, {{0, 8, 8}, {8, 4, 4}, {16, 8, 8}}, {128, 2, 1}, {}, {}}, {"second", 0, {}, {}, {256, 1, 1}, {2, 1, 1}}};
  m.variables = {{"v", 1, 100, 16, 4, {1, 2, 3}, {{8, 8, "w", 16, ~0ull}}}, {"w", 2, 4, 4, 0, {}, {}}};
  m.functions = {"f", "g"};
  return m;
}

KernelManifest kernel_manifest() { return {"first", 1, "aw_first", 128, 16, 4096, 3, 40, {"v", "w"}, {9, 8, 7}}; }

TEST(manifests_survive_a_round_trip) {
  ModuleManifest m;
  std::string error;
  CHECK(parse(serialize(module_manifest()), &m, &error));
  CHECK(serialize(m) == serialize(module_manifest()));
  CHECK_EQUAL(m.entries[0].params[2].offset, 16u);
  CHECK_EQUAL(m.variables[0].relocations[0].symbol, "w");
  KernelManifest k;
  CHECK(parse(serialize(kernel_manifest()), &k, &error));
  CHECK(serialize(k) == serialize(kernel_manifest()));
  CHECK_EQUAL(k.local_bytes, 16u);
}

TEST(damaged_manifests_are_refused) {
  for (const Bytes& whole : {serialize(module_manifest()), serialize(kernel_manifest())}) {
    ModuleManifest m;
    KernelManifest k;
    std::string error;
    for (std::size_t n = 0; n < whole.size(); ++n) {
      CHECK(!parse(ByteSpan(whole).first(n), &m, &error));
      CHECK(!parse(ByteSpan(whole).first(n), &k, &error));
    }
    std::mt19937 random(2);
    for (int i = 0; i < 20'000; ++i) {
      Bytes changed = whole;
      for (unsigned n = 1 + random() % 4; n > 0; --n) changed[random() % changed.size()] = static_cast<std::uint8_t>(random());
      (void)parse(changed, &m, &error);  // may be accepted; must come back
      (void)parse(changed, &k, &error);
    }
  }
}

TEST(sha256_has_the_standards_values) {
  const auto of = [](const std::string& s) { return hex(sha256({reinterpret_cast<const std::uint8_t*>(s.data()), s.size()})); };
  // FIPS 180-4's examples.
  CHECK_EQUAL(of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK_EQUAL(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK_EQUAL(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK_EQUAL(of(std::string(1'000'000, 'a')), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  // In pieces of any size.
  const Bytes data(1000, 7);
  for (std::size_t step = 1; step < 200; ++step) {
    Sha256 h;
    for (std::size_t at = 0; at < data.size(); at += step) h.update(data.data() + at, std::min(step, data.size() - at));
    CHECK(h.finish() == sha256(data));
  }
}

TEST(keys_depend_on_everything) {
  const Digest a = sha256(Bytes{1}), b = sha256(Bytes{2});
  CHECK(module_key(a, 80, a) != module_key(b, 80, a));
  CHECK(module_key(a, 80, a) != module_key(a, 90, a));
  CHECK(module_key(a, 80, a) != module_key(a, 80, b));
  CHECK(kernel_key(a, "cpu", "ab", "c") != kernel_key(a, "cpu", "a", "bc"));
  CHECK(kernel_key(a, "cpu", "e", "line") != kernel_key(a, "gpu", "e", "line"));
  CHECK(host_processor() == host_processor());
  CHECK(!host_processor().empty());
}

TEST(the_fingerprint_follows_the_sources) {
  const std::string dir = temporary_directory();
  write_file(dir + "/a/x.py", Bytes{1, 2, 3});
  write_file(dir + "/a/sub/y.py", Bytes{1});
  const Digest before = fingerprint(dir + "/a");
  CHECK(before == fingerprint(dir + "/a"));
  write_file(dir + "/a/z.txt", Bytes{1});
  CHECK(before == fingerprint(dir + "/a"));
  write_file(dir + "/a/sub/y.py", Bytes{1, 2});
  CHECK(before != fingerprint(dir + "/a"));
  (void)fingerprint("/does/not/exist");
}

TEST(a_cache_file_is_right_in_every_byte_or_is_not_there) {
  const std::string dir = temporary_directory();
  const Cache cache(dir);
  const Digest key = sha256(Bytes{5});
  CHECK(!cache.read(Cache::Kind::module, key));
  const Bytes payload = {1, 2, 3, 4, 5};
  Writer w;
  w.raw("AWCACHE1", 8);
  w.u64(payload.size());
  const Digest digest = sha256(payload);
  w.raw(digest.data(), 32);
  w.raw(payload.data(), payload.size());
  const std::string path = cache.path(Cache::Kind::module, key);
  CHECK_EQUAL(path, dir + "/module/" + hex(key).substr(0, 2) + "/" + hex(key));
  write_file(path, w.data());
  CHECK(cache.read(Cache::Kind::module, key) == payload);
  CHECK(!cache.read(Cache::Kind::kernel, key));
  for (std::size_t i = 0; i < w.data().size(); ++i) {
    Bytes changed = w.data();
    changed[i] ^= 1;
    write_file(path, changed);
    CHECK(!cache.read(Cache::Kind::module, key));
    write_file(path, ByteSpan(w.data()).first(i));
    CHECK(!cache.read(Cache::Kind::module, key));
  }
  Bytes longer = w.data();
  longer.push_back(0);
  write_file(path, longer);
  CHECK(!cache.read(Cache::Kind::module, key));
  unlink(path.c_str());
  mkdir(path.c_str(), 0700);
  CHECK(!cache.read(Cache::Kind::module, key));
  rmdir(path.c_str());
  CHECK_EQUAL(mkfifo(path.c_str(), 0600), 0);  // nobody writes: must not wait
  CHECK(!cache.read(Cache::Kind::module, key));
  CHECK(!Cache("").read(Cache::Kind::module, key));
}

TEST(damaged_line_tables_give_nothing_and_end) {
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    Bytes data(random() % 300);
    for (auto& b : data) b = static_cast<std::uint8_t>(random() % (i % 2 == 0 ? 256 : 12));
    if (data.size() > 6) {
      const auto size = static_cast<std::uint32_t>(data.size() - 4);
      std::memcpy(data.data(), &size, 4);
      data[4] = static_cast<std::uint8_t>(2 + i % 4);
      data[5] = 0;
    }
    (void)find_line(data, random());
  }
  CHECK(!find_line({}, 5));
}

}  // namespace
