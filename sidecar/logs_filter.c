/* logs_filter.c - see logs_filter.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "logs_filter.h"

#include "iso.h"
#include "operation.h"
#include "path.h"
#include "price.h"
#include "request.h"

#include <string.h>

enum {
    WORDS_BYTES = 80,
    WHY_BYTES = 400,
    HTTP_STATUS_MAX = 999,
    VALUE_BYTES_MAX = 16 << 10,
    US_PER_S = 1000000,
    DOLLARS = 12, /* places from the unit to pico-dollars */
    CENTS = 10,
    MS = 3, /* to microseconds */
    ONES = 0,
};

/* One filter being read. */
struct reader {
    struct pk_arena *arena;
    struct pkd_filter *f;
    const char *word;
    pk_str value;
    struct pk_error *err;
    int64_t range_us;
    bool stored; /* with an export: there are no pages */
};

static bool fail(struct reader *r, const char *why)
{
    return pk_fail(r->err, PK_BAD_REQUEST, "%s: %s", r->word, why);
}

/* --- the kinds of filters ------------------------------------------------------------------- */

/* The first of "a, b", without blanks; may be empty. */
static bool next_item(pk_str *rest, pk_str *item)
{
    int comma = pk_str_find(*rest, ',');
    size_t len = comma < 0 ? rest->len : (size_t)comma;
    bool more = rest->len > 0;

    *item = pk_str_trim(pk_str_sub(*rest, 0, len));
    *rest = pk_str_sub(*rest, len + 1, rest->len);
    return more;
}

/* "a, b" as ",a,b,": what a column's value is looked for in. With `ending`, that follows each once more. */
static bool read_items(struct reader *r, int arg, const char *ending)
{
    struct pk_buf out = pk_buf_in(r->arena, VALUE_BYTES_MAX);
    pk_str rest = r->value, item;

    while (next_item(&rest, &item)) {
        if (item.len)
            pk_buf_addf(&out, ",%.*s", PK_FMT(item));
        if (item.len && ending)
            pk_buf_addf(&out, ",%.*s%s", PK_FMT(item), ending);
    }
    pk_buf_addc(&out, ',');
    r->f->args[arg] = pk_v_required(pk_buf_str(&out));
    r->f->narrow = true;
    return !out.failed || fail(r, "too long");
}

static bool read_list(struct reader *r, int arg)
{
    return read_items(r, arg, NULL);
}

/* What a column may say, the i-th; NULL behind the last. */
static const char *word_of(int arg, int i)
{
    switch (arg) {
    case PKD_F_status: return i <= PK_ST_CANCELLED ? pk_status_name((enum pk_status)i) : NULL;
    case PKD_F_cache_status:
        return i <= PK_CS_SEMANTIC_MISS ? pk_cache_status_name((enum pk_cache_status)i) : NULL;
    case PKD_F_source: return i <= PK_SOURCE_HTTP ? pk_source_name((enum pk_source)i) : NULL;
    case PKD_F_operation: {
        const struct pk_operation *o = pk_operation_at(i);

        return o ? o->name : NULL;
    }
    }
    return NULL;
}

static bool is_word(struct reader *r, int arg, pk_str item)
{
    const char *word;

    for (int i = 0; (word = word_of(arg, i)) != NULL; i++)
        if (pk_str_is(item, word))
            return true;
    struct pk_buf out = pk_buf_in(r->arena, WHY_BYTES);

    for (int i = 0; (word = word_of(arg, i)) != NULL; i++)
        pk_buf_addf(&out, "%s%s", i ? ", " : "must be of ", word);
    pk_buf_addc(&out, 0);
    return fail(r, out.failed ? "no such word" : pk_buf_str(&out).at);
}

static bool is_http_status(struct reader *r, int arg, pk_str item)
{
    int64_t status;

    (void)arg;
    return (pk_str_int(item, &status) && status >= 0 && status <= HTTP_STATUS_MAX) ||
           fail(r, "must be of HTTP statuses, and 0 for none");
}

/* A list of what a column may say, and of nothing else. */
static bool read_known(struct reader *r, int arg,
                       bool (*known)(struct reader *r, int arg, pk_str item))
{
    for (pk_str rest = r->value, item; next_item(&rest, &item);)
        if (item.len && !known(r, arg, item))
            return false;
    return read_list(r, arg);
}

