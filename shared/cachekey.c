/* cachekey.c - see cachekey.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The canonical form is hashed piece by piece, each with its length in front, so that no two
 * lists of pieces give the same bytes.
 */
#include "cachekey.h"

#include "http.h"
#include "lexical.h"

#include <sodium.h>

/* Members of the body that do not shape the answer. */
static const char *const ignored[] = {"stream",
                                      "stream_options",
                                      "user",
                                      "metadata",
                                      "store",
                                      "safety_identifier",
                                      "prompt_cache_key",
                                      NULL};

static void add_piece(crypto_generichash_state *h, pk_str s)
{
    uint64_t len = s.len;

    (void)crypto_generichash_update(h, (const unsigned char *)&len, sizeof len);
    if (s.len)
        (void)crypto_generichash_update(h, (const unsigned char *)s.at, s.len);
}

static bool add_canonical(struct pk_arena *arena, crypto_generichash_state *h,
                          const struct pk_json *doc, const char *const *without)
{
    struct pk_buf out = pk_buf_in(arena, PK_STREAM_BYTES_MAX);

    pk_json_canonical(&out, doc, 0, without);
    add_piece(h, pk_buf_str(&out));
    return !out.failed;
}

static bool add_params(struct pk_arena *arena, crypto_generichash_state *h, pk_str object)
{
    struct pk_error unused = {0};
    struct pk_json params;

    if (object.len == 0) {
        add_piece(h, PK_NONE);
        return true;
    }
    return pk_json_parse(arena, object, "params", &params, &unused) &&
           add_canonical(arena, h, &params, NULL);
}

/* What is kept is what guardrails made of the answer: only who wants the same made of it may share it. */
static void add_guards(crypto_generichash_state *h, const struct pk_guards *guards)
{
    for (int i = 0; guards && i < guards->count; i++) {
        const struct pk_guardrail *g = &guards->list[i];

        if (g->changing.len && !g->async) {
            add_piece(h, PK_STR("guardrail"));
            add_piece(h, g->changing);
        }
    }
}

/* Tenants must not share answers: a target counts with its key, a literal one by its hash. */
static bool add_target(struct pk_arena *arena, crypto_generichash_state *h,
                       const struct pk_target *t)
{
    add_piece(h, pk_str_of(t->provider->name));
    add_piece(h, t->base_url);
    for (int f = 0; t->fields && f < PK_TARGET_FIELDS; f++) {
        if (t->fields->at[f].len == 0)
            continue;
        add_piece(h, pk_str_of(pk_target_field_row((enum pk_target_field)f)->name));
        add_piece(h, t->fields->at[f]);
    }
    add_piece(h, t->key.slug);
    add_piece(h, t->key.kind == PK_KEY_SEALED ? PK_NONE : t->key.value);
    for (int i = 0; i < t->params.drop_count; i++)
        add_piece(h, t->params.drops[i]);
    add_guards(h, t->guards[PK_GUARD_OUTPUT]);
    if (t->strict_params) /* it has answered in full, or not at all */
        add_piece(h, PK_STR("strict"));
    return add_params(arena, h, t->params.defaults) && add_params(arena, h, t->params.overrides);
}

/* A client's header that goes to the provider may name a tenant, or ask for another answer. */
static void add_header(crypto_generichash_state *h, const struct pk_request *req, pk_str to,
                       pk_str name)
{
    pk_str value = name.len ? pk_http_header(req->headers, name.at) : PK_NONE;

    if (value.len == 0)
        return;
    add_piece(h, to);
    add_piece(h, name);
    add_piece(h, value);
}

static bool may_answer(const struct pk_cache_question *q, int target)
{
    return q->targets >> target & 1;
}

static void add_forwarded(struct pk_arena *arena, crypto_generichash_state *h,
                          const struct pk_cache_question *q)
{
    const struct pk_request *req = q->req;
    pk_str rest = req->forward;

    for (int i = 0; i < q->config->target_count; i++)
        for (int k = 0; may_answer(q, i) && k < q->config->targets[i].forward_count; k++)
            add_header(h, req, q->config->targets[i].path, q->config->targets[i].forward[k]);
    for (int i = 0; rest.len && i < PK_FORWARD_MAX; i++) {
        int comma = pk_str_find(rest, ',');
        size_t len = comma < 0 ? rest.len : (size_t)comma;

        add_header(h, req, PK_NONE, pk_copy(arena, pk_str_trim(pk_str_sub(rest, 0, len))));
        rest = pk_str_sub(rest, len + 1, rest.len);
    }
}

/* Those that a provider of the client's dialect is sent. */
static void add_own(struct pk_arena *arena, crypto_generichash_state *h,
                    const struct pk_request *req)
{
    const char *names = pk_request_front(req)->own_headers;
    pk_str list = names ? pk_str_of(names) : PK_NONE;

    while (list.len) {
        int blank = pk_str_find(list, ' ');
        size_t len = blank < 0 ? list.len : (size_t)blank;

        add_header(h, req, PK_NONE, pk_copy(arena, pk_str_sub(list, 0, len)));
        list = pk_str_sub(list, len + 1, list.len);
    }
}

/* The contents of its files; what their names and types are is among the fields. */
static void add_files(crypto_generichash_state *h, const struct pk_form *form)
{
    for (int i = 0; form && i < form->count; i++)
        if (form->parts[i].file) {
            add_piece(h, form->parts[i].name);
            add_piece(h, form->parts[i].content);
        }
}

