/* target_field.c - see target_field.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "target_field.h"

#include "http.h"
#include "url.h"

#include <string.h>

enum { LABEL_BYTES_MAX = 63, TEXT_BYTES_MAX = 1024, SECRET_FIELD_BYTES_MAX = 6 << 10 };

static const struct pk_target_field_row rows[] = {
#define TARGET_FIELD(name, other, shape, environment, header, providers)                           \
    {#name, other, PK_SHAPE_##shape, environment, header, providers},
#include "target_fields.def"
#undef TARGET_FIELD
};

/* What some fields may say, blank separated. */
static const struct {
    enum pk_target_field field;
    const char *words, *wrong;
} choices[] = {
    {PK_TF_azure_auth_mode, "entra managed workload",
     "must be \"entra\", \"managed\" or \"workload\""},
    {PK_TF_aws_auth_type, "accessKey assumedRole apiKey",
     "must be \"accessKey\", \"assumedRole\" or \"apiKey\""},
};

const struct pk_target_field_row *pk_target_field_row(enum pk_target_field f)
{
    PK_ASSERT((unsigned)f < PK_TARGET_FIELDS);
    return &rows[f];
}

int pk_target_field_find(pk_str name)
{
    for (int i = 0; name.len && i < PK_TARGET_FIELDS; i++)
        if (pk_str_is(name, rows[i].name) || pk_str_is(name, rows[i].other))
            return i;
    return -1;
}

bool pk_target_field_secret(enum pk_target_field f)
{
    enum pk_field_shape shape = pk_target_field_row(f)->shape;

    return shape == PK_SHAPE_SECRET || shape == PK_SHAPE_SECRET_JSON;
}

/* Whether a blank separated list has the word. */
static bool has_word(const char *list, pk_str word)
{
    pk_str rest = pk_str_of(list);

    while (rest.len) {
        int blank = pk_str_find(rest, ' ');
        size_t len = blank < 0 ? rest.len : (size_t)blank;

        if (pk_str_eq(pk_str_sub(rest, 0, len), word))
            return true;
        rest = pk_str_sub(rest, len + 1, rest.len);
    }
    return false;
}

bool pk_target_field_taken(enum pk_target_field f, const char *provider)
{
    return has_word(pk_target_field_row(f)->providers, pk_str_of(provider));
}

static bool is_label(pk_str s)
{
    if (s.len == 0 || s.len > LABEL_BYTES_MAX || s.at[0] == '-' || s.at[s.len - 1] == '-')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return true;
}

/* Account names are written in either case, and Snowflake's and Databricks' have dots and underscores. */
static bool is_account(pk_str s)
{
    size_t from = 0;

    if (s.len == 0 || s.len > 4 * LABEL_BYTES_MAX)
        return false;
    for (size_t i = 0; i <= s.len; i++) {
        char c = i < s.len ? s.at[i] : '.';
        bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');

        if (c == '.') {
            if (i == from || i - from > LABEL_BYTES_MAX || s.at[from] == '-' || s.at[i - 1] == '-')
                return false;
            from = i + 1;
        } else if (!alnum && c != '-' && c != '_') {
            return false;
        }
    }
    return true;
}

static bool is_segment(pk_str s)
{
    return s.len > 0 && s.len <= TEXT_BYTES_MAX && !pk_str_is(s, ".") && !pk_str_is(s, "..") &&
           pk_http_valid_value(s);
}

static const char *wrong_url(pk_str value)
{
    struct pk_error why = {0};
    struct pk_url url;

    return value.len <= PK_URL_BYTES_MAX && pk_url_parse(value, "url", &url, &why)
               ? NULL
               : "must be an absolute http or https URL";
}

static const char *wrong_word(enum pk_target_field f, pk_str value)
{
    for (size_t i = 0; i < PK_COUNT(choices); i++)
        if (choices[i].field == f && !has_word(choices[i].words, value))
            return choices[i].wrong;
    return NULL;
}

const char *pk_target_field_wrong(enum pk_target_field f, pk_str value)
{
    switch (pk_target_field_row(f)->shape) {
    case PK_SHAPE_TEXT:
        if (value.len == 0 || value.len > TEXT_BYTES_MAX || !pk_http_valid_value(value))
            return "must be 1 to 1024 bytes without line breaks";
        return wrong_word(f, value);
    case PK_SHAPE_LABEL:
        return is_label(value) ? NULL : "must have a-z, 0-9 and dashes only, at most 63";
    case PK_SHAPE_ACCOUNT: return is_account(value) ? NULL : "must be labels of a host name";
    case PK_SHAPE_SEGMENT:
        return is_segment(value) ? NULL : "must be 1 to 1024 bytes without line breaks";
    case PK_SHAPE_URL: return wrong_url(value);
    case PK_SHAPE_SECRET:
    case PK_SHAPE_SECRET_JSON:
        return value.len > 0 && value.len <= SECRET_FIELD_BYTES_MAX ? NULL
                                                                    : "must have 1 to 6144 bytes";
    }
    return NULL;
}
