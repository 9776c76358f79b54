/* guard_check_jwt.c - is there a valid token in a header of the client's request?
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The keys that it may be signed with are fetched from jwks_uri, and kept with the config for a while: the one
 * thing that a config learns after it was made. Configs are used by one thread each (resolve.h), so nothing
 * guards it.
 */
#include "guard_inner.h"

#include "http.h"
#include "jwt.h"

#include <string.h>
#include <strings.h>

enum { TIMEOUT_MS = 3000, HEADER_BYTES_MAX = 64, S_MAX = 10 * 366 * 24 * 3600 };

static const char bearer[] = "bearer ";

/* The set of keys as it was fetched last. */
struct key_set {
    struct pk_allocator from;
    char *text;
    size_t len;
    int64_t fetched_us;
};

struct jwt_params {
    pk_str jwks_uri, header;
    int64_t keep_s;
    bool tolerance_given, age_given;
    struct pk_jwt_rules rules;
    struct key_set *keys;
};

/* --- parameters ----------------------------------------------------------------------------------- */

static bool jwt_uri(struct pk_config_reader *p, int value, void *into)
{
    struct jwt_params *x = into;
    struct pk_error why = {0};
    struct pk_url url;

    return pk_config_read_text(p, "jwks_uri", value, PK_URL_BYTES_MAX, &x->jwks_uri) &&
           (pk_url_parse(x->jwks_uri, "jwks_uri", &url, &why) ||
            pk_config_fail(p, "", "%s", why.msg));
}

static bool jwt_header(struct pk_config_reader *p, int value, void *into)
{
    struct jwt_params *x = into;

    return pk_config_read_text(p, "header_key", value, HEADER_BYTES_MAX, &x->header) &&
           (pk_http_valid_name(x->header) ||
            pk_config_fail(p, "header_key", "must be the name of a header"));
}

/* Seconds: a number, or digits with s, m, h or d behind them. */
static bool read_seconds(struct pk_config_reader *p, const char *name, int value, int64_t *out)
{
    static const struct {
        char unit;
        int64_t s;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    pk_str text = pk_json_str(p->arena, &p->doc, value);

    if (pk_json_type(&p->doc, value) == PK_JSON_NUMBER)
        return pk_config_read_int(p, name, value, S_MAX, out);
    for (size_t i = 0; i < PK_COUNT(units); i++)
        if (text.len > 1 && text.len < 10 && text.at[text.len - 1] == units[i].unit &&
            pk_str_int(pk_str_sub(text, 0, text.len - 1), out) && *out >= 0) {
            *out *= units[i].s;
            return *out <= S_MAX || pk_config_fail(p, name, "is too long");
        }
    return pk_config_fail(p, name, "must be seconds, or a text like \"12h\" or \"1d\"");
}

static bool jwt_keep(struct pk_config_reader *p, int value, void *into)
{
    return read_seconds(p, "cache_max_age", value, &((struct jwt_params *)into)->keep_s);
}

static bool jwt_tolerance(struct pk_config_reader *p, int value, void *into)
{
    struct jwt_params *x = into;

    x->tolerance_given = true;
    return read_seconds(p, "clock_tolerance", value, &x->rules.clock_tolerance_s);
}

static bool jwt_age(struct pk_config_reader *p, int value, void *into)
{
    struct jwt_params *x = into;

    x->age_given = true; /* 0: any age */
    return read_seconds(p, "max_token_age", value, &x->rules.max_age_s);
}

static bool jwt_algorithms(struct pk_config_reader *p, int value, void *into)
{
    struct jwt_params *x = into;
    struct pk_strings names = {0};

    if (!pk_strings_read(p, "algorithms", value, &names))
        return false;
    for (int i = 0; i < names.count; i++) {
        unsigned algorithm = pk_jwt_algorithm(names.at[i]);

        if (!algorithm)
            return pk_config_fail(p, "algorithms", "\"%.*s\" is not known, or not safe",
                                  PK_FMT(pk_str_sub(names.at[i], 0, 16)));
        x->rules.algorithms |= algorithm;
    }
    return true;
}

static bool jwt_issuer(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "issuer", value, PK_URL_BYTES_MAX,
                               &((struct jwt_params *)into)->rules.issuer);
}

static bool jwt_audience(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "audience", value, PK_URL_BYTES_MAX,
                               &((struct jwt_params *)into)->rules.audience);
}

