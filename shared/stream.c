/* stream.c - see stream.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A dialect reads an event into deltas; pk_stream_take() is where each of them goes. What one event
 * needs lives in `scratch`, which is emptied before the next, so that a long stream stays small.
 */
#include "stream.h"

#include "dialect_parts.h"

static void free_scratch(void *arena)
{
    pk_arena_free(arena);
}

static struct pk_buf text_in(struct pk_arena *arena)
{
    return pk_buf_in(arena, PK_STREAM_BYTES_MAX);
}

struct pk_stream_choice *pk_stream_choice(struct pk_stream *s, int i)
{
    struct pk_stream_choice *more;
    int count = i > 0 && i < 2 * s->choice_count ? 2 * s->choice_count : i + 1;

    PK_ASSERT(i >= 0 && i < PK_STREAM_CHOICES_MAX);
    if (i < s->choice_count)
        return &s->choices[i];
    more = pk_alloc_grow(s->arena, s->choices, (size_t)s->choice_count * sizeof *more,
                         (size_t)count * sizeof *more);
    if (!more)
        return NULL;
    for (int k = s->choice_count; k < count; k++) {
        struct pk_buf none = text_in(s->arena);

        more[k] = (struct pk_stream_choice){
            .text = none, .reasoning = none, .refusal = none, .thinking = none};
    }
    s->choices = more;
    s->choice_count = count;
    return &more[i];
}

static void init_texts(struct pk_stream *s)
{
    s->message.content = text_in(s->arena);
    s->message.text = s->message.signature = s->message.citations = text_in(s->arena);
}

struct pk_stream *pk_stream_new(struct pk_arena *arena, const struct pk_dialect *front,
                                const struct pk_dialect *back, bool with_usage, int64_t created_s)
{
    struct pk_stream *s = pk_alloc(arena, sizeof *s);

    PK_ASSERT(front == pk_dialect_spoken(back) || front->print_delta);
    if (!s)
        return NULL;
    *s = (struct pk_stream){
        .arena = arena,
        .front = front,
        .back = back,
        .passes = front == pk_dialect_spoken(back),
        .with_usage = with_usage,
        .created_s = created_s,
    };
    pk_arena_init(&s->scratch, arena->from, PK_CALL_BYTES_MAX);
    s->scratch.torture = arena->torture;
    if (!pk_defer(arena, free_scratch, &s->scratch))
        return NULL;
    pk_frames_init(&s->frames, back->framing, arena);
    init_texts(s);
    return pk_stream_choice(s, 0) ? s : NULL;
}

struct pk_stream *pk_stream_of(struct pk_arena *arena, const struct pk_dialect *back,
                               const struct pk_answer *a)
{
    struct pk_stream *s = pk_stream_new(arena, &pk_dialect_openai, back, false, a->created_s);

    if (s) {
        s->id = a->id;
        s->model = a->model;
        s->asked = a->asked;
        s->usage = a->usage;
    }
    return s;
}

/* --- the answer so far ----------------------------------------------------------------------- */

static struct pk_stream_tool *add_tool(struct pk_stream *s, const struct pk_delta *d)
{
    if (s->tool_count == PK_STREAM_TOOLS_MAX)
        return NULL;
    void *rows = pk_alloc_row(s->arena, s->tools, s->tool_count, sizeof *s->tools);
    if (!rows)
        return NULL;
    s->tools = rows;
    struct pk_stream_tool *t = &s->tools[s->tool_count++];
    *t = (struct pk_stream_tool){
        .choice = d->choice, .index = d->tool, .arguments = text_in(s->arena)};
    return t;
}

/* The latest call of that index; a new one when the id says that it is another (Gemini numbers all
 * of them 0). NULL when there are too many. */
static struct pk_stream_tool *tool_of(struct pk_stream *s, const struct pk_delta *d)
{
    for (int i = s->tool_count - 1; i >= 0; i--) {
        struct pk_stream_tool *t = &s->tools[i];

        if (t->choice != d->choice || t->index != d->tool)
            continue;
        if (d->id.len && t->id.len && !pk_str_eq(d->id, t->id))
            break;
        return t;
    }
    return add_tool(s, d);
}

static void take_tool(struct pk_stream *s, const struct pk_delta *d)
{
    struct pk_stream_tool *t = tool_of(s, d);

    s->content = true;
    if (!t) {
        s->lossy = true;
        return;
    }
    if (t->id.len == 0)
        t->id = pk_copy(s->arena, d->id);
    if (t->name.len == 0)
        t->name = pk_copy(s->arena, d->name);
    if (t->extra.len == 0)
        t->extra = pk_copy(s->arena, d->extra);
    pk_buf_add(&t->arguments, d->text);
}

