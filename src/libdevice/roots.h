// Roots and norms.
#pragma once
#include "common.h"

INLINE Pair square_sum(double scale_, double a, double b, double c, double d) {
  a *= scale_, b *= scale_, c *= scale_, d *= scale_;
  return add_pairs(add_pairs(two_product(a, a), two_product(b, b)), add_pairs(two_product(c, c), two_product(d, d)));
}
// The power of two that brings the largest of some numbers near 1.
INLINE double unit_for(double largest) {
  int e = (int)(double_bits(largest) >> 52);
  e = e < 24 ? 24 : (e > 2022 ? 2022 : e);
  return power_of_two(1023 - e);
}
INLINE double norm_of(double a, double b, double c, double d, int is_reciprocal) {
  a = abs_(a), b = abs_(b), c = abs_(c), d = abs_(d);
  double largest = max_(max_(a, b), max_(c, d));
  double unit = unit_for(largest);
  Pair root = sqrt_pair(square_sum(unit, a, b, c, d));
  double result;
  if (is_reciprocal) {
    Pair q = divide_pairs((Pair){1.0, 0.0}, root);
    result = (q.h + q.l) * unit;
  } else {
    result = (root.h + root.l) * (1.0 / unit);
  }
  double zero = is_reciprocal ? INF : 0.0, infinite = is_reciprocal ? 0.0 : INF;
  result = largest == 0.0 ? zero : result;
  result = is_nan(a + b + c + d) ? NAN_D : result;
  return largest == INF ? infinite : result;
}
double NV(hypot)(double a, double b) { return norm_of(a, b, 0.0, 0.0, 0); }
double NV(rhypot)(double a, double b) { return norm_of(a, b, 0.0, 0.0, 1); }
double NV(norm3d)(double a, double b, double c) { return norm_of(a, b, c, 0.0, 0); }
double NV(rnorm3d)(double a, double b, double c) { return norm_of(a, b, c, 0.0, 1); }
double NV(norm4d)(double a, double b, double c, double d) { return norm_of(a, b, c, d, 0); }
double NV(rnorm4d)(double a, double b, double c, double d) { return norm_of(a, b, c, d, 1); }

INLINE double norm_of_many(int n, const double* p, int is_reciprocal) {
  double largest = 0.0;
  int has_nan = 0;
  for (int i = 0; i < n; ++i) {
    largest = max_(largest, abs_(p[i]));
    has_nan |= is_nan(p[i]);
  }
  double unit = unit_for(largest);
  Pair sum = {0.0, 0.0};
  for (int i = 0; i < n; ++i) {
    double a = p[i] * unit;
    sum = add_pairs(sum, two_product(a, a));
  }
  Pair root = sqrt_pair(sum);
  Pair q = divide_pairs((Pair){1.0, 0.0}, root);
  double result = is_reciprocal ? (q.h + q.l) * unit : (root.h + root.l) * (1.0 / unit);
  result = largest == 0.0 ? (is_reciprocal ? INF : 0.0) : result;
  result = has_nan ? NAN_D : result;
  return largest == INF ? (is_reciprocal ? 0.0 : INF) : result;
}
double NV(norm)(int n, const double* p) { return norm_of_many(n, p, 0); }
double NV(rnorm)(int n, const double* p) { return norm_of_many(n, p, 1); }

// In double nothing of these overflows, and one rounding is enough.
INLINE float float_norm(double sum, int is_infinite, int is_reciprocal) {
  double root = sqrt_(sum);
  float result = (float)(is_reciprocal ? 1.0 / root : root);
  return is_infinite ? (is_reciprocal ? 0.0f : (float)INF) : result;
}
INLINE int any_infinite(float a, float b, float c, float d) {
  return abs_(a) == INF || abs_(b) == INF || abs_(c) == INF || abs_(d) == INF;
}
INLINE double squares(double a, double b, double c, double d) { return fma_(a, a, fma_(b, b, fma_(c, c, d * d))); }
#define FLOAT_NORM(name, parameters, a, b, c, d, is_reciprocal) \
  float NV(name) parameters { return float_norm(squares(a, b, c, d), any_infinite(a, b, c, d), is_reciprocal); }
