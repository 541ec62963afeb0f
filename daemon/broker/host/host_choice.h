/* SPDX-License-Identifier: MIT */
#ifndef BROKER_HOST_CHOICE_H
#define BROKER_HOST_CHOICE_H

#include "host/host.h"

/* The host that this program was linked with: host_linux, or the fake one of the tests. */
const struct host *host_choice(void);

#endif
