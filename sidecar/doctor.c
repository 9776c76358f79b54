/* doctor.c - `pkd doctor`: one line a check, with what to do about it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Looks, and changes nothing: what is not there yet is not made, and a store of an older pk is not migrated.
 */
#include "auth.h"
#include "command.h"
#include "home.h"
#include "listen.h"
#include "sqlite.h"
#include "xfer.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
    PATH_BYTES_MAX = 4096,
    DESCRIPTORS_MIN = 4096,
    SQLITE_MIN = 3038000,
    FREE_MIB_MIN = 64,   /* less is soon full */
    TRIAL_BYTES = 65536, /* a full disk still takes an empty file */
};

enum verdict { FINE, WARN, BAD };

struct finding {
    enum verdict verdict;
    char what[512];
    char advice[256]; /* empty when fine */
};

struct patient {
    const struct pkd_options *options;
    struct pkd_home home;
    struct pk_store *store; /* NULL: it could not be opened, or would be changed by that */
    char key_path[PATH_BYTES_MAX];
};

static PK_PRINTF(4, 5) void find(struct finding *f, enum verdict v, const char *advice,
                                 const char *fmt, ...)
{
    va_list args;

    f->verdict = v;
    (void)snprintf(f->advice, sizeof f->advice, "%s", advice);
    va_start(args, fmt);
    (void)vsnprintf(f->what, sizeof f->what, fmt, args);
    va_end(args);
}

/* --- the checks ---------------------------------------------------------------------------- */

/* The folder that `path` is, or will be made, in; or the nearest one above that exists. */
static void folder_of(const char *path, char *out, size_t size)
{
    (void)snprintf(out, size, "%s", path);
    do {
        char *slash = strrchr(out, '/');

        if (!slash) {
            (void)snprintf(out, size, ".");
            return;
        }
        slash[slash == out] = 0;
    } while (access(out, F_OK) != 0 && out[1]);
}

/* Why nothing can be written in the folder, or NULL: only trying tells, of a file system that takes no files, a full
 * disk, a quota. What is tried leaves nothing behind. */
static const char *why_not_in(const char *folder)
{
    static const char zeros[TRIAL_BYTES];
    char path[PATH_BYTES_MAX + 32];
    const char *why = NULL;

    (void)snprintf(path, sizeof path, "%s/.pkd-doctor-XXXXXX", folder);
    int fd = mkstemp(path);
    if (fd < 0)
        return strerror(errno);
    ssize_t wrote = write(fd, zeros, sizeof zeros);
    if (wrote != (ssize_t)sizeof zeros)
        why = strerror(wrote < 0 ? errno : ENOSPC);
    (void)close(fd);
    (void)unlink(path);
    return why;
}

static void check_missing(const char *path, int reason, struct finding *f)
{
    char folder[PATH_BYTES_MAX];

    folder_of(path, folder, sizeof folder);
    const char *why = reason == ENOENT ? why_not_in(folder) : strerror(reason);
    if (!why)
        find(f, WARN, "nothing: it is made at first use", "%s is not there yet", path);
    else
        find(f, BAD, "choose another path, or see to it that the folder can be written to",
             "%.250s cannot be made in %.150s: %s", path, folder, why);
}

/* How much the file system of the store's folder has left. */
static int64_t free_mib(const char *path)
{
    char folder[PATH_BYTES_MAX];
    struct statvfs at;

    folder_of(path, folder, sizeof folder);
    if (statvfs(folder, &at) != 0)
        return FREE_MIB_MIN;
    return (int64_t)(at.f_bavail / 1024 * at.f_frsize / 1024);
}

static void judge_file(const struct patient *p, int64_t epoch, struct finding *f)
{
    const char *name = p->home.name;
    struct stat st = {0};

    if (stat(name, &st) == 0 && st.st_mode & 077)
        find(f, WARN, "chmod 600 the store file", "%s can be read by others", name);
    else if (free_mib(name) < FREE_MIB_MIN)
        find(f, WARN, "free some space there, or set --retention-logs and --retention-payloads",
             "%s: %lld MiB are left on its file system", name, (long long)free_mib(name));
    else
        find(f, FINE, "", "%s (%lld KiB, epoch %lld)", name, (long long)st.st_size >> 10,
             (long long)epoch);
}

/* Of a file: whether SQLite can keep its log beside it, and the version; to open one is to migrate it. */
static bool may_open(const struct patient *p, struct finding *f)
{
    struct pk_error err = {0};
    struct pk_schema_versions schema;
    char folder[PATH_BYTES_MAX];

    folder_of(p->home.path, folder, sizeof folder);
    const char *why = why_not_in(folder);
    if (why)
        find(f, BAD, "free some space there, or make the folder writable for this user",
             "%.250s: nothing can be written in %.150s: %s", p->home.path, folder, why);
    else if (!pk_store_sqlite_look(p->home.sqlite, p->home.path, &schema, &err))
        find(f, BAD, "see the message; another --store may do", "%s", err.msg);
    else if (schema.there == 0)
        find(f, WARN, "nothing: its tables are made at first use", "%s is empty", p->home.name);
    else if (schema.there < schema.here)
        find(f, WARN, "copy it first (docs/store.md, Backup): an older pk cannot use it after that",
             "%s has schema version %lld; it is brought to %d when this pk opens it", p->home.name,
             (long long)schema.there, schema.here);
    else
        return true;
    return false;
}

