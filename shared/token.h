/* token.h - asking for the short-lived credentials that some providers want, and reading what comes back.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Nothing is sent here: each function says which request to make, and pk_token_read() what its answer means; the
 * transport does the rest (xfer_token.c). All strings are in the arena, whose memory should be a vault's.
 *   Google  a service account signs a JSON Web Token and trades it (RFC 7523), a user's refresh token likewise
 *   Azure   Entra's client credentials, a workload's federated token, or a managed identity
 *   AWS     STS AssumeRole
 */
#ifndef PK_TOKEN_H
#define PK_TOKEN_H

#include "arena.h"
#include "json.h"
#include "sign.h"

enum {
    PK_TOKEN_ANSWER_BYTES_MAX = 32 << 10,
    PK_TOKEN_BYTES_MAX = 16 << 10, /* of a token */
    PK_TOKEN_ASK_BYTES_MAX = 16 << 10,
};

/* A request for a token. */
struct pk_token_ask {
    bool get; /* else POST */
    bool aws; /* the answer is STS's; `key` signs the request */
    pk_str url, headers, body;
    pk_str hide; /* the secret in it, which no message may repeat; or empty */
    pk_str host; /* whose token endpoint it is by right: a base URL */
    struct pk_aws_key key;
    pk_str region;
};

/* What is asked of Azure. */
struct pk_token_azure {
    pk_str tenant, client, secret, scope; /* scope empty: that of its AI services */
    pk_str federated;                     /* a federated token in place of the secret */
    pk_str authority;                     /* base URL; empty: login.microsoftonline.com */
};

/* `account` is a service account's JSON, or that of gcloud's application default login. PK_NO_KEY says what is
 * wrong with it. */
bool pk_token_ask_google(struct pk_arena *arena, const struct pk_json *account, int64_t now_us,
                         struct pk_token_ask *ask, struct pk_error *err) PK_MUST_CHECK;
bool pk_token_ask_entra(struct pk_arena *arena, const struct pk_token_azure *a,
                        struct pk_token_ask *ask, struct pk_error *err) PK_MUST_CHECK;
/* `endpoint` and `header` are App Service's; both empty: the virtual machine's metadata service. */
bool pk_token_ask_managed(struct pk_arena *arena, const struct pk_token_azure *a, pk_str endpoint,
                          pk_str header, struct pk_token_ask *ask,
                          struct pk_error *err) PK_MUST_CHECK;
/* `endpoint` empty: STS of the region. */
bool pk_token_ask_sts(struct pk_arena *arena, const struct pk_aws_key *key, pk_str region,
                      pk_str role, pk_str external, pk_str endpoint, struct pk_token_ask *ask,
                      struct pk_error *err) PK_MUST_CHECK;

/* A token, or a temporary key of AWS. */
struct pk_token_answer {
    pk_str token;
    struct pk_aws_key key;
    int64_t lives_s; /* from now */
};

/* PK_NO_KEY when the credential is refused (the error has the issuer's words), PK_BAD_ANSWER, PK_UPSTREAM. */
bool pk_token_read(struct pk_arena *arena, bool aws, int status, pk_str body, int64_t now_us,
                   struct pk_token_answer *a, struct pk_error *err) PK_MUST_CHECK;

#endif
