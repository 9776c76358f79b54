/* logs_export.h - the log as a file: /v1/logs/export, and Portkey's /v1/logs/exports.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A file is read from the store a page at a time, each behind the last call of the one before, and sent as it is
 * read: it may be of any size, and a client that is slow keeps no transaction open.
 *
 * An export of Portkey's is what the file is to have, under a name: nothing is made in advance. Its link is to
 * the same gateway, and has in it what else a key would have to say.
 */
#ifndef PKD_LOGS_EXPORT_H
#define PKD_LOGS_EXPORT_H

#include "errand.h"

pkd_errand_fn pkd_logs_export;
pkd_errand_fn pkd_export_create, pkd_export_list, pkd_export_get, pkd_export_update,
    pkd_export_start, pkd_export_cancel, pkd_export_download, pkd_export_file;

#endif
