/* provider.c - see provider.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "provider.h"

#define BEARER "authorization: Bearer "

static const struct pk_provider providers[] = {
#define PROVIDER(called, speaks, ...)                                                              \
    {.headers = "", .name = (called), .dialect = &pk_dialect_##speaks, __VA_ARGS__},
#define ALIAS(other, called)
#include "providers.def"
#undef PROVIDER
#undef ALIAS
};

static const struct {
    const char *other, *name;
} aliases[] = {
#define PROVIDER(called, speaks, ...)
#define ALIAS(other, called) {other, called},
#include "providers.def"
#undef PROVIDER
#undef ALIAS
};

const struct pk_provider *pk_provider_find(pk_str name)
{
    if (pk_str_starts(name, "@"))
        name = pk_str_sub(name, 1, name.len);
    for (size_t i = 0; i < PK_COUNT(aliases); i++)
        if (pk_str_is(name, aliases[i].other))
            name = pk_str_of(aliases[i].name);
    for (size_t i = 0; i < PK_COUNT(providers); i++)
        if (pk_str_is(name, providers[i].name))
            return &providers[i];
    return NULL;
}

const struct pk_provider *pk_provider_at(int i)
{
    return i >= 0 && i < (int)PK_COUNT(providers) ? &providers[i] : NULL;
}

bool pk_provider_has(const struct pk_provider *provider, const char *operation)
{
    pk_str list = pk_str_of(provider->operations);

    if (!provider->operations)
        return true;
    while (list.len) {
        int blank = pk_str_find(list, ' ');
        pk_str word = blank < 0 ? list : pk_str_sub(list, 0, (size_t)blank);

        if (pk_str_is(word, operation))
            return true;
        list = pk_str_sub(list, word.len + 1, list.len);
    }
    return false;
}

const struct pk_dialect *pk_provider_back(const struct pk_provider *provider,
                                          const struct pk_dialect *front, pk_str model)
{
    const struct pk_dialect *d = provider->dialect;

    if (front == &pk_dialect_responses && provider->responses)
        return front;
    return d->back_for ? d->back_for(front, model) : d;
}

void pk_provider_names(struct pk_buf *out)
{
    for (size_t i = 0; i < PK_COUNT(providers); i++)
        pk_buf_addf(out, "%s\"%s\"", i ? "," : "[", providers[i].name);
    pk_buf_addc(out, ']');
}
