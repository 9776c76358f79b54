/* codec_anthropic.c - what Anthropic's API has beside conversations: how many tokens one has, and files, which are
 * passed on as they come.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Anthropic's reference of POST /v1/messages/count_tokens. It is for nothing.
 */
#include "codec.h"

#include "dialect_anthropic.h"
#include "dialect_parts.h"

static bool request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                    struct pk_error *err)
{
    (void)dropped;
    (void)err;
    pk_anthropic_tidy(body, out);
    return true;
}

static bool answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err)
{
    int64_t count;

    if (!pk_dialect_no_error(arena, doc, &a->fault, err))
        return false;
    if (!pk_json_int(doc, pk_json_get(doc, 0, "input_tokens"), &count) || count < 0)
        return pk_fail(err, PK_BAD_ANSWER, "answer: input_tokens is no count");
    a->usage = (struct pk_usage){.source = PK_USAGE_PROVIDER};
    pk_buf_add(out, doc->text);
    return true;
}

const struct pk_codec pk_codecs_anthropic[] = {
    {&pk_operation_count_tokens, "/messages/count_tokens", NULL, request, answer},
    {&pk_operation_files, "/files", NULL, NULL, NULL},
    {0},
};
