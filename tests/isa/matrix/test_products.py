"""Every opcode of the matrix products on random matrices: compiled code against the exact reference, on several targets' features.

Integers, bits and f64 agree to the bit; the others within the bound that `anywarp.isa.matrix` states.
"""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from anywarp.codegen import llvm as codegen
from anywarp.isa import base
from anywarp.isa.matrix import MatrixProduct
from tests.isa.matrix.products import KINDS, check, fragments
from tests.isa.warp_harness import Kernels

FULL = 0xFFFFFFFF
MANY = 4  # of a form with more opcodes (pairs of types), a sample of so many


PRODUCTS = [cls for cls in base.declarations() if issubclass(cls, MatrixProduct)]


def opcodes(cls: type[MatrixProduct]) -> list[str]:
    """The opcodes that a declaration accepts."""
    found: dict[str, None] = {}
    for form in cls.forms:
        choices = [[*sorted(s.choices or [s.name]), *([""] if s.is_optional else [])] for s in form.slots]
        all_of_form = []
        for combination in itertools.product(*choices):
            opcode = ".".join([form.mnemonic, *filter(None, combination)])
            if any(type(i) is cls for i in base.resolve(tuple(opcode.split(".")))):
                all_of_form.append(opcode)
        if len(all_of_form) > MANY:
            all_of_form = random.Random(form.text).sample(all_of_form, MANY)
        found.update(dict.fromkeys(all_of_form))
    return list(found)


def resolve(opcode: str) -> Any:
    return next(i for i in base.resolve(tuple(opcode.split("."))) if isinstance(i, MatrixProduct))


def features_of_targets() -> list[Any]:
    host = codegen.feature_set()
    sets = [pytest.param(frozenset(), id="no features")]
    return [pytest.param(host, id="host"), *sets] if host else sets


@pytest.mark.parametrize("features", features_of_targets())
@pytest.mark.parametrize("cls", PRODUCTS, ids=[cls.__name__ for cls in PRODUCTS])
def test_products_agree_with_the_reference(cls: type[MatrixProduct], features: frozenset[str]) -> None:
    names = opcodes(cls)
    assert names
    if not features:
        names = random.Random(cls.__name__).sample(names, min(len(names), MANY // 2))
    kernels = Kernels(features)
    numbers = [kernels.add(resolve(name), is_full=True) for name in names]
    kernels.compile()
    for name, number in zip(names, numbers):
        subject, generator = resolve(name), random.Random(name)
        for kind in range(KINDS):
            rows = fragments(subject, generator, kind)
            check(subject, rows, kernels.run(number, rows, FULL))
