/* pk_pg.h - what the files of the Postgres extension share. Include it first.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Rules of this folder. An error of Postgres (a longjmp) never crosses frames of the core or of libcurl:
 * what they call back into stores and returns (store_spi.c). A core error becomes an error of
 * Postgres only here, after the core has returned. Whatever belongs to one call hangs on a memory
 * context and goes with it.
 */
#ifndef PK_PG_H
#define PK_PG_H

#include "postgres.h"

#include "fmgr.h"

#include "compat.h"

#include "account.h"
#include "journal.h"
#include "loop.h"
#include "reply.h"
#include "resolve.h"
#include "store_cache.h"
#include "store_near.h"
#include "store_prompt.h"
#include "store_replay.h"
#include "store_setting.h"

#define PK_FUNCTION(name)                                                                          \
    PGDLLEXPORT Datum name(PG_FUNCTION_ARGS);                                                      \
    PG_FUNCTION_INFO_V1(name)

/* --- settings: pk_pg.c ------------------------------------------------------------------- */

enum pk_on_error { PK_ON_ERROR_RAISE, PK_ON_ERROR_NULL, PK_ON_ERROR_JSON };

enum pk_unavailable { PK_UNAVAILABLE_DENY, PK_UNAVAILABLE_ALLOW };

struct pk_settings {
    int on_error;   /* enum pk_on_error */
    int timeout_ms; /* of a call; 0 = as configured */
    int max_timeout_ms;
    char *allowed_hosts;
    int log_payloads; /* enum pk_payloads */
    char *log_redact;
    char *retention[PK_KEPT_COUNT]; /* of the server's files; empty: not there */
    int limits_unavailable;         /* enum pk_unavailable */
    int output_assumed;             /* output tokens of a request that sets no limit */
    char *metadata;                 /* JSON object stamped on every call, or empty */
    int max_calls;                  /* that a statement may make; 0 = any */
    char *max_cost;                 /* dollars that it may spend; 0 = any */
    bool notice;                    /* what became of a batch is told */
    char *master_key_file;
    char *embedder; /* of semantic caches that name none; empty: PK_EMBEDDER */
    int cache_max_mb, cache_max_entries;
    bool batch;      /* scalar calls of many rows are made together */
    int concurrency; /* that many at a time */
};
extern struct pk_settings pk_settings;

/* --- text.c: between Postgres's values and the core's ------------------------------------ */

/* An argument as text, in the current memory context; jsonb that is one string gives its content
 * when `unquote`. Empty for NULL. */
pk_str pk_arg_text(FunctionCallInfo fcinfo, int arg);
pk_str pk_arg_json(FunctionCallInfo fcinfo, int arg, bool unquote);
Datum pk_text_datum(pk_str s);
/* jsonb.c; what lives on is in the current memory context. */
Datum pk_jsonb_datum(pk_str s);
/* An allocator over a memory context: returns NULL instead of throwing. */
struct pk_allocator pk_allocator_in(MemoryContext context);
/* An arena that goes with the current memory context. */
struct pk_arena *pk_arena_here(void);
/* Whether pk_hide_statement() was called since this was asked last. */
bool pk_hid_statement(void);
/* For the rest of this statement, what the server logs of an error has neither the statement's text, which
 * holds a prompt or a key, nor a provider's words. The caller has begun a nest level of settings
 * (NewGUCNestLevel), and ends it; an error does. */
void pk_hide_statement(void);
/* The error as one of Postgres; `detail` and `hint` may be empty or NULL. */
_Noreturn void pk_throw(const struct pk_error *err, pk_str detail, const char *hint);

/* --- store_spi.c: the store, over SPI ---------------------------------------------------- */

/* Where the relations of the extension are and whose they are. */
struct pk_home {
    Oid schema, owner;
};
struct pk_home pk_home_of(FunctionCallInfo fcinfo); /* of the function that runs */
bool pk_home_find(struct pk_home *home); /* of the installed extension; in a transaction */

/* PK_READ: statements that write do nothing and succeed, and reads see the latest committed state
 * whatever the isolation level is. PK_WRITE: as any statement of the transaction. PK_APPLY: the same,
 * but cache hits are added up in memory until pk_hits_write(). */
enum pk_access { PK_READ, PK_WRITE, PK_APPLY };

/* The backend's one store. An error of Postgres inside a statement makes the verb fail and is kept;
 * pk_store_spi_check() throws it. Nothing may use the transaction between the two. */
struct pk_store *pk_store_spi(struct pk_home home, enum pk_access access);
void pk_store_spi_check(struct pk_store *s);
const char *pk_store_spi_path(const struct pk_store *s); /* its search_path */
/* In the worker: forgets the kept error, and says which it was (0: none). */
int pk_store_spi_sqlstate(struct pk_store *s);

