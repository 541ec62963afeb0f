/* SPDX-License-Identifier: MIT */
#ifndef BROKER_HELPER_H
#define BROKER_HELPER_H

#include "state/broker.h"

struct helper_note;
struct packet;

/* The processes of vfio-helper: the reserve, who is idle, their connections. helper/operation.h decides who gets
 * one. */

/* Starts the spare helper, if no helper is idle; if that fails, tries again later. */
void helper_prepare(struct broker *broker);

/* The same, DELAY_US from now. */
void helper_prepare_in(struct broker *broker, uint64_t delay_us);

/* An idle helper, or a new one, for OPERATION. NULL: no helper can be had at the moment. */
struct helper *helper_take(struct operation *operation);

/* HELPER's operation has ended: HELPER is idle. */
void helper_give_back(struct helper *helper);

/* Sends PACKET, the order of HELPER's operation. A failure ends the connection: helper_events->lost() follows. */
void helper_send(struct helper *helper, struct packet *packet);

/* A helper of an earlier broker, with its connection FD and memfd NOTE (negative: none), both taken, also on failure.
 * CONTENT is what the note says. NULL: no memory. */
struct helper *helper_adopt(
	struct broker *broker, unsigned int number, int fd, int note, const struct helper_note *content);

/* OPERATION is the one that HELPER works at, for an earlier broker; NULL: none any more. */
void helper_assign(struct helper *helper, struct operation *operation);

/* Helpers that have not answered for HELPER_NAMED_US, by orders that UID has caused. */
unsigned int helper_count_hung(const struct broker *broker, uid_t uid);

/* Closes the connection and frees the object; nothing else is told. */
void helper_free(struct helper *helper);

#endif
