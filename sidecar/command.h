/* command.h - what the command line can ask pkd to do.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_COMMAND_H
#define PKD_COMMAND_H

#include "options.h"
#include "secret.h"
#include "store.h"

/* Each returns the exit status of the process: 0 = done, 1 = it failed, 2 = asked for wrongly. */
int pkd_serve(const struct pkd_options *o);
int pkd_doctor(const struct pkd_options *o);
int pkd_key(const struct pkd_options *o);
int pkd_apikey(const struct pkd_options *o);
int pkd_limit(const struct pkd_options *o);
int pkd_provider(const struct pkd_options *o);
int pkd_config(const struct pkd_options *o);
int pkd_guardrail(const struct pkd_options *o);
int pkd_prompt(const struct pkd_options *o);
int pkd_price(const struct pkd_options *o);

/* The store that the options name; `out` receives its path. */
bool pkd_store_path(const struct pkd_options *o, char *out, size_t size,
                    struct pk_error *err) PK_MUST_CHECK;
/* Where the master key is: as the options say, else beside the store. */
bool pkd_master_key_path(const struct pkd_options *o, const char *store_path, char *out,
                         size_t size, struct pk_error *err) PK_MUST_CHECK;

#endif
