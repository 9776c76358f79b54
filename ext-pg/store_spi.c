/* store_spi.c - the store's statements, executed by SPI in the running transaction.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Statements run as the owner of the extension, so that callers need no rights on its tables, as a
 * security-restricted operation, and with a search_path of pg_catalog and the extension's schema: what
 * a caller may create on his own search_path is never looked at. Plans are kept for the life of
 * the backend.
 *
 * The core calls exec() and must not be jumped over: an error of Postgres is caught, kept and thrown
 * again by pk_store_spi_check(), which the host calls when the core has returned. Between the two the
 * transaction is broken; every further statement fails without being tried.
 *
 * The worker's cache hits are added up (hits.c).
 *
 * Reads of PK_READ use the latest snapshot: a cache entry that the worker has just committed must be
 * seen by a REPEATABLE READ transaction too. Writes of PK_READ (the core counts cache hits) are left
 * out: they would take row locks in the caller's transaction, and fail in a read-only one.
 */
#include "pk_pg.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

enum { ARGS_MAX = 192, COLUMNS_MAX = 64, FETCHED_MAX = 15 };

struct statement {
    const char *text, *types;
};

static const struct statement statements[] = {
#define STATEMENT(name, types, sqlite_text, postgres_text) {postgres_text, types},
#include "statements.def"
#undef STATEMENT
};

struct spi_store {
    struct pk_store base;
    struct pk_home home;
    enum pk_access access;
    char path[3 * NAMEDATALEN]; /* search_path */
    ErrorData *thrown;          /* in TopTransactionContext */
};

static SPIPlanPtr plans[PK_STMT_COUNT];
static bool tables_right; /* those of the extension are the ones that this library knows */
static struct spi_store the_store;

static bool reads_only(enum pk_stmt stmt)
{
    return strncmp(statements[stmt].text, "select ", 7) == 0;
}

/* --- values ------------------------------------------------------------------------------ */

static Oid type_of(char letter)
{
    switch (letter) {
    case 'i': return INT8OID;
    case 't': return TEXTOID;
    case 'b': return BYTEAOID;
    case 'u': return UUIDOID;
    case 'l': return BOOLOID;
    case 'd': return FLOAT8OID;
    }
    elog(ERROR, "pk: unknown parameter type '%c'", letter);
}

static Datum varlena_of(pk_str s)
{
    return PointerGetDatum(cstring_to_text_with_len(s.at ? s.at : "", (int)s.len));
}

static Datum to_datum(char letter, const struct pk_value *v)
{
    double real = v->type == PK_V_REAL ? v->r : (double)v->i;

    if (letter == 'i')
        return Int64GetDatum(v->i);
    if (letter == 'l')
        return BoolGetDatum(v->i != 0);
    if (letter == 'd')
        return Float8GetDatum(real);
    if (letter != 'u')
        return varlena_of(v->s); /* bytea and text are built alike */
    if (v->s.len != UUID_LEN)
        elog(ERROR, "pk: a uuid has %d bytes", UUID_LEN);
    return PointerGetDatum(memcpy(palloc(UUID_LEN), v->s.at, UUID_LEN));
}

static struct pk_value of_bytes(enum pk_value_type type, Datum d)
{
    struct varlena *v = PG_DETOAST_DATUM_PACKED(d);

    return (struct pk_value){.type = type, .s = {VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v)}};
}

static struct pk_value of_printed(Oid type, Datum d)
{
    Oid function;
    bool is_varlena;

    getTypeOutputInfo(type, &function, &is_varlena);
    return (struct pk_value){.type = PK_V_TEXT, .s = pk_str_of(OidOutputFunctionCall(function, d))};
}

static struct pk_value from_datum(Oid type, Datum d)
{
    switch (type) {
    case INT2OID: return (struct pk_value){.type = PK_V_INT, .i = DatumGetInt16(d)};
    case INT4OID: return (struct pk_value){.type = PK_V_INT, .i = DatumGetInt32(d)};
    case INT8OID: return (struct pk_value){.type = PK_V_INT, .i = DatumGetInt64(d)};
    case BOOLOID: return (struct pk_value){.type = PK_V_INT, .i = DatumGetBool(d)};
    case FLOAT8OID: return (struct pk_value){.type = PK_V_REAL, .r = DatumGetFloat8(d)};
    case TEXTOID:
    case VARCHAROID: return of_bytes(PK_V_TEXT, d);
    case BYTEAOID: return of_bytes(PK_V_BLOB, d);
    case UUIDOID: return (struct pk_value){.type = PK_V_BLOB, .s = {DatumGetPointer(d), UUID_LEN}};
    default: return of_printed(type, d);
    }
}

