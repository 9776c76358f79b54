/* backend.c - what a backend keeps for its life: transport, loop, resolved configs.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Made at the first call, never when the library is loaded, since that may happen in the postmaster
 * (shared_preload_libraries), which must stay without threads and sockets. Connections to
 * providers stay open between statements.
 */
#include "pk_pg.h"

#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include <unistd.h>

enum { CONNECTIONS_MAX = 64, NEAR_BYTES_MAX = 64 << 20 };

static struct pk_backend backend;
static struct pk_near *near;
static struct pk_secrets *secrets; /* NULL: there is no master key, or it cannot be read */
static char *allowed;              /* what the transport was told last */

const char *pk_master_key_path(void)
{
    static char path[MAXPGPATH];

    if (pk_settings.master_key_file[0])
        return pk_settings.master_key_file;
    (void)snprintf(path, sizeof path, "%s/pk_master.key", DataDir);
    return path;
}

const struct pk_secrets *pk_backend_secrets(bool create)
{
    struct pk_error err;

    if (!secrets)
        secrets = pk_secrets_open(pk_master_key_path(), create, &err);
    if (!secrets)
        pk_throw(&err, PK_NONE,
                 "pk.master_key_file names the file; it belongs to the server's user and "
                 "has mode 0600.");
    return secrets;
}

static pk_str default_embedder(void)
{
    return pk_str_of(pk_settings.embedder[0] ? pk_settings.embedder : getenv("PK_EMBEDDER"));
}

struct pk_resolver *pk_backend_resolver(void)
{
    struct pk_error err;

    if (!backend.resolver)
        backend.resolver = pk_resolver_new(pk_allocator_in(
            AllocSetContextCreate(TopMemoryContext, "pk configs", ALLOCSET_DEFAULT_SIZES)));
    if (!backend.resolver)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
    if (!pk_resolver_embedder(backend.resolver, default_embedder(), &err))
        pk_throw(&err, PK_NONE, NULL);
    return backend.resolver;
}

void pk_backend_hold(const struct pk_snapshot **place, const struct pk_snapshot *snapshot)
{
    pk_snapshot_hold(backend.resolver, place, snapshot);
}

struct pk_near *pk_backend_near(void)
{
    if (!near)
        near = pk_near_new(pk_allocator_in(AllocSetContextCreate(TopMemoryContext, "pk vectors",
                                                                 ALLOCSET_DEFAULT_SIZES)),
                           NEAR_BYTES_MAX);
    return near;
}

/* Frees the transport and what hangs on it; there may be no transfer. */
static void drop_transport(void)
{
    if (backend.waits)
        FreeWaitEventSet(backend.waits);
    pk_loop_free(backend.loop);
    pk_xfer_free(backend.xfer);
    backend.waits = NULL;
    backend.loop = NULL;
    backend.xfer = NULL;
}

static void at_exit(int code, Datum unused)
{
    if (pk_found_bug)
        return;
    drop_transport();
    pk_secrets_free(secrets);
    secrets = NULL;
}

static void make_waits(void)
{
    WaitEventSet *set = pk_wait_set_new(3);

    AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
    AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
    AddWaitEventToSet(set, WL_SOCKET_READABLE, pk_xfer_fd(backend.xfer), NULL, NULL);
    backend.waits = set;
}

static void keep_allowed(void)
{
    char *copy = MemoryContextStrdup(TopMemoryContext, pk_settings.allowed_hosts);

    if (allowed)
        pfree(allowed);
    allowed = copy;
}

static void make_transport(void)
{
    struct pk_error err;
    struct pk_xfer_options options = {
        .allowed_hosts = pk_settings.allowed_hosts,
        .connections_max = CONNECTIONS_MAX,
        .secrets = secrets,
    };
    static bool registered;

    if (!registered)
        on_proc_exit(at_exit, (Datum)0);
    registered = true;
    backend.xfer = pk_xfer_new(&options, &err);
    if (!backend.xfer)
        pk_throw(&err, PK_NONE, NULL);
    backend.loop = pk_loop_new(backend.xfer);
    if (!backend.loop)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
    keep_allowed();
    make_waits();
}

/* A master key that is there by now is taken into use; when it cannot be read, calls that need a
 * sealed key fail, and only those. */
static void look_for_secrets(void)
{
    struct pk_error err;

    if (secrets || access(pk_master_key_path(), F_OK) != 0)
        return;
    secrets = pk_secrets_open(pk_master_key_path(), false, &err);
    if (!secrets)
        ereport(WARNING, (errmsg("pk: %s", err.msg)));
}

bool pk_backend_needs_secrets(const struct pk_config *config)
{
    for (int i = 0; i < config->target_count; i++)
        if (config->targets[i].key.kind == PK_KEY_SEALED)
            return true;
    for (int i = 0; i < config->embedder_count; i++)
        if (config->embedders[i].target.key.kind == PK_KEY_SEALED)
            return true;
    return false;
}

struct pk_backend *pk_backend(bool needs_secrets)
{
    static const struct pk_secrets *given;

    if (needs_secrets)
        look_for_secrets();
    if (!backend.waits || (given != secrets && !pk_run_any())) {
        drop_transport();
        make_transport();
        given = secrets;
    }
    if (strcmp(allowed, pk_settings.allowed_hosts) != 0) {
        pk_xfer_allow(backend.xfer, pk_settings.allowed_hosts);
        keep_allowed();
    }
    return &backend;
}
