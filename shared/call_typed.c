/* call_typed.c - the state typed: whether an answer that the guardrails have let go is what a typed question wants.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * One that does not fit fails the attempt. The target is then told what is wrong and asked once more, whatever its
 * retry says; after that the next target is asked, as the client did. A target that refuses the request because of
 * response_format, which not every model knows, is asked in words alone.
 */
#include "call_inner.h"

#include <string.h>

/* The attempt ends with this; its answer is kept for the log. */
static int refuse(struct pk_call *c, const struct pk_error *why)
{
    struct pk_span *s = &c->record.spans[c->span];

    c->answered = false;
    c->error = *why;
    if (why->code == PK_UNFIT)
        (void)pk_fail(&c->error, PK_UNFIT, "%s: %s", pk_call_target(c)->provider->name, why->msg);
    s->code = c->error.code;
    s->message = pk_copy(c->arena, pk_str_of(why->msg));
    s->quotes = true; /* names that the answer made up */
    return pk_call_go(c, ST_judge);
}

int pk_step_typed(struct pk_call *c, const struct pk_event *ev)
{
    bool hit = c->guards.hit != NULL;
    struct pk_typed_value unused;
    struct pk_error why = {0};

    (void)ev;
    if (!c->req->typed || c->guards.replaced || /* what a guardrail says instead is no answer */
        pk_typed_read(c->arena, c->req->typed, c->answer.body, &unused, &why))
        return hit ? pk_call_give_hit(c) : pk_call_go(c, ST_judge);
    if (!hit)
        return refuse(c, &why);
    c->guards.hit = NULL; /* it is an answer to somebody who asked for less */
    c->answered = false;
    return pk_call_go(c, ST_send);
}

/* From now on the target is asked `request`. */
static bool ask(struct pk_call *c, pk_str request)
{
    struct pk_call_typed *t = &c->typed;
    struct pk_error err = {0};
    struct pk_json body;

    if (!pk_json_parse(c->arena, request, "body", &body, &err))
        return false;
    if (t->request.len == 0)
        t->before = c->body;
    t->request = request;
    c->body = body;
    if (c->overridden)
        c->overridden[c->node].made = false;
    return true;
}

/* The provider's words, or ours for a field that cannot be sent. */
static bool is_about_the_format(const struct pk_call *c)
{
    static const char *const words[] = {"response_format", "response format", "output_config",
                                        "output_format",   "json_schema",     "schema",
                                        "structured"};
    struct pk_fault told = pk_call_told(c);

    if (!(c->error.code == PK_UPSTREAM && (c->error.status == 400 || c->error.status == 422)) &&
        c->error.code != PK_BAD_REQUEST)
        return false;
    for (size_t i = 0; i < PK_COUNT(words); i++)
        if (told.message.len &&
            memmem(told.message.at, told.message.len, words[i], strlen(words[i])))
            return true;
    return false;
}

bool pk_call_asks_differently(struct pk_call *c)
{
    struct pk_call_typed *t = &c->typed;
    struct pk_error err = {0};
    pk_str request;

    if (!c->req->typed || c->tries == 0)
        return false;
    if (c->error.code == PK_UNFIT && !t->repaired) {
        t->repaired = true;
        return pk_typed_repair(c->arena, c->req->typed, &c->body, c->answer.body,
                               c->record.spans[c->span].message, &request, &err) &&
               ask(c, request);
    }
    if (c->req->typed->formatted && !t->plain && is_about_the_format(c)) {
        t->plain = true;
        return pk_typed_plain(c->arena, &c->body, &request, &err) && ask(c, request);
    }
    return false;
}

void pk_call_ask_as_before(struct pk_call *c)
{
    if (c->typed.request.len) {
        c->body = c->typed.before;
        if (c->overridden)
            c->overridden[c->node].made = false;
    }
    c->typed = (struct pk_call_typed){0};
}
