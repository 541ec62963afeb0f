/* SPDX-License-Identifier: MIT */
#include "service/takeover.h"

#include "helper/helper.h"
#include "helper/note.h"
#include "helper/operation.h"
#include "lease/group.h"
#include "lease/keeper.h"
#include "log.h"
#include "packet.h"
#include "request/session.h"
#include "state/inventory.h"
#include "table.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void give_up(int fd, uint32_t number, const char *why)
{
	log_line(LOG_ERR, "group %u: the keeper of an earlier broker is not taken over: %s", number, why);
	store_forget_keeper(number);
	/* The keeper sees the end, although systemd may still have a copy of the socket. */
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

static void adopt_keeper(struct broker *broker, const struct stored *stored)
{
	struct iommu_group *group = group_get(&broker->inventory, stored->group);
	struct keeper *keeper;

	if (!group || group->state != GROUP_FREE) {
		give_up(stored->fd, stored->group, group ? "there are two" : strerror(ENOMEM));
		return;
	}
	keeper = keeper_adopt(broker, stored->fd, group);
	if (!keeper) {
		give_up(stored->fd, stored->group, strerror(ENOMEM));
		return;
	}
	group_query(group, broker, keeper);
	/* -EPIPE: the earlier broker told the keeper to let go, or the keeper has ended. Its last messages may still
	 * be on the socket. */
	if (keeper_query(keeper) < 0)
		group_release(group);
}

/* ---- helpers ---- */

static bool is_connection(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

/* The memfd beside the connection of helper NUMBER, or -1. */
static int find_note(const struct stored *stored, size_t count, uint32_t number)
{
	for (size_t i = 0; i < count; i++) {
		if (stored[i].is_helper && stored[i].helper == number && !is_connection(stored[i].fd))
			return stored[i].fd;
	}
	return -1;
}

/* The order goes on, and the groups that the order is about wait. LEASE may come late: the keeper must not get a lease
 * that nobody knows of. */
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
	else if (group && note->order == HELPER_LEASE)
		group_release(group);
}

static void adopt_helper(struct broker *broker, const struct stored *stored, int note_fd)
{
	struct helper_note note = {0};
	bool is_known = note_fd >= 0 && note_read(note_fd, &note);
	struct helper *helper;

	/* Nobody knows what the helper does. Nothing but its end can be waited for, and nothing is known to wait. */
	if (!is_known)
		log_line(LOG_ERR, "helper-%u of an earlier broker has no note, and is told to end", stored->helper);
	helper = helper_adopt(broker, stored->helper, stored->fd, note_fd, &note);
	if (helper && !is_known)
		helper_free(helper);
	else if (helper && note.order)
		adopt_order(broker, helper, &note);
}

/* After the keepers: the groups that keepers have are QUERIED. */
static void adopt_helpers(struct broker *broker, const struct stored *stored, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (stored[i].is_helper && is_connection(stored[i].fd))
			adopt_helper(broker, &stored[i], find_note(stored, count, stored[i].helper));
	}
}

void takeover_begin(struct broker *broker, const struct stored *stored, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!stored[i].is_keeper && !stored[i].is_helper)
			session_adopt(broker, &stored[i]);
	}
	for (size_t i = 0; i < count; i++) {
		if (stored[i].is_keeper)
			adopt_keeper(broker, &stored[i]);
	}
	adopt_helpers(broker, stored, count);
	if (count > 0)
		log_line(LOG_NOTICE, "taking over from an earlier broker: %u sessions, %u keepers",
			broker->sessions_count, broker->keepers_count);
}
