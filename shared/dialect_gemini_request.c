/* dialect_gemini_request.c - the body of generateContent for a chat completion's body.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Google's reference of models.generateContent and the page "Thought signatures".
 *
 *   system, developer   systemInstruction, wherever they stand
 *   assistant           role "model": text, then functionCall parts with their thoughtSignature, from
 *                       extra_content.google.thought_signature, as Google's own OpenAI endpoint
 *                       spells it, or from function.thought_signature, as Portkey does
 *   tool                functionResponse parts, parallel ones in one content; the function's name is
 *                       that of the call; the result is {"output":...}, or {"error":...} when is_error
 *
 * A model that insists on signatures gets, for calls that another provider's model made, the one that
 * Google documents for this.
 */
#include "dialect_gemini.h"

#include <stdio.h>
#include <string.h>

enum { CALLS_MAX = 1024 }; /* tool calls in one message */

static const char no_signature[] = "\"skip_thought_signature_validator\"";

/* The calls that tool messages answer: those of the last message that made any. */
struct calls {
    int list, next; /* the list; the call behind the one found last */
};

static struct calls *calls_of(const struct pk_maker *m)
{
    return m->own;
}

/* --- parts ----------------------------------------------------------------------------------- */

/* The results of tools stand in a content of their own, though its role is the user's too. */
static void open_content(struct pk_maker *m, const char *role)
{
    pk_make_open(m, role, strcmp(role, "tool") == 0 ? "user" : role, "parts");
}

/* None for empty text. `role` opens its content; NULL: it stands in a list that is open. */
static void write_text(struct pk_maker *m, const char *role, int text, int owner)
{
    (void)owner;
    if (pk_make_type(m, text) != PK_JSON_STRING || pk_json_raw(m->in, text).len <= 2)
        return;
    if (role)
        open_content(m, role);
    else
        pk_member_comma(m->out);
    pk_buf_addc(m->out, '{');
    pk_dialect_raw(m->out, "text", pk_json_raw(m->in, text));
    pk_buf_addc(m->out, '}');
}

static void write_inline(struct pk_maker *m, pk_str media, pk_str bytes)
{
    pk_buf_adds(m->out, "{\"inlineData\":{");
    pk_member_text(m->out, "mimeType", media);
    pk_member_text(m->out, "data", bytes);
    pk_buf_adds(m->out, "}}");
}

/* What an address or a file's name ends in says what it is; empty when that is not known. */
static pk_str media_of(pk_str name)
{
    static const struct {
        const char *ending, *media;
    } known[] = {
        {".png", "image/png"},    {".jpg", "image/jpeg"},        {".jpeg", "image/jpeg"},
        {".webp", "image/webp"},  {".gif", "image/gif"},         {".heic", "image/heic"},
        {".heif", "image/heif"},  {".pdf", "application/pdf"},   {".txt", "text/plain"},
        {".md", "text/markdown"}, {".csv", "text/csv"},          {".html", "text/html"},
        {".mp3", "audio/mp3"},    {".wav", "audio/wav"},         {".flac", "audio/flac"},
        {".ogg", "audio/ogg"},    {".mp4", "video/mp4"},         {".mov", "video/mov"},
        {".webm", "video/webm"},  {".json", "application/json"},
    };
    int query = pk_str_find(name, '?');

    if (query >= 0)
        name = pk_str_sub(name, 0, (size_t)query);
    for (size_t i = 0; i < PK_COUNT(known); i++)
        if (pk_str_ends(name, known[i].ending))
            return pk_str_of(known[i].media);
    return PK_NONE;
}

static void write_uri(struct pk_maker *m, pk_str media, pk_str uri)
{
    pk_buf_adds(m->out, "{\"fileData\":{");
    if (media.len)
        pk_member_text(m->out, "mimeType", media);
    pk_member_text(m->out, "fileUri", uri);
    pk_buf_adds(m->out, "}}");
}

static bool is_uri(pk_str text)
{
    return pk_make_is_web(text) || pk_str_starts(text, "gs://");
}

