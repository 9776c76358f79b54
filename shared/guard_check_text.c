/* guard_check_text.c - checks that measure a text: counts, letters, endings, code, URLs.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Characters are Unicode's, not bytes. Where Portkey counts by splitting a string, and so counts one word in
 * an empty text and two sentences in "3.14.", these count what people would.
 */
#include "guard_inner.h"

#include "regex.h"
#include "url.h"

#include <string.h>
#include <strings.h>

enum { COUNT_MAX = 1 << 30, URLS_MAX = 256 };

/* --- counts ------------------------------------------------------------------------------------ */

struct count_params {
    int64_t min, max;
    bool min_given, max_given;
};

static bool read_bound(struct pk_config_reader *p, const char *name, int value, int64_t *bound,
                       bool *given)
{
    if (*given)
        return pk_config_fail(p, name, "given twice");
    *given = true;
    return pk_config_read_int(p, name, value, COUNT_MAX, bound);
}

static bool count_min(struct pk_config_reader *p, int value, void *into)
{
    struct count_params *x = into;

    return read_bound(p, "min", value, &x->min, &x->min_given);
}

static bool count_max(struct pk_config_reader *p, int value, void *into)
{
    struct count_params *x = into;

    return read_bound(p, "max", value, &x->max, &x->max_given);
}

static const struct pk_config_member word_members[] = {
    {"min", count_min}, {"max", count_max}, {"min_words", count_min}, {"max_words", count_max}, {0},
};
static const struct pk_config_member sentence_members[] = {
    {"min", count_min},
    {"max", count_max},
    {"min_sentences", count_min},
    {"max_sentences", count_max},
    {0},
};
static const struct pk_config_member char_members[] = {
    {"min", count_min},
    {"max", count_max},
    {"min_characters", count_min},
    {"max_characters", count_max},
    {0},
};

