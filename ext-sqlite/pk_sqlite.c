/* pk_sqlite.c - the SQLite extension: its entry point and the table of its functions.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "hub.h"

#include <stdio.h>
#include <stdlib.h>

SQLITE_EXTENSION_INIT1

/* Since SQLite 3.45; what does not know it ignores it. */
#define GIVES_SUBTYPE 0x001000000

/* What reads secrets, spends money or changes state is not for the views and triggers of a database
 * that somebody else has made. */
#define DIRECT (SQLITE_UTF8 | SQLITE_DIRECTONLY)
#define JSON   (DIRECT | GIVES_SUBTYPE)
#define PURE   (SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS)

/* clang-format off */
static const struct {
    const char *name;
    int args_min, args_max; /* -1: any number */
    int flags;
    pk_function *call;
} functions[] = {
    {"pk_chat",          2, 3, JSON,   pk_fn_chat},
    {"pk_ask",           2, 4, DIRECT, pk_fn_ask},
    {"pk_try_chat",      2, 3, JSON,   pk_fn_try_chat},
    {"pk_embed",         2, 4, DIRECT, pk_fn_embed},
    {"pk_moderate",      2, 3, JSON,   pk_fn_moderate},
    {"pk_json",          3, 5, JSON,   pk_fn_json},
    {"pk_extract",       3, 4, JSON,   pk_fn_extract},
    {"pk_classify",      3, 4, DIRECT, pk_fn_classify},
    {"pk_filter",        3, 4, DIRECT, pk_fn_filter},
    {"pk_score",         3, 4, DIRECT, pk_fn_score},
    {"pk_prompt",        2, 4, JSON,   pk_fn_prompt},
    {"pk_replay",        1, 2, JSON,   pk_fn_replay},
    {"pk_prefetch",      2, 3, JSON,   pk_fn_prefetch},
    {"pk_content_hash",  2, 3, DIRECT, pk_fn_content_hash},
    {"pk_render",        2, 2, JSON,   pk_fn_render},
    {"pk_prompt_put",    2, 2, DIRECT, pk_fn_prompt_put},
    {"pk_prompt_publish", 2, 4, DIRECT, pk_fn_prompt_publish},
    {"pk_prompt_get",    1, 1, JSON,   pk_fn_prompt_get},
    {"pk_prompt_delete", 1, 1, DIRECT, pk_fn_prompt_delete},
    {"pk_config_put",    2, 2, DIRECT, pk_fn_config_put},
    {"pk_config_get",    1, 1, JSON,   pk_fn_config_get},
    {"pk_config_delete", 1, 1, DIRECT, pk_fn_config_delete},
    {"pk_provider_put", 2, 2, DIRECT, pk_fn_provider_put},
    {"pk_provider_get", 1, 1, JSON,   pk_fn_provider_get},
    {"pk_provider_delete", 1, 1, DIRECT, pk_fn_provider_delete},
    {"pk_guardrail_put", 2, 2, DIRECT, pk_fn_guardrail_put},
    {"pk_guardrail_get", 1, 1, JSON,   pk_fn_guardrail_get},
    {"pk_guardrail_delete", 1, 1, DIRECT, pk_fn_guardrail_delete},
    {"pk_key_put",       3, 4, DIRECT, pk_fn_key_put},
    {"pk_key_rotate",    2, 2, DIRECT, pk_fn_key_rotate},
    {"pk_key_revoke",    1, 1, DIRECT, pk_fn_key_revoke},
    {"pk_limit_put",     2, 2, DIRECT, pk_fn_limit_put},
    {"pk_limit_delete",  1, 1, DIRECT, pk_fn_limit_delete},
    {"pk_api_key_create", 1, 2, DIRECT, pk_fn_api_key_create},
    {"pk_api_key_rotate", 1, 2, DIRECT, pk_fn_api_key_rotate},
    {"pk_api_key_revoke", 1, 1, DIRECT, pk_fn_api_key_revoke},
    {"pk_enqueue",       2, 3, DIRECT, pk_fn_enqueue},
    {"pk_enqueue_query", 2, 3, DIRECT, pk_fn_enqueue_query},
    {"pk_job",           1, 1, JSON,   pk_fn_job_status},
    {"pk_cancel",        1, 1, DIRECT, pk_fn_cancel},
    {"pk_retry",         1, 1, DIRECT, pk_fn_retry},
    {"pk_wait",          2, 2, DIRECT, pk_fn_wait},
    {"pk_price_import",  2, 3, JSON,   pk_fn_price_import},
    {"pk_feedback",      2, 4, DIRECT, pk_fn_feedback},
    {"pk_cache_purge",   0, 1, DIRECT, pk_fn_cache_purge},
    {"pk_retention_run", 0, 0, JSON,   pk_fn_retention_run},
    {"pk_logs_erase",    1, 2, JSON,   pk_fn_logs_erase},
    {"pk_set",           2, 2, DIRECT, pk_fn_set},
    {"pk_get",           1, 1, DIRECT, pk_fn_get},
    {"pk_flush",         0, 0, DIRECT, pk_fn_flush},
    {"pk_health",        0, 0, JSON,   pk_fn_health},
    {"pk_cost",          3, 4, PURE,   pk_fn_cost},
    {"pk_count_tokens",  2, 2, PURE,   pk_fn_count_tokens},
    {"pk_messages",     -1, -1, PURE | GIVES_SUBTYPE, pk_fn_messages},
    {"pk_version",       0, 0, PURE,   pk_fn_version},
    /* For the views of a store that is opened as a database of its own. */
    {"pk_payload_text",  2, 3, PURE,   pk_fn_payload_text},
    {"pk_provider_table", 0, 0, PURE | GIVES_SUBTYPE, pk_fn_provider_table},
};
/* clang-format on */

