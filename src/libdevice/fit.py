"""The numbers of the math library: writes `coefficients.h`.

    python src/libdevice/fit.py > src/libdevice/coefficients.h

Every polynomial interpolates its function at Chebyshev points, in 60 digits (mpmath): within a small factor of the best polynomial of its
degree. Which function, on which interval, stands in `POLYNOMIALS`; what it is for, where the C source uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import mpmath as mp

mp.mp.dps = 60
Function = Callable[[mp.mpf], mp.mpf]


def interpolate(f: Function, a: mp.mpf, b: mp.mpf, degree: int) -> list[mp.mpf]:
    """The coefficients, lowest first, of the polynomial through f at the Chebyshev points of [a, b]."""
    n = degree + 1
    points = [(a + b) / 2 + (b - a) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * n)) for k in range(n)]
    table = [f(x) for x in points]  # divided differences
    for level in range(1, n):
        for i in range(n - 1, level - 1, -1):
            table[i] = (table[i] - table[i - 1]) / (points[i] - points[i - level])
    coefficients = [mp.mpf(0)]
    for i in range(n - 1, -1, -1):  # Horner in Newton's form
        shifted = [mp.mpf(0), *coefficients]
        coefficients = [s - points[i] * c for s, c in zip(shifted, [*coefficients, mp.mpf(0)])]
        coefficients[0] += table[i]
    return coefficients[:n]


def removable(f: Function, g: Function) -> Function:
    """f, or, where f divides by nearly nothing, its limit by g (a series)."""
    return lambda x: g(x) if abs(x) < mp.mpf(10) ** -12 else f(x)


def series(terms: Callable[[int], mp.mpf], count: int) -> Function:
    return lambda x: mp.fsum(terms(k) * x**k for k in range(count))


def hankel(order: int, part: str) -> Function:
    """P, or x/8 Q, of Hankel's expansion of J and Y for large x, by w = (8/x)^2."""

    def value(w: mp.mpf) -> mp.mpf:
        w = max(w, mp.mpf(10) ** -16)
        x = 8 / mp.sqrt(w)
        chi = x - (2 * order + 1) * mp.pi / 4
        j, y = mp.besselj(order, x), mp.bessely(order, x)
        root = mp.sqrt(mp.pi * x / 2)
        if part == "p":
            return root * (j * mp.cos(chi) + y * mp.sin(chi))
        return root * (y * mp.cos(chi) - j * mp.sin(chi)) * x / 8

    return value


def modified(order: int) -> Function:
    """I(x) e^-x sqrt(x) by w = 8 / x."""

    def value(w: mp.mpf) -> mp.mpf:
        if w < mp.mpf(10) ** -9:
            return 1 / mp.sqrt(2 * mp.pi)
        x = 8 / w
        return mp.besseli(order, x) * mp.exp(-x) * mp.sqrt(x)

    return value


def _erfcx(x: mp.mpf) -> mp.mpf:
    return (
        mp.exp(x * x) * mp.erfc(x) if x < 100 else mp.fsum([1, -1 / (2 * x * x), 3 / (4 * x**4), -15 / (8 * x**6)]) / (x * mp.sqrt(mp.pi))
    )


def erfcx_scaled(t: mp.mpf) -> mp.mpf:
    """(1 + 2 x) erfcx(x) by t = (x - 4) / (x + 4)."""
    if t > 1 - mp.mpf(10) ** -15:
        return 2 / mp.sqrt(mp.pi)
    x = 4 * (1 + t) / (1 - t)
    return (1 + 2 * x) * _erfcx(x)


def inverse_erfc_tail(s: mp.mpf) -> mp.mpf:
    """erfcinv(exp(-s^2)) / s."""
    y = mp.exp(-s * s)
    x = s
    for _ in range(60):
        x = x + mp.log(mp.erfc(x) / y) * mp.erfc(x) * mp.sqrt(mp.pi) / 2 * mp.exp(x * x)  # Newton on log erfc
        if abs(mp.erfc(x) / y - 1) < mp.mpf(10) ** -30:
            break
    return x / s


