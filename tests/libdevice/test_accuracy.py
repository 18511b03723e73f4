"""Errors of the elementary and special functions stay within what CUDA documents, over edges and random values (mpmath is the truth)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.libdevice.accuracy import measure
from tests.libdevice.functions import FUNCTIONS, Function

VALUES = 150


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["double", "single"])
@pytest.mark.parametrize("function", FUNCTIONS, ids=[f"{f.name}-{i}" for i, f in enumerate(FUNCTIONS)])
def test_error_is_within_the_documented_bound(function: Function, dtype: Any) -> None:
    worst, where = measure(function, dtype, VALUES)
    assert worst <= function.ulp[dtype is np.float32], f"{worst} ulp at {where}"
