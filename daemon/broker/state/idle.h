/* SPDX-License-Identifier: MIT */
#ifndef BROKER_IDLE_H
#define BROKER_IDLE_H

#include "state/broker.h"

/* To be told at the start, and when the last session has ended: memory is given back if there is none for a while. */
void idle_arm(struct broker *broker);

#endif
