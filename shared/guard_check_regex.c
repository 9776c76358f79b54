/* guard_check_regex.c - checks that look for patterns: regex, contains, and their redaction.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A pattern that gives up (regex.h) is an error of the check, so that fail_on_error decides.
 */
#include "guard_inner.h"

#include "regex.h"

#include <string.h>

enum { REPLACEMENT_BYTES_MAX = 1024, GROUPS_MAX = 10 };

/* One thing to look for: a pattern, or a word as it stands. */
struct needle {
    pk_str text;
    struct pk_regex *regex; /* NULL: a word */
};

static enum pk_found find(const struct needle *n, pk_str text, size_t from, struct pk_match *m)
{
    if (n->regex)
        return pk_regex_find(n->regex, text, from, m);
    if (from >= text.len)
        return PK_FOUND_NOT;
    const char *at = memmem(text.at + from, text.len - from, n->text.at, n->text.len);
    if (!at)
        return PK_FOUND_NOT;
    m->start = (size_t)(at - text.at);
    m->end = m->start + n->text.len;
    return PK_FOUND;
}

/* --- flags ------------------------------------------------------------------------------------ */

static bool add_flag(pk_str name, unsigned *flags)
{
    static const struct {
        const char *name, *letter;
        unsigned flag;
    } known[] = {
        {"IGNORECASE", "i", PK_REGEX_NOCASE},
        {"MULTILINE", "m", PK_REGEX_MULTILINE},
        {"DOTALL", "s", PK_REGEX_DOTALL},
        {"GLOBAL", "g", 0},  /* every match is replaced anyway */
        {"UNICODE", "u", 0}, /* always */
    };

    for (size_t i = 0; i < PK_COUNT(known); i++) {
        if (!pk_str_is(name, known[i].name) && !pk_str_is(name, known[i].letter))
            continue;
        *flags |= known[i].flag;
        return true;
    }
    return false;
}

static bool read_flags(struct pk_config_reader *p, int value, unsigned *flags)
{
    struct pk_strings names = {0};

    if (!pk_strings_read(p, "flags", value, &names))
        return false;
    for (int i = 0; i < names.count; i++)
        if (!add_flag(names.at[i], flags))
            return pk_config_fail(p, "flags", "unknown flag \"%.*s\"",
                                  PK_FMT(pk_str_sub(names.at[i], 0, 32)));
    return true;
}

static bool compile(struct pk_config_reader *p, const char *name, pk_str pattern, unsigned flags,
                    struct pk_regex **out)
{
    struct pk_error why = {0};

    *out = pk_regex_new(p->arena, pattern, flags | PK_REGEX_JIT, &why);
    if (!*out && why.code == PK_NO_MEMORY)
        return pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
    return *out || pk_config_fail(p, name, "%s", why.msg);
}

static bool compile_all(struct pk_config_reader *p, const char *name, const struct pk_strings *from,
                        unsigned flags, struct needle **out)
{
    *out = pk_alloc(p->arena, (size_t)(from->count + 1) * sizeof **out);
    if (!*out)
        return pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
    for (int i = 0; i < from->count; i++) {
        (*out)[i].text = from->at[i];
        if (!compile(p, name, from->at[i], flags, &(*out)[i].regex))
            return false;
    }
    return true;
}

/* --- replacing -------------------------------------------------------------------------------- */

/* What stands for a match: literally, or with $&, $1 and so on as JavaScript has them. */
static void add_replacement(struct pk_buf *out, pk_str with, pk_str text, const struct pk_match *g)
{
    for (size_t i = 0; i < with.len; i++) {
        char c = with.at[i], next = i + 1 < with.len ? with.at[i + 1] : 0;
        int group = next >= '1' && next <= '9' ? next - '0' : next == '&' ? 0 : -1;

        if (c != '$' || (group < 0 && next != '$')) {
            pk_buf_addc(out, c);
            continue;
        }
        i++;
        if (group < 0)
            pk_buf_addc(out, '$');
        else
            pk_buf_add(out, pk_str_sub(text, g[group].start, g[group].end - g[group].start));
    }
}

/* `text` with every match of the pattern replaced; false when the pattern gave up. */
static bool replace(struct pk_check_run *r, const struct pk_regex *regex, pk_str text, pk_str with,
                    pk_str *out)
{
    struct pk_buf changed = pk_buf_in(r->arena, PK_BODY_BYTES_MAX);
    int64_t budget = pk_regex_budget(text);
    struct pk_match g[GROUPS_MAX];
    enum pk_found found;
    size_t from = 0, kept = 0;

    while ((found = pk_regex_groups(regex, text, from, g, GROUPS_MAX, &budget)) == PK_FOUND) {
        pk_buf_add(&changed, pk_str_sub(text, kept, g[0].start - kept));
        add_replacement(&changed, with, text, g);
        kept = g[0].end;
        from = pk_regex_after(text, &g[0]);
    }
    if (found == PK_FOUND_GAVE_UP || changed.failed)
        return false;
    pk_buf_add(&changed, pk_str_sub(text, kept, text.len));
    *out = kept || changed.len != text.len ? pk_buf_str(&changed) : text;
    return !changed.failed;
}

