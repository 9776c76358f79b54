/* route_test.c - where walks go: shares, stickiness, open circuits, figures.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "config.h"
#include "sticky.h"
#include "test.h"

#include <string.h>

enum { DRAWS = 100000 };

static struct pk_arena arena;
static struct pk_config config;
static struct pk_steer steer;

/* A config in short: "name*weight" leaves; f(...) fallback, l(...) loadbalance, y(...) by latency, c(...)
 * by cost. */
static const char *write_node(const char *at, struct pk_buf *out)
{
    static const struct {
        char letter;
        const char *strategy;
    } groups[] = {{'f', "\"fallback\""},
                  {'l', "\"loadbalance\""},
                  {'y', "\"loadbalance\",\"by\":\"latency\""},
                  {'c', "\"loadbalance\",\"by\":\"cost\""}};
    size_t i = 0;

    while (at[1] == '(' && groups[i].letter != *at)
        i++;
    if (at[1] != '(') {
        size_t len = strcspn(at, ",)*");

        pk_buf_addf(out, "{\"provider\":\"openai\",\"name\":\"%.*s\"", (int)len, at);
        at += len;
        if (*at == '*')
            pk_buf_addf(out, ",\"weight\":%ld", strtol(at + 1, NULL, 10));
        pk_buf_addc(out, '}');
        return at + strcspn(at, ",)");
    }
    pk_buf_addf(out, "{\"strategy\":{\"mode\":%s},\"targets\":[", groups[i].strategy);
    for (at++; *at != ')'; pk_buf_adds(out, *at == ',' ? "," : ""))
        at = write_node(at + 1, out);
    pk_buf_adds(out, "]}");
    at++;
    return at + strcspn(at, ",)");
}

static void make(const char *text)
{
    struct pk_buf out = pk_buf_in(&arena, 1 << 20);
    struct pk_error err = {0};

    (void)write_node(text, &out);
    if (!EXPECT(pk_config_parse(&arena, pk_buf_str(&out), &config, &err)))
        printf("# %s: %.*s: %s\n", text, PK_FMT(pk_buf_str(&out)), err.msg);
    steer = (struct pk_steer){.random = 42};
}

static int leaf(const char *name)
{
    for (int i = 0; i < config.route.count; i++)
        if (config.route.nodes[i].strategy == PK_LEAF &&
            pk_str_is(config.route.nodes[i].name, name))
            return i;
    EXPECT(false);
    return 0;
}

static void open_leaves(const char *names)
{
    for (; *names; names++)
        steer.open |= (uint64_t)1 << leaf((char[]){*names, 0});
}

/* Counts by leaf what DRAWS walks give first. */
static void draw(int counts[PK_NODES_MAX], const struct pk_figure *figures)
{
    memset(counts, 0, PK_NODES_MAX * sizeof *counts);
    pk_route_settle(&config.route, &steer, figures);
    for (int i = 0; i < DRAWS; i++)
        counts[pk_route_first(&config.route, &steer)]++;
}

/* Whether counts are what the shares promise: chi-square below the value that chance exceeds once in a
 * thousand, for up to four degrees of freedom. */
static bool fits(const int counts[PK_NODES_MAX], const char *names, const double *shares)
{
    static const double once_in_1000[] = {10.83, 10.83, 13.82, 16.27, 18.47};
    double sum = 0, chi = 0;
    size_t n = strlen(names);

    for (size_t i = 0; i < n; i++)
        sum += shares[i];
    for (size_t i = 0; i < n; i++) {
        double expected = DRAWS * shares[i] / sum;
        double off = counts[leaf((char[]){names[i], 0})] - expected;

        if (shares[i] > 0)
            chi += off * off / expected;
        else if (counts[leaf((char[]){names[i], 0})] > 0)
            return false;
    }
    if (chi >= once_in_1000[n - 1])
        printf("# chi-square %.2f\n", chi);
    return chi < once_in_1000[n - 1];
}