static bool count_ready(struct pk_config_reader *p, struct pk_check *check)
{
    struct count_params *x = check->params;

    if (!x->max_given)
        x->max = INT64_MAX;
    if (!x->min_given && !x->max_given)
        return pk_config_fail(p, "", "needs min or max");
    return x->min <= x->max || pk_config_fail(p, "min", "must not be more than max");
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int64_t count_words(pk_str text)
{
    int64_t words = 0;
    bool inside = false;

    for (size_t i = 0; i < text.len; i++) {
        bool letter = !is_blank(text.at[i]);

        words += letter && !inside;
        inside = letter;
    }
    return words;
}

/* How many bytes a full stop, or what ends a sentence elsewhere, has at the front of `text`; 0: none. */
static size_t end_mark(pk_str text)
{
    static const char *const marks[] = {
        ".", "!", "?", "\xe3\x80\x82", "\xef\xbc\x81", "\xef\xbc\x9f", "\xe2\x80\xa6"};

    for (size_t i = 0; i < PK_COUNT(marks); i++)
        if (pk_str_starts(text, marks[i]))
            return strlen(marks[i]);
    return 0;
}

/* A mark ends a sentence when a blank, a bracket, a quote or nothing follows, or when it is a wide one. */
static bool ends_sentence(pk_str rest, size_t mark)
{
    pk_str after = pk_str_sub(rest, mark, rest.len);

    return mark > 1 || after.len == 0 || is_blank(after.at[0]) || strchr("\"')]}", after.at[0]);
}

/* What stands behind the last mark is a sentence too. */
static int64_t count_sentences(pk_str text)
{
    int64_t sentences = 0;
    bool words = false;

    for (size_t i = 0; i < text.len; i++) {
        pk_str rest = pk_str_sub(text, i, text.len);
        size_t mark = end_mark(rest);

        if (mark && words && ends_sentence(rest, mark)) {
            sentences++;
            words = false;
        } else if (!mark && !is_blank(text.at[i]) && !strchr("\"')]}", text.at[i])) {
            words = true;
        }
        i += mark ? mark - 1 : 0;
    }
    return sentences + words;
}

static int64_t count_characters(pk_str text)
{
    int64_t characters = 0;

    for (size_t i = 0; i < text.len; i++)
        characters += ((unsigned char)text.at[i] & 0xc0) != 0x80;
    return characters;
}

static void count_run(struct pk_check_run *r, int64_t (*count)(pk_str), const char *what,
                      const char *member)
{
    const struct count_params *x = r->check->params;
    pk_str *texts;
    int n = pk_check_texts(r, &texts);
    int64_t counted = 0;

    r->verdict = true;
    for (int i = 0; i < n && r->verdict; i++) {
        counted = count(texts[i]);
        r->verdict = counted >= x->min && counted <= x->max;
    }
    if (x->max_given)
        pk_check_say(r, "The text has %lld %s; wanted: %lld to %lld.", (long long)counted, what,
                     (long long)x->min, (long long)x->max);
    else
        pk_check_say(r, "The text has %lld %s; wanted: %lld or more.", (long long)counted, what,
                     (long long)x->min);
    pk_check_note(r, member, pk_copyf(r->arena, "%lld", (long long)counted));
}

static void word_run(struct pk_check_run *r)
{
    count_run(r, count_words, "words", "wordCount");
}

static void sentence_run(struct pk_check_run *r)
{
    count_run(r, count_sentences, "sentences", "sentenceCount");
}

static void char_run(struct pk_check_run *r)
{
    count_run(r, count_characters, "characters", "characterCount");
}

const struct pk_check_body pk_check_word_count = {sizeof(struct count_params), word_members,
                                                  count_ready, word_run, NULL};
const struct pk_check_body pk_check_sentence_count = {sizeof(struct count_params), sentence_members,
                                                      count_ready, sentence_run, NULL};
const struct pk_check_body pk_check_char_count = {sizeof(struct count_params), char_members,
                                                  count_ready, char_run, NULL};

/* --- letters ------------------------------------------------------------------------------------ */

/* The pattern of what may not be there. */
struct case_params {
    struct pk_regex *regex;
};

static const struct pk_config_member no_members[] = {{0}};

static bool case_ready(struct pk_config_reader *p, struct pk_check *check, const char *pattern)
{
    struct case_params *x = check->params;

    x->regex = pk_regex_new(p->arena, pk_str_of(pattern), PK_REGEX_JIT, p->err);
    return x->regex != NULL;
}

static bool upper_ready(struct pk_config_reader *p, struct pk_check *check)
{
    return case_ready(p, check, "\\p{Ll}");
}

static bool lower_ready(struct pk_config_reader *p, struct pk_check *check)
{
    return case_ready(p, check, "[\\p{Lu}\\p{Lt}]");
}

static void case_run(struct pk_check_run *r)
{
    const struct case_params *x = r->check->params;
    enum pk_found found = PK_FOUND_NOT;
    pk_str *texts;
    int n = pk_check_texts(r, &texts);

    for (int i = 0; i < n && found == PK_FOUND_NOT; i++)
        found = pk_regex_find(x->regex, texts[i], 0, NULL);
    if (found == PK_FOUND_GAVE_UP)
        pk_check_err(r, "the text is too long");
    r->verdict = found == PK_FOUND_NOT;
    pk_check_say(r, r->verdict ? "Every letter is of the wanted case."
                               : "A letter of the other case was found.");
}

const struct pk_check_body pk_check_upper_case = {sizeof(struct case_params), no_members,
                                                  upper_ready, case_run, NULL};
const struct pk_check_body pk_check_lower_case = {sizeof(struct case_params), no_members,
                                                  lower_ready, case_run, NULL};

/* --- ends_with ---------------------------------------------------------------------------------- */

struct ends_params {
    pk_str suffix;
};

static bool ends_suffix(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "suffix", value, 4096, &((struct ends_params *)into)->suffix);
}

