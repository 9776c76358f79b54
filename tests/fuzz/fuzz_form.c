/* fuzz_form.c - multipart forms from anywhere: what was read is in the body, is JSON, and comes back as it was.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "form.h"
#include "fuzz.h"

static void check(struct pk_arena *arena, const struct pk_form *f, pk_str body)
{
    struct pk_error err = {0};
    struct pk_form again;
    struct pk_json doc;
    pk_str fields, same;

    PK_ASSERT(f->count <= PK_FORM_PARTS_MAX);
    for (int i = 0; i < f->count; i++) {
        const struct pk_form_part *p = &f->parts[i];

        PK_ASSERT(p->name.len > 0);
        PK_ASSERT(p->whole.at >= body.at && p->whole.at + p->whole.len <= body.at + body.len);
        PK_ASSERT(p->content.len == 0 ||
                  (p->content.at >= p->whole.at &&
                   p->content.at + p->content.len <= p->whole.at + p->whole.len));
    }
    PK_ASSERT(pk_form_fields(arena, f, &fields, &err));
    PK_ASSERT(pk_json_parse(arena, fields, "fields", &doc, &err));
    PK_ASSERT(pk_form_with(arena, f, fields, &same, &err));
    pk_str type = pk_copyf(arena, "multipart/form-data; boundary=\"%.*s\"", PK_FMT(f->boundary));
    PK_ASSERT(pk_form_parse(arena, type, same, &again, &err) && again.count == f->count);
    for (int i = 0; i < f->count; i++)
        PK_ASSERT(pk_str_eq(f->parts[i].whole, again.parts[i].whole));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_arena arena = fuzz_arena();
    pk_str body = fuzz_text(bytes, size);
    pk_str type = fuzz_part(&body);
    struct pk_error err = {0};
    struct pk_form f;

    if (pk_form_parse(&arena, type, body, &f, &err))
        check(&arena, &f, body);
    else
        PK_ASSERT(err.code == PK_BAD_REQUEST);
    pk_arena_free(&arena);
    return 0;
}
