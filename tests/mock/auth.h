/* auth.h - credentials that the mock provider looks at closely: AWS's signatures, and tokens that it issued.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Written from the documents of AWS, Google and Microsoft, with OpenSSL and without any code of the gateway.
 */
#ifndef MOCK_AUTH_H
#define MOCK_AUTH_H

#include "dialect.h"

/* Answers a request for a token; false: it is none. */
bool auth_issues(const struct ask *a, struct reply *r);
/* Whether the request's signature or token holds, if it has one of ours; the reply holds the error if not. */
bool auth_check(const struct ask *a, struct reply *r);
/* The public key, in PEM, that service accounts sign for from now on. */
void auth_service_key(const struct text *pem);
void auth_reset(void); /* tokens issued so far hold no more */

#endif
