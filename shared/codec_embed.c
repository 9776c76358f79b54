/* codec_embed.c - embeddings in OpenAI's shape: what is asked for, and the vectors of an answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows OpenAI's reference of POST /embeddings. Inputs may also be objects, as Portkey and Jina have them:
 * {"text", "image"}, or a part of a chat message. base64 is that of the vector's floats, little-endian, which
 * the SDKs of OpenAI ask for: who cannot give it has it made here.
 */
#include "codec.h"

#include "dialect_read.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_PLAIN_MAX = 38 }; /* a number of so few bytes without an exponent fits a float */

/* --- what is asked for ------------------------------------------------------------------------ */

static bool is_list_of(const struct pk_json *doc, int value, enum pk_json_type type)
{
    return pk_json_type(doc, value) == PK_JSON_ARRAY &&
           pk_json_type(doc, pk_json_first(doc, value)) == type;
}

int pk_embed_count(const struct pk_json *request)
{
    int input = pk_json_get(request, 0, "input");

    if (pk_json_type(request, input) != PK_JSON_ARRAY)
        return pk_json_type(request, input) > PK_JSON_NULL ? 1 : -1;
    return is_list_of(request, input, PK_JSON_NUMBER) ? 1 : pk_json_count(request, input);
}

/* The kind of an image that is base64 alone, by how its first bytes come out. */
static pk_str with_type(struct pk_arena *arena, pk_str image)
{
    static const struct pk_word kinds[] = {
        {"/9j/", "jpeg"}, {"iVBOR", "png"}, {"R0lGOD", "gif"}, {"UklGR", "webp"}};

    for (size_t i = 0; i < PK_COUNT(kinds); i++)
        if (pk_str_starts(image, kinds[i].from))
            return pk_copyf(arena, "data:image/%s;base64,%.*s", kinds[i].to, PK_FMT(image));
    return image;
}

/* {"image": URL}, {"image": {"url" or "base64"}}, {"image_url": URL or {"url"}} */
static pk_str image_of(struct pk_maker *m, int item)
{
    int image = pk_make_get(m, item, "image");
    pk_str address = pk_make_string(m, image);

    if (image < 0)
        return pk_make_image_url(m, item);
    if (address.len == 0)
        address = pk_make_string(m, pk_make_get(m, image, "url"));
    if (address.len == 0)
        address = pk_make_string(m, pk_make_get(m, image, "base64"));
    return with_type(m->arena, address);
}

static bool read_item(struct pk_maker *m, int value, struct pk_embed_item *item)
{
    *item = (struct pk_embed_item){.text = value};
    if (pk_make_type(m, value) == PK_JSON_STRING)
        return true;
    if (pk_make_type(m, value) == PK_JSON_NUMBER || pk_make_type(m, value) == PK_JSON_ARRAY)
        return pk_make_refuse(m, "this provider takes texts, no tokens");
    item->text = pk_make_get(m, value, "text");
    item->image = image_of(m, value);
    if (pk_make_type(m, item->text) != PK_JSON_STRING)
        item->text = -1;
    if (item->text < 0 && item->image.len == 0)
        return pk_make_refuse(m, "must be a text, or an object with text or image");
    pk_str media, bytes;
    return item->image.len == 0 || pk_make_is_web(item->image) ||
           pk_make_data_url(item->image, &media, &bytes) ||
           pk_make_refuse(m, "image must be a data: URL in base64, or http(s)");
}

bool pk_embed_items(struct pk_maker *m, pk_embed_item_fn *write)
{
    int input = pk_make_get(m, 0, "input"), i = 0;
    struct pk_embed_item item;

    if (pk_make_type(m, input) != PK_JSON_ARRAY) {
        (void)snprintf(m->path, sizeof m->path, "input");
        return read_item(m, input, &item) && write(m, &item);
    }
    if (pk_json_count(m->in, input) == 0)
        return pk_fail(m->err, PK_BAD_REQUEST, "input: must not be empty");
    for (int v = pk_json_first(m->in, input); v >= 0; v = pk_json_next(m->in, input, v), i++) {
        (void)snprintf(m->path, sizeof m->path, "input[%d]", i);
        if (!read_item(m, v, &item) || !write(m, &item))
            return false;
    }
    return true;
}

