// What the functions are written with: the machine's operations by name, polynomials, and numbers as sums of two doubles.
#pragma once
#include "coefficients.h"

#define INLINE static inline __attribute__((always_inline))
typedef unsigned int u32;
typedef unsigned long u64;
typedef long s64;
#define NV(name) __nv_##name

#define INF (__builtin_inf())
#define NAN_D (bits_to_double(0x7ff8000000000000ul))
#define MAGIC 0x1.8p52  // adding and subtracting it rounds to an integer

INLINE double fma_(double a, double b, double c) { return __nvvm_fma_rn_d(a, b, c); }
INLINE float fmaf_(float a, float b, float c) { return __nvvm_fma_rn_f(a, b, c); }
INLINE double abs_(double a) { return __nvvm_fabs_d(a); }
INLINE double sqrt_(double a) { return __nvvm_sqrt_rn_d(a); }
INLINE double min_(double a, double b) { return __nvvm_fmin_d(a, b); }
INLINE double max_(double a, double b) { return __nvvm_fmax_d(a, b); }
INLINE u64 double_bits(double a) { return __builtin_bit_cast(u64, a); }
INLINE double bits_to_double(u64 a) { return __builtin_bit_cast(double, a); }
INLINE u32 float_bits(float a) { return __builtin_bit_cast(u32, a); }
INLINE float bits_to_float(u32 a) { return __builtin_bit_cast(float, a); }
INLINE int leading_zeros(u64 a) { return a ? __builtin_clzl(a) : 64; }
INLINE double with_sign(double magnitude, double sign) {
  return bits_to_double((double_bits(magnitude) & ~(1ul << 63)) | (double_bits(sign) & (1ul << 63)));
}
INLINE int is_nan(double a) { return a != a; }
INLINE int is_finite(double a) { return abs_(a) < INF; }

// 2^n, -1022 <= n <= 1023.
INLINE double power_of_two(int n) { return bits_to_double((u64)(u32)(n + 1023) << 52); }
// a * 2^n, rounded once at most where |a| is about 1: two steps reach all doubles.
INLINE double scale(double a, int n) {
  int half = n >> 1;
  return a * power_of_two(half) * power_of_two(n - half);
}

INLINE double poly_(const double* c, int n, double x) {
  double r = c[n - 1];
#pragma clang loop unroll(full)
  for (int i = n - 2; i >= 0; --i) r = fma_(r, x, c[i]);
  return r;
}
#define POLY(table, x) poly_(table, sizeof(table) / sizeof(table[0]), x)

typedef struct {
  double h, l;  // h + l, |l| at most half a unit in the last place of h
} Pair;
#define P(constant) ((Pair){constant, constant##_LOW})

INLINE Pair two_sum(double a, double b) {
  double s = a + b, t = s - a;
  return (Pair){s, (a - (s - t)) + (b - t)};
}
INLINE Pair quick_sum(double a, double b) {  // |a| >= |b|, or a is 0
  double s = a + b;
  return (Pair){s, b - (s - a)};
}
INLINE Pair two_product(double a, double b) {
  double p = a * b;
  return (Pair){p, fma_(a, b, -p)};
}
INLINE Pair add_pairs(Pair a, Pair b) {
  Pair s = two_sum(a.h, b.h), t = two_sum(a.l, b.l);
  s = quick_sum(s.h, s.l + t.h);
  return quick_sum(s.h, s.l + t.l);
}
INLINE Pair multiply_pairs(Pair a, Pair b) {
  Pair p = two_product(a.h, b.h);
  return quick_sum(p.h, p.l + fma_(a.h, b.l, a.l * b.h));
}
INLINE Pair scale_pair(Pair a, double b) {
  Pair p = two_product(a.h, b);
  return quick_sum(p.h, fma_(a.l, b, p.l));
}
INLINE Pair divide_pairs(Pair a, Pair b) {
  double q = a.h / b.h;
  double rest = fma_(-q, b.h, a.h) + fma_(-q, b.l, a.l);
  return quick_sum(q, rest / b.h);
}
INLINE Pair sqrt_pair(Pair a) {
  double r = sqrt_(a.h);
  double rest = fma_(-r, r, a.h) + a.l;
  return a.h > 0 ? quick_sum(r, rest / (r + r)) : (Pair){r, 0.0};
}

