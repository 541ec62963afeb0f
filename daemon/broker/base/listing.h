/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LISTING_H
#define BROKER_LISTING_H

#include "packet.h"

#include <stdint.h>

/*
 * The reply to a request for a list, which is read in pieces (struct page_request): the entries from START on, as many as fit,
 * and how many there are in all.
 */
struct listing {
	struct packet *reply;
	struct page_reply *header; /* in REPLY */
	uint32_t start;
};

/* A page of what REQUEST, which begins with a struct page_request, asks for. REPLY is empty. */
struct listing listing_begin(const struct packet *request, struct packet *reply);

/* To be called for each entry of the list. Room for it, zeroed, or NULL: it is before the page, or the packet is full. */
void *listing_add(struct listing *listing, size_t size);

#endif
