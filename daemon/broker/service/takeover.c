/* SPDX-License-Identifier: MIT */
#include "service/takeover.h"

#include "front/front.h"
#include "front/roll.h"
#include "helper/helper.h"
#include "helper/note.h"
#include "helper/operation.h"
#include "lease/group.h"
#include "lease/keeper.h"
#include "log.h"
#include "request/session.h"
#include "service/connections.h"
#include "state/inventory.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- keepers ---- */

static void give_up(int fd, uint64_t number, const char *why)
{
	log_line(LOG_ERR, "group %" PRIu64 ": the keeper of an earlier broker is not taken over: %s", number, why);
	store_forget(STORE_KEEPER, number);
	/* The keeper sees the end, although systemd may still have a copy of the socket. */
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

static void adopt_keeper(struct broker *broker, const struct stored *stored)
{
	struct iommu_group *group =
		stored->number < GROUP_NONE ? group_get(&broker->inventory, (uint32_t)stored->number) : NULL;
	struct keeper *keeper;

	if (!group || group->state != GROUP_FREE) {
		give_up(stored->fd, stored->number, group ? "there are two" : strerror(ENOMEM));
		return;
	}
	keeper = keeper_adopt(broker, stored->fd, group);
	if (!keeper) {
		give_up(stored->fd, stored->number, strerror(ENOMEM));
		return;
	}
	group_query(group, broker, keeper);
	/* -EPIPE: the earlier broker told the keeper to let go, or the keeper has ended. Its last messages may still
	 * be on the socket. */
	if (keeper_query(keeper) < 0)
		group_release(group);
}

/* ---- fronts ---- */

/* The three descriptors of a front, which have one name; -1: missing. */
struct front_fds {
	int life;
	int control;
	int roll;
};

/* The life line leads to the socket of systemd's, which has a name; the control socket is half of a pair. */
static int *place_for(struct front_fds *fds, int fd)
{
	struct sockaddr_un address = {0};
	socklen_t size = sizeof address;
	struct stat status;

	if (fstat(fd, &status) < 0)
		return NULL;
	if (S_ISREG(status.st_mode))
		return &fds->roll;
	if (getpeername(fd, (struct sockaddr *)&address, &size) < 0)
		return &fds->control;
	return size > offsetof(struct sockaddr_un, sun_path) && address.sun_path[0] ? &fds->life : &fds->control;
}

static void sort_in(struct front_fds *fds, int fd)
{
	int *place = place_for(fds, fd);

	if (place && *place < 0)
		*place = fd;
	else
		close(fd);
}

static void give_up_front(const struct front_fds *fds, uint64_t number, const char *why)
{
	const int all[] = {fds->control, fds->life, fds->roll};

	log_line(
		LOG_ERR, "front %" PRIu64 " of an earlier broker is not taken over, its sessions end: %s", number, why);
	store_forget(STORE_FRONT, number);
	/* The front sees the end, although systemd may still have copies. */
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		if (all[i] < 0)
			continue;
		shutdown(all[i], SHUT_RDWR);
		close(all[i]);
	}
}

static void found(void *context, struct roll_entry *entry)
{
	session_adopt(context, entry);
}

static void adopt_front(struct broker *broker, const struct front_fds *fds, uint64_t number)
{
	struct front *front;

	if (fds->life < 0 || fds->roll < 0) {
		give_up_front(fds, number, "systemd has not kept all of its descriptors");
		return;
	}
	front = front_adopt(broker, number, fds->life, fds->control, fds->roll);
	if (!front) {
		give_up_front(fds, number, "its roll cannot be read");
		return;
	}
	/* What cannot be read is not adopted; the front is told to end the rest. */
	if (roll_read(&front->roll, found, front) < 0)
		log_line(LOG_ERR, "front %" PRIu64 ": not the whole roll can be read, and some sessions end", number);
	front_query(front);
}

