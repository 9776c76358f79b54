/* config.h - a config document, parsed, checked and with inheritance resolved.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The document is Portkey's config JSON, in snake_case or camelCase. Strict: an unknown or
 * misplaced key, a wrong type and a number out of range are errors that name the path
 * ("targets[1].retry.attempts: must be 0..5").
 *
 * Parsing knows no store: a target that names a virtual key, or a provider that is not in pk's
 * own table, has no provider yet. The host looks them up and calls pk_config_bind() or
 * pk_config_provide(); pk_config_ready() then says whether every target can be called. After that the config never changes and any number of calls share it.
 */
#ifndef PK_CONFIG_H
#define PK_CONFIG_H

#include "arena.h"
#include "circuit.h"
#include "figure.h"
#include "guard.h"
#include "json.h"
#include "models.h"
#include "params.h"
#include "privacy.h"
#include "provider.h"
#include "route.h"
#include "target_field.h"
#include "url.h"

struct pk_retry {
    int attempts;                   /* extra tries after the first, 0..PK_RETRIES_MAX */
    struct pk_statuses on_statuses; /* not given: 429 500 502 503 504 529 and transport failures */
    bool use_retry_after;           /* default true */
};

/* 0 = none. */
struct pk_timeouts {
    int64_t request_ms; /* an attempt, until its head (stream) or its end (JSON) */
    int64_t ttft_ms;    /* an attempt, until the first byte of the answer's body */
    int64_t idle_ms;    /* between two reads of a stream */
};

enum pk_cache_mode { PK_CACHE_OFF, PK_CACHE_SIMPLE, PK_CACHE_SEMANTIC };

struct pk_cache_policy {
    enum pk_cache_mode mode;
    int64_t max_age_s;
    pk_str ns;        /* namespace; empty = none */
    double threshold; /* semantic: how near is near enough, a cosine */
    int embedder;     /* semantic: which of the config's; -1 = the built-in one (lexical.h) */
};

enum pk_key_kind {
    PK_KEY_NONE,    /* the target needs none */
    PK_KEY_LITERAL, /* given in the config or the request itself */
    PK_KEY_ENV,     /* the value of an environment variable */
    PK_KEY_FILE,    /* the first line of a file */
    PK_KEY_SEALED,  /* ciphertext from the store (secret.h) */
};

/* A provider key by reference. Only the transport opens it (secret.h), and sends it to `origin`
 * alone when that is given. */
struct pk_key {
    enum pk_key_kind kind;
    pk_str slug;   /* of the virtual key; part of what the seal is bound to */
    pk_str value;  /* the literal, variable name, path, or sealed bytes */
    pk_str origin; /* base URL that the key belongs to; empty for a literal */
};

struct pk_target {
    pk_str name; /* as the config names it, or empty */
    pk_str path; /* where it stands: "config.targets[1]" */
    int node;    /* its leaf in the route */
    pk_str virtual_key;
    bool by_slug; /* named as "@slug": a virtual key's, or else a provider's */
    pk_str
        slug; /* of "@slug" that names one of pk's own providers too; a virtual key counts first */
    pk_str provider_name; /* of a provider that is not in pk's own table; empty: it is */
    pk_str dead;          /* why the virtual key opens nothing; empty: it does */
    const struct pk_provider *provider;    /* NULL until bound, when the store gives it */
    const struct pk_target_fields *fields; /* NULL: none; the secret ones are in `key` */
    pk_str custom_host; /* base URL from the config; empty = the provider's own */
    pk_str base_url;    /* what is called, without a trailing slash */
    pk_str own_url;     /* the provider's own base URL, for these fields; empty: not known */
    pk_str url_path, url_query; /* what place.h puts around the dialect's path */
    const char *key_header;     /* in place of the provider's; NULL: that */
    struct pk_key key;
    pk_str key_url;          /* its origin with these fields in it; empty: as it stands */
    struct pk_models models; /* of the virtual key */
    struct pk_params params; /* inherited ones merged in */
    struct pk_retry retry;
    struct pk_timeouts timeouts;
    struct pk_cache_policy cache;
    struct pk_breaker breaker;
    struct pk_statuses breaker_statuses; /* failures for the breaker; not given = see circuit.h */
    pk_str forward[PK_FORWARD_MAX];      /* client headers to pass on */
    int forward_count;
    struct pk_privacy privacy;         /* what the log may hold of calls to it */
    const struct pk_guards *guards[2]; /* by phase; NULL: none */
    bool native; /* the client reads what is not OpenAI's: hook_results in a stream */
    bool
        strict_params; /* a field that it cannot take is an error, instead of being dropped and reported */
};

