/* SPDX-License-Identifier: MIT */
#include "base/peer.h"

#include "fdset.h"
#include "refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-login.h>
#include <unistd.h>

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
	peer->groups_count = size / sizeof *peer->groups;
	return 0;
}

/*
 * The unit comes from /proc/PID/cgroup, and a pid can be somebody else's by now. Where the kernel gives a pidfd (6.5),
 * the process is checked to be alive after the look: then the unit is of the process that connected. Older kernels
 * leave a window: the peer would have to die and the pid to come round between connect() and accept().
 */
static void unit_read(int socket, struct peer *peer)
{
	OWNED_FD pidfd = -1;
	socklen_t size = sizeof pidfd;
	struct pollfd p = {.events = POLLIN};

	if (peer->pid <= 0)
		return;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) < 0)
		pidfd = -1;
	/* Units of the system manager only: units of a user's own manager have names chosen by the user. */
	if (sd_pid_get_unit(peer->pid, &peer->unit) < 0)
		peer->unit = NULL;
	p.fd = pidfd;
	if (pidfd >= 0 && poll(&p, 1, 0) != 0) {
		free(peer->unit);
		peer->unit = NULL;
	}
}

int peer_credentials(int socket, struct peer *ret_peer)
{
	struct ucred credentials;
	socklen_t size = sizeof credentials;

	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
		return -errno;
	*ret_peer = (struct peer){.uid = credentials.uid, .gid = credentials.gid, .pid = credentials.pid};
	return 0;
}

int peer_complete(int socket, struct peer *peer)
{
	int r = groups_read(socket, peer);

	if (r < 0) {
		peer_clear(peer);
		return r;
	}
	unit_read(socket, peer);
	return 0;
}

int peer_identify(int socket, struct peer *ret_peer)
{
	struct peer peer;
	int r = peer_credentials(socket, &peer);

	if (r == 0)
		r = peer_complete(socket, &peer);
	if (r == 0)
		*ret_peer = peer;
	return r;
}

void peer_learn_unit(struct peer *peer, const struct holder_record *record)
{
	if (!peer->unit && record->unit[0] && strlen(record->unit) < sizeof record->unit - 1)
		peer->unit = strdup(record->unit);
}

bool peer_process_start(pid_t pid, uint64_t *ret_us)
{
	char path[64], text[1024];
	unsigned long long ticks;
	const char *rest;
	OWNED_FD fd = -1;
	ssize_t length;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (length < 0)
		return false;
	text[length] = '\0';
	/* proc(5): the name, in parentheses, may hold anything; the 20th field after the name is the start. */
	rest = strrchr(text, ')');
	if (!rest ||
		sscanf(rest + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
			&ticks) != 1)
		return false;
	*ret_us = ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
	return true;
}

int peer_identify_again(int socket, uint64_t started_us, struct peer *ret_peer)
{
	uint64_t start;
	int r = peer_identify(socket, ret_peer);

	if (r < 0 || !ret_peer->unit)
		return r;
	if (peer_process_start(ret_peer->pid, &start) && start <= started_us)
		return 0;
	free(ret_peer->unit);
	ret_peer->unit = NULL;
	return 0;
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
