/* provider_own.c - providers that an administrator adds, as they are said and as they are shown.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Whoever may add one decides where requests and keys go: what is said here is checked as a config is. Lists are
 * kept as providers.def writes them, blank separated, so that a call cannot tell the two kinds apart.
 */
#include "http.h"
#include "provider.h"
#include "url.h"

#include <string.h>

#define KEY_HEADER "authorization: Bearer "

enum { FIELD_BYTES_MAX = 64, HEADER_BYTES_MAX = 1024, LIST_BYTES_MAX = 8 << 10 };

struct reader {
    struct pk_arena *arena;
    struct pk_json doc;
    struct pk_provider *p;
    bool usage_said;
    struct pk_error *err;
};

static bool text_of(struct reader *r, const char *name, int value, size_t max, pk_str *out)
{
    enum pk_json_type type = pk_json_type(&r->doc, value);

    if (type != PK_JSON_STRING)
        return pk_fail(r->err, PK_BAD_REQUEST, "options.%s: must be a string, not %s", name,
                       pk_json_type_name(type));
    *out = pk_copy(r->arena, pk_json_str(r->arena, &r->doc, value));
    return out->len <= max ||
           pk_fail(r->err, PK_BAD_REQUEST, "options.%s: longer than %d bytes", name, (int)max);
}

/* --- members ------------------------------------------------------------------------------- */

static bool read_dialect(struct reader *r, int value)
{
    pk_str name = PK_NONE;

    if (!text_of(r, "dialect", value, PK_SLUG_BYTES_MAX, &name))
        return false;
    r->p->dialect = pk_dialect_find(name);
    return r->p->dialect || pk_fail(r->err, PK_BAD_REQUEST, "options.dialect: there is no \"%.*s\"",
                                    PK_FMT(pk_str_sub(name, 0, FIELD_BYTES_MAX)));
}

static bool read_base_url(struct reader *r, int value)
{
    struct pk_url url;
    pk_str base = PK_NONE;

    if (!text_of(r, "base_url", value, PK_URL_BYTES_MAX, &base))
        return false;
    while (pk_str_ends(base, "/"))
        base.len--;
    struct pk_error why = {0};
    if (!pk_url_parse(base, "options.base_url", &url, &why))
        return pk_fail(r->err, PK_BAD_REQUEST, "%s", why.msg);
    if (pk_str_find(url.path, '?') >= 0)
        return pk_fail(r->err, PK_BAD_REQUEST, "options.base_url: must be without a query");
    r->p->base_url = pk_copy(r->arena, base).at;
    return true;
}

/* "x-api-key", "x-api-key:", "authorization: Bearer": a word before the key has a blank behind it. */
static bool read_key_header(struct reader *r, int value)
{
    pk_str text = PK_NONE;

    if (!text_of(r, "key_header", value, HEADER_BYTES_MAX, &text))
        return false;
    int colon = pk_str_find(text, ':');
    pk_str name = pk_str_trim(pk_str_sub(text, 0, colon < 0 ? text.len : (size_t)colon));
    pk_str word = pk_str_trim(pk_str_sub(text, name.len + 1, text.len));
    if (!pk_http_valid_name(name) || !pk_http_valid_value(word) || pk_http_is_framing(name) ||
        pk_str_is_nocase(name, "content-type"))
        return pk_fail(r->err, PK_BAD_REQUEST,
                       "options.key_header: must be a header and what precedes the key in it, like "
                       "\"authorization: Bearer\"");
    r->p->key_header =
        pk_copyf(r->arena, "%.*s: %.*s%s", PK_FMT(name), PK_FMT(word), word.len ? " " : "").at;
    return true;
}

static bool is_variable(pk_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return true;
}

static bool read_key_env(struct reader *r, int value)
{
    pk_str name = PK_NONE;

    if (!text_of(r, "key_env", value, PK_SLUG_BYTES_MAX, &name))
        return false;
    r->p->key_env = name.len ? name.at : "";
    return is_variable(name) ||
           pk_fail(r->err, PK_BAD_REQUEST, "options.key_env: must be the name of a variable");
}

