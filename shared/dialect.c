/* dialect.c - see dialect.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect_ids.h"
#include "dialect_pivot.h"
#include "provider.h"

#include <string.h>

enum { DROPPED_BYTES_MAX = 4096, PLAIN_BYTES_MAX = 300, EDITS_MAX = 128 };

const struct pk_dialect *pk_dialect_find(pk_str name)
{
    static const struct pk_dialect *const dialects[] = {
#define DIALECT(name) &pk_dialect_##name,
#include "dialects.def"
#undef DIALECT
    };

    for (size_t i = 0; i < PK_COUNT(dialects); i++)
        if (pk_str_is(name, dialects[i]->name))
            return dialects[i];
    return NULL;
}

const struct pk_dialect *pk_dialect_spoken(const struct pk_dialect *back)
{
    return back->like ? back->like : back;
}

/* --- requests -------------------------------------------------------------------------------- */

/* The changes that a provider needs to a body in its own dialect. */
struct changes {
    struct pk_arena *arena;
    const struct pk_json *doc;
    struct pk_json_edit edits[EDITS_MAX];
    int count;
};

static void change(struct changes *c, pk_str name, pk_str value)
{
    PK_ASSERT(c->count < EDITS_MAX);
    c->edits[c->count++] = (struct pk_json_edit){name, value};
}

/* Takes the first word from the front of a blank separated list; empty at its end. */
static pk_str next_word(pk_str *list)
{
    *list = pk_str_trim(*list);
    int blank = pk_str_find(*list, ' ');
    pk_str word = pk_str_sub(*list, 0, blank < 0 ? list->len : (size_t)blank);

    *list = pk_str_sub(*list, word.len, list->len);
    return word;
}

static int member(const struct changes *c, pk_str name)
{
    return pk_json_get(c->doc, 0, pk_copy(c->arena, name).at);
}

static void leave_out_rejected(struct changes *c, const char *rejects, struct pk_buf *dropped)
{
    pk_str list = pk_str_of(rejects);

    for (pk_str name = next_word(&list); name.len; name = next_word(&list)) {
        if (c->arena->failed || member(c, name) < 0)
            continue;
        change(c, name, PK_NONE);
        pk_dialect_drop(dropped, name);
    }
}

/* The provider's own name counts when the body has both. */
static void rename_fields(struct changes *c, const char *renames)
{
    pk_str list = pk_str_of(renames);

    for (pk_str pair = next_word(&list); pair.len; pair = next_word(&list)) {
        size_t equals = (size_t)pk_str_find(pair, '=');
        pk_str from = pk_str_sub(pair, 0, equals), to = pk_str_sub(pair, equals + 1, pair.len);
        int value = c->arena->failed ? -1 : member(c, from);

        if (value < 0)
            continue;
        if (member(c, to) < 0)
            change(c, to, pk_json_raw(c->doc, value));
        change(c, from, PK_NONE);
    }
}

/* Usage must be known for every call: a stream tells it only when asked. */
static void ask_for_usage(struct changes *c)
{
    const struct pk_json_edit edit = {PK_STR("include_usage"), PK_STR("true")};
    int options = pk_json_get(c->doc, 0, "stream_options");
    struct pk_buf spliced = pk_buf_in(c->arena, PK_BODY_BYTES_MAX);

    if (!pk_json_true(c->doc, pk_json_get(c->doc, 0, "stream")) ||
        pk_json_true(c->doc, pk_json_get(c->doc, options, "include_usage")))
        return;
    if (pk_json_type(c->doc, options) <= PK_JSON_NULL) {
        change(c, PK_STR("stream_options"), PK_STR("{\"include_usage\":true}"));
    } else if (pk_json_type(c->doc, options) == PK_JSON_OBJECT) {
        pk_json_splice(&spliced, c->doc, options, &edit, 1);
        change(c, PK_STR("stream_options"), pk_buf_str(&spliced));
    }
}

