/* store.h - the relations of pk, on either database engine.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Below: an engine executes the named statements of sql/statements.sql (struct pk_store_ops);
 * store_sqlite.c is one, ext-pg/store_spi.c another. There is no SQL text in C. Above: the
 * verbs, written once over those statements. Only hosts call them; the machine never does.
 *
 * Times are microseconds since 1970 UTC, money is pico-USD, ids are UUIDv7.
 */
#ifndef PK_STORE_H
#define PK_STORE_H

#include "call.h"
#include "payload.h"
#include "secret.h"

/* PK_SQL_cache_get, ...: one a block of sql/statements.sql, in its order. `types` has a letter for each
 * parameter, for engines that must know it (a NULL has no type): i bigint, t text, b blob,
 * u uuid (16 bytes), l boolean (0 or 1), d double. */
enum pk_stmt {
#define STATEMENT(name, types, sqlite_text, postgres_text) PK_SQL_##name,
#include "statements.def"
#undef STATEMENT
    PK_STMT_COUNT
};

enum pk_value_type { PK_V_NULL, PK_V_INT, PK_V_REAL, PK_V_TEXT, PK_V_BLOB };

struct pk_value {
    enum pk_value_type type;
    int64_t i;
    double r;
    pk_str s; /* text and blob; from a row: borrowed during the row function */
};

/* Called for each row; false stops the statement without an error. */
typedef bool pk_row_fn(void *ctx, const struct pk_value *columns, int count);

struct pk_store;

enum { PK_ACTOR_BYTES = 160 };

struct pk_store_ops {
    /* Executes one statement with its $1..$n. `on_row` may be NULL. The error is retryable unless these arguments
     * will never do. */
    bool (*exec)(struct pk_store *s, enum pk_stmt stmt, const struct pk_value *args, int count,
                 pk_row_fn *on_row, void *ctx, struct pk_error *err);
    /* begin inside begin only counts: the outer end decides about all, and cannot keep what an inner end
     * undid. An engine whose caller owns the transaction may let all of them do nothing. */
    bool (*begin)(struct pk_store *s, struct pk_error *err);
    bool (*end)(struct pk_store *s, bool commit, struct pk_error *err);
    void (*close)(struct pk_store *s);
    /* Runs the predicate of a stored guardrail, which may only read, for at most its time: *truth as
     * PK_EV_ROW has it. `truth` NULL: only checks that it could be run. */
    bool (*predicate)(struct pk_store *s, const struct pk_guard_query *q, int *truth,
                      struct pk_error *err);
    /* Gives at most `max` unused pages back to the file system, *pages says how many; some stay, for what
     * comes next. NULL: not the engine's way. */
    bool (*shrink)(struct pk_store *s, int max, int64_t *pages, struct pk_error *err);
    /* After many changes: copies what is in the write-ahead log to where it belongs; *behind is how many pages
     * had to stay there because of readers. NULL likewise. */
    bool (*settle)(struct pk_store *s, int64_t *behind, struct pk_error *err);
    /* From now on no commit does that by itself, which waits for the disk: the store's `logged` says when it is time
     * for settle(). NULL likewise. */
    void (*keep_log)(struct pk_store *s);
    /* How long a transaction waits for those of other processes from now on. NULL: that is not known. */
    void (*patience)(struct pk_store *s, int wait_ms);
    /* From now on a transaction that has ended is on disk. NULL: it always is. */
    bool (*durable)(struct pk_store *s, struct pk_error *err);
};

/* How large the cache may become; 0: as store_cache.h has it. */
struct pk_cache_max {
    int64_t bytes, entries;
};

/* The head of every engine's own struct, which starts zeroed. */
struct pk_store {
    const struct pk_store_ops *ops;
    struct pk_packer *packer;   /* the verbs' own */
    int64_t payload_touch_us;   /* how old the note of a payload's last use may be; 0 = a day */
    char actor[PK_ACTOR_BYTES]; /* who administers; store_audit.h */
    struct pk_cache_max cache_max;
    struct pk_settling
        *settling; /* store_group.h; whoever writes records in groups has all three */
    struct pk_packing *packing;
    struct pk_hits *hits;
    struct pk_log_rows *rows; /* store_rows.h; NULL is fine */
    unsigned untrimmed;       /* store_cache.c */
    int logged;  /* pages in the write-ahead log with the last commit, once keep_log() was called */
    bool unseen; /* the records that are written now were never tried before */
    int64_t cleaned_us; /* store_hold.h */
    bool
        remote; /* one writer does not hold up another: a process need not take turns with itself */
    /* Asked now and then while a statement runs: true ends that with PK_CANCELLED. NULL: it runs to its end. */
    bool (*stop)(void *ctx);
    void *stop_ctx;
};