/* A field of a request, as lists of them can hold it. */
static bool is_field(pk_str name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.at[i] <= ' ' || name.at[i] == '=' || name.at[i] == '"' ||
            name.at[i] == '\\')
            return false;
    return name.len > 0 && name.len <= FIELD_BYTES_MAX;
}

static bool read_rejects(struct reader *r, int value)
{
    struct pk_buf list = pk_buf_in(r->arena, LIST_BYTES_MAX);

    if (pk_json_type(&r->doc, value) != PK_JSON_ARRAY ||
        pk_json_count(&r->doc, value) > PK_PROVIDER_REJECTS_MAX)
        return pk_fail(r->err, PK_BAD_REQUEST,
                       "options.rejects: must be a list of at most %d fields",
                       PK_PROVIDER_REJECTS_MAX);
    for (int v = pk_json_first(&r->doc, value); v >= 0; v = pk_json_next(&r->doc, value, v)) {
        pk_str name = pk_json_str(r->arena, &r->doc, v);

        if (!is_field(name) || pk_str_is(name, "model") || pk_str_is(name, "messages"))
            return pk_fail(r->err, PK_BAD_REQUEST,
                           "options.rejects: \"%.*s\" is no field that can be left out",
                           PK_FMT(pk_str_sub(name, 0, FIELD_BYTES_MAX)));
        pk_buf_addf(&list, "%s%.*s", list.len ? " " : "", PK_FMT(name));
    }
    pk_buf_addc(&list, 0);
    r->p->rejects = pk_buf_str(&list).at;
    return true;
}

static bool read_renames(struct reader *r, int value)
{
    struct pk_buf list = pk_buf_in(r->arena, LIST_BYTES_MAX);

    if (pk_json_type(&r->doc, value) != PK_JSON_OBJECT ||
        pk_json_count(&r->doc, value) > PK_PROVIDER_RENAMES_MAX)
        return pk_fail(r->err, PK_BAD_REQUEST,
                       "options.renames: must be an object of at most %d fields",
                       PK_PROVIDER_RENAMES_MAX);
    for (int v = pk_json_first(&r->doc, value); v >= 0; v = pk_json_next(&r->doc, value, v)) {
        pk_str from = pk_json_str(r->arena, &r->doc, v);
        pk_str to = pk_json_str(r->arena, &r->doc, v + 1);

        if (!is_field(from) || !is_field(to) || pk_str_eq(from, to))
            return pk_fail(r->err, PK_BAD_REQUEST,
                           "options.renames.%.*s: must be the name of another field",
                           PK_FMT(pk_str_sub(from, 0, FIELD_BYTES_MAX)));
        pk_buf_addf(&list, "%s%.*s=%.*s", list.len ? " " : "", PK_FMT(from), PK_FMT(to));
    }
    pk_buf_addc(&list, 0);
    r->p->renames = pk_buf_str(&list).at;
    return true;
}

static bool read_headers(struct reader *r, int value)
{
    struct pk_buf lines = pk_buf_in(r->arena, PK_HEADERS_BYTES_MAX);

    if (pk_json_type(&r->doc, value) != PK_JSON_OBJECT ||
        pk_json_count(&r->doc, value) > PK_PROVIDER_HEADERS_MAX)
        return pk_fail(r->err, PK_BAD_REQUEST,
                       "options.headers: must be an object of at most %d headers",
                       PK_PROVIDER_HEADERS_MAX);
    for (int v = pk_json_first(&r->doc, value); v >= 0; v = pk_json_next(&r->doc, value, v)) {
        pk_str name = pk_json_str(r->arena, &r->doc, v);
        pk_str text = pk_json_str(r->arena, &r->doc, v + 1);

        if (!pk_http_valid_name(name) || pk_http_is_framing(name) || pk_http_is_credential(name) ||
            pk_str_is_nocase(name, "content-type"))
            return pk_fail(r->err, PK_BAD_REQUEST,
                           "options.headers: \"%.*s\" is no header that can be given here",
                           PK_FMT(pk_str_sub(name, 0, FIELD_BYTES_MAX)));
        if (text.len == 0 || text.len > HEADER_BYTES_MAX || !pk_http_valid_value(text))
            return pk_fail(r->err, PK_BAD_REQUEST,
                           "options.headers.%.*s: must be a text of 1..%d bytes", PK_FMT(name),
                           HEADER_BYTES_MAX);
        pk_buf_addf(&lines, "%.*s: %.*s\n", PK_FMT(name), PK_FMT(text));
    }
    pk_buf_addc(&lines, 0);
    r->p->headers = pk_buf_str(&lines).at;
    return true;
}

