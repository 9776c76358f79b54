/* traits_test.c - which texts may get one answer, if their embeddings are near.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "test.h"
#include "traits.h"

#include <string.h>

static const char *const same[][2] = {
    {"How do I reset my API key?", "How can I reset my API key?"},
    {"how do i reset my password", "what is the way to reset my password"},
    {"Cancel my order 12", "Please cancel my order 12."},
    {"I want to buy two tickets", "I want to buy 2 tickets"},
    {"Don't send me mail", "Do not send me mail"},
    {"I can\xe2\x80\x99t log in", "I am unable to log in"},
    {"Raise the limit to 1,000", "Increase the limit to 1000!"},
    {"How do I disable notifications?", "How do I turn off notifications?"},
    {"What does \"idempotent\" mean?", "Tell me what \"idempotent\" means"},
    {"Who is the author of Hamlet?", "Tell me who the author of Hamlet is"},
    {"what is the capital of France?", "tell me the capital of France"},
    {"Explain France's climate", "Explain the climate of France"},
    {"I'm looking for a hotel", "I am looking for a hotel"},
    {"Wie kann ich mein Passwort zur\xc3\xbc"
     "cksetzen?",
     "Wie setze ich mein Passwort zur\xc3\xbc"
     "ck?"},
    {"\xe5\xa6\x82\xe4\xbd\x95\xe9\x87\x8d\xe7\xbd\xae\xe5\xaf\x86\xe7\xa0\x81",
     "\xe6\x80\x8e\xe6\xa0\xb7\xe9\x87\x8d\xe7\xbd\xae\xe5\xaf\x86\xe7\xa0\x81"},
    {"Meet me on Monday", "Let us meet on monday"},
    {"", ""},
};

static const char *const other[][2] = {
    {"Cancel my order", "Don't cancel my order"},
    {"Cancel my order", "Do not cancel my order"},
    {"Cancel my order 10", "Cancel my order 12"},
    {"Is it 5 degrees?", "Is it -5 degrees?"},
    {"Take 10%", "Take 10"},
    {"It costs $10", "It costs 10 euros"},
    {"Version 1.5", "Version 15"},
    {"What happened in 1984?", "What happened in 1985?"},
    {"Add three users", "Add two users"},
    {"What does \"get\" do?", "What does \"put\" do?"},
    {"Explain `malloc` to me", "Explain `calloc` to me"},
    {"\xe2\x80\x9cyes\xe2\x80\x9d in Latin", "\xe2\x80\x9cno\xe2\x80\x9d in Latin"},
    {"Mail John about the meeting", "Mail Mary about the meeting"},
    {"a flight from Paris to Rome", "a flight from Rome to Paris"},
    {"convert 3 km to miles", "convert 3 miles to km"},
    {"what is user_id for?", "what is group_id for?"},
    {"open /etc/hosts", "open /etc/fstab"},
    {"who owns example.com?", "who owns example.org?"},
    {"write to a@b.de", "write to b@b.de"},
    {"what is HTTP?", "what is SMTP?"},
    {"use camelCase here", "use snakeCase here"},
    {"How do I enable the firewall?", "How do I disable the firewall?"},
    {"How do I turn on the firewall?", "How do I turn off the firewall?"},
    {"how to log in", "how to log out"},
    {"how do I lock the screen", "how do I unlock the screen"},
    {"What increases blood pressure?", "What decreases blood pressure?"},
    {"What can I eat before surgery?", "What can I eat after surgery?"},
    {"the cheapest phone", "the most expensive phone"},
    {"turn left at the corner", "turn right at the corner"},
    {"add a user", "remove a user"},
    {"a pizza with cheese", "a pizza without cheese"},
    {"everyone may enter", "nobody may enter"},
    {"opening hours today", "opening hours tomorrow"},
    {"is it possible to fly there", "is it impossible to fly there"},
    {"pros of nuclear power", "cons of nuclear power"},
    {"should I buy or sell", "should I buy"},
    {"hi", "write me a long letter to my landlord about the heating that has not been repaired"},
    /* German, French, Spanish, Italian, Portuguese, Russian, Chinese, Japanese */
    {"Das ist erlaubt", "Das ist nicht erlaubt"},
    {"Wie kann ich das einschalten?", "Wie kann ich das ausschalten?"},
    {"C'est permis", "Ce n'est pas permis"},
    {"caf\xc3\xa9 avec sucre", "caf\xc3\xa9 sans sucre"},
    {"Quiero cancelar", "No quiero cancelar"},
    {"Il treno parte", "Il treno non parte"},
    {"Eu quero", "Eu n\xc3\xa3o quero"},
    {"\xd0\xaf \xd1\x85\xd0\xbe\xd1\x87\xd1\x83",
     "\xd0\xaf \xd0\x9d\xd0\xb5 \xd1\x85\xd0\xbe\xd1\x87\xd1\x83"},
    {"\xe6\x88\x91\xe8\xa6\x81", "\xe6\x88\x91\xe4\xb8\x8d\xe8\xa6\x81"},
    {"\xe9\xa3\x9f\xe3\x81\xb9\xe3\x81\xbe\xe3\x81\x99",
     "\xe9\xa3\x9f\xe3\x81\xb9\xe3\x81\xbe\xe3\x81\x9b\xe3\x82\x93"},
};

