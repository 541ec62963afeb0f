/* SPDX-License-Identifier: MIT */
#ifndef BENCH_OPENING_H
#define BENCH_OPENING_H

#include "service.h"

/* A whole OPEN and close of the device, on the fakes, and where the time goes. */
void bench_opening(const struct service *service, struct vbroker_session *session);

#endif
