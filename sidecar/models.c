/* models.c - see models.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "models.h"

#include "answer.h"
#include "http.h"
#include "iso.h"
#include "path.h"
#include "provider.h"
#include "store_catalog.h"
#include "store_value.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* --- GET /v1/models -------------------------------------------------------------------------- */

/* Rows of PK_SQL_models, printed. */
struct listing {
    struct pk_buf out;
    bool first; /* only the model of the first provider */
    int best;   /* whose place in providers.def this is */
    bool begun;
};

static int place_of(pk_str provider)
{
    const struct pk_provider *p;

    for (int i = 0; (p = pk_provider_at(i)); i++)
        if (pk_str_is(provider, p->name))
            return i;
    return INT_MAX - 1;
}

static void add_text(struct pk_buf *out, const char *name, pk_str text)
{
    if (text.len == 0)
        return;
    pk_buf_addf(out, ",\"%s\":", name);
    pk_json_quote(out, text);
}

static void add_number(struct pk_buf *out, const char *name, const struct pk_value *v)
{
    if (v->type == PK_V_INT)
        pk_buf_addf(out, ",\"%s\":%lld", name, (long long)v->i);
}

static void add_pricing(struct pk_buf *out, const struct pk_value *prices)
{
    static const char *const names[] = {"input_usd", "output_usd", "cache_read_usd",
                                        "cache_write_usd", "cache_write_1h_usd"};
    const char *between = ",\"pricing\":{";

    for (size_t i = 0; i < PK_COUNT(names); i++) {
        if (prices[i].type != PK_V_INT)
            continue;
        pk_buf_addf(out, "%s\"%s\":", between, names[i]);
        pk_price_print(out, prices[i].i);
        between = ",";
    }
    if (between[1] == 0)
        pk_buf_addc(out, '}');
}

/* OpenAI's members first; prices in dollars per million tokens. */
static void print_model(struct pk_buf *out, const struct pk_value *v)
{
    int64_t from_us = v[7].type == PK_V_INT && v[7].i > 0 ? v[7].i : 0;

    pk_buf_adds(out, "{\"id\":");
    pk_json_quote(out, v[1].s);
    pk_buf_addf(out, ",\"object\":\"model\",\"created\":%lld", (long long)(from_us / 1000000));
    add_text(out, "owned_by", v[0].s);
    add_text(out, "mode", v[2].s);
    add_number(out, "context_window", &v[3]);
    add_number(out, "max_output_tokens", &v[4]);
    add_text(out, "deprecation_date", v[5].s);
    add_pricing(out, v + 8);
    if (v[6].s.len)
        pk_buf_addf(out, ",\"capabilities\":%.*s", PK_FMT(v[6].s));
    pk_buf_addc(out, '}');
}

static bool take_model(void *ctx, const struct pk_value *v, int count)
{
    struct listing *l = ctx;
    int place = l->first ? place_of(v[0].s) : 0;

    PK_ASSERT(count == 13);
    if (l->first && place >= l->best)
        return true;
    if (l->first)
        pk_buf_reset(&l->out);
    else if (l->begun)
        pk_buf_addc(&l->out, ',');
    l->best = place;
    l->begun = true;
    print_model(&l->out, v);
    return !l->out.failed;
}

static bool run(struct pkd_thread *t, struct listing *l, pk_str provider, pk_str model,
                struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_int(pk_clock_us()), pk_v_text(provider), pk_v_text(model)};

    l->begun = false;
    l->best = INT_MAX;
    return t->store->ops->exec(t->store, PK_SQL_models, args, PK_COUNT(args), take_model, l, err) &&
           (!l->out.failed || pk_fail(err, PK_TOO_LARGE, "models: more than can be listed"));
}

/* Whose models are asked for; empty: all. */
static pk_str provider_of(struct pkd_thread *t, const struct pkd_request *req)
{
    pk_str provider = pkd_query_value(&t->scratch, req->query, "provider");

    if (provider.len == 0)
        provider = pk_http_header(req->headers, "x-pk-provider");
    if (provider.len == 0)
        provider = pk_http_header(req->headers, "x-portkey-provider");
    return pk_str_starts(provider, "@") ? pk_str_sub(provider, 1, provider.len) : provider;
}

/* The providers whose key is in the environment: those that a request may name without a key. */
static void print_providers(struct pk_buf *out)
{
    const char *between = "";
    const struct pk_provider *p;

    for (int i = 0; (p = pk_provider_at(i)); i++) {
        const char *key = *p->key_env ? getenv(p->key_env) : NULL;

        if (!key || !*key)
            continue;
        pk_buf_addf(out, "%s{\"id\":\"%s\",\"key\":\"%s\"}", between, p->name, p->key_env);
        between = ",";
    }
}

static void answer(struct pkd_thread *t, struct pkd_conn *c, const struct pk_buf *out,
                   const struct pk_error *err)
{
    if (err->code == PK_OK)
        pkd_answer_json(c, out->failed ? 500 : 200, out->failed ? PK_STR("{}") : pk_buf_str(out));
    else
        pkd_answer_error(c, &t->scratch, &pk_dialect_openai, err);
}

