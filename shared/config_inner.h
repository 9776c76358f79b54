/* config_inner.h - a config document while it is read.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each object kind has a table of its members (config_members.c); one loop walks the members of the
 * document and looks each up (config_read.c), so that what the tables do not list is an error.
 */
#ifndef PK_CONFIG_INNER_H
#define PK_CONFIG_INNER_H

#include "condition.h"
#include "config.h"
#include "sticky.h"

enum { PK_WEIGHT_SCALE = 1000 }; /* a weight of 1 */

/* What a target is made of and an inner node hands down. */
struct pk_settings {
    pk_str provider, virtual_key, api_key;
    bool by_slug;                   /* virtual_key was given as "@slug" */
    struct pk_target_fields fields; /* of that provider */
    pk_str custom_host;
    struct pk_params params;
    struct pk_retry retry;
    struct pk_timeouts timeouts;
    struct pk_cache_policy cache;
    struct pk_breaker breaker;
    struct pk_statuses breaker_statuses;
    pk_str forward[PK_FORWARD_MAX];
    int forward_count;
    struct pk_privacy privacy;
    struct pk_guards *guards[2]; /* by phase */
    bool native;
    bool strict_params;
};

/* One node of the document while its members are read. */
struct pk_draft {
    struct pk_settings set;
    pk_str name;
    pk_str provider, virtual_key, api_key; /* its own, not what it inherits */
    bool by_slug;
    struct pk_target_fields fields; /* the same */
    uint32_t weight;
    enum pk_strategy strategy;
    enum pk_balance by;
    struct pk_statuses on_statuses;
    struct pk_conditional *conditional; /* NULL: no conditions, no default */
    struct pk_sticky *sticky;           /* NULL: not sticky */
    bool has_strategy, has_balance, has_breaker;
    struct pk_guards *guards[2]; /* its own, which replace what it inherits */
    int targets;                 /* value of "targets", or -1 */
};

struct pk_config_reader {
    struct pk_arena *arena;
    struct pk_json doc;
    struct pk_config *config;
    struct pk_error *err;
    char path[192];    /* of the object being read: "", "targets[1].retry" */
    pk_str api_key_at; /* as in struct pk_config: a guardrail may hold one too */
    bool stored;       /* a stored guardrail is read: what an administrator may say is allowed */
};

/* A member that an object may have. `into` is what the object is read into. */
struct pk_config_member {
    const char *name; /* in snake_case; camelCase is accepted too */
    bool (*read)(struct pk_config_reader *p, int value, void *into);
};

/* The members of a node, read into a struct pk_draft. */
extern const struct pk_config_member pk_config_members[];

/* An object's members come from one or more tables, the first that has a name counts. */
struct pk_config_table {
    const struct pk_config_member *members;
    void *into;
    uint64_t seen; /* which of them were there */
};
/* Those of them that say whom to call, for whatever else may be called; config_cache.c reads the cache's. */
typedef bool pk_config_read_fn(struct pk_config_reader *p, int value, void *draft);
pk_config_read_fn pk_config_read_provider, pk_config_read_virtual_key, pk_config_read_api_key,
    pk_config_read_custom_host, pk_config_read_request_timeout, pk_config_read_cache;

/* The list with room for one item more: it doubles whenever it is full. NULL: no memory; the error names
 * `name`. */
void *pk_config_room(struct pk_config_reader *p, void *list, int count, size_t size,
                     const char *name);

/* config_field.c: members that only some providers take, read into a draft, under both of their names. */
extern const struct pk_config_member pk_config_fields[], pk_config_other_fields[];
void pk_draft_settle_fields(struct pk_draft *d);
bool pk_draft_has_secret(const struct pk_draft *d); /* among its own */
/* Whether the provider takes what the settled draft gives. */
bool pk_config_check_fields(struct pk_config_reader *p, const struct pk_draft *d);
/* Gives them to the target: the secret ones as its key. */
bool pk_config_place_fields(struct pk_config_reader *p, const struct pk_draft *d,
                            struct pk_target *t);

/* What a settled draft says about whom to call, with its path. */
bool pk_config_make_target(struct pk_config_reader *p, const struct pk_draft *d,
                           struct pk_target *t);

/* Gives a target the provider of that name, or, if pk's own table has none, the name alone. */
void pk_config_name_provider(struct pk_target *t, pk_str name);

/* A node that says whom to call drops what it inherited about that. */
void pk_draft_settle(struct pk_draft *d);

/* config_strategy.c: members of a node. */
bool pk_config_read_strategy(struct pk_config_reader *p, int value, void *into);
bool pk_config_read_breaker(struct pk_config_reader *p, int value, void *into);

/* config_condition.c: members of a strategy, read into a draft; and, once the children of node `self` are
 * there, the nodes that `then` and `default` name. */
bool pk_config_read_conditions(struct pk_config_reader *p, int value, void *into);
bool pk_config_read_default(struct pk_config_reader *p, int value, void *into);
bool pk_config_link_conditions(struct pk_config_reader *p, struct pk_conditional *rule, int self);

/* "PATH.NAME: what is wrong", PK_BAD_CONFIG. An empty name means the object itself. */
bool pk_config_fail(struct pk_config_reader *p, const char *name, const char *fmt, ...)
    PK_PRINTF(3, 4);

/* Whether `key` spells `snake`, in snake_case or camelCase. */
bool pk_config_spells(pk_str key, const char *snake);

/* Reads every member of an object by its table or tables; the last form descends into the member `name`. */
bool pk_config_read_object(struct pk_config_reader *p, int object,
                           const struct pk_config_member *members, void *into);
bool pk_config_read_tables(struct pk_config_reader *p, int object, struct pk_config_table *tables,
                           int count);
bool pk_config_read_member(struct pk_config_reader *p, const char *name, int value,
                           const struct pk_config_member *members, void *into);

/* Reads the member whose key is the node `key`; *known is false when no table has it. */
bool pk_config_read_key(struct pk_config_reader *p, int key, struct pk_config_table *tables,
                        int count, bool *known);
/* Goes on inside a part of the object ("checks[2]"), and back to the length that it returned. */
size_t pk_config_enter(struct pk_config_reader *p, const char *fmt, ...) PK_PRINTF(2, 3);
void pk_config_leave(struct pk_config_reader *p, size_t len);

/* Values; the error names the member. Strings are copied into the arena and have 1 to `max` bytes. */
bool pk_config_read_text(struct pk_config_reader *p, const char *name, int value, size_t max,
                         pk_str *out);
bool pk_config_read_bool(struct pk_config_reader *p, const char *name, int value, bool *out);
bool pk_config_read_int(struct pk_config_reader *p, const char *name, int value, int64_t max,
                        int64_t *out);
bool pk_config_read_statuses(struct pk_config_reader *p, const char *name, int value,
                             struct pk_statuses *out);
bool pk_config_read_duration(struct pk_config_reader *p, const char *name, int value, int64_t *ms);

#endif
