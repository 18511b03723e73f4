"""An independent, CUDA-compatible platform: CUDA programs, unmodified, on machines with no NVIDIA GPU.

This module imports nothing: every Python process under `anywarp run` loads it. It is a pytest plugin as well, so that a test-suite runs
without a wrapper: `pytest -p anywarp`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own costs ten milliseconds
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"


def pytest_addoption(parser: Any) -> None:
    """pytest calls this as soon as `-p anywarp` is read, before any conftest or test module can import a CUDA package."""
    import anywarp.auto  # noqa: F401


def pytest_report_header(config: Any) -> str:
    """The line in pytest's header that says where kernels run."""
    from anywarp import auto

    return f"anywarp {__version__}: {auto.driver}"