static void shares_follow_the_weights(void)
{
    static const struct {
        const char *route, *names;
        double shares[4];
    } cases[] = {
        {"l(a*50,b*30,c*20)", "abc", {50, 30, 20}}, {"l(a,b,c)", "abc", {1, 1, 1}},
        {"l(a*1,b*999)", "ab", {1, 999}},           {"l(a*0,b*2,c*2)", "abc", {0, 1, 1}},
        {"l(l(a,b),c)", "abc", {1, 1, 2}},          {"f(l(a*3,b),c)", "abc", {3, 1, 0}},
    };
    int counts[PK_NODES_MAX];

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        make(cases[i].route);
        draw(counts, NULL);
        if (!EXPECT(fits(counts, cases[i].names, cases[i].shares)))
            printf("# %s\n", cases[i].route);
    }
}

/* A hundred thousand users, each with a hash of its own. */
static void draw_sticky(int where[DRAWS], int counts[PK_NODES_MAX])
{
    uint64_t random = 7;

    memset(counts, 0, PK_NODES_MAX * sizeof *counts);
    steer.sticky = UINT64_MAX;
    pk_route_settle(&config.route, &steer, NULL);
    for (int i = 0; i < DRAWS; i++) {
        for (int n = 0; n < config.route.count; n++)
            steer.hashes[n] = random;
        (void)pk_random_next(&random);
        where[i] = pk_route_first(&config.route, &steer);
        counts[where[i]]++;
    }
}

static void sticky_shares_follow_the_weights_too(void)
{
    static int where[DRAWS], again[DRAWS];
    int counts[PK_NODES_MAX];

    make("l(a*50,b*30,c*20)");
    draw_sticky(where, counts);
    EXPECT(fits(counts, "abc", (double[]){50, 30, 20}));
    steer.random = 1; /* chance has no part in it */
    draw_sticky(again, counts);
    EXPECT(memcmp(where, again, sizeof where) == 0);
    make("l(l(a,b),c*2)");
    draw_sticky(where, counts);
    EXPECT(fits(counts, "abc", (double[]){1, 1, 4}));
}

/* Maps leaves to what they are called, so that two configs can be compared. */
static void name_them(const int where[DRAWS], char names[DRAWS])
{
    for (int i = 0; i < DRAWS; i++)
        names[i] = config.route.nodes[where[i]].name.at[0];
}

static void only_what_has_to_moves(void)
{
    static const struct {
        const char *what, *before, *after, *open;
        char gone, come; /* those who move leave `gone`, or go to `come` */
    } cases[] = {
        {"a target is added", "l(a,b,c)", "l(x,a,b,c)", "", 0, 'x'},
        {"a target is removed", "l(a,b,c)", "l(b,c)", "", 'a', 0},
        {"targets change places", "l(a,b,c)", "l(c,a,b)", "", 0, 0},
        {"a circuit opens", "l(a,b,c)", "l(a,b,c)", "b", 'b', 0},
        {"a target gets more weight", "l(a,b,c)", "l(a,b*3,c)", "", 0, 'b'},
        {"a target gets less weight", "l(a,b*3,c)", "l(a,b,c)", "", 'b', 0},
    };
    static int where[DRAWS];
    static char before[DRAWS], after[DRAWS];
    int counts[PK_NODES_MAX];

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        int wrong = 0, moved = 0;

        make(cases[i].before);
        draw_sticky(where, counts);
        name_them(where, before);
        make(cases[i].after);
        open_leaves(cases[i].open);
        draw_sticky(where, counts);
        name_them(where, after);
        for (int k = 0; k < DRAWS; k++) {
            moved += before[k] != after[k];
            wrong +=
                before[k] != after[k] && before[k] != cases[i].gone && after[k] != cases[i].come;
        }
        if (!EXPECT(wrong == 0 && (moved > 0) == (cases[i].gone || cases[i].come)))
            printf("# %s: %d moved, %d without need\n", cases[i].what, moved, wrong);
    }
}

/* The order of attempts when every one ends in 500. */
static void trace(char *out)
{
    pk_route_settle(&config.route, &steer, NULL);
    for (int n = pk_route_first(&config.route, &steer); n >= 0;
         n = pk_route_next(&config.route, &steer, n, 500))
        *out++ = config.route.nodes[n].name.at[0];
    *out = 0;
}

