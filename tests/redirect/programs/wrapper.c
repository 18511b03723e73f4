/* A library that exports a function of the runtime's, as tools do that look at calls: it stays what it is. */
#include <stddef.h>

int cudaMalloc(void** pointer, size_t bytes);
int cudaMalloc(void** pointer, size_t bytes) { return *pointer = 0, (void)bytes, 98; }
