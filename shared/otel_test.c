/* otel_test.c - a call and its steps in OpenTelemetry's words.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "otel.h"

#include "json.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;

static void ids_that_are_hex_stay_and_others_become_their_last_bytes(void)
{
    static const struct {
        const char *text;
        int digits;
        const char *id;
    } cases[] = {
        {"01a21fbd-aa49-7f65-8322-c34e297eda8b", 32, "01a21fbdaa497f658322c34e297eda8b"},
        {"4BF92F3577B34DA6A3CE929D0E0E4736", 32, "4bf92f3577b34da6a3ce929d0e0e4736"},
        {"visit-5", 32, "76697369742d35000000000000000000"},
        {"a trace with a name that is longer", 32, "652074686174206973206c6f6e676572"},
        {"00f067aa0ba902b7", 16, "00f067aa0ba902b7"},
        {"step-1", 16, "737465702d310000"},
        {"00f067aa0ba902b7f", 16, "6261393032623766"},
    };
    char out[40];

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        pk_otel_id(pk_str_of(cases[i].text), cases[i].digits, out);
        EXPECT(strcmp(out, cases[i].id) == 0);
    }
}

static void a_traceparent_is_taken_apart_when_it_is_one(void)
{
    static const char *const wrong[] = {
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    };
    pk_str trace, span;

    EXPECT(pk_otel_parent(PK_STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), &trace,
                          &span));
    EXPECT(pk_str_is(trace, "4bf92f3577b34da6a3ce929d0e0e4736") &&
           pk_str_is(span, "00f067aa0ba902b7"));
    for (size_t i = 0; i < PK_COUNT(wrong); i++)
        EXPECT(!pk_otel_parent(pk_str_of(wrong[i]), &trace, &span));
}

static struct pk_record call(void)
{
    static struct pk_span spans[2];
    struct pk_record r = {
        .trace_id = PK_STR("visit-5"), .span_id = PK_STR("00f067aa0ba902b7"), .spans = spans};

    r.operation = PK_STR("messages");
    r.provider = PK_STR("google");
    r.request_model = PK_STR("gemini \"x\"");
    r.started_us = 1000000;
    r.ended_us = 1500000;
    r.first_token_us = 1250000;
    r.usage = (struct pk_usage){PK_USAGE_PROVIDER, 1, 2, 4, 8, 16, 32};
    r.cost_known = true;
    r.cost_pusd = 420000000;
    r.finish_reason = PK_STR("stop");
    r.spans[0] = (struct pk_span){
        .kind = PK_SPAN_GUARDRAIL, .name = PK_STR("no-pii"), .started_us = 1, .ended_us = 2};
    r.spans[1] = (struct pk_span){
        .kind = PK_SPAN_ATTEMPT, .started_us = 3, .ended_us = 4, .code = PK_TIMEOUT};
    r.spans[1].message = PK_STR("too slow");
    r.span_count = 2;
    return r;
}

static void a_call_is_a_span_with_its_steps_below(void)
{
    struct pk_buf out = pk_buf_in(&arena, 1 << 20);
    struct pk_error err;
    struct pk_json doc;
    struct pk_record r = call();

    pk_buf_addc(&out, '[');
    pk_otel_print(&out, &r);
    pk_buf_addc(&out, ']');
    EXPECT(pk_json_parse(&arena, pk_buf_str(&out), "spans", &doc, &err));
    EXPECT(pk_json_count(&doc, 0) == 3);
    EXPECT(pk_json_is(&doc, pk_json_at(&doc, "[0].name"), "chat gemini \"x\""));
    EXPECT(pk_json_is(&doc, pk_json_at(&doc, "[0].spanId"), "00f067aa0ba902b7"));
    EXPECT(pk_json_is(&doc, pk_json_at(&doc, "[0].startTimeUnixNano"), "1000000000"));
    EXPECT(pk_json_is(&doc, pk_json_at(&doc, "[1].name"), "guardrail no-pii"));
    EXPECT(pk_json_is(&doc, pk_json_at(&doc, "[1].parentSpanId"), "00f067aa0ba902b7"));
    EXPECT(pk_json_is(&doc, pk_json_at(&doc, "[2].status.message"), "too slow"));
    EXPECT(strstr(out.at,
                  "{\"key\":\"gen_ai.provider.name\",\"value\":{\"stringValue\":\"gcp.gemini\"}}"));
    EXPECT(
        strstr(out.at, "{\"key\":\"gen_ai.usage.input_tokens\",\"value\":{\"intValue\":\"15\"}}"));
    EXPECT(
        strstr(out.at, "{\"key\":\"gen_ai.usage.output_tokens\",\"value\":{\"intValue\":\"48\"}}"));
    EXPECT(strstr(out.at, "{\"key\":\"pk.cost_usd\",\"value\":{\"doubleValue\":0.00042}}"));
    EXPECT(strstr(
        out.at,
        "{\"key\":\"gen_ai.response.time_to_first_chunk\",\"value\":{\"doubleValue\":0.25}}"));
    EXPECT(
        strstr(out.at, "{\"key\":\"error.type\",\"value\":{\"stringValue\":\"timeout_error\"}}"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(ids_that_are_hex_stay_and_others_become_their_last_bytes);
    RUN(a_traceparent_is_taken_apart_when_it_is_one);
    RUN(a_call_is_a_span_with_its_steps_below);
    pk_arena_free(&arena);
    return test_end();
}
