/* json.c - see json.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The parser is one loop with an explicit stack of open containers: no recursion,
 * depth bounded. `after` of a container is filled when it closes.
 */
#include "json_inner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct parser {
    struct pk_arena *arena;
    struct pk_json *doc;
    const char *at, *end;
    int cap;
    int open[PK_JSON_DEPTH_MAX]; /* containers that are not closed yet, outermost first */
    int depth;
    const char *problem; /* NULL while all is well */
};

enum { NODES_FIRST = 32 };

/* --- UTF-8 --------------------------------------------------------------------------- */

size_t pk_json_utf8_len(const unsigned char *s, size_t left)
{
    /* Of the second byte after E0 and F0, by length: less would be overlong. */
    static const unsigned char least[] = {0, 0, 0, 0xa0, 0x90};
    size_t n = s[0] < 0x80   ? 1
               : s[0] < 0xc2 ? 0
               : s[0] < 0xe0 ? 2
               : s[0] < 0xf0 ? 3
               : s[0] < 0xf5 ? 4
                             : 0;

    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 || s[0] == 0xf0) && s[1] < least[n])
        return 0;
    if ((s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

/* How many of its first bytes are ASCII and no NUL: eight at a time, so that it may stop a little early. */
static size_t plain_ascii(const unsigned char *at, size_t len)
{
    const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    size_t i = 0;

    for (uint64_t eight; i + sizeof eight <= len; i += sizeof eight) {
        memcpy(&eight, at + i, sizeof eight);
        if (((eight - ones) | eight) & highs) /* a NUL borrows from its highest bit */
            break;
    }
    return i;
}

bool pk_utf8_valid(pk_str s, size_t *bad)
{
    const unsigned char *at = (const unsigned char *)s.at;

    for (size_t i = plain_ascii(at, s.len); i < s.len;) {
        size_t n = at[i] - 1U < 0x7f ? 1 : at[i] ? pk_json_utf8_len(at + i, s.len - i) : 0;

        if (n == 0) {
            *bad = i;
            return false;
        }
        i += n;
    }
    return true;
}

/* Writes a code point to `out`, at most 4 bytes; returns how many. */
static size_t put_utf8(char out[4], uint32_t point)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t n = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | point);
    return n;
}

/* --- parsing -------------------------------------------------------------------------- */

static bool fail(struct parser *p, const char *problem)
{
    p->problem = problem;
    return false;
}

static inline char peek(const struct parser *p)
{
    return p->at < p->end ? *p->at : 0;
}

/* The next character that is no blank; it stays where it is. Most texts have none. */
static inline char peek_on(struct parser *p)
{
    char c = peek(p);

    while ((unsigned char)c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t')) {
        p->at++;
        c = peek(p);
    }
    return c;
}

static uint32_t offset(const struct parser *p, const char *at)
{
    return (uint32_t)(at - p->doc->text.at);
}

/* Kept out of the way of every value, few of which need it. */
static __attribute__((noinline)) bool add_room(struct parser *p)
{
    struct pk_json *d = p->doc;
    int cap = p->cap ? p->cap * 2 : NODES_FIRST;

    if (cap > PK_JSON_NODES_MAX)
        return fail(p, "too many values");
    void *more = pk_alloc_grow(p->arena, d->nodes, (size_t)p->cap * sizeof *d->nodes,
                               (size_t)cap * sizeof *d->nodes);
    if (!more)
        return fail(p, "out of memory");
    d->nodes = more;
    p->cap = cap;
    return true;
}

/* A value from `start` to where the parser is. */
static inline int add_node(struct parser *p, enum pk_json_type type, const char *start)
{
    struct pk_json *d = p->doc;

    if (d->count == p->cap && !add_room(p))
        return -1;
    d->nodes[d->count] = (struct pk_json_node){
        .start = offset(p, start),
        .end = offset(p, p->at),
        .after = (uint32_t)d->count + 1,
        .type = (uint8_t)type,
    };
    return d->count++;
}

