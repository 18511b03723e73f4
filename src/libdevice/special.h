// The error function, the gamma function, Bessel functions and their relatives.
#pragma once
#include "common.h"
#include "exp_log.h"
#include "trigonometry.h"

// erf and erfc: below 1 an odd series; above exp(-x^2) erfcx(x), where (1 + 2 x) erfcx(x) is smooth in (x - 4) / (x + 4).
INLINE Pair erfcx_positive(double x) {
  double t = (x - 4.0) / (x + 4.0);
  double p = POLY(erfcx_scaled, t);
  Pair bottom = two_sum(1.0, 2.0 * x);
  return divide_pairs((Pair){p, 0.0}, bottom);
}
INLINE Pair minus_square(double x) {
  Pair s = two_product(x, x);
  return (Pair){-s.h, -s.l};
}
INLINE double erfc_positive(double x) {  // x >= 0.5
  double m = min_(x, 30.0);
  Pair c = erfcx_positive(m);
  int n;
  Pair e = exp_parts(minus_square(m), &n);
  Pair product = multiply_pairs(e, c);
  return scale(product.h + product.l, n);
}
INLINE double erf_small(double x) { return x * POLY(erf_even, x * x); }

double NV(erf)(double x) {
  double a = abs_(x);
  double result = a < 1.0 ? erf_small(min_(a, 1.0)) : 1.0 - erfc_positive(max_(a, 1.0));
  return is_nan(x) ? x : with_sign(result, x);
}
double NV(erfc)(double x) {
  double a = abs_(x);
  double tail = erfc_positive(max_(a, 0.5));
  double result = x < 0.0 ? 2.0 - tail : tail;
  result = a < 0.5 ? 1.0 - erf_small(x) : result;
  return is_nan(x) ? x : result;
}
double NV(erfcx)(double x) {
  double a = abs_(x);
  Pair c = erfcx_positive(min_(max_(a, 0.5), 0x1p60));
  double far = a > 0x1p59 ? 1.0 / (a * (2.0 * SQRT_PI_HALF)) : c.h + c.l;
  // below: e^(x^2) (1 - erf x); and 2 e^(x^2) - erfcx(-x)
  double square = min_(a, 30.0);
  Pair s = two_product(square, square);
  int n;
  Pair e = exp_parts(s, &n);
  double growth = scale(e.h + e.l, n);
  double near = growth * (1.0 - erf_small(min_(max_(x, -0.5), 0.5)));
  double negative = fma_(2.0, growth, -far);
  double result = a < 0.5 ? near : (x < 0.0 ? (x < -30.0 ? INF : negative) : far);
  return is_nan(x) ? x : result;
}
double NV(normcdf)(double x) {
  // erfc(-x / sqrt(2)) / 2, with the argument's rest
  double m = min_(max_(x, -40.0), 40.0);
  Pair z = scale_pair(P(SQRT_HALF), -m);
  double c = NV(erfc)(z.h);
  Pair s = two_product(z.h, z.h);
  double slope = NV(exp)(-s.h) * (1.0 - s.l);
  double result = 0.5 * (c - slope / SQRT_PI_HALF * z.l);
  return is_nan(x) ? x : result;
}

