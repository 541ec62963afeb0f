/* SPDX-License-Identifier: MIT */
#include "base/peer.h"

#include "refusal.h"

#include "fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
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
	peer = (struct peer){
		.uid = credentials.uid, .owner = credentials.uid, .gid = credentials.gid, .pid = credentials.pid};
	r = groups_read(socket, &peer);
	if (r < 0) {
		peer_clear(&peer);
		return r;
	}
	*ret_pidfd = pidfd_of(socket);
	*ret_peer = peer;
	return 0;
}

/* ---- the process itself ---- */

static int process_open(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/%d", pid);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* The number of the directory /proc/PID: another process of the same pid has another directory. The kernel may make the
 * directory of a process anew, too: an equal number means the same process, another number means nothing. */
static uint32_t process_number(int directory)
{
	struct stat st;

	return directory >= 0 && fstat(directory, &st) == 0 ? (uint32_t)st.st_ino : 0;
}

bool peer_is_there(pid_t pid, uint32_t process)
{
	OWNED_FD directory = process > 0 ? process_open(pid) : -1;

	return directory >= 0 && process_number(directory) == process;
}

static bool is_of(int directory, uid_t uid)
{
	struct stat st;

	return fstat(directory, &st) == 0 && st.st_uid == uid;
}

/* Whether DIRECTORY is of the process that PEER was, and PEER was alive until now. */
static bool is_the_peer(const struct peer *peer, int pidfd, int directory)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};

	if (pidfd >= 0)
		return poll(&end, 1, 0) == 0;
	return is_of(directory, peer->uid) && peer_is_there(peer->pid, process_number(directory));
}

/* The directory of the process that may be PEER: while the directory is open, no other has its number. Or -1. */
static int look_begin(const struct peer *peer, int pidfd)
{
	OWNED_FD directory = peer->pid > 0 && pidfd != PEER_PIDFD_ENDED ? process_open(peer->pid) : -1;

	return directory >= 0 && (pidfd >= 0 || is_of(directory, peer->uid)) ? fd_take(&directory) : -1;
}

/*
 * The pid can be somebody else's by now. Where the kernel gives a pidfd (6.5), the process is checked to be alive after
 * the look: then the unit is of the process that connected. On older kernels the process has the peer's uid, before the
 * look and after, and is the same process. So no unit of another user's is believed. Another unit of the same user's
 * is: the peer would have to die and the pid to come round between connect() and accept().
 */
void peer_find_unit(struct peer *peer, int pidfd)
{
	OWNED_FD directory = look_begin(peer, pidfd);

	if (directory < 0)
		return;
	/* Units of the system manager only: units of a user's own manager have names chosen by the user. */
	if (sd_pid_get_unit(peer->pid, &peer->unit) < 0)
		peer->unit = NULL;
	if (is_the_peer(peer, pidfd, directory)) {
		peer->process = process_number(directory);
		return;
	}
	free(peer->unit);
	peer->unit = NULL;
}

bool peer_find_slice(const struct peer *peer, int pidfd, uid_t *ret_owner)
{
	OWNED_FD directory = look_begin(peer, pidfd);
	uid_t owner;

	if (directory < 0 || sd_pid_get_owner_uid(peer->pid, &owner) < 0 || !is_the_peer(peer, pidfd, directory))
		return false;
	*ret_owner = owner;
	return true;
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