static bool read_bool(struct reader *r, const char *name, int value, bool *out)
{
    enum pk_json_type type = pk_json_type(&r->doc, value);

    *out = type == PK_JSON_TRUE;
    return type == PK_JSON_TRUE || type == PK_JSON_FALSE ||
           pk_fail(r->err, PK_BAD_REQUEST, "options.%s: must be true or false", name);
}

static bool read_stream_usage(struct reader *r, int value)
{
    r->usage_said = true;
    return read_bool(r, "stream_usage", value, &r->p->stream_usage);
}

static bool read_developer(struct reader *r, int value)
{
    return read_bool(r, "developer_role", value, &r->p->developer);
}

static bool read_batches(struct reader *r, int value)
{
    return read_bool(r, "batch_api", value, &r->p->batches);
}

static const struct {
    const char *name;
    bool (*read)(struct reader *r, int value);
} members[] = {
    {"dialect", read_dialect},          {"base_url", read_base_url},
    {"key_header", read_key_header},    {"key_env", read_key_env},
    {"rejects", read_rejects},          {"renames", read_renames},
    {"headers", read_headers},          {"stream_usage", read_stream_usage},
    {"developer_role", read_developer}, {"batch_api", read_batches},
};

/* --- the whole ------------------------------------------------------------------------------ */

static bool read_member(struct reader *r, int key)
{
    for (size_t i = 0; i < PK_COUNT(members); i++)
        if (pk_json_is(&r->doc, key, members[i].name))
            return members[i].read(r, key + 1);
    return pk_fail(r->err, PK_BAD_REQUEST, "options: there is no option \"%.*s\"",
                   PK_FMT(pk_str_sub(pk_json_str(r->arena, &r->doc, key), 0, FIELD_BYTES_MAX)));
}

static bool read_members(struct reader *r)
{
    if (pk_json_type(&r->doc, 0) != PK_JSON_OBJECT)
        return pk_fail(r->err, PK_BAD_REQUEST, "options: must be an object");
    for (int v = pk_json_first(&r->doc, 0); v >= 0; v = pk_json_next(&r->doc, 0, v))
        if (!read_member(r, v))
            return false;
    return *r->p->base_url || pk_fail(r->err, PK_BAD_REQUEST, "options.base_url: must be given");
}

/* A header that is given must not be the one that the key goes into. */
static bool check_headers(struct reader *r)
{
    pk_str key = pk_str_of(r->p->key_header);

    key = pk_copy(r->arena, pk_str_sub(key, 0, (size_t)pk_str_find(key, ':')));
    return !key.at || pk_http_header(pk_str_of(r->p->headers), key.at).len == 0 ||
           pk_fail(r->err, PK_BAD_REQUEST,
                   "options.headers.%.*s: is where the key goes, which is a virtual key's",
                   PK_FMT(key));
}

/* There is one for each of two dialects (docs/queue.md). */
static bool check_batches(struct reader *r)
{
    return !r->p->batches || r->p->dialect == &pk_dialect_openai ||
           r->p->dialect == &pk_dialect_anthropic ||
           pk_fail(r->err, PK_BAD_REQUEST,
                   "options.batch_api: is for the dialects openai and anthropic, not %s",
                   r->p->dialect->name);
}

