// Exponentials, logarithms, powers. An exponential is 2^n (1 + r + r^2 q(r)) with |r| <= ln 2 / 2; a logarithm of 2^k (1 + f) is
// k ln 2 + 2 atanh s, s = f / (2 + f), whose leading terms are kept to twice the precision where more than the last place counts.
#pragma once
#include "common.h"

// e^r for a small r, as a pair.
INLINE Pair exp_pair(Pair r) {
  r = quick_sum(r.h, r.l);
  double tail = fma_(r.h * r.h, POLY(exp_rest, r.h), r.l);
  Pair s = quick_sum(r.h, tail);
  Pair one = quick_sum(1.0, s.h);
  return (Pair){one.h, one.l + s.l};
}

// e^x = result * 2^n.
INLINE Pair exp_parts(Pair x, int* n) {
  double t = fma_(x.h, INV_LN2, MAGIC), k = t - MAGIC;
  *n = (int)(u32)double_bits(t);
  double a = fma_(-k, LN2_TOP, x.h);  // exact
  Pair r = two_sum(a, -k * LN2_REST);
  return exp_pair((Pair){r.h, r.l + x.l});
}

INLINE double exp_of_pair(Pair x) {
  int n;
  double h = min_(max_(x.h, -800.0), 800.0);
  Pair e = exp_parts((Pair){h, h == x.h ? x.l : 0.0}, &n);
  double result = scale(e.h + e.l, n);
  return is_nan(x.h) ? x.h : result;
}

double NV(exp)(double x) { return exp_of_pair((Pair){x, 0.0}); }

double NV(exp2)(double x) {
  double h = min_(max_(x, -1200.0), 1200.0);
  double t = h + MAGIC, k = t - MAGIC;
  Pair e = exp_pair(scale_pair(P(LN2), h - k));
  double result = scale(e.h + e.l, (int)(u32)double_bits(t));
  return is_nan(x) ? x : result;
}

double NV(exp10)(double x) {
  double h = min_(max_(x, -400.0), 400.0);
  double t = fma_(h, INV_LN2 * LN10, MAGIC), k = t - MAGIC;
  double a = fma_(-k, LOG10_2_TOP, h);
  Pair e = exp_pair(multiply_pairs(P(LN10), two_sum(a, -k * LOG10_2_REST)));
  double result = scale(e.h + e.l, (int)(u32)double_bits(t));
  return is_nan(x) ? x : result;
}

// e^x - 1 as a pair, |x| <= 60.
INLINE Pair expm1_pair(Pair x) {
  double t = fma_(x.h, INV_LN2, MAGIC), k = t - MAGIC;
  double a = fma_(-k, LN2_TOP, x.h);
  Pair r = two_sum(a, -k * LN2_REST);
  r = quick_sum(r.h, r.l + x.l);
  double tail = fma_(r.h * r.h, POLY(exp_rest, r.h), r.l);
  double two = power_of_two((int)(u32)double_bits(t));
  Pair s = two_sum(two - 1.0, two * r.h);
  return quick_sum(s.h, fma_(two, tail, s.l));
}

double NV(expm1)(double x) {
  Pair e = expm1_pair((Pair){min_(max_(x, -50.0), 36.0), 0.0});
  double small = e.h + e.l, large = NV(exp)(x);
  double result = x > 36.0 ? large : small;
  result = abs_(x) < 0x1p-54 ? x : result;
  return is_nan(x) ? x : result;
}

// log(1 + f) for 1 + f between sqrt(1/2) and sqrt(2): relative error 2^-60, or 2^-66 where `is_long`.
INLINE Pair log_of_fraction(Pair f, int is_long) {
  Pair y = quick_sum(2.0, f.h);
  y.l += f.l;
  double s = f.h / y.h;
  double rest = fma_(-s, y.h, f.h) + fma_(-s, y.l, f.l);
  double low = rest / y.h, z = s * s;
  if (!is_long) {
    double tail = fma_(s * z, POLY(log_rest, z), low + low);
    return quick_sum(s + s, tail);
  }
  Pair p = quick_sum(s, low), square = multiply_pairs(p, p);
  Pair c = add_pairs(P(TWO_FIFTHS), scale_pair(square, POLY(log_tail, z)));
  c = add_pairs(P(TWO_THIRDS), multiply_pairs(square, c));
  c = multiply_pairs(multiply_pairs(square, p), c);
  return add_pairs((Pair){p.h + p.h, p.l + p.l}, c);
}