static int hex4(const char *at, const char *end)
{
    int n = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = pk_hex_digit(at[i]);

        if (digit < 0)
            return -1;
        n = n * 16 + digit;
    }
    return n;
}

/* At the `u` of an escape. Moves behind it, and behind the second half of a pair. */
static bool skip_unicode_escape(struct parser *p)
{
    int unit = hex4(p->at + 1, p->end);

    if (unit < 0)
        return fail(p, "\\u needs four hex digits");
    if (unit == 0)
        return fail(p, "\\u0000 is not allowed");
    p->at += 5;
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    if (unit > 0xdbff || p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u')
        return fail(p, "lone surrogate");
    unit = hex4(p->at + 2, p->end);
    if (unit < 0xdc00 || unit > 0xdfff)
        return fail(p, "lone surrogate");
    p->at += 6;
    return true;
}

static bool skip_escape(struct parser *p)
{
    char c;

    p->at++;
    c = peek(p);
    if (c == 'u')
        return skip_unicode_escape(p);
    if (c == 0 || !strchr("\"\\/bfnrt", c))
        return fail(p, "unknown escape");
    p->at++;
    return true;
}

#ifdef __SSE2__
/* Of 16 bytes a bit each that is not plain. A byte that is not ASCII is less than zero. */
static unsigned marked(const unsigned char *s)
{
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)s);
    const __m128i below = _mm_cmplt_epi8(bytes, _mm_set1_epi8(' '));
    const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    const __m128i slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(below, _mm_or_si128(quote, slash)));
}
#endif

/* How many bytes from the front are plain: printable ASCII that needs no escape. Many at a
 * time: most bytes of a gateway are inside of strings. */
size_t pk_json_plain_len(const unsigned char *s, size_t left)
{
    const uint64_t ones = UINT64_MAX / 255, high = ones << 7;
    size_t n = 0;

#ifdef __SSE2__
    for (; left - n >= 16; n += 16) {
        unsigned stop = marked(s + n);

        if (stop)
            return n + (size_t)__builtin_ctz(stop);
    }
#endif
    for (; left - n >= 8; n += 8) {
        uint64_t w;

        memcpy(&w, s + n, 8);
        uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\';
        uint64_t stop = (w - ones * ' ') | (quote - ones) | (slash - ones) | w;
        if (stop & high) /* maybe one: the bytes below decide */
            break;
    }
    while (n < left && s[n] >= ' ' && s[n] < 0x80 && s[n] != '"' && s[n] != '\\')
        n++;
    return n;
}

/* The rest of a string, from the first byte that is not plain: behind its closing quote. */
static bool skip_special(struct parser *p, bool *escaped)
{
    while (p->at < p->end) {
        const unsigned char *s = (const unsigned char *)p->at;
        size_t left = (size_t)(p->end - p->at), n = pk_json_plain_len(s, left);

        p->at += n;
        if (n == left)
            break;
        if (s[n] == '"') {
            p->at++;
            return true;
        }
        if (s[n] < ' ')
            return fail(p, "control character in a string");
        if (s[n] == '\\') {
            *escaped = true;
            if (!skip_escape(p))
                return false;
            continue;
        }
        n = pk_json_utf8_len(s + n, left - n);
        if (n == 0)
            return fail(p, "invalid UTF-8");
        p->at += n;
    }
    return fail(p, "unfinished string");
}

/* At the opening quote. */
static inline bool add_string(struct parser *p)
{
    const char *start = p->at++;
    bool escaped = false;

    p->at += pk_json_plain_len((const unsigned char *)p->at, (size_t)(p->end - p->at));
    if (p->at < p->end && *p->at == '"') /* as most do */
        p->at++;
    else if (!skip_special(p, &escaped))
        return false;
    int n = add_node(p, PK_JSON_STRING, start);
    if (n >= 0)
        p->doc->nodes[n].escaped = escaped;
    return n >= 0;
}

static bool skip_digits(struct parser *p)
{
    const char *start = p->at;

    while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
        p->at++;
    return p->at > start;
}

