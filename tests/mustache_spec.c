/* mustache_spec.c - the required modules of the Mustache specification (tests/mustache), and where we differ.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   mustache_spec [FOLDER] (default: tests/mustache)
 */
#include "mustache.h"

#include "test.h"
#include "test_file.h"

#include <string.h>

static struct pk_arena arena;

/* Where mustache.h promises something else: another text, or an error that says so. */
static const struct difference {
    const char *module, *name, *text, *error;
} differences[] = {
    {"interpolation", "HTML Escaping", "These characters should be HTML escaped: & \" < >\n", NULL},
    {"interpolation", "Basic Context Miss Interpolation", NULL, "missing variable: cannot"},
    {"interpolation", "Triple Mustache Context Miss Interpolation", NULL,
     "missing variable: cannot"},
    {"interpolation", "Ampersand Context Miss Interpolation", NULL, "missing variable: cannot"},
    {"interpolation", "Dotted Names - Broken Chains", NULL, "missing variable: a.b.c"},
    {"interpolation", "Dotted Names - Broken Chain Resolution", NULL,
     "missing variable: a.b.c.name"},
    {"partials", "Failed Lookup", NULL, "there is no partial called \"text\""},
    {"sections", "Implicit Iterator - HTML Escaping", "\"(&)(\")(<)(>)\"", NULL},
};

static const struct difference *difference_of(const char *module, pk_str name)
{
    for (size_t i = 0; i < PK_COUNT(differences); i++)
        if (strcmp(differences[i].module, module) == 0 && pk_str_is(name, differences[i].name))
            return &differences[i];
    return NULL;
}

static int read_partials(const struct pk_json *doc, int object, struct pk_partial *list)
{
    int count = 0;

    for (int k = pk_json_first(doc, object); k >= 0; k = pk_json_next(doc, object, k))
        list[count++] = (struct pk_partial){.name = pk_json_str(&arena, doc, k),
                                            .text = pk_json_str(&arena, doc, k + 1)};
    return count;
}

static bool render(const struct pk_json *doc, int test, struct pk_buf *out, struct pk_error *err)
{
    struct pk_partial partials[4];
    struct pk_json vars;
    struct pk_mustache m = {.arena = &arena, .vars = &vars, .partials = partials};

    m.partial_count = read_partials(doc, pk_json_get(doc, test, "partials"), partials);
    return pk_json_parse(&arena, pk_json_raw(doc, pk_json_get(doc, test, "data")), "data", &vars,
                         err) &&
           pk_mustache_json(&m, pk_json_str(&arena, doc, pk_json_get(doc, test, "template")), "it",
                            out, err) &&
           pk_mustache_whole(&m, "it", err);
}

static void check(const struct pk_json *doc, int test, const struct difference *d)
{
    struct pk_buf want = pk_buf_in(&arena, PK_BODY_BYTES_MAX), got = want;
    struct pk_error err = {0};
    bool done = render(doc, test, &got, &err);
    pk_str expected = pk_json_str(&arena, doc, pk_json_get(doc, test, "expected"));

    if (d && d->error) {
        if (!EXPECT(!done && strstr(err.msg, d->error)))
            printf("# %s\n", err.msg);
        return;
    }
    pk_json_quote(&want, d ? pk_str_of(d->text) : expected);
    if (!EXPECT(done && pk_str_eq(pk_buf_str(&want), pk_buf_str(&got))))
        printf("# want %.*s\n# got  %.*s %s\n", PK_FMT(pk_buf_str(&want)), PK_FMT(pk_buf_str(&got)),
               err.msg);
}

static void run_module(const char *folder, const char *module, int *used)
{
    struct pk_error err = {0};
    struct pk_json doc;
    char path[512];
    pk_str text;

    (void)snprintf(path, sizeof path, "%s/%s.json", folder, module);
    test_failed = false;
    if (!EXPECT(test_read_file(&arena, path, &text) &&
                pk_json_parse(&arena, text, path, &doc, &err) && pk_json_count(&doc, 0) > 0)) {
        printf("not ok %s: %s\n", path, err.msg);
        test_failures++;
        return;
    }
    for (int v = pk_json_first(&doc, 0); v >= 0; v = pk_json_next(&doc, 0, v)) {
        pk_str name = pk_json_str(&arena, &doc, pk_json_get(&doc, v, "name"));
        const struct difference *d = difference_of(module, name);

        test_failed = false;
        *used += d != NULL;
        check(&doc, v, d);
        printf("%s %s: %.*s%s\n", test_failed ? "not ok" : "ok", module, PK_FMT(name),
               d ? " (differs)" : "");
        test_failures += test_failed;
    }
}

int main(int argc, char **argv)
{
    static const char *const modules[] = {"comments", "delimiters", "interpolation",
                                          "inverted", "partials",   "sections"};
    int used = 0;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    for (size_t i = 0; i < PK_COUNT(modules); i++)
        run_module(argc > 1 ? argv[1] : "tests/mustache", modules[i], &used);
    test_failures += !EXPECT(used == (int)PK_COUNT(differences));
    pk_arena_free(&arena);
    return test_end();
}
