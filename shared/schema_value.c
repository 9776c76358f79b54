/* schema_value.c - numbers in decimal, and when two values are equal.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "schema_inner.h"

#include <string.h>

/* Exponents are clipped here: 1e999999999999999999999 is as large as a document of any size can tell. */
enum { EXPONENT_MAX = 1000000000 };

/* --- decimals --------------------------------------------------------------------------- */

static int64_t exponent_of(pk_str text)
{
    bool negative = text.len > 0 && text.at[0] == '-';
    int64_t n = 0;

    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] >= '0' && text.at[i] <= '9' && n < EXPONENT_MAX)
            n = n * 10 + (text.at[i] - '0');
    n = n > EXPONENT_MAX ? EXPONENT_MAX : n;
    return negative ? -n : n;
}

struct pk_decimal pk_decimal_of(pk_str number)
{
    struct pk_decimal d = {.negative = pk_str_starts(number, "-")};
    int64_t seen = 0, whole = -1, first = -1, last = -1, exponent = 0;
    size_t from = 0, to = 0;

    for (size_t i = d.negative; i < number.len; i++) {
        char c = number.at[i];

        if (c == 'e' || c == 'E') {
            exponent = exponent_of(pk_str_sub(number, i + 1, number.len));
            break;
        }
        if (c == '.') {
            whole = seen;
            continue;
        }
        if (c != '0') {
            from = first < 0 ? i : from;
            first = first < 0 ? seen : first;
            last = seen;
            to = i + 1;
        }
        seen++;
    }
    if (first < 0)
        return (struct pk_decimal){0};
    d.digits = pk_str_sub(number, from, to - from);
    d.count = last - first + 1;
    d.point = (whole < 0 ? seen : whole) - first + exponent;
    return d;
}

static int by_magnitude(const struct pk_decimal *a, const struct pk_decimal *b)
{
    size_t i = 0, j = 0;

    if (a->count == 0 || b->count == 0)
        return (a->count > 0) - (b->count > 0);
    if (a->point != b->point)
        return a->point < b->point ? -1 : 1;
    while (i < a->digits.len && j < b->digits.len) {
        char x = a->digits.at[i], y = b->digits.at[j];

        i += x == '.';
        j += y == '.';
        if (x == '.' || y == '.')
            continue;
        if (x != y)
            return x < y ? -1 : 1;
        i++;
        j++;
    }
    return (i < a->digits.len) - (j < b->digits.len);
}

int pk_decimal_compare(const struct pk_decimal *a, const struct pk_decimal *b)
{
    if (a->negative != b->negative)
        return a->negative ? -1 : 1;
    return a->negative ? by_magnitude(b, a) : by_magnitude(a, b);
}

bool pk_decimal_is_integer(const struct pk_decimal *d)
{
    return d->count == 0 || d->point >= d->count;
}

bool pk_decimal_count(const struct pk_decimal *d, int64_t *out)
{
    uint64_t digits;

    if (d->negative || !pk_decimal_is_integer(d))
        return false;
    if (d->point > 18 || !pk_decimal_digits(d, &digits)) {
        *out = INT64_MAX;
        return true;
    }
    for (int64_t zeros = d->point - d->count; digits && zeros > 0; zeros--)
        digits *= 10;
    *out = (int64_t)digits;
    return true;
}

bool pk_decimal_digits(const struct pk_decimal *d, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; d->count <= 18 && i < d->digits.len; i++)
        if (d->digits.at[i] != '.')
            *out = *out * 10 + (uint64_t)(d->digits.at[i] - '0');
    return d->count <= 18;
}

bool pk_decimal_divides(const struct pk_decimal *d, uint64_t divisor, int64_t scale)
{
    int64_t zeros = d->point - d->count - scale;
    uint64_t rest = 0;

    if (d->count == 0)
        return true;
    if (zeros < 0) /* the digits do not end in 0, so no power of ten is in them */
        return false;
    if (zeros > 60) /* has every factor 2 and 5 that a divisor of 60 bits can have */
        zeros = 60;
    for (size_t i = 0; i < d->digits.len; i++)
        if (d->digits.at[i] != '.')
            rest = (rest * 10 + (uint64_t)(d->digits.at[i] - '0')) % divisor;
    while (zeros-- > 0)
        rest = rest * 10 % divisor;
    return rest == 0;
}

/* --- values ----------------------------------------------------------------------------- */

pk_str pk_schema_text(struct pk_schema_text *t, int value)
{
    if (!t->doc->nodes[value].escaped)
        return pk_json_str(t->arena, t->doc, value);
    if (!t->unescaped)
        t->unescaped = pk_alloc(t->arena, (size_t)t->doc->count * sizeof *t->unescaped);
    if (!t->unescaped)
        return PK_NONE;
    if (!t->unescaped[value].at)
        t->unescaped[value] = pk_json_str(t->arena, t->doc, value);
    return t->unescaped[value];
}

static uint64_t mix(uint64_t h, uint64_t more)
{
    h = (h ^ more) * 0x9e3779b97f4a7c15;
    return h ^ h >> 29;
}

