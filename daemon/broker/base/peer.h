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
	gid_t gid;
	pid_t pid;
	gid_t *groups; /* owned: supplementary groups */
	size_t groups_count;
	char *unit; /* owned: the unit of the system's systemd; NULL: none or unknown */
};

/* Reads the identity of SOCKET's other end. Returns 0 or a negative errno. Free with peer_clear(). */
int peer_identify(int socket, struct peer *ret_peer);
/* The same in two steps. The first reads uid, gid and pid, and is quick; the second reads the rest. A failure of the
 * second clears PEER. */
int peer_credentials(int socket, struct peer *ret_peer);
int peer_complete(int socket, struct peer *peer);
void peer_clear(struct peer *peer);

/*
 * The same for a socket that an earlier broker has accepted, at STARTED_US of CLOCK_BOOTTIME. The process may have
 * ended since then, and the pid may be somebody else's: the unit is known only if the process with the pid now had
 * started by STARTED_US.
 */
int peer_identify_again(int socket, uint64_t started_us, struct peer *ret_peer);

/* Fills in an unknown unit from RECORD, made when the peer was first identified. A unit too long for RECORD was cut,
 * and stays unknown. */
void peer_learn_unit(struct peer *peer, const struct holder_record *record);

/* When the process was started, CLOCK_BOOTTIME, rounded down to the kernel's ticks of 10 ms. False: there is none. */
bool peer_process_start(pid_t pid, uint64_t *ret_us);

/* The peer as sent in messages. */
void peer_record(const struct peer *peer, struct holder_record *ret_record);

/* "uid 1000, pid 4711 in nvme.service", for details and logs. Returns BUFFER. */
const char *peer_text(const struct peer *peer, char *buffer, size_t size);
const char *peer_record_text(const struct holder_record *record, char *buffer, size_t size);

#endif
