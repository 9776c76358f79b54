/* dialect_bedrock_media.c - images, documents, audio and video as Converse's blocks.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Converse takes bytes, or what lies in S3 ("s3://bucket/key"); it fetches nothing from the web. A format is
 * known by a media type or by the ending of a name.
 */
#include "dialect_bedrock.h"

#include <string.h>

enum { NAME_BYTES_MAX = 200 };

struct format {
    const char *media, *ending, *block, *name;
};

static const struct format formats[] = {
    {"image/png", ".png", "image", "png"},
    {"image/jpeg", ".jpeg", "image", "jpeg"},
    {"image/jpg", ".jpg", "image", "jpeg"},
    {"image/gif", ".gif", "image", "gif"},
    {"image/webp", ".webp", "image", "webp"},
    {"application/pdf", ".pdf", "document", "pdf"},
    {"text/csv", ".csv", "document", "csv"},
    {"application/msword", ".doc", "document", "doc"},
    {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx", "document",
     "docx"},
    {"application/vnd.ms-excel", ".xls", "document", "xls"},
    {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx", "document",
     "xlsx"},
    {"text/html", ".html", "document", "html"},
    {"text/plain", ".txt", "document", "txt"},
    {"text/markdown", ".md", "document", "md"},
    {"video/x-matroska", ".mkv", "video", "mkv"},
    {"video/quicktime", ".mov", "video", "mov"},
    {"video/mp4", ".mp4", "video", "mp4"},
    {"video/webm", ".webm", "video", "webm"},
    {"video/x-flv", ".flv", "video", "flv"},
    {"video/mpeg", ".mpeg", "video", "mpeg"},
    {"video/mpg", ".mpg", "video", "mpg"},
    {"video/x-ms-wmv", ".wmv", "video", "wmv"},
    {"video/3gpp", ".3gp", "video", "three_gp"},
    {"audio/mpeg", ".mp3", "audio", "mp3"},
    {"audio/mp3", ".mp3", "audio", "mp3"},
    {"audio/wav", ".wav", "audio", "wav"},
    {"audio/x-wav", ".wav", "audio", "wav"},
    {"audio/flac", ".flac", "audio", "flac"},
    {"audio/ogg", ".ogg", "audio", "ogg"},
    {"audio/opus", ".opus", "audio", "opus"},
    {"audio/aac", ".aac", "audio", "aac"},
    {"audio/mp4", ".m4a", "audio", "m4a"},
};

/* NULL when neither says it. */
static const struct format *format_of(pk_str media, pk_str name)
{
    for (size_t i = 0; media.len && i < PK_COUNT(formats); i++)
        if (pk_str_is_nocase(media, formats[i].media))
            return &formats[i];
    for (size_t i = 0; media.len == 0 && i < PK_COUNT(formats); i++) {
        size_t len = strlen(formats[i].ending);

        if (name.len > len &&
            pk_str_is_nocase(pk_str_sub(name, name.len - len, len), formats[i].ending))
            return &formats[i];
    }
    return NULL;
}

/* Where the bytes are: themselves, or an address in S3; and what else is known of them. */
struct medium {
    const struct format *format;
    pk_str bytes, address, name;
};

/* Letters, digits, hyphens, brackets and single blanks are all that a name may have. Documents of one
 * conversation must not share one, so those without a name are numbered. */
static void write_name(struct pk_maker *m, pk_str name)
{
    struct pk_buf made = pk_buf_in(m->arena, NAME_BYTES_MAX);
    const char *dot = name.len ? memrchr(name.at, '.', name.len) : NULL;

    name = pk_str_trim(pk_str_sub(name, 0, dot ? (size_t)(dot - name.at) : name.len));
    name = pk_str_sub(name, 0, NAME_BYTES_MAX);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        if (c == ' ' && made.len && made.at[made.len - 1] == ' ')
            continue;
        pk_buf_addc(&made, word || (c && strchr(" ()[]", c)) ? c : '-');
    }
    if (made.len == 0)
        pk_buf_addf(&made, "document-%d", ++pk_bedrock_plan_of(m)->documents);
    pk_member_text(m->out, "name", pk_buf_str(&made));
}

