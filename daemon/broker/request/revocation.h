/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REVOCATION_H
#define BROKER_REVOCATION_H

#include "message.h"
#include "packet.h"
#include "state/broker.h"

/*
 * REVOKE: an administrator takes a device back, and is told when that is done: when its keeper has reported all steps and the
 * kernel says that the group is free. lease_revoke() is what does it; here is who waits for it. Any number may wait for one
 * device, and who leaves changes nothing.
 */

/* The handler of REVOKE. */
int revocation_serve(void *context, struct packet *request, struct packet *reply, struct detail *detail);

/* SESSION, which ends, waits no longer. */
void revocation_forget(struct session *session);

/* The keeper of GROUP, which is RECALLED or by its word HELD, has said which devices it has (RECORDS): what was asked before that is
 * done. */
void revocation_recalled(const struct group *group, const struct query_record *records, uint32_t count);

/* What happens to GROUP meanwhile: a keeper has let go of one of its devices; a lease has ended, of the device NAME; the
 * kernel has let go of it; that takes too long. */
void revocation_reported(const struct group *group, const struct released_event *event);
void revocation_lease_ended(const struct group *group, const char *name);
void revocation_done(const struct group *group);
void revocation_stuck(const struct group *group);

#endif
