/* doctor.c - `pkd doctor`: one line a check, with what to do about it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Looks, and changes nothing: what is not there yet is not made.
 */
#include "auth.h"
#include "command.h"
#include "home.h"
#include "listen.h"
#include "xfer.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 4096, DESCRIPTORS_MIN = 4096, SQLITE_MIN = 3038000 };

enum verdict { FINE, WARN, BAD };

struct finding {
    enum verdict verdict;
    char what[512];
    char advice[256]; /* empty when fine */
};

struct patient {
    const struct pkd_options *options;
    struct pkd_home home;
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

static void check_missing(const char *path, struct finding *f)
{
    char folder[PATH_BYTES_MAX];

    folder_of(path, folder, sizeof folder);
    if (access(folder, W_OK | X_OK) == 0)
        find(f, WARN, "nothing: it is made at first use", "%s is not there yet", path);
    else
        find(f, BAD, "choose another path, or make the folder writable",
             "%s cannot be made in %s: %s", path, folder, strerror(errno));
}

static void check_store(const struct patient *p, struct finding *f)
{
    struct pk_error err = {0};
    struct stat st = {0};
    int64_t epoch = 0;

    if (!p->home.pq && stat(p->home.path, &st) != 0) {
        check_missing(p->home.path, f);
        return;
    }
    struct pk_store *store = pkd_home_open(&p->home, p->options->store_ms, &err);
    if (!store || !pk_store_epoch(store, &epoch, &err))
        find(f, BAD, "see the message; another --store may do", "%s", err.msg);
    else if (st.st_mode & 077)
        find(f, WARN, "chmod 600 the store file", "%s can be read by others", p->home.name);
    else if (p->home.pq)
        find(f, FINE, "", "%s (epoch %lld)", p->home.name, (long long)epoch);
    else
        find(f, FINE, "", "%s (%lld KiB, epoch %lld)", p->home.name, (long long)st.st_size >> 10,
             (long long)epoch);
    pk_store_close(store);
}

static void check_master_key(const struct patient *p, struct finding *f)
{
    struct pk_error err = {0};

    if (access(p->key_path, F_OK) != 0) {
        check_missing(p->key_path, f);
        return;
    }
    struct pk_secrets *s = pk_secrets_open(p->key_path, false, &err);
    if (s)
        find(f, FINE, "", "%s", p->key_path);
    else
        find(f, BAD, "restore the file from a backup, with mode 0600", "%s", err.msg);
    pk_secrets_free(s);
}

static void check_tls(const struct patient *p, struct finding *f)
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

static void check_environment(const struct patient *p, struct finding *f)
{
    char names[384] = "";
    const struct pk_provider *provider;

    (void)p;
    for (int i = 0; (provider = pk_provider_at(i)); i++) {
        const char *key = *provider->key_env ? getenv(provider->key_env) : NULL;
        size_t len = strlen(names);

        if (key && *key && !strstr(names, provider->key_env))
            (void)snprintf(names + len, sizeof names - len, " %s", provider->key_env);
    }
    if (*names)
        find(f, FINE, "", "keys found:%s", names);
    else
        find(f, WARN, "set OPENAI_API_KEY or the like, or `pkd key put`", "no provider key is set");
}

/* Whether the store holds an API key in force. */
static bool has_keys(const struct patient *p)
{
    struct pk_error err = {0};
    bool needed = false;

    if (!p->home.pq && access(p->home.path, F_OK) != 0)
        return false;
    struct pk_store *store = pkd_home_open(&p->home, p->options->store_ms, &err);
    if (store && !pkd_auth_needed(store, &needed, &err))
        needed = false;
    pk_store_close(store);
    return needed;
}

static void check_port(const struct patient *p, struct finding *f)
{
    struct pk_error err = {0};
    struct pkd_address address;
    int fd;

    if (strcmp(p->options->listen, "none") == 0)
        find(f, FINE, "", "no TCP port is asked for");
    else if (!pkd_address_read(p->options->listen, has_keys(p), &address, &err))
        find(f, BAD, "listen on 127.0.0.1:PORT", "%s", err.msg);
    else if (!pkd_listen_tcp(&address, &fd, 1, false, &err))
        find(f, BAD, "stop the other program or choose --listen (a running pkd is fine)", "%s",
             err.msg);
    else {
        (void)close(fd);
        find(f, FINE, "", "%s is free", address.text);
    }
}

static void check_descriptors(const struct patient *p, struct finding *f)
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

static void check_libraries(const struct patient *p, struct finding *f)
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
    void (*run)(const struct patient *p, struct finding *f);
} checks[] = {
    {"libraries", check_libraries},     {"store", check_store},
    {"master key", check_master_key},   {"tls", check_tls},
    {"environment", check_environment}, {"port", check_port},
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

static bool examine(const struct patient *p, struct pk_arena *arena)
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

    if (o->word_count || !pkd_home_find(&p.home, o, &err) ||
        !pkd_home_key_path(&p.home, o, p.key_path, sizeof p.key_path, &err)) {
        (void)fprintf(stderr, "pkd doctor: %s\n", o->word_count ? "takes no arguments" : err.msg);
        return 2;
    }
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    bool healthy = examine(&p, &arena);
    pk_arena_free(&arena);
    return healthy ? 0 : 1;
}
