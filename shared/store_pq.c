/* store_pq.c - the engine of store_pq.h: statements of sql/statements.sql over one connection.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The connection is in pipeline mode. A statement whose rows nobody wants is only sent when a transaction is
 * open; the next one that has rows to give, or the end of the transaction, waits for all of them and reports
 * the first that failed. So a group of log rows takes few round trips.
 *
 *   begin, exec, exec ──sent──▶           exec with rows, end ◀── results, in order ── `owed`
 *
 * A statement is prepared when it is first used. Of statements that were prepared in a transaction that failed
 * nobody knows whether they are: then the connection is made anew.
 *
 * Results come as text, in which every type looks as it does through SPI (ext-pg/store_spi.c).
 */
#include "store_audit.h"
#include "store_pq_inner.h"
#include "store_value.h"

#include "xfer.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARGS_MAX = 192,
    COLUMNS_MAX = 64,
    OWED_MAX = 512,     /* results that may be outstanding */
    UUID_TEXT_LEN = 36, /* 8-4-4-4-12 */
    STOP_MS = 200,      /* so often it is asked whether to go on */
};

/* Of pg_type. */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_FLOAT8 = 701,
    OID_UUID = 2950,
};

static const struct statement {
    const char *text, *types;
} statements[] = {
#define STATEMENT(name, types, sqlite_text, postgres_text) [PK_SQL_##name] = {postgres_text, types},
#include "statements.def"
#undef STATEMENT
};

struct pq_store {
    struct pk_store head;
    struct pk_pq *db;
    int64_t timeout_ms;
    PGconn *conn; /* NULL: not connected */
    bool prepared[PK_STMT_COUNT];
    bool preparing;         /* some of them in the open transaction */
    int depth;              /* of nested transactions */
    int owed;               /* results that were asked for and not read */
    bool undo;              /* an inner one failed: the outer one cannot be kept */
    struct pk_error failed; /* why the transaction is broken; PK_OK: it is not */
    int64_t bumped;         /* the epoch that it sets; 0: none */
};

/* --- parameters ---------------------------------------------------------------------------- */

struct args {
    const char *values[ARGS_MAX];
    int lengths[ARGS_MAX], formats[ARGS_MAX];
    uint64_t numbers[ARGS_MAX]; /* in network order */
};

static Oid type_of(char letter)
{
    switch (letter) {
    case 'i': return OID_INT8;
    case 'b': return OID_BYTEA;
    case 'u': return OID_UUID;
    case 'l': return OID_BOOL;
    case 'd': return OID_FLOAT8;
    default: return OID_TEXT;
    }
}

static void put_number(struct args *a, int i, uint64_t number)
{
    a->numbers[i] = htobe64(number);
    a->values[i] = (const char *)&a->numbers[i];
    a->lengths[i] = sizeof number;
}

static void put(struct args *a, int i, char letter, const struct pk_value *v)
{
    double real = v->type == PK_V_REAL ? v->r : (double)v->i;
    uint64_t bits;

    a->formats[i] = 1;
    a->values[i] = NULL;
    if (v->type == PK_V_NULL)
        return;
    if (letter == 'i') {
        put_number(a, i, (uint64_t)v->i);
    } else if (letter == 'd') {
        memcpy(&bits, &real, sizeof bits);
        put_number(a, i, bits);
    } else if (letter == 'l') {
        a->values[i] = v->i ? "\1" : "\0";
        a->lengths[i] = 1;
    } else {
        a->values[i] = v->s.at ? v->s.at : "";
        a->lengths[i] = (int)v->s.len;
    }
}

/* --- columns ------------------------------------------------------------------------------- */

