/* SPDX-License-Identifier: MIT */
#ifndef BROKER_TAKEOVER_H
#define BROKER_TAKEOVER_H

#include "base/store.h"
#include "state/broker.h"

#include <stdbool.h>
#include <stddef.h>

struct packet;
struct released_event;

/*
 * How a broker takes over from one that was killed or restarted. It has that one's sockets (store.h), and the keepers
 * know for whom they hold what:
 *
 *	sockets of sessions  -> sessions, with their numbers, ready to go on
 *	sockets of keepers   -> groups that are QUERIED, and are asked (QUERY)
 *	the answers          -> leases, of the session that is meant; a group of no session any more is released
 *
 * The requests that were being worked on are still on the sessions' sockets (channel_keep()). Working on them again is
 * right for all that look only. An OPEN waits until the keeper of its group has answered; if that holds a lease which was made for
 * this very request, the client has had its reply: nobody but the client has the other end of a device channel, so
 * without a client's copy the keeper would not hold the lease any more. The same is true if the device was released
 * meanwhile by a client that had used the channel; the keeper's last words, which say that, wait on its socket.
 *
 * A REVOKE waits for the keeper, too: it is not known before whom it is about. If it was answered already, the device may have a
 * new holder, whose OPEN waited while there was no broker; so it is about leases of earlier brokers only (which
 * includes one that the earlier broker has made after it was done, if its reply did not fit the socket).
 *
 * Clients of other groups do not wait. Until a keeper has answered, its leases do not count against the limit of their
 * user.
 */

/* Before claims are loaded: a claim of a group that a keeper holds is none to be undone. Takes the sockets of STORED. */
void takeover_begin(struct broker *broker, const struct stored *stored, size_t count);

#endif
