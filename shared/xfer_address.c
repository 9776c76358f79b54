/* xfer_address.c - see xfer_address.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "xfer_address.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* The address starts with the first `bits` of `at`. */
struct range {
    uint8_t at[16];
    int bits;
};

static const struct range not_public4[] = {
    {{0}, 8},                 /* this network; 0.0.0.0 reaches loopback on Linux */
    {{10}, 8},                /* private */
    {{100, 64}, 10},          /* shared, carrier NAT; Alibaba's metadata */
    {{168, 63, 129, 16}, 32}, /* Azure's platform service */
    {{169, 254}, 16},         /* link-local; most clouds' metadata */
    {{172, 16}, 12},          /* private */
    {{192, 0, 0}, 24},        /* protocol assignments; Oracle's metadata */
    {{192, 0, 2}, 24},        /* documentation */
    {{192, 88, 99}, 24},      /* 6to4 relays */
    {{192, 168}, 16},         /* private */
    {{198, 18}, 15},          /* benchmarks */
    {{198, 51, 100}, 24},     /* documentation */
    {{203, 0, 113}, 24},      /* documentation */
    {{224}, 3},               /* multicast, reserved, broadcast */
};
static const struct range global6 = {{0x20}, 3};
static const struct range not_public6[] = {
    {{0x20, 0x01}, 23},             /* protocol assignments; Teredo */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x20, 0x02}, 16},             /* 6to4: IPv4 inside */
    {{0x3f, 0xff}, 20},             /* documentation */
};
static const struct range nat64 = {{0x00, 0x64, 0xff, 0x9b}, 96};

static bool within(const uint8_t *address, const struct range *r)
{
    int whole = r->bits / 8, rest = r->bits % 8;
    uint8_t mask = (uint8_t)(0xff00 >> rest);

    return memcmp(address, r->at, (size_t)whole) == 0 &&
           (rest == 0 || ((address[whole] ^ r->at[whole]) & mask) == 0);
}

static enum pk_address kind4(const uint8_t *address)
{
    if (address[0] == 127)
        return PK_ADDRESS_LOOPBACK;
    for (size_t i = 0; i < PK_COUNT(not_public4); i++)
        if (within(address, &not_public4[i]))
            return PK_ADDRESS_PRIVATE;
    return PK_ADDRESS_PUBLIC;
}

static enum pk_address kind6(const uint8_t *address)
{
    static const uint8_t loopback[16] = {[15] = 1};

    if (memcmp(address, loopback, sizeof loopback) == 0)
        return PK_ADDRESS_LOOPBACK;
    if (within(address, &nat64))
        return kind4(address + 12) == PK_ADDRESS_PUBLIC ? PK_ADDRESS_PUBLIC : PK_ADDRESS_PRIVATE;
    if (!within(address, &global6))
        return PK_ADDRESS_PRIVATE;
    for (size_t i = 0; i < PK_COUNT(not_public6); i++)
        if (within(address, &not_public6[i]))
            return PK_ADDRESS_PRIVATE;
    return PK_ADDRESS_PUBLIC;
}

enum pk_address pk_xfer_address(const struct sockaddr *a)
{
    struct sockaddr_in in4;
    struct sockaddr_in6 in6;

    if (a->sa_family == AF_INET) {
        memcpy(&in4, a, sizeof in4);
        return kind4((const uint8_t *)&in4.sin_addr);
    }
    if (a->sa_family == AF_INET6) {
        memcpy(&in6, a, sizeof in6);
        return kind6(in6.sin6_addr.s6_addr);
    }
    return PK_ADDRESS_PRIVATE;
}
