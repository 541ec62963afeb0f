/* SPDX-License-Identifier: MIT */
#ifndef BROKER_ENDING_H
#define BROKER_ENDING_H

#include "message.h"
#include "state/broker.h"

/*
 * How leases end, as the audit trail tells. Each lease has one such event: REVOKE if the device was ordered back, or
 * was taken by the host or the service; else RELEASE. A holder who gives the device back before the deadline has been
 * revoked, too: the order has ended the lease.
 */

/* LEASE has ended. REPORT: of the keeper; NULL: the keeper has ended without a report. ERROR: a positive errno of a
 * step that failed, or 0. */
void ending_record(struct lease *lease, const struct release_report *report, int error);

/* A lease of an earlier broker has ended, as the keeper of DEVICE's group says by EVENT. */
void ending_record_earlier(struct broker *broker, const struct device *device, const struct released_event *event);

/* The device is still not back, because of BLOCKER. If LEASE is revoked, the event says so; ending_record() is silent
 * about LEASE afterwards, and the end of the group's quarantine says that the device is back. */
void ending_record_incomplete(struct lease *lease, const char *blocker);

#endif