// erfcinv of 0 < y < 1: a first value from -log y, then two steps of Halley's method; erfc(x) / y is e^(-x^2 - log y) erfcx(x).
INLINE double erfcinv_lower(double y) {
  Pair l = log_pair(y, 0);
  double s = sqrt_(max_(-l.h, 0.65));
  double x = s * (s < 6.0 ? POLY(erfc_inverse, s) : POLY(erfc_inverse_far, s));
#pragma clang loop unroll(full)
  for (int i = 0; i < 2; ++i) {
    double growth = exp_of_pair(add_pairs(minus_square(x), (Pair){-l.h, -l.l}));
    double d = fma_(growth, erfcx_positive(x).h, -1.0) / growth * SQRT_PI_HALF;
    x = x + d / (1.0 - x * d);
  }
  return x;
}
INLINE double erfinv_central(double z) {  // |z| <= 0.6
  double x = z * SQRT_PI_HALF * (1.0 + z * z * 0.2617993877991494);
#pragma clang loop unroll(full)
  for (int i = 0; i < 3; ++i) {
    double d = (z - erf_small(x)) * SQRT_PI_HALF * NV(exp)(x * x);
    x = x + d / (1.0 - x * d);
  }
  return x;
}
double NV(erfinv)(double z) {
  double a = abs_(z);
  double tail = erfcinv_lower(max_(min_(1.0 - a, 0.5), 0x1p-60));
  double result = with_sign(a < 0.6 ? erfinv_central(min_(a, 0.6)) : tail, z);
  result = a < 0x1p-28 ? z * SQRT_PI_HALF + z * 0x1.618f13eb7ca89p-55 : result;
  result = a == 1.0 ? with_sign(INF, z) : result;
  return a > 1.0 ? NAN_D : (is_nan(z) ? z : result);
}
INLINE double erfcinv_of(double y) {
  double folded = y > 1.0 ? 2.0 - y : y;
  double tail = with_sign(erfcinv_lower(max_(min_(folded, 0.5), 0x1p-1074)), y > 1.0 ? -1.0 : 1.0);
  double central = erfinv_central(min_(max_(1.0 - y, -0.6), 0.6));
  double result = folded > 0.45 ? central : tail;
  result = y == 0.0 ? INF : (y == 2.0 ? -INF : result);
  return y < 0.0 || y > 2.0 ? NAN_D : (is_nan(y) ? y : result);
}
double NV(erfcinv)(double y) { return erfcinv_of(y); }
double NV(normcdfinv)(double y) {
  double result = 0.0 - SQRT_2 * erfcinv_of(2.0 * y);
  return y < 0.0 || y > 1.0 ? NAN_D : result;
}
// Single precision: the same with shorter polynomials; erfc underflows from 10.1 on.
INLINE double erfc_short(double x) {  // 0.5 <= x <= 12
  double t = (x - 4.0) / (x + 4.0);
  return exp_short_of(-x * x, INV_LN2, LN2_TOP, LN2_REST, 1.0) * POLY(erfcx_short, t) / fma_(2.0, x, 1.0);
}
float NV(erff)(float x) {
  double d = x, a = abs_(d), m = min_(max_(a, 1.0), 6.0), s = min_(a, 1.0);
  double large = 1.0 - erfc_short(m), small = s * POLY(erf_short, s * s);
  float result = (float)with_sign(a < 1.0 ? small : large, d);
  return x != x ? x : result;
}
float NV(erfcf)(float x) {
  double d = x, a = abs_(d), s = min_(max_(d, -0.5), 0.5);
  double tail = erfc_short(min_(max_(a, 0.5), 12.0));
  double result = d < 0.0 ? 2.0 - tail : tail;
  result = a < 0.5 ? fma_(-s, POLY(erf_short, s * s), 1.0) : result;
  return x != x ? x : (float)result;
}
float NV(erfcxf)(float x) { return (float)NV(erfcx)((double)x); }
float NV(erfinvf)(float x) { return (float)NV(erfinv)((double)x); }
float NV(erfcinvf)(float x) { return (float)NV(erfcinv)((double)x); }
float NV(normcdff)(float x) { return (float)NV(normcdf)((double)x); }
float NV(normcdfinvf)(float x) { return (float)NV(normcdfinv)((double)x); }

