"""The open toolchain: CUDA C++ compiled by clang with our own headers, without any component of NVIDIA's.

`headers` writes the runtime API's header from the API table, `compile` drives clang: device code to PTX, the PTX into a fat binary, the
host code with that fat binary inside, and links it with our libcudart. `include/cuda_runtime.h` holds what the table does not: the
language's keywords and built-in variables, device functions, and the runtime's C++ templates. It covers what the programs in
tests/cudart need; a device function that is missing is added there, as an inline function over clang's `__nvvm_*` builtins.

Not there yet: device math functions, double and 64-bit shuffles, textures, cooperative_groups, `__managed__` variables (clang has none for
CUDA), `cudaLaunchKernelEx`, occupancy templates, and the per-thread default stream (a header would have to rename the functions).
"""