static bool add_number(struct parser *p)
{
    const char *start = p->at;

    if (peek(p) == '-')
        p->at++;
    if (peek(p) == '0')
        p->at++;
    else if (!skip_digits(p))
        return fail(p, "not a value");
    if (peek(p) == '.') {
        p->at++;
        if (!skip_digits(p))
            return fail(p, "digit expected");
    }
    if (peek(p) == 'e' || peek(p) == 'E') {
        p->at++;
        if (peek(p) == '+' || peek(p) == '-')
            p->at++;
        if (!skip_digits(p))
            return fail(p, "digit expected");
    }
    return add_node(p, PK_JSON_NUMBER, start) >= 0;
}

static bool add_word(struct parser *p, const char *word, size_t len, enum pk_json_type type)
{
    const char *start = p->at;

    if ((size_t)(p->end - start) < len || memcmp(start, word, len) != 0)
        return fail(p, "not a value");
    p->at += len;
    return add_node(p, type, start) >= 0;
}

static bool open_container(struct parser *p, enum pk_json_type type)
{
    if (p->depth == PK_JSON_DEPTH_MAX)
        return fail(p, "nested too deep");
    int n = add_node(p, type, p->at);
    if (n < 0)
        return false;
    p->at++;
    p->open[p->depth++] = n;
    return true;
}

static void close_container(struct parser *p)
{
    struct pk_json_node *n = &p->doc->nodes[p->open[--p->depth]];

    p->at++;
    n->end = offset(p, p->at);
    n->after = (uint32_t)p->doc->count;
}

static bool add_value(struct parser *p)
{
    switch (peek_on(p)) {
    case '{': return open_container(p, PK_JSON_OBJECT);
    case '[': return open_container(p, PK_JSON_ARRAY);
    case '"': return add_string(p);
    case 't': return add_word(p, "true", 4, PK_JSON_TRUE);
    case 'f': return add_word(p, "false", 5, PK_JSON_FALSE);
    case 'n': return add_word(p, "null", 4, PK_JSON_NULL);
    default: return p->at < p->end ? add_number(p) : fail(p, "unexpected end");
    }
}

static bool add_key(struct parser *p)
{
    if (peek_on(p) != '"')
        return fail(p, "member name expected");
    if (!add_string(p))
        return false;
    if (peek_on(p) != ':')
        return fail(p, "':' expected");
    p->at++;
    return true;
}

/* Inside the innermost open container: closes it, or adds its next value. */
static bool step(struct parser *p)
{
    struct pk_json_node *n = &p->doc->nodes[p->open[p->depth - 1]];
    bool object = n->type == PK_JSON_OBJECT;
    char c = peek_on(p);

    if (c == (object ? '}' : ']')) {
        close_container(p);
        return true;
    }
    if (n->count > 0) {
        if (c != ',')
            return fail(p, p->at < p->end ? "',' or end expected" : "unexpected end");
        p->at++;
    }
    n->count++;
    return (!object || add_key(p)) && add_value(p);
}

bool pk_json_parse(struct pk_arena *arena, pk_str text, const char *what, struct pk_json *doc,
                   struct pk_error *err)
{
    struct parser p; /* .open is filled as containers are */

    if (!text.at)
        text = PK_STR("");
    p.arena = arena;
    p.doc = doc;
    p.at = text.at;
    p.end = text.at + text.len;
    p.cap = p.depth = 0;
    p.problem = NULL;
    *doc = (struct pk_json){.text = text};
    if (text.len > PK_STREAM_BYTES_MAX)
        return pk_fail(err, PK_TOO_LARGE, "%s: larger than %d MiB", what,
                       PK_STREAM_BYTES_MAX >> 20);
    bool ok = add_value(&p);
    while (ok && p.depth > 0)
        ok = step(&p);
    if (ok) {
        (void)peek_on(&p);
        ok = p.at == p.end || fail(&p, "text after the end");
    }
    if (ok)
        return true;
    *doc = (struct pk_json){.text = text};
    if (arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "%s: out of memory", what);
    return pk_fail(err, PK_BAD_JSON, "%s: not valid JSON at byte %zu: %s", what,
                   (size_t)(p.at - text.at), p.problem);
}

