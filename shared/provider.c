/* provider.c - see provider.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "provider.h"

#define BEARER "authorization: Bearer "

static const struct pk_provider providers[] = {
#define PROVIDER(name, dialect, base, header, env, rejects, renames, usage)                        \
    {name, &pk_dialect_##dialect, base, header, env, rejects, renames, usage, "", false},
#include "providers.def"
#undef PROVIDER
};

const struct pk_provider *pk_provider_find(pk_str name)
{
    if (pk_str_starts(name, "@"))
        name = pk_str_sub(name, 1, name.len);
    for (size_t i = 0; i < PK_COUNT(providers); i++)
        if (pk_str_is(name, providers[i].name))
            return &providers[i];
    return NULL;
}

const struct pk_provider *pk_provider_at(int i)
{
    return i >= 0 && i < (int)PK_COUNT(providers) ? &providers[i] : NULL;
}

const struct pk_dialect *pk_provider_back(const struct pk_provider *provider,
                                          const struct pk_dialect *front, pk_str model)
{
    (void)front;
    (void)model;
    return provider->dialect;
}

void pk_provider_names(struct pk_buf *out)
{
    for (size_t i = 0; i < PK_COUNT(providers); i++)
        pk_buf_addf(out, "%s\"%s\"", i ? "," : "[", providers[i].name);
    pk_buf_addc(out, ']');
}
