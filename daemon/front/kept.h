/* SPDX-License-Identifier: MIT */
#ifndef FRONT_KEPT_H
#define FRONT_KEPT_H

#include "state.h"

/*
 * The end of a client's socket. The last close of a descriptor attached by a client may wait for ever: for the peer of
 * a TCP socket, for the server of a FUSE file, for the owner of a userfaultfd. A close of a socket closes everything in
 * the socket's queue. So descriptors of clients, and sockets with descriptors in the queue, stay open until the process
 * ends.
 */

void kept_init(struct front *front);

/*
 * Takes FD, a client's socket, and the descriptors in ATTACHED, attached by the client; ATTACHED may be NULL. The
 * client sees the end at once. The socket is closed if no descriptor is in ATTACHED or in the queue of the socket.
 */
void kept_retire(struct front *front, int fd, struct fdset *attached);

/* Closes all kept descriptors. The close may wait. */
void kept_release(struct front *front);

#endif
