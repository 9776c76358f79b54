/* golden.c - translation as pairs of files: what goes in, what must come out.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   golden [FOLDER]        (default: tests/golden)
 *
 * In FOLDER/DIALECT, the dialect of the provider; the client speaks OpenAI's unless a file's name
 * says ".native.", then the provider's own.
 *   PROVIDER.NAME.request.json -> .request.out.json, and .request.dropped (no file: none dropped)
 *   NAME.answer.json           -> .answer.out.json, and .answer.usage
 *   NAME.stream.sse            -> .stream.out.sse, and .stream.answer.json, .stream.usage
 *   NAME.stream.frames         -> the same, of AWS's event stream as lines (test_frames.h)
 *   NAME.stream.ndjson         -> the same
 *   NAME.replay.json           -> .replay.out.sse
 *   NAME.error.STATUS.body     -> .error.STATUS.out.json
 * In FOLDER/operations, what is no conversation; WHO is a provider, or a dialect (operation.h):
 *   WHO.NAME.OPERATION.request.json -> .request.out.json (of a form .request.out.form), .request.path, and
 *                                      .request.dropped
 *   WHO.NAME.OPERATION.answer.json  -> .answer.out.json (no file: it is passed as it is), .answer.usage; it answers
 *                                      the request of the same name
 * An answer and a stream called "both-NAME" are the same answer: its .answer.out.json is for both.
 * In FOLDER/DIALECT-front it is the client that speaks the dialect, and the name of every file but a replay's
 * begins with that of the provider (".native.": for a model whose maker's dialect it has). There the events of a stream are read once more, as the client would: they must
 * say what the assembled answer says.
 * JSON is compared in its canonical form, everything else byte by byte. ".plain." in the name of a
 * stream: the client did not ask for usage. GOLDEN_WRITE=1 writes what comes out where a file is
 * missing, to be read and kept.
 */
#include "codec.h"
#include "provider.h"
#include "stream.h"

#include "test.h"
#include "test_file.h"
#include "test_frames.h"

#include <dirent.h>
#include <string.h>

enum { PATH_MAX_BYTES = 512, FILES_MAX = 512, CREATED_S = 1700000000 };

static struct pk_arena arena;
static const struct pk_dialect *back;
static const struct pk_dialect *front; /* of a DIALECT-front; NULL elsewhere */
static struct pk_json request;         /* what a DIALECT-front's client asked for */
static char stem[PATH_MAX_BYTES];      /* the input's path without what follows the kind */

/* --- files ----------------------------------------------------------------------------------- */

static void write_file(const char *path, pk_str text)
{
    FILE *f = fopen(path, "wb");

    if (EXPECT(f != NULL)) {
        (void)fwrite(text.at, 1, text.len, f);
        (void)fclose(f);
    }
}

static pk_str canonical_without(pk_str text, const char *const *without)
{
    struct pk_json doc;
    struct pk_error err;
    struct pk_buf out = pk_buf_in(&arena, PK_BODY_BYTES_MAX);

    if (text.len == 0)
        return text;
    if (!pk_json_parse(&arena, text, "golden", &doc, &err)) {
        printf("# %s\n", err.msg);
        return text;
    }
    pk_json_canonical(&out, &doc, 0, without);
    return pk_buf_str(&out);
}

static pk_str canonical(pk_str text)
{
    return canonical_without(text, NULL);
}

/* Compares with the file that belongs to the input; an absent file is an empty one. */
static void check(const char *ending, pk_str got)
{
    const char *path = pk_copyf(&arena, "%s%s", stem, ending).at;
    pk_str want = PK_NONE;
    bool json = pk_str_ends(pk_str_of(ending), ".json");

    if (!test_read_file(&arena, path, &want) && got.len && getenv("GOLDEN_WRITE")) {
        write_file(path, got);
        want = got;
    }
    if (json) {
        got = canonical(got);
        want = canonical(want);
    }
    if (!EXPECT(pk_str_eq(got, want)))
        printf("# %s\n# want %.*s\n# got  %.*s\n", path, PK_FMT(want), PK_FMT(got));
}

