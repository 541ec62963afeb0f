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

/* Connects the spare keeper, if there is none; if that fails, tries again later. */
void keeper_prepare(struct broker *broker);

/* Connects it so much later. What is due earlier stays due: a keeper that ends right after its lease does not put off the one that
 * replaces it. */
void keeper_prepare_in(struct broker *broker, uint64_t delay_us);

/* The spare keeper, or a new one. NULL: none can be had (DETAIL has the reason). Assign it or it stays spare. */
struct keeper *keeper_take(struct broker *broker, struct detail *detail);

/* The keeper of GROUP at the other end of FD, which is taken on success; group_query() and keeper_query() follow. NULL: no
 * memory. */
struct keeper *keeper_adopt(struct broker *broker, int fd, struct iommu_group *group);

/* Asks what it holds. The answer goes to the broker's keeper_events, and so does its silence. Returns 0 or a negative errno. */
int keeper_query(struct keeper *keeper);

/* The keeper is for GROUP from now on. Another spare is prepared once its LEASE is answered. */
void keeper_assign(struct keeper *keeper, struct iommu_group *group);

/*
 * Sends LEASE of the device that was read as DEVICE. GROUP_FD (-1: it has it), WINDOWS (the control file for register windows; negative: there is none) and
 * CHANNEL, the keeper's end, are taken, also on failure. The answer goes to lease_accepted() or lease_refused().
 */
int keeper_offer(struct keeper *keeper, struct lease *lease, const struct host_device *device, int group_fd,
	int windows, int channel);

/* Sends REVOKE for LEASE, which it has or was offered. Returns 0 or a negative errno. */
int keeper_revoke(struct keeper *keeper, const struct lease *lease, enum end_reason reason, uint64_t deadline_us,
	const char *words);

/* Tells it to release everything and end. */
void keeper_let_go(struct keeper *keeper);

/* It has greeted, or said what it holds. */
void keeper_ready(struct keeper *keeper);

/* Who it says it is. */
void keeper_introduce(struct keeper *keeper, uint32_t pid, uint32_t uid);

/* LEASE, or QUERY, is answered. */
void keeper_answered(struct keeper *keeper);

/* Closes the channel and frees the object; nothing else is told. For the end of the broker. */
void keeper_free(struct keeper *keeper);

#endif
