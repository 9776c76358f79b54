/* prompt.h - a prompt that is kept apart from the programs that use it: messages with variables, the model's
 * parameters, and whom to ask.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A document says it, in our shape or as Portkey's API has it:
 *
 *   {"messages": [...] | "string": "...",        the template (mustache.h)
 *    "model", "parameters": {...}, "tools", "tool_choice", "functions", "function_call", "response_format",
 *    "config": SLUG | {...}  or  "virtual_key": SLUG,
 *    "name", "description" (or "version_description"),
 *    "collection_id", "workspace_id", "template_metadata", "is_raw_template"}     kept, and of no effect
 *
 * A "string" is one user turn, unless it holds a JSON array of messages, as Portkey's does. Instead of an
 * object the document may be a string: that template and nothing else. A model "@SLUG/MODEL" is the config
 * SLUG and MODEL. What is null is not given. A partial is text for {{>NAME}} in the templates of others: its
 * document is a string, or has "string", name, description, collection_id and workspace_id. Strict: an unknown
 * member, a wrong type and a broken template are errors that name the path.
 */
#ifndef PK_PROMPT_H
#define PK_PROMPT_H

#include "mustache.h"

enum {
    PK_ARMS_MAX = 16,         /* versions under one label */
    PK_ARM_WEIGHT_MAX = 65535 /* of one of them */
};

/* Empty fields are not given. */
struct pk_prompt {
    pk_str slug; /* the host's, as is version; empty and 0 before it is stored */
    int64_t version;
    pk_str template; /* JSON: an array of messages, or a string */
    pk_str model;
    pk_str parameters; /* JSON object with all else that goes into the request */
    pk_str config;     /* slug or JSON object */
    pk_str virtual_key;
    pk_str name, description;
    pk_str details; /* JSON object: what is kept and of no effect */
    int64_t created_us;
    struct pk_partial *partials; /* those that the template reaches */
    int partial_count;
};

/* Reads a document. `plain_text`: what does not look like JSON is the template itself. The strings of *p
 * live in `arena`, or are parts of `text`. */
bool pk_prompt_parse(struct pk_arena *arena, pk_str text, bool plain_text, struct pk_prompt *p,
                     struct pk_error *err) PK_MUST_CHECK;
/* The same of a partial, which fills template, name, description and details. */
bool pk_prompt_parse_partial(struct pk_arena *arena, pk_str text, bool plain_text,
                             struct pk_prompt *p, struct pk_error *err) PK_MUST_CHECK;

/* The partials that the template (a JSON text, checked before) names. */
bool pk_prompt_partials(struct pk_arena *arena, pk_str template, struct pk_names *partials,
                        struct pk_error *err) PK_MUST_CHECK;

/* Prints the document that parses to *p into `out`, which is empty. */
void pk_prompt_print(const struct pk_prompt *p, struct pk_buf *out);

/* "greet@3", for logs and errors. */
pk_str pk_prompt_label(struct pk_arena *arena, const struct pk_prompt *p);

/* The messages, with the members of the JSON object `vars` as variables. Each string of the template is
 * rendered by itself, so that no value gets out of the string that it is put in. A string that is one
 * variable alone becomes that variable's object or array; in place of a message, the message or
 * messages. The error names all variables that are missing. */
bool pk_prompt_render(struct pk_arena *arena, const struct pk_prompt *p, pk_str vars,
                      pk_str *messages, struct pk_error *err) PK_MUST_CHECK;

/* What the request has besides messages: the prompt's model and parameters, and `params` (a JSON object
 * or empty) over them. */
bool pk_prompt_params(struct pk_arena *arena, const struct pk_prompt *p, pk_str params, pk_str *out,
                      struct pk_error *err) PK_MUST_CHECK;

/* The prompt's config for pk_resolve(): the error asks for one when it has none. */
bool pk_prompt_config(struct pk_arena *arena, const struct pk_prompt *p, pk_str *reference,
                      struct pk_error *err) PK_MUST_CHECK;

/* --- which version --------------------------------------------------------------------- */

/* "SLUG", "SLUG@3", "SLUG@latest" or "SLUG@LABEL". */
struct pk_prompt_ref {
    pk_str slug;
    pk_str label;    /* empty: none */
    int64_t version; /* 0: none */
    bool latest;
};
bool pk_prompt_ref_parse(pk_str text, struct pk_prompt_ref *ref,
                         struct pk_error *err) PK_MUST_CHECK;

/* What decides among versions that share a label: equal keys decide equally, whatever the moment; without a
 * key, the seed does. */
struct pk_draw {
    pk_str key;
    uint64_t seed;
};

struct pk_arm {
    int64_t version, weight; /* weight 0: never */
};

/* The index of the drawn one, in proportion to the weights; -1 when all are 0. `name` (slug and label) keeps
 * experiments apart, so that it is not always the same users who get the smaller arm. */
int pk_prompt_draw(const struct pk_arm *arms, int count, pk_str name, struct pk_draw draw);

#endif
