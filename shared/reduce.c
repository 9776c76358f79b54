/* reduce.c - see reduce.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Tokens are an estimate (tokens.h), so a tenth of the room stays free; so does room for the answer.
 */
#include "reduce.h"

#include "params.h"
#include "request.h"
#include "tokens.h"
#include "typed.h"

#include <string.h>

enum {
    ANSWER_TOKENS_MAX = 4096, /* kept free for an answer whose length nobody limits */
    ITEM_TOKENS = 12,         /* the tags of an item */
    ROOM_MIN = 64,            /* tokens that a prompt must have for items */
};

/* Items from..to - 1 of the level. */
struct slice {
    int from, to;
};

struct pk_reduce {
    struct pk_arena *arena;
    pk_str instruction;
    pk_str params;
    int64_t window, room; /* tokens: all, and for items */
    enum pk_family family;
    int level;     /* 0 before the first is laid out */
    pk_str *items; /* of the level */
    int item_count;
    struct slice *slices;
    int count;
    pk_str *answers;
    pk_str tag;
};

/* --- options ------------------------------------------------------------------------------------ */

static bool without(struct pk_arena *arena, pk_str params, const char *const *names, pk_str *out,
                    struct pk_error *err)
{
    struct pk_buf options = pk_buf_in(arena, PK_BODY_BYTES_MAX), whole = options;
    struct pk_json_edit edits[2], rest = {PK_STR("pk"), PK_NONE};
    struct pk_json doc;
    int count = 0;

    if (!pk_json_parse(arena, params, "params", &doc, err))
        return false;
    *out = params;
    int pk = pk_json_get(&doc, 0, "pk");
    if (pk_json_type(&doc, pk) != PK_JSON_OBJECT)
        return true;
    for (; names[count]; count++)
        edits[count] = (struct pk_json_edit){pk_str_of(names[count]), PK_NONE};
    pk_json_splice(&options, &doc, pk, edits, count);
    rest.value = pk_buf_str(&options);
    pk_json_splice(&whole, &doc, 0, &rest, 1);
    *out = pk_buf_str(&whole);
    return !(options.failed || whole.failed) || pk_fail(err, PK_NO_MEMORY, "params: out of memory");
}

bool pk_reduce_options_read(struct pk_arena *arena, pk_str params, struct pk_reduce_options *o,
                            struct pk_error *err)
{
    static const char *const window[] = {"window", NULL}, *const ours[] = {"window", "concurrency",
                                                                           NULL};
    struct pk_request unused = {0};
    struct pk_json doc;
    pk_str rest;

    *o = (struct pk_reduce_options){.params = params.len ? params : PK_STR("{}")};
    if (!pk_json_parse(arena, o->params, "params", &doc, err))
        return false;
    int value = pk_json_at(&doc, "pk.window");
    if (value >= 0 && (!pk_json_int(&doc, value, &o->window) || o->window < PK_REDUCE_WINDOW_MIN ||
                       o->window > (int64_t)1 << 32))
        return pk_fail(err, PK_BAD_REQUEST, "params.pk.window: must be at least %d tokens",
                       PK_REDUCE_WINDOW_MIN);
    return without(arena, o->params, ours, &rest, err) &&
           pk_request_options(arena, rest, &unused, err) &&
           pk_request_body(arena, PK_STR("[]"), rest, &unused, err) &&
           without(arena, o->params, window, &o->params, err);
}

/* --- words -------------------------------------------------------------------------------------- */

/* `many`: there are more prompts at this level. */
static pk_str system_of(const struct pk_reduce *r, struct pk_arena *arena, bool many)
{
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    const char *what = r->level <= 1 ? "items" : "results";

    pk_buf_adds(&out, "You carry out one instruction over all of the user's items together. The "
                      "instruction:\n\n");
    pk_buf_add(&out, r->instruction);
    pk_buf_adds(&out, "\n\n");
    if (r->level > 1)
        pk_buf_adds(&out, "There were too many items for one step. What the user gives are results "
                          "for parts of them, in order: put them together to what the instruction "
                          "asks for of all items.\n");
    if (many)
        pk_buf_addf(&out,
                    "There are more %s than fit here. Carry out the instruction for these alone, "
                    "and keep what is needed to put your answer together with those for the "
                    "others.\n",
                    what);
    pk_typed_just_data(&out, r->tag);
    pk_buf_adds(&out, "Answer with the outcome alone.");
    return pk_buf_str(&out);
}