static int digit(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* Hexadecimal digits, dashes among them left out, as bytes in the same place. */
static size_t unhex(char *to, const char *from, size_t len)
{
    size_t out = 0;

    for (size_t i = 0; i + 1 < len;) {
        if (from[i] == '-') {
            i++;
            continue;
        }
        to[out++] = (char)(digit(from[i]) << 4 | digit(from[i + 1]));
        i += 2;
    }
    return out;
}

static struct pk_value of_int(int64_t i)
{
    return (struct pk_value){.type = PK_V_INT, .i = i};
}

static struct pk_value column(PGresult *r, int row, int i)
{
    char *at = PQgetvalue(r, row, i);
    size_t len = (size_t)PQgetlength(r, row, i);

    if (PQgetisnull(r, row, i))
        return (struct pk_value){.type = PK_V_NULL};
    switch (PQftype(r, i)) {
    case OID_BOOL: return of_int(at[0] == 't');
    case OID_INT2:
    case OID_INT4:
    case OID_INT8: return of_int(strtoll(at, NULL, 10));
    case OID_FLOAT8: return (struct pk_value){.type = PK_V_REAL, .r = strtod(at, NULL)};
    case OID_BYTEA: /* \x... */
        return (struct pk_value){.type = PK_V_BLOB, .s = {at, unhex(at, at + 2, len - 2)}};
    case OID_UUID: return (struct pk_value){.type = PK_V_BLOB, .s = {at, unhex(at, at, len)}};
    default: return (struct pk_value){.type = PK_V_TEXT, .s = {at, len}};
    }
}

static void hand_over(PGresult *r, pk_row_fn *on_row, void *ctx)
{
    struct pk_value columns[COLUMNS_MAX];
    int count = PQnfields(r);

    PK_ASSERT(count <= COLUMNS_MAX);
    for (int row = 0; row < PQntuples(r); row++) {
        for (int i = 0; i < count; i++)
            columns[i] = column(r, row, i);
        if (!on_row(ctx, columns, count))
            return;
    }
}

/* --- the connection ------------------------------------------------------------------------ */

static void disconnect(struct pq_store *s)
{
    PQfinish(s->conn);
    s->conn = NULL;
    s->owed = 0;
    s->preparing = false;
    memset(s->prepared, 0, sizeof s->prepared);
}

/* The connection is of no more use. It is the database's fault when it did not answer; a connection that was
 * closed may be made again at once. */
static bool lose(struct pq_store *s, struct pk_error *err)
{
    bool silent = s->conn && PQstatus(s->conn) == CONNECTION_OK;

    (void)pk_pq_fail(s->db, s->conn, NULL, err);
    if (silent)
        pk_pq_down(s->db, err);
    disconnect(s);
    return false;
}

/* An idle connection that has something to say is closed, mostly. */
static bool is_alive(PGconn *c)
{
    struct pollfd p = {.fd = PQsocket(c), .events = POLLIN};

    if (poll(&p, 1, 0) <= 0)
        return true;
    return PQconsumeInput(c) && PQstatus(c) == CONNECTION_OK;
}

static bool connect_now(struct pq_store *s, struct pk_error *err)
{
    s->conn = pk_pq_connect(s->db, s->timeout_ms, err);
    if (!s->conn) {
        if (err->code == PK_STORE_DOWN)
            pk_pq_down(s->db, err);
        return false;
    }
    return PQenterPipelineMode(s->conn) || lose(s, err);
}

/* Before a statement outside of a transaction, or its begin. */
static bool ready(struct pq_store *s, struct pk_error *err)
{
    if (!pk_pq_usable(s->db, err))
        return false;
    if (s->conn && !is_alive(s->conn))
        disconnect(s);
    return s->conn || connect_now(s, err);
}

/* --- sending and reading ------------------------------------------------------------------- */

static bool send_prepare(struct pq_store *s, enum pk_stmt stmt)
{
    const struct statement *st = &statements[stmt];
    Oid types[ARGS_MAX];
    int count = (int)strlen(st->types);
    char name[16];

    if (s->prepared[stmt])
        return true;
    for (int i = 0; i < count; i++)
        types[i] = type_of(st->types[i]);
    (void)snprintf(name, sizeof name, "pk%d", (int)stmt);
    if (!PQsendPrepare(s->conn, name, st->text, count, types))
        return false;
    s->owed++;
    s->prepared[stmt] = s->preparing = true;
    return true;
}

static bool send(struct pq_store *s, enum pk_stmt stmt, const struct pk_value *args, int count)
{
    struct args a;
    char name[16];

    if (!send_prepare(s, stmt))
        return false;
    for (int i = 0; i < count; i++)
        put(&a, i, statements[stmt].types[i], &args[i]);
    (void)snprintf(name, sizeof name, "pk%d", (int)stmt);
    if (!PQsendQueryPrepared(s->conn, name, count, a.values, a.lengths, a.formats, 0))
        return false;
    s->owed++;
    return true;
}

static bool send_text(struct pq_store *s, const char *sql)
{
    if (!PQsendQueryParams(s->conn, sql, 0, NULL, NULL, NULL, NULL, 0))
        return false;
    s->owed++;
    return true;
}

static bool send_sync(struct pq_store *s)
{
    if (!PQpipelineSync(s->conn))
        return false;
    s->owed++;
    return true;
}

/* Keeps the first error; what the server skips because of it says nothing more. */
static void take_error(struct pq_store *s, const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);

    if (status == PGRES_FATAL_ERROR && s->failed.code == PK_OK)
        (void)pk_pq_fail(s->db, s->conn, r, &s->failed);
}