/* --- one statement ----------------------------------------------------------------------- */

static SPIPlanPtr plan_for(enum pk_stmt stmt)
{
    Oid types[ARGS_MAX];
    const char *letters = statements[stmt].types;
    int count = (int)strlen(letters);

    if (plans[stmt])
        return plans[stmt];
    for (int i = 0; i < count; i++)
        types[i] = type_of(letters[i]);
    SPIPlanPtr plan = SPI_prepare(statements[stmt].text, count, types);
    if (!plan)
        elog(ERROR, "pk: could not prepare a statement: %s", SPI_result_code_string(SPI_result));
    SPI_keepplan(plan);
    plans[stmt] = plan;
    return plan;
}

/* A parallel leader may not take a new snapshot. */
static Snapshot latest(void)
{
    return IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot();
}

static void execute(struct spi_store *t, enum pk_stmt stmt, const struct pk_value *args, int count)
{
    Datum values[ARGS_MAX];
    char nulls[ARGS_MAX];
    const char *letters = statements[stmt].types;
    int done;

    PK_ASSERT(count == (int)strlen(letters) && count <= ARGS_MAX);
    for (int i = 0; i < count; i++) {
        nulls[i] = args[i].type == PK_V_NULL ? 'n' : ' ';
        values[i] = args[i].type == PK_V_NULL ? (Datum)0 : to_datum(letters[i], &args[i]);
    }
    SPIPlanPtr plan = plan_for(stmt);
    if (t->access == PK_READ)
        done = SPI_execute_snapshot(plan, values, nulls, latest(), InvalidSnapshot, true, false, 0);
    else
        done = SPI_execute_plan(plan, values, nulls, false, 0);
    if (done < 0)
        elog(ERROR, "pk: a statement failed: %s", SPI_result_code_string(done));
}

static void hand_over(pk_row_fn *on_row, void *ctx)
{
    struct pk_value columns[COLUMNS_MAX];
    TupleDesc desc = SPI_tuptable->tupdesc;

    PK_ASSERT(desc->natts <= COLUMNS_MAX);
    for (uint64 row = 0; row < SPI_processed; row++) {
        for (int i = 0; i < desc->natts; i++) {
            bool is_null;
            Datum d = SPI_getbinval(SPI_tuptable->vals[row], desc, i + 1, &is_null);
            columns[i] = is_null ? (struct pk_value){.type = PK_V_NULL}
                                 : from_datum(SPI_gettypeid(desc, i + 1), d);
        }
        if (!on_row(ctx, columns, desc->natts))
            return;
    }
}

/* Until AtEOXact_GUC(), or the end of the transaction after an error. */
static int pin_search_path(const struct spi_store *t)
{
    int level = NewGUCNestLevel();

    if (strcmp(namespace_search_path, t->path) != 0)
        (void)set_config_option("search_path", t->path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
                                true, 0, false);
    return level;
}

/* The server's files may be newer than the extension of this database, or older. Looked at until it is right. */
static void check_tables(struct spi_store *t)
{
    bool is_null;
    int there, here;

    if (tables_right)
        return;
    here = pk_store_schema_version();
    execute(t, PK_SQL_schema_version, NULL, 0);
    there = SPI_processed == 0 ? 0
                               : (int)DatumGetInt64(SPI_getbinval(
                                     SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
    tables_right = there == here;
    if (!tables_right)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                 errmsg("the tables of the extension pk are version %d, its library's are %d",
                        there, here),
                 errhint("%s", there < here ? "Run ALTER EXTENSION pk UPDATE."
                                            : "Connect again, or install the newer files.")));
}

/* --- without the executor ------------------------------------------------------------------ */

/* The reads that every call makes, by the primary key: for one row, starting and ending the executor takes ten times what
 * the row does. They say what their statements in sql/statements.sql say. */
