/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LISTING_H
#define BROKER_LISTING_H

#include "packet.h"

#include <stdint.h>

/*
 * The reply to a request for a list. A client reads a list in pieces (struct listing_request): the entries from START
 * on, as many as fit, and how many there are in all.
 */
struct listing {
	struct packet *reply;
	struct listing_reply *header; /* in REPLY */
	uint32_t start;
};

/* Begins the piece of the list that REQUEST asks for. REQUEST begins with a struct listing_request; REPLY is empty. */
struct listing listing_begin(const struct packet *request, struct packet *reply);

/* To be called for each entry of the list. Returns zeroed room for the entry, or NULL: the entry is before START, or
 * the packet is full. */
void *listing_add(struct listing *listing, size_t size);

#endif
