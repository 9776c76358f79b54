/* late.c - see late.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "late.h"

#include <dlfcn.h>
#include <string.h>

_Static_assert(sizeof(void *) == sizeof(void (*)(void)), "dlsym() gives functions as well (POSIX)");

bool pk_late_open(const char *file, const char *const *names, size_t count, void *table,
                  struct pk_error *err)
{
    void *library = dlopen(file, RTLD_LAZY | RTLD_LOCAL);

    if (!library)
        return pk_fail(err, PK_NOT_FOUND, "%s", dlerror());
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(library, names[i]);

        if (!function)
            return pk_fail(err, PK_NOT_FOUND, "%s has no %s", file, names[i]);
        memcpy((char *)table + i * sizeof function, &function, sizeof function);
    }
    return true;
}