/* All that decides who may share an answer, but for the body. */
static bool add_scope(struct pk_arena *arena, crypto_generichash_state *h,
                      const struct pk_cache_question *q)
{
    const struct pk_request *req = q->req;
    pk_str ns = req->cache_ns.len ? req->cache_ns : q->policy->ns;
    bool ok = true;

    add_piece(h, pk_str_of(pk_request_operation(req)->name));
    add_piece(h, pk_str_of(pk_request_front(req)->name));
    add_piece(h, req->custom_host);
    add_piece(h, ns);
    add_piece(h, ns.len ? PK_NONE : req->api_key);
    for (int i = 0; ok && i < q->config->target_count; i++)
        ok = !may_answer(q, i) || add_target(arena, h, &q->config->targets[i]);
    add_guards(h, req->guards[PK_GUARD_OUTPUT]);
    add_forwarded(arena, h, q);
    add_own(arena, h, req);
    add_files(h, q->form);
    if (req->strict_params)
        add_piece(h, PK_STR("strict"));
    if (req->tail.len)
        add_piece(h, req->tail);
    return ok;
}

static bool finish(struct pk_arena *arena, crypto_generichash_state *h, bool ok, uint8_t *out,
                   struct pk_error *err)
{
    (void)crypto_generichash_final(h, out, PK_CACHE_KEY_BYTES);
    return (ok && !arena->failed) || pk_fail(err, PK_NO_MEMORY, "cache key: out of memory");
}

bool pk_cache_key(struct pk_arena *arena, const struct pk_cache_question *q,
                  uint8_t key[PK_CACHE_KEY_BYTES], struct pk_error *err)
{
    crypto_generichash_state h;

    (void)crypto_generichash_init(&h, NULL, 0, PK_CACHE_KEY_BYTES);
    add_piece(&h, PK_STR("pk cache 1"));
    bool ok = add_canonical(arena, &h, q->body, ignored) && add_scope(arena, &h, q);
    return finish(arena, &h, ok, key, err);
}

/* --- likeness -------------------------------------------------------------------------------- */

/* The text of a message's content: a string, or the one part of a list. */
static int text_node(const struct pk_json *body, int content)
{
    if (pk_json_type(body, content) == PK_JSON_STRING)
        return content;
    if (pk_json_type(body, content) != PK_JSON_ARRAY || pk_json_count(body, content) != 1)
        return -1;
    int part = pk_json_item(body, content, 0), text = pk_json_get(body, part, "text");
    int type = pk_json_get(body, part, "type");
    bool is_text = pk_json_is(body, type, "text") || pk_json_is(body, type, "input_text");
    return is_text && pk_json_type(body, text) == PK_JSON_STRING ? text : -1;
}

pk_str pk_cache_like(struct pk_arena *arena, const struct pk_json *body, const char *list,
                     int *node)
{
    int messages = pk_json_get(body, 0, list), count = pk_json_count(body, messages);
    bool alone = pk_json_type(body, messages) == PK_JSON_STRING; /* it is all that the user says */
    int last = alone ? -1 : pk_json_item(body, messages, count - 1);

    *node = -1;
    if (count > PK_LIKE_MESSAGES_MAX || pk_json_count(body, pk_json_get(body, 0, "tools")) ||
        pk_json_count(body, pk_json_get(body, 0, "functions")) ||
        (!alone && !pk_json_is(body, pk_json_get(body, last, "role"), "user")))
        return PK_NONE;
    int at = alone ? messages : text_node(body, pk_json_get(body, last, "content"));
    pk_str text = pk_json_str(arena, body, at);
    if (pk_str_trim(text).len == 0 || text.len > PK_LIKE_TEXT_BYTES_MAX)
        return PK_NONE;
    *node = at;
    return text;
}

/* The body with nothing where the text was. */
static bool add_rest(struct pk_arena *arena, crypto_generichash_state *h,
                     const struct pk_json *body, int node)
{
    struct pk_buf text = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    size_t from = body->nodes[node].start, to = body->nodes[node].end;
    struct pk_error unused = {0};
    struct pk_json rest;

    pk_buf_add(&text, pk_str_sub(body->text, 0, from));
    pk_buf_adds(&text, "null");
    pk_buf_add(&text, pk_str_sub(body->text, to, body->text.len));
    return !text.failed && pk_json_parse(arena, pk_buf_str(&text), "body", &rest, &unused) &&
           add_canonical(arena, h, &rest, ignored);
}

bool pk_cache_gate(struct pk_arena *arena, const struct pk_cache_question *q, int node, int dims,
                   uint8_t gate[PK_CACHE_KEY_BYTES], struct pk_error *err)
{
    const struct pk_embedder *e =
        q->policy->embedder < 0 ? NULL : &q->config->embedders[q->policy->embedder];
    const int versions[] = {PK_TRAITS_VERSION, dims};
    crypto_generichash_state h;

    (void)crypto_generichash_init(&h, NULL, 0, PK_CACHE_KEY_BYTES);
    add_piece(&h, PK_STR("pk gate 1"));
    add_piece(&h, (pk_str){(const char *)versions, sizeof versions});
    add_piece(&h, e ? pk_str_of(e->target.provider->name) : PK_NONE);
    add_piece(&h, e ? e->target.base_url : PK_STR("lexical"));
    add_piece(&h, e ? e->model : pk_copyf(arena, "%d", PK_LEXICAL_VERSION));
    bool ok = add_rest(arena, &h, q->body, node) && add_scope(arena, &h, q);
    return finish(arena, &h, ok, gate, err);
}
