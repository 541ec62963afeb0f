/* SPDX-License-Identifier: MIT */
#ifndef BROKER_SERVICE_H
#define BROKER_SERVICE_H

#include "state/broker.h"

/*
 * Reads the inventory, takes over from an earlier broker, undoes its claims, and serves LISTENER (taken) from then on.
 * HOST and OPTIONS are borrowed until service_clear(). POLICY is taken; NULL denies everything, because of POLICY_ERROR
 * or because the policy is not read yet. Returns 0 or a negative errno. BROKER is cleared by service_clear(), also on
 * failure.
 */
int service_init(struct broker *broker, sd_event *event, const struct host *host, const struct broker_options *options,
	struct policy *policy, const struct policy_error *policy_error, int listener);
void service_clear(struct broker *broker);

/*
 * Ends the event loop and leaves everything as it is, for the next broker: the sockets are in systemd's fd store, the
 * keepers have the devices.
 */
void service_leave(struct broker *broker);

/* Has every keeper let go and every device given back to its host driver, then ends the event loop. */
void service_stop(struct broker *broker);

#endif
