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
 * How a broker takes over from an earlier broker that was killed or restarted. systemd passes the sockets of the
 * earlier broker (base/store.h), and each keeper knows for which session the keeper holds which device:
 *
 *	sockets of sessions  -> sessions, with their numbers, ready to go on
 *	sockets of keepers   -> groups that are QUERIED: the keeper has been sent QUERY
 *	the answers          -> leases of the sessions named in the answers; a group whose session has ended is released
 *
 * Requests without an answer are still on the sessions' sockets (channel_keep_requests()). Working on such a request
 * again is right for all requests that look only. An OPEN waits until the keeper of its group has answered. If the
 * keeper holds a lease that was made for this very request, the client has had the reply: nobody but the client has
 * the other end of a device channel, so without the client's copy the keeper would not hold the lease any more. The
 * client has had the reply, too, if a client that had used the channel has released the device meanwhile; the
 * keeper's last message says so, and waits on the keeper's socket.
 *
 * A REVOKE waits for the keeper, too: before the answer the holder is not known. If the earlier broker has answered the
 * REVOKE already, the device may have a new holder, whose OPEN waited while there was no broker. So the REVOKE concerns
 * leases of earlier brokers only (including a lease that the earlier broker made after the REVOKE was done, if the
 * reply to the REVOKE did not fit the socket).
 *
 * Clients of other groups do not wait. Until a keeper has answered, its leases do not count against the limit of their
 * user.
 */

/* Called before claims are loaded: the claim of a group that a keeper holds must not be undone. Takes the sockets of
 * STORED. */
void takeover_begin(struct broker *broker, const struct stored *stored, size_t count);

#endif