static const struct pk_config_member jwt_members[] = {
    {"jwks_uri", jwt_uri},
    {"header_key", jwt_header},
    {"cache_max_age", jwt_keep},
    {"clock_tolerance", jwt_tolerance},
    {"max_token_age", jwt_age},
    {"algorithms", jwt_algorithms},
    {"issuer", jwt_issuer},
    {"audience", jwt_audience},
    {0},
};

static void drop_keys(void *object)
{
    struct key_set *keys = object;

    if (keys->text)
        keys->from.free(keys->from.ctx, keys->text);
    keys->text = NULL;
}

static bool jwt_ready(struct pk_config_reader *p, struct pk_check *check)
{
    struct jwt_params *x = check->params;

    if (x->jwks_uri.len == 0)
        return pk_config_fail(p, "jwks_uri", "must be given");
    if (x->header.len == 0)
        x->header = PK_STR("authorization");
    if (x->keep_s == 0)
        x->keep_s = 24 * 3600;
    if (!x->tolerance_given)
        x->rules.clock_tolerance_s = 5;
    if (!x->age_given)
        x->rules.max_age_s = 24 * 3600;
    if (x->rules.algorithms == 0)
        x->rules.algorithms = PK_JWT_RS256;
    x->keys = pk_alloc(p->arena, sizeof *x->keys);
    if (x->keys)
        x->keys->from = p->arena->from;
    return (x->keys && pk_defer(p->arena, drop_keys, x->keys)) ||
           pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
}

/* --- the check ------------------------------------------------------------------------------------- */

static void verify(struct pk_check_run *r, pk_str token, pk_str jwks)
{
    const struct jwt_params *x = r->check->params;
    struct pk_jwt_rules rules = x->rules;
    struct pk_error why = {0};

    rules.now_s = r->call->now_us / 1000000;
    r->verdict = pk_jwt_verify(r->arena, token, jwks, &rules, &why);
    pk_check_say(r, "%s", r->verdict ? "The token is valid." : why.msg);
    if (!r->verdict && why.code != PK_NO_PERMISSION)
        pk_check_err(r, "%s", why.msg);
}

/* Without "Bearer ". */
static pk_str token_of(struct pk_check_run *r)
{
    const struct jwt_params *x = r->check->params;
    pk_str value = pk_http_header(r->call->headers, x->header.at);

    if (value.len > sizeof bearer - 1 && strncasecmp(value.at, bearer, sizeof bearer - 1) == 0)
        value = pk_str_sub(value, sizeof bearer - 1, value.len);
    return pk_str_trim(value);
}

static void jwt_run(struct pk_check_run *r)
{
    const struct jwt_params *x = r->check->params;
    int64_t age_us = r->call->now_us - x->keys->fetched_us;
    pk_str token = token_of(r);

    if (token.len == 0) {
        pk_check_say(r, "There is no token in the header %s.", x->header.at);
        return;
    }
    if (x->keys->text && age_us >= 0 && age_us / 1000000 < x->keep_s) {
        verify(r, token, (pk_str){x->keys->text, x->keys->len});
        return;
    }
    r->want = PK_GUARD_ASK;
    r->question = (struct pk_guard_question){
        .get = true,
        .url = x->jwks_uri,
        .target = &pk_guard_nobody,
        .timeout_ms = TIMEOUT_MS,
    };
}

/* Memory that is short costs another fetch, no more. */
static void keep(struct key_set *keys, pk_str text, int64_t now_us)
{
    char *copy = keys->from.alloc(keys->from.ctx, text.len);

    if (!copy)
        return;
    memcpy(copy, text.at, text.len);
    drop_keys(keys);
    keys->text = copy;
    keys->len = text.len;
    keys->fetched_us = now_us;
}

static void jwt_resume(struct pk_check_run *r)
{
    const struct jwt_params *x = r->check->params;

    if (r->status < 200 || r->status > 299 || r->body.len == 0 || r->body.len > PK_JWKS_BYTES_MAX) {
        pk_check_err(r, "the key set's server answered %d", r->status);
        return;
    }
    verify(r, token_of(r), r->body);
    if (r->error.len == 0)
        keep(x->keys, r->body, r->call->now_us);
}

const struct pk_check_body pk_check_jwt = {sizeof(struct jwt_params), jwt_members, jwt_ready,
                                           jwt_run, jwt_resume};