/* Texts alone, as strings. */
static bool embed_text(struct pk_maker *m, const struct pk_embed_item *item)
{
    if (item->text < 0 || item->image.len)
        return pk_make_refuse(m, "this provider takes texts, no images");
    pk_member_comma(m->out);
    pk_buf_add(m->out, pk_json_raw(m->in, item->text));
    return true;
}

bool pk_embed_texts(struct pk_maker *m, int value, const char *to)
{
    (void)value;
    pk_member_key(m->out, to);
    pk_buf_addc(m->out, '[');
    if (!pk_embed_items(m, embed_text))
        return false;
    pk_buf_addc(m->out, ']');
    return true;
}

bool pk_embed_has_images(const struct pk_json *request)
{
    int input = pk_json_get(request, 0, "input");
    int first = pk_json_type(request, input) == PK_JSON_ARRAY ? pk_json_first(request, input) : -1;

    if (pk_json_type(request, input) == PK_JSON_OBJECT)
        return pk_json_get(request, input, "image") >= 0 ||
               pk_json_get(request, input, "image_url") >= 0;
    for (int v = first; v >= 0; v = pk_json_next(request, input, v))
        if (pk_json_get(request, v, "image") >= 0 || pk_json_get(request, v, "image_url") >= 0)
            return true;
    return false;
}

/* --- tasks ----------------------------------------------------------------------------------- */

/* clang-format off */
static const char *const tasks[][5] = {
    /* Cohere             Voyage      Jina                 Gemini                 Nomic */
    {"search_query",     "query",    "retrieval.query",   "RETRIEVAL_QUERY",     "search_query"},
    {"search_document",  "document", "retrieval.passage", "RETRIEVAL_DOCUMENT",  "search_document"},
    {"classification",   NULL,       "classification",    "CLASSIFICATION",      "classification"},
    {"clustering",       NULL,       "separation",        "CLUSTERING",          "clustering"},
    {NULL,               NULL,       "text-matching",     "SEMANTIC_SIMILARITY", NULL},
};
/* clang-format on */

static const char *const *find_task(const struct pk_json *doc, int value)
{
    for (size_t i = 0; i < PK_COUNT(tasks); i++)
        for (size_t k = 0; k < PK_COUNT(tasks[0]); k++)
            if (tasks[i][k] && pk_json_is(doc, value, tasks[i][k]))
                return tasks[i];
    return NULL;
}

pk_str pk_embed_task(struct pk_maker *m, enum pk_task_names names)
{
    static const char *const fields[] = {"input_type", "task_type", "task"};

    for (size_t i = 0; i < PK_COUNT(fields); i++) {
        int value = pk_make_get(m, 0, fields[i]);
        const char *const *task = find_task(m->in, value);

        if (pk_make_type(m, value) != PK_JSON_STRING)
            continue;
        if (task && !task[names])
            pk_make_drop(m, fields[i]);
        return task ? pk_str_of(task[names]) : pk_make_string(m, value);
    }
    return PK_NONE;
}

/* --- vectors --------------------------------------------------------------------------------- */

static bool no_vector(struct pk_error *err, const char *why)
{
    return pk_fail(err, PK_BAD_ANSWER, "answer: an embedding %s", why);
}

/* The digits of most numbers make an integer that a double holds, and so does the power of ten below it: their
 * quotient is the number (as in strtod(), which does the others). */
