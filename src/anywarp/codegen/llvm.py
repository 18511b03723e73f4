"""LLVM IR text to a relocatable object: the host's target machine, the passes, the options. Wraps llvmlite.

O1 with LLVM's vectorisers off: the code is vector code already, and O3 was no faster on it (docs/architecture.md section 2).
"""

from __future__ import annotations

from functools import cache

import llvmlite.binding as llvm


class CodegenError(Exception):
    """LLVM refused the module: a bug in the lowering. The message holds LLVM's own."""


@cache
def initialise() -> None:
    """Initialises the host's target once."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def host_cpu() -> tuple[str, str]:
    """LLVM's name of this machine's CPU and its features (`+avx2,+fma,...`)."""
    initialise()
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@cache
def feature_set() -> frozenset[str]:
    """The names of the features that this machine's CPU has, for `lower.emit.Module`."""
    return frozenset(name[1:] for name in host_cpu()[1].split(",") if name.startswith("+"))


@cache
def target_machine(level: int = 2) -> llvm.TargetMachine:
    """The host's target machine: small code model, PIC, `level` (0 to 3) of instruction selection and scheduling."""
    initialise()
    cpu, features = host_cpu()
    target = llvm.Target.from_default_triple()
    machine: llvm.TargetMachine = target.create_target_machine(cpu=cpu, features=features, opt=level, reloc="pic", codemodel="small")
    return machine


def parse(text: str) -> llvm.ModuleRef:
    """Parses and verifies IR text. Raises CodegenError."""
    initialise()
    try:
        module: llvm.ModuleRef = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise CodegenError(str(error)) from error
    module.triple = llvm.get_default_triple()
    module.data_layout = str(target_machine().target_data)
    return module


def optimise(module: llvm.ModuleRef, level: int = 1) -> None:
    """Runs LLVM's O1 pipeline without its vectorisers, in place."""
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization = False
    options.slp_vectorization = False
    options.loop_unrolling = level > 0
    builder = llvm.create_pass_builder(target_machine(), options)
    builder.getModulePassManager().run(module, builder)


def emit_object(module: llvm.ModuleRef) -> bytes:
    """The ELF relocatable object."""
    return bytes(target_machine().emit_object(module))


def emit_assembly(module: llvm.ModuleRef) -> str:
    return str(target_machine().emit_assembly(module))
