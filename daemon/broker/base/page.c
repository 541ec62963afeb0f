/* SPDX-License-Identifier: MIT */
#include "base/page.h"

#include "message.h"

struct page page_of(const struct packet *request, struct packet *reply)
{
	const struct page_request *wanted = (const void *)request->payload;

	return (struct page){
		.reply = reply, .header = packet_append(reply, sizeof(struct page_reply)), .start = wanted->start};
}

void *page_next(struct page *page, size_t size)
{
	struct page_reply *header = page->header;
	void *entry = NULL;

	/* Only a run without gaps may follow: once full, always full. */
	if (header->total >= page->start && header->total - page->start == header->count)
		entry = packet_append(page->reply, size);
	if (entry)
		header->count++;
	header->total++;
	return entry;
}
