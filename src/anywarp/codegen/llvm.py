"""LLVM IR text to a relocatable object: the target machine, the passes, the options. Wraps llvmlite.

The target is this machine, or another processor that `ANYWARP_TARGET` names (for its runtime under an emulator).

The code is vector code already and the lowering knows what is uniform and what does not change, so a few passes do what O1 did for it in
three to six times the time (docs/performance.md).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import llvmlite.binding as llvm

from anywarp import settings


class CodegenError(Exception):
    """LLVM refused the module: a bug in the lowering. The message holds LLVM's own."""


class Target(NamedTuple):
    """A processor in LLVM's terms."""

    triple: str
    cpu: str
    features: str  # `+avx2,+fma,-avx512f`


@cache
def initialise() -> None:
    """Initialises LLVM's targets once."""
    if settings.TARGET.get():
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
    else:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
    llvm.set_option("anywarp", "-post-RA-scheduler=0")  # quadratic, half of the time of a large kernel; processors reorder themselves


@cache
def target() -> Target:
    """The processor that kernels are compiled for. Raises ValueError where `ANYWARP_TARGET` is not `TRIPLE:CPU:FEATURES`."""
    initialise()
    if named := settings.TARGET.get():
        parts = named.split(":")
        if len(parts) != 3:
            raise ValueError(f"{settings.TARGET.name}={named} is not TRIPLE:CPU:FEATURES, such as aarch64-linux-gnu:neoverse-n1:+neon")
        return Target(*parts)
    return Target(llvm.get_default_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten())


@cache
def feature_set() -> frozenset[str]:
    """The names of the features that the target has, for `lower.emit.Module`."""
    return frozenset(name[1:] for name in target().features.split(",") if name.startswith("+"))


def _create_machine(level: int, model: str) -> llvm.TargetMachine:
    triple, cpu, features = target()
    machine: llvm.TargetMachine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu, features=features, opt=level, reloc="pic", codemodel=model
    )
    return machine


@cache
def target_machine(level: int = 2) -> llvm.TargetMachine:
    """The target's machine: small code model, PIC, `level` (0 to 3) of instruction selection and scheduling."""
    return _create_machine(level, "small")


def create_engine(module: llvm.ModuleRef) -> llvm.ExecutionEngine:
    """Loads a module into this process, for tests of pieces of code. The JIT places code and constants apart, in a large process by more
    than the small code model reaches (LLVM aborts then), so its code has 64-bit addresses."""
    engine: llvm.ExecutionEngine = llvm.create_mcjit_compiler(module, _create_machine(2, "jitdefault"))
    engine.finalize_object()
    return engine


def parse(text: str) -> llvm.ModuleRef:
    """Parses and verifies IR text. Raises CodegenError."""
    initialise()
    try:
        module: llvm.ModuleRef = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise CodegenError(str(error)) from error
    module.triple = target().triple
    module.data_layout = str(target_machine().target_data)
    return module


def optimise(module: llvm.ModuleRef) -> None:
    """Slots become values, then they are simplified, jumps that depend on known masks are threaded, constants go through branches, and what
    is left of these is tidied; in place.

    Loop passes are not needed: what is the same in all threads is computed in front of the loops (`lower.invariants`), the rest where the
    program's compiler put it. Nor is value numbering: NewGVN took a third of the time and found little."""
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_jump_threading_pass()
    passes.add_sccp_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, llvm.create_pass_builder(target_machine(), llvm.create_pipeline_tuning_options(speed_level=1)))


def emit_object(module: llvm.ModuleRef) -> bytes:
    """The ELF relocatable object."""
    return bytes(target_machine().emit_object(module))


def emit_assembly(module: llvm.ModuleRef) -> str:
    return str(target_machine().emit_assembly(module))
