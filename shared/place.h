/* place.h - where a target is: base URLs with placeholders, what goes around the dialect's path, and how one gets in.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A provider's base URL may have placeholders: "https://{resource_name}.openai.azure.com/openai". They are filled
 * from the target's fields when it is settled; only {model} waits for the call. A field cannot move the host
 * elsewhere: its shape has no dots, slashes or escapes (target_field.h).
 */
#ifndef PK_PLACE_H
#define PK_PLACE_H

#include "config.h"

/* How a request proves who sends it. */
enum pk_auth {
    PK_AUTH_KEY,    /* the key in a header */
    PK_AUTH_AWS,    /* a signature (sign.h), or a key */
    PK_AUTH_GOOGLE, /* a token for a service account, or one that is given */
    PK_AUTH_AZURE,  /* a key, or a token of Entra */
};
enum pk_auth pk_place_auth(const struct pk_provider *provider);

/* The value of a field, or empty. */
pk_str pk_target_field(const struct pk_target *t, enum pk_target_field f);

/* Fills what the fields decide: base_url, own_url, path, query, key_url. Needs the provider. PK_BAD_CONFIG names a
 * field that is missing or of another provider; PK_HOST_DENIED: the target's key belongs elsewhere. */
bool pk_place_settle(struct pk_arena *arena, struct pk_target *t,
                     struct pk_error *err) PK_MUST_CHECK;

/* `text` with its placeholders filled; those without a value stay when `open`, else PK_BAD_CONFIG. */
bool pk_place_fill(struct pk_arena *arena, const struct pk_target *t, pk_str text, bool open,
                   pk_str *out, struct pk_error *err) PK_MUST_CHECK;

/* The first placeholder that names an account and has no value: whoever stores a key must say it. -1: none. */
int pk_place_lacks_account(pk_str base_url);

/* Whether it is a host of the provider's, beside that of its base URL. */
bool pk_place_own_host(const struct pk_provider *provider, const struct pk_url *url);

/* Whether it is Anthropic's API in Azure's Foundry. */
bool pk_place_is_claude(const struct pk_target *t);

/* The dialect in which the target is asked for `model` by a client that speaks `front`. */
const struct pk_dialect *pk_place_back(const struct pk_target *t, const struct pk_dialect *front,
                                       pk_str model);

/* A call on its way to a target. */
struct pk_place_call {
    const struct pk_target *target;
    const struct pk_dialect *back;
    bool stream, opaque; /* opaque: the body is not JSON */
    pk_str host;         /* the request's own custom_host, or empty */
    pk_str model;        /* as it was asked for */
    pk_str body, base; /* pk_place_begin(): what the dialect translates, and appends its path to */
};
bool pk_place_begin(struct pk_arena *arena, struct pk_place_call *call,
                    struct pk_error *err) PK_MUST_CHECK;
/* Afterwards: the translated body with what the place changes in it, and the URL of a conversation. */
bool pk_place_body(struct pk_arena *arena, const struct pk_place_call *call, pk_str *body,
                   struct pk_error *err) PK_MUST_CHECK;
bool pk_place_url(struct pk_arena *arena, const struct pk_place_call *call, pk_str *url,
                  struct pk_error *err) PK_MUST_CHECK;

/* For a call: the base that the dialect's path is appended to; and the URL with what follows that. `host` is the
 * request's own custom_host, or empty. */
bool pk_place_base(struct pk_arena *arena, const struct pk_target *t, pk_str host, pk_str model,
                   pk_str *base, struct pk_error *err) PK_MUST_CHECK;
bool pk_place_end(struct pk_arena *arena, const struct pk_target *t, pk_str model, pk_str *url,
                  struct pk_error *err) PK_MUST_CHECK;

/* Appends the header lines that the fields ask for. */
void pk_place_headers(const struct pk_target *t, struct pk_buf *out);
/* Whether the fields say this header themselves. */
bool pk_place_has_header(const struct pk_target *t, pk_str name);

#endif
