/* SPDX-License-Identifier: MIT */
#ifndef BROKER_STORE_H
#define BROKER_STORE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * systemd's file descriptor store: PID 1 keeps a copy of each socket put there, and passes all copies to the next
 * broker, whatever became of the present broker. Without systemd ($NOTIFY_SOCKET) nothing is stored, and nothing else
 * is lost.
 *
 * A session's socket leaves the store by itself when either side has shut the socket down. A keeper's socket stays
 * until store_forget_keeper(): the next broker is to read the keeper's last messages, if the present broker is gone.
 *
 * Each call is a message to PID 1 (base/notify.h). If PID 1 does not read, the message waits in the broker, and a
 * connection can be lost by a restart only if the broker is killed before PID 1 reads.
 */

/* A socket that an earlier broker has stored. */
struct stored {
	int fd;
	bool is_keeper;
	uint64_t session; /* the session's number ... */
	uint64_t started; /* ... and beginning, CLOCK_BOOTTIME in microseconds */
	uint32_t group;	  /* of a keeper */
};

/* FD stays the caller's. False: systemd is not told. */
bool store_session(int fd, uint64_t session, uint64_t started);
bool store_keeper(int fd, uint32_t group);

void store_forget_keeper(uint32_t group);

/* Reads NAME, from $LISTEN_FDNAMES, into RET_STORED. False: NAME is not of the store. */
bool store_parse(const char *name, struct stored *ret_stored);

#endif
