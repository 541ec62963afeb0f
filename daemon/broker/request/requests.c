/* SPDX-License-Identifier: MIT */
#include "request/requests.h"

#include "audit/watch.h"
#include "request/hold.h"
#include "request/open.h"
#include "request/policy_report.h"
#include "request/processes.h"
#include "request/report.h"
#include "request/revocation.h"
#include "request/unquarantine.h"

/* What these answer depends on the policy. */

static int check(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	return hold_request(open_check, context, request, reply, detail);
}

static int open_device(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	return hold_request(open_serve, context, request, reply, detail);
}

static int policy(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	return hold_request(policy_report_rules, context, request, reply, detail);
}

static int explain(void *context, struct packet *request, struct packet *reply, struct detail *detail)
{
	return hold_request(policy_report_explain, context, request, reply, detail);
}

static const channel_handler handlers[BROKER_TYPE_MAX] = {
	[BROKER_LIST] = report_devices,
	[BROKER_CHECK] = check,
	[BROKER_OPEN] = open_device,
	[BROKER_STATUS] = report_status,
	[BROKER_SESSIONS] = report_sessions,
	[BROKER_LEASES] = report_leases,
	[BROKER_REVOKE] = revocation_serve,
	[BROKER_UNQUARANTINE] = unquarantine_serve,
	[BROKER_WATCH] = watch_begin,
	[BROKER_POLICY] = policy,
	[BROKER_EXPLAIN] = explain,
	[BROKER_PROCESSES] = processes_report,
};

const struct channel_service requests_served = {.table = &broker_table, .handlers = handlers};
