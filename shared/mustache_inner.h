/* mustache_inner.h - a template as it was read, for the files that read and run it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_MUSTACHE_INNER_H
#define PK_MUSTACHE_INNER_H

#include "mustache.h"

enum pk_mustache_kind { PK_M_TEXT, PK_M_VALUE, PK_M_SECTION, PK_M_INVERTED, PK_M_PARTIAL };

struct pk_mustache_node {
    enum pk_mustache_kind kind;
    pk_str text;   /* TEXT: itself; otherwise the name */
    pk_str indent; /* PARTIAL alone on its line: the blanks before it */
    int end;       /* SECTION, INVERTED: index behind the last node inside */
};

/* A flat list of nodes; a section knows where it ends. */
struct pk_program {
    struct pk_mustache_node *nodes;
    int count;
};

/* NULL with *err filled when it is no template. Names are parts of `text`. */
struct pk_program *pk_mustache_parse(struct pk_arena *arena, pk_str text, const char *what,
                                     struct pk_error *err) PK_MUST_CHECK;

/* As much of a name as an error shows. */
static inline pk_str pk_mustache_shown(pk_str name)
{
    return pk_str_sub(name, 0, 64);
}

#endif
