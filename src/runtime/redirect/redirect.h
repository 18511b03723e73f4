// Sends the CUDA entry points that a loaded module has inside to our libcudart.
//
// A program with the CUDA runtime linked in statically keeps the documented entry points (cudaMalloc, __cudaRegisterFatBinary …) in its symbol
// table. Over the first bytes of each a jump is written; what is behind it never runs. Which of our libcudarts it goes to (11, 12, 13) follows
// from the names: the one that has the most of them, since functions came and went with the versions. So does NVIDIA's shared runtime where
// a program loads it by its path. Functions of those names that a module exports for others (wrappers of tools) are left alone.
#pragma once

#include <link.h>

namespace anywarp::redirect {

// A module that has been mapped and whose constructors have not run, or (`has_run`) a module of a running program: nvcc's registration
// functions are then called again, so that its kernels are known to us. Called by one thread at a time.
void redirect_module(const link_map* map, bool has_run);

// One line on stderr.
[[gnu::format(printf, 1, 2)]] void say(const char* format, ...);

}  // namespace anywarp::redirect
