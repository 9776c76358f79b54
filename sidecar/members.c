/* members.c - see members.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Objects are parsed one by one, those that many calls have once. A name that an object has twice counts the first time.
 */
#include "members.h"

#include "json.h"

#include <stdlib.h>
#include <string.h>

enum {
    PARSED_BYTES_MAX = 64 << 20, /* of one object */
    PARSED_BYTES_KEPT = 1 << 20, /* until memory is given back */
    NAMES_MAX = 4096,            /* that are counted in a block */
    LEN_BYTES = 4,
};

/* One object after the other. */
struct parser {
    struct pk_arena arena;
    struct pk_json doc;
};

static void begin(struct parser *p)
{
    pk_arena_init(&p->arena, pk_allocator_malloc(), PARSED_BYTES_MAX);
}

static void end(struct parser *p)
{
    pk_arena_free(&p->arena);
}

/* The first key of the object, or -1. */
static int parse(struct parser *p, pk_str text)
{
    struct pk_error unused;

    if (p->arena.used > PARSED_BYTES_KEPT)
        pk_arena_free(&p->arena);
    if (!pk_json_parse(&p->arena, text, "metadata", &p->doc, &unused) ||
        pk_json_type(&p->doc, 0) != PK_JSON_OBJECT)
        return -1;
    return pk_json_first(&p->doc, 0);
}

static int next(struct parser *p, int key)
{
    return pk_json_next(&p->doc, 0, key);
}

static pk_str text_of(struct parser *p, int node)
{
    return pk_json_str(&p->arena, &p->doc, node);
}

static bool is_text(const struct parser *p, int node)
{
    return pk_json_type(&p->doc, node) == PK_JSON_STRING;
}

/* --- what is asked for ---------------------------------------------------------------------- */

int64_t pkd_member_what(pk_str name)
{
    uint8_t hash[PK_PAYLOAD_HASH_BYTES];
    uint32_t number;

    pk_payload_hash(name, hash);
    memcpy(&number, hash, sizeof number);
    return PKD_MEMBER_WHAT + (int64_t)(number & PKD_MEMBER_WHATS);
}

struct asking {
    struct pk_arena *arena;
    pk_str text;
};

static bool take_text(void *ctx, const struct pk_value *v, int count)
{
    struct asking *a = ctx;

    PK_ASSERT(count == 1);
    a->text = pk_copy(a->arena, v[0].s);
    return false;
}

bool pkd_members_ask(struct pkd_errand *e, const struct pkd_filter *f, struct pkd_block *b,
                     struct pkd_wanted *out, bool *can, struct pk_error *err)
{
    const struct pk_value *object = &f->args[PKD_F_metadata];
    struct asking a = {.arena = e->arena};
    struct parser p;

    *out = (struct pkd_wanted){0};
    *can = true;
    if (object->type == PK_V_NULL)
        return true;
    if (!e->store->ops->exec(e->store, PK_SQL_metadata_texts, object, 1, take_text, &a, err))
        return false;
    begin(&p);
    for (int k = parse(&p, a.text); k >= 0 && *can; k = next(&p, k)) {
        int member = is_text(&p, k + 1) && out->count < PKD_MEMBERS_MAX
                         ? pkd_block_ask(b, text_of(&p, k))
                         : -1;

        *can = member >= 0;
        if (*can) {
            out->of[out->count].value = pk_copy(e->arena, text_of(&p, k + 1));
            out->of[out->count++].member = member;
        }
    }
    bool ok = !p.arena.failed && !e->arena->failed;
    end(&p);
    return ok || pk_fail(err, PK_NO_MEMORY, "metadata: out of memory");
}

/* --- of objects ----------------------------------------------------------------------------- */

/* The numbers of what an object has in each member: a row of them an object. */
static bool look_into(struct pkd_block *b, struct parser *p, pk_str object, int64_t *row)
{
    for (int i = 0; i < b->member_count; i++)
        row[i] = PKD_NOTHING;
    for (int k = parse(p, object); k >= 0; k = next(p, k)) {
        pk_str name = is_text(p, k + 1) ? text_of(p, k) : PK_NONE;

        for (int i = 0; i < b->member_count; i++)
            if (is_text(p, k + 1) && row[i] == PKD_NOTHING && !b->members[i].there &&
                pk_str_eq(b->members[i].name, name))
                row[i] = pkd_names_number(&b->members[i].words, text_of(p, k + 1));
    }
    return !p->arena.failed && !b->texts.failed;
}

static bool find_missing(struct pkd_block *b, struct parser *p)
{
    const int64_t *object = b->of[PKD_C_metadata];
    const struct pkd_names *words = &b->words[PKD_C_metadata];
    size_t width = (size_t)b->member_count;
    int64_t *rows = pk_alloc(&b->texts, ((size_t)words->count * width + 1) * sizeof *rows);
    bool ok = rows != NULL;

    for (int i = 0; i < b->member_count; i++)
        if (!b->members[i].there)
            b->members[i].words = (struct pkd_names){.arena = &b->texts};
    for (int i = 0; ok && i < words->count; i++)
        ok = look_into(b, p, words->at[i], rows + (size_t)i * width);
    for (int i = 0; ok && i < b->member_count; i++) {
        struct pkd_member *m = &b->members[i];
        struct pkd_names found = m->words;

        if (m->there)
            continue;
        ok = pkd_member_room(b, m);
        m->words = found;
        for (int call = 0; ok && call < b->calls; call++)
            m->of[call] = object[call] == PKD_NOTHING
                              ? PKD_NOTHING
                              : rows[(size_t)object[call] * width + (size_t)i];
    }
    return ok;
}

