/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_BROKER_WORLD_H
#define FUZZ_BROKER_WORLD_H

/*
 * What a broker in a fuzz target needs of the file system: its directories of records, and the socket that systemd
 * would listen on to start keepers. One for the life of the process, which removes it at its end.
 */
struct broker_world {
	char directory[64];
	char claims[80], quarantine[80];
	char keeper_socket[80];
	int keeper_listener;
};

/* Makes it below $TMPDIR, in a directory whose name begins with NAME. */
void broker_world_make(struct broker_world *world, const char *name);

/* How many claim records there are. */
unsigned int broker_world_claims(const struct broker_world *world);

/* Removes all records. */
void broker_world_clear(const struct broker_world *world);

/* A listening socket for service_init(). Clients come by session_accept(), so nobody needs to know its address. */
int broker_world_nobodys_listener(void);

#endif
