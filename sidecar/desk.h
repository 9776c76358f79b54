/* desk.h - subcommands that administer a store from a shell: `pkd NOUN VERB ...`.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_DESK_H
#define PKD_DESK_H

#include "buf.h"
#include "command.h"
#include "home.h"

enum { PKD_PATH_BYTES_MAX = 4096, PKD_STDIN_BYTES_MAX = PK_CONFIG_BYTES_MAX };

struct pkd_desk {
    const struct pkd_options *options;
    struct pk_arena arena;
    struct pk_store *store;
    struct pkd_home home;
    struct pk_buf
        told; /* what the verb did, as members of an object (member.h): printed with --json */
};

/* Opens the store and runs the verb that the options name; when there is none, says which there are. The exit
 * status. */
int pkd_desk_run(const struct pkd_options *o, const struct pkd_command *c);

/* Tells of a version that was put: "SLUG@VERSION". */
void pkd_desk_tell_version(struct pkd_desk *d, const char *slug, int64_t version);
/* Tells of something by its name, and what was done with it: {"slug":"a","deleted":true}; `did` may be NULL. Nothing
 * without --json. */
void pkd_desk_tell(struct pkd_desk *d, const char *member, const char *name, const char *did);

/* All of stdin, without blanks around it. */
bool pkd_desk_stdin(struct pkd_desk *d, pk_str *out, struct pk_error *err) PK_MUST_CHECK;

/* The content of a file of at most `max` bytes; "-": of stdin. */
bool pkd_desk_file(struct pkd_desk *d, const char *path, size_t max, pk_str *out,
                   struct pk_error *err) PK_MUST_CHECK;

/* "KEY=VALUE" lines as a member "metadata" of an object; admin_logs.c. */
bool pkd_logs_metadata(struct pk_buf *out, pk_str lines, struct pk_error *err) PK_MUST_CHECK;
/* A verb of `pkd logs`; admin_erase.c. */
bool pkd_logs_erase(struct pkd_desk *d, char **words, int count, struct pk_error *err);

/* Prints the rows of a statement without parameters: columns apart by tabs, or with --json a list of objects.
 * `names` are those of the columns, with blanks between; one that ends in "{}" holds JSON. */
bool pkd_desk_list(struct pkd_desk *d, enum pk_stmt stmt, const char *names,
                   struct pk_error *err) PK_MUST_CHECK;

#endif