static uint64_t hash_bytes(uint64_t h, pk_str s)
{
    for (size_t i = 0; i < s.len; i++)
        h = mix(h, (unsigned char)s.at[i]);
    return h;
}

static uint64_t hash_number(pk_str number)
{
    struct pk_decimal d = pk_decimal_of(number);
    uint64_t h = mix(mix(PK_JSON_NUMBER, d.negative), (uint64_t)d.point);

    for (size_t i = 0; i < d.digits.len; i++)
        h = d.digits.at[i] == '.' ? h : mix(h, (unsigned char)d.digits.at[i]);
    return h;
}

/* Recursion is bounded by PK_JSON_DEPTH_MAX, here and below. */
uint64_t pk_schema_hash(struct pk_schema_text *t, int value, int64_t *steps)
{
    const struct pk_json *doc = t->doc;
    enum pk_json_type type = pk_json_type(doc, value);
    uint64_t h = mix(0, type);

    *steps -= 1 + (doc->nodes[value].end - doc->nodes[value].start) / 64;
    if (type == PK_JSON_NUMBER)
        return hash_number(pk_json_raw(doc, value));
    if (type == PK_JSON_STRING)
        return hash_bytes(h, pk_schema_text(t, value));
    for (int v = pk_json_first(doc, value); v >= 0 && *steps > 0; v = pk_json_next(doc, value, v)) {
        if (type == PK_JSON_ARRAY)
            h = mix(h, pk_schema_hash(t, v, steps));
        else /* in any order */
            h += mix(hash_bytes(1, pk_schema_text(t, v)), pk_schema_hash(t, v + 1, steps));
    }
    return h;
}

/* The value of the member `name`, looked for from the member `from` on and then from the front: two
 * objects mostly have the same order. */
static int member(struct pk_schema_text *t, int object, int from, pk_str name, int64_t *steps)
{
    int start = from < 0 ? pk_json_first(t->doc, object) : from, k = start;

    do {
        if (--*steps <= 0)
            return -1;
        if (pk_str_eq(pk_schema_text(t, k), name))
            return k + 1;
        k = pk_json_next(t->doc, object, k);
        if (k < 0)
            k = pk_json_first(t->doc, object);
    } while (k != start);
    return -1;
}

static bool equal_members(struct pk_schema_text *a, int x, struct pk_schema_text *b, int y,
                          int64_t *steps)
{
    int from = -1;

    for (int k = pk_json_first(a->doc, x); k >= 0; k = pk_json_next(a->doc, x, k)) {
        int v = member(b, y, from, pk_schema_text(a, k), steps);

        if (v < 0 || !pk_schema_equal(a, k + 1, b, v, steps))
            return false;
        from = pk_json_next(b->doc, y, v - 1);
    }
    return true;
}

static bool equal_items(struct pk_schema_text *a, int x, struct pk_schema_text *b, int y,
                        int64_t *steps)
{
    int w = pk_json_first(b->doc, y);

    for (int v = pk_json_first(a->doc, x); v >= 0; v = pk_json_next(a->doc, x, v)) {
        if (!pk_schema_equal(a, v, b, w, steps))
            return false;
        w = pk_json_next(b->doc, y, w);
    }
    return true;
}

bool pk_schema_equal(struct pk_schema_text *a, int x, struct pk_schema_text *b, int y,
                     int64_t *steps)
{
    enum pk_json_type type = pk_json_type(a->doc, x);

    *steps -= 1 + (a->doc->nodes[x].end - a->doc->nodes[x].start) / 64;
    if (*steps <= 0 || type != pk_json_type(b->doc, y) ||
        pk_json_count(a->doc, x) != pk_json_count(b->doc, y))
        return false;
    if (type == PK_JSON_STRING)
        return pk_str_eq(pk_schema_text(a, x), pk_schema_text(b, y));
    if (type == PK_JSON_NUMBER) {
        struct pk_decimal m = pk_decimal_of(pk_json_raw(a->doc, x));
        struct pk_decimal n = pk_decimal_of(pk_json_raw(b->doc, y));

        return pk_decimal_compare(&m, &n) == 0;
    }
    if (type == PK_JSON_OBJECT)
        return equal_members(a, x, b, y, steps);
    return type != PK_JSON_ARRAY || equal_items(a, x, b, y, steps);
}

/* --- paths ------------------------------------------------------------------------------ */

void pk_schema_path(struct pk_buf *out, const char *root, const struct pk_json *doc, int value)
{
    int at = 0;

    pk_buf_adds(out, root);
    while (at != value) {
        int v = pk_json_first(doc, at), i = 0;
        bool object = pk_json_type(doc, at) == PK_JSON_OBJECT;

        PK_ASSERT(v >= 0);
        while ((int)doc->nodes[object ? v + 1 : v].after <= value) {
            v = pk_json_next(doc, at, v);
            i++;
        }
        if (object && v == value) { /* a member's name stands for its object */
            pk_buf_adds(out, " (a member name)");
            return;
        }
        pk_str name = pk_json_raw(doc, v);
        if (object)
            pk_buf_addf(out, ".%.*s", PK_FMT(pk_str_sub(name, 1, name.len - 2)));
        else
            pk_buf_addf(out, "[%d]", i);
        at = object ? v + 1 : v;
    }
}