// Gamma. From 12 on Stirling's formula, its leading part as a pair; below by steps to [1, 2).
INLINE Pair stirling_log(double x) {  // x >= 12
  Pair l = log_pair(x, 1);
  Pair p = multiply_pairs(two_sum(x, -0.5), l);
  p = add_pairs(p, two_sum(HALF_LN_2PI, -x));
  double r = 1.0 / x;
  p.l += r * POLY(stirling, r * r) + HALF_LN_2PI_LOW;
  return quick_sum(p.h, p.l);
}
INLINE Pair gamma_steps(double x) {  // 1 <= x < 12
  Pair product = {1.0, 0.0};
  double f = x - 1.0;
  for (int i = 0; i < 11; ++i) {
    int more = f >= 1.0;
    Pair next = scale_pair(product, f);
    product = more ? next : product;
    f = more ? f - 1.0 : f;
  }
  return scale_pair(product, POLY(gamma_one, f));
}
double NV(tgamma)(double x) {
  double a = abs_(x);
  // below 1: Gamma(x) = Gamma(x + 1) / x; negative: pi / (sin(pi x) Gamma(1 - x))
  double m = x < 0.0 ? 1.0 + a : x;
  Pair argument = x < 0.0 ? two_sum(1.0, a) : (Pair){x, 0.0};
  int below = m < 1.0;
  double inside = below ? m + 1.0 : min_(m, 12.0);
  Pair g = gamma_steps(min_(max_(inside, 1.0), 11.999999));
  int n;
  Pair big = stirling_log(min_(max_(m, 12.0), 400.0));
  big.l += argument.l * NV(log)(max_(m, 12.0));
  Pair e = exp_parts(big, &n);
  double positive = m < 12.0 ? (below ? (g.h + g.l) / x : g.h + g.l) : scale(e.h + e.l, n);
  // the reflection's product may leave the doubles where its quotient does not
  double s = NV(sinpi)(a);
  Pair base = m < 12.0 ? g : e;
  double quotient = scale(-PI / (s * (base.h + base.l)), m < 12.0 ? 0 : (n > 1100 ? -1100 : -n));
  quotient = a > 184.0 ? with_sign(0.0, -s) : quotient;
  double result = x < 0.0 ? quotient : positive;
  result = x == 0.0 ? with_sign(INF, x) : result;
  result = abs_(x) < 0x1p-54 && x != 0.0 ? 1.0 / x : result;
  result = x < 0.0 && __nvvm_floor_d(x) == x ? NAN_D : result;
  return x == INF ? x : (is_nan(x) ? x : result);
}
INLINE double lgamma_positive(double x) {  // x > 0
  // near 1 and 2 by u P(u); between 2.5 and 12 by steps down to [1.5, 2.5)
  Pair product = {1.0, 0.0};
  double f = min_(x, 12.0);
  for (int i = 0; i < 10; ++i) {
    int more = f >= 2.5;
    Pair next = scale_pair(product, f - 1.0);
    product = more ? next : product;
    f = more ? f - 1.0 : f;
  }
  // below 1.5: lgamma(x) = lgamma(x + 1) - log x, below 0.5 twice
  int once = f < 1.5, twice = f < 0.5;
  double u = twice ? f : (once ? f - 1.0 : f - 2.0);
  double v = twice ? u - 0.0 : u;
  double near = v * POLY(lgamma_two, twice ? v : u);
  double l1 = NV(log1p)(twice ? f : f - 1.0), l0 = NV(log)(twice ? f : 1.0);
  double low = twice ? near - l1 - l0 : (once ? near - l1 : near + NV(log)(product.h));
  double middle = x - 1.5;  // between 1.2 and 1.8, where the differences above cancel
  low = abs_(middle) < 0.3 ? POLY(lgamma_middle, middle) : low;
  Pair s = stirling_log(min_(max_(x, 12.0), 0x1p1000));
  double result = x < 12.0 ? low : s.h + s.l;
  return x > 0x1p1000 ? x * (NV(log)(x) - 1.0) : result;
}
double NV(lgamma)(double x) {
  double a = abs_(x);
  double positive = lgamma_positive(a < 0x1p-60 ? 1.0 : a);
  double s = abs_(NV(sinpi)(a));
  double reflected = NV(log)(PI / (a * s)) - positive;
  double result = x < 0.0 ? reflected : positive;
  result = a < 0x1p-60 ? -NV(log)(a) : result;
  result = x <= 0.0 && __nvvm_floor_d(x) == x ? INF : result;
  return a == INF ? INF : (is_nan(x) ? x : result);
}
float NV(lgammaf)(float x) { return (float)NV(lgamma)((double)x); }
float NV(tgammaf)(float x) { return (float)NV(tgamma)((double)x); }

