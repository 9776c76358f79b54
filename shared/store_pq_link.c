/* store_pq_link.c - connections to the database: made within a time, and asked within a time.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * libpq is used without blocking; the waiting is here. Only looking up a host's name may take longer, which
 * libpq leaves to the system: a numeric address, or hostaddr=, has none.
 *
 * The SQL here is about the session; that about relations is in sql/.
 */
#include "store_pq_inner.h"

#include "xfer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The newest version that the tables may have: the last migration. */
enum { TABLE, VIEW, MIGRATION, PRICES };
static const struct {
    int kind, number;
} steps[] = {
#define SCHEMA(kind, number, sql) {kind, number},
#include "schema.inc"
#undef SCHEMA
};

static const char no_extension[] = "the extension pk is not there: run CREATE EXTENSION pk";

bool pk_pq_is(const char *path)
{
    pk_str s = pk_str_of(path);

    return pk_str_starts(s, "postgresql://") || pk_str_starts(s, "postgres://");
}

const char *pk_pq_name(const struct pk_pq *d)
{
    return d->name;
}

/* --- errors -------------------------------------------------------------------------------- */

/* The first line of what libpq says, without the newline. */
static pk_str first_line(const char *text)
{
    return (pk_str){text, strcspn(text, "\n")};
}

/* States in which the session, or the whole server, is of no more use; the first characters. */
static bool is_down(const char *state)
{
    static const char *const states[] = {
        "08",    /* connection */
        "57P",   /* shut down, starting */
        "57014", /* the statement took too long */
        "53",    /* no disk, memory or connections */
        "58",    /* the system beneath */
        "25006", /* read only: a standby */
        "28",    /* the role or its password */
        "3D",    /* the database */
    };

    for (size_t i = 0; i < PK_COUNT(states); i++)
        if (strncmp(state, states[i], strlen(states[i])) == 0)
            return true;
    return false;
}

/* Another try may succeed: a conflict with others. */
static bool is_passing(const char *state)
{
    return strncmp(state, "40", 2) == 0 || strncmp(state, "55P", 3) == 0;
}

static bool fail_state(const struct pk_pq *d, PGconn *c, const PGresult *r, const char *state,
                       struct pk_error *err)
{
    const char *what = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
    pk_str text = first_line(what ? what : "failed");

    if (is_down(state))
        return pk_fail(err, PK_STORE_DOWN, "store %s: %.*s", d->name, PK_FMT(text));
    if (strcmp(state, "42501") == 0 || strcmp(state, "42P01") == 0) /* as the schema is hidden */
        (void)pk_fail(err, PK_STORE, "store %s: %.*s; run GRANT pk_gateway TO \"%s\"", d->name,
                      PK_FMT(text), PQuser(c));
    else
        (void)pk_fail(err, PK_STORE, "store %s: %.*s", d->name, PK_FMT(text));
    err->retryable = is_passing(state);
    return false;
}

bool pk_pq_fail(const struct pk_pq *d, PGconn *c, const PGresult *r, struct pk_error *err)
{
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;

    if (state)
        return fail_state(d, c, r, state, err);
    if (c && PQstatus(c) == CONNECTION_BAD && *PQerrorMessage(c))
        return pk_fail(err, PK_STORE_DOWN, "store %s: %.*s", d->name,
                       PK_FMT(first_line(PQerrorMessage(c))));
    return pk_fail(err, PK_STORE_DOWN, "store %s: does not answer in time", d->name);
}

void pk_pq_down(struct pk_pq *d, const struct pk_error *err)
{
    (void)pthread_mutex_lock(&d->lock);
    d->why = *err;
    (void)pthread_mutex_unlock(&d->lock);
    atomic_store(&d->down, d->watched);
}

void pk_pq_up(struct pk_pq *d)
{
    atomic_store(&d->down, false);
}

bool pk_pq_usable(struct pk_pq *d, struct pk_error *err)
{
    if (!atomic_load(&d->down))
        return true;
    (void)pthread_mutex_lock(&d->lock);
    *err = d->why;
    (void)pthread_mutex_unlock(&d->lock);
    return false;
}

