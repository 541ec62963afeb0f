/* SPDX-License-Identifier: MIT */
#ifndef BROKER_STORE_H
#define BROKER_STORE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * systemd's file descriptor store: PID 1 keeps a copy of each socket that is put there, and passes all of them to the
 * next broker, whatever became of this one. Without systemd ($NOTIFY_SOCKET) nothing is stored and nothing is lost but
 * that.
 *
 * A session's socket leaves the store by itself when either side has shut it down. A keeper's stays until
 * store_forget_keeper(): what it said before it ended is to be read by the next broker, if this one is not there.
 *
 * Each call is a datagram to PID 1, which has room for 512 of them (net.unix.max_dgram_qlen). If PID 1 is busy for so
 * long that these are used up, the call waits for it, and so do all clients: no connection is served that could be lost.
 */

/* A socket that an earlier broker has stored. */
struct stored {
	int fd;
	bool is_keeper;
	uint64_t session; /* its number ... */
	uint64_t started; /* ... and when it began, CLOCK_BOOTTIME in microseconds */
	uint32_t group;	  /* of a keeper */
};

/* FD stays the caller's. False: systemd has not been told. */
bool store_session(int fd, uint64_t session, uint64_t started);
bool store_keeper(int fd, uint32_t group);

void store_forget_keeper(uint32_t group);

/* What NAME in $LISTEN_FDNAMES says. False: it is not of this store. */
bool store_parse(const char *name, struct stored *ret_stored);

#endif