static const struct lookup {
    enum pk_stmt stmt;
    const char *table, *key;
    RegProcedure equal;
    int count;                        /* of the columns that on_row is given */
    const char *columns[FETCHED_MAX]; /* those, and what the row must fulfil */
} lookups[] = {
    {PK_SQL_epoch, "pk_meta", "name", F_TEXTEQ, 1, {"value"}},
    {PK_SQL_cache_get,
     "pk_cache_entry",
     "key",
     F_BYTEAEQ,
     13,
     {"encoding", "body", "provider", "model", "finish_reason", "usage_source", "input_tokens",
      "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens",
      "reasoning_tokens", "cost_pusd", "expires_us", "created_us"}},
};

/* Where the columns are in the table. */
struct places {
    Oid table;
    AttrNumber key, columns[FETCHED_MAX];
};

static const struct places *places_of(const struct lookup *l, Oid schema)
{
    static struct places known[PK_COUNT(lookups)];
    struct places *p = &known[l - lookups];
    Oid table = get_relname_relid(l->table, schema);

    if (p->table == table)
        return p;
    p->key = get_attnum(table, l->key);
    for (int i = 0; i < FETCHED_MAX && l->columns[i]; i++)
        p->columns[i] = get_attnum(table, l->columns[i]);
    p->table = table;
    return p;
}

static bool fulfils(const struct lookup *l, const struct pk_value *columns,
                    const struct pk_value *args)
{
    if (l->stmt != PK_SQL_cache_get)
        return true;
    return columns[13].i > args[1].i && columns[14].i >= args[2].i;
}

static void read_row(const struct lookup *l, const struct places *p, TupleDesc desc, HeapTuple row,
                     struct pk_value *columns)
{
    Datum values[COLUMNS_MAX];
    bool nulls[COLUMNS_MAX];

    PK_ASSERT(desc->natts <= COLUMNS_MAX);
    heap_deform_tuple(row, desc, values, nulls);
    for (int i = 0; i < FETCHED_MAX && l->columns[i]; i++) {
        int at = p->columns[i] - 1;

        columns[i] = nulls[at] ? (struct pk_value){.type = PK_V_NULL}
                               : from_datum(TupleDescAttr(desc, at)->atttypid, values[at]);
    }
}

static void fetch(const struct spi_store *t, const struct lookup *l, const struct pk_value *args,
                  pk_row_fn *on_row, void *ctx)
{
    const struct places *p = places_of(l, t->home.schema);
    Relation table = table_open(p->table, AccessShareLock);
    TupleDesc desc = RelationGetDescr(table);
    Oid index = pk_primary_key(table);
    Snapshot snapshot = RegisterSnapshot(latest());
    struct pk_value columns[FETCHED_MAX];
    ScanKeyData key;

    ScanKeyInit(&key, p->key, BTEqualStrategyNumber, l->equal,
                varlena_of(l->stmt == PK_SQL_epoch ? PK_STR("epoch") : args[0].s));
    key.sk_collation = TupleDescAttr(desc, p->key - 1)->attcollation;
    SysScanDesc scan = systable_beginscan(table, index, OidIsValid(index), snapshot, 1, &key);
    HeapTuple row = systable_getnext(scan);
    if (HeapTupleIsValid(row)) {
        read_row(l, p, desc, row, columns);
        if (fulfils(l, columns, args))
            (void)on_row(ctx, columns, l->count);
    }
    systable_endscan(scan);
    UnregisterSnapshot(snapshot);
    table_close(table, NoLock);
}

static const struct lookup *lookup_of(const struct spi_store *t, enum pk_stmt stmt)
{
    if (t->access != PK_READ || !tables_right)
        return NULL;
    for (size_t i = 0; i < PK_COUNT(lookups); i++)
        if (lookups[i].stmt == stmt)
            return &lookups[i];
    return NULL;
}

static void run(struct spi_store *t, enum pk_stmt stmt, const struct pk_value *args, int count,
                pk_row_fn *on_row, void *ctx)
{
    const struct lookup *lookup = lookup_of(t, stmt);

    if (lookup) {
        fetch(t, lookup, args, on_row, ctx);
        return;
    }
    int level = pin_search_path(t);

    SPI_connect();
    check_tables(t);
    execute(t, stmt, args, count);
    if (on_row && SPI_tuptable)
        hand_over(on_row, ctx);
    SPI_finish();
    AtEOXact_GUC(true, level);
}

static void keep_error(struct spi_store *t)
{
    MemoryContextSwitchTo(TopTransactionContext);
    t->thrown = CopyErrorData();
    FlushErrorState();
}

