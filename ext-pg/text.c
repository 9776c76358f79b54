/* text.c - between Postgres's values, memory and errors and the core's.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The core speaks UTF-8; the extension installs into UTF-8 databases only.
 */
#include "pk_pg.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

enum { ALIGNMENT = 16 };

pk_str pk_arg_text(FunctionCallInfo fcinfo, int arg)
{
    if (PG_NARGS() <= arg || PG_ARGISNULL(arg))
        return PK_NONE;
    text *t = PG_GETARG_TEXT_PP(arg);
    return (pk_str){VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t)};
}

/* The content of a jsonb that is a single string; false for any other. */
static bool one_string(Jsonb *json, pk_str *out)
{
    JsonbValue v;

    if (!JB_ROOT_IS_SCALAR(json) || !JsonbExtractScalar(&json->root, &v) || v.type != jbvString)
        return false;
    *out = (pk_str){v.val.string.val, (size_t)v.val.string.len};
    return true;
}

pk_str pk_arg_json(FunctionCallInfo fcinfo, int arg, bool unquote)
{
    pk_str content;

    if (PG_NARGS() <= arg || PG_ARGISNULL(arg))
        return PK_NONE;
    Jsonb *json = PG_GETARG_JSONB_P(arg);
    if (unquote && one_string(json, &content))
        return content;
    return pk_str_of(JsonbToCString(NULL, &json->root, VARSIZE(json)));
}

Datum pk_text_datum(pk_str s)
{
    return PointerGetDatum(cstring_to_text_with_len(s.at ? s.at : "", (int)s.len));
}

/* palloc aligns to 8 bytes, the core needs 16: the pointer before the block says where it begins. */
static void *take(void *context, size_t size)
{
    char *start =
        MemoryContextAllocExtended(context, size + ALIGNMENT, MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);

    if (!start)
        return NULL;
    char *block = (char *)TYPEALIGN(ALIGNMENT, (uintptr_t)start + sizeof(char *));
    memcpy(block - sizeof start, &start, sizeof start);
    return block;
}

static void give_back(void *context, void *block)
{
    char *start;

    memcpy(&start, (char *)block - sizeof start, sizeof start);
    pfree(start);
}

struct pk_allocator pk_allocator_in(MemoryContext context)
{
    return (struct pk_allocator){.ctx = context, .alloc = take, .free = give_back};
}

static void free_arena(void *arena)
{
    pk_arena_free(arena);
}

struct pk_arena *pk_arena_here(void)
{
    struct pk_arena *arena = palloc(sizeof *arena);
    MemoryContextCallback *going = palloc(sizeof *going);

    pk_arena_init(arena, pk_allocator_in(CurrentMemoryContext), PK_CALL_BYTES_MAX);
    *going = (MemoryContextCallback){.func = free_arena, .arg = arena};
    MemoryContextRegisterResetCallback(CurrentMemoryContext, going);
    return arena;
}

static bool hid_statement;

bool pk_hid_statement(void)
{
    bool hid = hid_statement;

    hid_statement = false;
    return hid;
}

void pk_hide_statement(void)
{
    hid_statement = true;
    if (log_min_error_statement == PANIC)
        return;
    (void)set_config_option("log_min_error_statement", "panic", PGC_SUSET, PGC_S_SESSION,
                            GUC_ACTION_SAVE, true, 0, false);
}

/* What the provider said, for the client; the server's log gets it when the statement is there too. */
static int add_detail(const char *words)
{
    if (!words[0])
        return 0;
    if (log_min_error_statement == PANIC)
        errdetail_log("The provider's words are not logged.");
    return errdetail("%s", words);
}

void pk_throw(const struct pk_error *err, pk_str detail, const char *hint)
{
    const char *state = pk_code_sqlstate(err->code);
    char *words = pnstrdup(detail.at ? detail.at : "", detail.len);

    ereport(ERROR, (errcode(MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])),
                    errmsg("%s", err->msg[0] ? err->msg : pk_code_name(err->code)),
                    add_detail(words), hint ? errhint("%s", hint) : 0));
    pg_unreachable();
}
