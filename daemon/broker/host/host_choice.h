/* SPDX-License-Identifier: MIT */
#ifndef BROKER_HOST_CHOICE_H
#define BROKER_HOST_CHOICE_H

#include "host/host.h"

/* The host that the program was linked with: host_linux, or the tests' fake host. */
const struct host *host_choice(void);

#endif