static void open_circuits_are_passed_over(void)
{
    static const struct {
        const char *route, *open, *tried;
    } cases[] = {
        {"f(a,b,c)", "", "abc"},
        {"f(a,b,c)", "a", "bc"},
        {"f(a,b,c)", "b", "ac"},
        {"f(a,b,c)", "c", "ab"},
        {"f(a,b,c)", "ab", "c"},
        {"f(a,b,c)", "abc", "abc"}, /* all open: as if none were */
        {"f(f(a,b),c)", "ab", "c"},
        {"f(f(a,b),c)", "a", "bc"},
        {"f(f(a,b),c)", "abc", "abc"},
        {"f(f(a,b),f(c,d))", "acd", "b"},
        {"l(a,b*0)", "a", "a"}, /* what has no weight is no way out */
        {"l(a,b)", "a", "b"},
        {"f(l(a,b),c)", "ab", "c"},
        {"f(l(a,b),c)", "bc", "a"},
        {"l(f(a,b),c*0)", "a", "b"},
        {"a", "a", "a"},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        char tried[PK_NODES_MAX + 1];

        make(cases[i].route);
        open_leaves(cases[i].open);
        trace(tried);
        if (!EXPECT(strcmp(tried, cases[i].tried) == 0))
            printf("# %s without %s: %s\n", cases[i].route, cases[i].open, tried);
    }
}

static void a_balance_by_figures_prefers_the_best(void)
{
    static const struct {
        const char *route;
        int64_t latency[3], cost[3]; /* of a, b, c */
        double shares[3];
    } cases[] = {
        {"y(a,b,c)", {100, 200, 400}, {-1, -1, -1}, {1, 1.0 / 8, 1.0 / 16}},
        {"y(a,b*2,c)", {100, 100, 125}, {-1, -1, -1}, {1, 2, 0.512}},
        {"y(a,b,c)", {-1, -1, -1}, {1, 2, 3}, {1, 1, 1}},
        {"y(a,b,c)", {-1, 300, 300}, {-1, -1, -1}, {1.0 / 16, 1, 1}},
        {"y(a*0,b,c)", {1, 300, 600}, {-1, -1, -1}, {0, 1, 1.0 / 8}},
        {"c(a,b,c)", {9, 8, 7}, {1000, 500, 1000}, {1.0 / 8, 1, 1.0 / 8}},
        {"c(a,b,c)", {9, 8, 7}, {0, 5, -1}, {1, 1.0 / 16, 1.0 / 16}}, /* for nothing */
        {"y(f(a,b),c)", {100, 9999, 200}, {-1, -1, -1}, {8, 0, 1}},
        {"y(l(a,b),c)", {200, 100, 100}, {-1, -1, -1}, {1, 1, 2}},
        {"l(a,b,c)", {1, 100, 1000}, {1, 100, 1000}, {1, 1, 1}},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct pk_figure figures[PK_NODES_MAX];
        int counts[PK_NODES_MAX];

        make(cases[i].route);
        for (int k = 0; k < 3; k++)
            figures[leaf((char[]){(char)('a' + k), 0})] =
                (struct pk_figure){cases[i].latency[k], cases[i].cost[k]};
        draw(counts, figures);
        if (!EXPECT(fits(counts, "abc", cases[i].shares)))
            printf("# %s, case %zu\n", cases[i].route, i);
    }
}

static void twins_share_sticky_traffic(void)
{
    static int where[DRAWS];
    struct pk_error err = {0};
    int counts[PK_NODES_MAX];

    EXPECT(pk_config_parse(&arena,
                           PK_STR("{\"strategy\":{\"mode\":\"loadbalance\"},\"targets\":[{"
                                  "\"provider\":\"openai\"},{\"provider\":\"openai\"},{"
                                  "\"provider\":\"openai\"}]}"),
                           &config, &err));
    steer = (struct pk_steer){.random = 1};
    draw_sticky(where, counts);
    for (int i = 1; i <= 3; i++)
        EXPECT(counts[i] > DRAWS / 3 - 1000 && counts[i] < DRAWS / 3 + 1000);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(shares_follow_the_weights);
    RUN(sticky_shares_follow_the_weights_too);
    RUN(only_what_has_to_moves);
    RUN(open_circuits_are_passed_over);
    RUN(a_balance_by_figures_prefers_the_best);
    RUN(twins_share_sticky_traffic);
    pk_arena_free(&arena);
    return test_end();
}