static void keep_last(PGresult **last, PGresult *r)
{
    if (PQresultStatus(r) == PGRES_PIPELINE_SYNC) {
        PQclear(r);
        return;
    }
    PQclear(*last);
    *last = r;
}

/* The server ends what it does, which is then an error. */
static void cancel(PGconn *c)
{
    PGcancel *how = PQgetCancel(c);
    char unused[256];

    if (how)
        (void)PQcancel(how, unused, sizeof unused);
    PQfreeCancel(how);
}

/* NULL: the connection is of no use any more. */
static PGresult *next_result(struct pq_store *s)
{
    int64_t deadline_ms = pk_clock_ms() + s->timeout_ms + PK_PQ_ANSWER_MS, now_ms;
    bool stopped = !s->head.stop;
    PGresult *r = NULL;

    if (stopped)
        return pk_pq_result(s->conn, deadline_ms);
    while (!r && (now_ms = pk_clock_ms()) < deadline_ms) {
        if (!stopped && s->head.stop(s->head.stop_ctx)) {
            cancel(s->conn);
            stopped = true;
        }
        int64_t until_ms = now_ms + STOP_MS < deadline_ms ? now_ms + STOP_MS : deadline_ms;
        r = pk_pq_result(s->conn, until_ms);
        if (!r && (PQstatus(s->conn) == CONNECTION_BAD || !PQisBusy(s->conn)))
            break;
    }
    return r;
}

/* Reads everything that is owed. *last, when wanted, receives the last result; the caller clears it. What the
 * server refused is in s->failed; false: the connection is lost. */
static bool collect(struct pq_store *s, PGresult **last, struct pk_error *err)
{
    PGresult *rows = NULL;

    while (s->owed > 0) {
        PGresult *r = next_result(s);

        if (!r || PQstatus(s->conn) == CONNECTION_BAD) {
            PQclear(r);
            PQclear(rows);
            return lose(s, err);
        }
        s->owed--;
        take_error(s, r);
        keep_last(&rows, r);
    }
    if (last)
        *last = rows;
    else
        PQclear(rows);
    return true;
}

/* --- statements ---------------------------------------------------------------------------- */

static bool take_epoch(struct pq_store *s, pk_row_fn *on_row, void *ctx, struct pk_error *err)
{
    struct pk_value epoch = of_int(atomic_load(&s->db->epoch));

    if (!pk_pq_usable(s->db, err))
        return false;
    if (on_row)
        (void)on_row(ctx, &epoch, 1);
    return true;
}

static bool take_bumped(void *ctx, const struct pk_value *columns, int count)
{
    (void)count;
    *(int64_t *)ctx = columns[0].i;
    return true;
}