static void check_failed(const struct pk_error *err, const char *ending)
{
    check(ending, pk_copyf(&arena, "%s: %s\n", pk_code_name(err->code), err->msg));
}

static void check_usage(const struct pk_usage *u, const char *ending)
{
    check(ending,
          pk_copyf(&arena,
                   "source %d input %lld cache_read %lld cache_write %lld cache_write_1h %lld "
                   "output %lld reasoning %lld\n",
                   (int)u->source, (long long)u->input, (long long)u->cache_read,
                   (long long)u->cache_write, (long long)u->cache_write_1h, (long long)u->output,
                   (long long)u->reasoning));
}

/* --- the kinds ------------------------------------------------------------------------------- */

static const struct pk_dialect *front_of(const char *name)
{
    if (front)
        return front;
    return strstr(name, ".native.") ? back : &pk_dialect_openai;
}

static const struct pk_provider *provider_of(const char *name)
{
    return pk_provider_find(pk_str_sub(pk_str_of(name), 0, strcspn(name, ".")));
}

/* Before a client of `front`. */
static const struct pk_dialect *back_of(const char *name)
{
    pk_str model = strstr(name, ".native.") ? PK_STR("anthropic.claude-test") : PK_NONE;

    return pk_provider_back(provider_of(name), front, model);
}

static void check_request(const char *name, pk_str in)
{
    struct pk_error err;
    pk_str out, dropped;
    const struct pk_provider *p = provider_of(name);
    const pk_str headers = PK_STR("anthropic-beta: claude-code-20250219, effort-2025-11-24\n");

    if (!EXPECT(p && (front || p->dialect == back)))
        return;
    if (!pk_dialect_request(&arena,
                            &(struct pk_dialect_pair){front_of(name), back, p, headers, NULL}, in,
                            &out, &dropped, &err)) {
        check_failed(&err, ".failed");
        return;
    }
    check(".out.json", out);
    check(".dropped", dropped.len ? pk_copyf(&arena, "%.*s\n", PK_FMT(dropped)) : PK_NONE);
}

static void check_answer(const char *name, pk_str in)
{
    struct pk_error err;
    struct pk_answer a = {.created_s = CREATED_S,
                          .asked = PK_STR("asked-for"),
                          .id = PK_STR("chatcmpl-made"),
                          .request = front ? &request : NULL};

    if (!pk_dialect_answer(&arena, front_of(name), back, in, &a, &err)) {
        check_failed(&err, ".failed");
        return;
    }
    check(".out.json", a.body);
    check_usage(&a.usage, ".usage");
    if (front_of(name) == pk_dialect_spoken(back))
        EXPECT(a.body.at == in.at);
}

struct outcome {
    struct pk_buf out;
    struct pk_stream *s;
    struct pk_error err;
    bool ok;
};

/* Feeds the text in pieces that end at `cuts`, or byte by byte when `step` is 1. */
static void feed(struct outcome *o, const char *name, pk_str in, size_t cut, size_t step)
{
    *o = (struct outcome){.out = pk_buf_in(&arena, PK_STREAM_BYTES_MAX), .ok = true};
    o->s = pk_stream_new(&arena, front_of(name), back, !strstr(name, ".plain."), CREATED_S);
    o->s->asked = PK_STR("asked-for");
    o->s->made_id = PK_STR("chatcmpl-made");
    o->s->request = front ? &request : NULL;
    for (size_t at = 0; at < in.len && o->ok;) {
        size_t n = step ? step : at < cut ? cut : in.len;

        o->ok = pk_stream_feed(o->s, pk_str_sub(in, at, n), &o->out, &o->err);
        at += pk_str_sub(in, at, n).len;
    }
    o->ok = o->ok && pk_stream_end(o->s, &o->out, &o->err);
}

static void expect_same(const struct outcome *a, const struct outcome *b)
{
    struct pk_answer x, y;
    struct pk_error err;

    EXPECT(a->ok == b->ok && a->s->complete == b->s->complete && a->s->lossy == b->s->lossy);
    EXPECT(pk_str_eq(pk_buf_str(&a->out), pk_buf_str(&b->out)));
    if (EXPECT(pk_stream_answer(a->s, &x, &err) && pk_stream_answer(b->s, &y, &err)))
        EXPECT(pk_str_eq(x.body, y.body));
}

