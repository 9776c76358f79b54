/* rows.c - see rows.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "rows.h"

#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

enum { COLUMNS = 18 };

static const struct {
    const char *name;
    enum pk_ask_kind kind;
} texts[] = {{"prompt", PK_ASK_PROMPT}, {"messages", PK_ASK_MESSAGES}, {"vars", PK_ASK_VARS}};

static pk_str printed(HeapTuple tuple, TupleDesc desc, int column, bool *has)
{
    char *text = SPI_getvalue(tuple, desc, column);

    *has = text != NULL;
    return pk_str_of(text);
}

static bool fetch_rows(struct pk_rows *r)
{
    if (r->rows)
        SPI_freetuptable(r->rows);
    SPI_cursor_fetch(r->portal, true, 256);
    r->rows = SPI_tuptable;
    r->row_count = SPI_processed;
    r->row = 0;
    return r->row_count > 0;
}

bool pk_rows_next(struct pk_rows *r, struct pk_ask_row *row)
{
    if (r->row == r->row_count && !fetch_rows(r))
        return false;
    HeapTuple tuple = r->rows->vals[r->row++];
    if (r->key_column)
        row->key = printed(tuple, r->rows->tupdesc, r->key_column, &row->has_key);
    row->text = printed(tuple, r->rows->tupdesc, r->text_column, &row->has_text);
    row->kind = r->kind;
    return true;
}

static void read_columns(struct pk_rows *r, TupleDesc desc)
{
    int known = 0;

    for (int i = 0; i < desc->natts; i++) {
        const char *name = NameStr(TupleDescAttr(desc, i)->attname);

        if (strcmp(name, "key") == 0) {
            known += r->key_column == 0;
            r->key_column = i + 1;
        }
        for (size_t k = 0; k < PK_COUNT(texts); k++) {
            if (strcmp(name, texts[k].name) != 0)
                continue;
            known += r->text_column == 0;
            r->text_column = i + 1;
            r->kind = texts[k].kind;
        }
    }
    if (known != desc->natts || r->text_column == 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("query: its columns must be key and one of prompt, messages or "
                               "vars, each by that name")));
}

/* Else Postgres refuses it too, but speaks of a function that is not volatile. */
static bool only_reads(SPIPlanPtr plan)
{
    const CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
    const Query *query = list_length(source->query_list) == 1 ? linitial(source->query_list) : NULL;

    return query && query->commandType == CMD_SELECT && !query->hasModifyingCTE &&
           query->rowMarks == NIL;
}

void pk_rows_open(struct pk_rows *r, const char *query)
{
    SPIPlanPtr plan = SPI_prepare(query, 0, NULL);

    if (!plan || !SPI_is_cursor_plan(plan) || !only_reads(plan))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("query: must be one select that only reads")));
    r->portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
    read_columns(r, r->portal->tupDesc);
}

/* --- rows that answer ---------------------------------------------------------------------- */

static void set(Datum *values, bool *nulls, int i, bool has, Datum value)
{
    nulls[i] = !has;
    values[i] = has ? value : (Datum)0;
}

static void set_text(Datum *values, bool *nulls, int i, pk_str text)
{
    set(values, nulls, i, text.len > 0, text.len ? pk_text_datum(text) : (Datum)0);
}

Datum pk_usd_datum(int64_t pusd)
{
    char text[32];

    pk_usd_print(pusd, text);
    return DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
                               Int32GetDatum(-1));
}

/* In the order of the declaration in pk.sql.in. */
static void set_all(const struct pk_out_row *row, Datum *values, bool *nulls)
{
    const struct pk_result *r = row->result;
    int i = 0;

    set(values, nulls, i++, true, Int64GetDatum(row->ord));
    set(values, nulls, i++, row->has_key, row->has_key ? pk_text_datum(row->key) : (Datum)0);
    set(values, nulls, i++, r->has_content, r->has_content ? pk_text_datum(r->content) : (Datum)0);
    set(values, nulls, i++, r->response.len > 0,
        r->response.len ? pk_jsonb_datum(r->response) : (Datum)0);
    set(values, nulls, i++, true, BoolGetDatum(r->ok));
    set_text(values, nulls, i++, pk_str_of(r->error_code));
    set_text(values, nulls, i++, r->error_message);
    set(values, nulls, i++, !r->ok, BoolGetDatum(r->retryable));
    set(values, nulls, i++, r->http_status != 0, Int32GetDatum(r->http_status));
    set_text(values, nulls, i++, r->provider);
    set_text(values, nulls, i++, r->model);
    set(values, nulls, i++, r->has_usage, Int64GetDatum(r->input_tokens));
    set(values, nulls, i++, r->has_usage, Int64GetDatum(r->output_tokens));
    set(values, nulls, i++, r->cost_known, pk_usd_datum(r->cost_pusd));
    set(values, nulls, i++, true, Float8GetDatum((double)r->latency_us / 1000.0));
    set(values, nulls, i++, true, Int32GetDatum(r->attempts));
    set_text(values, nulls, i++, r->cache_status);
    set_text(values, nulls, i++, r->trace_id);
    PK_ASSERT(i == COLUMNS);
}

void pk_out_put(struct pk_out *out, const struct pk_out_row *row)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "pk row", ALLOCSET_SMALL_SIZES);
    MemoryContext outer = MemoryContextSwitchTo(context);
    Datum values[COLUMNS];
    bool nulls[COLUMNS];

    set_all(row, values, nulls);
    tuplestore_putvalues(out->store, out->desc, values, nulls);
    MemoryContextSwitchTo(outer);
    MemoryContextDelete(context);
}

void pk_out_open(struct pk_out *out, FunctionCallInfo fcinfo)
{
    ReturnSetInfo *info = (ReturnSetInfo *)fcinfo->resultinfo;

    if (!info || !IsA(info, ReturnSetInfo) || !(info->allowedModes & SFRM_Materialize))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("this function must be called where a set of rows is wanted")));
    MemoryContext outer = MemoryContextSwitchTo(info->econtext->ecxt_per_query_memory);
    if (get_call_result_type(fcinfo, NULL, &out->desc) != TYPEFUNC_COMPOSITE)
        elog(ERROR, "pk: return type must be a row");
    out->desc = CreateTupleDescCopy(out->desc);
    out->store =
        tuplestore_begin_heap((info->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
    MemoryContextSwitchTo(outer);
    info->returnMode = SFRM_Materialize;
    info->setResult = out->store;
    info->setDesc = out->desc;
}
