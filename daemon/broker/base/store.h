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
 * A session's socket leaves the store by itself when either side has shut the socket down. The sockets of keepers and
 * helpers stay until store_forget_keeper() and store_forget_helper(): the next broker is to read the last messages,
 * if the present broker is gone.
 *
 * Each call is a datagram to PID 1, with room for 512 datagrams (net.unix.max_dgram_qlen). If PID 1 is busy until the
 * room is used up, the call waits for PID 1, and so do all clients: the broker serves no connection that could be
 * lost.
 */

/* A socket that an earlier broker has stored. */
struct stored {
	int fd;
	bool is_keeper;
	bool is_helper;
	uint64_t session; /* the session's number ... */
	uint64_t started; /* ... and beginning, CLOCK_BOOTTIME in microseconds */
	uint32_t group;	  /* of a keeper */
	uint32_t helper;  /* of a helper: its number; the connection and the memfd have the same name */
};

/* FD stays the caller's. False: systemd has not been told. */
bool store_session(int fd, uint64_t session, uint64_t started);
bool store_keeper(int fd, uint32_t group);

void store_forget_keeper(uint32_t group);

/* The connection of a helper, and the memfd NOTE (negative: there is none). */
bool store_helper(int fd, int note, uint32_t number);

void store_forget_helper(uint32_t number);

/* Reads NAME, from $LISTEN_FDNAMES, into RET_STORED. False: NAME is not of the store. */
bool store_parse(const char *name, struct stored *ret_stored);

#endif