static bool write_block(struct pk_maker *m, const char *role, const struct medium *x)
{
    const struct format *f = x->format;

    if (!f)
        return pk_make_refuse(m, "its format is none that this provider takes");
    if (x->bytes.len == 0 && x->address.len == 0)
        return pk_make_refuse(m, "must be bytes in base64, as a data: URL, or s3://");
    if (role)
        pk_make_open(m, role, role, "content");
    else
        pk_member_comma(m->out);
    pk_buf_addf(m->out, "{\"%s\":{\"format\":\"%s\"", f->block, f->name);
    if (strcmp(f->block, "document") == 0)
        write_name(m, x->name);
    pk_member_key(m->out, "source");
    if (x->bytes.len) {
        pk_buf_addc(m->out, '{');
        pk_member_text(m->out, "bytes", x->bytes);
        pk_buf_adds(m->out, "}}}");
    } else {
        pk_buf_adds(m->out, "{\"s3Location\":{");
        pk_member_text(m->out, "uri", x->address);
        pk_buf_adds(m->out, "}}}}");
    }
    return true;
}

/* By a URL: data: or s3://. */
static bool write_url(struct pk_maker *m, const char *role, pk_str url)
{
    struct medium x = {0};
    pk_str media = PK_NONE;

    if (pk_make_is_web(url))
        return pk_make_refuse(m, "this provider fetches nothing from the web: send a data: URL");
    if (pk_make_data_url(url, &media, &x.bytes))
        x.format = format_of(media, PK_NONE);
    else if (pk_str_starts(url, "s3://"))
        x = (struct medium){.format = format_of(PK_NONE, url), .address = url};
    else
        return pk_make_refuse(m, "must be a data: URL in base64, or s3://");
    return write_block(m, role, &x);
}

static bool write_file(struct pk_maker *m, const char *role, int file)
{
    pk_str data = pk_make_string(m, pk_make_get(m, file, "file_data")),
           id = pk_make_string(m, pk_make_get(m, file, "file_id")),
           name = pk_make_string(m, pk_make_get(m, file, "filename")), media = PK_NONE;
    struct medium x = {.bytes = data, .name = name};

    if (data.len == 0 && !pk_str_starts(id, "s3://"))
        return pk_make_refuse(m, "a file needs file_data in base64, or a file_id that is s3://");
    if (data.len == 0)
        x.address = id;
    if (!pk_make_data_url(data, &media, &x.bytes) && pk_str_starts(data, "data:"))
        return pk_make_refuse(m, "file_data must be in base64");
    x.format = format_of(media, name.len ? name : id);
    if (!x.format && media.len == 0 && name.len == 0)
        x.format = format_of(PK_STR("application/pdf"), PK_NONE); /* what OpenAI's files are */
    return write_block(m, role, &x);
}

static bool write_audio(struct pk_maker *m, const char *role, int audio)
{
    pk_str format = pk_make_string(m, pk_make_get(m, audio, "format"));
    struct medium x = {.bytes = pk_make_string(m, pk_make_get(m, audio, "data"))};

    x.format = format_of(PK_NONE, pk_copyf(m->arena, "audio.%.*s", PK_FMT(format)));
    if (x.format && strcmp(x.format->block, "audio") != 0)
        x.format = NULL;
    return write_block(m, role, &x);
}

bool pk_bedrock_is_media(const struct pk_maker *m, int part)
{
    static const char *const types[] = {"image_url", "file", "input_audio", "video_url", NULL};

    return pk_make_listed(m, pk_make_get(m, part, "type"), types);
}

bool pk_bedrock_media_part(struct pk_maker *m, const char *role, int part)
{
    int type = pk_make_get(m, part, "type"), image = pk_make_get(m, part, "image_url"),
        detail = pk_make_get(m, image, "detail"), video = pk_make_get(m, part, "video_url");

    if (pk_json_is(m->in, type, "file"))
        return write_file(m, role, pk_make_get(m, part, "file"));
    if (pk_json_is(m->in, type, "input_audio"))
        return write_audio(m, role, pk_make_get(m, part, "input_audio"));
    if (pk_json_is(m->in, type, "video_url"))
        return write_url(m, role,
                         pk_make_string(m, pk_make_type(m, video) == PK_JSON_STRING
                                               ? video
                                               : pk_make_get(m, video, "url")));
    if (pk_make_type(m, detail) > PK_JSON_NULL && !pk_json_is(m->in, detail, "auto"))
        pk_make_drop(m, "image_url.detail");
    return write_url(m, role, pk_make_image_url(m, part));
}
