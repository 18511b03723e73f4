#include "redirect/stubs.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "redirect/module_file.h"
#include "redirect/redirect.h"
#include "redirect_names.h"

// A stub loads its number and goes on to `enter`, which jumps to what the slot of that number holds; while it is empty, to `find`, which
// asks `anywarp_redirect_find` with all argument registers kept. The stubs' array and its counts are the assembler's: generated numbers only.
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define STUBS TEXT((3 * ANYWARP_REDIRECT_NAMES + ANYWARP_REDIRECT_UNKNOWN))

asm(R"(
  .bss
  .p2align 3
anywarp_redirect_slots:
  .zero 8 * )" STUBS R"(
  .text
  .p2align 4
)");

#if defined(__x86_64__)
asm(R"(
anywarp_redirect_find_first:
  .cfi_startproc
  pushq %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset %rbp, -16
  movq %rsp, %rbp
  .cfi_def_cfa_register %rbp
  pushq %rdi
  pushq %rsi
  pushq %rdx
  pushq %rcx
  pushq %r8
  pushq %r9
  subq $128, %rsp
  movups %xmm0, (%rsp)
  movups %xmm1, 16(%rsp)
  movups %xmm2, 32(%rsp)
  movups %xmm3, 48(%rsp)
  movups %xmm4, 64(%rsp)
  movups %xmm5, 80(%rsp)
  movups %xmm6, 96(%rsp)
  movups %xmm7, 112(%rsp)
  movl %eax, %edi
  call anywarp_redirect_find
  movups (%rsp), %xmm0
  movups 16(%rsp), %xmm1
  movups 32(%rsp), %xmm2
  movups 48(%rsp), %xmm3
  movups 64(%rsp), %xmm4
  movups 80(%rsp), %xmm5
  movups 96(%rsp), %xmm6
  movups 112(%rsp), %xmm7
  addq $128, %rsp
  popq %r9
  popq %r8
  popq %rcx
  popq %rdx
  popq %rsi
  popq %rdi
  popq %rbp
  .cfi_def_cfa %rsp, 8
  jmp *%rax
  .cfi_endproc

anywarp_redirect_enter:
  leaq anywarp_redirect_slots(%rip), %r11
  movq (%r11,%rax,8), %r11
  testq %r11, %r11
  jz anywarp_redirect_find_first
  jmp *%r11

  .p2align 4
anywarp_redirect_stubs:
  .set number, 0
  .rept )" STUBS R"(
  .p2align 4
  movl $number, %eax
  jmp anywarp_redirect_enter
  .set number, number + 1
  .endr
)");
#elif defined(__aarch64__)
asm(R"(
anywarp_redirect_find_first:
  .cfi_startproc
  stp x29, x30, [sp, #-224]!
  .cfi_def_cfa_offset 224
  .cfi_offset x29, -224
  .cfi_offset x30, -216
  mov x29, sp
  stp x0, x1, [sp, #16]
  stp x2, x3, [sp, #32]
  stp x4, x5, [sp, #48]
  stp x6, x7, [sp, #64]
  str x8, [sp, #80]
  stp q0, q1, [sp, #96]
  stp q2, q3, [sp, #128]
  stp q4, q5, [sp, #160]
  stp q6, q7, [sp, #192]
  mov w0, w16
  bl anywarp_redirect_find
  mov x17, x0
  ldp x0, x1, [sp, #16]
  ldp x2, x3, [sp, #32]
  ldp x4, x5, [sp, #48]
  ldp x6, x7, [sp, #64]
  ldr x8, [sp, #80]
  ldp q0, q1, [sp, #96]
  ldp q2, q3, [sp, #128]
  ldp q4, q5, [sp, #160]
  ldp q6, q7, [sp, #192]
  ldp x29, x30, [sp], #224
  .cfi_def_cfa_offset 0
  br x17
  .cfi_endproc

anywarp_redirect_enter:
  adrp x17, anywarp_redirect_slots
  add x17, x17, :lo12:anywarp_redirect_slots
  ldr x17, [x17, x16, lsl #3]
  cbz x17, anywarp_redirect_find_first
  br x17

  .p2align 4
anywarp_redirect_stubs:
  .set number, 0
  .rept )" STUBS R"(
  .p2align 4
  hint #38  // bti jc
  movz w16, #number
  b anywarp_redirect_enter
  .set number, number + 1
  .endr
)");
#endif

extern "C" {
extern const std::uint8_t anywarp_redirect_stubs[] __attribute__((visibility("hidden")));
extern std::atomic<const void*> anywarp_redirect_slots[] __attribute__((visibility("hidden")));
__attribute__((visibility("hidden"), used)) const void* anywarp_redirect_find(unsigned number);
}

namespace anywarp::redirect {
namespace {

constexpr int kNameCount = ANYWARP_REDIRECT_NAMES;
constexpr int kUnknown = ANYWARP_REDIRECT_UNKNOWN;
constexpr int kNotSupported = 801;  // cudaErrorNotSupported
constexpr int kNotInitialized = 3;  // cudaErrorInitializationError

std::atomic<void*> g_libraries[kFlavours];
std::atomic<int> g_unknown_count{0};
char g_unknown_names[kUnknown][64];
std::atomic<bool> g_said[kFlavours * kNameCount + kUnknown];

int not_supported() { return kNotSupported; }
int not_initialized() { return kNotInitialized; }

// The path of a file beside this library.
void path_of(const char* name, char* path, std::size_t bytes) {
  Dl_info self{};
  dladdr(anywarp_redirect_stubs, &self);
  const char* slash = self.dli_fname ? std::strrchr(self.dli_fname, '/') : nullptr;
  std::snprintf(path, bytes, "%.*s%s", slash ? static_cast<int>(slash - self.dli_fname + 1) : 0, self.dli_fname ? self.dli_fname : "", name);
}

// Two threads may both load it, and get the same library.
void* library(int flavour) {
  if (void* loaded = g_libraries[flavour].load(std::memory_order_acquire)) return loaded;
  char name[64], path[4096];
  std::snprintf(name, sizeof name, "libcudart.so.%s", kFlavourNames[flavour]);
  path_of(name, path, sizeof path);
  void* loaded = dlmopen(LM_ID_BASE, path, RTLD_NOW | RTLD_LOCAL);
  if (!loaded) say("the CUDA runtime that this program is sent to cannot be loaded: %s", dlerror());
  g_libraries[flavour].store(loaded, std::memory_order_release);
  return loaded;
}

const char* name_of(int number) {
  return number < kFlavours * kNameCount ? kNames[number % kNameCount].text : g_unknown_names[number - kFlavours * kNameCount];
}

}  // namespace

const void* stub(int flavour, int name) { return anywarp_redirect_stubs + 16 * (flavour * kNameCount + name); }

const void* unknown_stub(const char* name) {
  int index = 0;
  for (const int count = g_unknown_count; index < count; ++index)
    if (std::strncmp(g_unknown_names[index], name, sizeof g_unknown_names[index] - 1) == 0) break;
  if (index == g_unknown_count && index < kUnknown) {
    std::snprintf(g_unknown_names[index], sizeof g_unknown_names[index], "%s", name);
    ++g_unknown_count;
  }
  // The last one speaks for all that find no place.
  return anywarp_redirect_stubs + 16 * (kFlavours * kNameCount + (index < kUnknown ? index : kUnknown - 1));
}

bool is_own_library(const ModuleFile& file) {
  char name[64], path[4096];
  for (const char* flavour : kFlavourNames) {
    std::snprintf(name, sizeof name, "libcudart.so.%s", flavour);
    path_of(name, path, sizeof path);
    if (file.is(path)) return true;
  }
  return false;
}

}  // namespace anywarp::redirect

using namespace anywarp::redirect;

// The function that stub `number` stands for; kept in its slot unless it is missing.
const void* anywarp_redirect_find(unsigned number) {
  const int index = static_cast<int>(number);
  if (index < kFlavours * kNameCount) {
    void* from = library(index / kNameCount);
    if (!from) return reinterpret_cast<const void*>(&not_initialized);
    if (const void* function = dlsym(from, name_of(index))) {
      anywarp_redirect_slots[number].store(function, std::memory_order_release);
      return function;
    }
  }
  if (!g_said[number].exchange(true)) say("%s is a function of the CUDA runtime that is not supported: cudaErrorNotSupported", name_of(index));
  return reinterpret_cast<const void*>(&not_supported);
}
