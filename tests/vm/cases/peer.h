/* SPDX-License-Identifier: MIT */
#ifndef PEER_H
#define PEER_H

#include <sys/types.h>

/*
 * Another process, and a socket between it and this one. It dies with the thread that started it. It has no file of
 * this process but standard output and what it is sent, so that a close here is a last close.
 */

struct peer {
	pid_t pid;
	int socket;
};

/* Runs @body in a new process, which ends when it returns. */
void peer_start(struct peer *ret, void (*body)(int socket));

/* One word, and a descriptor with it unless @fd is -1. */
void peer_send(int socket, long word, int fd);

/* Returns the word; the program ends when the other side has gone. @ret_fd: NULL if none is expected. */
long peer_receive(int socket, int *ret_fd);

/* Sends, and returns what comes back. */
long peer_ask(const struct peer *peer, long word, int fd);

/* Returns once its files are closed. */
void peer_kill(struct peer *peer);

/* Waits for its own end; returns its exit code, or minus the signal. */
int peer_end(struct peer *peer);

#endif
