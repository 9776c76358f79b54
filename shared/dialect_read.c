/* dialect_read.c - see dialect_read.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect_read.h"

void pk_read_emit(const struct pk_reader *r, enum pk_delta_kind kind, pk_str text)
{
    struct pk_delta d = {.kind = kind, .choice = r->choice, .text = text};

    r->emit(r->s, &d);
}

void pk_read_emit_string(const struct pk_reader *r, enum pk_delta_kind kind, int object,
                         const char *name)
{
    pk_str text = pk_read_string(r, object, name);

    if (text.len)
        pk_read_emit(r, kind, text);
}

void pk_read_emit_member(const struct pk_reader *r, pk_str name, pk_str json)
{
    struct pk_delta d = {.kind = PK_DELTA_MEMBER, .choice = r->choice, .name = name, .text = json};

    if (json.len)
        r->emit(r->s, &d);
}

bool pk_read_emit_error(const struct pk_reader *r, bool told)
{
    struct pk_delta error = {.kind = PK_DELTA_ERROR};
    struct pk_error unused;

    if (told)
        pk_dialect_read_fault(&r->s->scratch, r->doc, &error.fault);
    else if (pk_dialect_no_error(&r->s->scratch, r->doc, &error.fault, &unused))
        return false;
    r->emit(r->s, &error);
    return true;
}

pk_str pk_read_string(const struct pk_reader *r, int object, const char *name)
{
    return pk_json_str(&r->s->scratch, r->doc, pk_json_get(r->doc, object, name));
}

pk_str pk_read_word(const struct pk_word *words, size_t count, pk_str word)
{
    for (size_t i = 0; i < count; i++)
        if (pk_str_is(word, words[i].from))
            return pk_str_of(words[i].to);
    return word;
}

bool pk_read_absent_or(const struct pk_json *doc, int value, enum pk_json_type type)
{
    return pk_json_type(doc, value) <= PK_JSON_NULL || pk_json_type(doc, value) == type;
}
