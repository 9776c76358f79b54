/* text.h - growing bytes for the mock provider.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * mockd is a test tool: when memory runs out it says so and ends.
 */
#ifndef MOCK_TEXT_H
#define MOCK_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialise; `at` always has a NUL behind `len` once something was added. */
struct text {
    char *at;
    size_t len, cap;
};

void *grown(void *old, size_t size); /* realloc that ends the program when it fails */

void text_add(struct text *t, const char *bytes, size_t len);
void text_adds(struct text *t, const char *s);
void text_addf(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_fill(struct text *t, char c, size_t len);
/* As a JSON string, byte for byte: what is not UTF-8 stays as it is. */
void text_quote(struct text *t, const char *bytes, size_t len);
void text_drop(struct text *t, size_t len); /* forgets that many from the front */
void text_free(struct text *t);

/* How many words, as token counts go here: runs of bytes that are not blank. */
int words_in(const char *s, size_t len);

#endif
