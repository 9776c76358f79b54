/* member.c - see member.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "member.h"

#include "iso.h"
#include "json.h"

void pk_member_comma(struct pk_buf *out)
{
    char last = out->len ? out->at[out->len - 1] : '{';

    if (last != '{' && last != '[' && last != ',')
        pk_buf_addc(out, ',');
}

void pk_member_key(struct pk_buf *out, const char *name)
{
    pk_member_comma(out);
    pk_buf_addc(out, '"');
    pk_buf_adds(out, name);
    pk_buf_adds(out, "\":");
}

void pk_member_raw(struct pk_buf *out, const char *name, pk_str json)
{
    if (json.len == 0)
        return;
    pk_member_key(out, name);
    pk_buf_add(out, json);
}

void pk_member_text(struct pk_buf *out, const char *name, pk_str text)
{
    pk_member_key(out, name);
    if (text.len)
        pk_json_quote(out, text);
    else
        pk_buf_adds(out, "null");
}

void pk_member_int(struct pk_buf *out, const char *name, int64_t number)
{
    pk_member_key(out, name);
    pk_buf_addf(out, "%lld", (long long)number);
}

void pk_member_bool(struct pk_buf *out, const char *name, bool truth)
{
    pk_member_key(out, name);
    pk_buf_adds(out, truth ? "true" : "false");
}

void pk_member_time(struct pk_buf *out, const char *name, int64_t at_us)
{
    char text[PK_ISO_BYTES];

    if (at_us != 0)
        pk_iso_print(at_us, text);
    pk_member_text(out, name, at_us != 0 ? pk_str_of(text) : PK_NONE);
}

void pk_member_item(struct pk_buf *out)
{
    pk_member_comma(out);
    pk_buf_addc(out, '{');
}
