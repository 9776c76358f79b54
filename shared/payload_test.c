/* payload_test.c - texts as the store keeps them: alone and in packs.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "payload.h"

#include "test.h"

#include <stdlib.h>
#include <string.h>

static struct pk_error err;
static struct pk_arena arena;

/* What number `index` of the stored pack is; "-" when it cannot be had. */
static pk_str unpacked(struct pk_packer **p, const struct pk_payload *stored, int index)
{
    const struct pk_stored s = {stored->encoding, pk_pack_place(9, index), stored->bytes};
    struct pk_buf out = pk_buf_in(&arena, PK_PACK_BYTES_MAX);
    pk_str text;

    return pk_payload_unpack(p, &s, &out, &text, &err) ? text : PK_STR("-");
}

static void a_pack_gives_each_text_back(void)
{
    static char large[PK_PACK_TEXT_MAX];
    struct pk_pack *pack = pk_pack_new();
    struct pk_packer *packer = NULL;
    struct pk_payload stored;

    memset(large, 'x', sizeof large);
    EXPECT(pk_pack_add(pack, PK_STR("{\"a\":1}")) == 0);
    EXPECT(pk_pack_add(pack, PK_NONE) == 1);
    EXPECT(pk_pack_add(pack, (pk_str){large, sizeof large}) == 2);
    EXPECT(pk_pack_close(pack, &stored, &err) && stored.encoding == PK_ENCODING_PACK);
    EXPECT(stored.bytes.len < 200);
    for (int i = 0; i < 2; i++) { /* again from what was unpacked before */
        EXPECT(pk_str_is(unpacked(&packer, &stored, 0), "{\"a\":1}"));
        EXPECT(unpacked(&packer, &stored, 1).len == 0);
        EXPECT(pk_str_eq(unpacked(&packer, &stored, 2), (pk_str){large, sizeof large}));
    }
    EXPECT(pk_str_is(unpacked(NULL, &stored, 0), "{\"a\":1}"));
    EXPECT(pk_str_is(unpacked(&packer, &stored, 3), "-") && strstr(err.msg, "damaged"));
    pk_packer_free(packer);
    pk_pack_free(pack);
}

static void one_packer_reads_packs_in_turn(void)
{
    struct pk_pack *packs[2] = {pk_pack_new(), pk_pack_new()};
    struct pk_packer *packer = NULL;
    struct pk_payload stored[2];

    for (int i = 0; i < 2; i++) {
        EXPECT(pk_pack_add(packs[i], i ? PK_STR("second") : PK_STR("first")) == 0);
        EXPECT(pk_pack_close(packs[i], &stored[i], &err));
    }
    for (int i = 0; i < 4; i++)
        EXPECT(pk_str_is(unpacked(&packer, &stored[i % 2], 0), i % 2 ? "second" : "first"));
    pk_packer_free(packer);
    pk_pack_free(packs[0]);
    pk_pack_free(packs[1]);
}

static void a_full_pack_takes_no_more(void)
{
    static char half[PK_PACK_TEXT_MAX - 4];
    struct pk_pack *pack = pk_pack_new();

    EXPECT(pk_pack_add(pack, (pk_str){half, sizeof half}) == 0);
    EXPECT(pk_pack_add(pack, (pk_str){half, sizeof half}) == 1);
    EXPECT(pk_pack_add(pack, PK_STR("x")) == -1);
    pk_pack_empty(pack);
    for (int i = 0; i < PK_PACK_TEXTS_MAX; i++)
        EXPECT(pk_pack_add(pack, PK_STR("x")) == i);
    EXPECT(pk_pack_add(pack, PK_STR("x")) == -1);
    pk_pack_free(pack);
}

static void damaged_packs_are_refused(void)
{
    struct pk_pack *pack = pk_pack_new();
    struct pk_payload stored;
    char bytes[256];

    EXPECT(pk_pack_add(pack, PK_STR("some text that is kept")) == 0);
    EXPECT(pk_pack_close(pack, &stored, &err) && stored.bytes.len < sizeof bytes);
    for (size_t i = 0; i < stored.bytes.len; i++) {
        struct pk_payload cut = {stored.encoding, {stored.bytes.at, i}};

        EXPECT(pk_str_is(unpacked(NULL, &cut, 0), "-"));
        memcpy(bytes, stored.bytes.at, stored.bytes.len);
        bytes[i] ^= 0x55;
        (void)unpacked(NULL, &(struct pk_payload){stored.encoding, {bytes, stored.bytes.len}}, 0);
    }
    const struct pk_stored alone = {stored.encoding, 9, stored.bytes}; /* a place is negative */
    struct pk_buf out = pk_buf_in(&arena, 100);
    pk_str text;
    EXPECT(!pk_payload_unpack(NULL, &alone, &out, &text, &err));
    pk_pack_free(pack);
}

static void texts_are_left_out_of_a_pack(void)
{
    static const char *const texts[] = {"one", "two", "", "four"};
    static const bool rows[][PK_PACK_TEXTS_MAX] = {{false}, {true}, {false, true, false, true}};
    static const int left[] = {3, 2, 1};
    bool all[PK_PACK_TEXTS_MAX];
    struct pk_pack *pack = pk_pack_new(), *rest = pk_pack_new();
    struct pk_payload stored, without;
    struct pk_packer *with = NULL;
    int n;

    for (size_t i = 0; i < PK_COUNT(texts); i++)
        EXPECT(pk_pack_add(pack, pk_str_of(texts[i])) == (int)i);
    EXPECT(pk_pack_close(pack, &stored, &err));
    for (size_t row = 0; row < PK_COUNT(rows); row++) {
        pk_pack_empty(rest);
        EXPECT(pk_pack_without(&with, stored.bytes, rows[row], rest, &n, &err) && n == left[row]);
        EXPECT(pk_pack_close(rest, &without, &err));
        for (int i = 0; i < (int)PK_COUNT(texts); i++) {
            int64_t place = pk_pack_place(7, i);

            EXPECT(pk_pack_id(place) == 7 && pk_pack_index(place) == i);
            EXPECT(pk_str_is(unpacked(NULL, &without, i), rows[row][i] ? "" : texts[i]));
        }
    }
    memset(all, true, sizeof all);
    pk_pack_empty(rest);
    EXPECT(pk_pack_without(&with, stored.bytes, all, rest, &n, &err) && n == 0);
    pk_pack_empty(rest);
    EXPECT(!pk_pack_without(&with, PK_STR("no pack"), all, rest, &n, &err));
    pk_packer_free(with);
    pk_pack_free(pack);
    pk_pack_free(rest);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 1 << 24);
    RUN(a_pack_gives_each_text_back);
    RUN(one_packer_reads_packs_in_turn);
    RUN(a_full_pack_takes_no_more);
    RUN(damaged_packs_are_refused);
    RUN(texts_are_left_out_of_a_pack);
    pk_arena_free(&arena);
    return test_end();
}
