/* dialect_gemini.h - what the files of Gemini's dialect share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_DIALECT_GEMINI_H
#define PK_DIALECT_GEMINI_H

#include "dialect_make.h"

/* dialect_gemini_request.c: the body of generateContent, and where it is sent. */
bool pk_gemini_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                       struct pk_error *err);
bool pk_gemini_path(pk_str base, pk_str model, bool stream, struct pk_buf *out,
                    struct pk_error *err);
/* At Vertex AI; the base ends with the location: /v1/projects/P/locations/L. */
bool pk_vertex_path(pk_str base, pk_str model, bool stream, struct pk_buf *out,
                    struct pk_error *err);
bool pk_vertex_model_path(pk_str model, struct pk_buf *out, struct pk_error *err);
/* The path without what is done with the model. */
bool pk_gemini_model_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err);

/* dialect_gemini_config.c: "generationConfig" as the next member, when there is anything to say. */
bool pk_gemini_config(struct pk_maker *m);
/* Whether the model refuses a function call of its own without the signature of the thought behind it. */
bool pk_gemini_wants_signatures(pk_str model);
/* Which of the body's fields it writes: to be left alone by whoever reports the rest. */
extern const struct pk_make_field pk_gemini_config_fields[];
extern const size_t pk_gemini_config_count;

/* dialect_gemini_tools.c: "tools" and "toolConfig" as the next members. */
bool pk_gemini_tools(struct pk_maker *m);

/* dialect_gemini_schema.c: appends a JSON Schema in the words that Gemini reads. */
void pk_gemini_schema(struct pk_buf *out, const struct pk_json *doc, int schema);

#endif
