/* elsewhere.c - see elsewhere.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "elsewhere.h"

#include <string.h>

#define KEYS "who calls has an API key (/v1/api-keys), and there are no users beside"
#define MCP  "pk is a gateway to models; MCP servers are asked by their own clients"

static const struct {
    const char *below, *instead;
} paths[] = {
    {"/v1/admin/users", KEYS},
    {"/v1/admin/workspaces", KEYS}, /* those of a workspace: itself it is there */
    {"/v1/scim", KEYS},
    {"/v1/mcp-servers", MCP},
    {"/v1/mcp-integrations", MCP},
    {"/v1/secret-references",
     "a virtual key's secret may be a reference itself, \"env:NAME\" or \"file:PATH\""},
};

const char *pkd_elsewhere(pk_str path)
{
    for (size_t i = 0; i < PK_COUNT(paths); i++) {
        size_t len = strlen(paths[i].below);

        if (pk_str_starts(path, paths[i].below) && (path.len == len || path.at[len] == '/'))
            return paths[i].instead;
    }
    return NULL;
}
