/* models.h - /v1/models and /v1/prices: what models there are, and what they cost.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_MODELS_H
#define PKD_MODELS_H

#include "errand.h"

/* GET /v1/models: all that pk_models has, in OpenAI's shape, with its other columns beside; those of one
 * provider when the query or the header x-portkey-provider names one. */
void pkd_models_list(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req);
/* GET /v1/models/ID, where the ID may be "provider/model". Of several providers the first of
 * providers.def is taken. */
void pkd_models_get(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req);

/* GET /v1/prices: the rows in force and to come, as the format "pk" has them; ?provider= and ?model=. */
pkd_errand_fn pkd_prices;
/* PUT or POST /v1/prices?format=litellm&provider=&dry_run=true: imports the body. */
pkd_errand_fn pkd_price_import;

#endif
