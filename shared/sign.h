/* sign.h - AWS Signature Version 4, for requests that AWS takes without a key in them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows "Create a signed AWS API request" of the IAM user guide. libcurl signs too (CURLOPT_AWS_SIGV4), but as of
 * 7.88 neither escapes a path once more, which every service but S3 wants and Bedrock's model ids need, nor takes a
 * session token into the signature.
 */
#ifndef PK_SIGN_H
#define PK_SIGN_H

#include "url.h"

enum {
    PK_SIGN_HEADERS_MAX = 56,
    PK_SIGN_PARAMS_MAX = 32,
    PK_SIGN_BYTES_MAX = 2048, /* of the authorization header's value */
};

struct pk_aws_key {
    pk_str id, secret, session; /* session empty: a key of its own, no temporary one */
};

struct pk_aws_request {
    const char *method;
    const struct pk_url *url;
    pk_str headers; /* "name: value\n" lines, all of which are signed; no host, date or session */
    pk_str body;
    pk_str region, service;
};

struct pk_aws_signature {
    char host[280];                        /* as signed; what the client must send */
    char date[17];                         /* x-amz-date */
    char authorization[PK_SIGN_BYTES_MAX]; /* the value of the header; no secret is in it */
};

/* Signs the request as of `now_us`, microseconds since 1970. What is to be sent besides its headers: x-amz-date,
 * authorization, and x-amz-security-token with the session, if there is one. PK_TOO_LARGE. */
bool pk_sign_aws(const struct pk_aws_request *r, const struct pk_aws_key *key, int64_t now_us,
                 struct pk_aws_signature *out, struct pk_error *err) PK_MUST_CHECK;

#endif
