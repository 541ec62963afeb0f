/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_CANONICAL_H
#define BROKER_POLICY_CANONICAL_H

#include "policy/policy.h"
#include "policy/policy_key.h"
#include "policy/policy_text.h"

#include <stddef.h>

/*
 * A policy as lines, from the process that reads the policy files to the broker. The lines say all that struct policy
 * has. Users and groups are numbers, with the names behind, so the broker looks no name up:
 *
 *	allow storage
 *	line 12
 *	file /etc/vfio-broker/policy.d/10-lab.conf
 *	address = 0000:01:00.0
 *	user = 1001 ; alice
 *	user = bob ; unknown
 *	owner 100000 65536 1001
 *	warning /etc/vfio-broker/policy.d/20-fifo.conf: skipped, because a FIFO is no policy file
 */

/* Gives POLICY to SINK, a line at a time. */
void policy_canonical_write(const struct policy *policy, struct policy_sink *sink);

/*
 * Adds what LINES say to POLICY: SIZE bytes of whole lines, each ended by a NUL. Returns 0, or -ENOMEM or -EPROTO with
 * RET_ERROR filled in; POLICY is then good for policy_free() alone. policy_complete() checks the whole afterwards.
 */
int policy_canonical_read(struct policy *policy, const char *lines, size_t size, struct policy_error *ret_error);

#endif