static const struct pk_config_member ends_members[] = {{"suffix", ends_suffix}, {0}};

static bool ends_ready(struct pk_config_reader *p, struct pk_check *check)
{
    const struct ends_params *x = check->params;

    return x->suffix.len > 0 || pk_config_fail(p, "suffix", "must be given");
}

/* A full stop behind the suffix is allowed, as in Portkey. */
static void ends_run(struct pk_check_run *r)
{
    const struct ends_params *x = r->check->params;
    pk_str *texts;
    int n = pk_check_texts(r, &texts);

    r->verdict = true;
    for (int i = 0; i < n && r->verdict; i++) {
        pk_str bare =
            pk_str_ends(texts[i], ".") ? pk_str_sub(texts[i], 0, texts[i].len - 1) : texts[i];

        r->verdict = pk_str_ends(texts[i], x->suffix.at) || pk_str_ends(bare, x->suffix.at);
    }
    pk_check_say(r, "The text %s with the suffix.", r->verdict ? "ends" : "does not end");
    pk_check_note(r, "suffix", pk_check_quoted(r, x->suffix));
}

const struct pk_check_body pk_check_ends_with = {sizeof(struct ends_params), ends_members,
                                                 ends_ready, ends_run, NULL};

/* --- not_null ------------------------------------------------------------------------------------ */

static void not_null_run(struct pk_check_run *r)
{
    pk_str *texts;
    int n = pk_check_texts(r, &texts);

    r->verdict = true;
    for (int i = 0; i < n && r->verdict; i++)
        r->verdict = pk_str_trim(texts[i]).len > 0;
    pk_check_say(r, "The answer %s text.", r->verdict ? "has" : "has no");
}

const struct pk_check_body pk_check_not_null = {1, no_members, NULL, not_null_run, NULL};

/* --- contains_code ------------------------------------------------------------------------------- */

/* A language, and the tags that a fenced block of it may have. */
static const struct {
    const char *name, *tags;
} languages[] = {
    {"SQL", "sql postgresql postgres mysql sqlite plpgsql"},
    {"Python", "python py python3"},
    {"TypeScript", "typescript ts tsx"},
    {"JavaScript", "javascript js jsx node"},
    {"Java", "java"},
    {"C#", "c# csharp cs"},
    {"C++", "c++ cpp cxx cc hpp"},
    {"C", "c h"},
    {"Ruby", "ruby rb"},
    {"PHP", "php"},
    {"Swift", "swift"},
    {"Kotlin", "kotlin kt"},
    {"Go", "go golang"},
    {"Rust", "rust rs"},
    {"Scala", "scala"},
    {"R", "r"},
    {"Perl", "perl pl"},
    {"Shell", "shell sh bash zsh console"},
    {"HTML", "html"},
    {"CSS", "css"},
    {"XML", "xml"},
    {"JSON", "json"},
    {"YAML", "yaml yml"},
    {"Markdown", "markdown md"},
    {"Dockerfile", "dockerfile docker"},
};

struct code_params {
    const char *name, *tags;
};

static bool code_format(struct pk_config_reader *p, int value, void *into)
{
    struct code_params *x = into;
    pk_str name = PK_NONE;

    if (!pk_config_read_text(p, "format", value, 32, &name))
        return false;
    for (size_t i = 0; i < PK_COUNT(languages); i++)
        if (pk_str_is_nocase(name, languages[i].name)) {
            x->name = languages[i].name;
            x->tags = languages[i].tags;
        }
    return x->name || pk_config_fail(p, "format", "unknown language \"%.*s\"", PK_FMT(name));
}

static const struct pk_config_member code_members[] = {{"format", code_format}, {0}};

static bool code_ready(struct pk_config_reader *p, struct pk_check *check)
{
    const struct code_params *x = check->params;

    return x->name || pk_config_fail(p, "format", "must be given");
}

