/* Sixteen floats at a time, for every CPU: GCC's generic vectors, which GCC and Clang lower to what the target has. */

#ifndef RZERO_VECTORS_H
#define RZERO_VECTORS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef float f16v __attribute__((vector_size(64), aligned(4)));
typedef uint32_t u16v __attribute__((vector_size(64), aligned(4)));
typedef int32_t i16v __attribute__((vector_size(64), aligned(4)));
typedef uint16_t bf16;

static inline bf16 round_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (bf16)(bits >> 16 | 0x40); /* NaN stays NaN */
    return (bf16)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

static inline f16v splat(float x) {
    return (f16v){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}

/* e^x for x <= 0, to about 2 units in the last place: 2^n times a polynomial on [-ln2/2, ln2/2]. */
static inline f16v exp_vector(f16v x) {
    f16v low = splat(-87.0f);
    i16v under = x < low;
    x = (f16v)(((u16v)x & ~(u16v)under) | ((u16v)low & (u16v)under));
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

static inline float vector_max(f16v v) {
    float most = v[0];
    for (int i = 1; i < 16; i++) most = v[i] > most ? v[i] : most;
    return most;
}

static inline float vector_sum(f16v v) {
    float total = 0;
    for (int i = 0; i < 16; i++) total += v[i];
    return total;
}

#endif
