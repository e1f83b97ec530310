/* Attention of new tokens, one a row, over a paged key-value cache, for CPUs. See native.py for the Python side.

   A page holds 16 tokens of one key-value head, laid out so that 16 scores, or 16 entries of the output, are one
   vector and no sum ever runs across a vector:

     keys    fp32 [D][16 tokens]         bf16 [D/2][16 tokens][2 entries]
     values  fp32 [16 tokens][D]         bf16 [8 token pairs][D][2 tokens]

   The bf16 layouts are those of the AVX512-BF16 dot product, which sums two neighbouring products in fp32. Other CPUs
   widen the two halves. */

#include <stdlib.h>

#include "../../native/vectors.h"

#define PAGE 16
#define MOST_QUERIES 4 /* query heads that share one read of the keys */

/* acc + (even halves of a) * (low half of b) + (odd halves of a) * (high half of b), in fp32 */
static inline f16v dot_pairs(f16v acc, u16v a, uint32_t b) {
#ifdef __AVX512BF16__
    return (f16v)_mm512_dpbf16_ps((__m512)acc, (__m512bh)a, (__m512bh)_mm512_set1_epi32((int)b));
#else
    uint32_t low = b << 16, high = b & 0xffff0000u;
    float x, y;
    memcpy(&x, &low, 4);
    memcpy(&y, &high, 4);
    return acc + (f16v)(a << 16) * x + (f16v)(a & 0xffff0000u) * y;
#endif
}

/* One row and key-value head. */
typedef struct {
    const int32_t *pages; /* of this row */
    const int32_t *ahead; /* of the row after it: what it will read is fetched meanwhile */
    int first, length;    /* tokens [first, length) are seen */
    int kv_heads, head, head_dim;
    float scale, softcap;
} Span;

/* Raw scores [queries][columns] to weights in place, where column 0 is token `start`; returns the sums in `total`. */
static inline void softmax(float *scores, int columns, int start, const Span *s, int queries, float *total) {
    const i16v places = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const float scale = s->scale, softcap = s->softcap;
    const int first = s->first - start, end = s->length - start; /* columns that are seen */
    for (int q = 0; q < queries; q++) {
        float *row = scores + (size_t)q * columns;
        f16v most = splat(-INFINITY);
        for (int c = 0; c < columns; c += PAGE) {
            f16v x = *(f16v *)(row + c) * scale;
            if (softcap > 0) for (int i = 0; i < 16; i++) x[i] = softcap * tanhf(x[i] / softcap);
            const i16v column = places + c;
            x = choose((column >= first) & (column < end), x, splat(-INFINITY));
            *(f16v *)(row + c) = x;
            most = choose(x > most, x, most);
        }
        f16v peak = splat(vector_max(most)), sum = splat(0);
        for (int c = 0; c < columns; c += PAGE) {
            f16v x = *(f16v *)(row + c) - peak;
            i16v hidden = x == splat(-INFINITY);
            x = (f16v)((u16v)exp_vector(x) & ~(u16v)hidden);
            *(f16v *)(row + c) = x;
            sum += x;
        }
        total[q] = vector_sum(sum);
    }
}

/* Where keys or values of one page begin. */
#define BLOCK(pool, pages, p) ((pool) + ((size_t)(pages)[p] * s->kv_heads + s->head) * PAGE * s->head_dim)

ALWAYS void scores_f32(const Span *s, const float *q, const float *pool, float *scores, int columns, const int n) {
    for (int c = 0, p = s->first / PAGE; c < columns; c += PAGE, p++) {
        const float *keys = BLOCK(pool, s->pages, p);
        f16v acc[MOST_QUERIES] = {};
        for (int d = 0; d < s->head_dim; d++)
            for (int i = 0; i < n; i++) acc[i] += *(const f16v *)(keys + d * PAGE) * q[i * s->head_dim + d];
        for (int i = 0; i < n; i++) *(f16v *)(scores + (size_t)i * columns + c) = acc[i];
    }
}

ALWAYS void output_f32(const Span *s, const float *weights, const float *pool, float *out, int columns, const int n) {
    for (int d = 0; d < s->head_dim; d += 16) {
        f16v acc[MOST_QUERIES] = {};
        for (int c = 0, p = s->first / PAGE; c < columns; c += PAGE, p++) {
            const float *values = BLOCK(pool, s->pages, p) + d;
            for (int t = 0; t < PAGE; t++)
                for (int i = 0; i < n; i++)
                    acc[i] += *(const f16v *)(values + t * s->head_dim) * weights[(size_t)i * columns + c + t];
        }
        for (int i = 0; i < n; i++) *(f16v *)(out + i * s->head_dim + d) = acc[i];
    }
}

