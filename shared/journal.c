/* journal.c - see journal.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An entry is the format's version, the kind of write, and the write's fields (wire.h).
 */
#include "journal.h"

#include "record_wire.h"
#include "store_cache.h"
#include "store_near.h"
#include "store_progress.h"
#include "store_rows.h"

#include <string.h>

enum { VERSION = 1 };
enum kind { RECORD, CACHE, FEEDBACK, VECTOR, PROGRESS };

struct cache_write {
    uint8_t key[PK_CACHE_KEY_BYTES];
    struct pk_cache_entry entry;
    int64_t now_us, max_age_s;
};

PK_FIELDS enum kind wire_head(struct pk_wire *w, enum kind kind)
{
    int version = VERSION, number = (int)kind;

    pk_wire_small(w, &version, VERSION);
    if (version != VERSION)
        pk_wire_fail(w);
    pk_wire_small(w, &number, PROGRESS);
    return (enum kind)number;
}

PK_FIELDS void wire_cache(struct pk_wire *w, struct cache_write *c)
{
    pk_wire_bytes(w, c->key, sizeof c->key);
    pk_wire_str(w, &c->entry.body);
    pk_wire_str(w, &c->entry.ns);
    pk_wire_str(w, &c->entry.provider);
    pk_wire_str(w, &c->entry.model);
    pk_wire_str(w, &c->entry.finish_reason);
    pk_usage_wire(w, &c->entry.usage);
    pk_wire_bool(w, &c->entry.cost_known);
    pk_wire_int(w, &c->entry.cost_pusd);
    pk_wire_int(w, &c->now_us);
    pk_wire_int(w, &c->max_age_s);
}

struct vector_write {
    uint8_t key[PK_CACHE_KEY_BYTES], traits[PK_TRAITS_BYTES];
    struct pk_cache_vector vector;
    pk_str floats;
};

PK_FIELDS void wire_vector(struct pk_wire *w, struct vector_write *v)
{
    pk_wire_bytes(w, v->key, sizeof v->key);
    pk_wire_bytes(w, v->vector.gate, sizeof v->vector.gate);
    pk_wire_bytes(w, v->traits, sizeof v->traits);
    pk_wire_str(w, &v->floats);
}

PK_FIELDS void wire_progress(struct pk_wire *w, struct pk_progress_row *r)
{
    pk_wire_bytes(w, r->id, sizeof r->id);
    pk_wire_bool(w, &r->over);
    pk_wire_int(w, &r->started_us);
    pk_wire_int(w, &r->updated_us);
    pk_wire_str(w, &r->kind);
    pk_wire_str(w, &r->source);
    pk_wire_str(w, &r->query_id);
    pk_wire_str(w, &r->actor);
    pk_wire_str(w, &r->host);
    pk_wire_str(w, &r->config);
    pk_wire_int(w, &r->pid);
    pk_wire_int(w, &r->total);
    pk_wire_int(w, &r->done);
    pk_wire_int(w, &r->failed);
    pk_wire_int(w, &r->in_flight);
    pk_wire_int(w, &r->cost_pusd);
}

static void begin(struct pk_buf *out, enum kind kind)
{
    struct pk_wire w = pk_wire_to(out);

    (void)wire_head(&w, kind);
    (void)pk_wire_end(&w);
}

void pk_journal_record(struct pk_buf *out, struct pk_record *r)
{
    begin(out, RECORD);
    pk_record_encode(r, out);
}

void pk_journal_repeat(struct pk_buf *out, struct pk_record *r, pk_str rest)
{
    begin(out, RECORD);
    pk_record_encode_repeat(r, rest, out);
}

void pk_journal_cache(struct pk_buf *out, const uint8_t key[PK_CACHE_KEY_BYTES],
                      const struct pk_cache_entry *entry, int64_t now_us, int64_t max_age_s)
{
    struct cache_write c = {.entry = *entry, .now_us = now_us, .max_age_s = max_age_s};

    memcpy(c.key, key, sizeof c.key);
    begin(out, CACHE);
    struct pk_wire w = pk_wire_to(out);
    wire_cache(&w, &c);
    (void)pk_wire_end(&w);
}