/* --- birth -------------------------------------------------------------------------------------- */

struct pk_reduce *pk_reduce_new(struct pk_arena *arena, pk_str instruction, const pk_str *items,
                                int count, const struct pk_reduce_options *o, struct pk_error *err)
{
    struct pk_reduce *r = pk_alloc(arena, sizeof *r);
    pk_str *list = pk_alloc(arena, (size_t)count * sizeof *list);

    if (!r || !list) {
        (void)pk_fail(err, PK_NO_MEMORY, "pk_reduce: out of memory");
        return NULL;
    }
    if (pk_str_trim(instruction).len == 0) {
        (void)pk_fail(err, PK_BAD_REQUEST, "instruction: must not be empty");
        return NULL;
    }
    memcpy(list, items, (size_t)count * sizeof *list);
    *r = (struct pk_reduce){.arena = arena,
                            .instruction = instruction,
                            .params = o->params,
                            .window = o->window,
                            .items = list,
                            .item_count = count};
    return r;
}

/* The smallest context window of the models that may be asked, as far as they are known. */
static int64_t window_of(struct pk_reduce *r, const struct pk_config *config,
                         const struct pk_prices *prices, const struct pk_json *params,
                         int64_t now_us)
{
    int64_t window = 0;

    for (int i = 0; i < config->target_count; i++) {
        const struct pk_target *t = &config->targets[i];
        pk_str model = pk_params_model(r->arena, &t->params, params);
        const struct pk_price *p =
            pk_price_find(prices, pk_str_of(t->provider->name), model, 0, now_us);

        if (i == 0)
            r->family = pk_tokens_family(model);
        if (p && p->context_window > 0 && (window == 0 || p->context_window < window))
            window = p->context_window;
    }
    return window ? window : PK_REDUCE_WINDOW;
}

/* Tokens that the answer may have. */
static int64_t answer_tokens(const struct pk_reduce *r, const struct pk_json *params)
{
    int64_t most = r->window / 4, asked;

    if (most > ANSWER_TOKENS_MAX)
        most = ANSWER_TOKENS_MAX;
    if ((pk_json_int(params, pk_json_get(params, 0, "max_completion_tokens"), &asked) ||
         pk_json_int(params, pk_json_get(params, 0, "max_tokens"), &asked)) &&
        asked > 0)
        return asked;
    return most;
}

bool pk_reduce_fit(struct pk_reduce *r, const struct pk_config *config,
                   const struct pk_prices *prices, int64_t now_us, struct pk_error *err)
{
    struct pk_json params;

    if (!pk_json_parse(r->arena, r->params, "params", &params, err))
        return false;
    int64_t known = window_of(r, config, prices, &params, now_us);
    if (r->window == 0)
        r->window = known;
    r->tag = PK_STR("item");
    int64_t words = pk_tokens_count(r->family, system_of(r, r->arena, true));
    r->room = (r->window - answer_tokens(r, &params) - words) * 9 / 10;
    return r->room >= ROOM_MIN ||
           pk_fail(err, PK_BAD_REQUEST,
                   "params.pk.window: %lld tokens have no room for items beside the instruction "
                   "and an answer",
                   (long long)r->window);
}

/* --- levels ------------------------------------------------------------------------------------- */

static int64_t tokens_of(const struct pk_reduce *r, pk_str text)
{
    return pk_tokens_count(r->family, text) + ITEM_TOKENS;
}

/* How many bytes of `text` fill a prompt: up to a blank when there is one, and whole characters. */
static size_t piece_of(const struct pk_reduce *r, pk_str text)
{
    size_t len = (size_t)r->room * 4, blank;

    len = len < text.len ? len : text.len;
    for (int64_t t = tokens_of(r, pk_str_sub(text, 0, len)); t > r->room && len > 1;
         t = tokens_of(r, pk_str_sub(text, 0, len)))
        len = len * (size_t)r->room / (size_t)t * 15 / 16;
    len = len ? len : 1;
    for (blank = len; blank > len / 2 && !strchr(" \n\t", text.at[blank - 1]); blank--) {
    }
    if (blank > len / 2 && len < text.len)
        return blank;
    while (len < text.len && len > 1 && ((unsigned char)text.at[len] & 0xc0) == 0x80)
        len--;
    return len;
}

