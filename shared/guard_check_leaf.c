/* guard_check_leaf.c - checks whose work is done by modules of their own: schema.h, pii.h, injection.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "guard_inner.h"

#include "dialect_parts.h"
#include "injection.h"
#include "pii.h"
#include "schema.h"

/* --- json_schema ------------------------------------------------------------------------------- */

struct schema_params {
    const struct pk_schema *schema;
};

/* An object, or its text. */
static bool schema_schema(struct pk_config_reader *p, int value, void *into)
{
    struct schema_params *x = into;
    pk_str text = pk_json_raw(&p->doc, value);
    struct pk_error why = {0};

    if (pk_json_type(&p->doc, value) == PK_JSON_STRING)
        text = pk_json_str(p->arena, &p->doc, value);
    if (pk_schema_compile(p->arena, text, PK_SCHEMA_FORMATS, &x->schema, &why))
        return true;
    if (why.code == PK_NO_MEMORY)
        return pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
    return pk_config_fail(p, "", "%s", why.msg);
}

static const struct pk_config_member schema_members[] = {{"schema", schema_schema}, {0}};

static bool schema_ready(struct pk_config_reader *p, struct pk_check *check)
{
    const struct schema_params *x = check->params;

    return x->schema || pk_config_fail(p, "schema", "must be given");
}

static bool validates(struct pk_check_run *r, const struct pk_json *doc)
{
    const struct schema_params *x = r->check->params;
    struct pk_error why = {0};

    switch (pk_schema_check(r->arena, x->schema, doc, 0, &why)) {
    case PK_SCHEMA_VALID: pk_check_say(r, "The JSON fits the schema."); return true;
    case PK_SCHEMA_INVALID: pk_check_say(r, "%s", why.msg); return false;
    case PK_SCHEMA_UNDECIDED: pk_check_err(r, "%s", why.msg); return false;
    }
    return false;
}

static void schema_run(struct pk_check_run *r)
{
    pk_str *texts;
    int n = pk_check_texts(r, &texts);

    r->verdict = true;
    for (int i = 0; i < n && r->verdict; i++)
        r->verdict = pk_check_any_json(r, texts[i], validates);
}

const struct pk_check_body pk_check_json_schema = {sizeof(struct schema_params), schema_members,
                                                   schema_ready, schema_run, NULL};

/* --- pii ----------------------------------------------------------------------------------------- */

struct pii_params {
    unsigned categories;
    bool redact;
};

static bool pii_categories(struct pk_config_reader *p, int value, void *into)
{
    struct pii_params *x = into;
    struct pk_strings names = {0};

    if (!pk_strings_read(p, "categories", value, &names))
        return false;
    for (int i = 0; i < names.count; i++) {
        unsigned category = pk_pii_category(names.at[i]);

        if (!category)
            return pk_config_fail(p, "categories", "\"%.*s\" is none that pk can find",
                                  PK_FMT(pk_str_sub(names.at[i], 0, 32)));
        x->categories |= category;
    }
    return true;
}

static bool pii_redact(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_bool(p, "redact", value, &((struct pii_params *)into)->redact);
}

static const struct pk_config_member pii_members[] = {
    {"categories", pii_categories}, {"redact", pii_redact}, {0}};

static bool pii_ready(struct pk_config_reader *p, struct pk_check *check)
{
    struct pii_params *x = check->params;

    (void)p;
    if (!x->categories)
        x->categories = PK_PII_ALL;
    check->redact = check->redact || x->redact;
    return true;
}

/* Their names, never what was found. */
static pk_str names_of(struct pk_check_run *r, unsigned categories)
{
    struct pk_buf out = pk_buf_in(r->arena, 1024);

    for (unsigned bit = 1; bit <= PK_PII_ALL; bit <<= 1)
        if (categories & bit)
            pk_buf_addf(&out, "%s\"%s\"", out.len ? "," : "", pk_pii_name(bit));
    return pk_copyf(r->arena, "[%.*s]", PK_FMT(pk_buf_str(&out)));
}

static unsigned blot_out(struct pk_check_run *r, unsigned categories)
{
    unsigned seen = 0;

    for (int i = 0; i < r->doc->count; i++) {
        struct pk_guard_piece *piece = &r->doc->pieces[i];
        struct pk_buf out = pk_buf_in(r->arena, PK_BODY_BYTES_MAX);
        unsigned here = pk_pii_seen(piece->text, categories);

        if (!here || !pk_check_may_change(r, piece))
            continue;
        (void)pk_pii_redact(&out, piece->text, categories);
        if (out.failed)
            pk_check_err(r, "the text is too large");
        pk_check_change(r, piece, pk_buf_str(&out));
        seen |= here;
    }
    return seen;
}

static void pii_run(struct pk_check_run *r)
{
    const struct pii_params *x = r->check->params;
    unsigned seen = 0;
    pk_str *texts;

    if (r->check->redact) {
        seen = blot_out(r, x->categories);
        r->verdict = r->final = true;
    } else {
        int n = pk_check_texts(r, &texts);

        for (int i = 0; i < n; i++)
            seen |= pk_pii_seen(texts[i], x->categories);
        r->verdict = seen == 0;
    }
    pk_check_say(r, !seen              ? "No personal data was found."
                    : r->check->redact ? "Personal data was redacted."
                                       : "Personal data was found.");
    pk_check_note(r, "detectedPII", names_of(r, seen));
}

const struct pk_check_body pk_check_pii = {sizeof(struct pii_params), pii_members, pii_ready,
                                           pii_run, NULL};

/* --- prompt_injection ------------------------------------------------------------------------------ */

struct injection_params {
    double threshold; /* 0: the usual */
};

static bool injection_threshold(struct pk_config_reader *p, int value, void *into)
{
    double *threshold = &((struct injection_params *)into)->threshold;

    return (pk_json_number(&p->doc, value, threshold) && *threshold > 0 && *threshold <= 1) ||
           pk_config_fail(p, "threshold", "must be over 0 and at most 1");
}

static const struct pk_config_member injection_members[] = {{"threshold", injection_threshold},
                                                            {0}};

static void injection_run(struct pk_check_run *r)
{
    const struct injection_params *x = r->check->params;
    double threshold = x->threshold > 0 ? x->threshold : PK_INJECTION_THRESHOLD;
    struct pk_injection worst = {0}, found;
    pk_str *texts, names[PK_INJECTION_MATCHES_MAX];
    int n = pk_check_texts(r, &texts);

    for (int i = 0; i < n; i++) {
        pk_injection_score(texts[i], &found);
        if (found.score > worst.score)
            worst = found;
    }
    for (int i = 0; i < worst.count; i++)
        names[i] = pk_str_of(worst.matches[i]);
    r->verdict = worst.score < threshold;
    pk_check_say(r, "The text scores %.2f; from %.2f on it is taken for an injection.", worst.score,
                 threshold);
    pk_check_note(r, "score", pk_copyf(r->arena, "%.2f", worst.score));
    pk_check_note(r, "patterns", pk_strings_json(r->arena, names, worst.count));
}

const struct pk_check_body pk_check_prompt_injection = {
    sizeof(struct injection_params), injection_members, NULL, injection_run, NULL};
