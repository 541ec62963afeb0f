/* SPDX-License-Identifier: MIT */
#ifndef BROKER_QUARANTINE_H
#define BROKER_QUARANTINE_H

#include "message.h"
#include "policy/policy.h"
#include "refusal.h"

#include <stdbool.h>
#include <stdint.h>

struct broker;
struct device;
struct group;
struct lease;

/*
 * What stands against a device after its last lease: nobody has confirmed that it was reset, so what its holder started in it may
 * go on, into the memory of whoever has it next, and what its holder left in it may be read by them. The whole IOMMU group
 * is held back: what one of its devices does by DMA reaches the domain of all of them.
 *
 * A group whose keeper or kernel does not let go is another matter, and is the group's own (GROUP_QUARANTINED).
 *
 * Whom it stands against depends on two rules of the policy: the one by which the device was leased last, whose holder may
 * have left something in it, and the one by which it is asked for, whose holder would get the DMA. The stricter "reset"
 * of the two counts, and the longer "settle". So loosening a rule does not free what was released under the stricter one: that is
 * what RELEASE is for. (A lease that goes on takes the new rule when the policy is read again.)
 *
 * A host driver is held off, too, unless the rule of the lease has reset = optional: it would switch bus mastering on for what the
 * last holder left, with IOMMU mappings of the host's or, in pass-through, none. The device stays with vfio-pci, bus
 * master off, and its claim stays on record.
 *
 * The record, a file per device, is written before the client has the device (QUARANTINE_LENT), and replaced or removed when
 * it is known how the lease ended. So a broker that follows a killed one knows what was in use, and what stood against the
 * device before, which still does if the lease ends without a BIND. A device that leaves the
 * machine takes its quarantine with it: a slot or a link that goes down has reset it; "echo 1 >remove" has not, but is root's own doing.
 *
 * When the host asks for a device that is in use, it has it locked, so that no reset is possible, and it is not known yet whether
 * the device leaves (hot-unplug) or stays (vfio-pci was unbound from it). It is held back, but nothing is said for LEAVING_US.
 */
enum quarantine_reason {
	QUARANTINE_LENT = 1,	 /* leased, or it was when the broker was killed */
	QUARANTINE_NO_RESET,	 /* there is no way to reset it */
	QUARANTINE_RESET_FAILED, /* error: the errno; 0: VFIO could not when it opened it */
	QUARANTINE_UNREPORTED,	 /* its keeper died, and the kernel has no way to reset it when it closes it */
	QUARANTINE_SILENT,	 /* its configuration space reads all ones */
	QUARANTINE_LEAVING,	 /* not reset, because the host took it away: it may be about to leave the machine */
	QUARANTINE_DIRECT, /* its holder had the VFIO device itself, and the kernel has no way to reset it when it closes it */
	QUARANTINE_REASONS,
};

struct quarantine {
	enum quarantine_reason reason;
	int error;
	uint64_t since_us; /* as loop_now() */
	struct holder_record holder;
	struct reset_policy reset; /* of the rule that it was leased by */
	char rule[RULE_TEXT_SIZE];
	bool direct; /* its holder may have had the VFIO device itself */
};

/* ---- the life of a lease ---- */

/* The client is about to get the device; or has it, and the rule of its lease has changed. */
void quarantine_lend(struct lease *lease);

/* REPORT: what its keeper says; NULL: it died. */
void quarantine_lease_ended(struct lease *lease, const struct release_report *report);

/* The same for a lease of an earlier broker, that nobody but its keeper and the record know of. */
void quarantine_recalled_ended(struct broker *broker, struct device *device, const struct release_report *report);

/*
 * The keeper of an earlier broker has the group of DEVICE, but not that any more. If it is on record as lent, nobody has heard how its
 * lease ended. Returns false if its holder may have it still (access = direct), so that the group has to be taken back as one.
 */
bool quarantine_unheard(struct broker *broker, struct device *device);

/* The kernel has let go of the group, so all of its devices are closed: what was left open is decided now. */
void quarantine_group_free(struct group *group);

/* Reads the device's configuration space; all ones put it into quarantine. */
void quarantine_look(struct broker *broker, struct device *device);

/* The device has left the machine. */
void quarantine_left(struct broker *broker, struct device *device);

/* An administrator has ended it. */
void quarantine_end(struct broker *broker, struct device *device);

/* Reads the records of an earlier run. Returns 0 or a negative errno. */
int quarantine_recall(struct broker *broker);

/* ---- what it means ---- */

/* Stands against everybody, or everybody but one: shown as quarantined, and kept from its host driver. */
bool quarantine_holds(const struct device *device);

/* A device of the group that is held, and not leased; NULL: none. */
const struct device *quarantine_of_group(const struct group *group);

/* How long the group's devices still rest before anything may be done with them. */
uint64_t quarantine_rest_us(const struct group *group);

/*
 * What stands in the way of UID, who asks for a device of the same group by RULE (NULL: none fits). Returns 0, or QUARANTINED
 * with DETAIL: why, since when, the last holder, and which rule says so; or DEVICE_BUSY: it has to rest a while.
 */
int quarantine_refuses(const struct broker *broker, const struct device *device, const struct policy_rule *rule,
	uint32_t uid, struct detail *detail);

/* Why, since when, the last holder. Returns BUFFER. */
const char *quarantine_text(const struct broker *broker, const struct device *device, char *buffer, size_t size);

/* "since 2026-11-24 23:50:01 (3 min)", in local time. Returns BUFFER. */
const char *quarantine_since(const struct broker *broker, uint64_t since_us, char *buffer, size_t size);

#endif