bool pk_provider_read(struct pk_arena *arena, pk_str name, pk_str options, struct pk_provider *p,
                      struct pk_error *err)
{
    struct reader r = {.arena = arena, .p = p, .err = err};

    *p = (struct pk_provider){
        .name = pk_copy(arena, name).at,
        .dialect = &pk_dialect_openai,
        .base_url = "",
        .key_header = KEY_HEADER,
        .key_env = "",
        .rejects = "",
        .renames = "",
        .headers = "",
        .own = true,
    };
    bool ok = pk_json_parse(arena, pk_copy(arena, options), "options", &r.doc, err) &&
              read_members(&r) && (arena->failed || check_headers(&r)) && check_batches(&r);
    if (arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "provider: out of memory");
    if (!r.usage_said)
        p->stream_usage = p->dialect == &pk_dialect_openai;
    return ok;
}

/* --- showing --------------------------------------------------------------------------------- */

/* "a b" as ["a","b"]; "a=b c=d" as {"a":"b","c":"d"}. */
static void print_list(struct pk_buf *out, const char *list, char between)
{
    const char *comma = "";

    pk_buf_addc(out, between ? '{' : '[');
    while (*list) {
        size_t len = strcspn(list, " ");
        pk_str word = {list, len};
        int equals = between ? pk_str_find(word, between) : -1;

        pk_buf_adds(out, comma);
        pk_json_quote(out, equals < 0 ? word : pk_str_sub(word, 0, (size_t)equals));
        if (equals >= 0) {
            pk_buf_addc(out, ':');
            pk_json_quote(out, pk_str_sub(word, (size_t)equals + 1, len));
        }
        comma = ",";
        list += len + (list[len] == ' ');
    }
    pk_buf_addc(out, between ? '}' : ']');
}

static void print_headers(struct pk_buf *out, const char *headers)
{
    pk_str lines = pk_str_of(headers), name, value;
    const char *comma = "";

    pk_buf_addc(out, '{');
    while (pk_http_next_header(&lines, &name, &value)) {
        pk_buf_adds(out, comma);
        pk_json_quote(out, name);
        pk_buf_addc(out, ':');
        pk_json_quote(out, value);
        comma = ",";
    }
    pk_buf_addc(out, '}');
}

void pk_provider_print(struct pk_buf *out, const struct pk_provider *p)
{
    pk_buf_addf(out, "{\"dialect\":\"%s\",\"base_url\":", p->dialect->name);
    pk_json_quote(out, pk_str_of(p->base_url));
    pk_buf_adds(out, ",\"key_header\":");
    pk_json_quote(out, pk_str_trim(pk_str_of(p->key_header)));
    pk_buf_adds(out, ",\"key_env\":");
    pk_json_quote(out, pk_str_of(p->key_env));
    pk_buf_adds(out, ",\"rejects\":");
    print_list(out, p->rejects, 0);
    pk_buf_adds(out, ",\"renames\":");
    print_list(out, p->renames, '=');
    pk_buf_adds(out, ",\"headers\":");
    print_headers(out, p->headers);
    pk_buf_addf(out, ",\"stream_usage\":%s,\"developer_role\":%s",
                p->stream_usage ? "true" : "false", p->developer ? "true" : "false");
    if (p->batches)
        pk_buf_adds(out, ",\"batch_api\":true");
    if (p->operations) {
        pk_buf_adds(out, ",\"operations\":");
        print_list(out, p->operations, 0);
    }
    pk_buf_addc(out, '}');
}

void pk_provider_table(struct pk_buf *out)
{
    const struct pk_provider *p;

    pk_buf_addc(out, '{');
    for (int i = 0; (p = pk_provider_at(i)); i++) {
        pk_buf_addf(out, "%s\"%s\":", i ? "," : "", p->name);
        pk_provider_print(out, p);
    }
    pk_buf_addc(out, '}');
}