static void take_fault(struct pk_stream *s, const struct pk_fault *f)
{
    s->failed = true;
    s->fault = (struct pk_fault){
        .message = pk_copy(s->arena, f->message),
        .type = pk_copy(s->arena, f->type),
        .param = pk_copy(s->arena, f->param),
        .code = pk_copy(s->arena, f->code),
        .status = f->status,
    };
    if (s->fault.message.len == 0)
        s->fault.message = PK_STR("the provider ended the stream with an error");
}

static void add_text(struct pk_stream *s, struct pk_buf *to, pk_str text)
{
    s->content = true;
    pk_buf_add(to, text);
}

static void add_item(struct pk_buf *to, pk_str json)
{
    if (to->len)
        pk_buf_addc(to, ',');
    pk_dialect_line(to, json);
}

/* Puts a member into a list of PK_STREAM_MEMBERS_MAX; a later one of the same name replaces it. */
static void put_member(struct pk_stream *s, struct pk_stream_member *list, int *count, pk_str name,
                       pk_str json)
{
    int i = 0;

    while (i < *count && !pk_str_eq(list[i].name, name))
        i++;
    if (i == PK_STREAM_MEMBERS_MAX) {
        s->lossy = true;
        return;
    }
    if (i == *count) {
        list[i] = (struct pk_stream_member){pk_copy(s->arena, name), text_in(s->arena)};
        ++*count;
    }
    pk_buf_reset(&list[i].json); /* some providers tell it in every event */
    pk_dialect_line(&list[i].json, json);
}

void pk_stream_keep(struct pk_stream *s, pk_str name, pk_str json)
{
    put_member(s, s->kept, &s->kept_count, name, json);
}

static void take_more(struct pk_stream *s, struct pk_stream_choice *c, const struct pk_delta *d)
{
    if (!c->more) {
        c->more = pk_alloc(s->arena, sizeof *c->more);
        if (!c->more)
            return;
        c->more->images = c->more->logprobs = text_in(s->arena);
    }
    if (d->kind == PK_DELTA_IMAGE) {
        s->content = true;
        pk_dialect_image(&c->more->images, d->text);
    } else if (d->kind == PK_DELTA_LOGPROBS) {
        add_item(&c->more->logprobs, d->text);
    } else if (d->kind == PK_DELTA_EXTRA) {
        c->more->extra = pk_copy(s->arena, d->text);
    } else {
        put_member(s, c->more->members, &c->more->member_count, d->name, d->text);
    }
}

static void assemble(struct pk_stream *s, const struct pk_delta *d)
{
    struct pk_stream_choice *c = &s->choices[d->choice];

    switch (d->kind) {
    case PK_DELTA_START:
        s->id = d->id.len ? pk_copy(s->arena, d->id) : s->made_id;
        s->model = pk_copy(s->arena, d->text);
        break;
    case PK_DELTA_TEXT: add_text(s, &c->text, d->text); break;
    case PK_DELTA_REASONING: add_text(s, &c->reasoning, d->text); break;
    case PK_DELTA_REFUSAL: add_text(s, &c->refusal, d->text); break;
    case PK_DELTA_THINKING: add_item(&c->thinking, d->text); break;
    case PK_DELTA_TOOL: take_tool(s, d); break;
    case PK_DELTA_IMAGE:
    case PK_DELTA_LOGPROBS:
    case PK_DELTA_EXTRA:
    case PK_DELTA_MEMBER: take_more(s, c, d); break;
    case PK_DELTA_FINISH:
        c->finish_reason = pk_copy(s->arena, d->text);
        s->content = true;
        break;
    case PK_DELTA_USAGE: s->usage = d->usage; break;
    case PK_DELTA_OTHER: s->lossy = true; break;
    case PK_DELTA_ERROR: take_fault(s, &d->fault); break;
    case PK_DELTA_DONE: s->complete = true; break;
    }
    c->used = c->used || (d->kind != PK_DELTA_USAGE && d->kind != PK_DELTA_DONE);
}

void pk_stream_take(struct pk_stream *s, const struct pk_delta *d)
{
    if (!pk_stream_choice(s, d->choice))
        return; /* s->arena->failed ends it */
    assemble(s, d);
    if (s->out && !s->passes)
        s->front->print_delta(s, d, s->out);
}

/* --- feeding --------------------------------------------------------------------------------- */