static bool read_short(pk_str raw, double *out)
{
    static const double tens[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool minus = raw.len && raw.at[0] == '-';
    size_t places = 0, point = raw.len;
    int64_t digits = 0;

    if (raw.len > PK_COUNT(tens) + minus)
        return false;
    for (size_t i = minus; i < raw.len; i++) {
        char c = raw.at[i];

        if (c == '.')
            point = i;
        else if (c >= '0' && c <= '9')
            digits = digits * 10 + (c - '0');
        else
            return false;
        places += i > point;
    }
    *out = (double)digits / tens[places];
    if (minus)
        *out = -*out;
    return true;
}

/* The number as a float: what is too small for one is 0; false when it is too large, or absurdly long. */
static bool read_number(pk_str raw, float *out)
{
    char text[64];
    double number;

    if (read_short(raw, &number)) {
        *out = (float)number;
        return true;
    }
    if (raw.len >= sizeof text)
        return false;
    memcpy(text, raw.at, raw.len);
    text[raw.len] = 0;
    *out = strtof(text, NULL);
    return isfinite(*out);
}

/* Whether all of it are numbers that a float can hold. Without an exponent, and not too long, they are. */
static bool check_list(const struct pk_json *doc, int list, struct pk_error *err)
{
    int dims = pk_json_count(doc, list);
    pk_str all = pk_json_raw(doc, list);
    bool plain = !memchr(all.at, 'e', all.len) && !memchr(all.at, 'E', all.len);
    float unused;

    if (dims < 1 || dims > PK_VECTOR_DIMS_MAX)
        return no_vector(err, dims < 1 ? "is empty" : "is too long");
    for (int v = list + 1; v <= list + dims;
         v++) { /* numbers have nothing in them: they stand in a row */
        const struct pk_json_node *n = &doc->nodes[v];

        if (n->type != PK_JSON_NUMBER || ((!plain || n->end - n->start > NUMBER_PLAIN_MAX) &&
                                          !read_number(pk_json_raw(doc, v), &unused)))
            return no_vector(err, "has something in it that is no number");
    }
    return true;
}

static bool floats_of_list(struct pk_arena *arena, const struct pk_json *doc, int list, float **at,
                           int *dims, struct pk_error *err)
{
    if (!check_list(doc, list, err))
        return false;
    *dims = pk_json_count(doc, list);
    *at = pk_alloc(arena, (size_t)*dims * sizeof **at);
    if (!*at)
        return pk_fail(err, PK_NO_MEMORY, "embedding: out of memory");
    for (int i = 0; i < *dims; i++)
        if (!read_number(pk_json_raw(doc, list + 1 + i), *at + i))
            return no_vector(err, "has something in it that is no number");
    return true;
}

static float little_endian(const unsigned char *b)
{
    uint32_t bits =
        (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    float number;

    memcpy(&number, &bits, sizeof number);
    return number;
}

static bool floats_of_base64(struct pk_arena *arena, pk_str text, float **at, int *dims,
                             struct pk_error *err)
{
    size_t max = text.len / 4 * 3 + 3, len;
    unsigned char *bytes = pk_alloc(arena, max);

    *at = bytes ? pk_alloc(arena, max + sizeof **at) : NULL;
    if (!*at)
        return pk_fail(err, PK_NO_MEMORY, "embedding: out of memory");
    if (sodium_base642bin(bytes, max, text.at ? text.at : "", text.len, NULL, &len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        len == 0 || len % sizeof **at || len / sizeof **at > PK_VECTOR_DIMS_MAX)
        return no_vector(err, "is no base64 of floats");
    *dims = (int)(len / sizeof **at);
    for (int i = 0; i < *dims; i++) {
        (*at)[i] = little_endian(bytes + (size_t)i * sizeof **at);
        if (!isfinite((*at)[i]))
            return no_vector(err, "has something in it that is no number");
    }
    return true;
}

bool pk_embed_floats(struct pk_arena *arena, const struct pk_json *doc, int vector, float **at,
                     int *dims, struct pk_error *err)
{
    if (pk_json_type(doc, vector) == PK_JSON_STRING)
        return floats_of_base64(arena, pk_json_str(arena, doc, vector), at, dims, err);
    if (pk_json_type(doc, vector) == PK_JSON_ARRAY)
        return floats_of_list(arena, doc, vector, at, dims, err);
    return no_vector(err, "is missing");
}

static void add_base64(struct pk_buf *out, const float *at, int dims)
{
    size_t len = (size_t)dims * sizeof *at,
           size = sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL); /* with the NUL */
    unsigned char *bytes = pk_alloc(out->arena, len);

    pk_buf_addc(out, '"');
    char *room = bytes ? pk_buf_room(out, size) : NULL;
    if (!room) {
        out->failed = true;
        return;
    }
    for (int i = 0; i < dims; i++) {
        uint32_t bits;

        memcpy(&bits, at + i, sizeof bits);
        for (size_t k = 0; k < sizeof bits; k++)
            bytes[(size_t)i * sizeof bits + k] = (unsigned char)(bits >> 8 * k);
    }
    (void)sodium_bin2base64(room, size, bytes, len, sodium_base64_VARIANT_ORIGINAL);
    out->len += size - 1;
    pk_buf_addc(out, '"');
}

static void add_list(struct pk_buf *out, const float *at, int dims)
{
    for (int i = 0; i < dims; i++)
        pk_buf_addf(out, "%c%.9g", i ? ',' : '[', (double)at[i]);
    pk_buf_addc(out, ']');
}

/* A vector in the form that is wanted; it keeps every digit when it has that already. */
static bool add_vector(struct pk_buf *out, const struct pk_json *doc, int vector, bool base64,
                       struct pk_error *err)
{
    bool is_list = pk_json_type(doc, vector) == PK_JSON_ARRAY;
    float *at = NULL;
    int dims = 0;

    if (is_list && !base64) {
        if (!check_list(doc, vector, err))
            return false;
        pk_dialect_line(out, pk_json_raw(doc, vector));
        return true;
    }
    if (!pk_embed_floats(out->arena, doc, vector, &at, &dims, err))
        return false;
    if (base64)
        add_base64(out, at, dims);
    else
        add_list(out, at, dims);
    return true;
}

/* --- answers that are written ------------------------------------------------------------------ */

static bool wants(const struct pk_json *request, const char *format)
{
    return request && pk_json_is(request, pk_json_get(request, 0, "encoding_format"), format);
}

struct pk_embed_writer pk_embed_begin(struct pk_arena *arena, const struct pk_json *doc,
                                      const struct pk_answer *a, struct pk_buf *out,
                                      struct pk_error *err)
{
    pk_buf_adds(out, "{\"object\":\"list\",\"data\":[");
    return (struct pk_embed_writer){
        .arena = arena,
        .doc = doc,
        .request = a->request,
        .out = out,
        .err = err,
        .base64 = wants(a->request, "base64"),
    };
}

bool pk_embed_add(struct pk_embed_writer *w, int vector)
{
    pk_member_comma(w->out);
    pk_buf_addf(w->out, "{\"object\":\"embedding\",\"index\":%d,\"embedding\":", w->count++);
    if (!add_vector(w->out, w->doc, vector, w->base64, w->err))
        return false;
    pk_buf_addc(w->out, '}');
    return true;
}

bool pk_embed_add_all(struct pk_embed_writer *w, int list)
{
    if (pk_json_type(w->doc, list) != PK_JSON_ARRAY)
        return pk_fail(w->err, PK_BAD_ANSWER, "answer: embeddings is no list");
    for (int v = pk_json_first(w->doc, list); v >= 0; v = pk_json_next(w->doc, list, v))
        if (!pk_embed_add(w, v))
            return false;
    return true;
}

static bool check_count(const struct pk_json *request, int count, struct pk_error *err)
{
    int wanted = request ? pk_embed_count(request) : -1;

    return wanted < 0 || wanted == count ||
           pk_fail(err, PK_BAD_ANSWER, "answer: %d embeddings for %d inputs", count, wanted);
}

bool pk_embed_end(struct pk_embed_writer *w, const struct pk_answer *a)
{
    long long tokens = (long long)a->usage.input;

    pk_buf_adds(w->out, "],\"model\":");
    pk_json_quote(w->out, a->model.len ? a->model : a->asked);
    pk_buf_addf(w->out, ",\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld}", tokens,
                tokens);
    return check_count(w->request, w->count, w->err);
}

/* --- answers that are there -------------------------------------------------------------------- */

/* Whether the client asked for other numbers than floats, in any provider's words. */
static bool wants_other_numbers(const struct pk_json *request)
{
    return pk_dialect_has(request, 0, "output_dtype") ||
           pk_dialect_has(request, 0, "embedding_type") ||
           pk_dialect_has(request, 0, "embedding_types");
}

/* Whether the vectors have another form than the client asked for. */
static bool wants_change(const struct pk_json *request, const struct pk_json *doc, int vector)
{
    if (!request || wants_other_numbers(request))
        return false;
    return wants(request, pk_json_type(doc, vector) == PK_JSON_STRING ? "float" : "base64");
}

/* Each says which input it is for, once, or none does. */
static bool check_indexes(struct pk_arena *arena, const struct pk_json *doc, int data,
                          struct pk_error *err)
{
    int count = pk_json_count(doc, data);
    bool *seen = pk_alloc(arena, (size_t)count + 1);
    int64_t index;

    if (!seen)
        return pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
    for (int v = pk_json_first(doc, data); v >= 0; v = pk_json_next(doc, data, v)) {
        int at = pk_json_get(doc, v, "index");

        if (pk_json_type(doc, at) <= PK_JSON_NULL)
            continue;
        if (!pk_json_int(doc, at, &index) || index < 0 || index >= count || seen[index])
            return pk_fail(err, PK_BAD_ANSWER, "answer: data[].index is no place in the inputs");
        seen[index] = true;
    }
    return true;
}

static bool check_item(struct pk_arena *arena, const struct pk_json *doc, int vector,
                       struct pk_error *err)
{
    float *at;
    int dims;

    if (pk_json_type(doc, vector) == PK_JSON_ARRAY)
        return check_list(doc, vector, err);
    /* other numbers in base64, which are the client's to read, have no rule */
    return pk_embed_floats(arena, doc, vector, &at, &dims, err);
}

static bool check_data(struct pk_arena *arena, const struct pk_json *doc,
                       const struct pk_json *request, bool *change, struct pk_error *err)
{
    int data = pk_json_get(doc, 0, "data");

    if (pk_json_type(doc, data) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "answer: data is no list");
    for (int v = pk_json_first(doc, data); v >= 0; v = pk_json_next(doc, data, v)) {
        int vector = pk_json_get(doc, v, "embedding");
        bool text = pk_json_type(doc, vector) == PK_JSON_STRING;

        *change = *change || wants_change(request, doc, vector);
        if (text && request && wants_other_numbers(request))
            continue;
        if (!check_item(arena, doc, vector, err))
            return false;
    }
    return check_indexes(arena, doc, data, err) &&
           check_count(request, pk_json_count(doc, data), err);
}

/* The list with its vectors in the other form. */
static bool change_data(const struct pk_json *doc, bool base64, struct pk_buf *out,
                        struct pk_error *err)
{
    int data = pk_json_get(doc, 0, "data");

    pk_buf_addc(out, '[');
    for (int v = pk_json_first(doc, data); v >= 0; v = pk_json_next(doc, data, v)) {
        struct pk_buf vector = pk_buf_in(out->arena, PK_BODY_BYTES_MAX);

        if (!add_vector(&vector, doc, pk_json_get(doc, v, "embedding"), base64, err))
            return false;
        struct pk_json_edit edit = {PK_STR("embedding"), pk_buf_str(&vector)};
        pk_member_comma(out);
        pk_json_splice(out, doc, v, &edit, 1);
        out->failed = out->failed || vector.failed;
    }
    pk_buf_addc(out, ']');
    return true;
}

/* Where only the sum is told, it is that of the prompt: SDKs with types look for both. */
static pk_str whole_usage(struct pk_arena *arena, const struct pk_json *doc)
{
    int usage = pk_json_get(doc, 0, "usage"), total = pk_json_get(doc, usage, "total_tokens");
    struct pk_buf out = pk_buf_in(arena, PK_HEADERS_BYTES_MAX);
    struct pk_json_edit edit = {PK_STR("prompt_tokens"), pk_json_raw(doc, total)};

    if (pk_json_type(doc, total) != PK_JSON_NUMBER || pk_json_get(doc, usage, "prompt_tokens") >= 0)
        return PK_NONE;
    pk_json_splice(&out, doc, usage, &edit, 1);
    return pk_buf_str(&out);
}

bool pk_embed_settle(struct pk_arena *arena, const struct pk_json *doc,
                     const struct pk_json *request, struct pk_buf *out, struct pk_error *err)
{
    struct pk_buf data = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    struct pk_json_edit edits[2];
    bool change = false;
    int count = 0;

    if (!check_data(arena, doc, request, &change, err) ||
        (change && !change_data(doc, wants(request, "base64"), &data, err)))
        return false;
    if (change)
        edits[count++] = (struct pk_json_edit){PK_STR("data"), pk_buf_str(&data)};
    pk_str usage = whole_usage(arena, doc);
    if (usage.len)
        edits[count++] = (struct pk_json_edit){PK_STR("usage"), usage};
    if (count)
        pk_json_splice(out, doc, 0, edits, count);
    out->failed = out->failed || data.failed;
    return true;
}

/* --- for the log ------------------------------------------------------------------------------- */

/* How many numbers a vector has, as a JSON string; empty: it is none. */
static pk_str size_of(struct pk_arena *arena, const struct pk_json *doc, int vector)
{
    pk_str raw = pk_json_raw(doc, vector);

    if (pk_json_type(doc, vector) == PK_JSON_ARRAY)
        return pk_copyf(arena, "\"%d numbers\"", pk_json_count(doc, vector));
    if (pk_json_type(doc, vector) == PK_JSON_STRING)
        return pk_copyf(arena, "\"%zu bytes of base64\"", raw.len - 2);
    return PK_NONE;
}

pk_str pk_embed_outline(struct pk_arena *arena, pk_str body)
{
    struct pk_buf data = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    struct pk_buf out = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    struct pk_error unused = {0};
    struct pk_json doc;

    if (body.len == 0 || !pk_json_parse(arena, body, "answer", &doc, &unused))
        return body;
    int list = pk_json_get(&doc, 0, "data");
    if (pk_json_type(&doc, list) != PK_JSON_ARRAY)
        return body;
    pk_buf_addc(&data, '[');
    for (int v = pk_json_first(&doc, list); v >= 0; v = pk_json_next(&doc, list, v)) {
        struct pk_json_edit edits[] = {
            {PK_STR("embedding"), size_of(arena, &doc, pk_json_get(&doc, v, "embedding"))},
            {PK_STR("embeddings"), PK_NONE}}; /* those of other types: as long */

        if (pk_json_type(&doc, v) != PK_JSON_OBJECT)
            return body; /* an answer that was refused */
        pk_member_comma(&data);
        pk_json_splice(&data, &doc, v, edits, 2);
    }
    pk_buf_addc(&data, ']');
    struct pk_json_edit edit = {PK_STR("data"), pk_buf_str(&data)};
    pk_json_splice(&out, &doc, 0, &edit, 1);
    return data.failed || out.failed ? PK_NONE : pk_buf_str(&out);
}
