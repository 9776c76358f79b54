/* answer.c - see answer.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "answer.h"

#include "http.h"
#include "json.h"

#include <string.h>

enum { USUAL_BYTES = 480 }; /* of the headers of a call's answer: they grow in one go */

void pkd_answer_json(struct pkd_conn *c, int status, pk_str body)
{
    pkd_conn_reply(c, &(struct pkd_head){.status = status, .content_type = "application/json"},
                   body);
}

void pkd_answer_text(struct pkd_conn *c, int status, pk_str headers, const char *text)
{
    pkd_conn_reply(c,
                   &(struct pkd_head){.status = status,
                                      .content_type = *text ? "text/plain; charset=utf-8" : NULL,
                                      .headers = headers},
                   pk_str_of(text));
}

void pkd_answer_error(struct pkd_conn *c, struct pk_arena *arena, const struct pk_dialect *front,
                      const struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_HEADERS_BYTES_MAX);
    struct pk_fault fault = {.message = pk_str_of(err->msg),
                             .type = pk_str_of(pk_code_name(err->code)),
                             .status = err->status};

    front->print_error(&fault, PK_NONE, &out);
    pkd_answer_json(c, err->status, out.failed ? PK_NONE : pk_buf_str(&out));
}

static void add(struct pk_buf *out, const char *name, pk_str value)
{
    pk_buf_adds(out, name);
    pk_buf_add(out, value);
    pk_buf_adds(out, "\r\n");
}

static void add_number(struct pk_buf *out, const char *name, int64_t n)
{
    char digits[PK_DIGITS_BYTES];

    pk_buf_adds(out, name);
    if (n < 0)
        pk_buf_addc(out, '-');
    add(out, "", pk_digits(n < 0 ? 0 - (uint64_t)n : (uint64_t)n, digits));
}

/* For which model: what the config's params made of the request. When the cache answered, another target may have
 * done so then, with a model that is not just a version of that one. */
static pk_str asked_model(const struct pk_record *r)
{
    bool other = r->attempts == 0 && r->model.len &&
                 !pk_str_eq(pk_str_sub(r->model, 0, r->request_model.len), r->request_model);

    return pk_str_sub(other ? r->model : r->request_model, 0, PK_SLUG_BYTES_MAX);
}

/* Whom the answer came from and for which model. */
static void add_option_params(struct pk_buf *out, const struct pk_record *r)
{
    pk_buf_adds(out, "x-portkey-last-used-option-params: {\"provider\":");
    pk_json_quote(out, r->provider);
    pk_buf_adds(out, ",\"model\":");
    pk_json_quote(out, asked_model(r));
    pk_buf_adds(out, "}\r\n");
}

/* What of the request the provider was not sent. Clients choose some of these names: a header has no place for
 * all that they may hold. */
static void add_dropped(struct pk_buf *out, pk_str names)
{
    if (names.len == 0)
        return;
    pk_buf_adds(out, "x-pk-dropped-params: ");
    for (size_t i = 0; i < names.len; i++) {
        unsigned char c = (unsigned char)names.at[i];

        if (c == ' ')
            pk_buf_adds(out, ", ");
        else
            pk_buf_addc(out, c > ' ' && c < 0x7f ? (char)c : '?');
    }
    pk_buf_adds(out, "\r\n");
}

static void add_relayed(struct pk_buf *out, pk_str headers)
{
    pk_str name, value;

    while (pk_http_next_header(&headers, &name, &value)) {
        if (!pk_http_valid_name(name) || !pk_http_valid_value(value))
            continue;
        pk_buf_add(out, name);
        add(out, ": ", value);
    }
}

pk_str pkd_answer_headers(struct pk_arena *arena, const struct pk_record *r,
                          const struct pk_reply *reply, int64_t elapsed_us, bool done)
{
    struct pk_buf out = pk_buf_in(arena, 2 * PK_HEADERS_BYTES_MAX);
    int64_t overhead_us = elapsed_us - r->upstream_us;
    char usd[32];

    (void)pk_buf_room(&out, USUAL_BYTES);
    add(&out, "x-portkey-cache-status: ", pk_str_of(pk_cache_status_name(r->cache_status)));
    add(&out, "x-portkey-trace-id: ", r->trace_id);
    if (r->provider.len)
        add(&out, "x-portkey-provider: ", r->provider);
    if (r->target_path.len)
        add(&out, "x-portkey-last-used-option-index: ", r->target_path);
    if (r->target_path.len && r->provider.len)
        add_option_params(&out, r);
    add_number(&out, "x-portkey-retry-attempt-count: ", r->retries_exhausted ? -1 : r->retries);
    add_dropped(&out, r->dropped);
    add_number(&out, "x-pk-overhead-us: ", overhead_us > 0 ? overhead_us : 0);
    if (done && r->cost_known) {
        pk_usd_print(r->cost_pusd, usd);
        add(&out, "x-pk-cost-usd: ", pk_str_of(usd));
    }
    add_relayed(&out, reply->headers);
    return out.failed ? PK_NONE : pk_buf_str(&out);
}
