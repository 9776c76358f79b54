/* xfer_token_test.c - requests that wait for a token, whoever gives up and whatever its issuer answers.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "loopback.h"
#include "place.h"
#include "test.h"
#include "xfer.h"

#include <string.h>

enum { WAITERS = 20 };

static struct loopback server;
static struct pk_xfer *x;
static struct pk_error err;

/* One request to Vertex AI at the server, under the login of a user whose tokens come from `path` there. */
struct request {
    struct pk_target target;
    struct pk_exchange ex;
    struct pk_transfer *t;
    char key[512], url[64], body[4096];
    size_t len;
    bool over;
    struct pk_error error;
};

static void make(struct request *r, const char *token_url, const char *user)
{
    *r = (struct request){0};
    (void)snprintf(r->key, sizeof r->key,
                   "{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"s\","
                   "\"refresh_token\":\"refresh-of-%s\",\"token_uri\":\"%s\"}",
                   user, token_url);
    (void)snprintf(r->url, sizeof r->url, "http://127.0.0.1:%d/echo", server.port);
    r->target = (struct pk_target){
        .provider = pk_provider_find(PK_STR("vertex-ai")),
        .key = {.kind = PK_KEY_LITERAL, .value = pk_str_of(r->key)},
    };
    r->ex =
        (struct pk_exchange){.url = pk_str_of(r->url), .body = PK_STR("{}"), .target = &r->target};
}

static const char *at(const char *path)
{
    static char url[128];

    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d%s", server.port, path);
    return url;
}

static bool start(struct request *r, const char *token_url, const char *user)
{
    make(r, token_url, user);
    r->t = pk_xfer_start(x, &r->ex, r, &err);
    return r->t != NULL;
}

static void pump(void)
{
    struct pollfd p = {.fd = pk_xfer_fd(x), .events = POLLIN};
    int64_t wait_ms = pk_xfer_deadline_ms(x) - pk_clock_ms();

    (void)poll(&p, 1, wait_ms < 0 ? 0 : wait_ms > 20 ? 20 : (int)wait_ms);
    pk_xfer_pump(x);
    while (pk_xfer_next_ready(x))
        continue;
}

static void drain(struct request *r)
{
    struct pk_event ev;

    while (!r->over && pk_transfer_event(r->t, &ev)) {
        if (ev.kind == PK_EV_BODY && r->len + ev.bytes.len < sizeof r->body) {
            memcpy(r->body + r->len, ev.bytes.at, ev.bytes.len);
            r->len += ev.bytes.len;
        }
        r->over = ev.kind == PK_EV_END || ev.kind == PK_EV_FAIL;
        r->error = ev.error;
    }
}

static void finish(struct request *r)
{
    int64_t until = pk_clock_ms() + 30000;

    for (drain(r); !r->over && pk_clock_ms() < until; drain(r))
        pump();
    EXPECT(r->over);
    pk_transfer_free(r->t);
    r->t = NULL;
}

static long requests(void)
{
    return server.seen->requests;
}

static void all_who_wait_get_one_token(void)
{
    static struct request all[WAITERS];
    struct request later;
    long before = requests();

    for (int i = 0; i < WAITERS; i++)
        EXPECT(start(&all[i], at("/token"), "all"));
    for (int i = 0; i < WAITERS; i++) {
        finish(&all[i]);
        EXPECT(all[i].error.code == PK_OK && strstr(all[i].body, "POST /echo"));
    }
    EXPECT(requests() == before + WAITERS + 1);
    EXPECT(start(&later, at("/token"), "all"));
    finish(&later);
    EXPECT(requests() == before + WAITERS + 2); /* it is kept */
    EXPECT(pk_xfer_active(x) == 0);
}

static void another_login_has_another_token(void)
{
    struct request a, b;
    long before = requests();

    EXPECT(start(&a, at("/token"), "a") && start(&b, at("/token"), "b"));
    finish(&a);
    finish(&b);
    EXPECT(requests() == before + 4);
}

static void who_gives_up_leaves_the_others_theirs(void)
{
    struct request first, second, third;
    long before = requests();

    EXPECT(start(&first, at("/token"), "given up") && start(&second, at("/token"), "given up") &&
           start(&third, at("/token"), "given up"));
    pump();
    pk_transfer_free(first.t);
    pk_transfer_free(third.t);
    finish(&second);
    EXPECT(second.error.code == PK_OK && strstr(second.body, "POST /echo"));
    EXPECT(requests() == before + 2 && pk_xfer_active(x) == 0);
}

