/* Sixteen floats at a time, for every CPU: GCC's generic vectors, which GCC and Clang lower to what the target has. */

#ifndef RZERO_VECTORS_H
#define RZERO_VECTORS_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

typedef float f16v __attribute__((vector_size(64), aligned(4)));
typedef uint32_t u16v __attribute__((vector_size(64), aligned(4)));
typedef int32_t i16v __attribute__((vector_size(64), aligned(4)));
typedef uint16_t bf16;
typedef bf16 h16v __attribute__((vector_size(32), aligned(2)));

#define ALWAYS static inline __attribute__((always_inline))

static inline bf16 round_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (bf16)(bits >> 16 | 0x40); /* NaN stays NaN */
    return (bf16)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

static inline f16v splat(float x) {
    return (f16v){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}

/* a where the mask is set, b elsewhere */
static inline f16v choose(i16v mask, f16v a, f16v b) {
    return (f16v)(((u16v)a & (u16v)mask) | ((u16v)b & ~(u16v)mask));
}

static inline f16v widen(const bf16 *from) {
#ifdef __AVX512BF16__
    return (f16v)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from)), 16);
#else
    return (f16v)(__builtin_convertvector(*(const h16v *)from, u16v) << 16);
#endif
}

/* As round_bf16, but that the processor's own instruction takes numbers below 2^-126 for 0. */
static inline h16v narrow(f16v x) {
#ifdef __AVX512BF16__
    return (h16v)_mm512_cvtneps_pbh((__m512)x);
#else
    u16v bits = (u16v)x, strange = (u16v)(x != x);
    bits = ((bits + 0x7fffu + (bits >> 16 & 1)) & ~strange) | ((bits | 0x400000u) & strange);
    return __builtin_convertvector(bits >> 16, h16v);
#endif
}

/* e^x for x < 88, to about 2 units in the last place: 2^n times a polynomial on [-ln2/2, ln2/2]. */
static inline f16v exp_vector(f16v x) {
    x = choose(x < splat(-87.0f), splat(-87.0f), x);
    f16v shifted = x * 1.44269504f + 12582912.0f; /* adding 1.5 * 2^23 rounds to an integer */
    f16v n = shifted - 12582912.0f;
    x = x - n * 0.693145752f;
    x = x - n * 1.42860677e-6f;
    f16v p = splat(1.38888889e-3f);
    p = p * x + 8.33333333e-3f;
    p = p * x + 4.16666667e-2f;
    p = p * x + 1.66666667e-1f;
    p = p * x + 0.5f;
    p = p * x + 1.0f;
    p = p * x + 1.0f;
    i16v power = __builtin_convertvector(n, i16v);
    return (f16v)((i16v)p + (power << 23));
}

typedef float f8v __attribute__((vector_size(32)));
typedef float f4v __attribute__((vector_size(16)));

/* Both by halves: entry after entry, each would wait for the one before. */
static inline float vector_max(f16v v) {
    float part[16];
    memcpy(part, &v, sizeof v);
    for (int i = 0; i < 8; i++) part[i] = part[i] > part[i + 8] ? part[i] : part[i + 8];
    for (int i = 0; i < 4; i++) part[i] = part[i] > part[i + 4] ? part[i] : part[i + 4];
    for (int i = 0; i < 2; i++) part[i] = part[i] > part[i + 2] ? part[i] : part[i + 2];
    return part[0] > part[1] ? part[0] : part[1];
}

static inline float vector_sum(f16v v) {
    f8v eight[2];
    memcpy(eight, &v, sizeof v);
    eight[0] += eight[1];
    f4v four[2];
    memcpy(four, eight, sizeof four);
    four[0] += four[1];
    return (four[0][0] + four[0][2]) + (four[0][1] + four[0][3]);
}

#endif