/* Adopts the front whose first descriptor is STORED[I]: its other descriptors come later. */
static void adopt_front_at(struct broker *broker, const struct stored *stored, size_t count, size_t i)
{
	struct front_fds fds = {-1, -1, -1};
	uint64_t number = stored[i].number;

	for (size_t j = 0; j < i; j++) {
		if (stored[j].kind == STORE_FRONT && stored[j].number == number)
			return;
	}
	for (size_t j = i; j < count; j++) {
		if (stored[j].kind == STORE_FRONT && stored[j].number == number)
			sort_in(&fds, stored[j].fd);
	}
	adopt_front(broker, &fds, number);
}

/* ---- helpers ---- */

static bool is_connection(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

/* The memfd beside the connection of helper NUMBER, or -1. */
static int find_note(const struct stored *stored, size_t count, uint64_t number)
{
	for (size_t i = 0; i < count; i++) {
		if (stored[i].kind == STORE_HELPER && stored[i].number == number && !is_connection(stored[i].fd))
			return stored[i].fd;
	}
	return -1;
}

/* The order goes on, and the groups that the order is about wait. */
static void adopt_order(struct broker *broker, struct helper *helper, const struct helper_note *note)
{
	struct iommu_group *group;

	if (operation_adopt(broker, helper, note) < 0)
		log_line(LOG_ERR, "%s: out of memory: the order of an earlier broker is forgotten", note->device);
	if (note->group == GROUP_NONE)
		return;
	group = group_get(&broker->inventory, note->group);
	if (group && group->state == GROUP_FREE)
		group_restore(group, broker);
	else if (group && group->state == GROUP_QUERIED && note->order == HELPER_LEASE)
		keeper_await_lease(group->keeper, note->device);
}

static void adopt_helper(struct broker *broker, const struct stored *stored, int note_fd)
{
	struct helper_note note = {0};
	bool is_known = note_fd >= 0 && note_read(note_fd, &note);
	struct helper *helper;

	/* Nobody knows what the helper does. Nothing but its end can be waited for, and nothing is known to wait. */
	if (!is_known)
		log_line(LOG_ERR, "helper-%" PRIu64 " of an earlier broker has no note, and is told to end",
			stored->number);
	helper = helper_adopt(broker, (unsigned int)stored->number, stored->fd, note_fd, &note);
	/* Without an answer to HELLO, nobody knows whether HELLO was sent: the helper might wait forever. */
	if (helper && (!is_known || (note.pid == 0 && note.order == 0)))
		helper_free(helper);
	else if (helper && note.order)
		adopt_order(broker, helper, &note);
}

/* After the keepers: the groups that keepers have are QUERIED. */
static void adopt_helpers(struct broker *broker, const struct stored *stored, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (stored[i].kind == STORE_HELPER && is_connection(stored[i].fd))
			adopt_helper(broker, &stored[i], find_note(stored, count, stored[i].number));
	}
}

/* ---- all ---- */

static void adopt(struct broker *broker, const struct stored *stored, size_t count, size_t i)
{
	switch (stored[i].kind) {
	case STORE_FRONT:
		adopt_front_at(broker, stored, count, i);
		return;
	case STORE_SESSION:
		connections_dispose(broker, stored[i].fd);
		return;
	case STORE_KEEPER:
	case STORE_HELPER:
		return;
	}
}

void takeover_begin(struct broker *broker, const struct stored *stored, size_t count)
{
	/* Sessions come first: keepers name the session of a lease. */
	for (size_t i = 0; i < count; i++)
		adopt(broker, stored, count, i);
	for (size_t i = 0; i < count; i++) {
		if (stored[i].kind == STORE_KEEPER)
			adopt_keeper(broker, &stored[i]);
	}
	adopt_helpers(broker, stored, count);
	if (count > 0)
		log_line(LOG_NOTICE, "taking over from an earlier broker: %u fronts, %u sessions, %u keepers",
			broker->fronts_count, broker->sessions_count, broker->keepers_count);
}