void pk_store_close(struct pk_store *s); /* NULL is fine */

/* --- SQLite: store_sqlite.c ------------------------------------------------------------ */

/* Opens or makes the file `path` (":memory:" too) with WAL, its own connection, a busy
 * timeout of 5 s, mode 0600 and its folder 0700, and migrates it. Every SQLite function is called
 * through `api`, so that an extension uses the very library of the program that loaded it: two
 * copies of SQLite in one process would break each other's file locks. One thread at a time may use
 * it. After fork() the child gets PK_STORE from every verb: it closes every store that it inherited,
 * if no other thread was using that at the fork, and only then opens its own. */
struct sqlite3_api_routines;
struct pk_store *pk_store_sqlite(const struct sqlite3_api_routines *api, const char *path,
                                 struct pk_error *err) PK_MUST_CHECK;
/* The version of the schema that the file has, 0 when it is empty, and that this program works with. Makes and changes
 * nothing; a file that is no store, or cannot be opened, is the error that opening it would be. */
struct pk_schema_versions {
    int64_t there;
    int here;
};
bool pk_store_sqlite_look(const struct sqlite3_api_routines *api, const char *path,
                          struct pk_schema_versions *v, struct pk_error *err) PK_MUST_CHECK;
/* The version of the tables that the statements are about. */
int pk_store_schema_version(void);
/* The day of the price list that this program comes with: 20261127. */
int pk_store_prices_as_of(void);
/* The connection, for reading relations through virtual tables. The views call
 * pk_payload_text(encoding, bytes [, place]) and pk_provider_table(), which the host registers on it: SQLite gives a
 * function's body no way to its own library but a global, and the core has none. */
struct sqlite3;
struct sqlite3 *pk_store_sqlite_db(struct pk_store *s);

/* A store that pk_store_sqlite() makes, or the like, when it is first used. `ctx` is there as long as it is. */
struct pk_opening {
    struct pk_store *(*open)(const void *ctx, struct pk_error *err);
    const void *ctx;
};
struct pk_store *pk_store_later(const struct pk_opening *how, struct pk_error *err) PK_MUST_CHECK;

/* PK_STORE, else $XDG_DATA_HOME/pk/default.pkdb, else ~/.local/share/pk/default.pkdb. */
bool pk_store_default_path(char *out, size_t size, struct pk_error *err);

/* --- the verbs ------------------------------------------------------------------------- */

/* Grows with every change of configs, keys or prices: what was loaded before is stale. */
bool pk_store_epoch(struct pk_store *s, int64_t *epoch, struct pk_error *err) PK_MUST_CHECK;

/* The log row, its spans and payloads, in one transaction, or in the caller's (ops->begin). Writing the same id twice leaves one row. */
bool pk_store_record_add(struct pk_store *s, const struct pk_record *r,
                         struct pk_error *err) PK_MUST_CHECK;
/* The same, of one that was read from bytes that stay where they are until the group ends; `rest` is theirs (record.h). */
bool pk_store_record_add_from(struct pk_store *s, const struct pk_record *r, pk_str rest,
                              struct pk_error *err) PK_MUST_CHECK;

/* Checks the ranges; the error names the argument. */
bool pk_feedback_check(struct pk_arena *arena, const struct pk_feedback *f, struct pk_error *err);
bool pk_store_feedback_add(struct pk_store *s, const struct pk_feedback *f,
                           struct pk_error *err) PK_MUST_CHECK;

/* Whether `slug` can name something; PK_BAD_REQUEST. */
bool pk_slug_check(pk_str slug, struct pk_error *err);

/* Whether `body` is a config that may be stored: no literal api_key, and every virtual key is there. */
bool pk_store_config_check(struct pk_store *s, struct pk_arena *arena, pk_str body, int64_t now_us,
                           struct pk_error *err) PK_MUST_CHECK;
/* The same for what may be kept elsewhere in place of a config: that, or the name of a stored config, a virtual key or
 * a provider. */
bool pk_store_reference_check(struct pk_store *s, struct pk_arena *arena, pk_str reference,
                              int64_t now_us, struct pk_error *err) PK_MUST_CHECK;
/* Whether it names one of these. */
bool pk_store_reference_known(struct pk_store *s, struct pk_arena *arena, pk_str slug, bool *known,
                              struct pk_error *err) PK_MUST_CHECK;