static bool write_image(struct pk_maker *m, int part)
{
    int detail = pk_make_get(m, pk_make_get(m, part, "image_url"), "detail");
    pk_str url = pk_make_image_url(m, part), media = PK_NONE, bytes = PK_NONE;

    if (pk_make_type(m, detail) > PK_JSON_NULL && !pk_json_is(m->in, detail, "auto"))
        pk_make_drop(m, "image_url.detail");
    if (pk_make_data_url(url, &media, &bytes))
        write_inline(m, media, bytes);
    else if (is_uri(url))
        write_uri(m, media_of(url), url);
    else
        return pk_make_refuse(m, "image_url must be a data: URL in base64, http(s) or gs://");
    return true;
}

static bool write_audio(struct pk_maker *m, int part)
{
    int audio = pk_make_get(m, part, "input_audio");
    pk_str bytes = pk_make_string(m, pk_make_get(m, audio, "data"));
    pk_str format = pk_make_string(m, pk_make_get(m, audio, "format"));

    if (bytes.len == 0 || format.len == 0)
        return pk_make_refuse(m, "input_audio needs data and format");
    write_inline(m, pk_copyf(m->arena, "audio/%.*s", PK_FMT(format)), bytes);
    return true;
}

/* A file by its bytes, or by its address: one of the web, of Google's storage, or of its Files API. */
static bool write_file(struct pk_maker *m, int part)
{
    int file = pk_make_get(m, part, "file");
    pk_str data = pk_make_string(m, pk_make_get(m, file, "file_data"));
    pk_str id = pk_make_string(m, pk_make_get(m, file, "file_id"));
    pk_str media = pk_make_string(m, pk_make_get(m, file, "format")), bytes = data;

    if (media.len == 0)
        media = media_of(pk_make_string(m, pk_make_get(m, file, "filename")));
    if (data.len && (pk_make_data_url(data, &media, &bytes) || !pk_str_starts(data, "data:")))
        write_inline(m, media.len ? media : PK_STR("application/pdf"), bytes);
    else if (is_uri(id))
        write_uri(m, media.len ? media : media_of(id), id);
    else
        return pk_make_refuse(m, "a file needs file_data in base64, or a file_id that is a URI");
    return true;
}

static bool write_part(struct pk_maker *m, const char *role, int part)
{
    static const struct {
        const char *type;
        bool (*write)(struct pk_maker *m, int part);
    } kinds[] = {{"image_url", write_image}, {"input_audio", write_audio}, {"file", write_file}};
    int type = pk_make_get(m, part, "type");

    if (pk_make_has(m, part, "cache_control"))
        pk_make_drop(m, "cache_control");
    if (pk_json_is(m->in, type, "text") || pk_json_is(m->in, type, "refusal")) {
        bool text = pk_json_is(m->in, type, "text");

        write_text(m, role, pk_make_get(m, part, text ? "text" : "refusal"), part);
        return true;
    }
    for (size_t i = 0; i < PK_COUNT(kinds); i++) {
        if (!pk_json_is(m->in, type, kinds[i].type))
            continue;
        if (role)
            open_content(m, role);
        else
            pk_member_comma(m->out);
        return kinds[i].write(m, part);
    }
    return pk_make_refuse(m, "a part of this type cannot be sent to this provider");
}

/* --- what the model said --------------------------------------------------------------------- */

/* The signature of a message or a call, as JSON; -1 when there is none. */
static int signature_of(const struct pk_maker *m, int object)
{
    int google = pk_make_get(m, pk_make_get(m, object, "extra_content"), "google");
    int signature = pk_make_get(m, google, "thought_signature");

    if (signature < 0)
        signature = pk_make_get(m, pk_make_get(m, object, "function"), "thought_signature");
    return pk_make_type(m, signature) == PK_JSON_STRING ? signature : -1;
}