static void check_cuts(const struct outcome *whole, const char *name, pk_str in)
{
    struct pk_arena kept = arena;

    for (size_t cut = 0; cut <= in.len; cut++) {
        struct outcome o;

        pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
        feed(&o, name, in, cut, cut == 0);
        expect_same(whole, &o);
        pk_arena_free(&arena);
    }
    arena = kept;
}

/* What came in pieces is what would have come at once. */
static void check_both(const struct pk_answer *a)
{
    char *kind = stem + strlen(stem) - strlen(".stream");
    pk_str want;

    if (EXPECT(test_read_file(&arena,
                              pk_copyf(&arena, "%.*s.answer.out.json", (int)(kind - stem), stem).at,
                              &want)) &&
        !EXPECT(pk_str_eq(canonical(a->body), canonical(want))))
        printf("# %s\n# want %.*s\n# got  %.*s\n", stem, PK_FMT(canonical(want)),
               PK_FMT(canonical(a->body)));
}

static bool is_both(const char *name)
{
    return pk_str_starts(pk_str_of(name), "both-") || strstr(name, ".both-");
}

/* What a client makes of the events. Some providers tell the model when they have begun. */
static void check_events(const struct outcome *o, const struct pk_answer *want)
{
    static const char *const without[] = {"model", NULL};
    struct pk_stream *s = pk_stream_new(&arena, front, front, true, CREATED_S);
    struct pk_buf out = pk_buf_in(&arena, PK_STREAM_BYTES_MAX);
    struct pk_answer got;
    struct pk_error err = {0};

    if (!EXPECT(pk_stream_feed(s, pk_buf_str(&o->out), &out, &err) && s->complete) ||
        !EXPECT(pk_stream_answer(s, &got, &err)))
        return;
    pk_str told = canonical_without(got.body, without);
    pk_str meant = canonical_without(want->body, without);
    if (!EXPECT(pk_str_eq(told, meant)))
        printf("# %s\n# want %.*s\n# got  %.*s\n", stem, PK_FMT(meant), PK_FMT(told));
}

static bool has_images(const struct pk_stream *s)
{
    return s->choices[0].more && s->choices[0].more->images.len;
}

/* An answer and its stream, which say the same to an OpenAI client, do so in every other front too. But for images:
 * OpenAI's shape does not keep their place among texts and calls. */
static void check_fronts(const char *name, pk_str in)
{
    static const struct pk_dialect *const fronts[] = {&pk_dialect_anthropic, &pk_dialect_responses};
    const char *path =
        pk_copyf(&arena, "%.*s.answer.json", (int)(strlen(stem) - strlen(".stream")), stem).at;
    pk_str answer;

    if (!EXPECT(test_read_file(&arena, path, &answer)))
        return;
    for (size_t i = 0; i < PK_COUNT(fronts); i++) {
        struct outcome o;
        struct pk_answer whole = {.created_s = CREATED_S,
                                  .asked = PK_STR("asked-for"),
                                  .id = PK_STR("chatcmpl-made"),
                                  .request = &request};
        struct pk_answer streamed;
        struct pk_error err;

        if (fronts[i] == pk_dialect_spoken(back))
            continue;
        front = fronts[i];
        feed(&o, name, in, 0, in.len);
        if (has_images(o.s)) {
            front = NULL;
            return;
        }
        if (EXPECT(o.ok && pk_stream_answer(o.s, &streamed, &err)) &&
            EXPECT(pk_dialect_answer(&arena, front, back, answer, &whole, &err)) &&
            !EXPECT(pk_str_eq(canonical(streamed.body), canonical(whole.body))))
            printf("# %s before %s\n# whole    %.*s\n# streamed %.*s\n", front->name, stem,
                   PK_FMT(canonical(whole.body)), PK_FMT(canonical(streamed.body)));
        check_events(&o, &streamed);
        front = NULL;
    }
}

