/* dialect_make.h - what the dialects' request files share: reading the client's body, writing theirs.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Values are copied as they stand in the text. Top-level fields are rows of a table; a field without a
 * row is dropped and reported. What would change the meaning of the conversation (a part that cannot
 * be sent) is an error instead.
 */
#ifndef PK_DIALECT_MAKE_H
#define PK_DIALECT_MAKE_H

#include "dialect_parts.h"

struct pk_maker {
    const struct pk_json *in; /* a chat completion's body */
    struct pk_arena *arena;
    struct pk_buf *out, *dropped;
    struct pk_error *err;
    const char *role; /* of the message being written; NULL = none is open */
    char path[96];    /* the place in the request, for errors */
    void *own;        /* the dialect's */
    /* How it writes a text of `owner`, and a part. `role` opens what they go into; NULL: they stand
     * in a list that is open. */
    void (*text)(struct pk_maker *m, const char *role, int text, int owner);
    bool (*part)(struct pk_maker *m, const char *role, int part);
};

/* A field of the body: how it is written, under the name `to`. */
struct pk_make_field {
    const char *from, *to;
    bool (*write)(struct pk_maker *m, int value, const char *to);
};

struct pk_maker pk_make(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                        struct pk_error *err);

int pk_make_get(const struct pk_maker *m, int object, const char *name);
enum pk_json_type pk_make_type(const struct pk_maker *m, int value);
bool pk_make_has(const struct pk_maker *m, int object, const char *name);
pk_str pk_make_string(const struct pk_maker *m, int value);
/* Whether the object's "type" is that. */
bool pk_make_is(const struct pk_maker *m, int object, const char *type);
/* Whether the value is a string of that list, which NULL ends. */
bool pk_make_listed(const struct pk_maker *m, int value, const char *const names[]);

void pk_make_drop(const struct pk_maker *m, const char *name);
/* Copies a member as it is, under a name of its own. */
void pk_make_copy(const struct pk_maker *m, int object, const char *from, const char *to);
/* An object called `to`: the client's own (`own`; < 0: none), with the members that it does not have.
 * Nothing when both are empty. */
void pk_make_merged(struct pk_maker *m, int own, const char *to, const struct pk_json_edit *members,
                    int count);
/* PK_BAD_REQUEST at m->path. */
bool pk_make_refuse(const struct pk_maker *m, const char *what);

/* The fields that are there, in the order of the table. */
bool pk_make_fields(struct pk_maker *m, const struct pk_make_field *fields, size_t count);
/* Drops and reports the fields without a row. */
void pk_make_report(struct pk_maker *m, const struct pk_make_field *fields, size_t count);
/* Closes the object that the fields are members of, and reports those without a row. */
void pk_make_end(struct pk_maker *m, const struct pk_make_field *fields, size_t count);
/* An object of these fields alone. */
bool pk_make_object(struct pk_maker *m, const struct pk_make_field *fields, size_t count);

/* Ways to write a field: as it is; not at all, because it is written elsewhere or has no meaning there;
 * a string or a list of strings as a list; and one that is only left out when it is "1". */
bool pk_make_same(struct pk_maker *m, int value, const char *to);
bool pk_make_nothing(struct pk_maker *m, int value, const char *to);
bool pk_make_list(struct pk_maker *m, int value, const char *to);
bool pk_make_one(struct pk_maker *m, int value, const char *to);

/* --- messages --- */

/* Writes one of the client's messages. */
typedef bool pk_make_message_fn(struct pk_maker *m, int message, int index);

/* Opens the object that the next item goes into, {"role":SHOWN,LIST:[...; items of the same role share
 * one, so that parallel results of tools stand together. */
void pk_make_open(struct pk_maker *m, const char *role, const char *shown, const char *list);
void pk_make_close(struct pk_maker *m);

/* A message's content, a text or parts, by m->text and m->part. */
bool pk_make_content(struct pk_maker *m, const char *role, int message, int index);
/* Writes a message by its role: what a user says goes into one of "user", what the system says stands elsewhere. A name
 * is dropped and reported, but for a tool's. */
bool pk_make_by_role(struct pk_maker *m, int message, int index, pk_make_message_fn *assistant,
                     pk_make_message_fn *tool);
/* Every tool call of a message, in order; PK_BAD_REQUEST when tool_calls is no list. */
bool pk_make_calls(struct pk_maker *m, int message, int index,
                   bool (*write)(struct pk_maker *m, int call));
/* The content of every system message, wherever it stands, as items of *items. */
bool pk_make_system(struct pk_maker *m, struct pk_buf *items);
/* The same as a list called "system"; nothing when there is none. */
bool pk_make_system_list(struct pk_maker *m);
/* "messages" as a list called `to`; PK_BAD_REQUEST when there are none. */
bool pk_make_messages(struct pk_maker *m, const char *to, pk_make_message_fn *write);

/* Whether a message is one of the system's, by either name. */
bool pk_make_is_system(const struct pk_maker *m, int message);
/* The address of an image_url part: a string, or an object with one. */
pk_str pk_make_image_url(const struct pk_maker *m, int part);
/* What "data:TYPE;...;base64,DATA" says; false when it is not one. */
bool pk_make_data_url(pk_str url, pk_str *media, pk_str *bytes);
/* Whether it starts with http:// or https://. */
bool pk_make_is_web(pk_str url);
/* A tool call's arguments, which are JSON in a string, as the text of a JSON object; false, with the
 * error, when they are none. */
bool pk_make_arguments(struct pk_maker *m, int arguments, pk_str *object);

#endif
