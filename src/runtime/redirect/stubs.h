// Where the jumps go: one stub for each entry point and each of our libcudarts, which finds the function when it is first called.
//
// Loading libcudart waits until then, because modules are redirected in the middle of the loader's work, when nothing may be loaded. It is
// loaded into the program's own namespace, also where this code is an audit library's.
#pragma once

namespace anywarp::redirect {

class ModuleFile;

constexpr int kFlavours = 3;
inline constexpr const char* kFlavourNames[kFlavours] = {"11.0", "12", "13"};

// The stub of kNames[name] in the libcudart of a flavour.
const void* stub(int flavour, int name);
// The stub of a function that no table has: it says so when it is called, and returns cudaErrorNotSupported. `name` is copied.
const void* unknown_stub(const char* name);
// The file is one of our own libcudarts.
bool is_own_library(const ModuleFile& file);

}  // namespace anywarp::redirect
