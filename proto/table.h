/* SPDX-License-Identifier: MIT */
#ifndef PROTO_TABLE_H
#define PROTO_TABLE_H

#include "packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The request tables: for each channel kind, the form of each request and the states that allow the request. Servers
 * check with table_check() before any action, the fuzzers aim at table_check(), PROTOCOL.md repeats the tables in
 * words. Requests outside the tables are refused. The order is fixed: decode (packet_receive), validate (table_check),
 * authorize and act (the server's handler of the same number).
 */

/* The states of a channel, as far as requests depend on the state. A channel is in exactly one state. */
enum channel_state {
	STATE_NEW = 1 << 0,   /* before HELLO */
	STATE_READY = 1 << 1, /* broker, domain and keeper channels after HELLO; device channels: not bound */
	STATE_BOUND = 1 << 2, /* device channels: bound to an IOMMU domain */
};

#define STATE_ANY	  (STATE_NEW | STATE_READY | STATE_BOUND)
#define STATE_AFTER_HELLO (STATE_READY | STATE_BOUND)

/* Checks beyond sizes and states. Pure: reads only the packet, changes nothing. Returns 0 or refuse(). */
typedef int (*request_validator)(const struct packet *request, struct detail *detail);

struct request_rule {
	const char *name;    /* NULL: no such request */
	unsigned int states; /* enum channel_state bits: the states that allow the request */
	size_t size;	     /* of the fixed part of the payload */
	size_t element_size; /* 0: nothing may follow; 1: bytes; else an array of elements of this size */
	unsigned int fds_min;
	unsigned int fds_max;
	request_validator validate; /* may be NULL */
};

struct request_table {
	enum channel_kind kind;
	const struct request_rule *rules; /* indexed by request number */
	size_t count;
	bool takes_fds; /* some request carries fds; otherwise the kernel drops all fds, unseen (packet_receive) */
};

extern const struct request_table broker_table;
extern const struct request_table device_table;
extern const struct request_table domain_table;
extern const struct request_table keeper_table;
extern const struct request_table helper_table;

/* The name of a request, for messages; never NULL. */
const char *table_name(const struct request_table *table, uint16_t type);

/* True if a request of TYPE may carry fds. */
bool table_takes_fds(const struct request_table *table, uint16_t type);

/*
 * Validates a received packet on a channel in STATE. Returns 0, or a refusal with its detail: UNSUPPORTED (no such
 * request), NOT_BOUND, ALREADY_BOUND (wrong state), NO_SUCH_DEVICE (a name that is none) or MALFORMED (any other
 * mistake).
 */
int table_check(const struct request_table *table, enum channel_state state, const struct packet *request,
	struct detail *detail);

/* Answers HELLO: fills REPLY, or refuses with UNSUPPORTED. FEATURES: bits of the server's features. */
int table_hello(const struct request_table *table, uint64_t features, const struct packet *request,
	struct packet *reply, struct detail *detail);

/* True if NAME ends with a NUL and can be one component of a path below /sys/bus/pci/drivers. */
bool driver_name_valid(const char name[DEVICE_NAME_SIZE]);

#endif