/* Stores a checked config as the next version of `slug`. Refuses a literal api_key, an unknown
 * virtual key and a slug that is not [A-Za-z0-9][A-Za-z0-9._-]*. */
bool pk_store_config_put(struct pk_store *s, struct pk_arena *arena, pk_str slug, pk_str body,
                         int64_t now_us, int64_t *version, struct pk_error *err) PK_MUST_CHECK;
/* *body is empty when there is none. */
bool pk_store_config_get(struct pk_store *s, struct pk_arena *arena, pk_str slug, pk_str *body,
                         int64_t *version, struct pk_error *err) PK_MUST_CHECK;
bool pk_store_config_delete(struct pk_store *s, pk_str slug, int64_t now_us, bool *existed,
                            struct pk_error *err) PK_MUST_CHECK;

struct pk_virtual_key {
    pk_str slug, provider, custom_host; /* custom_host empty: the provider's own */
    struct pk_key key;
    bool active;
    int64_t expires_us; /* 0 = never */
    struct pk_models models;
    const struct pk_target_fields *fields; /* NULL: none; no secret is among them */
};

/* `options` is a JSON object or empty: custom_host, expires_at (ISO 8601), name, allowed_models and
 * denied_models (models.h), rate_limits and usage_limits (limit.h), and the fields that the provider takes
 * (target_field.h) but for the secret ones. Unknown options are errors. An existing slug is replaced. `secret` is
 * "env:NAME", "file:PATH" or the key itself, which is sealed; where a key has several parts it is an object of the
 * secret fields. */
bool pk_store_key_put(struct pk_store *s, struct pk_arena *arena, const struct pk_secrets *secrets,
                      pk_str slug, pk_str provider, pk_str secret, pk_str options, int64_t now_us,
                      struct pk_error *err) PK_MUST_CHECK;
/* Changes what `options` says and leaves the rest as it is; null takes an option away. `secret` empty: it stays, and
 * so does where it may be sent. PK_NOT_FOUND. */
struct pk_key_change {
    pk_str slug, secret, options;
    int64_t at_us;
};
bool pk_store_key_update(struct pk_store *s, struct pk_arena *arena,
                         const struct pk_secrets *secrets, const struct pk_key_change *what,
                         struct pk_error *err) PK_MUST_CHECK;
/* Another virtual key with the secret of `from`, for where that may be sent; limits, name and end are its own, as
 * `options` (of these alone) says. what->secret is not looked at. */
bool pk_store_key_copy(struct pk_store *s, struct pk_arena *arena, const struct pk_secrets *secrets,
                       pk_str from, const struct pk_key_change *what,
                       struct pk_error *err) PK_MUST_CHECK;
bool pk_store_key_rotate(struct pk_store *s, struct pk_arena *arena,
                         const struct pk_secrets *secrets, pk_str slug, pk_str secret,
                         int64_t now_us, struct pk_error *err) PK_MUST_CHECK;
bool pk_store_key_revoke(struct pk_store *s, pk_str slug, int64_t now_us, bool *existed,
                         struct pk_error *err) PK_MUST_CHECK;
bool pk_store_key_get(struct pk_store *s, struct pk_arena *arena, pk_str slug,
                      struct pk_virtual_key *key, bool *found, struct pk_error *err) PK_MUST_CHECK;

/* What is looked up when a config is bound, and until when it holds. */
struct pk_store_binding {
    struct pk_store *store;
    struct pk_arena *arena;
    int64_t now_us, until_us; /* until_us: when the first of the keys expires */
};

/* Gives a target that names a virtual key what that says. */
bool pk_store_target_bind(struct pk_store_binding *b, struct pk_target *t,
                          struct pk_error *err) PK_MUST_CHECK;

/* Binds every target that names a virtual key (pk_config_bind); *until_us is when the first of them
 * expires, INT64_MAX = never. PK_BAD_CONFIG names a key that is not there. */
bool pk_store_config_bind(struct pk_store *s, struct pk_arena *arena, struct pk_config *config,
                          int64_t now_us, int64_t *until_us, struct pk_error *err) PK_MUST_CHECK;

/* Adds the prices of a provider that *prices does not have yet; no name: puts those of all in their place. */
bool pk_store_prices_load(struct pk_store *s, struct pk_arena *arena, pk_str provider,
                          struct pk_prices *prices, struct pk_error *err) PK_MUST_CHECK;

#endif
