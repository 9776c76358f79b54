/* form_test.c - forms as clients send them, forms that readers may disagree about, and forms with other fields.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "form.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;

#define FIELD(name, value)                                                                         \
    "--B\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define SOUND                                                                                      \
    "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a;\\\"b.wav\"\r\n"           \
    "Content-Type: audio/wav\r\n\r\n\x01\x00\r\n--A\r\n--\r\n"
#define END "--B--\r\n"

static pk_str bytes(const char *at, size_t size)
{
    return (pk_str){at, size - 1};
}

/* The fields; or why there are none. */
static pk_str fields_of(const char *type, pk_str body)
{
    struct pk_error err = {0};
    struct pk_form f;
    pk_str json;

    if (pk_form_parse(&arena, pk_str_of(type), body, &f, &err) &&
        pk_form_fields(&arena, &f, &json, &err))
        return json;
    EXPECT(err.code == PK_BAD_REQUEST);
    return pk_copy(&arena, pk_str_of(err.msg));
}

static void a_form_is_read_as_an_object(void)
{
    static const char form[] = FIELD("model", "whisper-1") SOUND FIELD("tags[]", "a")
        FIELD("tags[]", "\xc3\xa9\"") FIELD("empty", "") END;

    EXPECT(pk_str_is(
        fields_of("multipart/form-data; boundary=B", bytes(form, sizeof form)),
        "{\"model\":\"whisper-1\",\"file\":{\"filename\":\"a;\\\\\\\"b.wav\","
        "\"content_type\":\"audio/wav\",\"bytes\":11},\"tags[]\":[\"a\",\"\xc3\xa9\\\"\"],"
        "\"empty\":\"\"}"));
}

static void boundaries_and_names_are_spelled_in_many_ways(void)
{
    static const char *const types[] = {
        "multipart/form-data; boundary=B",
        "multipart/form-data;boundary=\"B\"",
        "Multipart/Form-Data; charset=utf-8; Boundary=B;",
    };
    static const char *const forms[] = {
        FIELD("a", "1") "--B--",
        "\r\n" FIELD("a", "1") END,
        "--B \t\r\ncontent-disposition:form-data;name=a\r\n\r\n1\r\n" END,
        "--B\r\nX: y\r\nContent-Disposition: form-data; name=\"a\"\r\n"
        "Content-Transfer-Encoding: binary\r\n\r\n1\r\n" END,
    };

    for (size_t t = 0; t < PK_COUNT(types); t++)
        for (size_t i = 0; i < PK_COUNT(forms); i++)
            if (!EXPECT(pk_str_is(fields_of(types[t], pk_str_of(forms[i])), "{\"a\":\"1\"}")))
                printf("# %s, form %zu\n", types[t], i);
    EXPECT(pk_str_is(fields_of(types[0], PK_STR(END)), "{}"));
}

static void what_readers_may_disagree_about_is_refused(void)
{
    static const struct {
        const char *body, *why;
    } cases[] = {
        {"", "form: it does not begin with its boundary"},
        {"x" FIELD("a", "1") END, "form: it does not begin with its boundary"},
        {FIELD("a", "1"), "form: it has no end"},
        {FIELD("a", "1") END "x", "form: something follows its end"},
        {FIELD("a", "1") "--Bx\r\n" END, "form: a delimiter is not a line of its own"},
        {FIELD("a", "1") FIELD("a", "2") END, "a: given twice"},
        {"--B\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n1\r\n" FIELD("a", "2")
             END,
         "a: given twice"},
        {"--B\r\n\r\n1\r\n" END, "form: a part has no content-disposition"},
        {"--B\r\n" END, "form: a part is empty"},
        {"--B\r\nContent-Disposition: form-data\r\n\r\n1\r\n" END, "form: a part has no name"},
        {"--B\r\nContent-Disposition: form-data; name=\"\"\r\n\r\n1\r\n" END,
         "form: a part has no name"},
        {"--B\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\n1\r\n" END,
         "form: a part has two names"},
        {"--B\r\nContent-Disposition: form-data; name=\"\"; name=b\r\n\r\n1\r\n" END,
         "form: a part has two names"},
        {"--B\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n" END,
         "form: a part has no name"},
        {"--B\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n" END,
         "form: a part is no form-data"},
        {"--B\r\nContent-Disposition: form-data; name=a\nX: y\r\n\r\n1\r\n" END,
         "form: the headers of a part are not lines of their own"},
        {"--B\r\nContent-Disposition: form-data;\r\n name=a\r\n\r\n1\r\n" END,
         "form: the headers of a part are not lines of their own"},
        {"--B\r\nContent-Disposition: form-data; name=\"a\\\"b\"\r\n\r\n1\r\n" END,
         "form: a part has a name that readers may not agree on"},
        {"--B\r\nContent-Disposition: form-data; name=a\r\n"
         "Content-Disposition: form-data; name=b\r\n\r\n1\r\n" END,
         "form: a part has two dispositions"},
        {"--B\r\nContent-Disposition: form-data; name=a\r\n"
         "Content-Transfer-Encoding: base64\r\n\r\n1\r\n" END,
         "form: a part has a content-transfer-encoding"},
        {"--B\r\nContent-Disposition: form-data; name=a\r\n" END,
         "form: the headers of a part do not end"},
    };
    static const char *const types[] = {
        "multipart/form-data",
        "multipart/form-data; boundary=", "multipart/form-data; boundary=B; boundary=C",
        "multipart/form-data; boundary=\"B", "multipart/form-data; x"};

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        pk_str got = fields_of("multipart/form-data; boundary=B", pk_str_of(cases[i].body));

        if (!EXPECT(pk_str_is(got, cases[i].why)))
            printf("# %s\n# got: %.*s\n", cases[i].why, PK_FMT(got));
    }
    for (size_t i = 0; i < PK_COUNT(types); i++)
        EXPECT(pk_str_starts(fields_of(types[i], PK_STR(FIELD("a", "1") END)),
                             "form: its content-type"));
}

