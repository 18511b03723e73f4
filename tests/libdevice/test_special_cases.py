"""Zeros, infinities, NaNs and poles as C99 (Annex F) has them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.libdevice.harness import compiled

INF, NAN, PI = math.inf, math.nan, math.pi
LEAST = 5e-324

# name, operands, result
CASES: list[tuple[str, tuple[Any, ...], float]] = [
    *((name, (0.0,), 0.0) for name in ("sin", "tan", "sinpi", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "expm1", "log1p",
    "cbrt", "erf", "sqrt")),
    *((name, (-0.0,), -0.0) for name in ("sin", "tan", "sinpi", "asin", "atan", "sinh", "tanh", "asinh", "atanh", "expm1", "log1p",
    "cbrt", "erf", "sqrt",
                                         "floor", "ceil", "trunc", "rint", "round", "nearbyint")),
    *((name, (NAN,), NAN) for name in ("sin", "cos", "tan", "sinpi", "cospi", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
    "acosh", "atanh", "exp",
                                       "exp2", "exp10", "expm1", "log", "log2", "log10", "log1p", "cbrt", "rcbrt", "rsqrt", "erf",
                                       "erfc", "erfcx", "erfinv",
                                       "erfcinv", "normcdf", "normcdfinv", "lgamma", "tgamma", "j0", "j1", "y0", "y1", "cyl_bessel_i0",
                                       "cyl_bessel_i1")),
    *((name, (INF,), NAN) for name in ("sin", "cos", "tan", "sinpi", "cospi", "asin", "acos", "atanh")),
    ("exp", (INF,), INF), ("exp", (-INF,), 0.0), ("exp", (0.0,), 1.0), ("exp", (710.0,), INF), ("exp", (-746.0,), 0.0),
    ("exp", (-745.0,), LEAST),
    ("exp2", (1023.0,), 2.0**1023), ("exp2", (-1074.0,), LEAST), ("exp2", (1024.0,), INF), ("exp10", (3.0,), 1000.0),
    ("exp10", (-INF,), 0.0),
    ("expm1", (-INF,), -1.0), ("expm1", (INF,), INF), ("expm1", (-60.0,), -1.0),
    ("log", (0.0,), -INF), ("log", (-0.0,), -INF), ("log", (-1.0,), NAN), ("log", (1.0,), 0.0), ("log", (INF,), INF),
    ("log", (LEAST,), math.log(LEAST)),
    ("log2", (8.0,), 3.0), ("log2", (LEAST,), -1074.0), ("log10", (1000.0,), 3.0), ("log1p", (-1.0,), -INF), ("log1p", (-2.0,), NAN),
    ("log1p", (INF,), INF),
    ("logb", (0.0,), -INF), ("logb", (INF,), INF), ("logb", (-INF,), INF), ("logb", (LEAST,), -1074.0), ("logb", (10.0,), 3.0),
    ("acos", (1.0,), 0.0), ("acos", (-1.0,), PI), ("acos", (2.0,), NAN), ("asin", (1.0,), PI / 2), ("asin", (-1.5,), NAN),
    ("atan", (INF,), PI / 2),
    ("atan", (-INF,), -PI / 2), ("acosh", (1.0,), 0.0), ("acosh", (0.5,), NAN), ("acosh", (INF,), INF), ("asinh", (-INF,), -INF),
    ("atanh", (1.0,), INF), ("atanh", (-1.0,), -INF), ("atanh", (1.5,), NAN), ("sinh", (-INF,), -INF), ("cosh", (-INF,), INF),
    ("tanh", (INF,), 1.0),
    ("tanh", (-INF,), -1.0), ("cosh", (0.0,), 1.0), ("cospi", (0.5,), 0.0), ("cospi", (1.0,), -1.0), ("sinpi", (1.0,), 0.0),
    ("sinpi", (-2.0,), -0.0),
    ("sinpi", (2.0**60,), 0.0), ("cospi", (2.0**53 + 2,), 1.0),
    ("atan2", (0.0, -0.0), PI), ("atan2", (-0.0, -0.0), -PI), ("atan2", (0.0, 0.0), 0.0), ("atan2", (-0.0, 0.0), -0.0),
    ("atan2", (0.0, -1.0), PI),
    ("atan2", (-0.0, 1.0), -0.0), ("atan2", (1.0, 0.0), PI / 2), ("atan2", (-1.0, -0.0), -PI / 2), ("atan2", (1.0, INF), 0.0),
    ("atan2", (-1.0, -INF), -PI),
    ("atan2", (INF, 1.0), PI / 2), ("atan2", (INF, INF), PI / 4), ("atan2", (INF, -INF), 3 * PI / 4), ("atan2", (-INF, -INF), -3 * PI / 4),
    ("atan2", (NAN, 1.0), NAN), ("atan2", (1e-320, 1e300), 0.0), ("atan2", (1e300, 1e-320), PI / 2),
    ("pow", (0.0, -3.0), INF), ("pow", (-0.0, -3.0), -INF), ("pow", (-0.0, -2.0), INF), ("pow", (-0.0, 3.0), -0.0),
    ("pow", (0.0, 2.5), 0.0),
    ("pow", (-1.0, INF), 1.0), ("pow", (1.0, NAN), 1.0), ("pow", (NAN, 0.0), 1.0), ("pow", (-8.0, 1 / 3), NAN), ("pow", (0.5, -INF), INF),
    ("pow", (2.0, -INF), 0.0), ("pow", (0.5, INF), 0.0), ("pow", (-INF, -3.0), -0.0), ("pow", (-INF, 3.0), -INF), ("pow", (-INF, 2.0), INF),
    ("pow", (INF, -1.0), 0.0), ("pow", (-2.0, 3.0), -8.0), ("pow", (-2.0, 4.0), 16.0), ("pow", (10.0, 308.0), 1e308),
    ("pow", (10.0, 309.0), INF),
    ("pow", (-10.0, 309.0), -INF), ("pow", (2.0, -1074.0), LEAST), ("pow", (2.0, 1e300), INF), ("pow", (NAN, 1.0), NAN),
    ("pow", (-1.0, 1e300), 1.0),
    ("cbrt", (-27.0,), -3.0), ("cbrt", (-INF,), -INF),
    ("cbrt", (LEAST * 8,), 2.0 * math.cbrt(LEAST) if hasattr(math, "cbrt") else 3.406e-108),
    ("rcbrt", (-0.0,), -INF), ("rcbrt", (8.0,), 0.5), ("rcbrt", (INF,), 0.0), ("rsqrt", (0.0,), INF), ("rsqrt", (-0.0,), -INF),
    ("rsqrt", (-1.0,), NAN),
    ("rsqrt", (INF,), 0.0), ("rsqrt", (4.0,), 0.5), ("rsqrt", (2.0**-1074,), 2.0**537),
    ("hypot", (INF, NAN), INF), ("hypot", (3.0, -4.0), 5.0), ("hypot", (1e300, 1e300), math.hypot(1e300, 1e300)),
    ("hypot", (0.0, -0.0), 0.0),
    ("hypot", (LEAST, 0.0), LEAST), ("hypot", (NAN, 1.0), NAN), ("rhypot", (0.0, 0.0), INF), ("rhypot", (INF, 1.0), 0.0),
    ("norm3d", (INF, NAN, 0.0), INF), ("norm4d", (1.0, 1.0, 1.0, 1.0), 2.0), ("rnorm3d", (0.0, 0.0, 0.0), INF),
    ("rnorm4d", (2.0, 2.0, 2.0, 2.0), 0.25),
    ("erf", (INF,), 1.0), ("erf", (-INF,), -1.0), ("erfc", (INF,), 0.0), ("erfc", (-INF,), 2.0), ("erfc", (0.0,), 1.0),
    ("erfcx", (-INF,), INF),
    ("erfcx", (INF,), 0.0), ("erfinv", (1.0,), INF), ("erfinv", (-1.0,), -INF), ("erfinv", (2.0,), NAN), ("erfinv", (0.0,), 0.0),
    ("erfcinv", (0.0,), INF),
    ("erfcinv", (2.0,), -INF), ("erfcinv", (1.0,), 0.0), ("erfcinv", (-1.0,), NAN), ("normcdf", (INF,), 1.0), ("normcdf", (-INF,), 0.0),
    ("normcdf", (0.0,), 0.5), ("normcdfinv", (0.0,), -INF), ("normcdfinv", (1.0,), INF), ("normcdfinv", (0.5,), 0.0),
    ("normcdfinv", (1.5,), NAN),
    ("tgamma", (0.0,), INF), ("tgamma", (-0.0,), -INF), ("tgamma", (-1.0,), NAN), ("tgamma", (5.0,), 24.0), ("tgamma", (INF,), INF),
    ("tgamma", (-INF,), NAN),
    ("tgamma", (172.0,), INF), ("tgamma", (1.0,), 1.0), ("lgamma", (1.0,), 0.0), ("lgamma", (2.0,), 0.0), ("lgamma", (0.0,), INF),
    ("lgamma", (-3.0,), INF),
    ("lgamma", (-INF,), INF), ("lgamma", (INF,), INF),
    ("j0", (0.0,), 1.0), ("j0", (INF,), 0.0), ("j1", (INF,), 0.0), ("j1", (0.0,), 0.0), ("y0", (0.0,), -INF), ("y1", (0.0,), -INF),
    ("y0", (-1.0,), NAN),
    ("y1", (INF,), 0.0), ("jn", (-1, 1.0), NAN), ("jn", (3, 0.0), 0.0), ("yn", (-1, 1.0), NAN), ("yn", (3, 0.0), -INF),
    ("cyl_bessel_i0", (0.0,), 1.0),
    ("cyl_bessel_i1", (-0.0,), -0.0), ("cyl_bessel_i0", (INF,), INF), ("cyl_bessel_i1", (-INF,), -INF),
    ("fmod", (5.5, INF), 5.5), ("fmod", (INF, 1.0), NAN), ("fmod", (1.0, 0.0), NAN), ("fmod", (-0.0, 1.0), -0.0),
    ("remainder", (1.0, 0.0), NAN),
    ("remainder", (3.0, 2.0), -1.0), ("remainder", (5.0, INF), 5.0), ("fdim", (NAN, 1.0), NAN), ("fdim", (3.0, 1.0), 2.0),
    ("fdim", (1.0, 3.0), 0.0),
    ("fmax", (NAN, 1.0), 1.0), ("fmin", (1.0, NAN), 1.0), ("nextafter", (0.0, -1.0), -LEAST), ("nextafter", (1.0, 1.0), 1.0),
    ("nextafter", (INF, 0.0), 1.7976931348623157e308),
    ("round", (2.5,), 3.0), ("round", (-0.5,), -1.0), ("round", (0.49999999999999994,), 0.0), ("rint", (2.5,), 2.0),
    ("trunc", (-2.7,), -2.0),
    ("saturate", (-1.0,), 0.0), ("saturate", (NAN,), 0.0), ("ldexp", (1.0, -1074), LEAST), ("ldexp", (1.0, 2000), INF),
    ("scalbn", (-3.0, 4), -48.0),
    ("ldexp", (-INF, 3), -INF), ("ldexp", (LEAST, 1074), 1.0),
]  # fmt: skip
ONLY_FLOAT = {"saturate"}


def _array(value: Any, dtype: Any) -> Any:
    return np.array([value], np.int32 if isinstance(value, int) else dtype)


def _same(got: float, want: float, tolerance: float) -> bool:
    if math.isnan(want):
        return math.isnan(got)
    if want == 0 or math.isinf(want):
        return got == want and math.copysign(1.0, got) == math.copysign(1.0, want)
    return abs(got - want) <= tolerance * abs(want)


@pytest.mark.parametrize(("name", "operands", "want"), CASES, ids=[f"{n}{o}" for n, o, _ in CASES])
def test_double(name: str, operands: tuple[Any, ...], want: float) -> None:
    if name in ONLY_FLOAT:
        name += "f"
        got = float(compiled(f"__nv_{name}", *(_array(v, np.float32) for v in operands))[0].view(np.float32)[0])
    else:
        got = float(compiled(f"__nv_{name}", *(_array(v, np.float64) for v in operands))[0].view(np.float64)[0])
    assert _same(got, want, 2.0**-50), (got, want)


def _is_single(value: Any) -> bool:
    """Whether single precision has a number as well."""
    return value == 0 or not math.isfinite(value) or (1e-38 < abs(value) < 1e38 and float(np.float32(value)) == value)


def _has_single(name: str, operands: tuple[Any, ...], want: float) -> bool:
    if name in ONLY_FLOAT or not all(map(_is_single, operands)) or (1e38 < abs(want) < INF) or (0 < abs(want) < 1e-38):
        return False
    return name not in ("exp", "expm1", "tgamma", "pow") or operands == (0.0,)  # whose limits are others


SINGLE = [case for case in CASES if _has_single(*case)]


@pytest.mark.parametrize(("name", "operands", "want"), SINGLE, ids=[f"{n}{o}" for n, o, _ in SINGLE])
def test_single(name: str, operands: tuple[Any, ...], want: float) -> None:
    got = float(compiled(f"__nv_{name}f", *(_array(v, np.float32) for v in operands))[0].view(np.float32)[0])
    assert _same(got, want, 2.0**-22), (got, want)
