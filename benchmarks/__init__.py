"""Ratios of kernel times against natural C++ and PoCL (`python -m benchmarks`), and costs around the kernel (`python -m benchmarks.costs`).

    kernels/NAME.cu   the kernel, CUDA C++ and OpenCL C at once (portable.h)     kernels/NAME.ptx   what nvcc makes of it
    kernels/NAME.cpp  what a C++ programmer writes for the same job              cases.py           sizes and inputs of each

In a source tree that is not installed, `ANYWARP_RUNTIME_DIR` names the build folder.
"""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("anywarp") is None:
    sys.path.insert(0, str(Path(__file__).parent.parent / "src"))