static bool read_words(struct reader *r, int arg)
{
    return read_known(r, arg, is_word);
}

static bool read_statuses(struct reader *r, int arg)
{
    return read_known(r, arg, is_http_status);
}

/* "greet" is "greet@1" and so on too: the statement looks for it without its digits. */
static bool read_prompts(struct reader *r, int arg)
{
    return read_items(r, arg, "@");
}

static bool read_search(struct reader *r, int arg)
{
    r->f->args[arg] = pk_v_required(r->value);
    r->f->narrow = true;
    return true;
}

static bool read_amount(struct reader *r, int arg, int places)
{
    int64_t amount;

    if (!pk_price_decimal(r->value, places, &amount))
        return fail(r, "must be a number from 0");
    r->f->args[arg] = pk_v_int(amount);
    r->f->narrow = true;
    return true;
}

static bool read_cents(struct reader *r, int arg)
{
    return read_amount(r, arg, CENTS);
}

static bool read_dollars(struct reader *r, int arg)
{
    return read_amount(r, arg, DOLLARS);
}

static bool read_ms(struct reader *r, int arg)
{
    return read_amount(r, arg, MS);
}

static bool read_count(struct reader *r, int arg)
{
    return read_amount(r, arg, ONES);
}

/* The mean of value times weight: from -10 to 10. */
static bool read_score(struct reader *r, int arg)
{
    struct pk_error unused = {0};
    struct pk_json doc;
    double score;

    if (!pk_json_parse(r->arena, r->value, r->word, &doc, &unused) ||
        !pk_json_number(&doc, 0, &score))
        return fail(r, "must be a number");
    r->f->args[arg] = pk_v_real(score);
    r->f->narrow = true;
    return true;
}

/* Whether a string stands in every JSON text as it stands here: others may escape what is not plain, and what may be
 * said of a number, true or a list may be spelled otherwise there. */
static bool is_plain(pk_str s)
{
    bool is_word = false;

    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < ' ' || s.at[i] > '~' || s.at[i] == '\\' || s.at[i] == '/')
            return false;
        is_word = is_word || !strchr("0123456789+-.eE", s.at[i]);
    }
    return is_word && s.at[0] != '[' && s.at[0] != '{';
}

/* The longest of the values is looked for in the text before that is parsed. */
static bool read_metadata(struct reader *r, int arg)
{
    struct pk_value *needle = &r->f->args[PKD_F_needle];
    struct pk_json doc;

    if (!pk_json_parse(r->arena, r->value, r->word, &doc, r->err))
        return false;
    if (pk_json_type(&doc, 0) != PK_JSON_OBJECT)
        return fail(r, "must be a JSON object");
    for (int k = pk_json_first(&doc, 0); k >= 0; k = pk_json_next(&doc, 0, k)) {
        bool quoted = pk_json_type(&doc, k + 1) == PK_JSON_STRING;
        pk_str raw = pk_json_raw(&doc, k + 1);
        pk_str text = quoted ? pk_str_sub(raw, 1, raw.len - 2) : PK_NONE;

        if (is_plain(text) && text.len > needle->s.len)
            *needle = pk_v_required(text);
    }
    r->f->args[arg] = pk_v_required(r->value);
    r->f->narrow = true;
    return true;
}

bool pkd_time_read(pk_str text, int64_t *at_us)
{
    int64_t number;

    if (pk_iso_us(text, at_us))
        return true;
    if (!pk_str_int(text, &number) || number < 0)
        return false;
    *at_us = number < 100000000000      ? number * US_PER_S
             : number < 100000000000000 ? number * 1000
                                        : number;
    return true;
}

static bool read_time(struct reader *r, int64_t *at_us)
{
    return pkd_time_read(r->value, at_us) ||
           fail(r, "must be a time in ISO 8601, or seconds since 1970");
}

static bool read_from(struct reader *r, int arg)
{
    (void)arg;
    return read_time(r, &r->f->from_us);
}

/* That moment is still in the range. */
static bool read_to(struct reader *r, int arg)
{
    int64_t at_us;

    (void)arg;
    if (!read_time(r, &at_us))
        return false;
    r->f->to_us = at_us / 1000 * 1000 + 1000;
    return true;
}

