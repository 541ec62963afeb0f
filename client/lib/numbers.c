/* SPDX-License-Identifier: MIT */
/*
 * The public header and the protocol number the same things. The library hands numbers over unchanged, so each pair
 * must be equal. This file has no code.
 */
#include "change.h"
#include "message.h"
#include "refusal.h"
#include "vfio-broker.h"

#include <assert.h>

/* ---- refusals ---- */

#define SAME(name) static_assert((int)VBROKER_##name == (int)REFUSAL_##name, "public and wire numbers differ")
SAME(NO_IOMMU);
SAME(NO_DOMAINS);
SAME(DOMAIN_INCOMPATIBLE);
SAME(DEVICE_BAD_STATE);
SAME(NOT_A_DOMAIN);
SAME(NOT_A_DEVICE);
SAME(GROUP_NOT_VIABLE);
SAME(DEVICE_BUSY);
SAME(NO_SUCH_DEVICE);
SAME(DENIED);
SAME(QUOTA);
SAME(MEMLOCK);
SAME(IOVA_IN_USE);
SAME(IOVA_INVALID);
SAME(NOT_BOUND);
SAME(ALREADY_BOUND);
SAME(QUARANTINED);
SAME(REVOKED);
SAME(GONE);
SAME(UNSUPPORTED);
SAME(MALFORMED);
SAME(NO_KEEPER);
SAME(FAILED);
SAME(WINDOW_UNAVAILABLE);
SAME(NOT_MEMORY);
SAME(NOT_QUARANTINED);
SAME(NOT_LEASABLE);
SAME(IN_USE);
SAME(NO_DOMAIN_FILE);
SAME(ROOT_ONLY);
SAME(NO_REMAPPING);
static_assert(REFUSAL_MAX == 32, "a new refusal needs its public twin");

/* ---- answers of the broker ---- */

static_assert((int)VBROKER_RESET_METHOD_NONE == (int)RESET_METHOD_NONE, "public and wire numbers differ");
static_assert((int)VBROKER_RESET_METHOD_FUNCTION == (int)RESET_METHOD_FUNCTION, "public and wire numbers differ");
static_assert((int)VBROKER_RESET_METHOD_BUS == (int)RESET_METHOD_BUS, "public and wire numbers differ");
static_assert((int)VBROKER_RESET_METHOD_SHARED_BUS == (int)RESET_METHOD_SHARED_BUS, "public and wire numbers differ");
static_assert((int)VBROKER_STATE_FREE == (int)DEVICE_STATE_FREE, "public and wire numbers differ");
static_assert((int)VBROKER_STATE_CLAIMING == (int)DEVICE_STATE_CLAIMING, "public and wire numbers differ");
static_assert((int)VBROKER_STATE_LEASED == (int)DEVICE_STATE_LEASED, "public and wire numbers differ");
static_assert((int)VBROKER_STATE_RELEASING == (int)DEVICE_STATE_RELEASING, "public and wire numbers differ");
static_assert((int)VBROKER_STATE_RESTORING == (int)DEVICE_STATE_RESTORING, "public and wire numbers differ");
static_assert((int)VBROKER_STATE_QUARANTINED == (int)DEVICE_STATE_QUARANTINED, "public and wire numbers differ");
static_assert(VBROKER_STATUS_CHANGES == STATUS_CHANGES, "public and wire numbers differ");
static_assert(VBROKER_STATUS_DENIALS == STATUS_DENIALS, "public and wire numbers differ");
static_assert((int)VBROKER_POLICY_SECTION == (int)POLICY_LINE_SECTION, "public and wire numbers differ");
static_assert((int)VBROKER_POLICY_FILE == (int)POLICY_LINE_FILE, "public and wire numbers differ");
static_assert((int)VBROKER_POLICY_KEY == (int)POLICY_LINE_KEY, "public and wire numbers differ");
static_assert((int)VBROKER_VERDICT_NO_RULE == (int)EXPLAIN_NO_RULE, "public and wire numbers differ");
static_assert((int)VBROKER_VERDICT_DENIED == (int)EXPLAIN_DENIED, "public and wire numbers differ");
static_assert((int)VBROKER_VERDICT_ALLOWED == (int)EXPLAIN_ALLOWED, "public and wire numbers differ");
static_assert(VBROKER_UNLIMITED == EXPLAIN_UNLIMITED, "public and wire numbers differ");
static_assert(VBROKER_GROUP_NONE == GROUP_NONE, "public and wire numbers differ");

/* ---- ending a quarantine, taking a device back ---- */

static_assert((int)VBROKER_UNQUARANTINE_FORCE == (int)BROKER_UNQUARANTINE_FORCE, "public and wire numbers differ");
static_assert((int)VBROKER_UNQUARANTINE_DRY_RUN == (int)BROKER_UNQUARANTINE_DRY_RUN, "public and wire numbers differ");
static_assert((int)VBROKER_STEPS == (int)RELEASE_STEPS, "public and wire numbers differ");
static_assert((int)VBROKER_STEP_LEAVE == (int)RELEASE_LEAVE, "public and wire numbers differ");
static_assert((int)VBROKER_RESET_UNSURE == (int)RESET_UNSURE, "public and wire numbers differ");
static_assert((int)VBROKER_ENDED_ERROR == (int)ENDED_ERROR, "public and wire numbers differ");
static_assert((int)VBROKER_REVOKE_INCOMPLETE == (int)REVOKE_INCOMPLETE, "public and wire numbers differ");

/* ---- events ---- */

static_assert((int)VBROKER_CHANGE_GRANT == (int)CHANGE_GRANT, "public and wire numbers differ");
static_assert((int)VBROKER_CHANGE_DENIAL == (int)CHANGE_DENIAL, "public and wire numbers differ");
static_assert((int)VBROKER_CHANGE_REVOKE == (int)CHANGE_REVOKE, "public and wire numbers differ");
static_assert((int)VBROKER_CHANGE_QUARANTINE_FORCE == (int)CHANGE_QUARANTINE_FORCE, "public and wire numbers differ");
static_assert((int)VBROKER_CHANGE_LOST == (int)CHANGE_LOST, "public and wire numbers differ");
static_assert((int)VBROKER_CHANGE_FRONT_LOST == (int)CHANGE_FRONT_LOST, "public and wire numbers differ");

/* ---- register programs ---- */

static_assert((int)VBROKER_OP_READ == (int)REGION_OP_READ, "public and wire numbers differ");
static_assert((int)VBROKER_OP_WRITE == (int)REGION_OP_WRITE, "public and wire numbers differ");
static_assert((int)VBROKER_OP_MODIFY == (int)REGION_OP_MODIFY, "public and wire numbers differ");
static_assert((int)VBROKER_OP_POLL == (int)REGION_OP_POLL, "public and wire numbers differ");
static_assert(VBROKER_PROGRAM_MAX == PROGRAM_OPS_MAX, "public and wire numbers differ");

/* ---- windows ---- */

static_assert((int)VBROKER_WINDOW_WRITE == (int)WINDOW_WRITE, "public and wire numbers differ");
static_assert((int)VBROKER_WINDOW_ONES == (int)WINDOW_ONES, "public and wire numbers differ");

/* ---- domain channels ---- */

static_assert((unsigned int)VBROKER_DEVICE_READS == (unsigned int)MAP_DEVICE_READ, "public and wire numbers differ");
static_assert((unsigned int)VBROKER_DEVICE_WRITES == (unsigned int)MAP_DEVICE_WRITE, "public and wire numbers differ");
static_assert(VBROKER_IOVA_ANY == IOVA_ANY, "public and wire numbers differ");
