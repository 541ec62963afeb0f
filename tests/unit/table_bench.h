/* SPDX-License-Identifier: MIT */
#ifndef TABLE_BENCH_H
#define TABLE_BENCH_H

#include "message.h"
#include "packet.h"
#include "refusal.h"
#include "table.h"
#include "unit.h"

#include <string.h>

/* Packets to be checked by a request table. */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NAME	     "0000:01:00.0"

/*
 * A request is made valid, checked to be accepted, then broken in one place and checked to be refused there:
 * WHY must be part of the detail, so that the right rule is what refuses. The descriptors of these packets
 * are only counted by the table, so their numbers are made up and never closed.
 */
static struct packet packet;
static struct detail detail;

static inline void make(uint16_t type, const void *body, size_t size, const void *rest, size_t rest_size, size_t fds)
{
	packet_init(&packet);
	packet.header = (struct message_header){.type = type, .cookie = 1, .length = (uint32_t)(size + rest_size)};
	assert_true(size + rest_size <= sizeof packet.payload);
	memset(packet.payload, 0xff, sizeof packet.payload);
	if (size > 0)
		memcpy(packet.payload, body, size);
	if (rest_size > 0)
		memcpy(packet.payload + size, rest, rest_size);
	packet.fds.count = fds;
	for (size_t i = 0; i < fds; i++)
		packet.fds.fds[i] = 1000 + (int)i;
}

static inline int check(const struct request_table *table, enum channel_state state)
{
	strcpy(detail.text, "(none)");
	return table_check(table, state, &packet, &detail);
}

static inline void accepted(const struct request_table *table, enum channel_state state)
{
	int r = check(table, state);

	if (r != 0)
		fail_msg("refused: %s: %s", refusal_name(r), detail.text);
}

static inline void refused(const struct request_table *table, enum channel_state state, int refusal, const char *why)
{
	int r = check(table, state);

	if (r != refusal || !strstr(detail.text, why))
		fail_msg("%s (%s), not %s (%s)", refusal_name(r), detail.text, refusal_name(refusal), why);
}

static inline void malformed(const struct request_table *table, enum channel_state state, const char *why)
{
	refused(table, state, REFUSAL_MALFORMED, why);
}

/* The packet has something else in place of a device's name: a mistake of the program's user. */
static inline void names_none(const struct request_table *table)
{
	refused(table, STATE_READY, REFUSAL_NO_SUCH_DEVICE, "is not the name of a PCI device");
}

/* ---- domain channel ---- */

static inline void array(
	uint16_t type, struct array_header header, const void *elements, size_t size, size_t fds, const char *why)
{
	make(type, &header, sizeof header, elements, size, fds);
	if (why)
		malformed(&domain_table, STATE_READY, why);
	else
		accepted(&domain_table, STATE_READY);
}

#endif
