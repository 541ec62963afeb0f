/* SPDX-License-Identifier: MIT */
#ifndef BROKER_PEER_H
#define BROKER_PEER_H

#include "message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The process at the other end of a socket, as the kernel recorded the process at connect(). Never from the wire. */
struct peer {
	uid_t uid;
	uid_t owner; /* whose uid it is: for limits, and for rules that deny (request/session.c) */
	gid_t gid;
	pid_t pid;
	uint32_t process; /* for peer_is_there(); 0: not known */
	uint32_t groups_count;
	gid_t *groups; /* owned: supplementary groups */
	char *unit;    /* owned: the unit of the system's systemd; NULL: none or unknown */
};

/* What a kernel without SO_PEERPIDFD, and a process that has ended, give instead of a pidfd. */
#define PEER_PIDFD_UNKNOWN (-1)
#define PEER_PIDFD_ENDED   (-2)

/*
 * Asks the kernel for the identity of SOCKET's other end, but for the unit: reads nothing of the process, so nothing
 * that the process does can make the caller wait. RET_PIDFD is the caller's. Returns 0 or a negative errno. Free with
 * peer_clear().
 */
int peer_identify(int socket, struct peer *ret_peer, int *ret_pidfd);

/*
 * Looks the unit up, in /proc/PID/cgroup: that file alone, because others (stat, cmdline) would have the caller wait
 * for the memory of the process. PIDFD stays the caller's.
 */
void peer_find_unit(struct peer *peer, int pidfd);

/*
 * Looks up whose slice of systemd (user-UID.slice) the process is in, as peer_find_unit() does. Returns false if in
 * nobody's, or if nobody can tell.
 */
bool peer_find_slice(const struct peer *peer, int pidfd, uid_t *ret_owner);

/* Whether PID is still the process that had the number PROCESS in struct peer. False, too, where nobody can tell. */
bool peer_is_there(pid_t pid, uint32_t process);
void peer_clear(struct peer *peer);

/* The peer as sent in messages. */
void peer_record(const struct peer *peer, struct holder_record *ret_record);

/* "uid 1000, pid 4711 in nvme.service", for details and logs. Returns BUFFER. */
const char *peer_text(const struct peer *peer, char *buffer, size_t size);
const char *peer_record_text(const struct holder_record *record, char *buffer, size_t size);

#endif