static bool text_failed(const struct pk_stream *s)
{
    bool failed =
        s->message.content.failed || s->message.text.failed || s->message.citations.failed;

    for (int i = 0; i < s->choice_count; i++) {
        const struct pk_stream_choice *c = &s->choices[i];

        failed = failed || c->text.failed || c->reasoning.failed || c->refusal.failed ||
                 c->thinking.failed ||
                 (c->more && (c->more->images.failed || c->more->logprobs.failed));
    }
    for (int i = 0; i < s->tool_count; i++)
        failed = failed || s->tools[i].arguments.failed;
    for (int i = 0; i < s->kept_count; i++)
        failed = failed || s->kept[i].json.failed;
    return failed;
}

static bool within_limits(const struct pk_stream *s, struct pk_error *err)
{
    if (s->arena->failed || s->scratch.failed)
        return pk_fail(err, PK_NO_MEMORY, "stream: out of memory");
    if (text_failed(s) || (s->out && s->out->failed))
        return pk_fail(err, PK_TOO_LARGE, "stream: larger than %d MiB", PK_STREAM_BYTES_MAX >> 20);
    return true;
}

static bool ends_well(struct pk_stream *s, struct pk_error *err)
{
    if (!s->complete || s->content)
        return true;
    s->complete = false;
    return pk_fail(err, PK_BAD_ANSWER, "stream: its end came without an answer");
}

static bool take_event(struct pk_stream *s, const struct pk_sse_event *ev, struct pk_error *err)
{
    size_t at = s->out->len;

    pk_arena_free(&s->scratch);
    s->withhold = false;
    s->shown = ev->raw;
    /* Blank data keeps the connection alive and says nothing. */
    bool says = ev->error || pk_str_trim(ev->data).len > 0;
    bool ok = !says || s->back->event(s, ev, pk_stream_take, err);
    if (s->arena->failed || s->scratch.failed) /* which may have looked like a malformed event */
        return pk_fail(err, PK_NO_MEMORY, "stream: out of memory");
    if (!ok)
        return false;
    if (s->failed)
        return pk_fail(err, PK_UPSTREAM, "the provider ended the stream with an error");
    if (!ends_well(s, err))
        return false;
    if (s->passes && !s->withhold)
        pk_json_add_one_line(s->out, s->shown);
    if (s->complete)
        s->end_at = at;
    return within_limits(s, err);
}

bool pk_stream_feed(struct pk_stream *s, pk_str bytes, struct pk_buf *out, struct pk_error *err)
{
    struct pk_sse_event ev;
    struct pk_error cut = {0};
    bool ok = true;

    s->out = out;
    while (ok && !s->complete && pk_frames_next(&s->frames, &bytes, &ev, &cut))
        ok = take_event(s, &ev, err);
    if (ok && !s->complete)
        pk_arena_free(&s->scratch); /* the next event may take its time */
    s->out = NULL;
    if (cut.code != PK_OK)
        *err = cut;
    return ok && cut.code == PK_OK;
}

bool pk_stream_end(struct pk_stream *s, struct pk_buf *out, struct pk_error *err)
{
    struct pk_sse_event ev;
    struct pk_error cut = {0};
    bool ok = true;

    if (s->complete)
        return true;
    s->out = out;
    if (pk_frames_end(&s->frames, &ev, &cut))
        ok = take_event(s, &ev, err);
    if (ok && cut.code != PK_OK) {
        *err = cut;
        ok = false;
    }
    if (ok && !s->complete && s->back->end) {
        s->end_at = out->len;
        s->back->end(s, pk_stream_take);
        ok = ends_well(s, err) && within_limits(s, err);
    }
    s->out = NULL;
    return ok;
}

int pk_stream_tools(const struct pk_stream *s, int choice)
{
    int count = 0;

    for (int i = 0; i < s->tool_count; i++)
        count += s->tools[i].choice == choice;
    return count;
}

bool pk_stream_answer(struct pk_stream *s, struct pk_answer *a, struct pk_error *err)
{
    struct pk_buf body = text_in(s->arena);

    s->front->print_answer(s, &body);
    *a = (struct pk_answer){
        .id = s->id,
        .model = s->model,
        .finish_reason = s->choices[0].finish_reason,
        .usage = s->usage,
        .created_s = s->created_s,
        .asked = s->asked,
        .body = pk_buf_str(&body),
    };
    return pk_dialect_built(&body, "answer", err);
}

void pk_stream_abort(const struct pk_dialect *front, const struct pk_fault *f, pk_str provider,
                     struct pk_buf *out)
{
    struct pk_buf document = pk_buf_in(out->arena, PK_EVENT_BYTES_MAX);

    front->print_error(f, provider, &document);
    pk_sse_print(out, pk_str_of(front->error_event), pk_buf_str(&document));
}