bool pkd_members_find(struct pkd_block *b)
{
    bool missing = false;
    struct parser p;

    for (int i = 0; i < b->member_count; i++)
        missing = missing || !b->members[i].there;
    if (!missing || b->calls == 0)
        return true;
    begin(&p);
    bool ok = find_missing(b, &p);
    end(&p);
    return ok;
}

/* --- columns that are kept ------------------------------------------------------------------ */

/* A member that gets a column. */
struct kept {
    int name; /* among the names of the block */
    int64_t *of;
    struct pkd_names words;
};

struct split {
    struct pkd_block *b;
    struct parser parser;
    int *calls_of;          /* how many calls have an object */
    struct pkd_names names; /* of members */
    int *calls;             /* that have a member of that name */
    int *place;             /* in `kept`, of a name; -1: it is not kept */
    struct kept kept[PKD_MEMBER_COLUMNS];
    int count;
};

/* The number of a name; -1: it is not counted. */
static int name_number(struct split *s, pk_str name)
{
    return s->names.count < NAMES_MAX ? pkd_names_number(&s->names, name)
                                      : pkd_names_find(&s->names, name);
}

static bool count_names(struct split *s)
{
    const struct pkd_block *b = s->b;
    const struct pkd_names *objects = &b->words[PKD_C_metadata];

    s->calls_of = pk_alloc(&s->b->texts, ((size_t)objects->count + 1) * sizeof *s->calls_of);
    s->calls = pk_alloc(&s->b->texts, (NAMES_MAX + 1) * sizeof *s->calls);
    if (!s->calls_of || !s->calls)
        return false;
    for (int i = 0; i < b->calls; i++)
        if (b->of[PKD_C_metadata][i] != PKD_NOTHING)
            s->calls_of[b->of[PKD_C_metadata][i]]++;
    for (int i = 0; i < objects->count; i++)
        for (int k = parse(&s->parser, objects->at[i]); k >= 0; k = next(&s->parser, k)) {
            int number = name_number(s, text_of(&s->parser, k));

            if (number >= 0)
                s->calls[number] += s->calls_of[i];
        }
    return !s->parser.arena.failed && !s->b->texts.failed;
}

static bool same_what(const struct split *s, int name)
{
    for (int i = 0; i < s->count; i++)
        if (pkd_member_what(s->names.at[s->kept[i].name]) == pkd_member_what(s->names.at[name]))
            return true;
    return false;
}

/* Those that most calls have. */
static bool choose(struct split *s)
{
    s->place = pk_alloc(&s->b->texts, ((size_t)s->names.count + 1) * sizeof *s->place);
    for (int i = 0; s->place && i < s->names.count; i++)
        s->place[i] = -1;
    for (int tries = 0; s->place && tries < PKD_MEMBER_COLUMNS; tries++) {
        int best = -1;

        for (int i = 0; i < s->names.count; i++)
            if (s->calls[i] > 0 && (best < 0 || s->calls[i] > s->calls[best]))
                best = i;
        if (best < 0)
            break;
        s->calls[best] = 0;
        if (same_what(s, best))
            continue;
        struct kept *k = &s->kept[s->count];

        *k = (struct kept){.name = best, .words = {.arena = &s->b->texts}};
        k->of = pk_alloc_room(&s->b->texts, PKD_BLOCK_CALLS * sizeof *k->of);
        if (!k->of)
            return false;
        for (int i = 0; i < s->b->calls; i++)
            k->of[i] = PKD_NOTHING;
        s->place[best] = s->count++;
    }
    return s->place != NULL;
}

/* An object's texts into columns; *rest: it has members that have none. */
static bool take_apart(struct split *s, int object, int64_t *row, bool *rest)
{
    for (int i = 0; i < s->count; i++)
        row[i] = PKD_NOTHING;
    *rest = false;
    for (int k = parse(&s->parser, s->b->words[PKD_C_metadata].at[object]); k >= 0;
         k = next(&s->parser, k)) {
        int number = pkd_names_find(&s->names, text_of(&s->parser, k));
        int place = number < 0 ? -1 : s->place[number];

        if (place < 0)
            *rest = *rest || is_text(&s->parser, k + 1);
        else if (is_text(&s->parser, k + 1) && row[place] == PKD_NOTHING)
            row[place] = pkd_names_number(&s->kept[place].words, text_of(&s->parser, k + 1));
    }
    return !s->parser.arena.failed && !s->b->texts.failed;
}

