/* openapi.c - see openapi.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "openapi.h"

static const unsigned char document[] = {
#include "openapi.inc"
};

pk_str pkd_openapi(void)
{
    return (pk_str){(const char *)document, sizeof document};
}
