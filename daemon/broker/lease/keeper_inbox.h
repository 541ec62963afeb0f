/* SPDX-License-Identifier: MIT */
#ifndef BROKER_KEEPER_INBOX_H
#define BROKER_KEEPER_INBOX_H

#include "state/broker.h"

/* Messages from keepers, ends of keepers, and keepers that do not answer in time. */

extern const struct keeper_events keeper_inbox;

#endif