/* "developer" is OpenAI's newer name for "system"; most others do not know it. */
static void rename_developer(struct changes *c)
{
    const struct pk_json_edit edit = {PK_STR("role"), PK_STR("\"system\"")};
    struct pk_buf list = pk_buf_in(c->arena, PK_BODY_BYTES_MAX);
    int messages = pk_json_get(c->doc, 0, "messages");
    bool any = false;

    if (pk_json_type(c->doc, messages) != PK_JSON_ARRAY)
        return;
    for (int m = pk_json_first(c->doc, messages); m >= 0; m = pk_json_next(c->doc, messages, m)) {
        bool developer = pk_json_is(c->doc, pk_json_get(c->doc, m, "role"), "developer");

        pk_buf_addc(&list, list.len ? ',' : '[');
        if (developer)
            pk_json_splice(&list, c->doc, m, &edit, 1);
        else
            pk_buf_add(&list, pk_json_raw(c->doc, m));
        any = any || developer;
    }
    pk_buf_addc(&list, ']');
    if (any)
        change(c, PK_STR("messages"), pk_buf_str(&list));
}

static bool parse_body(struct pk_arena *arena, pk_str body, struct pk_json *doc,
                       struct pk_error *err)
{
    if (!pk_json_parse(arena, body, "body", doc, err))
        return false;
    return pk_json_type(doc, 0) == PK_JSON_OBJECT ||
           pk_fail(err, PK_BAD_REQUEST, "body: must be a JSON object");
}

/* The same, unless the text is the client's, which has been read. */
static bool read_body(struct pk_arena *arena, const struct pk_dialect_pair *pair, pk_str body,
                      struct pk_json *doc, struct pk_error *err)
{
    return pk_json_reuse(pair->read, body, doc) || parse_body(arena, body, doc, err);
}

static bool has_quirks(const struct pk_provider *provider)
{
    return *provider->rejects || *provider->renames || provider->stream_usage;
}

/* *body with the provider's changes; as it is when there are none. */
static bool adapt(struct pk_arena *arena, const struct pk_dialect_pair *pair, pk_str *body,
                  struct pk_buf *dropped, struct pk_error *err)
{
    const struct pk_provider *provider = pair->provider;
    struct pk_json doc;
    struct changes c; /* .edits are few of the many that there is room for */
    struct pk_buf spliced = pk_buf_in(arena, PK_BODY_BYTES_MAX);

    c.arena = arena;
    c.doc = &doc;
    c.count = 0;
    if (!read_body(arena, pair, *body, &doc, err))
        return false;
    leave_out_rejected(&c, provider->rejects, dropped);
    rename_fields(&c, provider->renames);
    if (provider->stream_usage)
        ask_for_usage(&c);
    if (!provider->developer && pair->back == &pk_dialect_openai &&
        memmem(body->at, body->len, "developer", strlen("developer")))
        rename_developer(&c);
    if (c.count) {
        pk_json_splice(&spliced, &doc, 0, c.edits, c.count);
        *body = pk_buf_str(&spliced);
        if (!pk_dialect_built(&spliced, "body", err))
            return false;
    }
    return !provider->short_ids || pk_dialect_short_ids(arena, body, err);
}

typedef bool make_fn(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                     struct pk_error *err);

static bool translate(struct pk_arena *arena, make_fn *make, pk_str *body, struct pk_buf *dropped,
                      struct pk_error *err)
{
    struct pk_json doc;
    struct pk_buf made = pk_buf_in(arena, PK_BODY_BYTES_MAX);

    if (!parse_body(arena, *body, &doc, err))
        return false;
    if (!make(&doc, &made, dropped, err))
        return false;
    *body = pk_buf_str(&made);
    return pk_dialect_built(&made, "body", err);
}

/* *body as a chat completion's. */
static bool pivot(const struct pk_dialect_pair *pair, pk_str *body, struct pk_buf *dropped,
                  struct pk_error *err)
{
    struct pk_json doc;
    struct pk_buf made = pk_buf_in(dropped->arena, PK_BODY_BYTES_MAX);
    const struct pk_pivot to = {.back = pair->back,
                                .provider = pk_str_of(pair->provider->name),
                                .out = &made,
                                .dropped = dropped};