/* Everything sent so far, and its rows. Outside of a transaction it is one by itself. */
static bool finish(struct pq_store *s, pk_row_fn *on_row, void *ctx, struct pk_error *err)
{
    bool inside = s->depth > 0;
    PGresult *rows = NULL;

    if (!(inside ? PQsendFlushRequest(s->conn) : send_sync(s)))
        return lose(s, err);
    if (!collect(s, &rows, err))
        return false;
    bool ok = s->failed.code == PK_OK;
    if (ok && rows && on_row)
        hand_over(rows, on_row, ctx);
    PQclear(rows);
    if (ok)
        return true;
    *err = s->failed;
    return false;
}

/* A connection is not kept when nobody knows what is prepared, nor that to a server which has become a standby or
 * has no room. */
static void keep_or_not(struct pq_store *s)
{
    if (s->failed.code == PK_STORE_DOWN || (s->failed.code != PK_OK && s->preparing))
        disconnect(s);
    s->preparing = false;
}

static bool exec_alone(struct pq_store *s, enum pk_stmt stmt, const struct pk_value *args,
                       int count, pk_row_fn *on_row, void *ctx, struct pk_error *err)
{
    s->failed.code = PK_OK;
    if (!ready(s, err))
        return false;
    if (!send(s, stmt, args, count))
        return lose(s, err);
    bool ok = finish(s, on_row, ctx, err);
    keep_or_not(s);
    return ok;
}

static bool exec_inside(struct pq_store *s, enum pk_stmt stmt, const struct pk_value *args,
                        int count, pk_row_fn *on_row, void *ctx, struct pk_error *err)
{
    if (s->failed.code == PK_OK && !s->conn)
        (void)pk_fail(&s->failed, PK_STORE_DOWN, "store %s: the connection was lost", s->db->name);
    if (s->failed.code != PK_OK) {
        *err = s->failed;
        return false;
    }
    if (!send(s, stmt, args, count))
        return lose(s, err);
    return (!on_row && s->owed < OWED_MAX) || finish(s, on_row, ctx, err);
}

static bool exec(struct pk_store *store, enum pk_stmt stmt, const struct pk_value *args, int count,
                 pk_row_fn *on_row, void *ctx, struct pk_error *err)
{
    struct pq_store *s = (struct pq_store *)store;

    PK_ASSERT(count == (int)strlen(statements[stmt].types) && count <= ARGS_MAX);
    if (stmt == PK_SQL_epoch && s->db->watched && atomic_load(&s->db->epoch) && s->depth == 0)
        return take_epoch(s, on_row, ctx, err);
    if (stmt == PK_SQL_epoch_bump && !on_row) {
        on_row = take_bumped;
        ctx = &s->bumped;
    }
    return (s->depth ? exec_inside : exec_alone)(s, stmt, args, count, on_row, ctx, err);
}

/* --- transactions -------------------------------------------------------------------------- */

static bool begin(struct pk_store *store, struct pk_error *err)
{
    struct pq_store *s = (struct pq_store *)store;

    if (s->depth == 0) {
        s->failed.code = PK_OK;
        s->undo = false;
        s->bumped = 0;
        if (!ready(s, err))
            return false;
        if (!send_text(s, "begin"))
            return lose(s, err);
    }
    s->depth++;
    return true;
}

/* The last word of the transaction, and whether the server took all of them. */
static bool say(struct pq_store *s, const char *word, struct pk_error *err)
{
    if (!s->conn) {
        if (s->failed.code != PK_OK)
            *err = s->failed;
        else
            (void)pk_fail(err, PK_STORE_DOWN, "store %s: the connection was lost", s->db->name);
        return false;
    }
    if (!send_text(s, word) || !send_sync(s))
        return lose(s, err);
    if (!collect(s, NULL, err))
        return false;
    if (s->failed.code != PK_OK)
        *err = s->failed;
    return s->failed.code == PK_OK;
}

