/* SPDX-License-Identifier: MIT */
#ifndef BROKER_HANDOVER_H
#define BROKER_HANDOVER_H

#include "state/broker.h"

/* What the keepers of an earlier broker say: who has which device, and what was released meanwhile (service/takeover.h). */

/* REPLY to QUERY. Returns 0 or -EPROTO. The keeper's group may have been told to let go afterwards. */
int handover_answered(struct keeper *keeper, const struct packet *reply);

/* KEEPER has released a device that is not leased, as far as this broker knows. */
void handover_released(struct keeper *keeper, const struct released_event *event);

#endif
