/* SPDX-License-Identifier: MIT */
#ifndef BROKER_REQUESTS_H
#define BROKER_REQUESTS_H

#include "state/broker.h"

/* What clients may ask: the handler of each request. */
extern const struct channel_service requests_served;

#endif