static bool exec(struct pk_store *s, enum pk_stmt stmt, const struct pk_value *args, int count,
                 pk_row_fn *on_row, void *ctx, struct pk_error *err)
{
    struct spi_store *t = (struct spi_store *)s;
    MemoryContext context = CurrentMemoryContext;
    Oid user;
    int security;

    if (t->access == PK_READ && !reads_only(stmt))
        return true;
    if (t->access == PK_APPLY && stmt == PK_SQL_cache_hit && pk_hits_add(args))
        return true;
    if (t->thrown)
        return pk_fail(err, PK_STORE, "the transaction has failed already");
    GetUserIdAndSecContext(&user, &security);
    PG_TRY();
    {
        SetUserIdAndSecContext(t->home.owner, security | SECURITY_LOCAL_USERID_CHANGE |
                                                  SECURITY_RESTRICTED_OPERATION);
        run(t, stmt, args, count, on_row, ctx);
    }
    PG_CATCH();
    {
        keep_error(t);
    }
    PG_END_TRY();
    SetUserIdAndSecContext(user, security);
    MemoryContextSwitchTo(context);
    return !t->thrown || pk_fail(err, PK_STORE, "the store failed: %s", t->thrown->message);
}

/* The transaction is the caller's, or the worker's: it is they who end it. */
static bool begin(struct pk_store *s, struct pk_error *err)
{
    return true;
}

static bool end(struct pk_store *s, bool commit, struct pk_error *err)
{
    return true;
}

static void close_store(struct pk_store *s)
{
}

static const struct pk_store_ops spi_ops = {
    .exec = exec, .begin = begin, .end = end, .close = close_store, .predicate = pk_spi_predicate};

const char *pk_store_spi_path(const struct pk_store *s)
{
    return ((const struct spi_store *)s)->path;
}

/* --- whose -------------------------------------------------------------------------------- */

struct pk_home pk_home_of(FunctionCallInfo fcinfo)
{
    HeapTuple row = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
    struct pk_home home;

    if (!HeapTupleIsValid(row))
        elog(ERROR, "pk: the function %u is gone", fcinfo->flinfo->fn_oid);
    Form_pg_proc proc = (Form_pg_proc)GETSTRUCT(row);
    home = (struct pk_home){.schema = proc->pronamespace, .owner = proc->proowner};
    ReleaseSysCache(row);
    return home;
}

bool pk_home_find(struct pk_home *home)
{
    ScanKeyData key;
    Relation catalog = table_open(ExtensionRelationId, AccessShareLock);

    ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
                CStringGetDatum("pk"));
    SysScanDesc scan = systable_beginscan(catalog, ExtensionNameIndexId, true, NULL, 1, &key);
    HeapTuple row = systable_getnext(scan);
    if (HeapTupleIsValid(row)) {
        Form_pg_extension extension = (Form_pg_extension)GETSTRUCT(row);
        *home = (struct pk_home){.schema = extension->extnamespace, .owner = extension->extowner};
    }
    systable_endscan(scan);
    table_close(catalog, AccessShareLock);
    return HeapTupleIsValid(row);
}

static void set_home(struct spi_store *t, struct pk_home home)
{
    char *schema = get_namespace_name(home.schema);

    if (!schema)
        elog(ERROR, "pk: the schema %u is gone", home.schema);
    t->home = home;
    (void)snprintf(t->path, sizeof t->path, "pg_catalog, %s, pg_temp", quote_identifier(schema));
    pfree(schema);
}

struct pk_store *pk_store_spi(struct pk_home home, enum pk_access access)
{
    struct spi_store *t = &the_store;

    t->base.ops = &spi_ops;
    t->access = access;
    t->thrown = NULL;
    set_home(t, home);
    return &t->base;
}

void pk_store_spi_check(struct pk_store *s)
{
    struct spi_store *t = (struct spi_store *)s;
    ErrorData *thrown = t->thrown;

    t->thrown = NULL;
    if (thrown)
        ReThrowError(thrown);
}

int pk_store_spi_sqlstate(struct pk_store *s)
{
    struct spi_store *t = (struct spi_store *)s;
    int sqlstate = t->thrown ? t->thrown->sqlerrcode : 0;

    t->thrown = NULL;
    return sqlstate;
}
