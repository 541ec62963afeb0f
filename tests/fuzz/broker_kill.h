/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_BROKER_KILL_H
#define FUZZ_BROKER_KILL_H

struct broker;

/*
 * What a kill of the broker looks like to everybody else: descriptors are closed, and nothing is said or written any
 * more. The memory of BROKER is freed as at an end in peace. The event loop is the caller's.
 */
void broker_kill(struct broker *broker);

#endif
