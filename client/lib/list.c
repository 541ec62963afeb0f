/* SPDX-License-Identifier: MIT */
#include "list.h"

#include "detail.h"
#include "holder.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Entries of one list. Far beyond any machine: a bound on the memory that an endless list could make us allocate. */
#define ENTRIES_MAX 65536

int list_append_page(struct entries *entries, const struct list *list, const struct packet *packet, uint32_t *ret_total)
{
	/* Every reply in pages begins with a struct listing_reply. */
	const struct listing_reply *page = packet_body(packet, list->head_size);
	const char *records = (const char *)page + list->head_size;
	char *grown;

	if (packet->header.length != list->head_size + (uint64_t)page->count * list->record_size)
		return detail_set(-EPROTO, "%u entries in a page of another length", page->count);
	if (entries->count + page->count > ENTRIES_MAX)
		return detail_set(-EPROTO, "more than %d entries", ENTRIES_MAX);
	/* One more than needed: an empty list is an array too. */
	grown = reallocarray(entries->bytes, entries->count + page->count + 1, list->entry_size);
	if (!grown)
		return -ENOMEM;
	entries->bytes = grown;
	for (uint32_t i = 0; i < page->count; i++) {
		char *entry = grown + entries->count++ * list->entry_size;

		memset(entry, 0, list->entry_size);
		list->read(entry, records + i * list->record_size);
	}
	/* An empty page is the end, whatever its total says: the list has become shorter. */
	*ret_total = page->count == 0 ? 0 : page->total;
	return 0;
}

int list_read(struct vbroker_session *session, const struct list *list, void *ret_entries, size_t *ret_count)
{
	const struct requester_reply expected = {
		.size = list->head_size,
		.element_size = list->record_size,
	};
	struct entries entries = {NULL, 0};
	uint32_t total = 0;
	int r;

	detail_clear();
	do {
		struct listing_request *page = requester_begin(&session->channel, list->type, sizeof *page);

		page->start = (uint32_t)entries.count;
		r = requester_call(&session->channel, &expected);
		if (r == 0)
			r = list_append_page(&entries, list, &session->channel.packet, &total);
	} while (r == 0 && entries.count < total);
	if (r != 0) {
		free(entries.bytes);
		return r;
	}
	memcpy(ret_entries, &entries.bytes, sizeof entries.bytes);
	*ret_count = entries.count;
	return 0;
}

static void read_device(void *to, const void *from)
{
	const struct device_record *record = from;
	struct vbroker_device_entry *entry = to;

	text_copy(entry->name, sizeof entry->name, record->name, sizeof record->name);
	text_copy(entry->driver, sizeof entry->driver, record->driver, sizeof record->driver);
	entry->group = record->group;
	entry->vendor = record->vendor;
	entry->device = record->device;
	entry->class_code = record->class;
	entry->state = (enum vbroker_device_state)record->state;
	holder_read(&entry->holder, &record->holder);
	entry->stranded = (int)record->stranded;
	entry->reset = (enum vbroker_reset_method)record->reset;
	text_copy(entry->home, sizeof entry->home, record->home, sizeof record->home);
}

static void read_session(void *to, const void *from)
{
	const struct session_record *record = from;
	struct vbroker_session_entry *entry = to;

	entry->id = record->id;
	holder_read(&entry->peer, &record->peer);
	entry->requests = record->requests;
	entry->age_us = record->age_us;
	entry->leases = record->leases;
}

static void read_lease(void *to, const void *from)
{
	const struct lease_record *record = from;
	struct vbroker_lease_entry *entry = to;

	text_copy(entry->name, sizeof entry->name, record->name, sizeof record->name);
	entry->session = record->session;
	entry->age_us = record->age_us;
	entry->group = record->group;
	entry->keeper_pid = record->keeper_pid;
	entry->keeper_uid = record->keeper_uid;
	entry->state = (enum vbroker_device_state)record->state;
}

static void read_process(void *to, const void *from)
{
	const struct process_record *record = from;
	struct vbroker_process_entry *entry = to;

	entry->kind = (enum vbroker_process_kind)record->kind;
	entry->state = (enum vbroker_process_state)record->state;
	entry->pid = record->pid;
	entry->uid = record->uid;
	entry->age_us = record->age_us;
	text_copy(entry->name, sizeof entry->name, record->name, sizeof record->name);
	text_copy(entry->text, sizeof entry->text, record->text, sizeof record->text);
}

int vbroker_list_devices(struct vbroker_session *session, struct vbroker_device_entry **ret_entries, size_t *ret_count)
{
	static const struct list list = {BROKER_LIST, sizeof(struct listing_reply), sizeof(struct device_record),
		sizeof(struct vbroker_device_entry), read_device};

	return list_read(session, &list, ret_entries, ret_count);
}

int vbroker_list_sessions(
	struct vbroker_session *session, struct vbroker_session_entry **ret_entries, size_t *ret_count)
{
	static const struct list list = {BROKER_SESSIONS, sizeof(struct listing_reply), sizeof(struct session_record),
		sizeof(struct vbroker_session_entry), read_session};

	return list_read(session, &list, ret_entries, ret_count);
}

int vbroker_list_leases(struct vbroker_session *session, struct vbroker_lease_entry **ret_entries, size_t *ret_count)
{
	static const struct list list = {BROKER_LEASES, sizeof(struct listing_reply), sizeof(struct lease_record),
		sizeof(struct vbroker_lease_entry), read_lease};

	return list_read(session, &list, ret_entries, ret_count);
}

int vbroker_list_processes(
	struct vbroker_session *session, struct vbroker_process_entry **ret_entries, size_t *ret_count)
{
	static const struct list list = {BROKER_PROCESSES, sizeof(struct listing_reply), sizeof(struct process_record),
		sizeof(struct vbroker_process_entry), read_process};

	return list_read(session, &list, ret_entries, ret_count);
}
