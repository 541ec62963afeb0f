/* SPDX-License-Identifier: MIT */
#ifndef BROKER_HOLD_H
#define BROKER_HOLD_H

#include "channel.h"
#include "state/broker.h"

#include <stddef.h>

/*
 * Requests that need the policy, while the policy files are being read: the requests wait, each session with one, and
 * are served when the policy is there, or when the read takes too long (service/reload.c).
 */

/* Serves a request by HANDLER, now or later. The other arguments, and the result, are those of a handler. */
int hold_request(
	channel_handler handler, void *context, struct packet *request, struct packet *reply, struct detail *detail);

/* Serves all requests that wait. Only when broker->policy_awaited is false. */
void hold_resume(struct broker *broker);

/* The reader of the policy files, if it hangs and nobody else has read the files since; or NULL. */
const struct policy_reader *hold_hung_reader(const struct broker *broker);

/*
 * Why the policy files are not in force, in words: "its reader (pid 42) has hung for 3 s; ...", or the mistake. Empty:
 * the files are in force. Returns BUFFER.
 */
#define HOLD_TROUBLE_SIZE 640
const char *hold_trouble(const struct broker *broker, char buffer[HOLD_TROUBLE_SIZE]);

/* The refusal of a request that needs a policy, if there is none. */
int hold_no_policy(const struct broker *broker, struct detail *detail);

#endif
