/* SPDX-License-Identifier: MIT */
#ifndef BROKER_KEEPER_H
#define BROKER_KEEPER_H

#include "message.h"
#include "refusal.h"
#include "state/broker.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

/* Connects the spare keeper, if there is none; if the connection fails, tries again later. */
void keeper_prepare(struct broker *broker);

/* Connects the spare keeper DELAY_US from now. A connection due earlier stays due: a keeper that ends right after its
 * lease does not put off the connection of the successor. */
void keeper_prepare_in(struct broker *broker, uint64_t delay_us);

/* The spare keeper, or a new keeper. NULL: none can be had (DETAIL has the reason). Call keeper_assign(), or the
 * keeper stays the spare. */
struct keeper *keeper_take(struct broker *broker, struct detail *detail);

/* The keeper of GROUP at the other end of FD; FD is taken on success. Call group_query() and keeper_query() next.
 * NULL: no memory. */
struct keeper *keeper_adopt(struct broker *broker, int fd, struct iommu_group *group);

/* Asks which leases the keeper has. The answer, or the lack of an answer, goes to the broker's keeper_events. Returns
 * 0 or a negative errno. */
int keeper_query(struct keeper *keeper);

/* A helper of an earlier broker has a copy of the channel of KEEPER, and may still send LEASE of DEVICE. */
void keeper_await_lease(struct keeper *keeper, const char device[DEVICE_NAME_SIZE]);

/* KEEPER has read LEASE of DEVICE. */
void keeper_seen_lease(struct keeper *keeper, const char *device);

/* The spare KEEPER serves GROUP from now on. Another spare is prepared once LEASE is answered. */
void keeper_assign(struct keeper *keeper, struct iommu_group *group);

/*
 * Lends the keeper's channel to OPERATION's helper, to send LEASE of a device that was read as DEVICE. FIRST: with the
 * group's node, which the helper opens. CHANNEL, the keeper's end of the device channel, is taken, also on failure. The
 * keeper's answer goes to keeper_events: lease_accepted() or group_lease_refused() follows, before or after
 * keeper_returned(). Returns 0 or a negative errno.
 */
int keeper_lend(struct keeper *keeper, struct lease *lease, const struct host_device *device, bool first, int channel,
	struct operation *operation);

/* The helper is done with the keeper's channel. The keeper's answer is due. */
void keeper_returned(struct keeper *keeper);

/* Sends REVOKE for LEASE, which the keeper has or was offered. Returns 0 or a negative errno. */
int keeper_revoke(struct keeper *keeper, const struct lease *lease, enum end_reason reason, uint64_t deadline_us,
	const char *words);

/* Tells the keeper to release everything and end. */
void keeper_let_go(struct keeper *keeper);

/* The keeper has greeted, or answered QUERY. */
void keeper_ready(struct keeper *keeper);

/* PID and UID of the keeper, as the keeper says. */
void keeper_introduce(struct keeper *keeper, uint32_t pid, uint32_t uid);

/* LEASE, or QUERY, is answered. */
void keeper_answered(struct keeper *keeper);

/* Closes the channel and frees the object; nothing else is told. For keepers that have ended, and the end of the
 * broker. */
void keeper_free(struct keeper *keeper);

#endif