static bool blot_word(struct pk_check_run *r, pk_str word, pk_str text, pk_str with, pk_str *out)
{
    struct pk_buf changed = pk_buf_in(r->arena, PK_BODY_BYTES_MAX);
    const struct needle n = {.text = word};
    struct pk_match m;
    size_t from = 0;

    while (find(&n, text, from, &m) == PK_FOUND) {
        pk_buf_add(&changed, pk_str_sub(text, from, m.start - from));
        pk_buf_add(&changed, with);
        from = m.end;
    }
    pk_buf_add(&changed, pk_str_sub(text, from, text.len));
    *out = from ? pk_buf_str(&changed) : text;
    return !changed.failed;
}

/* Blots out every needle in every text that may be changed. */
static void redact(struct pk_check_run *r, const struct needle *needles, int count, pk_str with)
{
    r->verdict = r->final = true;
    for (int i = 0; i < r->doc->count; i++) {
        struct pk_guard_piece *piece = &r->doc->pieces[i];
        pk_str text = piece->text;

        if (!pk_check_may_change(r, piece))
            continue;
        for (int k = 0; k < count; k++) {
            const struct needle *n = &needles[k];

            if (!(n->regex ? replace(r, n->regex, text, with, &text)
                           : blot_word(r, n->text, text, with, &text))) {
                pk_check_err(r, "the pattern costs too much on this text");
                return;
            }
        }
        if (!pk_str_eq(text, piece->text))
            pk_check_change(r, piece, text);
    }
    pk_check_say(r, r->transformed ? "What was found was redacted." : "Nothing was found.");
}

/* --- regex ------------------------------------------------------------------------------------ */

struct regex_params {
    struct pk_strings deny, require; /* as written */
    struct needle *denied, *required;
    unsigned flags;
    pk_str replacement;
};

static bool regex_rule(struct pk_config_reader *p, int value, void *into)
{
    return pk_strings_read(p, "rule", value, &((struct regex_params *)into)->require);
}

static bool regex_require(struct pk_config_reader *p, int value, void *into)
{
    return pk_strings_read(p, "require", value, &((struct regex_params *)into)->require);
}

static bool regex_pattern(struct pk_config_reader *p, int value, void *into)
{
    return pk_strings_read(p, "pattern", value, &((struct regex_params *)into)->deny);
}

static bool regex_deny(struct pk_config_reader *p, int value, void *into)
{
    return pk_strings_read(p, "deny", value, &((struct regex_params *)into)->deny);
}

static bool regex_flags(struct pk_config_reader *p, int value, void *into)
{
    return read_flags(p, value, &((struct regex_params *)into)->flags);
}

static bool regex_replacement(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "replacement", value, REPLACEMENT_BYTES_MAX,
                               &((struct regex_params *)into)->replacement);
}

static const struct pk_config_member regex_members[] = {
    {"rule", regex_rule},
    {"require", regex_require},
    {"pattern", regex_pattern},
    {"deny", regex_deny},
    {"flags", regex_flags},
    {"replacement", regex_replacement},
    {0},
};

static bool regex_ready(struct pk_config_reader *p, struct pk_check *check)
{
    struct regex_params *x = check->params;

    if (x->deny.count + x->require.count == 0)
        return pk_config_fail(p, "", "needs a pattern (denied), or a rule (required)");
    if (check->redact && x->require.count)
        return pk_config_fail(p, "rule", "is required, so it cannot be redacted; use pattern");
    if (x->replacement.len == 0)
        x->replacement = PK_STR("[REDACTED]");
    return compile_all(p, x->deny.count ? "pattern" : "deny", &x->deny, x->flags, &x->denied) &&
           compile_all(p, "rule", &x->require, x->flags, &x->required);
}

/* How many of the needles are in the text; -1 when one cannot tell. `*which` is the first that is. */
static int count_found(const struct needle *needles, int count, pk_str text, int *which)
{
    struct pk_match m;
    int found = 0;

    *which = -1;
    for (int i = 0; i < count; i++) {
        switch (find(&needles[i], text, 0, &m)) {
        case PK_FOUND_GAVE_UP: return -1;
        case PK_FOUND_NOT: break;
        case PK_FOUND:
            found++;
            *which = *which < 0 ? i : *which;
            break;
        }
    }
    return found;
}

