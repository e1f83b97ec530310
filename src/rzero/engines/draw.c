/* Draw one token per row of logits; see draw.py, which says what is drawn and does the same without a compiler. */

#include <stdlib.h>

#include "../native/vectors.h"

#define BLOCK 256 /* entries whose probabilities are summed before they enter the cumulative sum */

static inline f16v load(const void *row, int at, int is_bf16) {
    if (!is_bf16) return *(const f16v *)((const float *)row + at);
    return widen((const bf16 *)row + at);
}

static inline float entry(const void *row, int at, int is_bf16) {
    if (!is_bf16) return ((const float *)row)[at];
    uint32_t bits = (uint32_t)((const bf16 *)row)[at] << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/* The greatest entry; NaN if there is a NaN or +inf, or nothing but -inf. */
static inline float peak_of(const void *row, int vocab, int is_bf16) {
    f16v most = splat(-INFINITY), strange = splat(0);
    int whole = vocab / 16 * 16;
    for (int at = 0; at < whole; at += 16) {
        f16v x = load(row, at, is_bf16);
        most = choose(x > most, x, most);
        strange = (f16v)((u16v)strange | ((u16v)(x != x) & (u16v)splat(1)));
    }
    float peak = vector_max(most), bad = vector_sum(strange);
    for (int at = whole; at < vocab; at++) {
        float x = entry(row, at, is_bf16);
        if (x != x) bad = 1;
        if (x > peak) peak = x;
    }
    return bad || isinf(peak) ? NAN : peak;
}

/* e^((x - peak) / temperature) of the entries [at, at + 16), 0 behind the vocabulary's end. */
static inline f16v weights_at(const void *row, int at, int vocab, float peak, float inverse, int is_bf16) {
    f16v x;
    if (at + 16 <= vocab) x = load(row, at, is_bf16);
    else
        for (int i = 0; i < 16; i++) x[i] = at + i < vocab ? entry(row, at + i, is_bf16) : -INFINITY;
    x = (x - peak) * inverse;
    i16v nothing = x < splat(-103.0f); /* below the least positive number */
    return (f16v)((u16v)exp_vector(x) & ~(u16v)nothing);
}

static int draw_row(const void *row, int vocab, double uniform, float peak, float inverse, double *blocks, double *total,
                    int is_bf16) {
    int count = (vocab + BLOCK - 1) / BLOCK;
    *total = 0;
    for (int b = 0; b < count; b++) {
        f16v sum = splat(0);
        for (int at = b * BLOCK; at < (b + 1) * BLOCK && at < vocab; at += 16)
            sum += weights_at(row, at, vocab, peak, inverse, is_bf16);
        *total += blocks[b] = vector_sum(sum);
    }
    /* The first entry at which the cumulative sum is greater than the target; rounding may leave none in its block. */
    double target = uniform * *total, before = 0;
    int b = 0, last = 0;
    for (; b < count - 1 && before + blocks[b] <= target; b++) before += blocks[b];
    for (int at = b * BLOCK; at < vocab && at < (b + 1) * BLOCK; at += 16) {
        f16v w = weights_at(row, at, vocab, peak, inverse, is_bf16);
        for (int i = 0; i < 16; i++) {
            if (w[i] > 0) {
                last = at + i;
                before += w[i];
                if (before > target) return last;
            }
        }
    }
    return last;
}

/* `tokens` and `logprobs` [rows] for `logits` [rows][vocab], drawn by `uniforms` [rows]. Temperature 0 takes the first
   of the greatest entries. Returns 0, or 1 without memory. */
int draw(const void *logits, int rows, int vocab, const double *uniforms, float temperature, int64_t *tokens,
         float *logprobs, int is_bf16, int threads) {
    int failed = 0;
    const float inverse = temperature > 0 ? 1 / temperature : 1;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        double *blocks = malloc(((size_t)vocab / BLOCK + 1) * sizeof(double));
        if (!blocks) failed = 1;
#pragma omp for schedule(static)
        for (int r = 0; r < rows; r++) {
            if (!blocks) continue;
            const void *row = (const char *)logits + (size_t)r * vocab * (is_bf16 ? 2 : 4);
            float peak = peak_of(row, vocab, is_bf16);
            tokens[r] = 0;
            logprobs[r] = NAN;
            if (peak != peak) continue;
            double total;
            int token = draw_row(row, vocab, uniforms[r], peak, inverse, blocks, &total, is_bf16);
            if (temperature == 0)
                for (token = 0; entry(row, token, is_bf16) != peak;) token++;
            tokens[r] = token;
            logprobs[r] = (float)((double)(entry(row, token, is_bf16) - peak) * inverse - log(total));
        }
        free(blocks);
    }
    return failed;
}
