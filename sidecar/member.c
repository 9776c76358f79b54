/* member.c - see member.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "member.h"

#include "iso.h"
#include "json.h"

static void begin(struct pk_buf *out, const char *name)
{
    pk_buf_addf(out, "%s\"%s\":", out->len && out->at[out->len - 1] != '{' ? "," : "", name);
}

void pkd_member_raw(struct pk_buf *out, const char *name, pk_str json)
{
    if (json.len == 0)
        return;
    begin(out, name);
    pk_buf_add(out, json);
}

void pkd_member_text(struct pk_buf *out, const char *name, pk_str text)
{
    begin(out, name);
    if (text.len)
        pk_json_quote(out, text);
    else
        pk_buf_adds(out, "null");
}

void pkd_member_int(struct pk_buf *out, const char *name, int64_t number)
{
    begin(out, name);
    pk_buf_addf(out, "%lld", (long long)number);
}

void pkd_member_bool(struct pk_buf *out, const char *name, bool truth)
{
    begin(out, name);
    pk_buf_adds(out, truth ? "true" : "false");
}

void pkd_member_time(struct pk_buf *out, const char *name, int64_t at_us)
{
    char text[PK_ISO_BYTES];

    if (at_us != 0)
        pk_iso_print(at_us, text);
    pkd_member_text(out, name, at_us != 0 ? pk_str_of(text) : PK_NONE);
}

void pkd_member_users(struct pk_buf *out, const struct pk_users *users)
{
    if (users->count == 0)
        return;
    pkd_member_raw(out, "used_by", PK_STR("["));
    for (int i = 0; i < users->count && i < PK_USERS_NAMED_MAX; i++) {
        if (i)
            pk_buf_addc(out, ',');
        pk_json_quote(out, users->names[i]);
    }
    pk_buf_addc(out, ']');
    pkd_member_int(out, "used_by_total", users->count);
}

void pkd_item_begin(struct pk_buf *out)
{
    pk_buf_adds(out, out->len && out->at[out->len - 1] != '[' ? ",{" : "{");
}
