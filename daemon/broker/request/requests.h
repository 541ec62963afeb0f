/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REQUESTS_H
#define BROKER_REQUESTS_H

#include "state/broker.h"

/* The requests of clients, with the handler of each. A request without a handler is refused. */
extern const struct channel_service requests_served;

#endif