    if (!read_body(dropped->arena, pair, *body, &doc, err) || !pair->front->pivot(&doc, &to, err))
        return false;
    *body = pk_buf_str(&made);
    return pk_dialect_built(&made, "body", err);
}

/* *body without what a client was given by providers of other dialects. */
static bool tidy(const struct pk_dialect *front, pk_str *body, struct pk_arena *arena,
                 struct pk_error *err)
{
    struct pk_buf made = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_json doc;

    if (!front->tidy || !front->wants_tidying(*body))
        return true;
    if (!parse_body(arena, *body, &doc, err))
        return false;
    front->tidy(&doc, &made);
    *body = pk_buf_str(&made);
    return pk_dialect_built(&made, "body", err);
}

/* A field's name as the front's client knows it. */
static pk_str own_word(const char *words, pk_str name)
{
    pk_str list = pk_str_of(words);

    for (pk_str pair = next_word(&list); pair.len; pair = next_word(&list)) {
        size_t equals = (size_t)pk_str_find(pair, '=');

        if (pk_str_eq(pk_str_sub(pair, 0, equals), name))
            return pk_str_sub(pair, equals + 1, pair.len);
    }
    return name;
}

static pk_str in_own_words(const char *words, const struct pk_buf *names)
{
    struct pk_buf said = pk_buf_in(names->arena, DROPPED_BYTES_MAX);
    pk_str list = pk_buf_str(names);

    if (!words)
        return list;
    for (pk_str name = next_word(&list); name.len; name = next_word(&list))
        pk_dialect_drop(&said, own_word(words, name));
    return pk_buf_str(&said);
}

/* *body, which is in the dialect that the back is like, as the back has it. */
static bool host(const struct pk_dialect_pair *pair, pk_str *body, struct pk_buf *dropped,
                 struct pk_error *err)
{
    struct pk_json doc;
    struct pk_buf made = pk_buf_in(dropped->arena, PK_BODY_BYTES_MAX);

    if (!read_body(dropped->arena, pair, *body, &doc, err))
        return false;
    pair->back->host(&doc, pair->headers, &made, dropped);
    *body = pk_buf_str(&made);
    return pk_dialect_built(&made, "body", err);
}

bool pk_dialect_request(struct pk_arena *arena, const struct pk_dialect_pair *pair, pk_str body,
                        pk_str *out, pk_str *dropped, struct pk_error *err)
{
    const struct pk_dialect *front = pair->front, *back = pair->back;
    const struct pk_dialect *spoken = pk_dialect_spoken(back);
    const struct pk_provider *provider = pair->provider;
    struct pk_buf names = pk_buf_in(arena, DROPPED_BYTES_MAX);

    *out = body;
    *dropped = PK_NONE;
    bool crossed = front != spoken;
    bool others =
        spoken != pk_dialect_spoken(provider->dialect); /* its quirks are those of its own */
    bool made = back->host || (crossed && (front->pivot || spoken->request)); /* needs no check */
    bool ok =
        (crossed || tidy(front, out, arena, err)) &&
        (!crossed || !front->pivot || pivot(pair, out, &names, err)) &&
        (!crossed || !spoken->request || translate(arena, spoken->request, out, &names, err)) &&
        (!back->host || host(pair, out, &names, err)) &&
        (others || (made && !has_quirks(provider)) || adapt(arena, pair, out, &names, err));
    if (arena->failed) /* which may have looked like a mistake in the body */
        return pk_fail(err, PK_NO_MEMORY, "body: out of memory");
    if (!ok)
        return false;
    *dropped = in_own_words(crossed ? front->words : NULL, &names);
    return true; /* a list that is too long is cut, never an error */
}

