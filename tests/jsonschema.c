/* jsonschema.c - the official test suite of JSON Schema, draft 2020-12, its required cases.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   jsonschema [FOLDER]        (default: tests/jsonschema)
 *
 * A file of the folder is one case here, and holds many. Groups whose schema needs a document from
 * elsewhere are out: they must be refused with an error that says so, and each is printed as skipped.
 */
#include "schema.h"

#include "test.h"
#include "test_file.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 128, PATH_BYTES_MAX = 512 };

static struct pk_arena arena;
static int passed, out_groups, out_cases;

/* How a group that is out is refused: a string with U+0000 is no JSON that a database could hold; a document from
 * elsewhere, the draft's own metaschema too, is not fetched; a dialect of its own would be such a document. */
#define NUL     "\\u0000 is not allowed"
#define AWAY    "nothing is fetched"
#define DIALECT "dialect that is not known"

/* clang-format off */
static const struct {
    const char *file, *group;
    const char *refusal; /* what the error must say */
} out[] = {
    {"const.json",      "nul characters in strings",                                             NUL},
    {"defs.json",       "validate definition against metaschema",                                AWAY},
    {"dynamicRef.json", "strict-tree schema, guards against misspelled properties",              AWAY},
    {"dynamicRef.json", "tests for implementation dynamic anchor and reference link",            AWAY},
    {"dynamicRef.json", "$ref and $dynamicAnchor are independent of order - $defs first",        AWAY},
    {"dynamicRef.json", "$ref and $dynamicAnchor are independent of order - $ref first",         AWAY},
    {"dynamicRef.json", "$ref to $dynamicRef finds detached $dynamicAnchor",                     AWAY},
    {"enum.json",       "nul characters in strings",                                             NUL},
    {"ref.json",        "remote ref, containing refs itself",                                    AWAY},
    {"refRemote.json",  "remote ref",                                                            AWAY},
    {"refRemote.json",  "fragment within remote ref",                                            AWAY},
    {"refRemote.json",  "anchor within remote ref",                                              AWAY},
    {"refRemote.json",  "ref within remote ref",                                                 AWAY},
    {"refRemote.json",  "base URI change",                                                       AWAY},
    {"refRemote.json",  "base URI change - change folder",                                       AWAY},
    {"refRemote.json",  "base URI change - change folder in subschema",                          AWAY},
    {"refRemote.json",  "root ref in remote ref",                                                AWAY},
    {"refRemote.json",  "remote ref with ref to defs",                                           AWAY},
    {"refRemote.json",  "Location-independent identifier in remote ref",                         AWAY},
    {"refRemote.json",  "retrieved nested refs resolve relative to their URI not $id",           AWAY},
    {"refRemote.json",  "remote HTTP ref with different $id",                                    AWAY},
    {"refRemote.json",  "remote HTTP ref with different URN $id",                                AWAY},
    {"refRemote.json",  "remote HTTP ref with nested absolute ref",                              AWAY},
    {"refRemote.json",  "$ref to $ref finds detached $anchor",                                   AWAY},
    {"vocabulary.json", "schema that uses custom metaschema with with no validation vocabulary", DIALECT},
    {"vocabulary.json", "ignore unrecognized optional vocabulary",                               DIALECT},
};
/* clang-format on */

static bool seen[PK_COUNT(out)];

static int row_of(const char *file, pk_str group)
{
    for (size_t i = 0; i < PK_COUNT(out); i++)
        if (strcmp(out[i].file, file) == 0 && pk_str_is(group, out[i].group))
            return (int)i;
    return -1;
}

static void run_case(const struct pk_json *doc, const struct pk_schema *schema, pk_str group,
                     int test)
{
    int data = -1, valid = -1, name = -1;
    struct pk_error why;

    for (int k = pk_json_first(doc, test); k >= 0; k = pk_json_next(doc, test, k)) {
        data = pk_json_is(doc, k, "data") ? k + 1 : data;
        valid = pk_json_is(doc, k, "valid") ? k + 1 : valid;
        name = pk_json_is(doc, k, "description") ? k + 1 : name;
    }
    enum pk_schema_verdict got = pk_schema_check(&arena, schema, doc, data, &why);
    enum pk_schema_verdict want = pk_json_true(doc, valid) ? PK_SCHEMA_VALID : PK_SCHEMA_INVALID;
    bool told = (got == PK_SCHEMA_VALID) == (why.code == PK_OK);
    if (EXPECT(got == want && told))
        passed++;
    else
        printf("# %.*s: %.*s: %s\n", PK_FMT(group), PK_FMT(pk_json_raw(doc, name)),
               got == PK_SCHEMA_VALID ? "valid" : why.msg);
}

