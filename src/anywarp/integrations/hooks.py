"""Prepares client packages as they are imported: a finder in front of `sys.meta_path` that finds nothing itself.

Every Python process under `anywarp run` loads this module: it imports nothing but sys, and a hook's work lies in a module of its own that
is imported when its client is. A hook that fails says so on stderr, and the client goes on without it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing's own costs ten milliseconds
if TYPE_CHECKING:
    from typing import Any

# Called before the first import of a module of that name: "module:function".
BEFORE = {
    "cuda.bindings": "anywarp.integrations.nvjitlink:disable",
    "cuda.core": "anywarp.integrations.nvjitlink:disable",
    "jax_plugins.xla_cuda12": "anywarp.integrations.jax:prepare",
    "jax_plugins.xla_cuda13": "anywarp.integrations.jax:prepare",
}
# Called with the module after its first import.
AFTER = {
    "cuda.bindings._internal.runtime": "anywarp.integrations.cuda_bindings:redirect",
    "cuda.bindings._internal.runtime_ptds": "anywarp.integrations.cuda_bindings:redirect",
    "jax._src.hardware_utils": "anywarp.integrations.jax:show_device",
    "triton.runtime.driver": "anywarp.integrations.triton:prepare",
}


class Finder:
    """Calls the hooks. Looks at every import of the process, so a name without a hook costs two dictionary look-ups."""

    def __init__(self) -> None:
        self.before = dict(BEFORE)
        self.after = dict(AFTER)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name in self.before:
            call(self.before.pop(name))
        elif name in self.after:
            hook = self.after.pop(name)
            return self.wrapped(name, path, target, hook)
        return None

    def wrapped(self, name: str, path: Any, target: Any, hook: str) -> Any:
        """The spec that the other finders give, with a loader that calls the hook when the module has run."""
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(name, path, target) if hasattr(finder, "find_spec") else None
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    call_after(spec.loader, hook)
                return spec
        return None


def call_after(loader: Any, hook: str) -> None:
    """Makes one loader call a hook with the module when that has run."""
    run = loader.exec_module

    def exec_module(module: Any) -> None:
        run(module)
        call(hook, module)

    loader.exec_module = exec_module


def call(hook: str, *arguments: Any) -> None:
    """Runs "module:function"; an exception becomes a line on stderr."""
    module, _, function = hook.partition(":")
    try:
        __import__(module)
        getattr(sys.modules[module], function)(*arguments)
    except Exception as error:
        print(f"anywarp: {hook} failed: {type(error).__name__}: {error}", file=sys.stderr)


def install() -> None:
    """Puts the finder in place, once; hooks of modules that are imported already run now."""
    if any(isinstance(finder, Finder) for finder in sys.meta_path):
        return
    finder = Finder()
    for name in [n for n in finder.before if n in sys.modules]:
        call(finder.before.pop(name))
    for name in [n for n in finder.after if n in sys.modules]:
        call(finder.after.pop(name), sys.modules[name])
    sys.meta_path.insert(0, finder)
