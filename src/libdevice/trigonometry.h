// Sines and their inverses. Arguments are reduced by multiples of pi / 2: by three parts of it (160 bits) up to 2^30, beyond by the bits of
// 2 / pi that count (Payne and Hanek).
#pragma once
#include "common.h"
#include "exp_log.h"

typedef struct {
  double h, l;
  s64 n;
} Reduced;

// |x| * 2 / pi, from 2^28 on: its fraction, between -1/2 and 1/2, times pi / 2, and the integer's last bits.
INLINE Reduced reduce_one(double x) {
  u64 bits = double_bits(x);
  u64 m = (bits & 0xffffffffffffful) | 1ul << 52;
  int exponent = (int)(bits >> 52 & 2047) - 1023 - 52;  // x = m * 2^exponent
  // Bit i of the table weighs 2^(63 - i). Those from 2^(3 - exponent) on give multiples of 8: the window begins behind them.
  int begin = exponent + 61, first = begin >> 6, shift = begin & 63;
  u64 w[4];
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; ++i) w[i] = anywarp_two_over_pi[first + i] << shift | (anywarp_two_over_pi[first + i + 1] >> 1) >> (63 - shift);
  // m times the window, as a number below 1: whole, p1, p2, p3; the words that are left out weigh less than 2^-192.
  u64 p3 = m * w[2] + __nvvm_mulhi_ull(m, w[3]), carry3 = p3 < m * w[2];
  u64 p2 = m * w[1] + __nvvm_mulhi_ull(m, w[2]), carry2 = p2 < m * w[1];
  p2 += carry3;
  carry2 += p2 < carry3;
  u64 p1 = m * w[0] + __nvvm_mulhi_ull(m, w[1]) + carry2;
  // That is an eighth of the product.
  int n = (int)(p1 >> 61);
  u64 high = p1 << 3 | p2 >> 61, low = p2 << 3 | p3 >> 61, lowest = p3 << 3;
  // to the nearest integer
  u64 above = high >> 63, sign = -above;
  n += (int)above;
  high ^= sign, low ^= sign, lowest ^= sign;  // one's complement: an error in the last bit of 192
  // high:low in two doubles of 53 bits, from the first bit that is set
  u64 top = high ? high : low, next = high ? low : lowest, last = high ? lowest : 0;
  int zeros = leading_zeros(top | 1);
  top = top << zeros | (next >> 1) >> (63 - zeros);
  next = next << zeros | (last >> 1) >> (63 - zeros);
  double unit = power_of_two(-zeros - (high ? 0 : 64));
  double a = (double)(top >> 11) * 0x1p-53, b = (double)((top << 53 | next >> 11) >> 11) * 0x1p-106;
  Pair f = multiply_pairs(quick_sum(a * unit, b * unit), P(PI_HALF));
  double s = above ? -1.0 : 1.0;
  return (Reduced){f.h * s, f.l * s, n};
}

INLINE u32 from_lane(u32 value, u32 lane, u32 mask) {
  u32 d;
  __asm__ volatile("shfl.sync.idx.b32 %0, %1, %2, 31, %3;" : "=r"(d) : "r"(value), "r"(lane), "r"(mask));
  return d;
}
// Lanes that come here together are served one by one: the numbers of one are the same for all, which is scalar code, a tenth of the code
// that 32 lanes with products of 64 bits would be. Few ever do.
static __attribute__((noinline, convergent)) Reduced anywarp_reduce_large(double x) {
  u32 mask, lane;
  __asm__ volatile("activemask.b32 %0;" : "=r"(mask));
  __asm__("mov.u32 %0, %%laneid;" : "=r"(lane));
  Reduced mine = {0.0, 0.0, 0};
  u64 bits = double_bits(x);
  for (u32 rest = mask; rest; rest &= rest - 1) {
    u32 leader = (u32)__builtin_ctz(rest);
    u64 low = from_lane((u32)bits, leader, mask), high = from_lane((u32)(bits >> 32), leader, mask);
    Reduced r = reduce_one(bits_to_double(low | high << 32));
    int is_mine = lane == leader;
    mine.h = is_mine ? r.h : mine.h;
    mine.l = is_mine ? r.l : mine.l;
    mine.n = is_mine ? r.n : mine.n;
  }
  return mine;
}

// x minus the nearest multiple of pi / 2, and that multiple's number modulo 4.
INLINE Pair reduce(double x, int* n) {
  double a = abs_(x);
  Pair r;
  if (a < 0x1p30) {
    double t = fma_(x, TWO_OVER_PI, MAGIC), k = t - MAGIC;
    *n = (int)(u32)double_bits(t);
    double first = fma_(-k, PI_HALF, x);  // exact
    Pair second = two_product(k, PI_HALF_LOW);
    r = two_sum(first, -second.h);
    r = quick_sum(r.h, r.l - fma_(k, PI_HALF_LOWEST, second.l));
  } else if (a < INF) {
    Reduced large = anywarp_reduce_large(a);
    *n = (int)(x < 0.0 ? -large.n : large.n);
    r = x < 0.0 ? (Pair){-large.h, -large.l} : (Pair){large.h, large.l};
  } else {
    r = (Pair){NAN_D, NAN_D};
    *n = 0;
  }
  return r;
}

