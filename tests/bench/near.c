/* near.c - how long a semantic look-up looks, beside comparing the same vectors one by one.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   bench-near [VECTORS [DIMS]]
 *
 * Prints a line of JSON: milliseconds of a search, the median of many, in one thread. The vectors are around
 * a common middle, as those of texts about one thing are.
 */
#include "near.h"
#include "bench.h"

#include <string.h>

enum { ROUNDS = 41 };

static const uint8_t gate[PK_NEAR_KEY_BYTES] = "gate";

static double now_ms(void)
{
    return now_ns() / 1e6;
}

static void draw(uint64_t *random, float *v, int dims)
{
    for (int i = 0; i < dims; i++)
        v[i] = 0.5F + (float)(int32_t)(uint32_t)pk_random_next(random) / 2147483648.0F;
    (void)pk_near_normalise(v, dims);
}

/* The peer: what one would write first. */
static int scan(const float *vectors, int count, int dims, const float *q, float threshold)
{
    int found = 0;

    for (int i = 0; i < count; i++) {
        const float *v = vectors + (size_t)i * (size_t)dims;
        float sum = 0;

        for (int k = 0; k < dims; k++)
            sum += v[k] * q[k];
        found += sum >= threshold;
    }
    return found;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 100000;
    int dims = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 384;
    struct pk_near *n = pk_near_new(pk_allocator_malloc(), (size_t)1 << 30);
    float *vectors = calloc((size_t)count * (size_t)dims, sizeof *vectors);
    double ours[ROUNDS], theirs[ROUNDS];
    struct pk_near_matches m;
    uint64_t random = 1;
    int found = 0, peers = 0;

    if (!n || !vectors)
        return 1;
    for (int i = 0; i < count; i++) {
        float *v = vectors + (size_t)i * (size_t)dims;
        struct pk_near_item item = {.id = i + 1, .vector = v, .dims = dims};

        draw(&random, v, dims);
        if (!pk_near_add(n, gate, &item))
            return 1;
    }
    for (int r = 0; r < ROUNDS; r++) {
        const float *q = vectors + (size_t)(r * 97 % count) * (size_t)dims;
        struct pk_near_item like = {.vector = q, .dims = dims};
        double started = now_ms();

        pk_near_find(n, gate, &like, 0.95, &m);
        found += m.count;
        ours[r] = now_ms() - started;
        started = now_ms();
        peers += scan(vectors, count, dims, q, 0.95F);
        theirs[r] = now_ms() - started;
    }
    printf("{\"vectors\":%d,\"dims\":%d,\"search_ms\":%.2f,\"scan_ms\":%.2f,\"bytes\":%zu,"
           "\"same\":%s}\n",
           count, dims, median(ours, ROUNDS), median(theirs, ROUNDS), pk_near_bytes(n),
           found == peers ? "true" : "false");
    pk_near_free(n);
    free(vectors);
    return 0;
}
