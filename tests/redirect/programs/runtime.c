/* Stands for the CUDA runtime that is linked into a program statically: functions under its names, hidden as there, that answer 99. A file of
   its own, since a compiler that sees both sides of a call leaves out what the rules for calls ask for. */
#include <stddef.h>

#define ENTRY __attribute__((visibility("hidden")))

/* Long enough for any jump. `volatile` keeps the compiler from knowing the answers. */
static volatile int mine = 99;
#define LONG_BODY mine = mine + 1, mine = mine - 1, mine = mine + 1, mine = mine - 1

ENTRY int cudaRuntimeGetVersion(int* version) { return LONG_BODY, *version = -1, mine; }
ENTRY int cudaGetDeviceCount(int* count) { return LONG_BODY, *count = -1, mine; }
ENTRY int cudaMalloc(void** pointer, size_t bytes) { return LONG_BODY, *pointer = 0, (void)bytes, mine; }
ENTRY int cudaMemset(void* pointer, int value, size_t bytes) { return LONG_BODY, (void)pointer, (void)value, (void)bytes, mine; }
ENTRY int cudaMemcpy(void* to, const void* from, size_t bytes, int kind) { return LONG_BODY, (void)to, (void)from, (void)bytes, (void)kind, mine; }
ENTRY int cudaFree(void* pointer) { return LONG_BODY, (void)pointer, mine; }
#ifndef TIGHT
/* Shorter than a jump, with filler behind. */
ENTRY int cudaDeviceSynchronize(void) { return 99; }
ENTRY int cudaGetLastError(void) { return 0; }
#else
/* Shorter than a jump, with a neighbour right behind. */
ENTRY int cudaGetLastError(void) { return 0; }
#define TIGHT_FUNCTION(name, body) ".globl " name "\n.hidden " name "\n.type " name ", %function\n" name ":\n" body "\n.size " name ", . - " name "\n"
#ifdef __x86_64__
asm(TIGHT_FUNCTION("cudaDeviceSynchronize", "movl $99, %eax; ret") TIGHT_FUNCTION("seven", "movl $7, %eax; ret")
    TIGHT_FUNCTION("cudaProfilerStart", "ret") TIGHT_FUNCTION("eight", "movl $8, %eax; ret"));
#else
asm(TIGHT_FUNCTION("cudaDeviceSynchronize", "mov w0, #99; ret") TIGHT_FUNCTION("seven", "mov w0, #7; ret")
    TIGHT_FUNCTION("cudaProfilerStart", "ret") TIGHT_FUNCTION("eight", "mov w0, #8; ret"));
#endif
#endif
#ifdef VERSION_12
ENTRY int cudaGetDeviceProperties_v2(void* properties, int device) { return LONG_BODY, (void)properties, (void)device, mine; }
#endif
#ifdef VERSION_11
ENTRY int cudaBindTexture(size_t* offset, const void* texture, const void* pointer, const void* format, size_t bytes) {
  return LONG_BODY, (void)offset, (void)texture, (void)pointer, (void)format, (void)bytes, mine;
}
#endif
/* So that what is above has something of the section behind it. */
ENTRY int last(void) { return LONG_BODY, mine; }