FLOAT_NORM(hypotf, (float a, float b), a, b, 0.0f, 0.0f, 0)
FLOAT_NORM(rhypotf, (float a, float b), a, b, 0.0f, 0.0f, 1)
FLOAT_NORM(norm3df, (float a, float b, float c), a, b, c, 0.0f, 0)
FLOAT_NORM(rnorm3df, (float a, float b, float c), a, b, c, 0.0f, 1)
FLOAT_NORM(norm4df, (float a, float b, float c, float d), a, b, c, d, 0)
FLOAT_NORM(rnorm4df, (float a, float b, float c, float d), a, b, c, d, 1)
INLINE float float_norm_of_many(int n, const float* p, int is_reciprocal) {
  double sum = 0.0;
  int is_infinite = 0;
  for (int i = 0; i < n; ++i) {
    double a = p[i];
    sum = fma_(a, a, sum);
    is_infinite |= abs_(a) == INF;
  }
  return float_norm(sum, is_infinite, is_reciprocal);
}
float NV(normf)(int n, const float* p) { return float_norm_of_many(n, p, 0); }
float NV(rnormf)(int n, const float* p) { return float_norm_of_many(n, p, 1); }

// A cube root of |x|, brought between 1 and 8, and the power of two that brings it back.
INLINE Pair cube_root(double x, double* back) {
  double a = abs_(x);
  int small = a < 0x1p-1022;
  u64 bits = double_bits(small ? a * 0x1p54 : a);
  int e = (int)(bits >> 52) - 1023;
  int third = (e + 3072) / 3 - 1024;
  double m = bits_to_double((bits & 0xffffffffffffful) | (u64)(u32)(e - 3 * third + 1023) << 52);
  *back = power_of_two(third - (small ? 18 : 0));
  // linear in m, then steps of third order: t (t^3 + 2 m) / (2 t^3 + m)
  double t = m < 2.0 ? fma_(m, 0.26, 0.745) : (m < 4.0 ? fma_(m, 0.164, 0.937) : fma_(m, 0.1032, 1.181));
#pragma clang loop unroll(full)
  for (int i = 0; i < 2; ++i) {
    double c = t * t * t;
    t = t * (c + 2.0 * m) / (2.0 * c + m);
  }
  // and one of Newton whose residual is exact
  Pair square = two_product(t, t);
  double residual = fma_(-square.h, t, m) - square.l * t;
  return quick_sum(t, residual / (3.0 * square.h));
}
double NV(cbrt)(double x) {
  double back;
  Pair t = cube_root(x, &back);
  double result = with_sign((t.h + t.l) * back, x);
  return x == 0.0 || !(abs_(x) < INF) ? x : result;
}
double NV(rcbrt)(double x) {
  double back;
  Pair t = divide_pairs((Pair){1.0, 0.0}, cube_root(x, &back));
  double result = with_sign(t.h + t.l, x) * (1.0 / back);
  result = x == 0.0 ? with_sign(INF, x) : result;
  result = abs_(x) == INF ? with_sign(0.0, x) : result;
  return is_nan(x) ? x : result;
}
float NV(cbrtf)(float x) { return x == 0.0f ? x : (float)NV(cbrt)((double)x); }
float NV(rcbrtf)(float x) { return (float)NV(rcbrt)((double)x); }
double NV(rsqrt)(double x) {
  double unit = x < 0x1p-1000 ? 0x1p120 : 1.0;
  Pair root = sqrt_pair((Pair){x * unit, 0.0});
  Pair q = divide_pairs((Pair){1.0, 0.0}, root);
  double result = (q.h + q.l) * (unit == 1.0 ? 1.0 : 0x1p60);
  result = x == 0.0 ? with_sign(INF, x) : result;
  result = x == INF ? 0.0 : result;
  return x < 0.0 ? NAN_D : (is_nan(x) ? x : result);
}
float NV(rsqrtf)(float x) { return (float)(1.0 / sqrt_((double)x)); }
float NV(frsqrt_rn)(float x) { return NV(rsqrtf)(x); }