/* --- fn_admin.c: for functions over the store's verbs -------------------------------------- */

/* Whether one of the first `required` arguments is NULL. */
bool pk_args_null(FunctionCallInfo fcinfo, int required);
/* The store, acting as the role that calls. */
struct pk_store *pk_store_of(FunctionCallInfo fcinfo, enum pk_access access);
/* What a verb returned: its error, or the one of Postgres behind it, is thrown. */
/* Ends the statement unless the caller may read the server's variables and files; `what` is what needs that. */
void pk_check_may_refer(const char *what);
void pk_store_check(struct pk_store *s, bool ok, const struct pk_error *err);
/* --- predicate.c: SQL of stored guardrails ------------------------------------------------- */

/* pk_store_ops.predicate. PK_CANCELLED: it is the statement that was cancelled. Throws only in the leader of a
 * parallel query. */
bool pk_spi_predicate(struct pk_store *s, const struct pk_guard_query *q, int *truth,
                      struct pk_error *err);

/* --- hits.c: the worker's count of cache hits ---------------------------------------------- */

/* Takes the arguments of one PK_SQL_cache_hit; false when there is no room for another key. */
bool pk_hits_add(const struct pk_value *args);
/* Whether some have waited for long enough, or `now`, for any. */
bool pk_hits_due(bool now);
/* Writes them all, through a store with PK_WRITE, and forgets them. */
bool pk_hits_write(struct pk_store *s, struct pk_error *err);

/* --- ring.c: entries on their way to the worker ------------------------------------------ */

/* Puts a journal entry where it survives the end of the transaction: into the ring, or, when that
 * is not possible, into the spool. Never throws. The position is what pk_ring_wait() takes; 0 when
 * the entry did not go through the ring. */
uint64 pk_ring_put(pk_str entry);
/* The same for one that may be lost: it does not wait for room, and no spool has it. */
void pk_ring_offer(pk_str entry);
/* Attaches to the database's ring, making it when it is not there. False: there is none. */
bool pk_ring_open(void);
uint64 pk_ring_head(void);
bool pk_ring_drained(uint64 position);
/* Until everything before `position` is committed: false when that takes longer than `max_ms`, or
 * no worker can run. Throws when interrupted. */
bool pk_ring_wait(uint64 position, int max_ms);
/* Sees to it that a worker runs, and wakes it. */
void pk_ring_hurry(void);
/* Until all that was put before, the spool too, is committed. */
bool pk_ring_flush(int max_ms);

struct pk_ring_facts {
    bool open;
    int worker_pid;
    uint64 queued_bytes, put, applied, spooled, held, dropped, starts, failed_starts;
};
void pk_ring_facts(struct pk_ring_facts *facts);

/* For the worker. */
bool pk_ring_adopt(void); /* becomes the worker; false: there is one */
void pk_ring_leave(void); /* is none any more */
/* Leaves if nothing is queued. `closing`: what comes from now on must go to the spool. */
bool pk_ring_retire(bool closing);
/* Copies whole entries, at most about `max` bytes, to *bytes (in the current context) and says up to
 * which position they go; false: none. */
bool pk_ring_read(size_t max, char **bytes, size_t *len, uint64 *upto);
void pk_ring_done(uint64 upto, uint64 applied, uint64 dropped);
/* Sleeps until something is put or `ms` passed. */
void pk_ring_sleep(long ms);
/* Whether someone waits for what the worker has in memory; what it had is written. */
bool pk_ring_flushing(void);
void pk_ring_flushed(void);
/* The next entry of what pk_ring_read() or pk_backlog_read() returned; false behind the last. */
bool pk_entry_next(pk_str *bytes, pk_str *entry);

/* --- spool.c: entries that found no way through the ring --------------------------------- */

/* Appends to $PGDATA/pk_spool/<database>. False: could not, or the spool is full. */
bool pk_backlog_put(Oid database, pk_str entry);
/* Beside it: an entry that can never be applied. */
bool pk_backlog_park(Oid database, pk_str entry);
bool pk_backlog_exists(Oid database);
/* The next entries, about `max` bytes, in the current context; none at the end. They stay on disk until
 * pk_backlog_done(true); behind a false it begins anew. False when it cannot be had. */
bool pk_backlog_read(Oid database, size_t max, char **bytes, size_t *len);
void pk_backlog_done(bool all);

/* --- worker.c ---------------------------------------------------------------------------- */

/* Asks for a background worker for this database; false: no slot is free. */
bool pk_worker_start(void);
/* What every worker does first: signals, the database, settings. */
void pk_worker_prepare(Oid database);