bool pk_json_reuse(const struct pk_json *read, pk_str text, struct pk_json *doc)
{
    if (!read || read->count == 0 || read->text.at != text.at || read->text.len != text.len)
        return false;
    *doc = *read;
    return true;
}

/* --- reading --------------------------------------------------------------------------- */

enum pk_json_type pk_json_type(const struct pk_json *doc, int value)
{
    return value < 0 || value >= doc->count ? PK_JSON_NONE
                                            : (enum pk_json_type)doc->nodes[value].type;
}

const char *pk_json_type_name(enum pk_json_type type)
{
    static const char *const names[] = {"nothing",  "null",     "a boolean", "a boolean",
                                        "a number", "a string", "an array",  "an object"};
    return names[type];
}

int pk_json_count(const struct pk_json *doc, int value)
{
    return pk_json_type(doc, value) < PK_JSON_ARRAY ? 0 : (int)doc->nodes[value].count;
}

int pk_json_first(const struct pk_json *doc, int container)
{
    return pk_json_count(doc, container) ? container + 1 : -1;
}

int pk_json_next(const struct pk_json *doc, int container, int v)
{
    bool object = doc->nodes[container].type == PK_JSON_OBJECT;
    uint32_t next = doc->nodes[object ? v + 1 : v].after;

    return next < doc->nodes[container].after ? (int)next : -1;
}

static pk_str inside_quotes(const struct pk_json *doc, int string)
{
    const struct pk_json_node *n = &doc->nodes[string];

    return (pk_str){doc->text.at + n->start + 1, n->end - n->start - 2};
}

/* The bytes that the escape at s[at] stands for, at most 4, of a string that the parser accepted; moves
 * *at behind it. */
static size_t unescape_one(pk_str s, size_t *at, char out[4])
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = s.at[*at + 1];

    if (c != 'u') {
        *at += 2;
        out[0] = to[strchr(from, c) - from];
        return 1;
    }
    uint32_t point = (uint32_t)hex4(s.at + *at + 2, s.at + s.len);
    *at += 6;
    if (point >= 0xd800 && point <= 0xdfff) {
        point = 0x10000 + ((point - 0xd800) << 10) +
                ((uint32_t)hex4(s.at + *at + 2, s.at + s.len) - 0xdc00);
        *at += 6;
    }
    return put_utf8(out, point);
}

/* Most strings differ from a name in their length, or in the first letter. */
static inline bool may_be(const struct pk_json *doc, const struct pk_json_node *string, pk_str name)
{
    return string->escaped || (string->end - string->start == name.len + 2 &&
                               (name.len == 0 || doc->text.at[string->start + 1] == name.at[0]));
}

bool pk_json_string_is(const struct pk_json *doc, int string, pk_str name)
{
    pk_str s = inside_quotes(doc, string);

    if (!doc->nodes[string].escaped)
        return pk_str_eq(s, name);
    for (size_t i = 0; i < s.len;) {
        char bytes[4] = {s.at[i]};
        size_t n = 1;

        if (s.at[i] == '\\')
            n = unescape_one(s, &i, bytes);
        else
            i++;
        if (n > name.len || memcmp(bytes, name.at, n) != 0)
            return false;
        name = pk_str_sub(name, n, name.len);
    }
    return name.len == 0;
}

int pk_json_member(const struct pk_json *doc, int object, pk_str name)
{
    const struct pk_json_node *nodes = doc->nodes, *found = NULL;

    if (pk_json_type(doc, object) != PK_JSON_OBJECT)
        return -1;
    const struct pk_json_node *end = nodes + nodes[object].after;
    for (const struct pk_json_node *k = nodes + object + 1; k < end; k = nodes + k[1].after)
        if (may_be(doc, k, name) && pk_json_string_is(doc, (int)(k - nodes), name))
            found = k + 1;
    return found ? (int)(found - nodes) : -1;
}