/* `signed_too`: some call of its message is signed, or none needs to be. */
static bool write_call(struct pk_maker *m, int call, bool signed_too)
{
    int function = pk_make_get(m, call, "function"), signature = signature_of(m, call);
    pk_str args = PK_NONE;

    if (pk_make_type(m, pk_make_get(m, function, "name")) != PK_JSON_STRING)
        return pk_make_refuse(m, "a tool call needs function.name");
    if (!pk_make_arguments(m, pk_make_get(m, function, "arguments"), &args))
        return false;
    open_content(m, "model");
    pk_buf_adds(m->out, "{\"functionCall\":{");
    pk_make_copy(m, call, "id", "id");
    pk_make_copy(m, function, "name", "name");
    pk_dialect_raw(m->out, "args", args);
    pk_buf_addc(m->out, '}');
    pk_dialect_raw(m->out, "thoughtSignature",
                   signature >= 0 ? pk_json_raw(m->in, signature)
                   : signed_too   ? PK_NONE
                                  : PK_STR(no_signature));
    pk_buf_addc(m->out, '}');
    return true;
}

/* Whether the first of the calls may go without a signature: of parallel calls only one has it. */
static bool need_none(const struct pk_maker *m, int calls)
{
    bool none = !pk_gemini_wants_signatures(pk_make_string(m, pk_make_get(m, 0, "model")));

    for (int c = pk_json_first(m->in, calls); c >= 0 && !none; c = pk_json_next(m->in, calls, c))
        none = signature_of(m, c) >= 0;
    return none;
}

static bool write_calls(struct pk_maker *m, int message, int index)
{
    int calls = pk_make_get(m, message, "tool_calls"), i = 0;
    bool signed_too = need_none(m, calls);

    if (pk_make_type(m, calls) <= PK_JSON_NULL || pk_json_count(m->in, calls) == 0)
        return true;
    if (pk_make_type(m, calls) != PK_JSON_ARRAY)
        return pk_make_refuse(m, "tool_calls must be a list");
    if (pk_json_count(m->in, calls) > CALLS_MAX)
        return pk_make_refuse(m, "too many tool_calls");
    *calls_of(m) = (struct calls){.list = calls, .next = pk_json_first(m->in, calls)};
    for (int c = pk_json_first(m->in, calls); c >= 0; c = pk_json_next(m->in, calls, c), i++) {
        (void)snprintf(m->path, sizeof m->path, "messages[%d].tool_calls[%d]", index, i);
        if (!write_call(m, c, signed_too || i > 0))
            return false;
    }
    return true;
}

/* The signature of a message without calls came in a part of its own, or with the last text. */
static void write_signature(struct pk_maker *m, int message)
{
    int signature = signature_of(m, message);

    if (signature < 0)
        return;
    open_content(m, "model");
    pk_buf_adds(m->out, "{\"text\":\"\"");
    pk_dialect_raw(m->out, "thoughtSignature", pk_json_raw(m->in, signature));
    pk_buf_addc(m->out, '}');
}

static bool write_assistant(struct pk_maker *m, int message, int index)
{
    static const char *const unsaid[] = {
        "reasoning_content", "reasoning", "thinking_blocks", "audio", "images", NULL};

    pk_make_close(m);
    for (int i = 0; unsaid[i]; i++)
        if (pk_make_has(m, message, unsaid[i]))
            pk_dialect_drop(m->dropped, pk_copyf(m->arena, "messages.%s", unsaid[i]));
    if (pk_make_has(m, message, "function_call"))
        return pk_make_refuse(m, "function_call is not understood: use tool_calls");
    if (!pk_make_content(m, "model", message, index))
        return false;
    write_text(m, "model", pk_make_get(m, message, "refusal"), message);
    write_signature(m, message);
    return write_calls(m, message, index);
}

/* --- what its tools said --------------------------------------------------------------------- */

/* The call of that id, or -1. Results mostly come in the order of the calls: so the search starts behind
 * the one found last. */
static int call_by_id(const struct pk_maker *m, int id)
{
    struct calls *calls = calls_of(m);
    pk_str wanted = pk_make_string(m, id);

    for (int i = 0; i < pk_json_count(m->in, calls->list); i++) {
        int call = calls->next;

        calls->next = pk_json_next(m->in, calls->list, call);
        if (calls->next < 0)
            calls->next = pk_json_first(m->in, calls->list);
        if (pk_str_eq(pk_make_string(m, pk_make_get(m, call, "id")), wanted))
            return call;
    }
    return -1;
}

