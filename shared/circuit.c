/* circuit.c - see circuit.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "circuit.h"

bool pk_circuit_counts(enum pk_code code)
{
    return code == PK_OK || code == PK_UPSTREAM || code == PK_BAD_ANSWER || code == PK_NETWORK ||
           code == PK_TIMEOUT;
}

bool pk_circuit_failed(const struct pk_statuses *failures, enum pk_code code, int status)
{
    if (failures->given)
        return pk_statuses_have(failures, status);
    return code != PK_OK && (code != PK_UPSTREAM || status >= 500);
}