void pkd_models_list(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req)
{
    struct listing l = {.out = pk_buf_in(&t->scratch, PK_BODY_BYTES_MAX)};
    struct pk_error err = {0};

    pk_buf_adds(&l.out, "{\"object\":\"list\",\"data\":[");
    if (run(t, &l, provider_of(t, req), PK_NONE, &err)) {
        pk_buf_adds(&l.out, "],\"providers\":[");
        print_providers(&l.out);
        pk_buf_adds(&l.out, "]}");
    }
    answer(t, c, &l.out, &err);
}

/* What stands behind /v1/models/, unescaped: it may have slashes, sent as they are or as %2F. */
static pk_str id_of(struct pkd_thread *t, pk_str path)
{
    struct pk_buf out = pk_buf_in(&t->scratch, PK_URL_BYTES_MAX);

    for (int i = 2;; i++) {
        pk_str part = pkd_path_segment(&t->scratch, path, i);

        if (part.len == 0)
            break;
        if (i > 2)
            pk_buf_addc(&out, '/');
        pk_buf_add(&out, part);
    }
    return pk_buf_str(&out);
}

static bool find(struct pkd_thread *t, const struct pkd_request *req, struct listing *l,
                 struct pk_error *err)
{
    pk_str id = id_of(t, req->path);
    int slash = pk_str_find(id, '/');

    if (slash > 0 && !run(t, l, pk_str_sub(id, 0, (size_t)slash),
                          pk_str_sub(id, (size_t)slash + 1, id.len), err))
        return false;
    if (!l->begun && !run(t, l, provider_of(t, req), id, err))
        return false;
    return l->begun || pk_fail(err, PK_NOT_FOUND, "model: there is none called \"%.*s\"",
                               PK_FMT(pk_str_sub(id, 0, PK_SLUG_BYTES_MAX)));
}

void pkd_models_get(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req)
{
    struct listing l = {.out = pk_buf_in(&t->scratch, PK_BODY_BYTES_MAX), .first = true};
    struct pk_error err = {0};

    (void)find(t, req, &l, &err);
    answer(t, c, &l.out, &err);
}

/* --- /v1/prices ------------------------------------------------------------------------------- */

struct price_listing {
    struct pk_buf *out;
    pk_str provider, model; /* empty: any */
    int64_t now_us;
    bool begun;
};

static void add_time(struct pk_buf *out, const char *name, int64_t at_us)
{
    char text[PK_ISO_BYTES];

    if (at_us == 0)
        return;
    pk_iso_print(at_us, text);
    pk_buf_addf(out, ",\"%s\":\"%s\"", name, text);
}

static bool take_price(void *ctx, const struct pk_value *v, int count)
{
    struct price_listing *l = ctx;

    PK_ASSERT(count == 6 + PK_RATES);
    if ((v[4].i > 0 && v[4].i <= l->now_us) ||
        (l->provider.len && !pk_str_eq(l->provider, v[0].s)) ||
        (l->model.len && !pk_str_eq(l->model, v[1].s)))
        return true;
    pk_buf_adds(l->out, l->begun ? ",{\"provider\":" : "{\"provider\":");
    l->begun = true;
    pk_json_quote(l->out, v[0].s);
    add_text(l->out, "model", v[1].s);
    pk_buf_addf(l->out, ",\"above_tokens\":%lld", (long long)v[2].i);
    for (int i = 0; i < PK_RATES; i++) {
        if (v[5 + i].type != PK_V_INT)
            continue;
        pk_buf_addf(l->out, ",\"%s_usd\":", pk_rate_name((enum pk_rate)i));
        pk_price_print(l->out, v[5 + i].i);
    }
    if (v[5 + PK_RATES].s.len)
        pk_buf_addf(l->out, ",\"units\":%.*s", PK_FMT(v[5 + PK_RATES].s));
    add_time(l->out, "valid_from", v[3].i);
    add_time(l->out, "valid_to", v[4].i);
    pk_buf_addc(l->out, '}');
    return !l->out->failed;
}

bool pkd_prices(struct pkd_errand *e, struct pk_error *err)
{
    struct price_listing l = {
        .out = &e->out,
        .provider = pkd_query_value(e->arena, e->query, "provider"),
        .model = pkd_query_value(e->arena, e->query, "model"),
        .now_us = pk_clock_us(),
    };

    if (!pkd_query_check(e->arena, e->query, "provider model", err))
        return false;
    pk_buf_adds(l.out, "{\"object\":\"list\",\"data\":[");
    if (!e->store->ops->exec(e->store, PK_SQL_price_rows, NULL, 0, take_price, &l, err))
        return false;
    pk_buf_adds(l.out, "]}");
    return true;
}

bool pkd_price_import(struct pkd_errand *e, struct pk_error *err)
{
    struct pk_catalog_source source = {
        .format = pkd_query_value(e->arena, e->query, "format"),
        .text = e->body,
        .provider = pkd_query_value(e->arena, e->query, "provider"),
        .now_us = pk_clock_us(),
    };
    bool dry = pk_str_is(pkd_query_value(e->arena, e->query, "dry_run"), "true");
    pk_str diff = PK_NONE;

    if (!pkd_query_check(e->arena, e->query, "format provider dry_run", err))
        return false;
    if (source.format.len == 0)
        source.format = PK_STR("pk");
    if (!pk_store_price_import(e->store, e->arena, &source,
                               dry ? PK_STR("{\"dry_run\":true}") : PK_NONE, &diff, err))
        return false;
    pk_buf_add(&e->out, diff);
    return true;
}