static bool is_tag(const char *tags, pk_str tag)
{
    while (*tags) {
        size_t len = strcspn(tags, " ");

        if (len == tag.len && strncasecmp(tags, tag.at, len) == 0)
            return true;
        tags += len + (tags[len] == ' ');
    }
    return false;
}

/* Whether a fence opens a block with one of the tags. */
static bool has_block(pk_str text, const char *tags)
{
    if (text.len == 0)
        return false;
    const char *end = text.at + text.len, *at = text.at;
    while ((at = memmem(at, (size_t)(end - at), "```", 3))) {
        at += 3;
        size_t len = 0;
        while (at + len < end && !is_blank(at[len]) && at[len] != '`')
            len++;
        if (len && is_tag(tags, (pk_str){at, len}))
            return true;
    }
    return false;
}

static void code_run(struct pk_check_run *r)
{
    const struct code_params *x = r->check->params;
    pk_str *texts;
    int n = pk_check_texts(r, &texts);

    r->verdict = true;
    for (int i = 0; i < n && r->verdict; i++)
        r->verdict = has_block(texts[i], x->tags);
    pk_check_say(r, "%s code in %s was found.", r->verdict ? "A block of" : "No", x->name);
}

const struct pk_check_body pk_check_contains_code = {sizeof(struct code_params), code_members,
                                                     code_ready, code_run, NULL};

/* --- valid_urls ---------------------------------------------------------------------------------- */

/* Looking up what a model wrote would let it call hosts that nobody allowed. */
static bool urls_dns(struct pk_config_reader *p, int value, void *into)
{
    bool only_dns = false;

    (void)into;
    if (!pk_config_read_bool(p, "only_dns", value, &only_dns))
        return false;
    return !only_dns || pk_config_fail(p, "only_dns", "pk checks how a URL is written, no more");
}

static const struct pk_config_member urls_members[] = {
    {"only_dns", urls_dns}, {"onlyDNS", urls_dns}, {0}};

/* The next URL of the text, without the punctuation behind it; empty at the end. */
static pk_str next_url(pk_str *rest)
{
    size_t from = 0, len = 0;

    while (from < rest->len && !pk_str_starts(pk_str_sub(*rest, from, rest->len), "http://") &&
           !pk_str_starts(pk_str_sub(*rest, from, rest->len), "https://"))
        from++;
    while (from + len < rest->len && !is_blank(rest->at[from + len]) &&
           !strchr("\"'<>{}|\\^`()[],", rest->at[from + len]))
        len++;
    pk_str url = pk_str_sub(*rest, from, len);
    *rest = pk_str_sub(*rest, from + len, rest->len);
    while (url.len && strchr(".;:!?", url.at[url.len - 1]))
        url.len--;
    return url;
}

static bool is_valid(pk_str text)
{
    struct pk_error unused = {0};
    struct pk_url url;
    int fragment = pk_str_find(text, '#');

    if (fragment >= 0)
        text.len = (size_t)fragment;
    return pk_url_parse(text, "url", &url, &unused) &&
           (pk_str_find(url.host, '.') > 0 || pk_str_find(url.host, ':') >= 0);
}

static void urls_run(struct pk_check_run *r)
{
    pk_str *texts, bad[URLS_MAX];
    int n = pk_check_texts(r, &texts), count = 0, bad_count = 0;

    for (int i = 0; i < n; i++) {
        pk_str rest = texts[i];

        for (pk_str url; (url = next_url(&rest)).len; count++)
            if (!is_valid(url) && bad_count < URLS_MAX)
                bad[bad_count++] = url;
    }
    r->verdict = count > 0 && bad_count == 0;
    pk_check_say(r, "%d URLs were found; %d are not valid.", count, bad_count);
    pk_check_note(r, "invalidUrls", pk_strings_json(r->arena, bad, bad_count));
}

const struct pk_check_body pk_check_valid_urls = {1, urls_members, NULL, urls_run, NULL};
