/* xfer_fault.c - what curl's results mean to a caller: one sentence each.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "xfer_inner.h"

#include <errno.h>

/* A result; `detail`: curl's own words follow. They speak of certificates, never of the request. */
static const struct {
    CURLcode result;
    enum pk_code code;
    bool retryable, detail;
    const char *words;
} faults[] = {
    {CURLE_COULDNT_RESOLVE_HOST, PK_NETWORK, true, false, "the name cannot be resolved"},
    {CURLE_OPERATION_TIMEDOUT, PK_TIMEOUT, true, false, "no connection in time"},
    {CURLE_GOT_NOTHING, PK_NETWORK, true, false, "the connection was closed without an answer"},
    {CURLE_PARTIAL_FILE, PK_NETWORK, true, false, "the answer was cut short"},
    {CURLE_SEND_ERROR, PK_NETWORK, true, false, "the connection broke while sending"},
    {CURLE_RECV_ERROR, PK_NETWORK, true, false, "the connection broke while receiving"},
    {CURLE_SSL_CONNECT_ERROR, PK_NETWORK, true, true, "TLS failed"},
    {CURLE_PEER_FAILED_VERIFICATION, PK_NETWORK, false, true, "the TLS certificate is not trusted"},
    {CURLE_SSL_CACERT_BADFILE, PK_NETWORK, false, true, "the CA file cannot be used"},
    {CURLE_WEIRD_SERVER_REPLY, PK_NETWORK, true, false, "the answer is not HTTP"},
    {CURLE_UNSUPPORTED_PROTOCOL, PK_NETWORK, true, false, "the answer is not HTTP"},
    {CURLE_OUT_OF_MEMORY, PK_NO_MEMORY, false, false, "out of memory"},
};

static const char *connect_words(int reason)
{
    switch (reason) {
    case ECONNREFUSED: return "connection refused";
    case ENETUNREACH: return "network unreachable";
    case EHOSTUNREACH: return "host unreachable";
    case ETIMEDOUT: return "no answer to the connection attempt";
    case EMFILE:
    case ENFILE: return "no file descriptor left for a connection";
    default: return "cannot connect";
    }
}

static void explain_connect(const struct pk_transfer *t, struct pk_error *err)
{
    long reason = 0;

    if (t->refused != PK_ADDRESS_PUBLIC) {
        (void)pk_fail(err, PK_HOST_DENIED, "%s: leads to a %s address; list it in allowed_hosts",
                      t->to->where, t->refused == PK_ADDRESS_LOOPBACK ? "loopback" : "private");
        return;
    }
    if (t->easy)
        (void)curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &reason);
    else
        reason = t->reason;
    (void)pk_fail(err, PK_NETWORK, "%s: %s", t->to->where, connect_words((int)reason));
}

static void explain_size(const struct pk_transfer *t, CURLcode result, struct pk_error *err)
{
    if (t->part == PART_BODY || result == CURLE_FILESIZE_EXCEEDED)
        (void)pk_fail(err, PK_TOO_LARGE, "%s: the answer is larger than %d MiB", t->to->where,
                      PK_STREAM_BYTES_MAX >> 20);
    else
        (void)pk_fail(err, PK_TOO_LARGE, "%s: the answer's headers are larger than %d KiB",
                      t->to->where, PK_HEADERS_BYTES_MAX >> 10);
    err->status = 502; /* not the client's fault */
}

static void explain_other(const struct pk_transfer *t, CURLcode result, struct pk_error *err)
{
    for (size_t i = 0; i < PK_COUNT(faults); i++) {
        if (faults[i].result != result)
            continue;
        bool detail = faults[i].detail && t->detail[0];
        (void)pk_fail(err, faults[i].code, "%s: %s%s%s%s", t->to->where, faults[i].words,
                      detail ? " (" : "", detail ? t->detail : "", detail ? ")" : "");
        err->retryable = faults[i].retryable;
        return;
    }
    (void)pk_fail(err, PK_NETWORK, "%s: %s", t->to->where, curl_easy_strerror(result));
}

void pk_transfer_explain(const struct pk_transfer *t, CURLcode result, struct pk_error *err)
{
    if (result == CURLE_OK && t->part == PART_BODY)
        return;
    if (t->too_large || result == CURLE_FILESIZE_EXCEEDED)
        explain_size(t, result, err);
    else if (result == CURLE_OK)
        (void)pk_fail(err, PK_NETWORK, "%s: the answer is not HTTP", t->to->where);
    else if (result == CURLE_COULDNT_CONNECT)
        explain_connect(t, err);
    else if (result == CURLE_WRITE_ERROR)
        (void)pk_fail(err, PK_NO_MEMORY, "%s: out of memory for the answer", t->to->where);
    else
        explain_other(t, result, err);
}
