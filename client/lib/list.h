/* SPDX-License-Identifier: MIT */
#ifndef LIB_LIST_H
#define LIB_LIST_H

#include "session.h"

#include <stddef.h>
#include <stdint.h>

/* One kind of list: its records on the wire, the public entries they become. */
struct list {
	uint16_t type;
	size_t head_size;
	size_t record_size;
	size_t entry_size;
	void (*read)(void *entry, const void *record);
};

/* What has come so far. Owns the entries. */
struct entries {
	char *bytes;
	size_t count;
};

int append_page(struct entries *entries, const struct list *list, const struct packet *packet, uint32_t *ret_total);

int read_list(struct vbroker_session *session, const struct list *list, void *ret_entries, size_t *ret_count);

#endif
