/* typed.h - questions whose answer has a type: what is asked, and what of an answer is taken.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A typed function (pk_json, pk_extract, pk_classify, pk_filter, pk_score) asks an ordinary chat request, which
 * says in words what it wants and, to providers that know response_format, as a schema. Whatever they make of that,
 * pk reads the answer itself: it is of the type, or it does not fit. The machine (call_typed.c) then asks once more,
 * with the answer and what is wrong with it; one call, one row of the log, and its cost.
 *
 * This is no guardrail. A guardrail of the config says what may be said, and has a verdict, an action and hook_results
 * that clients see; what a typed question wants is a part of the question, is judged after the guardrails, and asks
 * again with another request, which no guardrail does.
 *
 * Input is data. It stands between two tags that do not occur in it, and the system message says that nothing
 * between them is an instruction.
 */
#ifndef PK_TYPED_H
#define PK_TYPED_H

#include "request.h"
#include "schema.h"

enum {
    PK_LABELS_MAX = 500, /* of one classification; what providers take as an enum */
    PK_LABEL_BYTES_MAX = 256,
};

enum pk_typed_kind { PK_TYPED_JSON, PK_TYPED_LABEL, PK_TYPED_TRUTH, PK_TYPED_SCORE };

/* What the answer must be. */
struct pk_typed {
    enum pk_typed_kind kind;
    const struct pk_schema *schema; /* JSON: it is valid against this */
    const pk_str *labels;           /* LABEL: it is one of these */
    int label_count;
    double low, high; /* SCORE: it is in this range */
    bool formatted;   /* response_format of the request is ours, and may go again */
};

struct pk_typed_value {
    pk_str text; /* JSON, or a label as it was given */
    bool truth;
    double score;
};

/* The arguments of a typed function. */
struct pk_typed_args {
    pk_str text;   /* the input; of pk_json the prompt */
    pk_str about;  /* JSON Schema, labels as JSON, question or rubric */
    pk_str system; /* of pk_json; may be empty */
    pk_str params; /* as in pk_request_chat(), or empty */
};

/* Each builds the request with req->typed. Everything that is wrong with the arguments is found here, and the error
 * names the argument.
 *
 * `about` of classify is an array of labels, or an object of labels and what they mean. Labels differ in more than
 * ASCII case and blanks around them. */
bool pk_typed_json(struct pk_arena *arena, const struct pk_typed_args *args, struct pk_request *req,
                   struct pk_error *err) PK_MUST_CHECK;
bool pk_typed_extract(struct pk_arena *arena, const struct pk_typed_args *args,
                      struct pk_request *req, struct pk_error *err) PK_MUST_CHECK;
bool pk_typed_classify(struct pk_arena *arena, const struct pk_typed_args *args,
                       struct pk_request *req, struct pk_error *err) PK_MUST_CHECK;
bool pk_typed_filter(struct pk_arena *arena, const struct pk_typed_args *args,
                     struct pk_request *req, struct pk_error *err) PK_MUST_CHECK;
/* params.pk.range [low, high] is where the score lies; 0 to 1 without. */
bool pk_typed_score(struct pk_arena *arena, const struct pk_typed_args *args,
                    struct pk_request *req, struct pk_error *err) PK_MUST_CHECK;

/* The value of `answer`, an OpenAI-shaped document. False when it does not fit: *why is PK_UNFIT with a sentence
 * that names members but quotes nothing of the answer, or PK_NO_MEMORY. */
bool pk_typed_read(struct pk_arena *arena, const struct pk_typed *typed, pk_str answer,
                   struct pk_typed_value *out, struct pk_error *why) PK_MUST_CHECK;

/* Whether the function's value is NULL for a call that came to `code`, whatever on_error says: pk_classify() knows no
 * label, and pk_filter() is never true by mistake; what is wrong before there is an answer is an error there, too. */
bool pk_typed_null(const struct pk_typed *typed, enum pk_code code);

/* The request that asks again: `body` with two turns more, what `answer` said and `why` that does not fit. */
bool pk_typed_repair(struct pk_arena *arena, const struct pk_typed *typed,
                     const struct pk_json *body, pk_str answer, pk_str why, pk_str *out,
                     struct pk_error *err) PK_MUST_CHECK;
/* The same request in words alone, for who does not know response_format. */
bool pk_typed_plain(struct pk_arena *arena, const struct pk_json *body, pk_str *out,
                    struct pk_error *err) PK_MUST_CHECK;

/* The tag for what stands between <tag> and </tag>: `name`, or name-2 and so on where one of the texts has that itself;
 * and the sentence that says of it that it is data. */
pk_str pk_typed_tag(struct pk_arena *arena, const char *name, const pk_str *texts, int count);
void pk_typed_just_data(struct pk_buf *out, pk_str tag);
/* `text` between such tags. */
void pk_typed_fence(struct pk_arena *arena, const char *name, pk_str text, struct pk_buf *out,
                    pk_str *tag);

#endif