/* "90s", "30m", "24h", "7d", "2w" until now. */
static bool read_range(struct reader *r, int arg)
{
    static const struct {
        char letter;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    pk_str number = r->value.len ? pk_str_sub(r->value, 0, r->value.len - 1) : PK_NONE;
    int64_t count;

    (void)arg;
    for (size_t i = 0; i < PK_COUNT(units); i++)
        if (r->value.len && r->value.at[r->value.len - 1] == units[i].letter &&
            pk_str_int(number, &count) && count > 0 && count <= 100000) {
            r->range_us = count * units[i].seconds * US_PER_S;
            return true;
        }
    return fail(r, "must be like 30m, 24h, 7d or 2w");
}

/* --- what is no filter ---------------------------------------------------------------------- */

static bool read_page_size(struct reader *r, int arg)
{
    (void)arg;
    if (!pk_str_int(r->value, &r->f->page_size) || r->f->page_size < 1 ||
        r->f->page_size > PKD_PAGE_ROWS_MAX)
        return fail(r, "must be 1..1000");
    return true;
}

/* Portkey counts pages from 0. */
static bool read_page(struct reader *r, int arg)
{
    (void)arg;
    if (!pk_str_int(r->value, &r->f->current_page) || r->f->current_page < 0 ||
        r->f->current_page > 1000000)
        return fail(r, "must be a number from 0");
    return true;
}

static bool read_after(struct reader *r, int arg)
{
    uint8_t id[PK_UUID_BYTES];

    (void)arg;
    r->f->after = r->value;
    return pk_uuid_parse(r->value, id) || fail(r, "must be the id of a call");
}

static bool read_interval(struct reader *r, int arg)
{
    (void)arg;
    r->f->interval = r->value;
    return pk_str_is(r->value, "minute") || pk_str_is(r->value, "hour") ||
           pk_str_is(r->value, "day") || fail(r, "must be minute, hour or day");
}

static bool read_format(struct reader *r, int arg)
{
    (void)arg;
    r->f->format = r->value;
    return true;
}

static bool read_fields(struct reader *r, int arg)
{
    (void)arg;
    r->f->fields = r->value;
    return true;
}

static bool read_payloads(struct reader *r, int arg)
{
    (void)arg;
    r->f->payloads = r->value;
    return pk_str_is(r->value, "true") || pk_str_is(r->value, "false") ||
           fail(r, "must be true or false");
}

static bool pass_over(struct reader *r, int arg)
{
    (void)r;
    (void)arg;
    return true;
}

/* clang-format off */
/* `words` has a blank on either side of each. */
static const struct rule {
    const char *words;
    bool (*read)(struct reader *r, int arg);
    int arg;
} rules[] = {
    {" trace_id trace_ids ",                  read_list,     PKD_F_trace_id},
    {" span_id ",                             read_list,     PKD_F_span_id},
    {" status ",                              read_words,    PKD_F_status},
    {" http_status status_code status_codes ", read_statuses, PKD_F_http_status},
    {" provider ai_org ",                     read_list,     PKD_F_provider},
    {" model ai_model ",                      read_list,     PKD_F_model},
    {" ai_org_model ",                        read_list,     PKD_F_ai_org_model},
    {" virtual_key virtual_keys ",            read_list,     PKD_F_virtual_key},
    {" config configs ",                      read_list,     PKD_F_config},
    {" api_key api_keys api_key_ids ",        read_list,     PKD_F_api_key},
    {" user user_id ",                        read_list,     PKD_F_user_id},
    {" prompt prompt_slug ",                  read_prompts,     PKD_F_prompt},
    {" cache_status ",                        read_words,    PKD_F_cache_status},
    {" operation ",                           read_words,    PKD_F_operation},
    {" source ",                              read_words,    PKD_F_source},
    {" search error_message ",                read_search,   PKD_F_search},
    {" cost_min ",                            read_cents,    PKD_F_cost_min},
    {" cost_max ",                            read_cents,    PKD_F_cost_max},
    {" cost_usd_min ",                        read_dollars,  PKD_F_cost_min},
    {" cost_usd_max ",                        read_dollars,  PKD_F_cost_max},
    {" total_units_min tokens_min ",          read_count,    PKD_F_units_min},
    {" total_units_max tokens_max ",          read_count,    PKD_F_units_max},
    {" prompt_token_min ",                    read_count,    PKD_F_input_min},
    {" prompt_token_max ",                    read_count,    PKD_F_input_max},
    {" completion_token_min ",                read_count,    PKD_F_output_min},
    {" completion_token_max ",                read_count,    PKD_F_output_max},
    {" latency_min response_time_min ",       read_ms,       PKD_F_duration_min},
    {" latency_max response_time_max ",       read_ms,       PKD_F_duration_max},
    {" http_status_min status_code_min ",     read_count,    PKD_F_http_min},
    {" http_status_max status_code_max ",     read_count,    PKD_F_http_max},
    {" metadata ",                            read_metadata, PKD_F_metadata},
    {" weighted_feedback_min ",               read_score,    PKD_F_feedback_min},
    {" weighted_feedback_max ",               read_score,    PKD_F_feedback_max},
    {" time_of_generation_min start_time ",   read_from,      0},
    {" time_of_generation_max end_time ",     read_to,        0},
    {" time_range ",                          read_range,     0},
    {" page_size limit ",                     read_page_size, 0},
    {" current_page ",                        read_page,      0},
    {" after ",                               read_after,     0},
    {" interval ",                            read_interval,  0},
    {" format ",                              read_format,    0},
    {" fields requested_data ",               read_fields,    0},
    {" payloads ",                            read_payloads,  0},
    {" workspace_slug workspace_id organisation_id ", pass_over, 0}, /* there is one of each */
};
/* clang-format on */

static const struct rule *find_rule(pk_str word)
{
    char spaced[WORDS_BYTES];

    if (word.len == 0 || word.len > sizeof spaced - 3 || pk_str_find(word, ' ') >= 0 ||
        pk_str_find(word, 0) >= 0)
        return NULL;
    spaced[0] = ' ';
    memcpy(spaced + 1, word.at, word.len);
    memcpy(spaced + 1 + word.len, " ", 2);
    for (size_t i = 0; i < PK_COUNT(rules); i++)
        if (strstr(rules[i].words, spaced))
            return &rules[i];
    return NULL;
}

/* What says which of the calls are shown, and how. */
static bool is_of_page(const struct rule *rule)
{
    return rule->read == read_page_size || rule->read == read_page || rule->read == read_after ||
           rule->read == read_interval || rule->read == read_format || rule->read == read_fields ||
           rule->read == read_payloads;
}

/* An empty value asks for nothing. */
static bool read_word(struct reader *r, pk_str word)
{
    const struct rule *rule = find_rule(word);

    if (!rule)
        return pk_fail(r->err, PK_BAD_REQUEST, "%.*s: there is no such filter",
                       PK_FMT(pk_str_sub(word, 0, 64)));
    r->word = pk_copyf(r->arena, "%.*s%c", PK_FMT(word), 0).at;
    if (!r->word)
        return pk_fail(r->err, PK_NO_MEMORY, "filter: out of memory");
    return r->value.len == 0 || (r->stored && is_of_page(rule)) || rule->read(r, rule->arg);
}

/* --- the range of time ---------------------------------------------------------------------- */

static bool take_range(void *ctx, const struct pk_value *v, int count)
{
    int64_t *range = ctx;

    PK_ASSERT(count == 2);
    range[0] = v[0].i; /* 0 and 0: there is no such trace */
    range[1] = v[1].i;
    return false;
}

/* The trace's calls began within a range that its index knows; all that is outside need not be looked at. */
static bool narrow_to_trace(struct pkd_errand *e, struct pkd_filter *f, struct pk_error *err)
{
    pk_str list = f->args[PKD_F_trace_id].s;
    pk_str trace = list.len > 2 ? pk_str_sub(list, 1, list.len - 2) : PK_NONE;
    const struct pk_value args[] = {pk_v_required(trace)};
    int64_t range[2] = {0};

    if (trace.len == 0 || pk_str_find(trace, ',') >= 0)
        return true;
    if (!e->store->ops->exec(e->store, PK_SQL_trace_range, args, 1, take_range, range, err))
        return false;
    if (range[0] > f->from_us)
        f->from_us = range[0];
    if (range[1] / 1000 * 1000 + 1000 < f->to_us)
        f->to_us = range[1] / 1000 * 1000 + 1000;
    return true;
}

static void set_ids(struct pkd_filter *f)
{
    pk_uuid7(f->from_us, 0, f->from_id);
    pk_uuid7(f->to_us, 0, f->to_id);
}

static bool finish(struct pkd_errand *e, struct reader *r)
{
    static const int64_t the_end_us = INT64_C(253402300800) * US_PER_S; /* the year 10000 */
    struct pkd_filter *f = r->f;
    uint8_t after[PK_UUID_BYTES];

    if (r->range_us)
        f->from_us = pk_clock_us() - r->range_us;
    if (f->to_us == 0 || f->to_us > the_end_us)
        f->to_us = the_end_us;
    if (f->from_us > the_end_us)
        f->from_us = the_end_us;
    f->asked_from_us = f->from_us;
    f->asked_to_us = f->to_us;
    if (!narrow_to_trace(e, f, r->err))
        return false;
    set_ids(f);
    f->args[PKD_F_from_id] = pk_v_blob(f->from_id, PK_UUID_BYTES);
    f->args[PKD_F_to_id] = pk_v_blob(f->to_id, PK_UUID_BYTES);
    if (f->after.len && pk_uuid_parse(f->after, after))
        pkd_filter_before(f, after);
    return !r->arena->failed || pk_fail(r->err, PK_NO_MEMORY, "filter: out of memory");
}

static struct reader begin(struct pkd_errand *e, struct pkd_filter *f, struct pk_error *err)
{
    *f = (struct pkd_filter){.page_size = PKD_PAGE_ROWS_DEFAULT};
    return (struct reader){.arena = e->arena, .f = f, .err = err};
}

bool pkd_filter_query(struct pkd_errand *e, struct pkd_filter *f, struct pk_error *err)
{
    struct reader r = begin(e, f, err);
    pk_str query = e->query, word;

    while (query.len) {
        if (!pkd_query_next(e->arena, &query, &word, &r.value))
            return pk_fail(err, PK_BAD_REQUEST, "%.*s: is not validly escaped",
                           PK_FMT(pk_str_sub(word, 0, 64)));
        if (word.len && !read_word(&r, word))
            return false;
    }
    return finish(e, &r);
}

bool pkd_filter_json(struct pkd_errand *e, const struct pk_json *doc, int object,
                     struct pkd_filter *f, struct pk_error *err)
{
    struct reader r = begin(e, f, err);

    r.stored = true;
    for (int k = pk_json_first(doc, object); k >= 0; k = pk_json_next(doc, object, k)) {
        enum pk_json_type type = pk_json_type(doc, k + 1);

        r.value = type == PK_JSON_STRING ? pk_json_str(e->arena, doc, k + 1)
                  : type == PK_JSON_NULL ? PK_NONE
                                         : pk_json_raw(doc, k + 1);
        if (!read_word(&r, pk_json_str(e->arena, doc, k)))
            return false;
    }
    return finish(e, &r);
}

void pkd_filter_before(struct pkd_filter *f, const uint8_t id[PK_UUID_BYTES])
{
    if (memcmp(id, f->to_id, PK_UUID_BYTES) < 0)
        memcpy(f->to_id, id, PK_UUID_BYTES);
}

void pkd_filter_widen(struct pkd_filter *f)
{
    f->from_us = f->asked_from_us;
    f->to_us = f->asked_to_us;
    set_ids(f);
}

int64_t pkd_filter_bucket_us(const struct pkd_filter *f)
{
    const int64_t minute = INT64_C(60) * US_PER_S, hour = 60 * minute, day = 24 * hour;
    int64_t now_us = pk_clock_us();
    int64_t range_us = (f->to_us < now_us ? f->to_us : now_us) - f->from_us;

    if (f->interval.len)
        return pk_str_is(f->interval, "minute") ? minute
               : pk_str_is(f->interval, "hour") ? hour
                                                : day;
    return range_us <= 6 * hour ? minute : range_us <= 14 * day ? hour : day;
}