// x = 2^k (1 + f): f; x is positive, finite and normal, or `fixed_up`.
INLINE double log_reduce(double x, int* k) {
  int small = x < 0x1p-1022;
  u64 bits = double_bits(small ? x * 0x1p54 : x) - double_bits(SQRT_HALF);
  int e = (int)((s64)bits >> 52);
  double m = bits_to_double((bits & 0xffffffffffffful) + double_bits(SQRT_HALF));
  *k = e - (small ? 54 : 0);
  return m - 1.0;
}

INLINE Pair log_pair(double x, int is_long) {
  int k;
  double f = log_reduce(x, &k), e = (double)k;
  Pair l = log_of_fraction((Pair){f, 0.0}, is_long);
  Pair s = two_sum(e * LN2_TOP, l.h);
  return quick_sum(s.h, s.l + fma_(e, LN2_REST, l.l));
}

// Logarithms of 0, of negative numbers, of infinity and NaN.
INLINE double log_special(double x, double result) {
  result = x == INF ? x : result;
  result = x == 0.0 ? -INF : result;
  return x < 0.0 || is_nan(x) ? (is_nan(x) ? x : NAN_D) : result;
}

double NV(log)(double x) {
  Pair l = log_pair(x, 0);
  return log_special(x, l.h + l.l);
}

double NV(log2)(double x) {
  int k;
  double f = log_reduce(x, &k);
  Pair l = multiply_pairs(log_of_fraction((Pair){f, 0.0}, 0), P(INV_LN2));
  Pair s = two_sum((double)k, l.h);
  return log_special(x, s.h + (s.l + l.l));
}

double NV(log10)(double x) {
  int k;
  double f = log_reduce(x, &k), e = (double)k;
  Pair l = multiply_pairs(log_of_fraction((Pair){f, 0.0}, 0), P(INV_LN10));
  Pair s = two_sum(e * LOG10_2_TOP, l.h);
  return log_special(x, s.h + (s.l + fma_(e, LOG10_2_REST, l.l)));
}

INLINE double log1p_of_pair(Pair x) {
  Pair u = two_sum(1.0, x.h);
  u.l += x.l;
  int k;
  double f = log_reduce(u.h, &k), e = (double)k;
  Pair l = log_of_fraction(k == 0 ? quick_sum(f, u.l) : (Pair){f, scale(u.l, -k)}, 0);
  Pair s = two_sum(e * LN2_TOP, l.h);
  double result = s.h + (s.l + fma_(e, LN2_REST, l.l));
  return abs_(x.h) < 0x1p-54 ? x.h + x.l : result;
}

double NV(log1p)(double x) {
  double result = log1p_of_pair((Pair){x, 0.0});
  result = x == INF || x == 0.0 ? x : result;
  result = x == -1.0 ? -INF : result;
  return x < -1.0 || is_nan(x) ? (is_nan(x) ? x : NAN_D) : result;
}

double NV(logb)(double x) {
  int k;
  u64 bits = double_bits(abs_(x));
  k = (int)(bits >> 52) - 1023;
  k = bits < (1ul << 52) ? -1011 - leading_zeros(bits) : k;
  double result = (double)k;
  result = bits == 0 ? -INF : result;
  return bits >= 0x7fful << 52 ? x * x : result;
}

// |x|^y for a positive finite x and a finite y.
INLINE double power_of_positive(double x, double y) {
  Pair l = log_pair(x, 1);
  y = min_(max_(y, -0x1p70), 0x1p70);
  return exp_of_pair(scale_pair(l, y));
}

double NV(pow)(double x, double y) {
  double a = abs_(x);
  double result = power_of_positive(a == 0.0 || a == INF ? 1.0 : a, y);
  double half_y = y * 0.5;
  int is_integer = __nvvm_floor_d(y) == y, is_odd = is_integer && __nvvm_floor_d(half_y) != half_y && abs_(y) < 0x1p53;
  result = a == 0.0 ? (y < 0.0 ? INF : 0.0) : result;
  result = a == INF ? (y < 0.0 ? 0.0 : INF) : result;
  result = abs_(y) == INF ? (a == 1.0 ? 1.0 : ((a > 1.0) == (y > 0.0) ? INF : 0.0)) : result;
  result = is_odd && double_bits(x) >> 63 ? -result : result;
  result = x < 0.0 && is_finite(x) && is_finite(y) && !is_integer ? NAN_D : result;
  result = is_nan(x) || is_nan(y) ? x + y : result;
  return y == 0.0 || x == 1.0 ? 1.0 : result;
}
double NV(powi)(double x, int n) { return NV(pow)(x, (double)n); }

