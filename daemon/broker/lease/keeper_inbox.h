/* SPDX-License-Identifier: MIT */
#ifndef BROKER_KEEPER_INBOX_H
#define BROKER_KEEPER_INBOX_H

#include "state/broker.h"

/* What keepers say, and that they end or say nothing in time. */

extern const struct keeper_events keeper_inbox;

#endif