/* False: the verdict stands, or the pattern gave up. */
static bool regex_text(struct pk_check_run *r, const struct regex_params *x, pk_str text)
{
    int which;
    int denied = count_found(x->denied, x->deny.count, text, &which);

    if (denied > 0) {
        pk_check_say(r, "The pattern %.*s was found.", PK_FMT(x->deny.at[which]));
        r->verdict = false;
        return false;
    }
    int required = count_found(x->required, x->require.count, text, &which);
    if (denied < 0 || required < 0) {
        pk_check_err(r, "the pattern costs too much on this text");
        return false;
    }
    r->verdict = x->require.count == 0 || required > 0;
    pk_check_say(r, r->verdict && x->require.count ? "The pattern was found."
                                                   : "The pattern was not found.");
    return r->verdict;
}

static void regex_run(struct pk_check_run *r)
{
    const struct regex_params *x = r->check->params;
    pk_str *texts;

    if (r->check->redact) {
        redact(r, x->denied, x->deny.count, x->replacement);
        return;
    }
    int count = pk_check_texts(r, &texts);
    for (int i = 0; i < count && regex_text(r, x, texts[i]); i++)
        continue;
    const struct pk_strings *shown = x->deny.count ? &x->deny : &x->require;
    pk_check_note(r, "regexPattern",
                  shown->count == 1 ? pk_check_quoted(r, shown->at[0])
                                    : pk_strings_json(r->arena, shown->at, shown->count));
}

const struct pk_check_body pk_check_regex = {sizeof(struct regex_params), regex_members,
                                             regex_ready, regex_run, NULL};

/* --- contains --------------------------------------------------------------------------------- */

struct contains_params {
    struct pk_strings words;
    struct needle *needles;
    enum pk_wanted op;
    bool op_given, deny;
    unsigned flags;
    pk_str replacement;
};

static bool contains_words(struct pk_config_reader *p, int value, void *into)
{
    return pk_strings_read(p, "words", value, &((struct contains_params *)into)->words);
}

static bool contains_deny(struct pk_config_reader *p, int value, void *into)
{
    ((struct contains_params *)into)->deny = true;
    return pk_strings_read(p, "deny", value, &((struct contains_params *)into)->words);
}

static bool contains_operator(struct pk_config_reader *p, int value, void *into)
{
    ((struct contains_params *)into)->op_given = true;
    return pk_wanted_read(p, value, &((struct contains_params *)into)->op);
}

static bool contains_flags(struct pk_config_reader *p, int value, void *into)
{
    return read_flags(p, value, &((struct contains_params *)into)->flags);
}

static bool contains_replacement(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "replacement", value, REPLACEMENT_BYTES_MAX,
                               &((struct contains_params *)into)->replacement);
}

static const struct pk_config_member contains_members[] = {
    {"words", contains_words},
    {"deny", contains_deny},
    {"operator", contains_operator},
    {"flags", contains_flags},
    {"replacement", contains_replacement},
    {0},
};

/* A word as a pattern that matches it and nothing else. */
static pk_str literal(struct pk_config_reader *p, pk_str word)
{
    struct pk_buf out = pk_buf_in(p->arena, PK_PATTERN_BYTES_MAX + 1);

    for (size_t i = 0; i < word.len; i++) {
        if (strchr("\\^$.|?*+()[]{}", word.at[i]))
            pk_buf_addc(&out, '\\');
        pk_buf_addc(&out, word.at[i]);
    }
    return pk_buf_str(&out);
}

static bool contains_ready(struct pk_config_reader *p, struct pk_check *check)
{
    struct contains_params *x = check->params;

    if (x->words.count == 0)
        return pk_config_fail(p, "words", "must be given");
    if (x->deny && x->op_given)
        return pk_config_fail(p, "operator", "is for words; deny means none of them");
    if (x->deny || (check->redact && !x->op_given))
        x->op = PK_WANT_NONE;
    if (x->replacement.len == 0)
        x->replacement = PK_STR("[REDACTED]");
    x->needles = pk_alloc(p->arena, (size_t)x->words.count * sizeof *x->needles);
    if (!x->needles)
        return pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
    for (int i = 0; i < x->words.count; i++) {
        x->needles[i].text = x->words.at[i];
        if (x->flags &&
            !compile(p, "words", literal(p, x->words.at[i]), x->flags, &x->needles[i].regex))
            return false;
    }
    return true;
}

