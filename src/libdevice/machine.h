// What is an instruction, or a few.
#pragma once
#include "common.h"

#define UNARY(name, result, type, expression) result NV(name)(type a) { return expression; }
#define BINARY(name, result, type, expression) result NV(name)(type a, type b) { return expression; }
#define TERNARY(name, result, type, expression) result NV(name)(type a, type b, type c) { return expression; }
// nearest, towards zero, down, up
#define ROUNDED(macro) macro(rn, rn) macro(rz, rz) macro(rd, rm) macro(ru, rp)

#define ARITHMETIC(mode, m) \
  BINARY(fadd_##mode, float, float, __nvvm_add_##m##_f(a, b)) \
  BINARY(dadd_##mode, double, double, __nvvm_add_##m##_d(a, b)) \
  BINARY(fsub_##mode, float, float, __nvvm_add_##m##_f(a, -b)) \
  BINARY(dsub_##mode, double, double, __nvvm_add_##m##_d(a, -b)) \
  BINARY(fmul_##mode, float, float, __nvvm_mul_##m##_f(a, b)) \
  BINARY(dmul_##mode, double, double, __nvvm_mul_##m##_d(a, b)) \
  BINARY(fdiv_##mode, float, float, __nvvm_div_##m##_f(a, b)) \
  BINARY(ddiv_##mode, double, double, __nvvm_div_##m##_d(a, b)) \
  UNARY(frcp_##mode, float, float, __nvvm_rcp_##m##_f(a)) \
  UNARY(drcp_##mode, double, double, __nvvm_rcp_##m##_d(a)) \
  UNARY(fsqrt_##mode, float, float, __nvvm_sqrt_##m##_f(a)) \
  UNARY(dsqrt_##mode, double, double, __nvvm_sqrt_##m##_d(a)) \
  TERNARY(fmaf_##mode, float, float, __nvvm_fma_##m##_f(a, b, c)) \
  TERNARY(fmaf_ieee_##mode, float, float, __nvvm_fma_##m##_f(a, b, c)) \
  TERNARY(fma_##mode, double, double, __nvvm_fma_##m##_d(a, b, c))
ROUNDED(ARITHMETIC)

// Conversions by name: the compiler takes conversions towards zero for C's own.
#define CONVERSION(name, result, type, instruction, to, from) \
  result NV(name)(type a) { \
    result d; \
    __asm__(instruction " %0, %1;" : "=" to(d) : from(a)); \
    return d; \
  }
#define CONVERSIONS(mode, m, i) \
  CONVERSION(double2float_##mode, float, double, "cvt." #m ".f32.f64", "f", "d") \
  CONVERSION(double2int_##mode, int, double, "cvt." #i ".s32.f64", "r", "d") \
  CONVERSION(double2uint_##mode, u32, double, "cvt." #i ".u32.f64", "r", "d") \
  CONVERSION(double2ll_##mode, s64, double, "cvt." #i ".s64.f64", "l", "d") \
  CONVERSION(double2ull_##mode, u64, double, "cvt." #i ".u64.f64", "l", "d") \
  CONVERSION(float2int_##mode, int, float, "cvt." #i ".s32.f32", "r", "f") \
  CONVERSION(float2uint_##mode, u32, float, "cvt." #i ".u32.f32", "r", "f") \
  CONVERSION(float2ll_##mode, s64, float, "cvt." #i ".s64.f32", "l", "f") \
  CONVERSION(float2ull_##mode, u64, float, "cvt." #i ".u64.f32", "l", "f") \
  CONVERSION(int2float_##mode, float, int, "cvt." #m ".f32.s32", "f", "r") \
  CONVERSION(uint2float_##mode, float, u32, "cvt." #m ".f32.u32", "f", "r") \
  CONVERSION(ll2float_##mode, float, s64, "cvt." #m ".f32.s64", "f", "l") \
  CONVERSION(ull2float_##mode, float, u64, "cvt." #m ".f32.u64", "f", "l") \
  CONVERSION(ll2double_##mode, double, s64, "cvt." #m ".f64.s64", "d", "l") \
  CONVERSION(ull2double_##mode, double, u64, "cvt." #m ".f64.u64", "d", "l")
CONVERSIONS(rn, rn, rni)
CONVERSIONS(rz, rz, rzi)
CONVERSIONS(rd, rm, rmi)
CONVERSIONS(ru, rp, rpi)
UNARY(int2double_rn, double, int, (double)a)
UNARY(uint2double_rn, double, u32, (double)a)

// Whole numbers.
BINARY(max, int, int, a > b ? a : b)
BINARY(min, int, int, a < b ? a : b)
BINARY(umax, u32, u32, a > b ? a : b)
BINARY(umin, u32, u32, a < b ? a : b)
BINARY(llmax, s64, s64, a > b ? a : b)
BINARY(llmin, s64, s64, a < b ? a : b)
BINARY(ullmax, u64, u64, a > b ? a : b)
BINARY(ullmin, u64, u64, a < b ? a : b)
UNARY(abs, int, int, (int)(a < 0 ? -(u32)a : (u32)a))
UNARY(llabs, s64, s64, (s64)(a < 0 ? -(u64)a : (u64)a))
BINARY(mulhi, int, int, __nvvm_mulhi_i(a, b))
BINARY(umulhi, u32, u32, __nvvm_mulhi_ui(a, b))
BINARY(mul64hi, s64, s64, __nvvm_mulhi_ll(a, b))
BINARY(umul64hi, u64, u64, __nvvm_mulhi_ull(a, b))
BINARY(mul24, int, int, __nvvm_mul24_i(a, b))
BINARY(umul24, u32, u32, __nvvm_mul24_ui(a, b))
BINARY(hadd, int, int, (int)(((s64)a + b) >> 1))
BINARY(rhadd, int, int, (int)(((s64)a + b + 1) >> 1))
BINARY(uhadd, u32, u32, (u32)(((u64)a + b) >> 1))
BINARY(urhadd, u32, u32, (u32)(((u64)a + b + 1) >> 1))
TERNARY(sad, int, int, (int)((u32)(a > b ? (u32)a - (u32)b : (u32)b - (u32)a) + (u32)c))
TERNARY(usad, u32, u32, (a > b ? a - b : b - a) + c)
UNARY(clz, int, int, a ? __builtin_clz((u32)a) : 32)
UNARY(clzll, int, s64, leading_zeros((u64)a))
UNARY(popc, int, int, __builtin_popcount((u32)a))
UNARY(popcll, int, s64, __builtin_popcountl((u64)a))
UNARY(ffs, int, int, __builtin_ffs(a))
UNARY(ffsll, int, s64, __builtin_ffsl(a))
int NV(brev)(int a) {
  int d;
  __asm__("brev.b32 %0, %1;" : "=r"(d) : "r"(a));
  return d;
}
s64 NV(brevll)(s64 a) {
  s64 d;
  __asm__("brev.b64 %0, %1;" : "=l"(d) : "l"(a));
  return d;
}
int NV(byte_perm)(int a, int b, int c) {
  int d;
  __asm__("prmt.b32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c & 0x7777));
  return d;
}

// Bits.
UNARY(double2hiint, int, double, (int)(double_bits(a) >> 32))
UNARY(double2loint, int, double, (int)double_bits(a))
BINARY(hiloint2double, double, int, bits_to_double((u64)(u32)a << 32 | (u32)b))
UNARY(double_as_longlong, s64, double, (s64)double_bits(a))
UNARY(longlong_as_double, double, s64, bits_to_double((u64)a))
UNARY(float_as_int, int, float, (int)float_bits(a))
UNARY(float_as_uint, u32, float, float_bits(a))
UNARY(int_as_float, float, int, bits_to_float((u32)a))
UNARY(uint_as_float, float, u32, bits_to_float(a))
UNARY(signbitd, int, double, (int)(double_bits(a) >> 63))
UNARY(signbitf, int, float, (int)(float_bits(a) >> 31))
UNARY(isnand, int, double, a != a)
UNARY(isnanf, int, float, a != a)
UNARY(isinfd, int, double, abs_(a) == INF)
UNARY(isinff, int, float, abs_(a) == INF)
UNARY(isfinited, int, double, abs_(a) < INF)
UNARY(finitef, int, float, abs_(a) < INF)
BINARY(copysign, double, double, with_sign(a, b))
BINARY(copysignf, float, float, bits_to_float((float_bits(a) & 0x7fffffffu) | (float_bits(b) & 0x80000000u)))
UNARY(fabs, double, double, abs_(a))
UNARY(fabsf, float, float, __nvvm_fabs_f(a))
double NV(nan)(const char* tag) { return NAN_D; }
float NV(nanf)(const char* tag) { return bits_to_float(0x7fffffffu); }

// Floating point.
BINARY(fmax, double, double, max_(a, b))
BINARY(fmin, double, double, min_(a, b))
BINARY(fmaxf, float, float, __nvvm_fmax_f(a, b))
BINARY(fminf, float, float, __nvvm_fmin_f(a, b))
BINARY(fdim, double, double, is_nan(a) || is_nan(b) ? a + b : (a > b ? a - b : 0.0))
BINARY(fdimf, float, float, a != a || b != b ? a + b : (a > b ? a - b : 0.0f))
TERNARY(fma, double, double, fma_(a, b, c))
TERNARY(fmaf, float, float, fmaf_(a, b, c))
UNARY(sqrt, double, double, sqrt_(a))
UNARY(sqrtf, float, float, __nvvm_sqrt_rn_f(a))
UNARY(saturatef, float, float, __nvvm_saturate_f(a))
UNARY(rcp64h, double, double, bits_to_double(double_bits(1.0 / a) & ~0xfffffffful))
UNARY(floor, double, double, __nvvm_floor_d(a))
UNARY(floorf, float, float, __nvvm_floor_f(a))
UNARY(ceil, double, double, __nvvm_ceil_d(a))
UNARY(ceilf, float, float, __nvvm_ceil_f(a))
UNARY(trunc, double, double, __nvvm_trunc_d(a))
UNARY(truncf, float, float, __nvvm_trunc_f(a))
INLINE double nearest_even(double a) {
  double d;
  __asm__("cvt.rni.f64.f64 %0, %1;" : "=d"(d) : "d"(a));
  return d;
}
INLINE float nearest_even_f(float a) {
  float d;
  __asm__("cvt.rni.f32.f32 %0, %1;" : "=f"(d) : "f"(a));
  return d;
}
UNARY(rint, double, double, nearest_even(a))
UNARY(rintf, float, float, nearest_even_f(a))
UNARY(nearbyint, double, double, nearest_even(a))
UNARY(nearbyintf, float, float, nearest_even_f(a))
INLINE double round_half_away(double a) {
  double t = __nvvm_trunc_d(a);
  return abs_(a - t) >= 0.5 ? t + with_sign(1.0, a) : with_sign(t, a);
}
UNARY(round, double, double, abs_(a) < 0x1p52 ? round_half_away(a) : a)
UNARY(roundf, float, float, abs_(a) < 0x1p23 ? (float)round_half_away(a) : a)
UNARY(llrint, s64, double, NV(double2ll_rn)(a))
UNARY(llrintf, s64, float, NV(float2ll_rn)(a))
UNARY(llround, s64, double, NV(double2ll_rz)(abs_(a) < 0x1p52 ? round_half_away(a) : a))
UNARY(llroundf, s64, float, NV(double2ll_rz)(round_half_away(a)))
unsigned short NV(float2half_rn)(float a) {
  unsigned short d;
  __asm__("cvt.rn.f16.f32 %0, %1;" : "=h"(d) : "f"(a));
  return d;
}
float NV(half2float)(unsigned short a) {
  float d;
  __asm__("cvt.f32.f16 %0, %1;" : "=f"(d) : "h"(a));
  return d;
}

INLINE double next_after(double a, double b) {
  s64 bits = (s64)double_bits(a), step = (a < b) == (bits >= 0) ? 1 : -1;
  double moved = a == 0.0 ? with_sign(0x1p-1074, b) : bits_to_double((u64)(bits + step));
  return is_nan(a) || is_nan(b) ? a + b : (a == b ? b : moved);
}
BINARY(nextafter, double, double, next_after(a, b))
float NV(nextafterf)(float a, float b) {
  int bits = (int)float_bits(a), step = (a < b) == (bits >= 0) ? 1 : -1;
  float moved = a == 0.0f ? bits_to_float(1u | (float_bits(b) & 0x80000000u)) : bits_to_float((u32)(bits + step));
  return a != a || b != b ? a + b : (a == b ? b : moved);
}

// Parts of numbers.
INLINE double times_power(double a, int n) {
  n = n > 2200 ? 2200 : (n < -2200 ? -2200 : n);
  int e = (int)(double_bits(a) >> 52 & 2047);
  if (e == 0) {  // so that no step but the last rounds
    a *= 0x1p54;
    e = (int)(double_bits(a) >> 52 & 2047);
    n -= 54;
  }
  int to = e + n;
  double normal = bits_to_double((double_bits(a) & ~(2047ul << 52)) | (u64)(u32)(to & 2047) << 52);
  double subnormal = bits_to_double((double_bits(a) & ~(2047ul << 52)) | (u64)(u32)((to + 64 < 1 ? 1 : to + 64) & 2047) << 52) * 0x1p-64;
  subnormal = to < -63 ? with_sign(0.0, a) : subnormal;
  double result = to > 2046 ? with_sign(INF, a) : (to < 1 ? subnormal : normal);
  return a == 0.0 || e == 2047 ? a : result;
}
double NV(ldexp)(double a, int n) { return times_power(a, n); }
double NV(scalbn)(double a, int n) { return times_power(a, n); }
INLINE float times_power_f(float a, int n) {
  n = n > 400 ? 400 : (n < -400 ? -400 : n);
  return (float)((double)a * power_of_two(n));  // exact in double, rounded once
}
float NV(ldexpf)(float a, int n) { return times_power_f(a, n); }
float NV(scalbnf)(float a, int n) { return times_power_f(a, n); }
double NV(frexp)(double a, int* n) {
  int small = abs_(a) < 0x1p-1022;
  u64 bits = double_bits(small ? a * 0x1p54 : a);
  int is_special = a == 0.0 || !(abs_(a) < INF);
  *n = is_special ? 0 : (int)(bits >> 52 & 2047) - 1022 - (small ? 54 : 0);
  return is_special ? a : bits_to_double((bits & ~(2047ul << 52)) | 1022ul << 52);
}
float NV(frexpf)(float a, int* n) { return (float)NV(frexp)((double)a, n); }
double NV(modf)(double a, double* whole) {
  double t = __nvvm_trunc_d(a);
  *whole = t;
  return is_nan(a) ? a : with_sign(abs_(a) == INF ? 0.0 : a - t, a);
}
float NV(modff)(float a, float* whole) {
  double w;
  float f = (float)NV(modf)((double)a, &w);
  *whole = (float)w;
  return f;
}
int NV(ilogb)(double a) {
  u64 bits = double_bits(a) & ~(1ul << 63);
  int e = bits >> 52 ? (int)(bits >> 52) - 1023 : -1011 - leading_zeros(bits);
  return bits == 0 || bits > 0x7fful << 52 ? (int)0x80000000u : (bits == 0x7fful << 52 ? 0x7fffffff : e);
}
int NV(ilogbf)(float a) { return NV(ilogb)((double)a); }

// |a| modulo |b|, exact, both positive and finite; the quotient's last bits too. One subtraction for each bit of the quotient.
INLINE u64 remainder_bits(double a, double b, int* exponent, u32* quotient) {
  int ea = (int)(double_bits(a) >> 52), eb = (int)(double_bits(b) >> 52);
  u64 ma = (double_bits(a) & 0xffffffffffffful) | (ea ? 1ul << 52 : 0), mb = (double_bits(b) & 0xffffffffffffful) | (eb ? 1ul << 52 : 0);
  ea = ea ? ea : 1, eb = eb ? eb : 1;
  u32 q = 0;
  if (ea < eb) {  // smaller; in b's unit it may have a fraction
    *exponent = ea;
    *quotient = 0;
    return ma;
  }
  for (int i = ea - eb; i >= 0; --i) {
    q <<= 1;
    if (ma >= mb) ma -= mb, q |= 1;
    if (i) ma <<= 1;
  }
  *exponent = eb;
  *quotient = q;
  return ma;
}
INLINE double from_bits(u64 m, int e) {  // m * 2^(e - 1075), m below 2^53
  return m == 0 ? 0.0 : times_power((double)m, e - 1075);
}
double NV(fmod)(double a, double b) {
  double x = abs_(a), y = abs_(b);
  if (!(x < INF) || !(y > 0.0)) return is_nan(a) || is_nan(b) ? a + b : NAN_D;
  if (x < y) return a;
  int e;
  u32 q;
  u64 m = remainder_bits(x, y, &e, &q);
  return with_sign(from_bits(m, e), a);
}
INLINE double nearest_remainder(double a, double b, u32* quotient) {
  double x = abs_(a), y = abs_(b);
  *quotient = 0;
  if (!(x < INF) || !(y > 0.0)) return is_nan(a) || is_nan(b) ? a + b : NAN_D;
  if (y == INF) return a;
  int e;
  u32 q;
  u64 m = remainder_bits(x, y, &e, &q);
  double r = from_bits(m, e);
  double rest = y - r;  // exact where it matters: r between y / 2 and y
  int above = r > rest || (r == rest && q & 1);
  q += above;
  *quotient = (double_bits(a) ^ double_bits(b)) >> 63 ? -q : q;
  double result = above ? -rest : r;
  return result == 0.0 ? with_sign(0.0, a) : (double_bits(a) >> 63 ? -result : result);
}
double NV(remainder)(double a, double b) {
  u32 q;
  return nearest_remainder(a, b, &q);
}
double NV(remquo)(double a, double b, int* quotient) {
  u32 q;
  double r = nearest_remainder(a, b, &q);
  *quotient = (int)q;
  return r;
}
float NV(fmodf)(float a, float b) { return (float)NV(fmod)((double)a, (double)b); }
float NV(remainderf)(float a, float b) { return (float)NV(remainder)((double)a, (double)b); }
float NV(remquof)(float a, float b, int* quotient) { return (float)NV(remquo)((double)a, (double)b, quotient); }

// Approximations of the machine.
#define APPROXIMATE(instruction) \
  INLINE float approximate_##instruction(float a) { \
    float d; \
    __asm__(#instruction ".approx.f32 %0, %1;" : "=f"(d) : "f"(a)); \
    return d; \
  }
APPROXIMATE(sin)
APPROXIMATE(cos)
APPROXIMATE(ex2)
APPROXIMATE(lg2)
INLINE float approximate_quotient(float a, float b) {
  float d;
  __asm__("div.approx.f32 %0, %1, %2;" : "=f"(d) : "f"(a), "f"(b));
  return d;
}
UNARY(fast_sinf, float, float, approximate_sin(a))
UNARY(fast_cosf, float, float, approximate_cos(a))
UNARY(fast_tanf, float, float, approximate_quotient(approximate_sin(a), approximate_cos(a)))
UNARY(fast_expf, float, float, approximate_ex2(a * (float)INV_LN2))
UNARY(fast_exp10f, float, float, approximate_ex2(a * (float)(INV_LN2 * LN10)))
UNARY(fast_log2f, float, float, approximate_lg2(a))
UNARY(fast_logf, float, float, approximate_lg2(a) * (float)LN2)
UNARY(fast_log10f, float, float, approximate_lg2(a) * (float)LOG10_2)
BINARY(fast_powf, float, float, approximate_ex2(b * approximate_lg2(a)))
BINARY(fast_fdividef, float, float, approximate_quotient(a, b))
void NV(fast_sincosf)(float a, float* s, float* c) {
  *s = approximate_sin(a);
  *c = approximate_cos(a);
}
