/* base.h - the few types that every other module speaks: strings, errors, limits.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Layer 0. Includes nothing of ours, so it can be included anywhere.
 */
#ifndef PK_BASE_H
#define PK_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PK_MUST_CHECK   __attribute__((warn_unused_result))
#define PK_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define PK_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define PK_VERSION "0.1.0"

enum {
    PK_RETRIES_MAX = 5,             /* extra tries at one target */
    PK_ATTEMPTS_MAX = 32,           /* upstream requests that one call may make, retries included */
    PK_NODES_MAX = 64,              /* nodes in one route tree */
    PK_DEPTH_MAX = 8,               /* nesting of strategies */
    PK_STATUSES_MAX = 32,           /* entries of an on_status_codes list */
    PK_EMBEDDERS_MAX = 8,           /* embedders of one config */
    PK_EMBEDDING_DIMS_MAX = 4096,   /* numbers of an embedding */
    PK_FORWARD_MAX = 16,            /* entries of a forward_headers list */
    PK_JSON_DEPTH_MAX = 128,        /* nesting of a JSON document */
    PK_JSON_NODES_MAX = 4 << 20,    /* values in a JSON document */
    PK_BODY_BYTES_MAX = 32 << 20,   /* a request body, or a buffered response body */
    PK_STREAM_BYTES_MAX = 64 << 20, /* what a relayed stream may assemble for log and cache */
    PK_EVENT_BYTES_MAX = 16 << 20,  /* one server-sent event */
    PK_CONFIG_BYTES_MAX = 1 << 20,  /* a config document */
    PK_TEMPLATE_DEPTH_MAX = 32,     /* sections and partials inside of each other */
    PK_TEMPLATE_STEPS_MAX = 1 << 20, /* tags and texts that one rendering may go through */
    PK_VARIABLE_BYTES_MAX = 256,     /* a name in a template */
    PK_PARTIALS_MAX = 64,          /* distinct partials of one prompt, those of partials included */
    PK_REFERENCE_BYTES_MAX = 300,  /* a slug and a version or label of a prompt */
    PK_PROMPT_BYTES_MAX = 1 << 20, /* a version of a prompt */
    PK_PATTERN_BYTES_MAX = 4 << 10,         /* a regular expression */
    PK_METADATA_BYTES_MAX = 16 << 10,       /* the metadata of a call */
    PK_SLUG_BYTES_MAX = 128,                /* a slug, a trace id, a name */
    PK_URL_BYTES_MAX = 2048,                /* an upstream URL */
    PK_HEADERS_BYTES_MAX = 64 << 10,        /* the headers of one request or response */
    PK_CALL_BYTES_MAX = 512 << 20,          /* everything that one call may hold at a time */
    PK_BACKOFF_MS_MAX = 60 * 1000,          /* the longest single wait before a retry */
    PK_CALL_MS_DEFAULT = 600 * 1000,        /* a call's deadline when nobody sets one */
    PK_SESSION_IDLE_MS = 900 * 1000,        /* of a realtime session without a byte either way */
    PK_TIMEOUT_MS_MAX = 24 * 3600 * 1000,   /* the longest timeout that a config may ask for */
    PK_SETTLE_MS_MAX = 30 * 1000,           /* after a call's deadline its record is in the store */
    PK_BATCHED_MS_MAX = 26 * 3600 * 1000,   /* so is that of a batched one, after it was sent */
    PK_CACHE_AGE_S_DEFAULT = 7 * 24 * 3600, /* cache.max_age when not given */
};

/* A borrowed view of bytes: not owned, not NUL-terminated, may hold NULs; `at`
 * may be NULL when `len` is 0. */
typedef struct {
    const char *at;
    size_t len;
} pk_str;

#define PK_STR(literal) ((pk_str){(literal), sizeof(literal) - 1})
#define PK_NONE         ((pk_str){NULL, 0})
/* The same in a static table. */
/* clang-format off */
#define PK_NAME(literal) {(literal), sizeof(literal) - 1}
/* clang-format on */

/* For printf("%.*s", PK_FMT(s)). */
#define PK_FMT(s) (int)(s).len, (s).at ? (s).at : ""

