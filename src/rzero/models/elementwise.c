/* What decoder layers do between their matrix products, each in one pass over its data. See elementwise.py.

   Arithmetic is fp32. In bf16, results are rounded where PyTorch's eager operations round them, so that a model computes
   the same as before. The number of entries in a row is a multiple of 16. */

#include <stdlib.h>

#include "../native/vectors.h"

#define SERIAL 8192 /* entries for which waking other threads takes longer than the work */
#define RUN 2048    /* entries of a long array that one thread takes at a time */

ALWAYS f16v load(const void *from, size_t at, const int is_bf16) {
    return is_bf16 ? widen((const bf16 *)from + at) : *(const f16v *)((const float *)from + at);
}

ALWAYS void put(void *to, size_t at, f16v x, const int is_bf16) {
    if (is_bf16) *(h16v *)((bf16 *)to + at) = narrow(x);
    else *(f16v *)((float *)to + at) = x;
}

/* What is left of x in the data's precision. */
ALWAYS f16v rounded(f16v x, const int is_bf16) {
    return is_bf16 ? (f16v)(__builtin_convertvector(narrow(x), u16v) << 16) : x;
}

ALWAYS float inverse_rms(const void *x, size_t at, int size, float eps, const int is_bf16) {
    f16v sum = splat(0);
    for (int i = 0; i < size; i += 16) {
        f16v v = load(x, at + i, is_bf16);
        sum += v * v;
    }
    return 1 / sqrtf(vector_sum(sum) / size + eps);
}

/* out = x / rms(x) * (weight + offset); `early` rounds before the weight is applied. */
typedef struct {
    const void *x, *weight, *grad;
    void *out;
    int size, early;
    float eps, offset;
} Norm;

ALWAYS void norm_row(const Norm *n, size_t at, const int is_bf16) {
    const float inverse = inverse_rms(n->x, at, n->size, n->eps, is_bf16);
    for (int i = 0; i < n->size; i += 16) {
        f16v unit = load(n->x, at + i, is_bf16) * inverse;
        if (n->early) unit = rounded(unit, is_bf16);
        put(n->out, at + i, unit * (load(n->weight, i, is_bf16) + n->offset), is_bf16);
    }
}

/* The gradient of x to `out`; that of the weight is added to `total` [size]. */
ALWAYS void norm_backward_row(const Norm *n, size_t at, float *total, const int is_bf16) {
    const float inverse = inverse_rms(n->x, at, n->size, n->eps, is_bf16);
    f16v along = splat(0);
    for (int i = 0; i < n->size; i += 16) {
        f16v unit = load(n->x, at + i, is_bf16) * inverse, grad = load(n->grad, at + i, is_bf16);
        along += unit * grad * (load(n->weight, i, is_bf16) + n->offset);
        *(f16v *)(total + i) += grad * (n->early ? rounded(unit, is_bf16) : unit);
    }
    const float mean = vector_sum(along) / n->size;
    for (int i = 0; i < n->size; i += 16) {
        f16v unit = load(n->x, at + i, is_bf16) * inverse, grad = load(n->grad, at + i, is_bf16);
        put(n->out, at + i, (grad * (load(n->weight, i, is_bf16) + n->offset) - unit * mean) * inverse, is_bf16);
    }
}

void norm(const void *x, const void *weight, void *out, int rows, int size, float eps, float offset, int early,
          int is_bf16, int threads) {
    const Norm n = {x, weight, NULL, out, size, early, eps, offset};
#pragma omp parallel for schedule(static) num_threads(threads) if ((size_t)rows * size > SERIAL)
    for (int r = 0; r < rows; r++)
        if (is_bf16) norm_row(&n, (size_t)r * size, 1);
        else norm_row(&n, (size_t)r * size, 0);
}

/* `weight_grad` [size] in fp32. It is summed in an order that depends on the number of threads alone. Returns 0, or 1
   without memory. */
int norm_backward(const void *x, const void *weight, const void *grad, void *out, float *weight_grad, int rows, int size,
                  float eps, float offset, int early, int is_bf16, int threads) {
    const Norm n = {x, weight, grad, out, size, early, eps, offset};
    float *totals = calloc((size_t)threads * size, sizeof(float));
    if (!totals) return 1;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int t = 0; t < threads; t++)
        for (int r = (int)((int64_t)rows * t / threads); r < (int64_t)rows * (t + 1) / threads; r++)
            if (is_bf16) norm_backward_row(&n, (size_t)r * size, totals + (size_t)t * size, 1);
            else norm_backward_row(&n, (size_t)r * size, totals + (size_t)t * size, 0);
    memset(weight_grad, 0, size * sizeof(float));
    for (int t = 0; t < threads; t++)
        for (int i = 0; i < size; i++) weight_grad[i] += totals[(size_t)t * size + i];
    free(totals);
    return 0;
}

