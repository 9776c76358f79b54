/* fn_typed.c - requests and answers of pk_json, pk_extract, pk_classify, pk_filter and pk_score; and pk_messages.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "verb.h"

#include "typed.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

/* --- the request ------------------------------------------------------------------------- */

bool pk_build_json(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    const struct pk_typed_args a = {.text = pk_arg_text(fcinfo, 1),
                                    .about = pk_arg_json(fcinfo, 2, false),
                                    .system = pk_arg_text(fcinfo, 3),
                                    .params = pk_arg_json(fcinfo, 4, false)};

    return pk_typed_json(run->arena, &a, &run->request, err);
}

bool pk_build_extract(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    const struct pk_typed_args a = {.text = pk_arg_text(fcinfo, 1),
                                    .about = pk_arg_json(fcinfo, 2, false),
                                    .params = pk_arg_json(fcinfo, 3, false)};

    return pk_typed_extract(run->arena, &a, &run->request, err);
}

/* As a JSON array. */
static bool labels_of(ArrayType *array, struct pk_arena *arena, pk_str *out, struct pk_error *err)
{
    struct pk_buf list = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    Datum *items;
    bool *nulls;
    int count;

    deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &count);
    pk_buf_addc(&list, '[');
    for (int i = 0; i < count; i++) {
        if (nulls[i])
            return pk_fail(err, PK_BAD_REQUEST, "labels[%d]: must be a string, not NULL", i);
        text *label = DatumGetTextPP(items[i]);
        if (i)
            pk_buf_addc(&list, ',');
        pk_json_quote(&list, (pk_str){VARDATA_ANY(label), VARSIZE_ANY_EXHDR(label)});
    }
    pk_buf_addc(&list, ']');
    *out = pk_buf_str(&list);
    return !list.failed || pk_fail(err, PK_TOO_LARGE, "labels: too large");
}

/* Labels are text[], jsonb, or JSON as text: there is an overload for each, of which a bare literal takes the last. */
static bool read_labels(FunctionCallInfo fcinfo, int arg, struct pk_arena *arena, pk_str *out,
                        struct pk_error *err)
{
    Oid *types;
    int count;

    (void)get_func_signature(fcinfo->flinfo->fn_oid, &types, &count);
    if (types[arg] == TEXTARRAYOID)
        return labels_of(PG_GETARG_ARRAYTYPE_P(arg), arena, out, err);
    *out = types[arg] == TEXTOID ? pk_arg_text(fcinfo, arg) : pk_arg_json(fcinfo, arg, false);
    return true;
}

bool pk_build_classify(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    struct pk_typed_args a = {.text = pk_arg_text(fcinfo, 1),
                              .params = pk_arg_json(fcinfo, 3, false)};

    return read_labels(fcinfo, 2, run->arena, &a.about, err) &&
           pk_typed_classify(run->arena, &a, &run->request, err);
}

bool pk_build_filter(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    const struct pk_typed_args a = {.about = pk_arg_text(fcinfo, 1),
                                    .text = pk_arg_text(fcinfo, 2),
                                    .params = pk_arg_json(fcinfo, 3, false)};

    return pk_typed_filter(run->arena, &a, &run->request, err);
}

bool pk_build_score(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    const struct pk_typed_args a = {.about = pk_arg_text(fcinfo, 1),
                                    .text = pk_arg_text(fcinfo, 2),
                                    .params = pk_arg_json(fcinfo, 3, false)};

    return pk_typed_score(run->arena, &a, &run->request, err);
}

/* --- the answer -------------------------------------------------------------------------- */

bool pk_give_typed(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err)
{
    struct pk_typed_value v;

    if (!pk_typed_read(run->arena, run->request.typed, pk_buf_str(&run->body), &v, err))
        return false;
    switch (run->request.typed->kind) {
    case PK_TYPED_JSON:
    case PK_TYPED_LABEL: *out = v.text; break;
    case PK_TYPED_TRUTH:
        *out = pk_copy(run->arena, (pk_str){(const char *)&v.truth, sizeof v.truth});
        break;
    case PK_TYPED_SCORE:
        *out = pk_copy(run->arena, (pk_str){(const char *)&v.score, sizeof v.score});
        break;
    }
    return !run->arena->failed || pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
}

/* --- pk_messages ------------------------------------------------------------------------- */

/* The turns joined to a conversation; NULL when one of them is. */
PK_FUNCTION(pk_sql_messages);
Datum pk_sql_messages(PG_FUNCTION_ARGS)
{
    struct pk_buf list = pk_buf_in(pk_arena_here(), PK_BODY_BYTES_MAX);
    struct pk_error err = {0};
    Datum *turns;
    bool *nulls;
    pk_str out;
    int count;

    if (PG_ARGISNULL(1))
        PG_RETURN_NULL();
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &turns, &nulls,
                      &count);
    for (int i = 0; i < count; i++)
        if (nulls[i])
            PG_RETURN_NULL();
    if (count == 0) {
        (void)pk_fail(&err, PK_BAD_REQUEST, "pk_messages: needs a system and a user's turn");
        pk_throw(&err, PK_NONE, NULL);
    }
    pk_messages_add(&list, 0, pk_arg_text(fcinfo, 0));
    for (int i = 0; i < count; i++) {
        text *turn = DatumGetTextPP(turns[i]);

        pk_messages_add(&list, i + 1, (pk_str){VARDATA_ANY(turn), VARSIZE_ANY_EXHDR(turn)});
    }
    if (!pk_messages_end(&list, &out, &err))
        pk_throw(&err, PK_NONE, NULL);
    return pk_jsonb_datum(out);
}
