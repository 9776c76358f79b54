/* hot.c - see hot.h. Keys are hashes: their first byte says where an entry is.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "hot.h"

#include "secret.h"
#include "xfer.h"

#include <stdlib.h>
#include <string.h>

enum { PARTS = 4, LANES = 4 };

/* --- questions ----------------------------------------------------------------------------- */

static void forget_question(struct pkd_hot_entry *e)
{
    if (e->question)
        pk_secret_wipe(e->question, e->question_size);
    free(e->question);
    e->question = NULL;
    e->question_size = 0;
    e->asked_until_ms = 0;
}

int64_t pkd_hot_sweep(struct pkd_hot *h)
{
    int64_t now_ms = h->wipe_ms ? pk_clock_ms() : 0, next_ms = INT64_MAX;

    if (h->wipe_ms == 0 || now_ms < h->wipe_ms)
        return h->wipe_ms ? h->wipe_ms : INT64_MAX;
    for (int i = 0; i < PKD_HOT_ENTRIES; i++) {
        struct pkd_hot_entry *e = &h->entries[i];

        if (e->question && e->asked_until_ms <= now_ms)
            forget_question(e);
        else if (e->question && e->asked_until_ms < next_ms)
            next_ms = e->asked_until_ms;
    }
    h->wipe_ms = next_ms == INT64_MAX ? 0 : next_ms;
    return next_ms;
}

