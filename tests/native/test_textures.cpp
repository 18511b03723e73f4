// Fetches of a whole warp give bit for bit what the lanes give one by one: the two ways through the texture service.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "exec/futex.h"
#include "exec/texture.h"
#include "harness.h"

using namespace anywarp;
using namespace test;

namespace {

constexpr std::uint32_t kSlots = 15;
struct Call {
  std::uint64_t handles[32];
  std::uint32_t operands[kSlots * 32];
  std::uint32_t results[4 * 32];
};

std::uint32_t word_of(int dimensions, bool floats, std::uint32_t type) { return static_cast<std::uint32_t>(dimensions - 1) << 4 | std::uint32_t{floats} << 8 | type << 16; }

void run(Call* call, std::uint32_t lanes, std::uint32_t word) {
  service_texture(nullptr, nullptr, lanes, word, call->handles, call->operands, call->results);
}

struct Memory {
  alignas(16) std::uint8_t bytes[1 << 16];
  Memory() {
    std::mt19937 random(5);
    for (std::uint8_t& b : bytes) b = static_cast<std::uint8_t>(random());
  }
  // Floats that are numbers.
  void make_floats() {
    std::mt19937 random(6);
    for (std::size_t i = 0; i < sizeof bytes; i += 4) {
      const float f = std::uniform_real_distribution<float>(-10, 10)(random);
      std::memcpy(bytes + i, &f, 4);
    }
  }
};

abi::Texture texture_of(const Memory& memory, std::mt19937& random, std::uint8_t format) {
  const auto pick = [&](auto... values) {
    const std::uint32_t all[] = {static_cast<std::uint32_t>(values)...};
    return all[random() % std::size(all)];
  };
  abi::Texture t{};
  t.magic = abi::kTextureMagic;
  t.level[0] = reinterpret_cast<std::uint64_t>(memory.bytes);
  t.format = format;
  t.channels = static_cast<std::uint8_t>(pick(1, 2, 4));
  t.width = pick(1, 2, 7, 16), t.height = pick(1, 3, 8), t.depth = pick(1, 2, 5);
  t.pitch = t.width * texture_channel_bytes(format) * t.channels + pick(0, 16);
  for (auto& b : t.border) {
    const float f = static_cast<float>(random() % 100) / 7;
    std::memcpy(&b, &f, 4);
  }
  t.levels = 1;
  t.greatest_level = 0;
  for (auto& mode : t.address_mode) mode = static_cast<std::uint8_t>(pick(0, 1, 2, 3));
  t.filter = static_cast<std::uint8_t>(pick(0, 1));
  t.is_normalized = static_cast<std::uint8_t>(pick(0, 1));
  t.reads_integers = static_cast<std::uint8_t>(pick(0, 1));  // without effect on floats
  t.is_srgb = static_cast<std::uint8_t>(format == 1 && t.reads_integers == 0 ? pick(0, 0, 1) : 0);
  t.is_linear = static_cast<std::uint8_t>(pick(0, 0, 0, 1));
  return t;
}

void fill(Call* call, const abi::Texture& t, bool floats, std::mt19937& random) {
  const float odd[] = {0.0f, -0.0f, 0.5f, 1.0f, 0.999999f, -1.0f, 2.5f, 1e6f, -1e6f, 1e12f, std::numeric_limits<float>::infinity(), std::nanf(""), 1e-30f};
  const bool wild = random() % 4 == 0;
  for (std::uint32_t slot = 0; slot < kSlots; ++slot)
    for (int lane = 0; lane < 32; ++lane) {
      std::uint32_t& word = call->operands[32 * slot + static_cast<std::uint32_t>(lane)];
      word = 0;
      if (slot >= 11 && slot < 14 && random() % 3 == 0) word = static_cast<std::uint32_t>(static_cast<int>(random() % 17) - 8);
      if (slot > 2) continue;
      const float reach = t.is_normalized ? 3.0f : 20.0f;
      float f = std::uniform_real_distribution<float>(-reach, reach)(random);
      if (random() % 8 == 0) f = std::floor(f * 4) / 4;
      if (wild && random() % 4 == 0) f = odd[random() % std::size(odd)];
      if (floats) std::memcpy(&word, &f, 4);
      else word = static_cast<std::uint32_t>(static_cast<int>(random() % 40) - 12);
    }
  for (auto& h : call->handles) h = reinterpret_cast<std::uint64_t>(&t);
}

// All values that are no numbers are one: which of two a sum gives is not said.
bool same(const std::uint32_t (&a)[128], const std::uint32_t (&b)[128], bool floats) {
  const auto is_nan = [&](std::uint32_t bits) { return floats && (bits & 0x7fffffff) > 0x7f800000; };
  for (int i = 0; i < 128; ++i)
    if (a[i] != b[i] && !(is_nan(a[i]) && is_nan(b[i]))) return false;
  return true;
}

TEST(a_warp_fetches_what_its_lanes_fetch) {
  static Memory bytes, floats;
  floats.make_floats();
  std::mt19937 random(1);
  std::uint32_t different = 0;
  for (int round = 0; round < 20000; ++round) {
    const std::uint8_t formats[] = {1, 2, 3, 8, 9, 10, 16, 32, 32, 1};
    const std::uint8_t format = formats[random() % std::size(formats)];
    const abi::Texture t = texture_of(format == 32 ? floats : bytes, random, format);
    const int dimensions = t.is_linear ? 1 : 1 + static_cast<int>(random() % 3);
    const bool by_floats = random() % 4 != 0;
    Call call;
    fill(&call, t, by_floats, random);
    const std::uint32_t lanes = random() % 2 == 0 ? ~0u : static_cast<std::uint32_t>(random()) | 7;
    const std::uint32_t word = word_of(dimensions, by_floats, 1);
    for (auto& r : call.results) r = 0xdeadbeef;
    Call single = call;
    for (int lane = 0; lane < 32; ++lane)
      if (lanes >> lane & 1) run(&single, 1u << lane, word);
    run(&call, lanes, word);
    if (!same(call.results, single.results, format >= 16 || t.reads_integers == 0) && different++ < 3)
      std::fprintf(stderr, "format %d x %d, %d dimensions, filter %d, modes %d %d %d, normalized %d, linear memory %d, floats %d, lanes %x\n", format, t.channels,
                   dimensions, t.filter, t.address_mode[0], t.address_mode[1], t.address_mode[2], t.is_normalized, t.is_linear, by_floats, lanes);
  }
  CHECK_EQUAL(different, 0u);
}

// Not a test of speed: prints how long a fetch takes both ways.
TEST(time_of_a_fetch) {
  static Memory floats;
  floats.make_floats();
  struct Form {
    const char* name;
    std::uint8_t format, channels;
    int dimensions;
    bool linear, normalized, by_index;
    std::uint8_t mode;
  };
  for (const Form& form : {Form{"1D float by index", 32, 1, 1, false, false, true, 1}, {"1D float4 by index", 32, 4, 1, false, false, true, 1},
                           {"2D float point clamp", 32, 1, 2, false, false, false, 1}, {"2D float linear clamp", 32, 1, 2, true, false, false, 1},
                           {"2D float4 linear wrap", 32, 4, 2, true, true, false, 0}, {"2D uchar4 linear border", 1, 4, 2, true, true, false, 3},
                           {"2D uchar4 linear mirror", 1, 4, 2, true, true, false, 2}, {"3D float linear clamp", 32, 1, 3, true, true, false, 1}}) {
    std::mt19937 random(3);
    abi::Texture t{};
    t.magic = abi::kTextureMagic;
    t.level[0] = reinterpret_cast<std::uint64_t>(floats.bytes);
    t.format = form.format, t.channels = form.channels;
    t.width = 16, t.height = 16, t.depth = form.dimensions == 3 ? 8 : 1, t.pitch = 16 * texture_channel_bytes(form.format) * form.channels;
    t.levels = 1, t.filter = form.linear, t.is_normalized = form.normalized, t.is_linear = form.by_index;
    for (auto& mode : t.address_mode) mode = form.mode;
    Call call;
    fill(&call, t, !form.by_index, random);
    for (int slot = 0; slot < 3; ++slot)
      for (int lane = 0; lane < 32; ++lane) {
        const float f = static_cast<float>(random() % 1000) / 1000 * (form.normalized ? 1.2f : 17.0f);
        std::uint32_t& word = call.operands[32 * slot + lane];
        if (form.by_index) word = static_cast<std::uint32_t>(random() % 16);
        else std::memcpy(&word, &f, 4);
      }
    const std::uint32_t word = word_of(form.dimensions, !form.by_index, 1);
    double best[2] = {1e9, 1e9};
    for (int round = 0; round < 30; ++round)
      for (const bool together : {false, true}) {
        const std::uint64_t begin = now_ns();
        for (int i = 0; i < 20; ++i) {
          if (together) run(&call, ~0u, word);
          else
            for (int lane = 0; lane < 32; ++lane) run(&call, 1u << lane, word);
        }
        best[together] = std::min(best[together], static_cast<double>(now_ns() - begin) / (20 * 32));
      }
    std::printf("%-26s %6.1f ns a lane one by one, %5.1f together\n", form.name, best[0], best[1]);
  }
}

}  // namespace
