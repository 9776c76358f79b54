/* hot.h - entries of the cache that were read a moment ago, for questions that many ask at once.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A thread reads an entry from the store at most every PKD_HOT_MS, however often it is asked for. A purge, and
 * what another process writes, is seen that much later.
 *
 * An entry knows the request that it answered last, as it came, and what the log says of that. One that
 * equals it in every byte is answered with no more than that (client_hot.c). Such a request holds the
 * client's credentials: it is wiped when its time is over.
 */
#ifndef PKD_HOT_H
#define PKD_HOT_H

#include "call.h"

enum {
    PKD_HOT_MS = 2,
    PKD_HOT_ENTRIES = 64,
    PKD_HOT_BYTES_MAX = 16 << 10, /* of an entry that is kept */
    PKD_HOT_ASKED_BYTES_MAX =
        64 << 10, /* of a request, what it is told, and what is logged of it */
    PKD_HOT_PLACES = 256,
};

/* All of a request that decides how it is answered. */
struct pkd_asked {
    const struct pk_operation *operation;
    int64_t keys_epoch;                /* of the API keys, by which it was let in */
    pk_str path, query, headers, body; /* as they came */
};

struct pkd_hot {
    struct pkd_hot_entry {
        uint8_t key[PK_CACHE_KEY_BYTES];
        unsigned number;   /* of this reading of it */
        int64_t max_age_s; /* as which it was asked for */
        int64_t until_ms;  /* 0: there is none */
        struct pk_cache_entry entry;
        char *text; /* PKD_HOT_BYTES_MAX, that its strings are in */

        int64_t asked_until_ms; /* 0: what was asked is not kept */
        uint64_t asked_hash;
        struct pkd_asked asked;
        struct pk_record record; /* without ids and times */
        pk_str rest;             /* its bytes behind those (record.h) */
        pk_str told;             /* JSON, or a whole */
        bool stream;
        char *question; /* one block, of question_size, that these have their strings in */
        size_t question_size;
    } entries[PKD_HOT_ENTRIES];
    unsigned readings;
    uint8_t places[PKD_HOT_PLACES]; /* by the hash of what was asked: where its entry may be */
    int64_t wipe_ms;                /* when the next question is to be wiped; 0: there is none */
};

/* Zeroed at first. */
void pkd_hot_free(struct pkd_hot *h);
void pkd_hot_expire(struct pkd_hot *h); /* forgets all */
/* Wipes what is over. Returns when to call again; INT64_MAX: there is nothing to wipe. */
int64_t pkd_hot_sweep(struct pkd_hot *h);

/* An entry that the store gave at most PKD_HOT_MS ago; its strings are in `arena`. Its number; 0: there is none. */
unsigned pkd_hot_find(const struct pkd_hot *h, const uint8_t key[PK_CACHE_KEY_BYTES],
                      int64_t max_age_s, struct pk_arena *arena, struct pk_cache_entry *entry);
/* Keeps a copy of what the store gave just now. */
void pkd_hot_keep(struct pkd_hot *h, const uint8_t key[PK_CACHE_KEY_BYTES], int64_t max_age_s,
                  const struct pk_cache_entry *entry);

/* What was made of an entry. */
struct pkd_hot_answer {
    unsigned number; /* of the entry */
    pk_str told;     /* to the client: JSON, or a whole */
    bool stream;
    pk_str record; /* encoded (record.h); it has no lists */
    int64_t until_ms;
};

/* What the entry under `key` was asked, if it is there, and what was answered. Kept until answer->until_ms, and no longer
 * than the entry. */
void pkd_hot_note(struct pkd_hot *h, const uint8_t key[PK_CACHE_KEY_BYTES],
                  const struct pkd_asked *asked, const struct pkd_hot_answer *answer);
/* The entry that was asked the same; NULL: there is none. Until the next call of another function of this file. */
const struct pkd_hot_entry *pkd_hot_asked(const struct pkd_hot *h, const struct pkd_asked *asked);

#endif
