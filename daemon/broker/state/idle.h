/* SPDX-License-Identifier: MIT */
#ifndef BROKER_IDLE_H
#define BROKER_IDLE_H

#include "state/broker.h"

/* Call at the start, and when the last session has ended: memory is given back if there is no session for
 * IDLE_TRIM_US. */
void idle_arm(struct broker *broker);

#endif
