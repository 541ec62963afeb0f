/* SPDX-License-Identifier: MIT */
#ifndef BROKER_OPERATION_H
#define BROKER_OPERATION_H

#include "helper_message.h"
#include "state/broker.h"

#include <stdbool.h>

struct helper_note;
struct packet;

/*
 * The queue of operations: one at a time for each set of devices that wait for each other in the kernel, and a helper
 * for each that has begun. The owner's struct begins with struct operation, comes from calloc(), and is
 * freed by the owner after operation_end().
 */

/* What an operation is for; the fields are those of struct operation. */
struct operation_matter {
	struct broker *broker;
	struct iommu_group *group;
	uid_t uid;
	bool urgent;
	bool first;	    /* waits for no other operation about the same devices, and has others wait */
	const char *device; /* of the first order */
};

/* Queues OPERATION, which is all zero: the loop calls KIND from now on. */
void operation_begin(
	struct operation *operation, const struct operation_kind *kind, const struct operation_matter *matter);

/* Gives the helper an order about DEVICE; answered() follows. FLAGS and DRIVER ("": none) as in struct
 * helper_order. */
void operation_order(
	struct operation *operation, enum helper_type type, uint32_t flags, const char *device, const char *driver);

/* The same for an order of another form about DEVICE: PACKET, of type ORDER. */
void operation_send(
	struct operation *operation, uint16_t order, const char device[DEVICE_NAME_SIZE], struct packet *packet);

/* OPERATION, in whatever state, is over, and the next may begin. The group of OPERATION may be
 * gone afterwards. The memory stays with the owner. */
void operation_end(struct operation *operation);

/* A helper of an earlier broker works at the order of NOTE: queues an operation that ends with the order. Returns 0
 * or -ENOMEM. */
int operation_adopt(struct broker *broker, struct helper *helper, const struct helper_note *note);

/* For the end of the broker: frees all operations, with the structs of their owners. */
void operations_clear(struct broker *broker);

/* For struct broker. */
extern const struct helper_events operation_events;

/* ---- what is in the way ---- */

/* A named operation that is for GROUP, or for a set with devices of GROUP. NULL: none. */
const struct operation *operation_in_the_way(const struct broker *broker, const struct iommu_group *group);

/* The named operation that OPERATION waits for. NULL: none. */
const struct operation *operation_ahead(const struct operation *operation);

#endif
