/* xfer_address_test.c - addresses that may be called, and those that may not.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "test.h"
#include "xfer_address.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { PUBLIC = PK_ADDRESS_PUBLIC, LOOPBACK = PK_ADDRESS_LOOPBACK, PRIVATE = PK_ADDRESS_PRIVATE };

static const struct {
    const char *text;
    int kind;
} cases[] = {
    {"8.8.8.8", PUBLIC},
    {"104.18.6.192", PUBLIC},
    {"223.255.255.255", PUBLIC},
    {"127.0.0.1", LOOPBACK},
    {"127.255.255.255", LOOPBACK},
    {"126.255.255.255", PUBLIC},
    {"128.0.0.0", PUBLIC},
    {"0.0.0.0", PRIVATE},
    {"0.1.2.3", PRIVATE},
    {"1.0.0.0", PUBLIC},
    {"9.255.255.255", PUBLIC},
    {"10.0.0.0", PRIVATE},
    {"10.255.255.255", PRIVATE},
    {"11.0.0.0", PUBLIC},
    {"100.63.255.255", PUBLIC},
    {"100.64.0.0", PRIVATE},
    {"100.100.100.200", PRIVATE},
    {"100.127.255.255", PRIVATE},
    {"100.128.0.0", PUBLIC},
    {"168.63.129.16", PRIVATE},
    {"168.63.129.17", PUBLIC},
    {"169.254.0.0", PRIVATE},
    {"169.254.169.254", PRIVATE},
    {"169.255.0.0", PUBLIC},
    {"172.15.255.255", PUBLIC},
    {"172.16.0.0", PRIVATE},
    {"172.31.255.255", PRIVATE},
    {"172.32.0.0", PUBLIC},
    {"192.0.0.192", PRIVATE},
    {"192.0.1.1", PUBLIC},
    {"192.0.2.1", PRIVATE},
    {"192.88.99.1", PRIVATE},
    {"192.167.255.255", PUBLIC},
    {"192.168.1.1", PRIVATE},
    {"192.169.0.0", PUBLIC},
    {"198.17.255.255", PUBLIC},
    {"198.18.0.1", PRIVATE},
    {"198.19.255.255", PRIVATE},
    {"198.20.0.0", PUBLIC},
    {"198.51.100.7", PRIVATE},
    {"203.0.113.7", PRIVATE},
    {"224.0.0.1", PRIVATE},
    {"239.255.255.255", PRIVATE},
    {"240.0.0.1", PRIVATE},
    {"255.255.255.255", PRIVATE},
    {"::1", LOOPBACK},
    {"::", PRIVATE},
    {"::2", PRIVATE},
    {"::127.0.0.1", PRIVATE},
    {"::8.8.8.8", PRIVATE},
    {"::ffff:127.0.0.1", PRIVATE},
    {"::ffff:8.8.8.8", PRIVATE},
    {"::ffff:0:127.0.0.1", PRIVATE},
    {"64:ff9b::8.8.8.8", PUBLIC},
    {"64:ff9b::127.0.0.1", PRIVATE},
    {"64:ff9b::10.0.0.1", PRIVATE},
    {"64:ff9b::169.254.169.254", PRIVATE},
    {"64:ff9b:0:0:0:1:808:808", PRIVATE},
    {"64:ff9b:1::808:808", PRIVATE},
    {"100::1", PRIVATE},
    {"1fff::1", PRIVATE},
    {"2001::1", PRIVATE},
    {"2001:1ff::1", PRIVATE},
    {"2001:200::1", PUBLIC},
    {"2001:db8::1", PRIVATE},
    {"2001:4860:4860::8888", PUBLIC},
    {"2002:7f00:1::", PRIVATE},
    {"2606:4700::6812:6c0", PUBLIC},
    {"3fff:fff::1", PRIVATE},
    {"3fff:1000::1", PUBLIC},
    {"4000::1", PRIVATE},
    {"fc00::1", PRIVATE},
    {"fd00:ec2::254", PRIVATE},
    {"fe80::1", PRIVATE},
    {"fec0::1", PRIVATE},
    {"ff02::1", PRIVATE},
};

static void every_special_range_is_known(void)
{
    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct sockaddr_in in4 = {.sin_family = AF_INET};
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
        bool v4 = inet_pton(AF_INET, cases[i].text, &in4.sin_addr) == 1;

        EXPECT(v4 || inet_pton(AF_INET6, cases[i].text, &in6.sin6_addr) == 1);
        enum pk_address kind =
            pk_xfer_address(v4 ? (struct sockaddr *)&in4 : (struct sockaddr *)&in6);
        if (!EXPECT((int)kind == cases[i].kind))
            printf("#   %s gave %d\n", cases[i].text, (int)kind);
    }
}

static void other_families_are_private(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    EXPECT(pk_xfer_address((struct sockaddr *)&un) == PK_ADDRESS_PRIVATE);
}

int main(void)
{
    RUN(every_special_range_is_known);
    RUN(other_families_are_private);
    return test_end();
}