static bool agree(const char *const pair[2])
{
    struct pk_traits a = pk_traits_of(pk_str_of(pair[0]));
    struct pk_traits b = pk_traits_of(pk_str_of(pair[1]));

    EXPECT(pk_traits_agree(&a, &a) && pk_traits_agree(&b, &b));
    EXPECT(pk_traits_agree(&a, &b) == pk_traits_agree(&b, &a));
    return pk_traits_agree(&a, &b);
}

static void paraphrases_agree(void)
{
    for (size_t i = 0; i < PK_COUNT(same); i++)
        if (!EXPECT(agree(same[i])))
            printf("# \"%s\" and \"%s\"\n", same[i][0], same[i][1]);
}

static void other_questions_do_not(void)
{
    for (size_t i = 0; i < PK_COUNT(other); i++)
        if (!EXPECT(!agree(other[i])))
            printf("# \"%s\" and \"%s\"\n", other[i][0], other[i][1]);
}

static void one_number_more_or_less_is_seen_in_a_long_text(void)
{
    char a[8192], b[8192];

    memset(a, 'x', sizeof a - 1);
    for (size_t i = 10; i < sizeof a - 1; i += 10)
        a[i] = ' ';
    a[sizeof a - 1] = 0;
    memcpy(b, a, sizeof a);
    EXPECT(agree((const char *const[]){a, b}));
    b[5000] = '7';
    EXPECT(!agree((const char *const[]){a, b}));
}

static void any_bytes_have_traits(void)
{
    uint64_t random = 1;
    char bytes[64];

    for (int i = 0; i < 20000; i++) {
        size_t len = pk_random_next(&random) % sizeof bytes;

        for (size_t k = 0; k < len; k++)
            bytes[k] = (char)(pk_random_next(&random) >> (i % 8));
        struct pk_traits t = pk_traits_of((pk_str){bytes, len});
        EXPECT(pk_traits_agree(&t, &t));
    }
}

static void packed_traits_are_the_same(void)
{
    struct pk_traits t = pk_traits_of(PK_STR("enable 12 and don't disable \"x\"")), back;
    uint8_t bytes[PK_TRAITS_BYTES];

    pk_traits_pack(&t, bytes);
    back = pk_traits_unpack(bytes);
    EXPECT(t.exact == back.exact && t.left == back.left && t.right == back.right &&
           t.len == back.len && t.left && t.right);
}

/* The words are looked up by halves. */
static void the_words_are_in_order(void)
{
    static const char *const words[] = {
#define LEFT(word, pair)     word,
#define RIGHT(word, pair)    word,
#define NOT(word)            word,
#define NAME(word)           word,
#define NUMBER(word, digits) word,
#include "traits_words.def"
    };

    for (size_t i = 1; i < PK_COUNT(words); i++)
        if (!EXPECT(strcmp(words[i - 1], words[i]) < 0))
            printf("# %s, %s\n", words[i - 1], words[i]);
}

int main(void)
{
    RUN(paraphrases_agree);
    RUN(other_questions_do_not);
    RUN(one_number_more_or_less_is_seen_in_a_long_text);
    RUN(any_bytes_have_traits);
    RUN(packed_traits_are_the_same);
    RUN(the_words_are_in_order);
    return test_end();
}