/* Of `wide` neighbouring pages at a time, since each reads all of the queries. */
ALWAYS void scores_of_pages(const Span *s, const bf16 *q, const bf16 *pool, float *scores, int columns, int c,
                            const int n, const int wide) {
    const bf16 *keys[2], *ahead[2];
    f16v acc[2][MOST_QUERIES] = {};
    for (int w = 0; w < wide; w++) {
        keys[w] = BLOCK(pool, s->pages, (s->first + c) / PAGE + w);
        ahead[w] = BLOCK(pool, s->ahead, (s->first + c) / PAGE + w);
    }
    for (int d = 0; d < s->head_dim; d += 2) {
        u16v pairs[2];
        for (int w = 0; w < wide; w++) {
            pairs[w] = *(const u16v *)(keys[w] + d * PAGE);
            __builtin_prefetch(ahead[w] + d * PAGE);
        }
        for (int i = 0; i < n; i++) {
            uint32_t pair;
            memcpy(&pair, q + i * s->head_dim + d, 4);
            for (int w = 0; w < wide; w++) acc[w][i] = dot_pairs(acc[w][i], pairs[w], pair);
        }
    }
    for (int w = 0; w < wide; w++)
        for (int i = 0; i < n; i++) *(f16v *)(scores + (size_t)i * columns + c + w * PAGE) = acc[w][i];
}

ALWAYS void scores_bf16(const Span *s, const bf16 *q, const bf16 *pool, float *scores, int columns, const int n) {
    int c = 0;
    for (; c + PAGE < columns; c += 2 * PAGE) scores_of_pages(s, q, pool, scores, columns, c, n, 2);
    if (c < columns) scores_of_pages(s, q, pool, scores, columns, c, n, 1);
}

/* Of `wide` vectors of the output at a time. Weights are rounded to bf16 for the product, as every bf16 attention does. */
ALWAYS void output_of_vectors(const Span *s, const uint32_t *weights, const bf16 *pool, float *out, int columns, int d,
                              const int n, const int wide) {
    f16v acc[4][MOST_QUERIES] = {};
    for (int c = 0, p = s->first / PAGE; c < columns; c += PAGE, p++) {
        const bf16 *values = BLOCK(pool, s->pages, p) + 2 * d, *ahead = BLOCK(pool, s->ahead, p) + 2 * d;
        for (int t = 0; t < PAGE / 2; t++) {
            u16v pairs[4];
            for (int w = 0; w < wide; w++) {
                pairs[w] = *(const u16v *)(values + 2 * t * s->head_dim + w * 32);
                __builtin_prefetch(ahead + 2 * t * s->head_dim + w * 32);
            }
            for (int i = 0; i < n; i++) {
                uint32_t pair = weights[((size_t)i * columns + c) / 2 + t];
                for (int w = 0; w < wide; w++) acc[w][i] = dot_pairs(acc[w][i], pairs[w], pair);
            }
        }
    }
    for (int i = 0; i < n; i++)
        for (int w = 0; w < wide; w++) *(f16v *)(out + i * s->head_dim + d + w * 16) = acc[w][i];
}

ALWAYS void output_bf16(const Span *s, const uint32_t *weights, const bf16 *pool, float *out, int columns, const int n) {
    int d = 0;
    for (; d + 64 <= s->head_dim; d += 64) output_of_vectors(s, weights, pool, out, columns, d, n, 4);
    for (; d < s->head_dim; d += 16) output_of_vectors(s, weights, pool, out, columns, d, n, 1);
}

#define DISPATCH(call, n)             \
    switch (n) {                      \
        case 1: call(1); break;       \
        case 2: call(2); break;       \
        case 3: call(3); break;       \
        default: call(4);             \
    }

static void row_f32(const Span *s, const float *q, float *out, const float *keys, const float *values, int n, float *scratch) {
    int start = s->first / PAGE * PAGE, columns = (s->length + PAGE - 1) / PAGE * PAGE - start;
    float total[MOST_QUERIES];
#define SCORES(n) scores_f32(s, q, keys, scratch, columns, n)
    DISPATCH(SCORES, n)
    softmax(scratch, columns, start, s, n, total);
#define OUTPUT(n) output_f32(s, scratch, values, out, columns, n)
    DISPATCH(OUTPUT, n)
    for (int i = 0; i < n * s->head_dim; i++) out[i] /= total[i / s->head_dim];
#undef SCORES
#undef OUTPUT
}