/* What was found in one text and what was not; false when a word cannot be looked for. */
static bool sort_words(struct pk_check_run *r, const struct contains_params *x, pk_str text,
                       pk_str *sorted, int *found)
{
    int missing = 0;
    struct pk_match m;

    *found = 0;
    for (int i = 0; i < x->words.count; i++) {
        enum pk_found is = find(&x->needles[i], text, 0, &m);

        if (is == PK_FOUND_GAVE_UP) {
            pk_check_err(r, "the words cost too much on this text");
            return false;
        }
        if (is == PK_FOUND)
            sorted[(*found)++] = x->words.at[i];
        else
            sorted[x->words.count - ++missing] = x->words.at[i];
    }
    return true;
}

static void contains_run(struct pk_check_run *r)
{
    const struct contains_params *x = r->check->params;
    pk_str *texts, *sorted = pk_alloc(r->arena, (size_t)x->words.count * sizeof *sorted);
    int count, found = 0;

    if (r->check->redact) {
        redact(r, x->needles, x->words.count, x->replacement);
        return;
    }
    count = pk_check_texts(r, &texts);
    r->verdict = true;
    for (int i = 0; sorted && i < count && r->verdict; i++) {
        if (!sort_words(r, x, texts[i], sorted, &found))
            return;
        r->verdict = pk_wanted_holds(x->op, found, x->words.count);
    }
    if (!sorted)
        return; /* the arena has failed, and with it the call */
    pk_check_say(r, "%d of %d words were found; wanted: %s.", found, x->words.count,
                 pk_wanted_name(x->op));
    pk_check_note(r, "foundWords", pk_strings_json(r->arena, sorted, found));
    pk_check_note(r, "missingWords",
                  pk_strings_json(r->arena, sorted + found, x->words.count - found));
    pk_check_note(r, "operator", pk_copyf(r->arena, "\"%s\"", pk_wanted_name(x->op)));
}

const struct pk_check_body pk_check_contains = {sizeof(struct contains_params), contains_members,
                                                contains_ready, contains_run, NULL};

/* --- regex_replace ---------------------------------------------------------------------------- */

struct replace_params {
    pk_str rule, with;
    struct pk_regex *regex;
    unsigned flags;
    bool fail_on_detection;
};

static bool replace_rule(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "rule", value, PK_PATTERN_BYTES_MAX,
                               &((struct replace_params *)into)->rule);
}

static bool replace_text(struct pk_config_reader *p, int value, void *into)
{
    struct replace_params *x = into;

    if (pk_json_type(&p->doc, value) == PK_JSON_STRING && pk_json_raw(&p->doc, value).len == 2) {
        x->with = PK_STR(""); /* found text is to vanish */
        return true;
    }
    return pk_config_read_text(p, "redact_text", value, REPLACEMENT_BYTES_MAX, &x->with);
}

static bool replace_flags(struct pk_config_reader *p, int value, void *into)
{
    return read_flags(p, value, &((struct replace_params *)into)->flags);
}

static bool replace_fails(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_bool(p, "fail_on_detection", value,
                               &((struct replace_params *)into)->fail_on_detection);
}

static const struct pk_config_member replace_members[] = {
    {"rule", replace_rule},
    {"redact_text", replace_text},
    {"flags", replace_flags},
    {"fail_on_detection", replace_fails},
    {0},
};

/* "/pattern/flags" as JavaScript writes it; else the whole is the pattern. */
static pk_str pattern_of(struct replace_params *x)
{
    size_t last = x->rule.len;
    unsigned flags = 0;

    if (!pk_str_starts(x->rule, "/"))
        return x->rule;
    while (last > 1 && x->rule.at[last - 1] != '/')
        if (!add_flag((pk_str){&x->rule.at[--last], 1}, &flags))
            return x->rule;
    if (last < 2)
        return x->rule;
    x->flags |= flags;
    return pk_str_sub(x->rule, 1, last - 2);
}

static bool replace_ready(struct pk_config_reader *p, struct pk_check *check)
{
    struct replace_params *x = check->params;

    if (x->rule.len == 0)
        return pk_config_fail(p, "rule", "must be given");
    if (!x->with.at)
        x->with = PK_STR("[REDACTED]");
    pk_str pattern = pattern_of(x);
    return compile(p, "rule", pattern, x->flags, &x->regex);
}

static void replace_run(struct pk_check_run *r)
{
    const struct replace_params *x = r->check->params;
    const struct needle n = {.text = x->rule, .regex = x->regex};

    redact(r, &n, 1, x->with);
    r->verdict = !(r->transformed && x->fail_on_detection);
    pk_check_note(r, "regexPattern", pk_check_quoted(r, x->rule));
}

const struct pk_check_body pk_check_regex_replace = {sizeof(struct replace_params), replace_members,
                                                     replace_ready, replace_run, NULL};
