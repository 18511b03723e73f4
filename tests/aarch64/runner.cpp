// A program for another processor that does with our driver API what it reads on its standard input; the tests run it under an emulator.
//
// A request is one letter and 8-byte little-endian numbers; what it answers starts with the CUresult, as 8 bytes too.
//   a SIZE bytes…                         allocate and fill          -> result, address
//   r ADDRESS SIZE                        read                       -> result, bytes…
//   f ADDRESS                             free                       -> result
//   l TEXT ENTRY PARAMETERS (each SIZE bytes…) 7 numbers              load, launch, wait, unload -> result
// What kernels print goes to standard error. The numbers of `l`: the grid's and the block's three dimensions and the bytes of dynamic shared memory. A failed launch resets the device.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

std::FILE* answers = nullptr;  // the standard output that the process began with

template <typename... A>
int call(void* library, const char* name, A... arguments) {
  auto* function = reinterpret_cast<int (*)(A...)>(dlsym(library, name));
  if (function == nullptr) {
    std::fprintf(stderr, "%s is missing\n", name);
    std::exit(2);
  }
  return function(arguments...);
}

std::uint64_t number() {
  std::uint64_t value = 0;
  if (std::fread(&value, 8, 1, stdin) != 1) std::exit(0);
  return value;
}

std::string text() {
  std::string value(number(), 0);
  if (!value.empty() && std::fread(value.data(), value.size(), 1, stdin) != 1) std::exit(2);
  return value;
}

void answer(std::uint64_t value) { std::fwrite(&value, 8, 1, answers); }

void enter(void* cuda) {
  void* context = nullptr;
  int result = call(cuda, "cuInit", 0U);
  if (result == 0) result = call(cuda, "cuDevicePrimaryCtxRetain", &context, 0);
  if (result == 0) result = call(cuda, "cuCtxSetCurrent", context);
  if (result != 0) {
    std::fprintf(stderr, "no context: CUresult %d\n", result);
    std::exit(2);
  }
}

int launch(void* cuda) {
  const std::string ptx = text(), entry = text();
  std::string parameters = text();
  unsigned n[7];
  for (unsigned& value : n) value = static_cast<unsigned>(number());
  void *module = nullptr, *function = nullptr;
  int result = call(cuda, "cuModuleLoadData", &module, ptx.c_str());
  if (result != 0) return result;
  result = call(cuda, "cuModuleGetFunction", &function, module, entry.c_str());
  if (result == 0) {
    std::size_t size = parameters.size();
    void* extra[] = {reinterpret_cast<void*>(1), parameters.data(), reinterpret_cast<void*>(2), &size, nullptr};
    void* none = nullptr;
    result = call(cuda, "cuLaunchKernel", function, n[0], n[1], n[2], n[3], n[4], n[5], n[6], none, none, static_cast<void**>(extra));
  }
  if (result == 0) result = call(cuda, "cuCtxSynchronize");
  if (result == 0) return call(cuda, "cuModuleUnload", module);
  call(cuda, "cuDevicePrimaryCtxReset_v2", 0);
  enter(cuda);
  return result;
}

}  // namespace

int main(int, char** arguments) {
  answers = fdopen(dup(1), "w");
  if (answers == nullptr || dup2(2, 1) != 1) return 2;
  void* cuda = dlopen(arguments[1], RTLD_NOW);
  if (cuda == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  enter(cuda);
  for (int request; (request = std::getchar()) != EOF; std::fflush(answers)) {
    if (request == 'a') {
      const std::string data = text();
      std::uint64_t address = 0;
      int result = call(cuda, "cuMemAlloc_v2", &address, data.empty() ? std::size_t{1} : data.size());
      if (result == 0) result = call(cuda, "cuMemcpyHtoD_v2", address, data.data(), data.size());
      answer(result);
      answer(address);
    } else if (request == 'r') {
      const std::uint64_t address = number();
      std::vector<char> data(number());
      answer(call(cuda, "cuMemcpyDtoH_v2", static_cast<void*>(data.data()), address, data.size()));
      std::fwrite(data.data(), data.size(), 1, answers);
    } else if (request == 'f') {
      answer(call(cuda, "cuMemFree_v2", number()));
    } else if (request == 'l') {
      answer(launch(cuda));
    } else {
      std::fprintf(stderr, "request %d\n", request);
      return 2;
    }
  }
  return 0;
}
