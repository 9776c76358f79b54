/* dialect_bedrock_claude.c - Anthropic's Messages API as Bedrock's InvokeModel has it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * For clients that speak it themselves: requests and answers pass, so that nothing needs a translation. The model
 * and whether to stream stand in the path, the version in the body. An event of a stream is a "chunk" message
 * of AWS's event stream, whose bytes are in base64; the client gets it as the server-sent event that it was.
 */
#include "dialect_bedrock.h"
#include "dialect_read.h"
#include "http.h"

#include <sodium.h>

/* The betas that Bedrock knows, of those that a client asks for: it refuses others, and clients ask for what only
 * Anthropic itself has. They stand in the body there. */
static pk_str betas_of(struct pk_arena *arena, pk_str asked, struct pk_buf *dropped)
{
    static const char *const known[] = {
        "computer-use-2024-10-22",       "computer-use-2025-01-24",
        "computer-use-2025-11-24",       "token-efficient-tools-2025-02-19",
        "output-128k-2025-02-19",        "interleaved-thinking-2025-05-14",
        "dev-full-thinking-2025-05-14",  "context-1m-2025-08-07",
        "context-management-2025-06-27", "tool-search-tool-2025-10-19",
        "tool-examples-2025-10-29",      "effort-2025-11-24",
    };
    struct pk_buf list = pk_buf_in(arena, PK_HEADERS_BYTES_MAX);

    while (asked.len) {
        int comma = pk_str_find(asked, ',');
        pk_str one = pk_str_trim(comma < 0 ? asked : pk_str_sub(asked, 0, (size_t)comma));
        size_t i = 0;

        asked = comma < 0 ? PK_NONE : pk_str_sub(asked, (size_t)comma + 1, asked.len);
        while (i < PK_COUNT(known) && !pk_str_is(one, known[i]))
            i++;
        if (i < PK_COUNT(known))
            pk_buf_addf(&list, "%s\"%s\"", list.len ? "," : "[", known[i]);
        else if (one.len)
            pk_dialect_drop(dropped, one);
    }
    if (list.len)
        pk_buf_addc(&list, ']');
    return pk_buf_str(&list);
}

/* The body's own betas count before those of the header. */
static void host(const struct pk_json *body, pk_str headers, struct pk_buf *out,
                 struct pk_buf *dropped)
{
    static const char *const elsewhere[] = {"model", "stream", "service_tier"};
    struct pk_json_edit edits[PK_COUNT(elsewhere) + 2] = {
        {PK_STR("anthropic_version"), PK_STR("\"bedrock-2023-05-31\"")}};
    pk_str betas = PK_NONE;
    int n = 1;

    for (size_t i = 0; i < PK_COUNT(elsewhere); i++)
        if (pk_json_get(body, 0, elsewhere[i]) >= 0)
            edits[n++] = (struct pk_json_edit){pk_str_of(elsewhere[i]), PK_NONE};
    if (pk_dialect_has(body, 0, "service_tier"))
        pk_dialect_drop(dropped, PK_STR("service_tier"));
    if (!pk_dialect_has(body, 0, "anthropic_beta"))
        betas = betas_of(out->arena, pk_http_header(headers, "anthropic-beta"), dropped);
    if (betas.len)
        edits[n++] = (struct pk_json_edit){PK_STR("anthropic_beta"), betas};
    pk_json_splice(out, body, 0, edits, n);
}

static bool answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err)
{
    if (pk_json_get(doc, 0, "content") < 0 && pk_dialect_has(doc, 0, "message")) {
        pk_bedrock_fault(arena, doc, &a->fault);
        return pk_fail(err, PK_UPSTREAM, "the provider answered with an error");
    }
    return pk_dialect_anthropic.answer(arena, doc, a, out, err);
}

/* What a chunk's base64 says; empty when it is none. */
static pk_str decoded(struct pk_arena *arena, pk_str text)
{
    size_t len = 0, most = text.len / 4 * 3 + 3;
    char *bytes = pk_alloc(arena, most);

    if (!bytes || sodium_base642bin((unsigned char *)bytes, most, text.at, text.len, NULL, &len,
                                    NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        return PK_NONE;
    return (pk_str){bytes, len};
}

static bool event(struct pk_stream *s, const struct pk_sse_event *ev, pk_delta_fn *take,
                  struct pk_error *err)
{
    struct pk_json doc, inner;
    struct pk_sse_event chunk = {0};
    struct pk_buf line = pk_buf_in(&s->scratch, PK_EVENT_BYTES_MAX),
                  shown = pk_buf_in(&s->scratch, PK_CALL_BYTES_MAX);

    s->shown = PK_NONE;
    if (ev->error) {
        pk_bedrock_exception(s, ev, take);
        return true;
    }
    if (!pk_str_is(ev->name, "chunk"))
        return true;
    if (!pk_dialect_parse(&s->scratch, ev->data, &doc, err))
        return false;
    pk_str bytes =
        decoded(&s->scratch, pk_json_str(&s->scratch, &doc, pk_json_get(&doc, 0, "bytes")));
    if (bytes.len == 0)
        return pk_fail(err, PK_BAD_ANSWER, "stream: a chunk is not in base64");
    if (!pk_dialect_parse(&s->scratch, bytes, &inner, err))
        return false;
    pk_dialect_line(&line, bytes);
    chunk.name = pk_json_str(&s->scratch, &inner, pk_json_get(&inner, 0, "type"));
    chunk.data = pk_buf_str(&line);
    pk_sse_print(&shown, chunk.name, chunk.data);
    s->shown = pk_buf_str(&shown);
    return pk_dialect_anthropic.event(s, &chunk, take, err);
}

static bool path(pk_str base, pk_str model, bool stream, struct pk_buf *out, struct pk_error *err)
{
    (void)base;
    (void)err;
    pk_buf_adds(out, "/model/");
    pk_dialect_segment(out, model); /* it has one: its name led here */
    pk_buf_adds(out, stream ? "/invoke-with-response-stream" : "/invoke");
    return true;
}

const struct pk_dialect pk_dialect_bedrock_claude = {
    .name = "anthropic",
    .path = path,
    .headers = "",
    .error_event = "",
    .framing = PK_FRAMED_EVENTSTREAM,
    .error_header = "x-amzn-errortype",
    .like = &pk_dialect_anthropic,
    .host = host,
    .answer = answer,
    .event = event,
    .fault = pk_bedrock_fault,
};