_Noreturn void pk_bug(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "pk: bug at %s:%d: %s\n", file, line, what);
    abort();
}

/* SQLite calls the destructor when it does not take the function, too. */
static int add_functions(struct pk_conn *c)
{
    for (size_t i = 0; i < PK_COUNT(functions); i++) {
        for (int args = functions[i].args_min; args <= functions[i].args_max; args++) {
            c->refs++;
            int rc = sqlite3_create_function_v2(c->db, functions[i].name, args, functions[i].flags,
                                                c, functions[i].call, NULL, NULL, pk_conn_release);
            if (rc != SQLITE_OK)
                return rc;
        }
    }
    return SQLITE_OK;
}

/* Not as a window function: a frame would be a call for each row. */
static int add_reduce(struct pk_conn *c)
{
    for (int args = 3; args <= 4; args++) {
        c->refs++;
        int rc = sqlite3_create_function_v2(c->db, "pk_reduce", args, DIRECT, c, NULL,
                                            pk_fn_reduce_step, pk_fn_reduce_final, pk_conn_release);
        if (rc != SQLITE_OK)
            return rc;
    }
    return SQLITE_OK;
}

static int refuse(char **message, const char *why)
{
    *message = sqlite3_mprintf("pk: %s", why);
    return SQLITE_ERROR;
}

/* The name is SQLite's rule for files called pk. The library stays loaded for good: its writer
 * threads outlive any one connection. */
__attribute__((visibility("default"))) int sqlite3_pk_init(sqlite3 *db, char **message,
                                                           const sqlite3_api_routines *api);

int sqlite3_pk_init(sqlite3 *db, char **message, const sqlite3_api_routines *api)
{
    if (sqlite3_api && sqlite3_api != api) {
        *message = api->mprintf("pk: already in use by another copy of SQLite in this process");
        return SQLITE_ERROR;
    }
    SQLITE_EXTENSION_INIT2(api);
    if (sqlite3_libversion_number() < 3038000)
        return refuse(message, "needs SQLite 3.38 or later");
    if (pk_hub_find(db))
        return SQLITE_OK_LOAD_PERMANENTLY;
    struct pk_conn *c = pk_conn_new(db);
    if (!c)
        return SQLITE_NOMEM;
    int rc = add_functions(c);
    if (rc == SQLITE_OK)
        rc = add_reduce(c);
    if (rc == SQLITE_OK)
        rc = pk_vtab_register(c);
    if (rc == SQLITE_OK)
        rc = pk_vtab_map_register(c);
    if (rc == SQLITE_OK)
        rc = pk_vtab_job_register(c);
    if (rc == SQLITE_OK)
        rc = pk_vtab_estimate_register(c);
    pk_conn_release(c);
    return rc == SQLITE_OK ? SQLITE_OK_LOAD_PERMANENTLY : rc;
}
