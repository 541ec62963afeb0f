/* SPDX-License-Identifier: MIT */
#include "service/takeover.h"

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

void takeover_begin(struct broker *broker, const struct stored *stored, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!stored[i].is_keeper)
			session_adopt(broker, &stored[i]);
	}
	for (size_t i = 0; i < count; i++) {
		if (stored[i].is_keeper)
			adopt_keeper(broker, &stored[i]);
	}
	if (count > 0)
		log_line(LOG_NOTICE, "taking over from an earlier broker: %u sessions, %u keepers",
			broker->sessions_count, broker->keepers_count);
}
