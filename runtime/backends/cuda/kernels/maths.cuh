// The functions of formulas, under their names, for float and double; some for integers too.
#pragma once
#include "types.cuh"

namespace m {

#define NOT_A_NUMBER __int_as_float(0x7fffffff)

#define FUNCTION(name, single, full)                 \
    INLINE float name(float x) { return single(x); } \
    INLINE double name(double x) { return full(x); }
#define FUNCTION_OF_TWO(name, single, full)                      \
    INLINE float name(float x, float y) { return single(x, y); } \
    INLINE double name(double x, double y) { return full(x, y); }
#define INTEGER template <typename T, typename = typename IsInteger<T>::yes> INLINE T

template <typename T>
struct IsInteger { using yes = T; };
template <>
struct IsInteger<float> {};
template <>
struct IsInteger<double> {};

FUNCTION(floor, ::floorf, ::floor)
FUNCTION(ceil, ::ceilf, ::ceil)
FUNCTION(trunc, ::truncf, ::trunc)
FUNCTION(round, ::rintf, ::rint)
FUNCTION(exp, ::expf, ::exp)
FUNCTION(exp2, ::exp2f, ::exp2)
FUNCTION(expm1, ::expm1f, ::expm1)
FUNCTION(log, ::logf, ::log)
FUNCTION(log2, ::log2f, ::log2)
FUNCTION(log10, ::log10f, ::log10)
FUNCTION(log1p, ::log1pf, ::log1p)
FUNCTION(sqrt, ::sqrtf, ::sqrt)
FUNCTION(rsqrt, ::rsqrtf, ::rsqrt)
FUNCTION(sin, ::sinf, ::sin)
FUNCTION(cos, ::cosf, ::cos)
FUNCTION(tan, ::tanf, ::tan)
FUNCTION(asin, ::asinf, ::asin)
FUNCTION(acos, ::acosf, ::acos)
FUNCTION(atan, ::atanf, ::atan)
FUNCTION(sinh, ::sinhf, ::sinh)
FUNCTION(cosh, ::coshf, ::cosh)
FUNCTION(tanh, ::tanhf, ::tanh)
FUNCTION(asinh, ::asinhf, ::asinh)
FUNCTION(acosh, ::acoshf, ::acosh)
FUNCTION(atanh, ::atanhf, ::atanh)
FUNCTION(erf, ::erff, ::erf)
FUNCTION(erfc, ::erfcf, ::erfc)
FUNCTION(erfcx, ::erfcxf, ::erfcx)
FUNCTION(erfinv, ::erfinvf, ::erfinv)
FUNCTION(ndtri, ::normcdfinvf, ::normcdfinv)
FUNCTION(i0, ::cyl_bessel_i0f, ::cyl_bessel_i0)
FUNCTION(i1, ::cyl_bessel_i1f, ::cyl_bessel_i1)
FUNCTION(j0, ::j0f, ::j0)
FUNCTION(j1, ::j1f, ::j1)
FUNCTION(y0, ::y0f, ::y0)
FUNCTION(y1, ::y1f, ::y1)
FUNCTION_OF_TWO(pow, ::powf, ::pow)
FUNCTION_OF_TWO(atan2, ::atan2f, ::atan2)
FUNCTION_OF_TWO(hypot, ::hypotf, ::hypot)
FUNCTION_OF_TWO(copysign, ::copysignf, ::copysign)
FUNCTION_OF_TWO(nextafter, ::nextafterf, ::nextafter)
FUNCTION_OF_TWO(fmod, ::fmodf, ::fmod)
FUNCTION_OF_TWO(fmax, ::fmaxf, ::fmax)
FUNCTION_OF_TWO(fmin, ::fminf, ::fmin)

// e**x to what numbers of type T can tell; for half types in two instructions instead of eight.
template <typename T, typename C>
INLINE C exp_for(C x) {
#ifndef HOST_SHIM
    if constexpr (sizeof(T) == 2) {
        float found;
        asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(found) : "f"(x * 1.44269504f));
        return found;
    }
#endif
    return exp(x);
}

FUNCTION(abs, ::fabsf, ::fabs)
INTEGER abs(T x) { return x < T(0) ? T(-x) : x; }

