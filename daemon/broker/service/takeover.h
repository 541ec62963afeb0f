/* SPDX-License-Identifier: MIT */
#ifndef BROKER_TAKEOVER_H
#define BROKER_TAKEOVER_H

#include "base/store.h"
#include "state/broker.h"

#include <stddef.h>

/*
 * How a broker takes over from an earlier broker that was killed or restarted. systemd passes the descriptors of the
 * earlier broker (base/store.h). Each front has its clients' connections, and each keeper knows for which session the
 * keeper holds which device:
 *
 *	rolls of fronts      -> sessions, with their numbers: who they are is the earlier broker's word
 *	control sockets      -> the front has been sent QUERY
 *	its answer           -> sessions that the front does not name have ended; requests without an answer come again
 *	sockets of keepers   -> groups that are QUERIED: the keeper has been sent QUERY
 *	the answers          -> leases of the sessions named in the answers; a group whose session has ended is released
 *
 * What a front has sent before its answer to QUERY was for the earlier broker, and is ignored. A front knows a request
 * as answered when the front has read the reply: so each request gets one reply, and the client cannot tell that the
 * broker was another. Working on a request again is right for all requests that look only. An OPEN waits until the
 * keeper of its group has answered. The keeper holds no lease that an earlier broker made for this very OPEN: the reply
 * would have brought the client's end of the device channel, the earlier broker took that end along, and a keeper whose
 * client is gone lets go.
 *
 * A REVOKE waits for the keeper, too: before the answer the holder is not known. The earlier broker may have carried
 * the REVOKE out, and the device may have a new holder, whose OPEN waited while there was no broker. So the REVOKE
 * concerns only leases made before the front got the REVOKE, whatever broker made the leases.
 *
 * Clients of other groups do not wait. Until a keeper has answered, its leases do not count against the limit of their
 * user.
 *
 * A broker before fronts has stored the sockets of its clients. These go to a front unread, which ends them.
 */

/* Called before claims are loaded: the claim of a group that a keeper holds must not be undone. Takes the descriptors
 * of STORED, those of helpers apart. */
void takeover_begin(struct broker *broker, const struct stored *stored, size_t count);

#endif
