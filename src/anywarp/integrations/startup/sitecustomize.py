"""Python imports this at its start under `anywarp run`, which puts this folder on PYTHONPATH.

It installs the import hooks and then makes way: the folder leaves `sys.path`, and the environment's own sitecustomize, if it has one, runs
as it would have. It must work in any environment, with or without anywarp installed, and cost next to nothing.
"""

import os
import sys


def _install_hooks(package: str) -> None:
    parent = os.path.dirname(package)
    sys.path.insert(0, parent)  # this process may belong to an environment without anywarp
    try:
        import anywarp.integrations.hooks
    finally:
        sys.path.remove(parent)
    anywarp.integrations.hooks.install()


def _make_way(here: str) -> None:
    sys.path[:] = [p for p in sys.path if os.path.abspath(p) != here]
    this = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # noqa: F401  the environment's own
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        sys.modules.setdefault("sitecustomize", this)


_here = os.path.dirname(os.path.abspath(__file__))
if not os.environ.get("ANYWARP_COMPILER_CHILD") and os.environ.get("ANYWARP_INTEGRATIONS", "1").lower() not in ("0", "false", "no", "off"):
    try:
        _install_hooks(os.path.dirname(os.path.dirname(_here)))
    except Exception as _error:
        print(f"anywarp: client packages are not prepared: {type(_error).__name__}: {_error}", file=sys.stderr)
_make_way(_here)
