// Vectors of one instruction set, in the vector extensions that GCC and Clang share: the same source for all.
//
// Included by every recurrence_<isa>.cpp after NPRNN_VECTOR_BYTES is set.  Everything is in an unnamed namespace and no
// template of the standard library is used: code made for one instruction set must never be the copy that the linker
// keeps for another.
#pragma once

#include <cstring>

#include "problem.hpp"
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define NPRNN_INLINE inline __attribute__((always_inline))

namespace nprnn {
namespace {

template <class Real>
struct Simd;

template <>
struct Simd<float> {
    typedef float Vec __attribute__((vector_size(NPRNN_VECTOR_BYTES)));
    typedef float Loose __attribute__((vector_size(NPRNN_VECTOR_BYTES), aligned(4), may_alias));
    typedef std::int32_t Bits __attribute__((vector_size(NPRNN_VECTOR_BYTES)));
    using Bit = std::int32_t;
    static constexpr int mantissa = 23;
};

template <>
struct Simd<double> {
    typedef double Vec __attribute__((vector_size(NPRNN_VECTOR_BYTES)));
    typedef double Loose __attribute__((vector_size(NPRNN_VECTOR_BYTES), aligned(8), may_alias));
    typedef std::int64_t Bits __attribute__((vector_size(NPRNN_VECTOR_BYTES)));
    using Bit = std::int64_t;
    static constexpr int mantissa = 52;
};

template <class Real>
using Vec = typename Simd<Real>::Vec;

template <class Real>
constexpr Size lanes = NPRNN_VECTOR_BYTES / Size(sizeof(Real));

template <class Real>
constexpr Size vectors(Size numbers) {
    return (numbers + lanes<Real> - 1) / lanes<Real>;
}

template <class Real>
NPRNN_INLINE Vec<Real> load(const Real* from) {
    return Vec<Real>(*reinterpret_cast<const typename Simd<Real>::Loose*>(from));
}

template <class Real>
NPRNN_INLINE void store(Real* to, Vec<Real> v) {
    *reinterpret_cast<typename Simd<Real>::Loose*>(to) = typename Simd<Real>::Loose(v);
}

// How many lanes of a vector hold numbers, 0 to all; nothing beyond them is read or written, and what is not read is 0.
#if defined(__AVX512F__)
template <class Real>
struct Some {
    unsigned mask;
    explicit Some(Size left) : mask(left >= lanes<Real> ? (1u << lanes<Real>)-1 : left > 0 ? (1u << left) - 1 : 0) {}
};

NPRNN_INLINE Vec<float> load(const float* from, Some<float> some) {
    return Vec<float>(_mm512_maskz_loadu_ps(__mmask16(some.mask), from));
}
NPRNN_INLINE Vec<double> load(const double* from, Some<double> some) {
    return Vec<double>(_mm512_maskz_loadu_pd(__mmask8(some.mask), from));
}
NPRNN_INLINE void store(float* to, Vec<float> v, Some<float> some) {
    _mm512_mask_storeu_ps(to, __mmask16(some.mask), __m512(v));
}
NPRNN_INLINE void store(double* to, Vec<double> v, Some<double> some) {
    _mm512_mask_storeu_pd(to, __mmask8(some.mask), __m512d(v));
}
#else
template <class Real>
struct Some {
    Size count;
    explicit Some(Size left) : count(left >= lanes<Real> ? lanes<Real> : left > 0 ? left : 0) {}
};

template <class Real>
__attribute__((noinline)) Vec<Real> load_part(const Real* from, Size count) {
    Vec<Real> v{};
    for (Size k = 0; k < count; ++k) v[k] = from[k];
    return v;
}
template <class Real>
__attribute__((noinline)) void store_part(Real* to, Vec<Real> v, Size count) {
    for (Size k = 0; k < count; ++k) to[k] = v[k];
}
template <class Real>
NPRNN_INLINE Vec<Real> load(const Real* from, Some<Real> some) {
    return some.count == lanes<Real> ? load(from) : load_part(from, some.count);
}
template <class Real>
NPRNN_INLINE void store(Real* to, Vec<Real> v, Some<Real> some) {
    if (some.count == lanes<Real>)
        store(to, v);
    else
        store_part(to, v, some.count);
}
#endif

// All ones in the lanes whose number, counted from `first`, is below `end`.
template <class Real>
NPRNN_INLINE typename Simd<Real>::Bits below(Size first, Size end) {
    typename Simd<Real>::Bits lane{};
    for (Size k = 0; k < lanes<Real>; ++k) lane[k] = typename Simd<Real>::Bit(k);
    return lane + typename Simd<Real>::Bit(first) < typename Simd<Real>::Bit(end) + typename Simd<Real>::Bits{};
}

// e^x for 0 <= x <= 40, with the reduction and the approximants of Moshier's Cephes library.
NPRNN_INLINE Vec<float> exponential(Vec<float> x) {
    constexpr float round = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    Vec<float> shifted = x * 1.44269504088896341f + round;
    Vec<float> n = shifted - round;
    x = x - n * 0.693359375f;
    x = x - n * -2.12194440e-4f;
    Vec<float> p = x * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    p = p * (x * x) + x + 1.0f;
    auto power = (Simd<float>::Bits(shifted) << 23) + 0x3f800000;
    return p * Vec<float>(power);
}

NPRNN_INLINE Vec<double> exponential(Vec<double> x) {
    constexpr double round = 6755399441055744.0;  // 1.5 * 2^52
    Vec<double> shifted = x * 1.4426950408889634073599 + round;
    Vec<double> n = shifted - round;
    x = x - n * 6.93145751953125e-1;
    x = x - n * 1.42860682030941723212e-6;
    Vec<double> xx = x * x;
    Vec<double> p = x * ((xx * 1.26177193074810590878e-4 + 3.02994407707441961300e-2) * xx + 9.99999999999999999910e-1);
    Vec<double> q = ((xx * 3.00198505138664455042e-6 + 2.52448340349684104192e-3) * xx + 2.27265548208155028766e-1) * xx +
                    2.00000000000000000005e0;
    auto power = (Simd<double>::Bits(shifted) << 52) + 0x3ff0000000000000;
    return (2.0 * (p / (q - p)) + 1.0) * Vec<double>(power);
}

// tanh x - x for |x| < 0.625, odd.
NPRNN_INLINE Vec<float> tanh_near_zero(Vec<float> x) {
    Vec<float> z = x * x;
    Vec<float> p = z * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * z + -5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z + -3.33332819422e-1f;
    return p * z * x;
}

NPRNN_INLINE Vec<double> tanh_near_zero(Vec<double> x) {
    Vec<double> z = x * x;
    Vec<double> p = (z * -9.64399179425052238628e-1 + -9.92877231001918586564e1) * z + -1.61468768441708447952e3;
    Vec<double> q = ((z + 1.12811678491632931402e2) * z + 2.23548839060100448583e3) * z + 4.84406305325125486048e3;
    return x * z * p / q;
}

// Within a few units in the last place; a NaN stays one.
template <class Real>
NPRNN_INLINE Vec<Real> hyperbolic_tangent(Vec<Real> x) {
    using V = Vec<Real>;
    V size = x < Real(0) ? -x : x;
    V bounded = size > Real(20) ? V{} + Real(20) : size;
    V far = Real(1) - Real(2) / (exponential(bounded + bounded) + Real(1));
    far = x < Real(0) ? -far : far;
    return size < Real(0.625) ? x + tanh_near_zero(x) : far;
}

}  // namespace
}  // namespace nprnn
