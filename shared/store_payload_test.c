/* store_payload_test.c - texts of records that are written in groups.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_payload.h"

#include "store_group.h"
#include "test_store.h"

static const int64_t at_us = 1763811512123456;
static struct pk_error err;
static uint16_t ids;

static bool add(struct pk_store *s, pk_str request, pk_str response, int64_t us)
{
    struct pk_record r = {.trace_id = PK_STR("t"),
                          .started_us = us,
                          .ended_us = us,
                          .operation = PK_STR("chat.completions"),
                          .source = PK_STR("http"),
                          .request = request,
                          .response = response};

    ids++;
    memcpy(r.id, &ids, sizeof ids);
    return pk_store_record_add(s, &r, &err);
}

/* A group of one record. Of two texts one may take the other's place among the recent ones, so no case counts on the
 * first behind the second. */
static bool written(struct pk_store *s, bool kept, pk_str request, pk_str response, int64_t us)
{
    return pk_store_group_begin(s, kept, &err) && add(s, request, response, us) &&
           pk_store_group_settle(s, &err) && pk_store_group_end(s, true, &err);
}

static struct pk_store *open_store(void)
{
    struct pk_store *s = test_store(":memory:");

    ids = 0;
    pk_store_group_init(s);
    return s;
}

static void close_store(struct pk_store *s)
{
    pk_store_group_free(s);
    pk_store_close(s);
}

static void texts_of_a_group_are_one_row(void)
{
    struct pk_store *s = open_store();

    EXPECT(pk_store_group_begin(s, true, &err));
    EXPECT(add(s, PK_STR("{\"q\":1}"), PK_STR("{\"a\":1}"), at_us));
    EXPECT(add(s, PK_STR("{\"a\":1}"), PK_STR("{\"b\":1}"), at_us + 1));
    EXPECT(pk_store_group_settle(s, &err) && pk_store_group_end(s, true, &err));
    EXPECT(test_says(s, "select count(*) || ' ' || max(created_us) from pk_payload",
                     "1 1763811512123457"));
    EXPECT(test_says(s, "select group_concat(request || response, ' ') from pk_logs",
                     "{\"q\":1}{\"a\":1} {\"a\":1}{\"b\":1}"));
    EXPECT(test_says(
        s, "select count(*) from pk_log a join pk_log b on a.response_id = b.request_id", "1"));
    close_store(s);
}

static void a_text_that_comes_again_soon_is_stored_once(void)
{
    struct pk_store *s = open_store();

    EXPECT(written(s, true, PK_STR("{\"q\":1}"), PK_NONE, at_us));
    EXPECT(written(s, true, PK_STR("{\"q\":1}"), PK_NONE, at_us + 9000000));
    EXPECT(test_says(s, "select count(*) from pk_payload", "1"));
    EXPECT(written(s, true, PK_STR("{\"q\":1}"), PK_NONE, at_us + 10000000));
    EXPECT(test_says(s, "select count(*) from pk_payload", "2"));
    EXPECT(test_says(s, "select count(*) from pk_logs where request = '{\"q\":1}'", "3"));
    close_store(s);
}

/* They may well have one place among the recent ones: they differ in a byte of many. */
static void texts_that_are_nearly_equal_are_told_apart(void)
{
    static char text[1000];
    struct pk_store *s = open_store();

    memset(text, '7', sizeof text);
    for (size_t i = 0; i < sizeof text / 2; i++) {
        text[i] = '8';
        EXPECT(written(s, true, (pk_str){text, sizeof text}, PK_NONE, at_us));
        text[i] = '7';
        EXPECT(written(s, true, (pk_str){text, sizeof text}, PK_NONE, at_us));
    }
    EXPECT(test_says(s, "select count(distinct request) from pk_logs", "501"));
    EXPECT(test_says(s, "select count(*) from pk_logs where instr(request, '8') = 0", "500"));
    close_store(s);
}

static void of_many_texts_the_oldest_are_forgotten(void)
{
    static char text[30000];
    struct pk_store *s = open_store();

    memset(text, '7', sizeof text);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 50; i++) {
            text[0] = (char)('A' + i);
            text[sizeof text - 1] = (char)('A' + i);
            EXPECT(written(s, true, (pk_str){text, sizeof text - (size_t)i * 100}, PK_NONE, at_us));
        }
    EXPECT(test_says(s, "select count(*) from pk_payload", "100"));
    EXPECT(
        test_says(s, "select count(distinct request) || ' ' || count(*) from pk_logs", "50 100"));
    EXPECT(test_says(s, "select count(distinct substr(request, 1, 1)) from pk_logs", "50"));
    close_store(s);
}

static void what_was_undone_is_not_referred_to(void)
{
    struct pk_store *s = open_store();

    EXPECT(pk_store_group_begin(s, true, &err));
    EXPECT(add(s, PK_STR("{\"q\":1}"), PK_NONE, at_us));
    EXPECT(!pk_store_group_end(s, false, &err));
    EXPECT(written(s, false, PK_STR("{\"q\":1}"), PK_NONE, at_us));
    EXPECT(test_says(s, "select count(*) || min(request) from pk_logs", "1{\"q\":1}"));
    close_store(s);
}

static void long_texts_are_rows_of_their_own(void)
{
    static char text[PK_PACK_TEXT_MAX + 1];
    struct pk_store *s = open_store();

    memset(text, '7', sizeof text);
    EXPECT(written(s, true, (pk_str){text, sizeof text}, PK_NONE, at_us));
    EXPECT(written(s, true, (pk_str){text, sizeof text}, PK_NONE, at_us + 3600000000));
    EXPECT(test_says(s, "select count(*) from pk_payload where encoding = 1", "1"));
    EXPECT(test_says(s, "select sum(length(request) = 32769) from pk_logs", "2"));
    close_store(s);
}

static void a_group_fills_as_many_packs_as_it_needs(void)
{
    static char text[PK_PACK_TEXT_MAX];
    struct pk_store *s = open_store();

    memset(text, '7', sizeof text);
    EXPECT(pk_store_group_begin(s, true, &err));
    for (int i = 0; i < 5; i++) {
        text[i] = '8';
        EXPECT(add(s, (pk_str){text, sizeof text}, PK_NONE, at_us));
    }
    EXPECT(pk_store_group_settle(s, &err) && pk_store_group_end(s, true, &err));
    EXPECT(test_says(s, "select count(*) || min(encoding) from pk_payload", "52"));
    EXPECT(test_says(s, "select count(distinct request) from pk_logs", "5"));
    close_store(s);
}

int main(void)
{
    RUN(texts_of_a_group_are_one_row);
    RUN(a_text_that_comes_again_soon_is_stored_once);
    RUN(texts_that_are_nearly_equal_are_told_apart);
    RUN(of_many_texts_the_oldest_are_forgotten);
    RUN(what_was_undone_is_not_referred_to);
    RUN(long_texts_are_rows_of_their_own);
    RUN(a_group_fills_as_many_packs_as_it_needs);
    return test_end();
}