static void row_bf16(const Span *s, const bf16 *q, bf16 *out, const bf16 *keys, const bf16 *values, int n, float *scratch) {
    int start = s->first / PAGE * PAGE, columns = (s->length + PAGE - 1) / PAGE * PAGE - start;
    float total[MOST_QUERIES], *wide = scratch + (size_t)MOST_QUERIES * columns;
#define SCORES(n) scores_bf16(s, q, keys, scratch, columns, n)
    DISPATCH(SCORES, n)
    softmax(scratch, columns, start, s, n, total);
    for (int i = 0; i < n * columns; i += 16) /* entries are written after those of the wider array were read */
        *(h16v *)((bf16 *)scratch + i) = narrow(*(f16v *)(scratch + i));
#define OUTPUT(n) output_bf16(s, (const uint32_t *)scratch, values, wide, columns, n)
    DISPATCH(OUTPUT, n)
    for (int i = 0; i < n * s->head_dim; i += 16)
        *(h16v *)(out + i) = narrow(*(f16v *)(wide + i) / total[i / s->head_dim]);
#undef SCORES
#undef OUTPUT
}

/* out [rows][heads][head_dim] = attention of queries of the same shape, row r over the first lengths[r] tokens in the
   pages table[owners[r]] [table_width]. A window of w > 0 shows the last w tokens alone. Returns 0, or 1 without memory. */
int attend(const void *queries, void *out, const void *keys, const void *values, const int32_t *table, int table_width,
           const int32_t *owners, const int32_t *lengths, int rows, int heads, int kv_heads, int head_dim, float scale,
           int window, float softcap, int is_bf16, int threads) {
    const int share = heads / kv_heads;
    int longest = 0, failed = 0;
    for (int r = 0; r < rows; r++) longest = lengths[r] > longest ? lengths[r] : longest;
    const size_t size = (size_t)MOST_QUERIES * (longest + 2 * PAGE + head_dim) * sizeof(float);
    /* A page holds all heads, so they are the inner loop; what neighbouring rows share stays in the core's cache.
       Guided, because the later tokens of a prompt see more than the earlier ones. */
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        float *scratch = malloc(size);
        if (!scratch) failed = 1;
#pragma omp for collapse(2) schedule(guided)
        for (int r = 0; r < rows; r++)
            for (int h = 0; h < kv_heads; h++) {
                if (!scratch) continue;
                int length = lengths[r], first = window > 0 && length > window ? length - window : 0;
                const int32_t *pages = table + (size_t)owners[r] * table_width;
                const int32_t *ahead = table + (size_t)owners[r + 1 < rows ? r + 1 : r] * table_width;
                Span s = {pages, ahead, first, length, kv_heads, h, head_dim, scale, softcap};
                for (int g = 0; g < share; g += MOST_QUERIES) {
                    int n = share - g < MOST_QUERIES ? share - g : MOST_QUERIES;
                    size_t at = ((size_t)r * heads + h * share + g) * head_dim;
                    if (is_bf16)
                        row_bf16(&s, (const bf16 *)queries + at, (bf16 *)out + at, keys, values, n, scratch);
                    else
                        row_f32(&s, (const float *)queries + at, (float *)out + at, keys, values, n, scratch);
                }
            }
        free(scratch);
    }
    return failed;
}

/* Write tokens into their pages: token i of `keys` and `values` [tokens][kv_heads][head_dim] goes to place offsets[i]
   of page pages[i]. */
void store(const void *keys, const void *values, void *key_pool, void *value_pool, const int32_t *pages,
           const int32_t *offsets, int tokens, int kv_heads, int head_dim, int is_bf16, int threads) {
#pragma omp parallel for collapse(2) schedule(static) num_threads(threads)
    for (int i = 0; i < tokens; i++)
        for (int h = 0; h < kv_heads; h++) {
            size_t from = ((size_t)i * kv_heads + h) * head_dim;
            size_t page = ((size_t)pages[i] * kv_heads + h) * PAGE * head_dim;
            int t = offsets[i];
            if (is_bf16) {
                const bf16 *k = (const bf16 *)keys + from, *v = (const bf16 *)values + from;
                bf16 *to_k = (bf16 *)key_pool + page, *to_v = (bf16 *)value_pool + page;
                for (int d = 0; d < head_dim; d++) {
                    to_k[(d / 2 * PAGE + t) * 2 + d % 2] = k[d];
                    to_v[(t / 2 * head_dim + d) * 2 + t % 2] = v[d];
                }
            } else {
                const float *k = (const float *)keys + from, *v = (const float *)values + from;
                float *to_k = (float *)key_pool + page, *to_v = (float *)value_pool + page;
                for (int d = 0; d < head_dim; d++) {
                    to_k[d * PAGE + t] = k[d];
                    to_v[t * head_dim + d] = v[d];
                }
            }
        }
}