struct list {
    pk_str *at;
    int count;
};

static bool add(struct pk_arena *arena, struct list *l, pk_str text)
{
    pk_str *rows = pk_alloc_row(arena, l->at, l->count, sizeof *rows);

    if (!rows)
        return false;
    l->at = rows;
    l->at[l->count++] = text;
    return true;
}

/* The items, with the larger ones in pieces. */
static bool cut(struct pk_reduce *r)
{
    struct list pieces = {0};

    for (int i = 0; i < r->item_count; i++) {
        pk_str rest = r->items[i];

        while (tokens_of(r, rest) > r->room) {
            size_t len = piece_of(r, rest);

            if (len == rest.len)
                break;
            if (!add(r->arena, &pieces, pk_str_sub(rest, 0, len)))
                return false;
            rest = pk_str_sub(rest, len, rest.len);
        }
        if (!add(r->arena, &pieces, rest))
            return false;
    }
    r->items = pieces.at;
    r->item_count = pieces.count;
    return true;
}

static bool slice(struct pk_reduce *r)
{
    int64_t left = 0;

    r->slices = pk_alloc(r->arena, (size_t)r->item_count * sizeof *r->slices);
    r->answers = pk_alloc(r->arena, (size_t)r->item_count * sizeof *r->answers);
    if (!r->slices || !r->answers)
        return false;
    r->count = 0;
    for (int i = 0; i < r->item_count; i++) {
        int64_t tokens = tokens_of(r, r->items[i]);

        if (r->count == 0 || tokens > left) {
            r->slices[r->count++] = (struct slice){i, i};
            left = r->room;
        }
        r->slices[r->count - 1].to = i + 1;
        left -= tokens;
    }
    return true;
}

bool pk_reduce_level(struct pk_reduce *r, int *prompts, struct pk_error *err)
{
    int before = r->count;

    PK_ASSERT(r->room > 0 && r->item_count > 0);
    if (r->level++ > 0) {
        r->items = r->answers;
        r->item_count = r->count;
    }
    if (!cut(r) || !slice(r))
        return pk_fail(err, PK_NO_MEMORY, "pk_reduce: out of memory");
    if (r->level > 1 && r->count >= before)
        return pk_fail(err, PK_UNFIT,
                       "pk_reduce: the answers for parts are too long to be put together: ask for "
                       "shorter ones, or set params.max_tokens");
    r->tag = pk_typed_tag(r->arena, "item", r->items, r->item_count);
    *prompts = r->count;
    return !r->arena->failed || pk_fail(err, PK_NO_MEMORY, "pk_reduce: out of memory");
}

bool pk_reduce_messages(struct pk_reduce *r, int i, struct pk_arena *arena, pk_str *messages,
                        struct pk_error *err)
{
    struct pk_buf user = pk_buf_in(arena, PK_BODY_BYTES_MAX), list = user;

    PK_ASSERT(i >= 0 && i < r->count);
    for (int k = r->slices[i].from; k < r->slices[i].to; k++) {
        pk_buf_addf(&user, "<%.*s>\n", PK_FMT(r->tag));
        pk_buf_add(&user, r->items[k]);
        pk_buf_addf(&user, "\n</%.*s>\n", PK_FMT(r->tag));
    }
    pk_messages_add(&list, 0, system_of(r, arena, r->count > 1));
    pk_messages_add(&list, 1, pk_buf_str(&user));
    return pk_messages_end(&list, messages, err) &&
           (!user.failed || pk_fail(err, PK_NO_MEMORY, "pk_reduce: out of memory"));
}

void pk_reduce_answer(struct pk_reduce *r, int i, pk_str text)
{
    PK_ASSERT(i >= 0 && i < r->count);
    r->answers[i] = pk_copy(r->arena, text);
}

pk_str pk_reduce_value(const struct pk_reduce *r)
{
    PK_ASSERT(r->count == 1);
    return r->answers[0];
}