/* Fills the columns; `others` gets the objects that have more than these. */
static bool fill(struct split *s, int64_t *other, struct pkd_names *others)
{
    const struct pkd_block *b = s->b;
    const struct pkd_names *objects = &b->words[PKD_C_metadata];
    size_t width = (size_t)s->count;
    int64_t *rows = pk_alloc(&s->b->texts, ((size_t)objects->count * width + 1) * sizeof *rows);
    int64_t *number = pk_alloc(&s->b->texts, ((size_t)objects->count + 1) * sizeof *number);

    if (!rows || !number)
        return false;
    for (int i = 0; i < objects->count; i++) {
        bool rest;

        if (!take_apart(s, i, rows + (size_t)i * width, &rest))
            return false;
        number[i] = rest ? pkd_names_number(others, objects->at[i]) : PKD_NOTHING;
    }
    for (int i = 0; i < b->calls; i++) {
        int64_t object = b->of[PKD_C_metadata][i];

        other[i] = object == PKD_NOTHING ? PKD_NOTHING : number[object];
        for (int k = 0; object != PKD_NOTHING && k < s->count; k++)
            s->kept[k].of[i] = rows[(size_t)object * width + (size_t)k];
    }
    return !s->b->texts.failed;
}

static void print_number(struct pk_buf *out, uint64_t number)
{
    for (int i = 0; i < LEN_BYTES; i++)
        pk_buf_addc(out, (char)(number >> (8 * i)));
}

static int64_t what_of(const struct split *s, int i)
{
    return pkd_member_what(s->names.at[s->kept[i].name]);
}

static bool print_member(struct split *s, const struct kept *k, struct pk_buf *out)
{
    print_number(out, s->names.at[k->name].len);
    pk_buf_add(out, s->names.at[k->name]);
    return pkd_words_print(s->b, k->of, &k->words, out);
}

static bool split(struct split *s, pkd_column_fn *take, void *ctx)
{
    struct pk_arena *arena = &s->b->texts;
    struct pkd_names others = {.arena = arena};
    int64_t *other = pk_alloc_room(arena, PKD_BLOCK_CALLS * sizeof *other);
    struct pk_buf out = pk_buf_in(arena, PKD_COLUMN_BYTES_MAX);

    if (!other || !count_names(s) || !choose(s) || !fill(s, other, &others))
        return false;
    for (int i = 0; i < s->count; i++) {
        pk_buf_reset(&out);
        if (!print_member(s, &s->kept[i], &out) || !take(ctx, what_of(s, i), pk_buf_str(&out)))
            return false;
    }
    pk_buf_reset(&out);
    print_number(&out, (uint64_t)s->count);
    for (int i = 0; i < s->count; i++)
        print_number(&out, (uint64_t)what_of(s, i));
    return pkd_words_print(s->b, other, &others, &out) &&
           take(ctx, PKD_C_metadata, pk_buf_str(&out));
}

bool pkd_members_print(struct pkd_block *b, pkd_column_fn *take, void *ctx)
{
    struct split s = {.b = b, .names = {.arena = &b->texts}};

    begin(&s.parser);
    bool ok = split(&s, take, ctx);
    end(&s.parser);
    return ok;
}

/* --- columns that are read ------------------------------------------------------------------ */

static bool take_number(pk_str *text, uint32_t *number)
{
    if (text->len < LEN_BYTES)
        return false;
    *number = 0;
    for (int i = 0; i < LEN_BYTES; i++)
        *number |= (uint32_t)(unsigned char)text->at[i] << (8 * i);
    *text = pk_str_sub(*text, LEN_BYTES, text->len);
    return true;
}

static bool damaged(struct pk_error *err)
{
    return pk_fail(err, PK_STORE, "log: a column of an hour is damaged");
}

/* Of the members with that number. */
static void set_due(struct pkd_block *b, int64_t what, bool due)
{
    for (int i = 0; i < b->member_count; i++)
        if (pkd_member_what(b->members[i].name) == what)
            b->members[i].due = due;
}

bool pkd_objects_read(struct pkd_block *b, pk_str text, struct pk_error *err)
{
    uint32_t count, what;

    if (!take_number(&text, &count) || count > PKD_MEMBER_COLUMNS)
        return damaged(err);
    for (uint32_t i = 0; i < count; i++) {
        if (!take_number(&text, &what))
            return damaged(err);
        set_due(b, what, true);
    }
    return pkd_block_read(b, PKD_C_metadata, text, err);
}

bool pkd_members_read(struct pkd_block *b, int64_t what, pk_str text, struct pk_error *err)
{
    uint32_t len;

    if (!take_number(&text, &len) || len > text.len)
        return damaged(err);
    pk_str name = pk_str_sub(text, 0, len);

    set_due(b, what, false); /* it is here, if of a name that has the same number */
    for (int i = 0; i < b->member_count; i++)
        if (pk_str_eq(b->members[i].name, name))
            return pkd_member_read(b, &b->members[i], pk_str_sub(text, len, text.len), err);
    return true;
}

bool pkd_members_whole(const struct pkd_block *b)
{
    for (int i = 0; i < b->member_count; i++)
        if (b->members[i].due)
            return false;
    return true;
}