INLINE double sin_kernel(Pair r) {
  double z = r.h * r.h;
  double low = fma_(z * r.h, POLY(sin_rest, z), fma_(-0.5 * z, r.l, r.l));
  return r.h + low;
}
INLINE double cos_kernel(Pair r) {
  double z = r.h * r.h;
  Pair one = quick_sum(1.0, -0.5 * z);
  double half_low = fma_(r.h, r.h, -z) * -0.5;  // of z
  return one.h + (one.l + fma_(z * z, POLY(cos_rest, z), half_low - r.h * r.l));
}
INLINE double choose_sin(Pair r, int n) {
  double s = sin_kernel(r), c = cos_kernel(r), v = n & 1 ? c : s;
  return n & 2 ? -v : v;
}

double NV(sin)(double x) {
  int n;
  Pair r = reduce(x, &n);
  double result = choose_sin(r, n);
  return x == 0.0 ? x : result;
}
double NV(cos)(double x) {
  int n;
  Pair r = reduce(x, &n);
  return choose_sin(r, n + 1);
}
void NV(sincos)(double x, double* s, double* c) {
  int n;
  Pair r = reduce(x, &n);
  double result = choose_sin(r, n);
  *s = x == 0.0 ? x : result;
  *c = choose_sin(r, n + 1);
}
double NV(tan)(double x) {
  int n;
  Pair r = reduce(x, &n);
  double s = sin_kernel(r), c = cos_kernel(r);
  double result = n & 1 ? -c / s : s / c;
  return x == 0.0 ? x : result;
}

INLINE Pair reduce_pi(double x, int* n) {
  double a = abs_(x) < 0x1p52 ? x : x - 2.0 * __nvvm_trunc_d(x * 0.5);
  double t = a * 2.0 + MAGIC, k = t - MAGIC;
  *n = (int)(u32)double_bits(t);
  return scale_pair(P(PI), fma_(-0.5, k, a));
}
double NV(sinpi)(double x) {
  int n;
  Pair r = reduce_pi(x, &n);
  double result = choose_sin(r, n);
  result = r.h == 0.0 && !(n & 1) ? with_sign(0.0, x) : result;
  return abs_(x) < INF ? result : NAN_D;
}
double NV(cospi)(double x) {
  int n;
  Pair r = reduce_pi(x, &n);
  double result = choose_sin(r, n + 1);
  result = r.h == 0.0 && n & 1 ? 0.0 : result;
  return abs_(x) < INF ? result : NAN_D;
}
void NV(sincospi)(double x, double* s, double* c) {
  *s = NV(sinpi)(x);
  *c = NV(cospi)(x);
}

// Single precision, in double.
INLINE double reduce_short(float x, int* n) {
  double d = x, r;
  if (abs_(d) < 0x1p28) {
    double t = fma_(d, TWO_OVER_PI, MAGIC), k = t - MAGIC;
    *n = (int)(u32)double_bits(t);
    r = fma_(-k, PI_HALF_LOW, fma_(-k, PI_HALF, d));
  } else if (abs_(d) < INF) {
    Reduced large = anywarp_reduce_large(abs_(d));
    *n = (int)(d < 0.0 ? -large.n : large.n);
    r = d < 0.0 ? -large.h : large.h;
  } else {
    r = NAN_D;
    *n = 0;
  }
  return r;
}
INLINE double choose_short(double r, int n) {
  double z = r * r;
  double s = fma_(z * r, POLY(sin_short, z), r), c = fma_(z * z, POLY(cos_short, z), fma_(-0.5, z, 1.0));
  double v = n & 1 ? c : s;
  return n & 2 ? -v : v;
}
float NV(sinf)(float x) {
  int n;
  double r = reduce_short(x, &n);
  float result = (float)choose_short(r, n);
  return x == 0.0f ? x : result;
}
float NV(cosf)(float x) {
  int n;
  double r = reduce_short(x, &n);
  return (float)choose_short(r, n + 1);
}
void NV(sincosf)(float x, float* s, float* c) {
  int n;
  double r = reduce_short(x, &n);
  float result = (float)choose_short(r, n);
  *s = x == 0.0f ? x : result;
  *c = (float)choose_short(r, n + 1);
}
float NV(tanf)(float x) {
  int n;
  double r = reduce_short(x, &n);
  float result = (float)(choose_short(r, n & 1 ? 1 : 0) / choose_short(r, n & 1 ? 2 : 1));
  return x == 0.0f ? x : result;
}
float NV(sinpif)(float x) {
  int n;
  double r = reduce_pi(x, &n).h;
  float result = (float)choose_short(r, n);
  result = r == 0.0 && !(n & 1) ? (float)with_sign(0.0, x) : result;
  return abs_(x) < INF ? result : bits_to_float(0x7fc00000);
}
float NV(cospif)(float x) {
  int n;
  double r = reduce_pi(x, &n).h;
  float result = (float)choose_short(r, n + 1);
  result = r == 0.0 && n & 1 ? 0.0f : result;
  return abs_(x) < INF ? result : bits_to_float(0x7fc00000);
}
void NV(sincospif)(float x, float* s, float* c) {
  *s = NV(sinpif)(x);
  *c = NV(cospif)(x);
}