static void check_store(struct patient *p, struct finding *f)
{
    struct pk_error err = {0};
    struct stat st;
    int64_t epoch = 0;

    if (!p->home.pq && stat(p->home.path, &st) != 0) {
        check_missing(p->home.path, errno, f);
        return;
    }
    if (!p->home.pq && !may_open(p, f))
        return;
    struct pk_store *store = pkd_home_open(&p->home, p->home.timeout_ms, &err);
    if (store && pk_store_epoch(store, &epoch, &err)) {
        p->store = store;
        if (p->home.pq)
            find(f, FINE, "", "%s (epoch %lld)", p->home.name, (long long)epoch);
        else
            judge_file(p, epoch, f);
        return;
    }
    pk_store_close(store);
    find(f, BAD,
         p->home.pq ? "see the message: start the database, update pk or pkd, or correct --store"
                    : "see the message; another --store may do",
         "%s", err.msg);
}

static const char *remedy(const struct patient *p)
{
    return p->home.pq ? "copy pk_master.key of the database's server, and name the copy by "
                        "--master-key-file"
                      : "restore the file from a backup, or put the keys in again: pkd key rotate";
}

static void check_master_key(struct patient *p, struct finding *f)
{
    struct pk_error err = {0};
    struct pk_secrets *s = NULL;
    bool there = access(p->key_path, F_OK) == 0;
    int reason = errno;

    if (there)
        s = pk_secrets_open(p->key_path, false, &err);
    if (there && !s)
        find(f, BAD, "make it this user's, with mode 0600, or restore it from a backup", "%s",
             err.msg);
    else if (p->store && !pkd_home_check_key(p->store, s, p->key_path, &err))
        find(f, BAD, remedy(p), "%s", err.msg);
    else if (there)
        find(f, FINE, "", "%s", p->key_path);
    else if (p->home.pq)
        find(f, p->store ? FINE : WARN, p->store ? "" : remedy(p), "%s is not there%s", p->key_path,
             p->store ? ", and there are no sealed keys" : "");
    else
        check_missing(p->key_path, reason, f);
    pk_secrets_free(s);
}

static void check_tls(struct patient *p, struct finding *f)
{
    struct pk_xfer_about about = pk_xfer_about();

    (void)p;
    if (!*about.version)
        find(f, BAD, "install libcurl 4", "there is none without libcurl");
    else if (*about.ca_file && access(about.ca_file, R_OK) == 0)
        find(f, FINE, "", "certificate authorities in %s", about.ca_file);
    else if (*about.ca_path && access(about.ca_path, R_OK | X_OK) == 0)
        find(f, FINE, "", "certificate authorities in %s", about.ca_path);
    else
        find(f, BAD, "install the package ca-certificates", "no certificate authorities at %s",
             *about.ca_file ? about.ca_file : "any known place");
}

/* A row of key_list: slug, provider, status. */
static bool count_active(void *ctx, const struct pk_value *columns, int count)
{
    (void)count;
    *(int *)ctx += pk_str_is(columns[2].s, "active");
    return true;
}

/* How many virtual keys the store has in force. */
static int virtual_keys(const struct patient *p)
{
    struct pk_error err = {0};
    int count = 0;

    if (p->store)
        (void)p->store->ops->exec(p->store, PK_SQL_key_list, NULL, 0, count_active, &count, &err);
    return count;
}

static void check_environment(struct patient *p, struct finding *f)
{
    char names[384] = "";
    const struct pk_provider *provider;
    int stored = virtual_keys(p);

    for (int i = 0; (provider = pk_provider_at(i)); i++) {
        const char *key = *provider->key_env ? getenv(provider->key_env) : NULL;
        size_t len = strlen(names);

        if (key && *key && !strstr(names, provider->key_env))
            (void)snprintf(names + len, sizeof names - len, " %s", provider->key_env);
    }
    if (*names)
        find(f, FINE, "", "keys found:%s", names);
    else if (stored)
        find(f, FINE, "", "no provider key is set; virtual keys in the store: %d", stored);
    else
        find(f, WARN, "set OPENAI_API_KEY or the like, or `pkd key put`", "no provider key is set");
}

/* Whether the store holds an API key in force. */
static bool has_keys(const struct patient *p)
{
    struct pk_error err = {0};
    bool needed = false;

    return p->store && pkd_auth_needed(p->store, &needed, &err) && needed;
}

