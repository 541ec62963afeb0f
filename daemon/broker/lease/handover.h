/* SPDX-License-Identifier: MIT */
#ifndef BROKER_HANDOVER_H
#define BROKER_HANDOVER_H

#include "state/broker.h"

/* Messages from keepers of an earlier broker: who has which device, and what was released meanwhile
 * (service/takeover.h). */

/* REPLY to QUERY. Returns 0 or -EPROTO. Afterwards the keeper's group may be RELEASING. */
int handover_answered(struct keeper *keeper, const struct packet *reply);

/* KEEPER has released a device that is not leased, as far as this broker knows. */
void handover_released(struct keeper *keeper, const struct released_event *event);

#endif