static void nothing_is_left_when_all_give_up(void)
{
    struct request r, again;
    int64_t until = pk_clock_ms() + 30000;

    EXPECT(start(&r, at("/wait"), "hopeless"));
    while (requests() == 0 && pk_clock_ms() < until)
        pump();
    EXPECT(pk_xfer_active(x) == 2); /* it, and the fetch */
    pk_transfer_free(r.t);
    EXPECT(pk_xfer_active(x) == 0);
    EXPECT(start(&again, at("/token"), "hopeless"));
    finish(&again);
    EXPECT(again.error.code == PK_OK);
}

static void a_bad_issuer_is_an_error_of_all_who_wait(void)
{
    static const char *const paths[] = {"/denied", "/ok",      "/big",      "/garbage", "/reset",
                                        "/cut",    "/nothing", "/redirect", "/huge",    "/endless"};
    struct request a, b;

    for (size_t i = 0; i < PK_COUNT(paths); i++) {
        EXPECT(start(&a, at(paths[i]), "bad") && start(&b, at(paths[i]), "bad"));
        finish(&a);
        finish(&b);
        if (!EXPECT(a.error.code != PK_OK && b.error.code == a.error.code &&
                    strstr(a.error.msg, "vertex-ai: ") && !strstr(a.error.msg, "refresh-of")))
            printf("# %s: %s\n", paths[i], a.error.msg);
        EXPECT(pk_xfer_active(x) == 0);
    }
}

static void an_issuer_must_be_googles_or_allowed(void)
{
    static const char *const urls[] = {"https://evil.example/token",
                                       "http://oauth2.googleapis.com/",
                                       "https://oauth2.googleapis.com.evil.example/token",
                                       "http://169.254.169.254/token", "file:///etc/passwd"};
    struct request r;

    for (size_t i = 0; i < PK_COUNT(urls); i++) {
        if (!EXPECT(!start(&r, urls[i], "lured") &&
                    (err.code == PK_HOST_DENIED || err.code == PK_BAD_CONFIG)))
            printf("# %s\n", urls[i]);
        EXPECT(pk_xfer_active(x) == 0);
    }
}

static void a_refused_token_is_fetched_anew(void)
{
    struct request r;
    long before = requests();

    make(&r, at("/token"), "refused");
    (void)snprintf(r.url, sizeof r.url, "http://127.0.0.1:%d/denied", server.port);
    r.ex.url = pk_str_of(r.url);
    r.t = pk_xfer_start(x, &r.ex, &r, &err);
    finish(&r);
    EXPECT(strstr(r.body, "Bearer ") && !strstr(r.body, "token-")); /* asterisks in its place */
    EXPECT(start(&r, at("/token"), "refused"));
    finish(&r);
    EXPECT(requests() == before + 4);
}

/* Those who wait in the parent fail in a child, which then can start anew. */
static void a_child_does_not_wait_for_its_parent_s_token(void)
{
    struct request r, own;
    int status = 0;

    EXPECT(start(&r, at("/token"), "forked"));
    pump();
    pid_t child = fork();
    if (child == 0) {
        pump();
        drain(&r);
        bool ok = r.over && r.error.code == PK_NETWORK;
        pk_transfer_free(r.t);
        ok = ok && pk_xfer_active(x) == 0 && start(&own, at("/token"), "forked");
        if (ok)
            finish(&own);
        _exit(ok && own.error.code == PK_OK ? 0 : 1);
    }
    EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    finish(&r);
    EXPECT(r.error.code == PK_OK);
}

int main(void)
{
    struct pk_xfer_options options = {
        .allowed_hosts = "", .connections_max = 64, .connect_ms = 2000};

    server = loopback_start();
    x = pk_xfer_new(&options, &err);
    if (!x)
        abort();
    RUN(nothing_is_left_when_all_give_up);
    RUN(all_who_wait_get_one_token);
    RUN(another_login_has_another_token);
    RUN(who_gives_up_leaves_the_others_theirs);
    RUN(a_bad_issuer_is_an_error_of_all_who_wait);
    RUN(an_issuer_must_be_googles_or_allowed);
    RUN(a_refused_token_is_fetched_anew);
    RUN(a_child_does_not_wait_for_its_parent_s_token);
    pk_xfer_free(x);
    loopback_stop(&server);
    return test_end();
}