bool pk_dialect_url(struct pk_arena *arena, const struct pk_dialect *back, pk_str base,
                    pk_str model, bool stream, pk_str *url, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_URL_BYTES_MAX);

    pk_buf_add(&out, base);
    if (back->chat_path)
        pk_buf_adds(&out, back->chat_path);
    else if (!back->path(base, model, stream, &out, err))
        return false;
    *url = pk_buf_str(&out);
    if (out.failed && !arena->failed)
        return pk_fail(err, PK_BAD_REQUEST, "model: the URL would be longer than %d bytes",
                       PK_URL_BYTES_MAX);
    return !out.failed || pk_fail(err, PK_NO_MEMORY, "url: out of memory");
}

/* --- answers --------------------------------------------------------------------------------- */

/* a->body, an answer in OpenAI's shape, in the front's. */
static bool print(struct pk_arena *arena, const struct pk_dialect *front,
                  const struct pk_dialect *back, struct pk_answer *a, struct pk_error *err)
{
    struct pk_stream *s = pk_stream_new(arena, front, back, false, a->created_s);
    struct pk_buf printed = pk_buf_in(arena, PK_STREAM_BYTES_MAX);

    if (!s)
        return pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
    s->id = a->id;
    s->model = a->model;
    s->asked = a->asked;
    s->request = a->request;
    s->usage = a->usage;
    if (!pk_pivot_answer(arena, s, a->body, &printed, err))
        return false;
    a->body = pk_buf_str(&printed);
    return pk_dialect_built(&printed, "answer", err);
}

bool pk_dialect_answer(struct pk_arena *arena, const struct pk_dialect *front,
                       const struct pk_dialect *back, pk_str body, struct pk_answer *a,
                       struct pk_error *err)
{
    struct pk_json doc;
    struct pk_buf made = pk_buf_in(arena, PK_STREAM_BYTES_MAX);

    bool passes = front == pk_dialect_spoken(back);

    *a = (struct pk_answer){
        .id = a->id, .created_s = a->created_s, .asked = a->asked, .request = a->request};
    PK_ASSERT(passes || front->print_delta);
    if (!pk_dialect_parse(arena, body, &doc, err) ||
        !back->answer(arena, &doc, a, passes ? NULL : &made, err))
        return false;
    a->body = passes ? body : pk_buf_str(&made);
    return pk_dialect_built(&made, "answer", err) &&
           (passes || !front->pivot || print(arena, front, back, a, err));
}

/* --- faults ---------------------------------------------------------------------------------- */

static pk_str title_of(pk_str html)
{
    static const char open[] = "<title>", close[] = "</title>";
    const char *from = memmem(html.at, html.len, open, sizeof open - 1);

    if (!from)
        return PK_NONE;
    from += sizeof open - 1;
    size_t left = html.len - (size_t)(from - html.at);
    const char *to = memmem(from, left, close, sizeof close - 1);
    return pk_str_trim((pk_str){from, to ? (size_t)(to - from) : left});
}

/* Words for people out of a body that is no error JSON. */
static pk_str plain_words(struct pk_arena *arena, int status, pk_str body)
{
    pk_str text = pk_str_trim(body);
    size_t bad;

    if (text.len && text.at[0] == '<')
        text = title_of(text);
    text = pk_str_trim(pk_dialect_shorten(text, PLAIN_BYTES_MAX));
    if (text.len == 0 || !pk_utf8_valid(text, &bad))
        return pk_copyf(arena, "HTTP status %d", status);
    struct pk_buf line = pk_buf_in(arena, PLAIN_BYTES_MAX);
    for (size_t i = 0; i < text.len; i++)
        pk_buf_addc(&line, (unsigned char)text.at[i] < ' ' ? ' ' : text.at[i]);
    return pk_buf_str(&line);
}

void pk_dialect_fault(struct pk_arena *arena, const struct pk_dialect *back, int status,
                      pk_str body, struct pk_fault *f)
{
    struct pk_json doc;
    struct pk_error unused;

    *f = (struct pk_fault){0};
    if (body.len && pk_json_parse(arena, body, "error", &doc, &unused))
        back->fault(arena, &doc, f);
    if (f->message.len == 0)
        f->message = plain_words(arena, status, body);
    if (f->message.len == 0) /* no memory for more */
        f->message = PK_STR("the provider answered with an error");
}
