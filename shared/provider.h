/* provider.h - who answers: address, key style and quirks of each provider, as rows.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * How the provider's API is spelled is its dialect (dialect.h). A provider that only
 * differs from another in these columns is one more row in providers.def.
 */
#ifndef PK_PROVIDER_H
#define PK_PROVIDER_H

#include "dialect.h"

struct pk_provider {
    const char *name;
    const struct pk_dialect *dialect;
    const char *base_url;   /* without a trailing slash; empty: the config must give custom_host */
    const char *key_header; /* header name and what precedes the key: "authorization: Bearer " */
    const char *key_env;    /* environment variable that holds the key by custom; empty: no key */
    const char *rejects;    /* body fields that it refuses, blank separated: dropped and reported */
    const char *renames;    /* body fields that it spells otherwise: "from=to", blank separated */
    bool stream_usage;      /* takes stream_options.include_usage */
    const char *headers;    /* sent with every request: "name: value\n" lines, or "" */
    bool responses;         /* has the Responses API; others are asked for a chat in its place */
    const char *operations; /* beside raw ones, blank separated; NULL: those of its dialect */
    const char *host_path;  /* what follows a custom_host without a version: "/v1"; NULL: nothing */
    bool developer;         /* knows the role "developer"; to the others it is "system" */
    bool short_ids;         /* tool calls have ids of nine letters and digits */
    bool batches;           /* takes many requests at once, for half the price (docs/queue.md) */
    bool own;               /* put by an administrator: it lives as long as what it was read into */
};

/* One of pk's own table; NULL when there is none of that name. Accepts "@name" too, as newer Portkey configs
 * spell it, and some names that others use. */
const struct pk_provider *pk_provider_find(pk_str name);
const struct pk_provider *pk_provider_at(int i); /* NULL behind the last */
/* Whether it has an operation of that name (operations.def), as far as the provider's row tells. */
bool pk_provider_has(const struct pk_provider *provider, const char *operation);
/* The dialect in which the provider is asked for `model` by a client that speaks `front`: the front's own where
 * the provider has it, so that nothing needs a translation. */
const struct pk_dialect *pk_provider_back(const struct pk_provider *provider,
                                          const struct pk_dialect *front, pk_str model);
/* Appends the names of all as a JSON array. */
void pk_provider_names(struct pk_buf *out);

enum {
    PK_PROVIDER_REJECTS_MAX = 64,
    PK_PROVIDER_RENAMES_MAX = 16,
    PK_PROVIDER_HEADERS_MAX = 16,
};

/* Reads what an administrator says of a provider, a JSON object: base_url; and, if wanted, dialect (openai),
 * key_header (authorization: Bearer), key_env, rejects, renames, headers, developer_role and batch_api (false),
 * and stream_usage (true where the dialect is OpenAI's). Strict: PK_BAD_REQUEST names the member. All of *p lives in `arena`. */
bool pk_provider_read(struct pk_arena *arena, pk_str name, pk_str options, struct pk_provider *p,
                      struct pk_error *err) PK_MUST_CHECK;
/* Appends a provider as that object, with every member. */
void pk_provider_print(struct pk_buf *out, const struct pk_provider *p);
/* Appends all of pk's own table as one object, by name. */
void pk_provider_table(struct pk_buf *out);

#endif