// Bessel functions: below 8 their power series in pairs, right up to their zeros; beyond by Hankel's expansion.
INLINE Pair series_pair(const double* high, const double* low, int n, Pair q) {
  Pair r = {high[n - 1], low[n - 1]};
  for (int i = n - 2; i >= 0; --i) r = add_pairs(multiply_pairs(r, q), (Pair){high[i], low[i]});
  return r;
}
#define SERIES(name, q) series_pair(name##_high, name##_low, sizeof(name##_high) / sizeof(double), q)
INLINE Pair quarter_square(double x) {
  Pair q = two_product(x, x);
  return (Pair){q.h * 0.25, q.l * 0.25};
}
INLINE Pair j_series(int order, double x) {
  Pair q = quarter_square(x);
  return order ? scale_pair(SERIES(j1_series, q), 0.5 * x) : SERIES(j0_series, q);
}
INLINE double hankel(int order, double x, int is_second) {  // x >= 8
  double r = 8.0 / x, w = r * r;
  double p = order ? POLY(j1_p, w) : POLY(j0_p, w), q = (order ? POLY(j1_q, w) : POLY(j0_q, w)) * r;
  double s, c;
  NV(sincos)(x, &s, &c);
  // the angle less pi / 4 or 3 pi / 4: cosine and sine of it are (c + s, s - c) or (s - c, -s - c), over sqrt(2)
  double cosine = order ? s - c : c + s, sine = order ? -s - c : s - c;
  double amplitude = sqrt_(1.0 / x) * (SQRT_TWO_OVER_PI * SQRT_HALF);
  double result = is_second ? fma_(p, sine, q * cosine) : fma_(p, cosine, -q * sine);
  return x == INF ? 0.0 : amplitude * result;
}
INLINE double bessel_j(int order, double x) {
  double a = abs_(x), result;
  if (a < 8.0) {
    Pair j = j_series(order, a);
    result = j.h + j.l;
  } else {
    result = hankel(order, a, 0);
  }
  return is_nan(x) ? x : (order && x < 0.0 ? -result : result);
}
INLINE double bessel_y(int order, double x) {
  double result;
  if (x < 8.0) {
    double m = max_(x, 0x1p-1000);
    Pair l = add_pairs(log_pair(0.5 * m, 1), P(EULER));
    Pair j = multiply_pairs(l, j_series(order, m)), sum, q = quarter_square(m);
    if (order == 0) {  // 2 / pi ((log(x / 2) + gamma) J0 + series)
      sum = add_pairs(j, SERIES(y0_series, q));
    } else {  // 2 / pi ((log(x / 2) + gamma) J1 - 1 / x - x / 4 series)
      Pair inverse = divide_pairs((Pair){-1.0, 0.0}, (Pair){m, 0.0});
      sum = add_pairs(add_pairs(j, scale_pair(SERIES(y1_series, q), -0.25 * m)), inverse);
    }
    sum = multiply_pairs(sum, P(TWO_OVER_PI));
    result = sum.h + sum.l;
    result = order && x < 0x1p-100 ? -TWO_OVER_PI / x : result;
    result = !order && x < 0x1p-1000 ? TWO_OVER_PI * (NV(log)(x) - LN2 + EULER) : result;
  } else {
    result = hankel(order, x, 1);
  }
  result = x == 0.0 ? -INF : (x < 0.0 ? NAN_D : result);
  return is_nan(x) ? x : result;
}
static __attribute__((noinline)) double anywarp_bessel_j0(double x) { return bessel_j(0, x); }
static __attribute__((noinline)) double anywarp_bessel_j1(double x) { return bessel_j(1, x); }
static __attribute__((noinline)) double anywarp_bessel_y0(double x) { return bessel_y(0, x); }
static __attribute__((noinline)) double anywarp_bessel_y1(double x) { return bessel_y(1, x); }
double NV(j0)(double x) { return anywarp_bessel_j0(x); }
double NV(j1)(double x) { return anywarp_bessel_j1(x); }
double NV(y0)(double x) { return anywarp_bessel_y0(x); }
double NV(y1)(double x) { return anywarp_bessel_y1(x); }
// Upwards from 0 and 1 where n < x; for larger n downwards from where J is nothing (Miller), normed by J0 + 2 J2 + 2 J4 + ... = 1.
double NV(jn)(int n, double x) {
  double a = abs_(x);
  if (n < 0) return NAN_D;
  if (is_nan(x)) return x;
  if (n == 0) return anywarp_bessel_j0(x);
  if (n == 1) return anywarp_bessel_j1(x);
  double result;
  if (a == INF || a == 0.0) {
    result = 0.0;
  } else if ((double)n <= a) {
    double before = anywarp_bessel_j0(a), now = anywarp_bessel_j1(a);
    for (int k = 1; k < n; ++k) {
      double next = fma_(2.0 * k / a, now, -before);
      before = now;
      now = next;
    }
    result = now;
  } else {
    int start = 2 * ((n + 20 + (int)sqrt_(60.0 * n)) / 2);
    double after = 0.0, now = 0x1p-500, sum = 0.0, wanted = 0.0;
    for (int k = start; k > 0; --k) {
      double before = fma_(2.0 * k / a, now, -after);
      after = now;
      now = before;
      if (abs_(now) > 0x1p500) {
        now *= 0x1p-1000;
        after *= 0x1p-1000;
        sum *= 0x1p-1000;
        wanted *= 0x1p-1000;
      }
      if (k - 1 == n) wanted = now;
      if ((k - 1) % 2 == 0) sum += k == 1 ? now : 2.0 * now;
    }
    result = wanted / sum;
  }
  return n & 1 && x < 0.0 ? -result : result;
}
double NV(yn)(int n, double x) {
  if (n < 0) return NAN_D;
  double before = anywarp_bessel_y0(x);
  if (n == 0 || !(x > 0.0)) return before;
  double now = anywarp_bessel_y1(x);
  if (x == INF) return 0.0;
  for (int k = 1; k < n; ++k) {
    double next = fma_(2.0 * k / x, now, -before);
    before = now;
    now = next;
    if (now == -INF) break;
  }
  return now;
}
float NV(j0f)(float x) { return (float)anywarp_bessel_j0((double)x); }
float NV(j1f)(float x) { return (float)anywarp_bessel_j1((double)x); }
float NV(y0f)(float x) { return (float)anywarp_bessel_y0((double)x); }
float NV(y1f)(float x) { return (float)anywarp_bessel_y1((double)x); }
float NV(jnf)(int n, float x) { return (float)NV(jn)(n, (double)x); }
float NV(ynf)(int n, float x) { return (float)NV(yn)(n, (double)x); }

INLINE double modified_bessel(int order, double x) {
  double a = abs_(x), q = min_(a, 8.0) * min_(a, 8.0) * 0.25;
  double near = order ? 0.5 * a * POLY(i1_series, q) : POLY(i0_series, q);
  double m = min_(max_(a, 8.0), 720.0), w = 8.0 / m;
  double p = order ? POLY(i1_far, w) : POLY(i0_far, w);
  int n;
  Pair e = exp_parts((Pair){m, 0.0}, &n);
  double far = scale((e.h + e.l) * (p / sqrt_(m)), n);
  far = a > 719.0 ? INF : far;
  double result = a < 8.0 ? near : far;
  return is_nan(x) ? x : (order ? with_sign(result, x) : result);
}
double NV(cyl_bessel_i0)(double x) { return modified_bessel(0, x); }
double NV(cyl_bessel_i1)(double x) { return modified_bessel(1, x); }
float NV(cyl_bessel_i0f)(float x) { return (float)modified_bessel(0, (double)x); }
float NV(cyl_bessel_i1f)(float x) { return (float)modified_bessel(1, (double)x); }