THIRD, FIFTH = mp.mpf(2) / 3, mp.mpf(2) / 5
LN2 = mp.log(2)
QUARTER = (mp.pi / 4 * mp.mpf("1.0001")) ** 2
SMALL_LOG = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.001")
TAN_EIGHTH = (mp.sqrt(2) - 1) ** 2 * mp.mpf("1.001")

log_series = series(lambda k: mp.mpf(2) / (2 * k + 3), 60)  # (2 atanh s - 2 s) / s^3 by s^2
log_rest = series(lambda k: mp.mpf(2) / (2 * k + 7), 60)
exp_rest = series(lambda k: 1 / mp.factorial(k + 2), 50)  # (e^r - 1 - r) / r^2
sin_rest = series(lambda k: (-1) ** (k + 1) / mp.factorial(2 * k + 3), 40)
cos_rest = series(lambda k: (-1) ** k / mp.factorial(2 * k + 4), 40)
asin_rest = series(lambda k: mp.binomial(2 * k + 2, k + 1) / (mp.mpf(4) ** (k + 1) * (2 * k + 3)), 220)
atan_rest = series(lambda k: mp.mpf((-1) ** (k + 1)) / (2 * k + 3), 160)
erf_even = series(lambda k: 2 / mp.sqrt(mp.pi) * (-1) ** k / (mp.factorial(k) * (2 * k + 1)), 80)

POLYNOMIALS: list[tuple[str, Function, mp.mpf, mp.mpf, int]] = [
    ("exp_rest", exp_rest, -LN2 / 2 - 0.001, LN2 / 2 + 0.001, 10),
    ("exp_short", exp_rest, -LN2 / 2 - 0.001, LN2 / 2 + 0.001, 5),
    ("log_rest", log_series, mp.mpf(0), SMALL_LOG, 7),
    ("log_short", log_series, mp.mpf(0), SMALL_LOG, 3),
    ("log_tail", log_rest, mp.mpf(0), SMALL_LOG, 6),
    ("sin_rest", sin_rest, mp.mpf(0), QUARTER, 6),
    ("cos_rest", cos_rest, mp.mpf(0), QUARTER, 6),
    ("sin_short", sin_rest, mp.mpf(0), QUARTER, 3),
    ("cos_short", cos_rest, mp.mpf(0), QUARTER, 3),
    ("asin_rest", asin_rest, mp.mpf(0), mp.mpf("0.2501"), 13),
    ("atan_rest", atan_rest, mp.mpf(0), TAN_EIGHTH, 11),
    ("erf_even", erf_even, mp.mpf(0), mp.mpf("1.001"), 15),
    ("erfcx_scaled", erfcx_scaled, mp.mpf("-0.8"), mp.mpf(1), 26),
    ("erf_short", erf_even, mp.mpf(0), mp.mpf("1.001"), 8),
    ("erfcx_short", erfcx_scaled, mp.mpf("-0.8"), mp.mpf("0.51"), 12),
    ("gamma_one", lambda f: mp.gamma(1 + f), mp.mpf(0), mp.mpf(1), 23),
    ("lgamma_two", removable(lambda u: mp.loggamma(2 + u) / u, lambda u: 1 - mp.euler), mp.mpf("-0.501"), mp.mpf("0.501"), 24),
    ("lgamma_middle", lambda u: mp.loggamma(mp.mpf("1.5") + u), mp.mpf("-0.3"), mp.mpf("0.3"), 19),
    ("erfc_inverse", inverse_erfc_tail, mp.mpf("0.8"), mp.mpf("6.2"), 12),
    ("erfc_inverse_far", inverse_erfc_tail, mp.mpf("6"), mp.mpf("27.5"), 8),
    *((f"j{n}_{part}", hankel(n, part), mp.mpf(0), mp.mpf(1), 14) for n in (0, 1) for part in "pq"),
    *((f"i{n}_far", modified(n), mp.mpf(0), mp.mpf(1), 24) for n in (0, 1)),
]  # fmt: skip


