/* xfer_about.c - which libcurl this is.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "xfer_inner.h"

struct pk_xfer_about pk_xfer_about(void)
{
    struct pk_error why;

    if (!pk_curl_open(&why))
        return (struct pk_xfer_about){.version = "", .tls = "", .ca_file = "", .ca_path = ""};
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
    return (struct pk_xfer_about){
        .version = v->version,
        .tls = v->ssl_version ? v->ssl_version : "",
        .ca_file = v->age >= CURLVERSION_SEVENTH && v->cainfo ? v->cainfo : "",
        .ca_path = v->age >= CURLVERSION_SEVENTH && v->capath ? v->capath : "",
    };
}