struct pk_conditional;
struct pk_sticky;
/* Who turns texts into vectors, for the semantic cache. */
struct pk_embedder {
    struct pk_target target; /* the provider, key and host; no route leads there */
    pk_str model;
    int64_t dimensions; /* to ask for; 0 = as many as the model has */
};

struct pk_config {
    struct pk_route route;
    const struct pk_conditional *conditional[PK_NODES_MAX]; /* by node; NULL for the others */
    const struct pk_sticky *sticky[PK_NODES_MAX];
    struct pk_target *targets;
    int target_count;
    struct pk_guards *guards; /* every list that a target has, once each */
    struct pk_embedder *embedders;
    int embedder_count;
    pk_str api_key_at; /* which node gives an api_key, "config.targets[0]"; empty = none does */
    pk_str slug;       /* set by the host for a stored config; goes to the log */
    int64_t version;
    pk_str
        circuit; /* set by the host: the name under which circuits are counted; empty: they are not */
    uint64_t open;                    /* set by the host: bit n: the circuit of leaf n is open */
    const struct pk_figures *figures; /* set by the host; NULL: nothing is known */
};

/* Whether some target has a circuit breaker; whether some loadbalance goes by figures. */
bool pk_config_has_breaker(const struct pk_config *config);
bool pk_config_needs_figures(const struct pk_config *config);

/* Whether calls can go through a batch API of one of its providers, or of this one: PK_BAD_REQUEST says why not. */
bool pk_config_batches(const struct pk_config *config, struct pk_error *err) PK_MUST_CHECK;
bool pk_config_provider_batches(const struct pk_provider *p, struct pk_error *err) PK_MUST_CHECK;

/* All strings of *config live in `arena`; `text` may go. */
bool pk_config_parse(struct pk_arena *arena, pk_str text, struct pk_config *config,
                     struct pk_error *err) PK_MUST_CHECK;

/* Gives every semantic cache without an embedder the one that `otherwise` names: an object as in a config, or
 * the slug of a provider or virtual key. Empty: they keep the built-in one.
 * Before binding. */
bool pk_config_embed(struct pk_arena *arena, pk_str otherwise, struct pk_config *config,
                     struct pk_error *err) PK_MUST_CHECK;

/* Gives a target what its virtual key says: the provider, the key, and the key's own
 * custom_host (empty: the provider's base URL). A custom_host in the config that is not at the
 * key's origin is PK_HOST_DENIED: a stored key goes only to the host that it was stored with. */
bool pk_config_bind(struct pk_target *t, const struct pk_provider *provider, struct pk_key key,
                    pk_str key_host, struct pk_error *err) PK_MUST_CHECK;

/* Gives a target the provider that it names. */
void pk_config_provide(struct pk_target *t, const struct pk_provider *provider);
/* PK_BAD_CONFIG: it names one that is not there. False. */
bool pk_config_unknown_provider(const struct pk_target *t, struct pk_error *err);

/* A target without a key of its own gets the one in the environment, if it goes to the provider's own
 * address: that key is nobody else's. Whether the variable is set is seen when the key is opened. */
void pk_config_use_environment(struct pk_target *t);

/* Whether every target and embedder has a provider and a base URL, and every embedder a model, the usual one of
 * its provider when it names none; the error names the first that has not. */
bool pk_config_ready(struct pk_config *config, struct pk_error *err) PK_MUST_CHECK;
bool pk_embedder_ready(struct pk_embedder *e, struct pk_error *err) PK_MUST_CHECK;

/* Whether the document holds a literal api_key, in use or not, which must not be stored; *path names it. */
bool pk_config_has_literal_key(const struct pk_config *config, pk_str *path);

/* "250ms", "30s", 45 (a number under 1000: seconds), 45000 (milliseconds). */
bool pk_config_duration_ms(const struct pk_json *doc, int value, int64_t *ms);

#endif