def pairs(name: str, values: list[mp.mpf]) -> Iterator[str]:
    """Numbers as sums of two doubles, highest power last."""
    high = [float(v) for v in values]
    low = [float(v - mp.mpf(h)) for v, h in zip(values, high)]
    for suffix, numbers in (("high", high), ("low", low)):
        yield f"static const double {name}_{suffix}[] = {{{', '.join(n.hex() for n in numbers)}}};"


def bessel_tables() -> Iterator[str]:
    """The power series of J and Y (by q = x^2 / 4), all terms that count for |x| <= 8, and of I."""
    n = 36
    fact = mp.factorial
    yield from pairs("j0_series", [(-1) ** k / fact(k) ** 2 for k in range(n)])
    yield from pairs("j1_series", [(-1) ** k / (fact(k) * fact(k + 1)) for k in range(n)])
    harmonic = [mp.fsum(mp.mpf(1) / i for i in range(1, k + 1)) for k in range(n + 2)]
    yield from pairs("y0_series", [(-1) ** (k + 1) * harmonic[k] / fact(k) ** 2 for k in range(n)])
    yield from pairs("y1_series", [(-1) ** k * (harmonic[k] + harmonic[k + 1]) / (fact(k) * fact(k + 1)) for k in range(n)])
    for order in (0, 1):
        values = [float(1 / (fact(k) * fact(k + order))) for k in range(30)]
        yield f"static const double i{order}_series[] = {{{', '.join(v.hex() for v in values)}}};"


def constants() -> Iterator[str]:
    pi = mp.pi
    for name, value in {
        "PI_HALF": pi / 2, "PI": pi, "PI_QUARTER": pi / 4, "THREE_PI_QUARTER": 3 * pi / 4, "LN2": LN2, "LN10": mp.log(10),
        "INV_LN2": 1 / LN2, "INV_LN10": 1 / mp.log(10), "TWO_THIRDS": THIRD, "TWO_FIFTHS": FIFTH, "SQRT_HALF": mp.sqrt(0.5),
        "HALF_LN_2PI": mp.log(2 * pi) / 2, "EULER": mp.euler, "TWO_OVER_PI": 2 / pi, "SQRT_PI_HALF": mp.sqrt(pi) / 2,
        "SQRT_TWO_OVER_PI": mp.sqrt(2 / pi), "LOG10_2": LN2 / mp.log(10), "SQRT_2": mp.sqrt(2),
    }.items():  # fmt: skip
        high = float(value)
        low = float(value - mp.mpf(high))
        lowest = float(value - mp.mpf(high) - mp.mpf(low))
        yield f"#define {name} {high.hex()}\n#define {name}_LOW {low.hex()}\n#define {name}_LOWEST {lowest.hex()}"
    for name, value in {"LN2": LN2, "LOG10_2": LN2 / mp.log(10)}.items():  # a part whose product with an exponent is exact, and the rest
        top = mp.mpf(int(mp.nint(value * mp.mpf(2) ** 38))) / mp.mpf(2) ** 38
        yield f"#define {name}_TOP {float(top).hex()}\n#define {name}_REST {float(value - top).hex()}"
    bits = int(mp.floor(2 / pi * mp.mpf(2) ** 1280)) if mp.mp.prec > 1400 else 0
    words = [0] + [bits >> 64 * (19 - i) & (2**64 - 1) for i in range(20)]
    yield "static const unsigned long anywarp_two_over_pi[] = {" + ", ".join(f"{w:#x}ul" for w in words) + "};"
    stirling = [mp.bernoulli(2 * k) / (2 * k * (2 * k - 1)) for k in range(1, 11)]
    yield "static const double stirling[] = {" + ", ".join(float(v).hex() for v in stirling) + "};"


def main() -> None:
    print("// Written by fit.py; the functions and intervals stand there.")
    print("#pragma once")
    for name, f, a, b, degree in POLYNOMIALS:
        print(f"static const double {name}[] = {{{', '.join(float(c).hex() for c in interpolate(f, a, b, degree))}}};")
    for line in bessel_tables():
        print(line)
    with mp.workprec(1500):
        for line in constants():
            print(line)


if __name__ == "__main__":
    main()