template <typename T>
INLINE T sign(T x) { return T((x > T(0)) - (x < T(0))); }
template <typename T>
INLINE T square(T x) { return T(x * x); }
template <typename T>
INLINE T reciprocal(T x) { return T(1) / x; }
template <typename T>
INLINE T sigmoid(T x) { return T(1) / (T(1) + exp(-x)); }
template <typename T>
INLINE T softplus(T x) { return (x > T(0) ? x : T(0)) + log1p(exp(-abs(x))); }

// NaN wins in maximum and minimum, and loses in fmax and fmin.
template <typename T>
INLINE T maximum(T x, T y) { return x > y || is_nan(x) ? x : y; }
template <typename T>
INLINE T minimum(T x, T y) { return x < y || is_nan(x) ? x : y; }
INTEGER fmax(T x, T y) { return x > y ? x : y; }
INTEGER fmin(T x, T y) { return x < y ? x : y; }

template <typename T>
INLINE T logaddexp(T x, T y) {
    if (x == y) return x + T(0.69314718055994530942);
    const T top = x > y ? x : y;
    return top + log1p(exp(-abs(x - y)));
}
template <typename T>
INLINE T logaddexp2(T x, T y) {
    if (x == y) return x + T(1);
    const T top = x > y ? x : y;
    return top + T(1.44269504088896340736) * log1p(exp2(-abs(x - y)));
}

// The rest has the sign of y.
template <typename T>
INLINE T remainder(T x, T y) {
    const T rest = fmod(x, y);
    if (rest == T(0)) return copysign(T(0), y);
    return (y < T(0)) != (rest < T(0)) ? rest + y : rest;
}
template <typename T>
INLINE T floor_divide(T x, T y) {
    if (y == T(0)) return x / y;
    const T rest = fmod(x, y);
    T quotient = (x - rest) / y;
    if (rest != T(0) && (y < T(0)) != (rest < T(0))) quotient -= T(1);
    if (quotient == T(0)) return copysign(T(0), x / y);
    const T whole = floor(quotient);
    return quotient - whole > T(0.5) ? whole + T(1) : whole;
}

// lgamma of whole numbers below 1 is infinite, as the library has it.
FUNCTION(lgamma, ::lgammaf, ::lgamma)

// Recurrence up to 10, then the asymptotic series; reflected for negative numbers.
// Source: Abramowitz and Stegun, 6.3.5, 6.3.7 and 6.3.18.
INLINE double digamma(double x) {
    const double pi = 3.14159265358979323846;
    double result = 0;
    if (x == 0) return copysign(Limits<double>::highest(), -x);
    if (x < 0) {
        if (x == floor(x)) return NOT_A_NUMBER;
        const double part = x - trunc(x);
        result = -pi / tan(pi * part);
        x = 1 - x;
    }
    while (x < 10) {
        result -= 1 / x;
        x += 1;
    }
    const double z = 1 / (x * x);
    const double series =
        z * (1.0 / 12 -
             z * (1.0 / 120 -
                  z * (1.0 / 252 -
                       z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z * (1.0 / 12)))))));
    return result + log(x) - 0.5 / x - series;
}
INLINE float digamma(float x) { return float(digamma(double(x))); }

// log of the normal distribution function, without underflow far left.
template <typename T>
INLINE T log_ndtr(T x) {
    const T t = x * T(0.70710678118654752440);
    return x < T(-1) ? log(erfcx(-t) / T(2)) - t * t : log1p(-erfc(t) / T(2));
}

INTEGER left_shift(T x, T y) { return y < T(0) || y >= T(8 * sizeof(T)) ? T(0) : T(x << y); }
INTEGER right_shift(T x, T y) {
    return y < T(0) || y >= T(8 * sizeof(T)) ? T(x < T(0) ? -1 : 0) : T(x >> y);
}

template <typename T>
INLINE bool isnan(T x) { return is_nan(x); }
template <typename T>
INLINE bool isfinite(T x) { return x - x == T(0); }
template <typename T>
INLINE bool isinf(T x) { return !is_nan(x) && !isfinite(x); }
INLINE bool signbit(float x) { return __float_as_int(x) < 0; }
INLINE bool signbit(double x) { return __double_as_longlong(x) < 0; }
INTEGER signbit(T x) { return x < T(0); }

#undef FUNCTION
#undef FUNCTION_OF_TWO
#undef INTEGER

}  // namespace m
