/* Loads a library while other threads run code, calls try_runtime() in it, unloads it, and does it again. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static volatile int done = 0;

static void* work(void* argument) {
  unsigned long rounds = 0;
  while (!done) ++rounds;
  return (void)argument, (void*)(rounds & 1);
}

int main(int count, char** arguments) {
  pthread_t threads[2];
  int result = 0;
  for (int i = 0; i < 2; ++i) pthread_create(&threads[i], 0, work, 0);
  for (int i = 1; i < count && result == 0; ++i) {
    void* library = dlopen(arguments[i], RTLD_NOW);
    if (!library) return fprintf(stderr, "%s\n", dlerror()), 20;
    result = ((int (*)(void))dlsym(library, "try_runtime"))();
    dlclose(library);
  }
  done = 1;
  for (int i = 0; i < 2; ++i) pthread_join(threads[i], 0);
  return result;
}