static void check_port(struct patient *p, struct finding *f)
{
    struct pk_error err = {0};
    struct pkd_address address;
    int fd;

    if (strcmp(p->options->listen, "none") == 0)
        find(f, FINE, "", "no TCP port is asked for");
    else if (!pkd_address_read(p->options->listen, has_keys(p), &address, &err))
        find(f, BAD, "listen on 127.0.0.1:PORT", "%s", err.msg);
    else if (!pkd_listen_tcp(&address, &fd, 1, false, &err))
        find(f, BAD,
             strstr(err.msg, strerror(EACCES))
                 ? "choose a port from 1024 on, or let systemd listen (pkd.socket)"
                 : "stop the other program or choose --listen (a running pkd is fine)",
             "%s", err.msg);
    else {
        (void)close(fd);
        find(f, FINE, "", "%s is free", address.text);
    }
}

/* Certificates, expiry dates, budgets and the order of log rows all hang on it. */
static void check_clock(struct patient *p, struct finding *f)
{
    time_t now = time(NULL);
    struct tm day;
    char date[16] = "", text[32] = "";

    (void)p;
    if (gmtime_r(&now, &day)) {
        (void)strftime(date, sizeof date, "%Y%m%d", &day);
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &day);
    }
    if (strtol(date, NULL, 10) < pk_store_prices_as_of())
        find(f, BAD, "set it: timedatectl set-ntp true", "%s is before this pk was made", text);
    else
        find(f, FINE, "", "%s", text);
}

static void check_descriptors(struct patient *p, struct finding *f)
{
    struct rlimit limit;

    (void)p;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        find(f, WARN, "see getrlimit(2)", "the limit is unknown: %s", strerror(errno));
    else if (limit.rlim_max < DESCRIPTORS_MIN)
        find(f, WARN, "raise the hard limit (ulimit -Hn, LimitNOFILE=)",
             "%llu descriptors, about %llu calls at a time", (unsigned long long)limit.rlim_max,
             (unsigned long long)limit.rlim_max / 2);
    else
        find(f, FINE, "", "%llu descriptors", (unsigned long long)limit.rlim_max);
}

static void check_libraries(struct patient *p, struct finding *f)
{
    struct pk_xfer_about about = pk_xfer_about();
    bool old = sqlite3_libversion_number() < SQLITE_MIN;

    (void)p;
    if (!*about.version) {
        find(f, BAD, "install libcurl 4",
             "libcurl is missing: only http:// and an address can be called");
        return;
    }
    find(f, old ? BAD : FINE, old ? "install SQLite 3.38 or newer" : "",
         "pk %s, SQLite %s, libcurl %s, %s", PK_VERSION, sqlite3_libversion(), about.version,
         about.tls);
}

static const struct check {
    const char *name;
    void (*run)(struct patient *p, struct finding *f);
} checks[] = {
    {"libraries", check_libraries},
    {"store", check_store},
    {"master key", check_master_key},
    {"tls", check_tls},
    {"environment", check_environment},
    {"port", check_port},
    {"clock", check_clock},
    {"descriptors", check_descriptors},
};

/* --- the report ---------------------------------------------------------------------------- */

static void print_line(const struct check *c, const struct finding *f)
{
    static const char *const words[] = {"ok  ", "warn", "FAIL"};

    (void)printf("%s  %-12s %s\n", words[f->verdict], c->name, f->what);
    if (*f->advice)
        (void)printf("      %-12s -> %s\n", "", f->advice);
}

static void print_json(struct pk_buf *out, const struct check *c, const struct finding *f)
{
    static const char *const words[] = {"ok", "warn", "fail"};

    pk_buf_addf(out, "%s{\"check\":\"%s\",\"status\":\"%s\",\"message\":", out->len > 1 ? "," : "",
                c->name, words[f->verdict]);
    pk_json_quote(out, pk_str_of(f->what));
    pk_buf_adds(out, ",\"advice\":");
    pk_json_quote(out, pk_str_of(f->advice));
    pk_buf_addc(out, '}');
}

static bool examine(struct patient *p, struct pk_arena *arena)
{
    struct pk_buf out = pk_buf_in(arena, 64 << 10);
    bool healthy = true;

    pk_buf_addc(&out, '[');
    for (size_t i = 0; i < PK_COUNT(checks); i++) {
        struct finding f = {0};

        checks[i].run(p, &f);
        healthy = healthy && f.verdict != BAD;
        if (p->options->json)
            print_json(&out, &checks[i], &f);
        else
            print_line(&checks[i], &f);
    }
    pk_buf_addc(&out, ']');
    if (p->options->json)
        (void)printf("%.*s\n", PK_FMT(pk_buf_str(&out)));
    return healthy;
}

int pkd_doctor(const struct pkd_options *o)
{
    struct patient p = {.options = o};
    struct pk_arena arena;
    struct pk_error err = {0};

    if (o->word_count || !pkd_home_find(&p.home, o, PKD_COMMAND_MS, &err) ||
        !pkd_home_key_path(&p.home, o, p.key_path, sizeof p.key_path, &err)) {
        (void)fprintf(stderr, "pkd doctor: %s\n", o->word_count ? "takes no arguments" : err.msg);
        return 2;
    }
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    bool healthy = examine(&p, &arena);
    pk_arena_free(&arena);
    pk_store_close(p.store);
    pkd_home_free(&p.home);
    return healthy ? 0 : 1;
}
