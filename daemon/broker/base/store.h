/* SPDX-License-Identifier: MIT */
#ifndef BROKER_STORE_H
#define BROKER_STORE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * systemd's file descriptor store: PID 1 keeps a copy of each descriptor put there, and passes all copies to the next
 * broker, whatever became of the present broker. Without systemd ($NOTIFY_SOCKET) nothing is stored, and nothing else
 * is lost.
 *
 * Only our own ends of our own connections are stored, never a client's socket: PID 1 closes what it keeps, and the
 * close of a socket waits for whoever sent the descriptors that are queued in the socket.
 *
 * Several descriptors can have one name. All stay until store_forget(), hung up or not: the next broker is to read the
 * last messages, if the present broker is gone.
 *
 * Each call is a message to PID 1 (base/notify.h). If PID 1 does not read, the message waits in the broker, and a
 * connection can be lost by a restart only if the broker is killed before PID 1 reads.
 */
enum store_kind {
	STORE_KEEPER, /* group-N: of group N */
	STORE_FRONT,  /* front-N: the life line, the control socket and the roll of front N */
	STORE_HELPER, /* helper-N: the connection and the note of helper N */
	/* session-X-Y: the socket of a client, of a broker before fronts; leaves the store when shut down */
	STORE_SESSION,
};

/* A descriptor that an earlier broker has stored. */
struct stored {
	int fd;
	enum store_kind kind;
	uint64_t number;
};

/* The descriptors stay the caller's. False: systemd has not been told. */
bool store_put(enum store_kind kind, uint64_t number, const int *fds, unsigned int count);

void store_forget(enum store_kind kind, uint64_t number);

/* Reads NAME, from $LISTEN_FDNAMES, into RET_STORED. False: NAME is not of the store. */
bool store_parse(const char *name, struct stored *ret_stored);

#endif