/* A result as JSON: what the text is, when it is JSON, else the text. */
static void write_output(struct pk_maker *m, int message, pk_str text)
{
    struct pk_json doc;
    struct pk_error unused;
    bool failed = pk_json_true(m->in, pk_make_get(m, message, "is_error"));

    pk_member_key(m->out, "response");
    pk_buf_adds(m->out, failed ? "{\"error\":" : "{\"output\":");
    if (text.len && pk_json_parse(m->arena, text, "content", &doc, &unused))
        pk_dialect_line(m->out, pk_str_trim(text));
    else
        pk_json_quote(m->out, text);
    pk_buf_addc(m->out, '}');
}

/* The text of a result, and as `parts` what else it holds. */
static bool gather(struct pk_maker *m, int message, struct pk_buf *text, struct pk_buf *parts)
{
    int content = pk_make_get(m, message, "content");
    struct pk_buf *out = m->out;
    bool ok = true;

    if (pk_make_type(m, content) == PK_JSON_STRING)
        pk_buf_add(text, pk_make_string(m, content));
    else if (pk_make_type(m, content) > PK_JSON_NULL && pk_make_type(m, content) != PK_JSON_ARRAY)
        return pk_make_refuse(m, "content must be a string or a list of parts");
    if (pk_make_type(m, content) != PK_JSON_ARRAY)
        return true;
    m->out = parts;
    for (int p = pk_json_first(m->in, content); p >= 0 && ok; p = pk_json_next(m->in, content, p)) {
        if (pk_json_is(m->in, pk_make_get(m, p, "type"), "text"))
            pk_buf_add(text, pk_make_string(m, pk_make_get(m, p, "text")));
        else
            ok = write_part(m, NULL, p);
    }
    m->out = out;
    return ok;
}

static bool write_result(struct pk_maker *m, int message, int index)
{
    int id = pk_make_get(m, message, "tool_call_id"), call = call_by_id(m, id);
    int name = pk_make_get(m, pk_make_get(m, call, "function"), "name");
    struct pk_buf text = pk_buf_in(m->arena, PK_BODY_BYTES_MAX), parts = text;

    (void)index;
    if (pk_make_type(m, name) != PK_JSON_STRING)
        name = pk_make_get(m, message, "name");
    if (pk_make_type(m, name) != PK_JSON_STRING)
        return pk_make_refuse(m, "tool_call_id is not that of a call before it");
    if (pk_make_has(m, message, "cache_control"))
        pk_make_drop(m, "cache_control");
    if (!gather(m, message, &text, &parts))
        return false;
    open_content(m, "tool");
    pk_buf_adds(m->out, "{\"functionResponse\":{");
    if (pk_make_type(m, id) == PK_JSON_STRING)
        pk_dialect_raw(m->out, "id", pk_json_raw(m->in, id));
    pk_dialect_raw(m->out, "name", pk_json_raw(m->in, name));
    write_output(m, message, pk_buf_str(&text));
    if (parts.len) {
        pk_buf_adds(m->out, ",\"parts\":[");
        pk_buf_add(m->out, pk_buf_str(&parts));
        pk_buf_addc(m->out, ']');
    }
    pk_buf_adds(m->out, "}}");
    m->out->failed = m->out->failed || text.failed || parts.failed;
    return true;
}

/* --- messages -------------------------------------------------------------------------------- */

static bool write_message(struct pk_maker *m, int message, int index)
{
    return pk_make_by_role(m, message, index, write_assistant, write_result);
}

/* --- the whole ------------------------------------------------------------------------------- */

/* Those beside the config's. */
static const struct pk_make_field fields[] = {
    {"model", "", pk_make_nothing}, /* in the path */
    {"stream", "", pk_make_nothing},
    {"stream_options", "", pk_make_nothing}, /* usage is always told */
    {"messages", "", pk_make_nothing},
    {"tools", "", pk_make_nothing},
    {"tool_choice", "", pk_make_nothing},
    {"parallel_tool_calls", "", pk_make_nothing},
    {"safety_settings", "safetySettings", pk_make_same}, /* from here: Google's own */
    {"safetySettings", "safetySettings", pk_make_same},
    {"cached_content", "cachedContent", pk_make_same},
    {"cachedContent", "cachedContent", pk_make_same},
};

