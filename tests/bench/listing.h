/* SPDX-License-Identifier: MIT */
#ifndef BENCH_LISTING_H
#define BENCH_LISTING_H

#include "service.h"

/* A page of the list of 4,000 devices, which come to the fake host for it and stay. */
void bench_listing(const struct service *service, struct vbroker_session *session);

#endif