static bool end(struct pk_store *store, bool commit, struct pk_error *err)
{
    struct pq_store *s = (struct pq_store *)store;
    struct pk_error ignored;

    PK_ASSERT(s->depth > 0);
    s->undo = s->undo || !commit;
    if (--s->depth > 0)
        return true;
    bool broken = s->undo || s->failed.code != PK_OK;
    bool ok = say(s, broken ? "rollback" : "commit", broken ? &ignored : err);
    if (!ok && s->conn && PQtransactionStatus(s->conn) != PQTRANS_IDLE) /* "commit" was skipped */
        (void)say(s, "rollback", &ignored);
    keep_or_not(s);
    if (ok && !broken && s->bumped)
        pk_pq_heard(s->db, s->bumped);
    if (!broken)
        return ok;
    if (commit && s->failed.code != PK_OK)
        *err = s->failed;
    else if (commit)
        (void)pk_fail(err, PK_STORE, "store %s: the transaction was undone by an earlier error",
                      s->db->name);
    return !commit;
}

static void close_store(struct pk_store *store)
{
    struct pq_store *s = (struct pq_store *)store;

    disconnect(s);
    free(s);
}

/* The session's time for a statement is not that of the predicate. */
static bool allow_time(struct pq_store *s, int64_t timeout_ms, struct pk_error *err)
{
    char text[24];
    const char *values[] = {text};

    (void)snprintf(text, sizeof text, "%lld", (long long)(timeout_ms ? timeout_ms * 2 : 0));
    if (!PQsendQueryParams(s->conn, "select pg_catalog.set_config('statement_timeout', $1, true)",
                           1, NULL, values, NULL, NULL, 0))
        return lose(s, err);
    s->owed++;
    return true;
}

static bool take_truth(void *ctx, const struct pk_value *columns, int count)
{
    (void)count;
    *(int *)ctx = columns[0].type == PK_V_NULL ? -1 : columns[0].i != 0;
    return true;
}

/* What is not the store's fault is the predicate's, and is said without the store's name. */
static bool blame(struct pk_error *err)
{
    struct pk_error whole = *err;
    const char *own = strstr(whole.msg, "predicate: ");

    return err->code == PK_STORE && own && pk_fail(err, PK_BAD_CONFIG, "%s", own);
}

static bool predicate(struct pk_store *store, const struct pk_guard_query *q, int *truth,
                      struct pk_error *err)
{
    struct pq_store *s = (struct pq_store *)store;
    int64_t patience_ms = s->timeout_ms;
    const struct pk_value args[] = {
        pk_v_text(q->owner),     pk_v_required(q->sql),  pk_v_text(q->text),
        pk_v_text(q->metadata),  pk_v_text(q->document), pk_v_int(q->timeout_ms),
        pk_v_int(truth != NULL),
    };
    struct pk_error ignored;
    int said = -1;

    if (!begin(store, err))
        return false;
    s->timeout_ms = q->timeout_ms ? q->timeout_ms * 2 : s->timeout_ms;
    bool ok = allow_time(s, q->timeout_ms, err) &&
              exec(store, PK_SQL_predicate, args, PK_COUNT(args), take_truth, &said, err);
    s->timeout_ms = patience_ms;
    (void)end(store, false, &ignored);
    if (truth)
        *truth = said;
    return ok || blame(err);
}

static const struct pk_store_ops ops = {
    .exec = exec, .begin = begin, .end = end, .close = close_store, .predicate = predicate};

struct pk_store *pk_store_pq(struct pk_pq *d, int64_t timeout_ms, struct pk_error *err)
{
    struct pq_store *s = calloc(1, sizeof *s);

    if (!s) {
        (void)pk_fail(err, PK_NO_MEMORY, "store: out of memory");
        return NULL;
    }
    *s =
        (struct pq_store){.head = {.ops = &ops, .remote = true}, .db = d, .timeout_ms = timeout_ms};
    pk_store_act_as_user(&s->head);
    return &s->head;
}
