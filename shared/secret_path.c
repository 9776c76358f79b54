/* secret_path.c - where the master key is looked for; see secret.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool pk_secrets_path(const char *store_path, char *out, size_t size, struct pk_error *err)
{
    const char *named = getenv("PK_MASTER_KEY_FILE");
    const char *slash = strrchr(store_path, '/');
    int folder = slash ? (int)(slash - store_path) + 1 : 0;
    int len;

    if (named && named[0])
        len = snprintf(out, size, "%s", named);
    else
        len = snprintf(out, size, "%.*smaster.key", folder, store_path);
    return (len > 0 && (size_t)len < size) ||
           pk_fail(err, PK_BAD_CONFIG, "master key file: the path is too long");
}