static uint64_t stir(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

/* In lanes that do not wait for each other. */
static uint64_t mix(uint64_t hash, pk_str s)
{
    uint64_t words[LANES], lanes[LANES] = {1, 2, 3, 4};

    for (; s.len >= sizeof words; s = (pk_str){s.at + sizeof words, s.len - sizeof words}) {
        memcpy(words, s.at, sizeof words);
        for (int i = 0; i < LANES; i++)
            lanes[i] = stir(lanes[i], words[i]);
    }
    for (int i = 0; i < LANES; i++)
        hash = stir(hash, lanes[i]);
    return stir(hash, pk_str_fnv(s));
}

/* Which of two are told apart by it does not matter: they are compared. */
static uint64_t hash_of(const struct pkd_asked *a)
{
    uint64_t hash = mix(mix(a->headers.len, a->headers), a->body);

    return hash ^ hash >> 32;
}

static bool equal(const struct pkd_asked *a, const struct pkd_asked *b)
{
    return a->operation == b->operation && a->keys_epoch == b->keys_epoch &&
           pk_str_eq(a->path, b->path) && pk_str_eq(a->query, b->query) &&
           pk_str_eq(a->headers, b->headers) && pk_str_eq(a->body, b->body);
}

const struct pkd_hot_entry *pkd_hot_asked(const struct pkd_hot *h, const struct pkd_asked *asked)
{
    uint64_t hash;

    if (h->wipe_ms == 0)
        return NULL;
    hash = hash_of(asked);
    const struct pkd_hot_entry *e = &h->entries[h->places[hash % PKD_HOT_PLACES]];
    if (e->asked_until_ms == 0 || e->asked_hash != hash || !equal(&e->asked, asked))
        return NULL;
    return pk_clock_ms() < e->asked_until_ms ? e : NULL;
}

/* --- entries ------------------------------------------------------------------------------- */

static void forget(struct pkd_hot_entry *e)
{
    e->until_ms = 0;
    forget_question(e);
}

void pkd_hot_free(struct pkd_hot *h)
{
    for (int i = 0; i < PKD_HOT_ENTRIES; i++) {
        forget(&h->entries[i]);
        free(h->entries[i].text);
    }
    *h = (struct pkd_hot){0};
}

void pkd_hot_expire(struct pkd_hot *h)
{
    for (int i = 0; i < PKD_HOT_ENTRIES; i++)
        forget(&h->entries[i]);
    h->wipe_ms = 0;
}

static struct pkd_hot_entry *place_of(struct pkd_hot *h, const uint8_t key[PK_CACHE_KEY_BYTES])
{
    return &h->entries[key[0] % PKD_HOT_ENTRIES];
}

static bool is_there(const struct pkd_hot_entry *e, const uint8_t key[PK_CACHE_KEY_BYTES])
{
    return e->until_ms && memcmp(e->key, key, sizeof e->key) == 0 && pk_clock_ms() < e->until_ms;
}

unsigned pkd_hot_find(const struct pkd_hot *h, const uint8_t key[PK_CACHE_KEY_BYTES],
                      int64_t max_age_s, struct pk_arena *arena, struct pk_cache_entry *entry)
{
    const struct pkd_hot_entry *e = &h->entries[key[0] % PKD_HOT_ENTRIES];

    if (e->max_age_s != max_age_s || !is_there(e, key))
        return 0;
    *entry = e->entry;
    pk_str *const texts[] = {&entry->body, &entry->provider, &entry->model, &entry->finish_reason};
    for (size_t i = 0; i < PK_COUNT(texts); i++)
        *texts[i] = pk_copy(arena, *texts[i]);
    return arena->failed ? 0 : e->number;
}

/* A copy at *at, which moves behind it. */
static pk_str put(char **at, pk_str s)
{
    pk_str copy = {*at, s.len};

    if (s.len)
        memcpy(*at, s.at, s.len);
    *at += s.len;
    return copy;
}

void pkd_hot_keep(struct pkd_hot *h, const uint8_t key[PK_CACHE_KEY_BYTES], int64_t max_age_s,
                  const struct pk_cache_entry *entry)
{
    struct pkd_hot_entry *e = place_of(h, key);
    struct pk_cache_entry *kept = &e->entry;
    pk_str *const texts[] = {&kept->body, &kept->provider, &kept->model, &kept->finish_reason};
    size_t len = 0;

    forget(e);
    if (!e->text)
        e->text = malloc(PKD_HOT_BYTES_MAX);
    if (!e->text)
        return;
    *kept = *entry;
    for (size_t i = 0; i < PK_COUNT(texts); i++) {
        if (texts[i]->len > PKD_HOT_BYTES_MAX - len)
            return;
        len += texts[i]->len;
    }
    char *at = e->text;
    for (size_t i = 0; i < PK_COUNT(texts); i++)
        *texts[i] = put(&at, *texts[i]);
    memcpy(e->key, key, sizeof e->key);
    h->readings++;
    e->number = h->readings ? h->readings : 1;
    e->max_age_s = max_age_s;
    e->until_ms = pk_clock_ms() + PKD_HOT_MS;
}

static bool read_record(struct pkd_hot_entry *e, pk_str encoded)
{
    struct pk_record_room room;

    if (!pk_record_decode_front(encoded, &e->record, &e->rest) ||
        !pk_record_decode(encoded, &e->record, &room))
        return false;
    PK_ASSERT(e->record.span_count == 0 && e->record.outcome_count == 0 &&
              e->record.feedback_count == 0 && e->record.holds.count == 0);
    e->record.spans = NULL;
    e->record.outcomes = NULL;
    e->record.feedback = NULL;
    e->record.holds.rows = NULL;
    return true;
}

void pkd_hot_note(struct pkd_hot *h, const uint8_t key[PK_CACHE_KEY_BYTES],
                  const struct pkd_asked *asked, const struct pkd_hot_answer *answer)
{
    const pk_str given[PARTS] = {asked->path, asked->query, asked->headers, asked->body};
    struct pkd_hot_entry *e = place_of(h, key);
    size_t len = answer->told.len + answer->record.len;

    for (int i = 0; i < PARTS; i++)
        len += given[i].len;
    if (!is_there(e, key) || e->number != answer->number || len > PKD_HOT_ASKED_BYTES_MAX)
        return;
    forget_question(e);
    e->question = malloc(len);
    if (!e->question)
        return;
    e->question_size = len;
    char *at = e->question;
    pk_str *const kept[PARTS] = {&e->asked.path, &e->asked.query, &e->asked.headers,
                                 &e->asked.body};
    e->asked = *asked;
    for (int i = 0; i < PARTS; i++)
        *kept[i] = put(&at, given[i]);
    e->told = put(&at, answer->told);
    e->stream = answer->stream;
    if (!read_record(e, put(&at, answer->record))) {
        forget_question(e);
        return;
    }
    e->asked_hash = hash_of(&e->asked);
    e->asked_until_ms = answer->until_ms < e->until_ms ? answer->until_ms : e->until_ms;
    h->places[e->asked_hash % PKD_HOT_PLACES] = (uint8_t)(e - h->entries);
    if (h->wipe_ms == 0 || e->asked_until_ms < h->wipe_ms)
        h->wipe_ms = e->asked_until_ms;
}