ALWAYS f16v sigmoid(f16v x) {
    const f16v most = splat(87.0f); /* beyond it, the result is the least normal number instead of less */
    return 1 / (1 + exp_vector(choose(-x > most, most, -x)));
}

/* Both activations are x * sigmoid(inner): SiLU with inner = x; GELU, by tanh, with a cubic. */
ALWAYS f16v inner(f16v x, const int gelu) {
    return gelu ? 1.5957691216f * (x + 0.044715f * x * x * x) : x;
}

ALWAYS void gate_run(const void *gate, const void *up, void *out, size_t from, size_t to, const int gelu,
                     const int is_bf16) {
    for (size_t at = from; at < to; at += 16) {
        f16v x = load(gate, at, is_bf16);
        put(out, at, rounded(x * sigmoid(inner(x, gelu)), is_bf16) * load(up, at, is_bf16), is_bf16);
    }
}

ALWAYS void gate_backward_run(const void *gate, const void *up, const void *grad, void *of_gate, void *of_up, size_t from,
                              size_t to, const int gelu, const int is_bf16) {
    for (size_t at = from; at < to; at += 16) {
        f16v x = load(gate, at, is_bf16), g = load(grad, at, is_bf16), u = load(up, at, is_bf16);
        f16v s = sigmoid(inner(x, gelu)), slope = gelu ? 1.5957691216f + 0.2140644488f * x * x : splat(1);
        put(of_up, at, g * rounded(x * s, is_bf16), is_bf16);
        put(of_gate, at, g * u * (s + x * s * (1 - s) * slope), is_bf16);
    }
}

/* Calls `one(flag, is_bf16)` with constants. */
#define DISPATCH(flag, one)            \
    switch (2 * (flag) + is_bf16) {    \
        case 0: one(0, 0); break;      \
        case 1: one(0, 1); break;      \
        case 2: one(1, 0); break;      \
        default: one(1, 1);            \
    }

/* out = activation(gate) * up, of `count` entries */
void gated(const void *gate, const void *up, void *out, int64_t count, int gelu, int is_bf16, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (count > SERIAL)
    for (int64_t at = 0; at < count; at += RUN) {
        const int64_t to = at + RUN < count ? at + RUN : count;
#define FORWARD(gelu, is_bf16) gate_run(gate, up, out, at, to, gelu, is_bf16)
        DISPATCH(gelu, FORWARD)
    }
}

void gated_backward(const void *gate, const void *up, const void *grad, void *of_gate, void *of_up, int64_t count,
                    int gelu, int is_bf16, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (count > SERIAL)
    for (int64_t at = 0; at < count; at += RUN) {
        const int64_t to = at + RUN < count ? at + RUN : count;
#define BACKWARD(gelu, is_bf16) gate_backward_run(gate, up, grad, of_gate, of_up, at, to, gelu, is_bf16)
        DISPATCH(gelu, BACKWARD)
    }
}

/* One token's heads [heads][size], each rotated by angles whose cosines and sines are [size]; `back` is the gradient. */
ALWAYS void rotate_heads(const void *x, void *out, size_t at, int heads, int size, const void *cos, const void *sin,
                         size_t angle, const int back, const int is_bf16) {
    const int half = size / 2;
    for (int h = 0; h < heads; h++, at += size)
        for (int i = 0; i < half; i += 16) {
            f16v a = load(x, at + i, is_bf16), b = load(x, at + half + i, is_bf16);
            f16v c = load(cos, angle + i, is_bf16), d = load(cos, angle + half + i, is_bf16);
            f16v s = load(sin, angle + i, is_bf16), t = load(sin, angle + half + i, is_bf16);
            f16v from_b = back ? b * t : -b * s, from_a = back ? -a * s : a * t;
            put(out, at + i, rounded(a * c, is_bf16) + rounded(from_b, is_bf16), is_bf16);
            put(out, at + half + i, rounded(b * d, is_bf16) + rounded(from_a, is_bf16), is_bf16);
        }
}

/* Queries [tokens][heads][size] and keys [tokens][kv_heads][size]; token i has the angles i % angles. */
void rotate(const void *query, const void *key, const void *cos, const void *sin, void *query_out, void *key_out,
            int tokens, int heads, int kv_heads, int size, int angles, int back, int is_bf16, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if ((size_t)tokens * (heads + kv_heads) * size > SERIAL)
    for (int t = 0; t < tokens; t++) {
        const size_t row = (size_t)t * size, angle = (size_t)(t % angles) * size;
#define BOTH(back, is_bf16)                                                                   \
    rotate_heads(query, query_out, row * heads, heads, size, cos, sin, angle, back, is_bf16); \
    rotate_heads(key, key_out, row * kv_heads, kv_heads, size, cos, sin, angle, back, is_bf16)
        DISPATCH(back, BOTH)
    }
}
