/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_BROKER_WORLD_H
#define FUZZ_BROKER_WORLD_H

#include <stdbool.h>

/*
 * What a broker in a fuzz target needs of the file system: its directories of records, and the sockets that systemd
 * would listen on: for clients, and to start keepers, fronts and helpers. One for the life of the process, which
 * removes it at its end.
 */
struct broker_world {
	char directory[64];
	char claims[80], quarantine[80];
	char client_socket[80], keeper_socket[80], front_socket[80], helper_socket[80];
	int client_listener, keeper_listener, front_listener, helper_listener;
};

/* Makes it below $TMPDIR, in a directory whose name begins with NAME. */
void broker_world_make(struct broker_world *world, const char *name);

/* How many claim records there are. */
unsigned int broker_world_claims(const struct broker_world *world);

/* Removes all records. */
void broker_world_clear(const struct broker_world *world);

/* The clients' listening socket, for service_init(). */
int broker_world_listener(const struct broker_world *world);

/* A new client, with its own socket address, so that whoever accepts knows which client it is. */
int broker_world_connect(const struct broker_world *world, unsigned int client);

/* The number of the client at the other end of FD, which was accepted; -1: another socket. */
int broker_world_client(int fd);

/* As systemd does: starts fronts and helpers (front_process.h, helper_process.h) that are wanted, if there is room.
 * Returns whether there were any. */
bool broker_world_start_processes(const struct broker_world *world);

/* Ends connections that nobody has accepted. */
void broker_world_turn_away(const struct broker_world *world);

#endif
