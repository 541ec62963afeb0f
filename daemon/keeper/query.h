/* SPDX-License-Identifier: MIT */
#ifndef KEEPER_QUERY_H
#define KEEPER_QUERY_H

#include <stdbool.h>

struct device;
struct iommu_group;
struct packet;

/*
 * QUERY: a broker started after the leases were made asks each keeper for its leases. The broker's only memory of a
 * lease is the struct lease_origin given to the keeper with LEASE.
 */

/* True if the client's end of the channel is closed: no request can come any more, and QUERY must not report the
 * lease. */
bool query_client_gone(const struct device *device);

/* Appends all leases of GROUP to REPLY. The caller has started REPLY. */
void query_answer(const struct iommu_group *group, struct packet *reply);

#endif
