/* admin_price.c - `pkd price`: what SQL does with pk_price_import(), from a shell.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "desk.h"
#include "store_catalog.h"
#include "xfer.h"

#include <stdio.h>
#include <string.h>

/* "anthropic" of "pricing/anthropic.json": Portkey's files do not say whose prices they have. */
static pk_str name_of_file(const char *path)
{
    const char *slash = strrchr(path, '/');
    pk_str name = pk_str_of(slash ? slash + 1 : path);

    return pk_str_ends(name, ".json") ? pk_str_sub(name, 0, name.len - 5) : PK_NONE;
}

/* With --json all that changed, else how many. */
static bool print_diff(struct pkd_desk *d, pk_str diff, struct pk_error *err)
{
    struct pk_json doc;

    if (!pk_json_parse(&d->arena, diff, "diff", &doc, err))
        return false;
    if (!d->options->json)
        diff = pk_json_raw(&doc, pk_json_get(&doc, 0, "counts"));
    (void)printf("%.*s\n", PK_FMT(diff));
    return true;
}

static bool import(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct pk_catalog_source source = {.format = pk_str_of(words[0]), .now_us = pk_clock_us()};
    pk_str options = count > 2 ? pk_str_of(words[2]) : PK_NONE, diff = PK_NONE;

    if (!pkd_desk_file(d, words[1], PK_CATALOG_BYTES_MAX, &source.text, err))
        return false;
    if (pk_str_is(source.format, "portkey"))
        source.provider = pk_catalog_provider(&source, name_of_file(words[1]));
    return pk_store_price_import(d->store, &d->arena, &source, options, &diff, err) &&
           print_diff(d, diff, err);
}

static bool list(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    (void)words;
    (void)count;
    return pkd_desk_list(
        d, PK_SQL_price_list,
        "provider model above_tokens input_usd cache_read_usd cache_write_usd output_usd "
        "source",
        err);
}

/* clang-format off */
const struct pkd_verb pkd_price_verbs[] = {
    {"import", "FORMAT FILE [JSON-OPTIONS]", 2, 3, import, "read a price list; FORMAT is litellm, portkey, genai-prices or pk, FILE may be - for standard input",
     "pkd price import litellm model_prices_and_context_window.json"},
    {"list",   "",                           0, 0, list,   "every price in force, in dollars for a million tokens", "pkd price list --json"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
/* clang-format on */