/* These are in the way of every byte of every call: where the text is a literal, its length is known to the
 * compiler, and most comparisons end there. */

#ifdef __clang_analyzer__
/* Closed to the analyzer, which would follow them into strings that cannot be: without bytes, but with a length. */
pk_str pk_str_of(const char *text);
bool pk_str_eq(pk_str a, pk_str b);
bool pk_str_is(pk_str s, const char *text);
bool pk_str_eq_nocase(pk_str a, pk_str b);
bool pk_str_is_nocase(pk_str s, const char *text);
bool pk_str_starts(pk_str s, const char *prefix);
pk_str pk_str_sub(pk_str s, size_t from, size_t len);
#else
/* NULL gives the empty string. */
static inline pk_str pk_str_of(const char *text)
{
    return text ? (pk_str){text, strlen(text)} : PK_NONE;
}

static inline bool pk_str_eq(pk_str a, pk_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool pk_str_is(pk_str s, const char *text)
{
    return pk_str_eq(s, pk_str_of(text));
}

bool pk_str_eq_nocase(pk_str a, pk_str b); /* ASCII only */

/* FNV-1a: for tables and for telling texts apart by accident, not on purpose. The same in all versions. */
static inline uint32_t pk_str_fnv(pk_str s)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (unsigned char)s.at[i]) * 16777619u;
    return hash;
}

static inline bool pk_str_is_nocase(pk_str s, const char *text)
{
    pk_str other = pk_str_of(text);

    return s.len == other.len && pk_str_eq_nocase(s, other);
}

static inline bool pk_str_starts(pk_str s, const char *prefix)
{
    size_t n = strlen(prefix);

    return s.len >= n && (n == 0 || memcmp(s.at, prefix, n) == 0);
}

/* Clipped to what is there. */
static inline pk_str pk_str_sub(pk_str s, size_t from, size_t len)
{
    if (from >= s.len)
        return PK_NONE;
    if (len > s.len - from)
        len = s.len - from;
    return (pk_str){s.at + from, len};
}
#endif

bool pk_str_ends(pk_str s, const char *suffix);
int pk_str_find(pk_str s, char c); /* index of the first `c`, or -1 */
pk_str pk_str_trim(pk_str s);      /* without ASCII blanks at either end */
/* The value of a hexadecimal digit in either case; -1: it is none. */
static inline int pk_hex_digit(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}
/* The integer that the whole of `s` spells in decimal; false when it is not one or overflows. */
bool pk_str_int(pk_str s, int64_t *out);

enum { PK_DIGITS_BYTES = 20 };
/* What a digit of base64 stands for, in either alphabet (RFC 4648); -1: it is none. */
int pk_base64_sextet(char c);
pk_str pk_digits(uint64_t n, char out[PK_DIGITS_BYTES]); /* in decimal; points into `out` */

enum pk_code {
#define FAILURE(code, name, status, sqlstate, retryable) code,
#include "errors.def"
#undef FAILURE
};

/* Why something failed. Filled where the failure is first known. */
struct pk_error {
    enum pk_code code;
    int status;     /* HTTP status that tells the client; 0 while code is PK_OK */
    bool retryable; /* another try, later, may succeed */
    char msg[256];  /* one sentence, UTF-8, no newline, no secret, no prompt text */
};

/* Fills *err from errors.def and returns false, so that a failing function ends in
 * `return pk_fail(...)`. */
bool pk_fail(struct pk_error *err, enum pk_code code, const char *fmt, ...) PK_PRINTF(3, 4);

const char *pk_code_name(enum pk_code code);     /* "timeout_error" */
const char *pk_code_sqlstate(enum pk_code code); /* "08006" */

/* Supplied by every host: our own mistake was found. Ends the process or the
 * session, never the server; does not return. */
_Noreturn void pk_bug(const char *file, int line, const char *what);

/* Assertions are on in every build: they are for our mistakes, never for input. */
#define PK_ASSERT(condition) ((condition) ? (void)0 : pk_bug(__FILE__, __LINE__, #condition))

/* splitmix64: small, seedable, good enough to spread load and jitter; not for secrets. */
uint64_t pk_random_next(uint64_t *state);

#endif
