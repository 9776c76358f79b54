/* near_code.c - see near_code.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "near_code.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* 4096 products of at most 127 * 127 fit in 32 bits. */
static int32_t dot_plain(const int8_t *a, const int8_t *b, size_t count)
{
    int32_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static __m256i widened(const int8_t *at)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)at));
}

__attribute__((target("avx2"))) static int32_t dot_avx2(const int8_t *a, const int8_t *b,
                                                        size_t count)
{
    __m256i sum = _mm256_setzero_si256();

    for (size_t i = 0; i < count; i += PK_NEAR_STEP) {
        __m256i low = _mm256_madd_epi16(widened(a + i), widened(b + i));
        __m256i high = _mm256_madd_epi16(widened(a + i + 16), widened(b + i + 16));

        sum = _mm256_add_epi32(sum, _mm256_add_epi32(low, high));
    }
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    half = _mm_hadd_epi32(half, half);
    return _mm_cvtsi128_si32(_mm_hadd_epi32(half, half));
}

pk_near_dot_fn *pk_near_best_dot(void)
{
    return __builtin_cpu_supports("avx2") ? dot_avx2 : dot_plain;
}
#else
pk_near_dot_fn *pk_near_best_dot(void)
{
    return dot_plain;
}
#endif

double pk_near_cosine(const float *a, const float *b, int dims)
{
    double sum = 0;

    for (int i = 0; i < dims; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

bool pk_near_normalise(float *vector, int dims)
{
    double length = sqrt(pk_near_cosine(vector, vector, dims));

    if (!isfinite(length) || length <= 0)
        return false;
    for (int i = 0; i < dims; i++)
        vector[i] = (float)((double)vector[i] / length);
    return true;
}

static size_t padded(int count)
{
    return ((size_t)count + PK_NEAR_STEP - 1) / PK_NEAR_STEP * PK_NEAR_STEP;
}

struct pk_near_shape pk_near_shape_of(int dims)
{
    size_t head = padded((dims + 3) / 4), all = padded(dims);

    return (struct pk_near_shape){dims, head, all - head};
}

static float largest(const float *vector, int dims)
{
    float max = 0;

    for (int i = 0; i < dims; i++)
        max = fmaxf(max, fabsf(vector[i]));
    return max;
}

static float length_of(const int8_t *codes, size_t count, float scale)
{
    return sqrtf((float)dot_plain(codes, codes, count)) * scale;
}

struct pk_near_sizes pk_near_encode(const struct pk_near_shape *s, const float *vector,
                                    int8_t *head, int8_t *tail)
{
    float scale = largest(vector, s->dims) / 127.0F, lost = 0;

    memset(head, 0, s->head);
    memset(tail, 0, s->tail);
    for (int i = 0; i < s->dims && scale > 0; i++) {
        long code = lrintf(vector[i] / scale);
        float rest = vector[i] - (float)code * scale;

        *((size_t)i < s->head ? &head[i] : &tail[(size_t)i - s->head]) = (int8_t)code;
        lost += rest * rest;
    }
    return (struct pk_near_sizes){scale, length_of(tail, s->tail, scale), sqrtf(lost)};
}
