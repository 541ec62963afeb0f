/* SPDX-License-Identifier: MIT */
#include "base/peer.h"

#include "refusal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-login.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5, include/uapi/asm-generic/socket.h */
#endif

static int groups_read(int socket, struct peer *peer)
{
	socklen_t size = 0;

	/* The first call fails with ERANGE and tells the size (socket(7), SO_PEERGROUPS). */
	if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || size == 0)
		return 0;
	if (errno != ERANGE)
		return -errno;
	peer->groups = malloc(size);
	if (!peer->groups)
		return -ENOMEM;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, peer->groups, &size) < 0)
		return -errno;
	peer->groups_count = (uint32_t)(size / sizeof *peer->groups);
	return 0;
}

/* Only ENOPROTOOPT tells of a kernel before 6.5. Any other failure means that the process has ended, and that its pid
 * may be somebody else's. */
static int pidfd_of(int socket)
{
	int pidfd = -1;
	socklen_t size = sizeof pidfd;

	if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0)
		return pidfd;
	return errno == ENOPROTOOPT ? PEER_PIDFD_UNKNOWN : PEER_PIDFD_ENDED;
}

int peer_identify(int socket, struct peer *ret_peer, int *ret_pidfd)
{
	struct ucred credentials;
	socklen_t size = sizeof credentials;
	struct peer peer;
	int r;

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
		return -errno;
	peer = (struct peer){.uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid};
	r = groups_read(socket, &peer);
	if (r < 0) {
		peer_clear(&peer);
		return r;
	}
	*ret_pidfd = pidfd_of(socket);
	*ret_peer = peer;
	return 0;
}

/*
 * The pid can be somebody else's by now. Where the kernel gives a pidfd (6.5), the process is checked to be alive after
 * the look: then the unit is of the process that connected. Older kernels leave a window: the peer would have to die
 * and the pid to come round between connect() and accept().
 */
void peer_find_unit(struct peer *peer, int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	if (peer->pid <= 0 || pidfd == PEER_PIDFD_ENDED)
		return;
	/* Units of the system manager only: units of a user's own manager have names chosen by the user. */
	if (sd_pid_get_unit(peer->pid, &peer->unit) < 0)
		peer->unit = NULL;
	if (pidfd >= 0 && poll(&p, 1, 0) != 0) {
		free(peer->unit);
		peer->unit = NULL;
	}
}

void peer_clear(struct peer *peer)
{
	free(peer->groups);
	free(peer->unit);
	*peer = (struct peer){0};
}

void peer_record(const struct peer *peer, struct holder_record *ret_record)
{
	*ret_record = (struct holder_record){.uid = peer->uid, .pid = (uint32_t)peer->pid};
	if (peer->unit)
		snprintf(ret_record->unit, sizeof ret_record->unit, "%s", peer->unit);
}

const char *peer_text(const struct peer *peer, char *buffer, size_t size)
{
	struct holder_record record;

	peer_record(peer, &record);
	return peer_record_text(&record, buffer, size);
}

const char *peer_record_text(const struct holder_record *record, char *buffer, size_t size)
{
	char unit[UNIT_NAME_SIZE];

	refusal_quote(unit, sizeof unit, record->unit, sizeof record->unit);
	snprintf(buffer, size, "uid %u, pid %u%s%s", record->uid, record->pid, *unit ? " in " : "", unit);
	return buffer;
}