/* --- retention.c ------------------------------------------------------------------------- */

/* In the writer, when it has nothing to write: deletes some old rows, if it is time. Returns how many ms later it
 * will be again. */
long pk_retention_turn(void);

/* --- backend.c: what a backend keeps for its life ---------------------------------------- */

struct pk_backend {
    struct pk_xfer *xfer;
    struct pk_loop *loop;
    struct pk_resolver *resolver;
    struct WaitEventSet *waits;
};
/* Makes it at first use. With `needs_secrets`, when there is a master key by now, no transfer may be in
 * progress: the transport may be made anew. Throws. */
struct pk_backend *pk_backend(bool needs_secrets);
bool pk_backend_needs_secrets(const struct pk_config *config);
/* Knows the embedder of the settings. Throws. */
struct pk_resolver *pk_backend_resolver(void);
/* pk_snapshot_hold(), of what this resolver gave. Does not throw. */
void pk_backend_hold(const struct pk_snapshot **place, const struct pk_snapshot *snapshot);
/* The memory for vectors of cached questions; NULL when there is none. */
struct pk_near *pk_backend_near(void);
/* The master key, for sealing; `create` makes the file. Throws. */
const struct pk_secrets *pk_backend_secrets(bool create);
const char *pk_master_key_path(void);

/* --- wait.c ------------------------------------------------------------------------------ */

/* Until the transport's fd is ready, the deadline has passed, or the latch was set. Throws when
 * interrupted. */
void pk_wait(struct pk_backend *b, int64_t deadline_ms);

/* --- drive.c: one call from start to log row --------------------------------------------- */

struct pk_run {
    struct pk_backend *backend;
    struct pk_arena *arena;
    struct pk_store *store;
    const struct pk_snapshot *snapshot;
    struct pk_request request;
    struct pk_prompt_use use; /* pk_prompt, */
    struct pk_replay replay;  /* pk_replay: what the request is made from */
    struct pk_task task;
    struct pk_buf body;                 /* the answer */
    bool shares;                        /* its snapshot is another's to release */
    bool live;                          /* the loop knows the task */
    bool due;                           /* the task is given back, and not seen to yet */
    bool over;                          /* at PK_OP_DONE, and logged: */
    struct pk_run **ended, *ended_next; /* then it is listed here, unless that is NULL */
    bool fd_counted;                    /* one external fd is taken for it */
    struct pk_run *next, *prev;         /* in the loop */
};

/* Resolves `config`, performs run->request and puts the log row in the ring. Errors before the call
 * throw; how the call ended is in run->task.call. An interrupt closes the connection, logs the
 * call as cancelled and throws. The run must be in memory that goes with run->arena. */
void pk_drive(struct pk_run *run, pk_str config);

/* The steps of pk_drive(), for who makes many calls. Those that return nothing throw. */
void pk_run_check(void);              /* first: a call may begin */
void pk_run_hang(struct pk_run *run); /* on the current memory context, with which all of it goes */
void pk_run_resolve(struct pk_run *run, pk_str config); /* run->snapshot */
/* The same; false when it is the config that is wrong. */
bool pk_run_find(struct pk_run *run, pk_str config, struct pk_error *err);
bool pk_run_prepare(struct pk_run *run, struct pk_error *err); /* the call of run->request */
bool pk_run_count_fd(struct pk_run *run);                      /* false: there are too many */
_Noreturn void pk_throw_too_many_files(void);
void pk_run_enter(struct pk_run *run); /* needs run->backend */
/* Does one thing that a call of this session needs, or waits for one until `until_ms` (monotonic; 0: not at all). */
void pk_run_turn(struct pk_backend *b, int64_t until_ms);
/* Ends it as cancelled, unless it is over: closes its connection and logs it. Does not throw. */
void pk_run_abandon(struct pk_run *run);
bool pk_run_any(void); /* the loop knows one */

/* What the settings and the session say of run->request; verb.c. */
/* What the session says of a call, wherever that is made. */
bool pk_session_request(struct pk_arena *arena, struct pk_request *req,
                        struct pk_error *err) PK_MUST_CHECK;
bool pk_run_complete(struct pk_run *run, struct pk_error *err);

/* What the calls of this statement have in common in the log. */
enum { PK_QUERY_ID_BYTES = 32 };
void pk_query_id(char out[PK_QUERY_ID_BYTES]);

/* What the calls of this statement may use together; NULL: no setting bounds it. */
struct pk_account *pk_statement_account(void);

/* Exiting because of our own mistake: nothing of the core may be touched any more. */
extern bool pk_found_bug;

#endif