static void check_stream(const char *name, pk_str in)
{
    struct outcome o;
    struct pk_answer a;
    struct pk_error err;

    feed(&o, name, in, 0, in.len);
    check(".out.sse", pk_buf_str(&o.out));
    if (!o.ok)
        check_failed(&o.err, ".failed");
    else
        check(".cut", o.s->complete ? PK_NONE : PK_STR("the stream is not complete\n"));
    if (EXPECT(pk_stream_answer(o.s, &a, &err))) {
        check(".answer.json", a.body);
        check_usage(&a.usage, ".usage");
        if (is_both(name))
            check_both(&a);
        if (is_both(name) && !front)
            check_fronts(name, in);
        if (front && o.ok && o.s->complete)
            check_events(&o, &a);
    }
    check_cuts(&o, name, in);
}

static void check_frames(const char *name, pk_str in)
{
    struct pk_buf out = pk_buf_in(&arena, PK_STREAM_BYTES_MAX);

    frame_lines(&out, in);
    check_stream(name, pk_buf_str(&out));
}

static void check_replay(const char *name, pk_str in)
{
    struct pk_json doc;
    struct pk_error err;
    struct pk_buf out = pk_buf_in(&arena, PK_STREAM_BYTES_MAX);

    if (EXPECT(pk_json_parse(&arena, in, name, &doc, &err)) &&
        EXPECT((front ? front : back)->replay(&doc, !strstr(name, ".plain."), &out)))
        check(".out.sse", pk_buf_str(&out));
}

static void check_error(const char *name, pk_str in)
{
    struct pk_fault f;
    struct pk_buf out = pk_buf_in(&arena, PK_BODY_BYTES_MAX);
    const char *status = strstr(name, ".error.");

    pk_dialect_fault(&arena, back, atoi(status + strlen(".error.")), in, &f);
    f.status = atoi(status + strlen(".error."));
    EXPECT(f.message.len > 0);
    front_of(name)->print_error(&f, pk_str_of(back->name), &out);
    check(".out.json", pk_buf_str(&out));
}

/* --- operations ------------------------------------------------------------------------------ */

static pk_str part_of(const char *name, int n)
{
    while (n-- > 0)
        name += strcspn(name, ".") + 1;
    return pk_str_sub(pk_str_of(name), 0, strcspn(name, "."));
}

/* By the dialect alone where that has no provider of its name. */
static const struct pk_codec *codec_of(const char *name)
{
    static const struct {
        const char *who;
        const struct pk_codec *codecs;
    } dialects[] = {{"vertex", pk_codecs_vertex}};
    const struct pk_operation *operation = pk_operation_find(part_of(name, 2));
    const struct pk_provider *p = pk_provider_find(part_of(name, 0));

    for (size_t i = 0; i < PK_COUNT(dialects); i++)
        if (pk_str_is(part_of(name, 0), dialects[i].who))
            return dialects[i].codecs;
    if (!EXPECT(operation && p))
        return NULL;
    return pk_codec_find(p, p->dialect, operation);
}

static void check_codec_request(const char *name, pk_str in)
{
    const struct pk_codec *codec = codec_of(name);
    struct pk_error err = {0};
    struct pk_json doc;
    pk_str out, dropped, url;

    if (!EXPECT(codec && pk_json_parse(&arena, in, name, &doc, &err)))
        return;
    pk_str model = pk_json_str(&arena, &doc, pk_json_get(&doc, 0, "model"));
    if (!pk_codec_request(&arena, codec, in, &out, &dropped, &err) ||
        !pk_codec_url(&arena, codec, PK_NONE, model, PK_NONE, &url, &err)) {
        check_failed(&err, ".failed");
        return;
    }
    check(pk_str_starts(out, "--") ? ".out.form" : ".out.json", out);
    check(".path", pk_copyf(&arena, "%.*s\n", PK_FMT(url)));
    check(".dropped", dropped.len ? pk_copyf(&arena, "%.*s\n", PK_FMT(dropped)) : PK_NONE);
}

