/* SPDX-License-Identifier: MIT */
#include "request/requests.h"

#include "audit/watch.h"
#include "request/open.h"
#include "request/policy_report.h"
#include "request/report.h"
#include "request/revocation.h"
#include "request/unquarantine.h"

static const channel_handler handlers[BROKER_TYPE_MAX] = {
	[BROKER_LIST] = report_devices,
	[BROKER_CHECK] = open_check,
	[BROKER_OPEN] = open_serve,
	[BROKER_STATUS] = report_status,
	[BROKER_SESSIONS] = report_sessions,
	[BROKER_LEASES] = report_leases,
	[BROKER_REVOKE] = revocation_serve,
	[BROKER_UNQUARANTINE] = unquarantine_serve,
	[BROKER_WATCH] = watch_begin,
	[BROKER_POLICY] = policy_report_rules,
	[BROKER_EXPLAIN] = policy_report_explain,
};

const struct channel_service requests_served = {.table = &broker_table, .handlers = handlers};
