/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_REPORT_H
#define BROKER_POLICY_REPORT_H

#include "channel.h"

/*
 * The handlers of POLICY and EXPLAIN; CONTEXT is the session. Root is told about all rules. Others see those about
 * themselves, and may ask about themselves: a policy file that they may not read is not read to them by this service.
 */
int policy_report_rules(void *context, struct packet *request, struct packet *reply, struct detail *detail);
int policy_report_explain(void *context, struct packet *request, struct packet *reply, struct detail *detail);

#endif
