/* privacy.c - see privacy.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "privacy.h"

#include <sodium.h>

static const char *const names[] = {"full", "hash", "none"};

bool pk_payloads_parse(pk_str text, enum pk_payloads *out)
{
    static const struct {
        const char *word;
        enum pk_payloads means;
    } words[] = {
        {"full", PK_PAYLOADS_FULL}, {"hash", PK_PAYLOADS_HASH},  {"none", PK_PAYLOADS_NONE},
        {"on", PK_PAYLOADS_FULL},   {"true", PK_PAYLOADS_FULL},  {"1", PK_PAYLOADS_FULL},
        {"off", PK_PAYLOADS_NONE},  {"false", PK_PAYLOADS_NONE}, {"0", PK_PAYLOADS_NONE},
    };

    for (size_t i = 0; i < PK_COUNT(words); i++) {
        if (!pk_str_is_nocase(text, words[i].word))
            continue;
        *out = words[i].means;
        return true;
    }
    return false;
}

const char *pk_payloads_name(enum pk_payloads p)
{
    return names[p];
}

bool pk_redact_parse(pk_str text, unsigned *categories)
{
    static const char *const on[] = {"on", "true", "1"}, *const off[] = {"off", "false", "0", ""};

    *categories = 0;
    text = pk_str_trim(text);
    for (size_t i = 0; i < PK_COUNT(off); i++)
        if (pk_str_is_nocase(text, off[i]))
            return true;
    for (size_t i = 0; i < PK_COUNT(on); i++)
        if (pk_str_is_nocase(text, on[i]))
            *categories = PK_PII_ALL;
    while (text.len && *categories != PK_PII_ALL) {
        int comma = pk_str_find(text, ',');
        pk_str name = pk_str_sub(text, 0, comma < 0 ? text.len : (size_t)comma);
        unsigned category = pk_pii_category(pk_str_trim(name));

        if (!category)
            return false;
        *categories |= category;
        text = comma < 0 ? PK_NONE : pk_str_sub(text, (size_t)comma + 1, text.len);
    }
    return true;
}

struct pk_privacy pk_privacy_join(struct pk_privacy a, struct pk_privacy b)
{
    return (struct pk_privacy){a.payloads > b.payloads ? a.payloads : b.payloads,
                               a.redact | b.redact};
}

/* --- payloads ------------------------------------------------------------------------------- */

/* Of the canonical text, so that blanks and the order of members make no difference. */
static pk_str hashed(struct pk_arena *arena, pk_str json)
{
    struct pk_buf text = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof hash + 1];
    struct pk_error unused;
    struct pk_json doc;

    if (json.len == 0 || !pk_json_parse(arena, json, "payload", &doc, &unused))
        return PK_NONE;
    pk_json_canonical(&text, &doc, 0, NULL);
    if (text.failed)
        return PK_NONE;
    (void)crypto_hash_sha256(hash, (const unsigned char *)text.at, text.len);
    (void)sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    return pk_copyf(arena, "{\"sha256\":\"%s\",\"bytes\":%zu}", hex, text.len);
}

static pk_str redacted_json(struct pk_arena *arena, unsigned categories, pk_str json)
{
    struct pk_error unused;
    pk_str out = PK_NONE;

    if (json.len == 0 || !pk_pii_redact_json(arena, json, categories, &out, &unused))
        return PK_NONE;
    return out;
}

static pk_str redacted_text(struct pk_arena *arena, unsigned categories, pk_str text)
{
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);

    if (text.len == 0 || pk_pii_redact(&out, text, categories) == 0)
        return out.failed ? PK_NONE : text;
    return out.failed ? PK_NONE : pk_buf_str(&out);
}

static void apply_payloads(struct pk_arena *arena, struct pk_privacy p, struct pk_record *r)
{
    pk_str *const texts[] = {&r->request, &r->response};

    for (size_t i = 0; i < PK_COUNT(texts); i++) {
        switch (p.payloads) {
        case PK_PAYLOADS_FULL:
            if (p.redact)
                *texts[i] = redacted_json(arena, p.redact, *texts[i]);
            break;
        case PK_PAYLOADS_HASH: *texts[i] = hashed(arena, *texts[i]); break;
        case PK_PAYLOADS_NONE: *texts[i] = PK_NONE; break;
        }
    }
}

/* --- what others wrote beside them ------------------------------------------------------------ */

static void drop_quotes(pk_str own_words, struct pk_record *r)
{
    r->error_message = own_words;
    for (int i = 0; i < r->span_count; i++)
        if (r->spans[i].quotes)
            r->spans[i].message = pk_str_sub(r->spans[i].message, 0, r->spans[i].own);
}

static void redact_rest(struct pk_arena *arena, unsigned categories, struct pk_record *r)
{
    pk_str *const texts[] = {&r->error_message, &r->user_id, &r->prompt, &r->span_name};

    for (size_t i = 0; i < PK_COUNT(texts); i++)
        *texts[i] = redacted_text(arena, categories, *texts[i]);
    r->metadata = redacted_json(arena, categories, r->metadata);
    for (int i = 0; i < r->span_count; i++)
        r->spans[i].message = redacted_text(arena, categories, r->spans[i].message);
    for (int i = 0; i < r->feedback_count; i++)
        r->feedback[i].metadata = redacted_json(arena, categories, r->feedback[i].metadata);
}

void pk_privacy_apply(struct pk_arena *arena, struct pk_privacy p, pk_str own_words,
                      struct pk_record *r)
{
    apply_payloads(arena, p, r);
    if (p.payloads != PK_PAYLOADS_FULL)
        drop_quotes(own_words, r);
    if (p.redact)
        redact_rest(arena, p.redact, r);
}

pk_str pk_name_shown(pk_str name)
{
    if (pk_pii_seen(name, PK_PII_API_KEY))
        return PK_STR("(what looks like a key)");
    return pk_str_sub(name, 0, PK_SLUG_BYTES_MAX);
}
