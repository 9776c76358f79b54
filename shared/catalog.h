/* catalog.h - what a published list says of models: what they cost, what they take and can do.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The formats, and what their numbers mean:
 *
 *   litellm       model_prices_and_context_window.json: dollars for one token (or image, second ...)
 *   portkey       pricing/PROVIDER.json of Portkey-AI/models: US cents for one. The file does not say whose it
 *                 is: `provider` does, or the files are the members of an object by provider
 *   genai-prices  data.json of pydantic/genai-prices: dollars for a million tokens, or a thousand searches
 *   pk            a list of objects with the columns of pk_prices and pk_models: dollars for a million
 *
 * Reading is strict about what it knows: a price that is no number, or below 0, is an error that names the
 * row and the field, and nothing is read. What is not for us (a provider that pk does not have, a price that
 * holds for some hours of the day) is left out and said so.
 */
#ifndef PK_CATALOG_H
#define PK_CATALOG_H

#include "json.h"

enum pk_rate {
#define RATE(name) PK_RATE_##name,
#include "rates.def"
#undef RATE
    PK_RATES
};

enum {
    PK_CATALOG_BYTES_MAX = 32 << 20, /* a list */
    PK_CATALOG_MODELS_MAX = 1 << 16,
    PK_CATALOG_TIERS_MAX = 32,  /* of a model */
    PK_CATALOG_UNITS_MAX = 128, /* of a tier */
    PK_CAPABILITIES_BYTES_MAX = 32 << 10,
};

/* One of what `name` says costs pusd; "input_image", "web_searches". */
struct pk_unit {
    pk_str name;
    int64_t pusd;
};

/* Prices that hold when all input tokens exceed above_tokens. */
struct pk_tier {
    int64_t above_tokens;
    int64_t from_us, to_us;  /* from_us 0: from now on; to_us 0: still */
    int64_t rates[PK_RATES]; /* pico-USD a token; -1 = not known */
    struct pk_unit *units;   /* by name */
    int unit_count;
};

struct pk_catalog_model {
    pk_str provider, model; /* of providers.def; model may end in '*' as in price.h */
    struct pk_tier
        *tiers; /* by from_us, then above_tokens; none: the list does not say what it costs */
    int tier_count;
    pk_str mode, deprecation_date, capabilities; /* empty = not said; capabilities: a JSON object */
    int64_t context_window, max_output_tokens;   /* 0 = not said */
    int place; /* of those that have one name the lowest is taken */
};

/* What was left out: `count` rows like `example`. */
struct pk_left_out {
    pk_str what, example;
    const char *reason;
    int count;
};

struct pk_catalog {
    struct pk_catalog_model *models; /* by provider, then by model; each once */
    int count;
    struct pk_left_out *left_out;
    int left_out_count;
};

struct pk_catalog_source {
    pk_str format, text;
    pk_str provider; /* whose prices; empty: the text says it */
    int64_t now_us;
    const pk_str *own; /* providers that are not in providers.def, but are the owner's */
    int own_count;
};

/* Strings are in the arena, or in the source. PK_BAD_REQUEST names what is wrong. */
bool pk_catalog_read(struct pk_arena *arena, const struct pk_catalog_source *source,
                     struct pk_catalog *out, struct pk_error *err) PK_MUST_CHECK;

const char *pk_rate_name(enum pk_rate rate); /* "cache_read" */

/* What we call the provider; empty when there is none of that name. */
pk_str pk_catalog_provider(const struct pk_catalog_source *source, pk_str theirs);

/* The units of a tier as a JSON object; empty when it has none. */
pk_str pk_tier_units(struct pk_arena *arena, const struct pk_tier *tier);

#endif
