"""What the functions of the math library are to compute: each with its meaning in mpmath, CUDA's documented largest error in units in the
last place (CUDA math API, accuracy of the standard functions), and where its arguments come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath as mp

Domain = tuple[float, float]


@dataclass(frozen=True)
class Function:
    """One function of real numbers. `name` without `__nv_`, the double form. `ulp`: (double, float), None for a bound by `absolute`."""

    name: str
    meaning: Callable[..., Any]
    ulp: tuple[float, float]
    domains: tuple[tuple[Domain, ...], ...]  # for each argument, intervals from which values are drawn
    first_is_integer: bool = False
    absolute: tuple[float, float] | None = None  # (double, float): an error this small is right as well


def _one(name: str, meaning: Callable[..., Any], double: float, float_: float, *domains: Domain, **more: Any) -> Function:
    return Function(name, meaning, (double, float_), (domains,), **more)


def _two(name: str, meaning: Callable[..., Any], double: float, float_: float, a: Domain, b: Domain, **more: Any) -> Function:
    return Function(name, meaning, (double, float_), ((a,), (b,)), **more)


def _cbrt(x: Any) -> Any:
    return mp.cbrt(x) if x >= 0 else -mp.cbrt(-x)


def _lgamma(x: Any) -> Any:
    return mp.re(mp.loggamma(x))


def _erfcx(x: Any) -> Any:
    if x < 1e4:
        return mp.exp(mp.mpf(x) ** 2) * mp.erfc(x)
    return (1 - 1 / (2 * mp.mpf(x) ** 2)) / (x * mp.sqrt(mp.pi))


def _erfcinv(y: Any) -> Any:
    y = mp.mpf(y)
    if 0.01 < y < 1.99:
        return mp.erfinv(1 - y)
    small = y if y < 1 else 2 - y
    x = mp.sqrt(-mp.log(small))
    for _ in range(80):
        step = mp.log(mp.erfc(x) / small) * mp.erfc(x) * mp.sqrt(mp.pi) / 2 * mp.exp(x * x)  # Newton on log erfc
        x += step
        if abs(step) < abs(x) * mp.mpf(10) ** -30:
            break
    return x if y < 1 else -x


def _norm(*a: Any) -> Any:
    return mp.sqrt(mp.fsum(mp.mpf(x) ** 2 for x in a))


TINY, ALL = (-1e-300, 1e-300), (-1e300, 1e300)
UNIT, NEAR, FAR = (-1.0, 1.0), (-10.0, 10.0), (-1e5, 1e5)
POSITIVE = ((0.0, 1.0), (0.5, 2.0), (0.0, 1e3), (0.0, 1e300), (0.0, 1e-300))
OVER = (1e28, 3e38)
BESSEL = {"absolute": (5e-12, 2.2e-6)}

FUNCTIONS: list[Function] = [
    _one("exp", mp.exp, 1, 2, UNIT, (-745, 710), (-88, 88), TINY),
    _one("exp2", lambda x: mp.mpf(2) ** x, 1, 2, UNIT, (-1074, 1024), (-126, 128)),
    _one("exp10", lambda x: mp.mpf(10) ** x, 1, 2, UNIT, (-323, 308), (-38, 38)),
    _one("expm1", mp.expm1, 1, 1, UNIT, (-50, 709), (-1e-3, 1e-3), TINY, (-2, 2)),
    _one("log", mp.log, 1, 1, *POSITIVE),
    _one("log2", lambda x: mp.log(x, 2), 1, 1, *POSITIVE),
    _one("log10", mp.log10, 1, 2, *POSITIVE),
    _one("log1p", mp.log1p, 1, 1, (-0.5, 1.0), (-1.0, 10.0), (-1e-3, 1e-3), (0.0, 1e300), TINY),
    _one("sin", mp.sin, 2, 2, UNIT, NEAR, FAR, (-1e12, 1e12), ALL, TINY),
    _one("cos", mp.cos, 2, 2, UNIT, NEAR, FAR, (-1e12, 1e12), ALL, TINY),
    _one("tan", mp.tan, 2, 4, UNIT, NEAR, FAR, (-1e12, 1e12), ALL, TINY),
    _one("sinpi", mp.sinpi, 2, 1, UNIT, NEAR, FAR),
    _one("cospi", mp.cospi, 2, 1, UNIT, NEAR, FAR),
    _one("asin", mp.asin, 2, 2, UNIT, (-1e-3, 1e-3), (0.99, 1.0)),
    _one("acos", mp.acos, 2, 2, UNIT, (-1e-3, 1e-3), (0.99, 1.0)),
    _one("atan", mp.atan, 2, 2, UNIT, NEAR, ALL, TINY),
    _two("atan2", mp.atan2, 2, 3, NEAR, NEAR),
    _one("sinh", mp.sinh, 2, 3, UNIT, NEAR, (-710, 710)),
    _one("cosh", mp.cosh, 1, 2, UNIT, NEAR, (-710, 710)),
    _one("tanh", mp.tanh, 1, 2, UNIT, NEAR, (-1e-3, 1e-3)),
    _one("asinh", mp.asinh, 3, 3, UNIT, NEAR, ALL, (-1e-3, 1e-3)),
    _one("acosh", mp.acosh, 3, 4, (1.0, 1.001), (1.0, 10.0), (1.0, 1e300)),
    _one("atanh", mp.atanh, 2, 3, UNIT, (-1e-3, 1e-3), (0.99, 1.0)),
    _two("pow", lambda x, y: mp.mpf(x) ** y, 2, 4, (0.0, 10.0), (-100.0, 100.0)),
    Function("pow", lambda x, y: mp.mpf(x) ** y, (2, 4), (((0.9, 1.1),), ((-5000.0, 5000.0),))),
    _one("cbrt", _cbrt, 1, 1, NEAR, ALL, TINY),
    _one("rcbrt", lambda x: 1 / _cbrt(x), 1, 1, NEAR, ALL),
    _one("sqrt", mp.sqrt, 0.5, 0.5, *POSITIVE),
    _one("rsqrt", lambda x: 1 / mp.sqrt(x), 1, 2, *POSITIVE),
    _two("hypot", _norm, 2, 3, NEAR, NEAR),
    _two("rhypot", lambda a, b: 1 / _norm(a, b), 1, 2, NEAR, NEAR),
    Function("norm3d", _norm, (1, 3), ((NEAR,),) * 3),
    Function("rnorm3d", lambda *a: 1 / _norm(*a), (1, 2), ((NEAR,),) * 3),
    Function("norm4d", _norm, (1, 3), ((NEAR,),) * 4),
    Function("rnorm4d", lambda *a: 1 / _norm(*a), (1, 2), ((NEAR,),) * 4),
    _one("erf", mp.erf, 2, 2, UNIT, (-6.0, 6.0), TINY),
    _one("erfc", mp.erfc, 5, 4, UNIT, (-6.0, 6.0), (0.0, 26.5)),
    _one("erfcx", _erfcx, 4, 4, UNIT, (-26.0, 26.0), (0.0, 1e300), (0.0, 100.0)),
    _one("erfinv", mp.erfinv, 5, 2, UNIT, (-1e-3, 1e-3), (0.99, 1.0)),
    _one("erfcinv", _erfcinv, 6, 4, (0.0, 2.0), (0.0, 1e-3), (0.0, 1e-300)),
    _one("normcdf", mp.ncdf, 5, 5, (-2.0, 2.0), (-38.0, 8.0)),
    _one("normcdfinv", lambda y: -mp.sqrt(2) * _erfcinv(2 * mp.mpf(y)), 8, 5, (0.0, 1.0), (0.0, 1e-3), (0.0, 1e-300)),
    _one("lgamma", _lgamma, 4, 6, (0.0, 3.0), (0.0, 20.0), (0.0, 1e5), (0.0, 1e300), (-0.5, 0.0), (-2.26, -0.01)),
    _one("tgamma", mp.gamma, 10, 5, (0.0, 3.0), (0.0, 171.6), (-20.0, 0.0), (-1e-3, 1e-3)),
    _one("j0", lambda x: mp.besselj(0, x), 7, 9, (-8.0, 8.0), (-1e3, 1e3), (2.4, 2.41), **BESSEL),
    _one("j1", lambda x: mp.besselj(1, x), 7, 9, (-8.0, 8.0), (-1e3, 1e3), (3.83, 3.84), **BESSEL),
    _one("y0", lambda x: mp.bessely(0, x), 7, 9, (0.0, 8.0), (0.0, 1e3), (0.89, 0.9), **BESSEL),
    _one("y1", lambda x: mp.bessely(1, x), 7, 9, (0.0, 8.0), (0.0, 1e3), (2.19, 2.2), **BESSEL),
    _two("jn", mp.besselj, 7, 9, (2, 20), (0.0, 100.0), first_is_integer=True, **BESSEL),
    _two("yn", mp.bessely, 7, 9, (2, 12), (0.5, 100.0), first_is_integer=True, absolute=(5e-10, 2.2e-5)),
    _one("cyl_bessel_i0", lambda x: mp.besseli(0, x), 6, 6, NEAR, (-700, 700)),
    _one("cyl_bessel_i1", lambda x: mp.besseli(1, x), 6, 6, NEAR, (-700, 700)),
]
