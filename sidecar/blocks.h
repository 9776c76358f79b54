/* blocks.h - the memory of a thread's calls, kept from one for the next.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Calls take blocks of few sizes, and give them back in a moment. malloc() would join them with their neighbours and
 * part them again each time. One thread uses a pkd_blocks.
 */
#ifndef PKD_BLOCKS_H
#define PKD_BLOCKS_H

#include "arena.h"

struct pkd_blocks;

struct pkd_blocks *pkd_blocks_new(void);    /* NULL: no memory */
void pkd_blocks_free(struct pkd_blocks *b); /* none may be in use; free(NULL) is fine */

struct pk_allocator pkd_blocks_allocator(struct pkd_blocks *b);

#endif