// Single precision: the same in double, with shorter polynomials.
INLINE double exp_short_of(double x, double to_binary, double top, double rest, double base) {
  double t = fma_(x, to_binary, MAGIC), k = t - MAGIC;
  double r = fma_(-k, rest, fma_(-k, top, x)) * base;
  double e = fma_(r * r, POLY(exp_short, r), 1.0 + r);
  return bits_to_double(double_bits(e) + (double_bits(t) << 52));  // |n| < 1000
}
INLINE float exp_clamped(float x, double least, double most, double to_binary, double top, double rest, double base) {
  float result = (float)exp_short_of(min_(max_((double)x, least), most), to_binary, top, rest, base);
  return x != x ? x : result;
}
float NV(expf)(float x) { return exp_clamped(x, -200.0, 200.0, INV_LN2, LN2_TOP, LN2_REST, 1.0); }
float NV(exp2f)(float x) { return exp_clamped(x, -300.0, 300.0, 1.0, 1.0, 0.0, LN2); }
float NV(exp10f)(float x) { return exp_clamped(x, -90.0, 90.0, INV_LN2 * LN10, LOG10_2_TOP, LOG10_2_REST, LN10); }
float NV(expm1f)(float x) {
  double d = min_(max_((double)x, -40.0), 200.0);
  double r = fma_(d * d, POLY(exp_rest, d), d);
  double large = exp_short_of(d, INV_LN2, LN2_TOP, LN2_REST, 1.0) - 1.0;
  float result = (float)(abs_(d) < 0.34 ? r : large);
  return x != x || x == 0.0f ? x : result;
}

// log2 of a positive normal double times `factor`.
INLINE double log_short_of(double x, double factor, double ln2) {
  u64 bits = double_bits(x) - double_bits(SQRT_HALF);
  double e = (double)(int)((s64)bits >> 52);
  double f = bits_to_double((bits & 0xffffffffffffful) + double_bits(SQRT_HALF)) - 1.0;
  double s = f / (2.0 + f), z = s * s;
  return fma_(e, ln2, factor * fma_(s * z, POLY(log_short, z), s + s));
}
INLINE float log_special_f(float x, double result) { return (float)log_special((double)x, result); }
float NV(logf)(float x) { return log_special_f(x, log_short_of(x, 1.0, LN2)); }
float NV(log2f)(float x) { return log_special_f(x, log_short_of(x, INV_LN2, 1.0)); }
float NV(log10f)(float x) { return log_special_f(x, log_short_of(x, INV_LN10, LOG10_2)); }
float NV(log1pf)(float x) {
  double d = x;
  double small = fma_(d * d, fma_(d, 1.0 / 3.0, -0.5), d);
  float result = log_special_f((float)(1.0 + d), log_short_of(1.0 + d, 1.0, LN2));
  result = x < -1.0f ? bits_to_float(0x7fc00000) : result;
  result = x == -1.0f ? (float)-INF : result;
  result = abs_(d) < 0x1p-10 ? (float)small : result;
  return x != x || x == 0.0f || x == (float)INF ? x : result;
}
float NV(logbf)(float x) { return (float)NV(logb)((double)x); }

float NV(powf)(float xf, float yf) {
  double x = xf, y = yf, a = abs_(x);
  double l;
  {  // as log_short_of, with all its terms: the error is multiplied by up to 128
    double m = a == 0.0 || a == INF ? 1.0 : a;
    int k;
    double f = log_reduce(m, &k), s = f / (2.0 + f), z = s * s;
    l = fma_((double)k, LN2, fma_(s * z, POLY(log_rest, z), s + s));
  }
  double t = min_(max_(l * y, -200.0), 200.0);
  double result = exp_short_of(t, INV_LN2, LN2_TOP, LN2_REST, 1.0);
  double half_y = y * 0.5;
  int is_integer = __nvvm_floor_d(y) == y, is_odd = is_integer && __nvvm_floor_d(half_y) != half_y;
  result = a == 0.0 ? (y < 0.0 ? INF : 0.0) : result;
  result = a == INF ? (y < 0.0 ? 0.0 : INF) : result;
  result = abs_(y) == INF ? (a == 1.0 ? 1.0 : ((a > 1.0) == (y > 0.0) ? INF : 0.0)) : result;
  result = is_odd && double_bits(x) >> 63 ? -result : result;
  result = x < 0.0 && is_finite(x) && is_finite(y) && !is_integer ? NAN_D : result;
  result = is_nan(x) || is_nan(y) ? x + y : result;
  return y == 0.0 || x == 1.0 ? 1.0f : (float)result;
}
float NV(powif)(float x, int n) { return (float)NV(pow)((double)x, (double)n); }
