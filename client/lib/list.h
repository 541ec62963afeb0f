/* SPDX-License-Identifier: MIT */
#ifndef LIB_LIST_H
#define LIB_LIST_H

#include "session.h"

#include <stddef.h>
#include <stdint.h>

/* A kind of list: the records on the wire, and the public entries made from the records. */
struct list {
	uint16_t type;
	size_t head_size;
	size_t record_size;
	size_t entry_size;
	void (*read)(void *entry, const void *record);
};

/* The entries received so far. Owns the entries. */
struct entries {
	char *bytes;
	size_t count;
};

/* Adds the page in PACKET, a reply, to ENTRIES. *RET_TOTAL: how many entries the server has; 0 ends the list. Returns
 * 0, -EPROTO or -ENOMEM; ENTRIES stays the caller's to free. */
int list_append_page(
	struct entries *entries, const struct list *list, const struct packet *packet, uint32_t *ret_total);

/* Asks for one page after the other. *RET_ENTRIES, a pointer, is an array for the caller to free(), also if the list
 * is empty. */
int list_read(struct vbroker_session *session, const struct list *list, void *ret_entries, size_t *ret_count);

#endif
