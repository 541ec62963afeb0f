/* SPDX-License-Identifier: MIT */
#include "kept.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void kept_init(struct front *front)
{
	SLIST_INIT(&front->kept);
	front->kept_count = 0;
}

static void keep(struct front *front, int fd, struct fdset *attached)
{
	size_t count = attached ? attached->count : 0;
	struct kept *kept = malloc(sizeof *kept + (count + 1) * sizeof kept->fds[0]);

	front->kept_count++;
	/* Without memory the descriptors stay open just so: the record is for kept_release() alone. */
	if (kept) {
		kept->count = count + 1;
		kept->fds[0] = fd;
		if (count > 0)
			memcpy(kept->fds + 1, attached->fds, count * sizeof attached->fds[0]);
		SLIST_INSERT_HEAD(&front->kept, kept, in_front);
	}
	if (attached)
		attached->count = 0;
}

void kept_retire(struct front *front, int fd, struct fdset *attached)
{
	/* From now on the client adds nothing to the queue. */
	shutdown(fd, SHUT_RDWR);
	if ((attached && attached->count > 0) || packet_drain(fd) != PACKET_END)
		keep(front, fd, attached);
	else
		close(fd);
}

void kept_release(struct front *front)
{
	struct kept *kept;

	while ((kept = SLIST_FIRST(&front->kept))) {
		SLIST_REMOVE_HEAD(&front->kept, in_front);
		for (size_t i = 0; i < kept->count; i++)
			close(kept->fds[i]);
		free(kept);
	}
}