static void check_codec_answer(const char *name, pk_str in)
{
    const struct pk_codec *codec = codec_of(name);
    struct pk_error err = {0};
    struct pk_answer a = {.asked = PK_STR("asked-for"), .id = PK_STR("chatcmpl-made")};
    struct pk_json asked;
    pk_str text;

    if (!EXPECT(codec))
        return;
    if (test_read_file(
            &arena,
            pk_copyf(&arena, "%.*s.request.json", (int)(strlen(stem) - strlen(".answer")), stem).at,
            &text) &&
        EXPECT(pk_json_parse(&arena, text, "request", &asked, &err)))
        a.request = &asked;
    if (!pk_codec_answer(&arena, codec, in, &a, &err)) {
        check_failed(&err, ".failed");
        return;
    }
    check(".out.json", a.body.at == in.at ? PK_NONE : a.body);
    check_usage(&a.usage, ".usage");
}

/* --- running --------------------------------------------------------------------------------- */

static const struct kind {
    const char *ending, *cut; /* of an input; what of it stays in the names that belong to it */
    void (*check)(const char *name, pk_str in);
} kinds[] = {
    {".request.json", ".json", check_request},
    {".answer.json", ".json", check_answer},
    {".stream.sse", ".sse", check_stream},
    {".replay.json", ".json", check_replay},
    {".stream.frames", ".frames", check_frames},
    {".stream.ndjson", ".ndjson", check_stream},
    {".body", ".body", check_error},
};

static const struct kind codec_kinds[] = {
    {".request.json", ".json", check_codec_request},
    {".answer.json", ".json", check_codec_answer},
};

static void run_file(const char *folder, const char *dialect, const char *name)
{
    bool codecs = strcmp(dialect, "operations") == 0;
    const struct kind *all = codecs ? codec_kinds : kinds;

    for (size_t i = 0; i < (codecs ? PK_COUNT(codec_kinds) : PK_COUNT(kinds)); i++) {
        pk_str in;

        if (!pk_str_ends(pk_str_of(name), all[i].ending) ||
            pk_str_ends(pk_str_of(name), ".stream.answer.json"))
            continue;
        test_failed = false;
        pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
        (void)snprintf(stem, sizeof stem, "%.200s/%.40s/%.200s", folder, dialect, name);
        if (EXPECT(test_read_file(&arena, stem, &in))) {
            stem[strlen(stem) - strlen(all[i].cut)] = 0;
            if (front && provider_of(name))
                back = back_of(name);
            all[i].check(name, in);
        }
        pk_arena_free(&arena);
        printf("%s %s/%s\n", test_failed ? "not ok" : "ok", dialect, name);
        test_failures += test_failed;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void ask(void)
{
    static struct pk_arena own;
    struct pk_error err;

    pk_arena_init(&own, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    EXPECT(pk_json_parse(&own,
                         PK_STR("{\"instructions\":\"Be brief.\",\"metadata\":{\"a\":\"b\"},"
                                "\"tools\":[{\"type\":\"custom\",\"name\":\"time\"}]}"),
                         "request", &request, &err));
}

static void run_folder(const char *folder, const char *dialect)
{
    static char names[FILES_MAX][256];
    char path[PATH_MAX_BYTES];
    int count = 0;

    (void)snprintf(path, sizeof path, "%.400s/%.100s", folder, dialect);
    DIR *dir = opendir(path);
    if (!dir) {
        printf("not ok %s: no such folder\n", path);
        test_failures++;
        return;
    }
    for (struct dirent *d = readdir(dir); d && count < FILES_MAX; d = readdir(dir))
        (void)snprintf(names[count++], sizeof names[0], "%.255s", d->d_name);
    (void)closedir(dir);
    qsort(names, (size_t)count, sizeof names[0], by_text);
    size_t name = strcspn(dialect, "-");
    back = pk_dialect_find((pk_str){dialect, name});
    front = dialect[name] ? back : NULL;
    for (int i = 0; i < count; i++)
        run_file(folder, dialect, names[i]);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "tests/golden";

    ask();
    run_folder(folder, "openai");
    run_folder(folder, "anthropic");
    run_folder(folder, "gemini");
    run_folder(folder, "cohere");
    run_folder(folder, "bedrock");
    run_folder(folder, "ollama");
    run_folder(folder, "anthropic-front");
    run_folder(folder, "operations");
    run_folder(folder, "responses");
    run_folder(folder, "responses-front");
    return test_end();
}