int pk_json_which(const struct pk_json *doc, int string, const pk_str *names)
{
    const struct pk_json_node *n = &doc->nodes[string];
    size_t len = n->end - n->start - 2;

    for (int i = 0; names[i].len; i++)
        if ((names[i].len == len || n->escaped) && pk_json_string_is(doc, string, names[i]))
            return i;
    return -1;
}

void pk_json_members(const struct pk_json *doc, int object, const pk_str *names, int *values)
{
    for (int i = 0; names[i].len; i++)
        values[i] = -1;
    if (pk_json_type(doc, object) != PK_JSON_OBJECT)
        return;
    for (int k = pk_json_first(doc, object); k >= 0; k = pk_json_next(doc, object, k)) {
        int i = pk_json_which(doc, k, names);

        if (i >= 0)
            values[i] = k + 1;
    }
}

int pk_json_item(const struct pk_json *doc, int array, int i)
{
    if (pk_json_type(doc, array) != PK_JSON_ARRAY)
        return -1;
    int v = pk_json_first(doc, array);
    while (v >= 0 && i-- > 0)
        v = pk_json_next(doc, array, v);
    return v;
}

int pk_json_at(const struct pk_json *doc, const char *path)
{
    int v = doc->count ? 0 : -1;

    while (*path && v >= 0) {
        size_t n = strcspn(path, ".[");

        if (*path == '[') {
            v = pk_json_item(doc, v, (int)strtol(path + 1, NULL, 10));
            path += strcspn(path, "]") + 1;
        } else {
            v = pk_json_member(doc, v, (pk_str){path, n});
            path += n;
        }
        if (*path == '.')
            path++;
    }
    return v;
}

pk_str pk_json_raw(const struct pk_json *doc, int value)
{
    if (pk_json_type(doc, value) == PK_JSON_NONE)
        return PK_NONE;
    const struct pk_json_node *n = &doc->nodes[value];
    return (pk_str){doc->text.at + n->start, n->end - n->start};
}

static void unescape(struct pk_buf *out, pk_str s)
{
    for (size_t i = 0; i < s.len;) {
        const char *next = memchr(s.at + i, '\\', s.len - i);
        size_t plain = next ? (size_t)(next - s.at) - i : s.len - i;
        char bytes[4];

        pk_buf_add(out, (pk_str){s.at + i, plain});
        i += plain;
        if (next)
            pk_buf_add(out, (pk_str){bytes, unescape_one(s, &i, bytes)});
    }
}

pk_str pk_json_str(struct pk_arena *arena, const struct pk_json *doc, int value)
{
    if (pk_json_type(doc, value) != PK_JSON_STRING)
        return PK_NONE;
    pk_str inner = inside_quotes(doc, value);
    if (!doc->nodes[value].escaped)
        return inner;
    struct pk_buf out = pk_buf_in(arena, inner.len + 1);
    char *room = pk_buf_room(&out, inner.len); /* it only gets shorter */
    if (!room)
        return PK_NONE;
    unescape(&out, inner);
    return pk_buf_str(&out);
}

bool pk_json_equals(const struct pk_json *doc, int value, pk_str text)
{
    return pk_json_type(doc, value) == PK_JSON_STRING && may_be(doc, &doc->nodes[value], text) &&
           pk_json_string_is(doc, value, text);
}

bool pk_json_int(const struct pk_json *doc, int value, int64_t *out)
{
    return pk_json_type(doc, value) == PK_JSON_NUMBER && pk_str_int(pk_json_raw(doc, value), out);
}

bool pk_json_number(const struct pk_json *doc, int value, double *out)
{
    pk_str raw = pk_json_raw(doc, value);
    char text[64];

    if (pk_json_type(doc, value) != PK_JSON_NUMBER || raw.len >= sizeof text)
        return false;
    memcpy(text, raw.at, raw.len);
    text[raw.len] = 0;
    errno = 0;
    *out = strtod(text, NULL);
    return errno == 0;
}

bool pk_json_true(const struct pk_json *doc, int value)
{
    return pk_json_type(doc, value) == PK_JSON_TRUE;
}
