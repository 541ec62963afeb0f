/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_QUERY_H
#define KEEPER_QUERY_H

#include <stdbool.h>

struct device;
struct group;
struct packet;

/*
 * QUERY: what a broker asks that was started after the one which made the leases. It has no other memory of them than
 * what the keepers were given with each LEASE (struct lease_origin).
 */

/* The client's end of its channel is closed: it will never ask anything, and no broker shall think that it has the device. */
bool query_client_gone(const struct device *device);

/* Fills REPLY, which is started, with all leases of GROUP. */
void query_answer(const struct group *group, struct packet *reply);

#endif
