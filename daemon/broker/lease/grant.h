/* SPDX-License-Identifier: MIT */
#ifndef BROKER_GRANT_H
#define BROKER_GRANT_H

#include "state/broker.h"

/*
 * Leases DEVICE to SESSION, after admission_check() has found no obstacle: looks whether the device answers and the
 * group is free, claims DEVICE from its host driver, and has a helper open the group and offer both to a keeper. Each
 * step is an order to a helper. Returns CHANNEL_LATER: ANSWER is called, unless the session ends before. Returns
 * -ENOMEM, and everything is as before.
 *
 * After a refusal the device goes back as after a lease: the group is RESTORING, if a step has changed anything.
 */
int grant_lease(struct session *session, struct device *device, lease_answer answer);

#endif
