/* store_prompt.h - the verbs over prompts, their versions and labels.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A slug has versions, counted from 1, that never change. A label ("production") names one version of a slug, or several
 * with weights, of which each call gets one. A bare slug means what the label "default" names, and while
 * nothing is published the latest version.
 *
 * A partial is a prompt whose slug begins with "partial/". {{>footer}} is the partial "partial/footer", at its
 * default version when it is rendered; {{>footer@2}} keeps one.
 */
#ifndef PK_STORE_PROMPT_H
#define PK_STORE_PROMPT_H

#include "prompt.h"
#include "store.h"

/* The version that `reference` (prompt.h) names, without its partials; PK_NOT_FOUND. Strings are in
 * `arena`. */
bool pk_store_prompt_get(struct pk_store *s, struct pk_arena *arena, pk_str reference,
                         struct pk_draw draw, struct pk_prompt *p,
                         struct pk_error *err) PK_MUST_CHECK;

/* The same with its partials, for pk_prompt_render(). Refuses a partial. */
bool pk_store_prompt_load(struct pk_store *s, struct pk_arena *arena, pk_str reference,
                          struct pk_draw draw, struct pk_prompt *p,
                          struct pk_error *err) PK_MUST_CHECK;

/* Whether rows can be asked with it; PK_NOT_FOUND, or why not. */
bool pk_store_prompt_check(struct pk_store *s, struct pk_arena *arena, pk_str reference,
                           struct pk_error *err) PK_MUST_CHECK;

/* A call through a prompt. */
struct pk_prompt_use {
    pk_str reference, vars; /* vars: JSON object */
    pk_str params;          /* JSON object over the prompt's own parameters, or empty */
    pk_str config;          /* the caller's, or empty: then the prompt's is put here */
    bool no_config;         /* the caller will find one elsewhere */
    bool preview;       /* nothing will be called: no config is needed; of unknown callers, equal
                               variables draw the same */
    pk_str virtual_key; /* out: the prompt's own, or empty */
    uint64_t seed;      /* draws the version when nobody is known to call (pk_request_caller) */
};

/* Fills body, operation and prompt of *req, whose options are known already. */
bool pk_store_prompt_request(struct pk_store *s, struct pk_arena *arena, struct pk_prompt_use *use,
                             struct pk_request *req, struct pk_error *err) PK_MUST_CHECK;

struct pk_prompt_draft {
    pk_str slug, text; /* the document of prompt.h */
    bool plain_text;   /* what is no JSON is the template */
    int64_t at_us;
};

/* Stores a checked document as the next version of its slug. One that equals the latest version is that
 * version. Its config, virtual key and partials must be there. */
bool pk_store_prompt_put(struct pk_store *s, struct pk_arena *arena,
                         const struct pk_prompt_draft *draft, int64_t *version,
                         struct pk_error *err) PK_MUST_CHECK;

enum { PK_WEIGHT_ALONE = -1 };

struct pk_publication {
    pk_str slug, label; /* label empty: "default" */
    int64_t version;
    int64_t
        weight; /* PK_WEIGHT_ALONE: the label names this version and no other; 0: not this one any more;
                       else beside those that it names, with this weight. Alone counts 100. */
    int64_t at_us;
};
bool pk_store_prompt_publish(struct pk_store *s, struct pk_arena *arena,
                             const struct pk_publication *what, struct pk_error *err) PK_MUST_CHECK;

/* Takes all versions out of use; a later put counts on from them. PK_IN_USE when it is a partial that others name. */
bool pk_store_prompt_delete(struct pk_store *s, pk_str slug, int64_t now_us, bool *existed,
                            struct pk_error *err) PK_MUST_CHECK;

#endif