static void there_are_not_too_many_parts(void)
{
    struct pk_buf body = pk_buf_in(&arena, PK_BODY_BYTES_MAX);

    for (int i = 0; i <= PK_FORM_PARTS_MAX; i++)
        pk_buf_adds(&body, FIELD("a[]", "1"));
    pk_buf_adds(&body, END);
    EXPECT(pk_str_is(fields_of("multipart/form-data; boundary=B", pk_buf_str(&body)),
                     "form: more than 512 parts"));
}

static void a_field_changes_and_the_rest_keeps_its_bytes(void)
{
    static const char form[] =
        FIELD("model", "a") SOUND FIELD("n", "1") FIELD("t[]", "x") FIELD("t[]", "y") END;
    static const char kept[] = SOUND;
    struct pk_error err = {0};
    struct pk_form f;
    pk_str fields, body;

    if (!EXPECT(pk_form_parse(&arena, PK_STR("multipart/form-data; boundary=B"),
                              bytes(form, sizeof form), &f, &err)) ||
        !EXPECT(pk_form_fields(&arena, &f, &fields, &err)))
        return;
    EXPECT(pk_form_with(&arena, &f, fields, &body, &err));
    EXPECT(pk_str_eq(body, bytes(form, sizeof form)));
    EXPECT(
        pk_json_merge(&arena, fields,
                      PK_STR("{\"model\":\"b\\u00e9\",\"t[]\":[\"z\",2],\"new\":true,\"no\":null}"),
                      "override", &fields, &err));
    EXPECT(pk_form_with(&arena, &f, fields, &body, &err));
    EXPECT(pk_str_starts(body, FIELD("model", "b\xc3\xa9")));
    EXPECT(memmem(body.at, body.len, kept, sizeof kept - 1));
    EXPECT(pk_str_ends(body, FIELD("n", "1") FIELD("t[]", "z") FIELD("t[]", "2")
                                 FIELD("new", "true") END));
    EXPECT(pk_form_with(&arena, &f, PK_STR("{\"n\":\"1\"}"), &body, &err));
    EXPECT(pk_str_is(body, FIELD("n", "1") END));
    EXPECT(!pk_form_with(&arena, &f, PK_STR("{\"n\":\"1\\r\\n--B--\"}"), &body, &err));
    EXPECT(!pk_form_with(&arena, &f, PK_STR("{\"a\\\"b\":\"1\"}"), &body, &err));
    EXPECT(
        pk_str_is(pk_str_of(err.msg), "form: a field that the config sets cannot be said in it"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(a_form_is_read_as_an_object);
    RUN(boundaries_and_names_are_spelled_in_many_ways);
    RUN(what_readers_may_disagree_about_is_refused);
    RUN(there_are_not_too_many_parts);
    RUN(a_field_changes_and_the_rest_keeps_its_bytes);
    pk_arena_free(&arena);
    return test_end();
}
