/* ask.h - what a client asks for in headers: which config to use, and how.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_ASK_H
#define PKD_ASK_H

#include "request.h"
#include "server.h"
#include "store.h"

/* The headers of headers.def, trimmed; at == NULL when not sent. Strings and nothing else. */
struct pkd_ask {
    struct pk_target_fields fields; /* of the provider that the headers name */
#define HEADER(field, name) pk_str field;
#include "headers.def"
#undef HEADER
    pk_str
        caller; /* the API key: the gateway's own headers before those that it shares with providers */
    pk_str key; /* the provider key: Authorization or x-api-key, unless it is one of ours */
    pk_str content_type, content_encoding;
    pk_str organization, project; /* of OpenAI, as its SDK says them */
    pk_str traceparent;           /* W3C's; where x-portkey-trace-id says nothing */
};

enum { PKD_ASKS = 16, PKD_ASK_WORDS = 24 };

/* What the heads that came lately say, by their numbers (server.h), so that one that comes again is not read again:
 * where its strings are, and none of its bytes, which hold credentials. Zeroed at first. */
struct pkd_asks {
    struct pkd_asked_head {
        uint64_t head; /* 0: none */
        int count;
        struct {
            uint32_t field, from,
                len; /* which string of struct pkd_ask; its place in the headers */
        } words[PKD_ASK_WORDS];
    } list[PKD_ASKS];
};

/* What the headers say, as they say it: strings are in req->headers. */
void pkd_ask_scan(struct pkd_asks *known, const struct pkd_request *req, struct pkd_ask *ask);

/* The same, readable: what is not UTF-8 is spelled anew in `arena`. */
void pkd_ask_read(struct pk_arena *arena, struct pkd_asks *known, const struct pkd_request *req,
                  struct pkd_ask *ask);

/* Whether a request says whom to ask, in its headers or as "@provider/model" in its body. */
bool pkd_ask_names(struct pk_arena *arena, struct pkd_asks *known, const struct pkd_request *req);

/* Fills all of *req that headers decide; headers come before the config. *req borrows from `ask`. The error
 * names the header. */
bool pkd_ask_request(struct pk_arena *arena, const struct pkd_ask *ask, struct pk_request *req,
                     struct pk_error *err) PK_MUST_CHECK;

/* The guardrails that the request asks for besides the config's, and whether the client reads what is not
 * OpenAI's. The error names the header. */
bool pkd_ask_guards(struct pk_arena *arena, struct pk_store *store, const struct pkd_ask *ask,
                    struct pk_request *req, struct pk_error *err) PK_MUST_CHECK;

/* What pk_resolve() is to look for: the config header, with provider, key or virtual key from their headers
 * where it names none; else the virtual key; else the provider; else the "@provider/model" of the
 * body, which then becomes "model" alone in req->body. The error says what to give. */
bool pkd_ask_reference(struct pk_arena *arena, struct pk_store *store, const struct pkd_ask *ask,
                       struct pk_request *req, pk_str *reference,
                       struct pk_error *err) PK_MUST_CHECK;

#endif