void pk_journal_vector(struct pk_buf *out, const uint8_t key[PK_CACHE_KEY_BYTES],
                       const struct pk_cache_vector *vector)
{
    struct vector_write v = {
        .vector = *vector,
        .floats = {(const char *)vector->at, (size_t)vector->dims * sizeof *vector->at}};

    memcpy(v.key, key, sizeof v.key);
    pk_traits_pack(&vector->traits, v.traits);
    begin(out, VECTOR);
    struct pk_wire w = pk_wire_to(out);
    wire_vector(&w, &v);
    (void)pk_wire_end(&w);
}

void pk_journal_feedback(struct pk_buf *out, const struct pk_feedback *f)
{
    struct pk_feedback copy = *f;

    begin(out, FEEDBACK);
    struct pk_wire w = pk_wire_to(out);
    pk_feedback_wire(&w, &copy);
    (void)pk_wire_end(&w);
}

void pk_journal_progress(struct pk_buf *out, const struct pk_progress_row *r)
{
    struct pk_progress_row copy = *r;

    begin(out, PROGRESS);
    struct pk_wire w = pk_wire_to(out);
    wire_progress(&w, &copy);
    (void)pk_wire_end(&w);
}

static bool damaged(struct pk_error *err)
{
    (void)pk_fail(err, PK_STORE, "journal: an entry is damaged or of another version");
    err->retryable = false; /* whatever the store is like */
    return false;
}

static bool apply_record(struct pk_store *s, pk_str bytes, struct pk_error *err)
{
    struct pk_record_room room;
    struct pk_record r;
    pk_str rest;
    bool taken;

    if (!pk_record_decode_front(bytes, &r, &rest))
        return damaged(err);
    if (!pk_store_repeats(s, &r, rest, &taken, err))
        return false;
    if (taken)
        return true;
    return pk_record_decode(bytes, &r, &room) ? pk_store_record_add_from(s, &r, rest, err)
                                              : damaged(err);
}

static bool apply_cache(struct pk_store *s, pk_str bytes, struct pk_error *err)
{
    struct pk_wire w = pk_wire_from(bytes);
    struct cache_write c = {0};

    wire_cache(&w, &c);
    if (!pk_wire_end(&w) || c.now_us < 0 || c.max_age_s < 0)
        return damaged(err);
    return pk_store_cache_put(s, c.key, &c.entry, c.now_us, c.max_age_s, err) &&
           pk_store_cache_trim(s, c.now_us, err);
}

static bool apply_vector(struct pk_store *s, pk_str bytes, struct pk_error *err)
{
    float floats[PK_EMBEDDING_DIMS_MAX];
    struct pk_wire w = pk_wire_from(bytes);
    struct vector_write v = {0};

    wire_vector(&w, &v);
    if (!pk_wire_end(&w) || v.floats.len == 0 || v.floats.len > sizeof floats ||
        v.floats.len % sizeof *floats)
        return damaged(err);
    memcpy(floats, v.floats.at, v.floats.len); /* where they may be read as floats */
    v.vector.at = floats;
    v.vector.dims = (int)(v.floats.len / sizeof *floats);
    v.vector.traits = pk_traits_unpack(v.traits);
    return pk_store_near_put(s, v.key, &v.vector, err);
}

static bool apply_feedback(struct pk_store *s, pk_str bytes, struct pk_error *err)
{
    struct pk_wire w = pk_wire_from(bytes);
    struct pk_feedback f = {0};

    pk_feedback_wire(&w, &f);
    return pk_wire_end(&w) ? pk_store_feedback_add(s, &f, err) : damaged(err);
}

static bool apply_progress(struct pk_store *s, pk_str bytes, struct pk_error *err)
{
    struct pk_wire w = pk_wire_from(bytes);
    struct pk_progress_row r = {0};

    wire_progress(&w, &r);
    return pk_wire_end(&w) ? pk_store_progress_put(s, &r, err) : damaged(err);
}

bool pk_journal_apply(struct pk_store *s, pk_str entry, struct pk_error *err)
{
    struct pk_wire w = pk_wire_from(entry);
    enum kind kind = wire_head(&w, RECORD);
    pk_str bytes = pk_wire_left(&w);

    if (w.failed)
        return damaged(err);
    switch (kind) {
    case RECORD: return apply_record(s, bytes, err);
    case CACHE: return apply_cache(s, bytes, err);
    case FEEDBACK: return apply_feedback(s, bytes, err);
    case VECTOR: return apply_vector(s, bytes, err);
    case PROGRESS: return apply_progress(s, bytes, err);
    }
    return damaged(err);
}