/* A group that is out: its error says why. */
static void leave_out(int row, const char *refusal, int cases)
{
    if (!EXPECT(strstr(refusal, out[row].refusal)))
        printf("# %s\n", refusal);
    printf("skip jsonschema %s: %s: %s\n", out[row].file, out[row].group, out[row].refusal);
    out_groups++;
    out_cases += cases;
    seen[row] = true;
}

static void run_group(const char *file, const struct pk_json *doc)
{
    pk_str name = pk_json_str(&arena, doc, pk_json_get(doc, 0, "description"));
    int tests = pk_json_get(doc, 0, "tests"), row = row_of(file, name);
    const struct pk_schema *schema = NULL;
    struct pk_error err = {0};
    bool compiled = pk_schema_compile(&arena, pk_json_raw(doc, pk_json_get(doc, 0, "schema")), 0,
                                      &schema, &err);

    if (row >= 0) {
        leave_out(row, compiled ? "compiles" : err.msg, pk_json_count(doc, tests));
        return;
    }
    if (!EXPECT(compiled)) {
        printf("# %.*s: %s\n", PK_FMT(name), err.msg);
        return;
    }
    for (int t = pk_json_first(doc, tests); t >= 0; t = pk_json_next(doc, tests, t))
        run_case(doc, schema, name, t);
}

/* How many times `word` is in the text. */
static int count_of(pk_str text, const char *word)
{
    int n = 0;

    for (size_t i = 0; i < text.len; i++)
        n += pk_str_starts(pk_str_sub(text, i, text.len), word);
    return n;
}

/* One line of a file: a group, and the comma behind it. */
static void run_line(const char *file, pk_str line)
{
    struct pk_error err = {0};
    struct pk_json doc;
    char name[] = "nul characters in strings";

    if (pk_str_ends(line, ","))
        line.len--;
    if (pk_json_parse(&arena, line, "group", &doc, &err)) {
        run_group(file, &doc);
        return;
    }
    int row = row_of(file, pk_str_of(name));
    if (EXPECT(row >= 0 && count_of(line, name) == 1))
        leave_out(row, err.msg, count_of(line, "\"valid\":"));
}

static void run_file(const char *folder, const char *file)
{
    char path[PATH_BYTES_MAX];
    pk_str text = PK_NONE;
    int before = passed;

    test_failed = false;
    (void)snprintf(path, sizeof path, "%s/%s", folder, file);
    EXPECT(test_read_file(&arena, path, &text));
    while (text.len > 0) {
        int end = pk_str_find(text, '\n');
        pk_str line = pk_str_sub(text, 0, end < 0 ? text.len : (size_t)end);

        text = pk_str_sub(text, line.len + 1, text.len);
        if (pk_str_starts(line, "{"))
            run_line(file, line);
    }
    printf("%s jsonschema %s (%d cases)\n", test_failed ? "not ok" : "ok", file, passed - before);
    test_failures += test_failed;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_json(const struct dirent *e)
{
    return pk_str_ends(pk_str_of(e->d_name), ".json");
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "tests/jsonschema";
    struct dirent **files = NULL;
    int count = scandir(folder, &files, is_json, by_name);

    for (int i = 0; i < count; i++) {
        pk_arena_init(&arena, pk_allocator_malloc(), 256 << 20);
        run_file(folder, files[i]->d_name);
        pk_arena_free(&arena);
        free(files[i]);
    }
    free(files);
    for (size_t i = 0; i < PK_COUNT(out); i++)
        test_failures += !EXPECT(seen[i]);
    printf("# %d cases hold, %d cases of %d groups are out\n", passed, out_cases, out_groups);
    return test_end() || count < 1;
}
