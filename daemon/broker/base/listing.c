/* SPDX-License-Identifier: MIT */
#include "base/listing.h"

#include "message.h"

struct listing listing_begin(const struct packet *request, struct packet *reply)
{
	const struct listing_request *wanted = (const void *)request->payload;

	return (struct listing){
		.reply = reply, .header = packet_append(reply, sizeof(struct listing_reply)), .start = wanted->start};
}

void *listing_add(struct listing *listing, size_t size)
{
	struct listing_reply *header = listing->header;
	void *entry = NULL;

	/* Only a run without gaps may follow: once full, always full. */
	if (header->total >= listing->start && header->total - listing->start == header->count)
		entry = packet_append(listing->reply, size);
	if (entry)
		header->count++;
	header->total++;
	return entry;
}
