/* SPDX-License-Identifier: MIT */
#ifndef BROKER_POLICY_REPORT_H
#define BROKER_POLICY_REPORT_H

#include "channel.h"

/*
 * The handlers of POLICY and EXPLAIN; CONTEXT is the session. Root sees all rules. Another user sees the rules about
 * itself, and may ask about itself: no user learns from this service the text of a policy file that the user may not
 * read.
 */
int policy_report_rules(void *context, struct packet *request, struct packet *reply, struct detail *detail);
int policy_report_explain(void *context, struct packet *request, struct packet *reply, struct detail *detail);

#endif