enum { KNOWN_MAX = 64 };

static void report(struct pk_maker *m)
{
    struct pk_make_field known[KNOWN_MAX];
    size_t n = 0;

    PK_ASSERT(PK_COUNT(fields) + pk_gemini_config_count <= KNOWN_MAX);
    for (size_t i = 0; i < PK_COUNT(fields); i++)
        known[n++] = fields[i];
    for (size_t i = 0; i < pk_gemini_config_count; i++)
        known[n++] = pk_gemini_config_fields[i];
    pk_make_report(m, known, n);
}

static void write_system(struct pk_maker *m, const struct pk_buf *parts)
{
    if (parts->len == 0)
        return;
    pk_member_key(m->out, "systemInstruction");
    pk_buf_adds(m->out, "{\"parts\":[");
    pk_buf_add(m->out, pk_buf_str(parts));
    pk_buf_adds(m->out, "]}");
}

bool pk_gemini_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                       struct pk_error *err)
{
    struct pk_maker m = pk_make(body, out, dropped, err);
    struct pk_buf system = pk_buf_in(out->arena, PK_BODY_BYTES_MAX);
    struct calls calls = {.list = -1};

    m.own = &calls;
    m.text = write_text;
    m.part = write_part;
    pk_buf_addc(out, '{');
    if (!pk_make_system(&m, &system))
        return false;
    write_system(&m, &system);
    if (!pk_make_messages(&m, "contents", write_message) || !pk_gemini_config(&m) ||
        !pk_gemini_tools(&m) || !pk_make_fields(&m, fields, PK_COUNT(fields)))
        return false;
    report(&m);
    pk_buf_addc(out, '}');
    return true;
}

/* --- the path -------------------------------------------------------------------------------- */

bool pk_gemini_model_path(pk_str base, pk_str model, struct pk_buf *out, struct pk_error *err)
{
    static const char *const kinds[] = {"models/", "tunedModels/"};
    const char *kind = kinds[0];

    for (size_t i = 0; i < PK_COUNT(kinds); i++) {
        if (!pk_str_starts(model, kinds[i]))
            continue;
        kind = kinds[i];
        model = pk_str_sub(model, strlen(kind), model.len);
        break;
    }
    if (model.len == 0)
        return pk_fail(err, PK_BAD_REQUEST, "model: is missing");
    if (!pk_str_ends(base, "/v1beta") && !pk_str_ends(base, "/v1") &&
        !pk_str_ends(base, "/v1alpha"))
        pk_buf_adds(out, "/v1beta"); /* a custom_host may be without it, as in Portkey */
    pk_buf_addf(out, "/%s", kind);
    pk_dialect_segment(out, model);
    return true;
}

bool pk_gemini_path(pk_str base, pk_str model, bool stream, struct pk_buf *out,
                    struct pk_error *err)
{
    if (!pk_gemini_model_path(base, model, out, err))
        return false;
    pk_buf_adds(out, stream ? ":streamGenerateContent?alt=sse" : ":generateContent");
    return true;
}

bool pk_vertex_model_path(pk_str model, struct pk_buf *out, struct pk_error *err)
{
    static const char *const before[] = {"google.", "google/", "models/"};

    for (size_t i = 0; i < PK_COUNT(before); i++)
        if (pk_str_starts(model, before[i]))
            model = pk_str_sub(model, strlen(before[i]), model.len);
    if (model.len == 0)
        return pk_fail(err, PK_BAD_REQUEST, "model: is missing");
    pk_buf_adds(out, "/publishers/google/models/");
    pk_dialect_segment(out, model);
    return true;
}

bool pk_vertex_path(pk_str base, pk_str model, bool stream, struct pk_buf *out,
                    struct pk_error *err)
{
    (void)base;
    if (!pk_vertex_model_path(model, out, err))
        return false;
    pk_buf_adds(out, stream ? ":streamGenerateContent?alt=sse" : ":generateContent");
    return true;
}