void pk_pq_heard(struct pk_pq *d, int64_t epoch)
{
    long long known = atomic_load(&d->epoch);

    while (known < epoch && !atomic_compare_exchange_weak(&d->epoch, &known, epoch))
        ;
}

/* --- waiting ------------------------------------------------------------------------------- */

static bool wait_for(PGconn *c, short events, int64_t deadline_ms)
{
    struct pollfd p = {.fd = PQsocket(c), .events = events};

    for (;;) {
        int64_t left = deadline_ms - pk_clock_ms();
        int ready = left > 0 ? poll(&p, 1, (int)left) : 0;

        if (ready > 0)
            return true;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

/* Reading meanwhile: the server may wait for that. */
static bool flush(PGconn *c, int64_t deadline_ms)
{
    for (;;) {
        int left = PQflush(c);

        if (left <= 0)
            return left == 0;
        if (!wait_for(c, POLLIN | POLLOUT, deadline_ms) || !PQconsumeInput(c))
            return false;
    }
}

PGresult *pk_pq_result(PGconn *c, int64_t deadline_ms)
{
    if (!flush(c, deadline_ms))
        return NULL;
    /* A NULL of libpq stands between the results of two statements. */
    for (int i = 0; i < 3; i++) {
        while (PQisBusy(c))
            if (!wait_for(c, POLLIN, deadline_ms) || !PQconsumeInput(c))
                return NULL;
        PGresult *r = PQgetResult(c);
        if (r)
            return r;
    }
    return NULL;
}

PGresult *pk_pq_ask(PGconn *c, const char *sql, const char *arg, int64_t deadline_ms)
{
    if (!PQsendQueryParams(c, sql, arg ? 1 : 0, NULL, &arg, NULL, NULL, 0))
        return NULL;
    PGresult *r = pk_pq_result(c, deadline_ms);
    if (r)
        PQclear(PQgetResult(c)); /* NULL: it is over */
    return r;
}

/* --- connecting ---------------------------------------------------------------------------- */

static bool shake_hands(PGconn *c, int64_t deadline_ms)
{
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;

    while (next != PGRES_POLLING_OK) {
        if (next == PGRES_POLLING_FAILED ||
            !wait_for(c, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms))
            return false;
        next = PQconnectPoll(c);
    }
    return PQsetnonblocking(c, 1) == 0;
}

/* The first column of the one row that `sql` gives. */
static bool first_value(struct pk_pq *d, PGconn *c, const char *sql, const char *arg,
                        const char *otherwise, int64_t *value, struct pk_error *err)
{
    PGresult *r = pk_pq_ask(c, sql, arg, pk_clock_ms() + d->timeout_ms);
    bool ok = r && PQresultStatus(r) == PGRES_TUPLES_OK;

    if (!ok)
        (void)pk_pq_fail(d, c, r, err);
    else if (PQntuples(r) == 0)
        ok = pk_fail(err, PK_STORE, "store %s: %s", d->name, otherwise);
    else if (value)
        *value = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return ok;
}

int pk_store_schema_version(void)
{
    int newest = 1;

    for (size_t i = 0; i < PK_COUNT(steps); i++)
        if (steps[i].kind == MIGRATION && steps[i].number > newest)
            newest = steps[i].number;
    return newest;
}

/* What an owner of the database has set for everybody is not for us. A process that vanishes with its machine
 * must not hold locks for ever. */
static bool set_up(struct pk_pq *d, PGconn *c, int64_t timeout_ms, struct pk_error *err)
{
    static const char settings[] =
        "select pg_catalog.set_config('search_path',"
        " pg_catalog.format('pg_catalog, %I, pg_temp', n.nspname), false),"
        " pg_catalog.set_config('statement_timeout', $1, false),"
        " pg_catalog.set_config('idle_in_transaction_session_timeout', '60s', false),"
        " pg_catalog.set_config('default_transaction_isolation', 'read committed', false),"
        " pg_catalog.set_config('TimeZone', 'UTC', false),"
        " pg_catalog.set_config('jit', 'off', false),"
        " pg_catalog.set_config('DateStyle', 'ISO', false),"
        " pg_catalog.set_config('bytea_output', 'hex', false),"
        " pg_catalog.set_config('extra_float_digits', '1', false)"
        " from pg_catalog.pg_extension e"
        " join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'pk'";
    char timeout[24];
    int64_t version = 0;

    (void)snprintf(timeout, sizeof timeout, "%lld", (long long)timeout_ms);
    if (!first_value(d, c, settings, timeout, no_extension, NULL, err) ||
        !first_value(d, c, "select value from pk_meta where name = 'schema_version'", NULL,
                     no_extension, &version, err))
        return false;
    if (version == pk_store_schema_version())
        return true;
    return pk_fail(err, PK_STORE,
                   "store %s: the extension's tables are version %lld, this program's are %d; %s",
                   d->name, (long long)version, pk_store_schema_version(),
                   version < pk_store_schema_version() ? "run ALTER EXTENSION pk UPDATE there"
                                                       : "update pkd");
}

static void on_notice(void *ctx, const PGresult *r)
{
    (void)ctx;
    (void)r;
}

PGconn *pk_pq_connect(struct pk_pq *d, int64_t timeout_ms, struct pk_error *err)
{
    static const char *const names[] = {"dbname", "fallback_application_name", "client_encoding",
                                        NULL};
    const char *const values[] = {d->url, "pkd", "UTF8", NULL};
    PGconn *c = PQconnectStartParams(names, values, 1);

    if (!c) {
        (void)pk_fail(err, PK_NO_MEMORY, "store: out of memory");
        return NULL;
    }
    (void)PQsetNoticeReceiver(c, on_notice, NULL);
    bool ok = PQstatus(c) != CONNECTION_BAD && shake_hands(c, pk_clock_ms() + d->timeout_ms);
    if (!ok)
        (void)pk_pq_fail(d, c, NULL, err);
    if (ok && set_up(d, c, timeout_ms, err))
        return c;
    PQfinish(c);
    return NULL;
}

/* --- the database -------------------------------------------------------------------------- */

/* A password with a '@' that is not written as %40 ends up here, and would be quoted by libpq. */
static bool check_host(const char *host, struct pk_error *err)
{
    return !strchr(host, '@') ||
           pk_fail(err, PK_BAD_CONFIG,
                   "--store: write '@' as %%40 in the user and password of the URL");
}

/* *name is what may be shown. */
static bool read_url(const char *url, char *name, size_t size, struct pk_error *err)
{
    PQconninfoOption *all = PQconninfoParse(url, NULL);
    const char *host = "", *port = "", *database = "";

    if (!all)
        return pk_fail(err, PK_BAD_CONFIG,
                       "--store: not a URL like postgresql://user@host:port/database");
    for (const PQconninfoOption *o = all; o->keyword; o++) {
        const char *value = o->val ? o->val : "";

        if (strcmp(o->keyword, "host") == 0 || (strcmp(o->keyword, "hostaddr") == 0 && !*host))
            host = value;
        else if (strcmp(o->keyword, "port") == 0)
            port = value;
        else if (strcmp(o->keyword, "dbname") == 0)
            database = value;
    }
    bool ok = check_host(host, err);
    (void)snprintf(name, size, "postgresql://%s%s%s/%s", host, *port ? ":" : "", port, database);
    PQconninfoFree(all);
    return ok;
}

struct pk_pq *pk_pq_new(const char *url, int64_t timeout_ms, struct pk_error *err)
{
    if (!pk_pq_load(err))
        return NULL;
    struct pk_pq *d = calloc(1, sizeof *d);
    if (!d || !(d->url = strdup(url))) {
        free(d);
        (void)pk_fail(err, PK_NO_MEMORY, "store: out of memory");
        return NULL;
    }
    d->timeout_ms = timeout_ms;
    d->stop_fd = -1;
    (void)pthread_mutex_init(&d->lock, NULL);
    if (read_url(url, d->name, sizeof d->name, err))
        return d;
    pk_pq_free(d);
    return NULL;
}