// Inverses.
INLINE double asin_small(double x, double z) { return fma_(x * z, POLY(asin_rest, z), x); }

double NV(asin)(double x) {
  double a = abs_(x), z = fma_(-0.5, a, 0.5);
  Pair s = sqrt_pair((Pair){z, 0.0});
  // pi / 2 - 2 asin(sqrt((1 - a) / 2))
  double tail = fma_(s.h * z, POLY(asin_rest, z), s.l);
  Pair h = two_sum(PI_HALF, -2.0 * s.h);
  double large = h.h + (h.l + fma_(-2.0, tail, PI_HALF_LOW));
  double small = asin_small(a, a * a);
  double result = with_sign(a < 0.5 ? small : large, x);
  return a > 1.0 ? NAN_D : result;
}
double NV(acos)(double x) {
  double a = abs_(x), z = fma_(-0.5, a, 0.5);
  Pair s = sqrt_pair((Pair){z, 0.0});
  double tail = fma_(s.h * z, POLY(asin_rest, z), s.l);
  double near_one = 2.0 * (s.h + tail);
  Pair h = two_sum(PI, -2.0 * s.h);
  double near_minus_one = h.h + (h.l + fma_(-2.0, tail, PI_LOW));
  double x2 = x * x;
  Pair m = two_sum(PI_HALF, -x);
  double middle = m.h + (m.l + fma_(-x * x2, POLY(asin_rest, x2), PI_HALF_LOW));
  double result = a < 0.5 ? middle : (x > 0.0 ? near_one : near_minus_one);
  return a > 1.0 ? NAN_D : result;
}

// atan of y / x, both positive (0 and infinity too, not both 0): the angle.
INLINE double angle(double y, double x) {
  // below tan(pi / 8) itself, to its reciprocal by (t - 1) / (t + 1), beyond by -1 / t
  int small = y < 0.41421356237309503 * x, large = y > 2.414213562373095 * x;
  double top = small ? y : (large ? -x : y - x), bottom = small ? x : (large ? y : y + x);
  double t = top / bottom, z = t * t;
  double rest = fma_(-t, bottom, top) / bottom;
  double low = fma_(t * z, POLY(atan_rest, z), is_finite(rest) ? rest : 0.0);
  Pair base = small ? (Pair){0.0, 0.0} : (large ? P(PI_HALF) : P(PI_QUARTER));
  Pair s = quick_sum(base.h, t);
  return s.h + (s.l + (low + base.l));
}
double NV(atan)(double x) {
  double a = abs_(x);
  double result = angle(min_(a, 0x1p100), 1.0);
  result = a < 0x1p-27 ? a : result;
  return is_nan(x) ? x : with_sign(result, x);
}
double NV(atan2)(double y, double x) {
  double a = abs_(y), b = abs_(x);
  a = b == INF && a == INF ? 1.0 : a;
  b = b == INF && abs_(y) == INF ? 1.0 : b;
  double unit = max_(a, b) > 0x1p1000 ? 0x1p-100 : (max_(a, b) < 0x1p-900 ? 0x1p110 : 1.0);
  a *= unit, b *= unit;
  double acute = angle(a, b);
  acute = a == 0.0 ? 0.0 : acute;
  double direct = a / b;
  acute = b > 0.0 && direct < 0x1p-30 ? direct : acute;  // also where it is subnormal
  Pair s = two_sum(PI, -acute);
  double result = double_bits(x) >> 63 ? s.h + (s.l + PI_LOW) : acute;
  result = abs_(y) == INF && abs_(x) != INF ? PI_HALF : result;
  result = abs_(x) == INF && abs_(y) != INF ? (x > 0.0 ? 0.0 : PI) : result;
  return is_nan(x) || is_nan(y) ? x + y : with_sign(result, y);
}
float NV(asinf)(float x) { return x == 0.0f ? x : (float)NV(asin)((double)x); }
float NV(acosf)(float x) { return (float)NV(acos)((double)x); }
float NV(atanf)(float x) { return (float)NV(atan)((double)x); }
float NV(atan2f)(float y, float x) { return (float)NV(atan2)((double)y, (double)x); }

