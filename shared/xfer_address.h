/* xfer_address.h - what kind of address a name led to.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_XFER_ADDRESS_H
#define PK_XFER_ADDRESS_H

#include "base.h"

struct sockaddr;

enum pk_address {
    PK_ADDRESS_PUBLIC,   /* global unicast: somebody's host on the internet */
    PK_ADDRESS_LOOPBACK, /* 127.0.0.0/8 and ::1 */
    PK_ADDRESS_PRIVATE,  /* everything else: private, link-local, shared, multicast, reserved, cloud
                          * metadata, IPv4 inside IPv6, and families other than IP */
};

/* Follows the IANA registries of special-purpose addresses. NAT64 (64:ff9b::/96) is public when the
 * IPv4 address in it is, since that is how a host without IPv4 sees the internet. */
enum pk_address pk_xfer_address(const struct sockaddr *a);

#endif
