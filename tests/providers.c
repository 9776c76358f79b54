/* providers.c - docs/providers.md says what providers.def says.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   providers [FILE]        (default: docs/providers.md)
 *
 * Compares the table between the two marks of the page with the rows. PROVIDERS_WRITE=1 writes it
 * there instead.
 */
#include "provider.h"

#include "test.h"

#include <string.h>

static const char first[] = "<!-- providers.def -->\n", last[] = "<!-- end -->\n";
static const char *path;
static struct pk_arena arena;

static pk_str read_page(void)
{
    struct pk_buf page = pk_buf_in(&arena, PK_BODY_BYTES_MAX);
    FILE *f = fopen(path, "rb");
    size_t n = 0;

    if (!EXPECT(f != NULL))
        return PK_NONE;
    do {
        char *room = pk_buf_room(&page, 4096);
        n = fread(room, 1, 4096, f);
        page.len += n;
    } while (n > 0);
    (void)fclose(f);
    pk_buf_addc(&page, 0); /* for strstr */
    return pk_buf_str(&page);
}

/* "max_completion_tokens=max_tokens seed=random_seed" and the like as code, comma separated. */
static void add_words(struct pk_buf *out, const char *words)
{
    const char *between = "";

    while (*words) {
        size_t len = strcspn(words, " ");

        pk_buf_addf(out, "%s`%.*s`", between, (int)len, words);
        between = ", ";
        words += len + (words[len] == ' ');
    }
}

static void add_row(struct pk_buf *out, const struct pk_provider *p)
{
    pk_str header = pk_str_of(p->key_header);

    pk_buf_addf(out, "| `%s` | %s | ", p->name, p->dialect->name);
    pk_buf_adds(out, *p->base_url ? p->base_url : "`custom_host`");
    pk_buf_addf(out, " | `%.*s` | ",
                PK_FMT(pk_str_sub(header, 0, (size_t)pk_str_find(header, ':'))));
    add_words(out, p->key_env);
    pk_buf_adds(out, " | ");
    add_words(out, p->rejects);
    pk_buf_adds(out, " | ");
    add_words(out, p->renames);
    pk_buf_addf(out, " | %s | ", p->stream_usage ? "asked for" : "");
    if (p->operations)
        add_words(out, *p->operations ? p->operations : "proxy");
    pk_buf_adds(out, " |\n");
}

static pk_str table(void)
{
    struct pk_buf out = pk_buf_in(&arena, PK_BODY_BYTES_MAX);

    pk_buf_adds(&out,
                "| name | dialect | base URL | key in | key from | left out | renamed | usage "
                "in streams | only |\n|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; pk_provider_at(i); i++)
        add_row(&out, pk_provider_at(i));
    return pk_buf_str(&out);
}

static void write_page(pk_str before, pk_str rows, const char *after)
{
    FILE *f = fopen(path, "wb");

    if (EXPECT(f != NULL)) {
        (void)fprintf(f, "%.*s%.*s%s", PK_FMT(before), PK_FMT(rows), after);
        (void)fclose(f);
    }
}

static void the_page_has_every_provider(void)
{
    pk_str page = read_page(), rows = table();
    const char *from = page.at ? strstr(page.at, first) : NULL;
    const char *to = from ? strstr(from, last) : NULL;

    if (!EXPECT(from && to))
        return;
    from += strlen(first);
    if (getenv("PROVIDERS_WRITE"))
        write_page((pk_str){page.at, (size_t)(from - page.at)}, rows, to);
    else if (!EXPECT(pk_str_eq(rows, (pk_str){from, (size_t)(to - from)})))
        printf("# PROVIDERS_WRITE=1 writes the table anew\n");
}

int main(int argc, char **argv)
{
    path = argc > 1 ? argv[1] : "docs/providers.md";
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(the_page_has_every_provider);
    pk_arena_free(&arena);
    return test_end();
}