// Hyperbolic ones.
double NV(sinh)(double x) {
  double a = abs_(x);
  Pair e = expm1_pair((Pair){min_(a, 20.0), 0.0});
  // (e + e / (e + 1)) / 2
  Pair q = divide_pairs(e, add_pairs(e, (Pair){1.0, 0.0}));
  Pair s = add_pairs(e, q);
  double small = 0.5 * (s.h + s.l);
  int n;
  Pair l = exp_parts((Pair){min_(a, 800.0), 0.0}, &n);
  double large = scale(l.h + l.l, n - 1);
  double result = a < 20.0 ? small : large;
  result = a < 0x1p-27 ? a : result;
  return is_nan(x) ? x : with_sign(result, x);
}
double NV(cosh)(double x) {
  double a = min_(abs_(x), 800.0);
  int n;
  Pair e = exp_parts((Pair){a, 0.0}, &n);
  double small_n = a < 40.0 ? power_of_two(n - 1) : 1.0;
  Pair h = (Pair){e.h * small_n, e.l * small_n};
  Pair s = quick_sum(h.h, 0.25 / h.h);
  double small = s.h + (s.l + h.l), large = scale(e.h + e.l, n - 1);
  double result = a < 40.0 ? small : large;
  return is_nan(x) ? x : result;
}
double NV(tanh)(double x) {
  double a = abs_(x);
  Pair e = expm1_pair((Pair){2.0 * min_(a, 22.0), 0.0});
  Pair q = divide_pairs(e, add_pairs(e, (Pair){2.0, 0.0}));
  double result = q.h + q.l;
  result = a < 0x1p-27 ? a : result;
  result = a >= 22.0 ? 1.0 : result;
  return is_nan(x) ? x : with_sign(result, x);
}
double NV(asinh)(double x) {
  double a = abs_(x), m = min_(a, 0x1p28);
  Pair square = two_product(m, m);
  Pair root = sqrt_pair(add_pairs((Pair){1.0, 0.0}, square));
  Pair t = add_pairs((Pair){m, 0.0}, divide_pairs(square, add_pairs((Pair){1.0, 0.0}, root)));
  double result = log1p_of_pair(t);
  Pair l = log_pair(min_(a, 0x1.fffffffffffffp1023), 0);
  Pair large = add_pairs(l, P(LN2));
  result = a < 0x1p28 ? result : large.h + large.l;
  result = a < 0x1p-27 ? a : result;
  result = a == INF ? a : result;
  return is_nan(x) ? x : with_sign(result, x);
}
double NV(acosh)(double x) {
  double m = min_(max_(x, 1.0), 0x1p28), t = m - 1.0;
  Pair root = sqrt_pair(add_pairs((Pair){2.0 * t, 0.0}, two_product(t, t)));
  double result = log1p_of_pair(add_pairs((Pair){t, 0.0}, root));
  Pair large = add_pairs(log_pair(min_(max_(x, 1.0), 0x1.fffffffffffffp1023), 0), P(LN2));
  result = x < 0x1p28 ? result : large.h + large.l;
  result = x == INF ? x : result;
  return x < 1.0 ? NAN_D : (is_nan(x) ? x : result);
}
double NV(atanh)(double x) {
  double a = abs_(x), m = min_(a, 0x1.fffffffffffffp-1);
  Pair q = divide_pairs((Pair){2.0 * m, 0.0}, two_sum(1.0, -m));
  double result = 0.5 * log1p_of_pair(q);
  result = a < 0x1p-27 ? a : result;
  result = a == 1.0 ? INF : result;
  result = a > 1.0 ? NAN_D : result;
  return is_nan(x) ? x : with_sign(result, x);
}
float NV(sinhf)(float x) { return (float)NV(sinh)((double)x); }
float NV(coshf)(float x) { return (float)NV(cosh)((double)x); }
float NV(tanhf)(float x) {
  double a = min_(abs_((double)x), 20.0), d = 2.0 * a;
  double e = d < 0.34 ? fma_(d * d, POLY(exp_rest, d), d) : exp_short_of(d, INV_LN2, LN2_TOP, LN2_REST, 1.0) - 1.0;
  float result = (float)with_sign(e / (e + 2.0), (double)x);
  return x != x ? x : result;
}
float NV(asinhf)(float x) { return (float)NV(asinh)((double)x); }
float NV(acoshf)(float x) { return (float)NV(acosh)((double)x); }
float NV(atanhf)(float x) { return (float)NV(atanh)((double)x); }
