/* SPDX-License-Identifier: MIT */
#ifndef BROKER_FRONT_INBOX_H
#define BROKER_FRONT_INBOX_H

#include "state/broker.h"

/* What fronts say, and what follows for their sessions. No other function ends a session while the service runs. */
extern const struct front_events front_inbox;

#endif
