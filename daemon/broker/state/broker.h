/* SPDX-License-Identifier: MIT */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include "base/fair_queue.h"
#include "base/journal.h"
#include "base/peer.h"
#include "channel.h"
#include "host/host.h"
#include "message.h"
#include "policy/policy.h"
#include "policy/policy_text.h"
#include "refusal.h"
#include "state/user.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

struct audit_limit;
struct claim;
struct iommu_group;
struct keeper;
struct lease;
struct session;
struct stored;
struct waiter;

/*
 * Everything vfio-brokerd knows, in one place and one thread:
 *
 *	broker ── sessions ── leases ── device ── group ── keeper
 *
 * A session is a client's connection. A lease is a device that it has. All leases of one IOMMU group belong to one
 * session and are held by one keeper process.
 */

/* ---- devices and groups ---- */

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
 * The record, a file per device, is written before the client has the device (QUARANTINE_IN_USE), and replaced or removed when
 * it is known how the lease ended. So a broker that follows a killed one knows what was in use, and what stood against the
 * device before, which still does if the lease ends without a BIND. A device that leaves the
 * machine takes its quarantine with it: a slot or a link that goes down has reset it; "echo 1 >remove" has not, but is root's own doing.
 *
 * When the host asks for a device that is in use, it has it locked, so that no reset is possible, and it is not known yet whether
 * the device leaves (hot-unplug) or stays (vfio-pci was unbound from it). It is held back, but nothing is said for LEAVING_US.
 */
enum quarantine_reason {
	QUARANTINE_IN_USE = 1,	 /* leased, or it was when the broker was killed */
	QUARANTINE_NO_RESET,	 /* there is no way to reset it */
	QUARANTINE_RESET_FAILED, /* error: the errno; 0: VFIO could not when it opened it */
	QUARANTINE_UNREPORTED,	 /* its keeper died, and the kernel has no way to reset it when it closes it */
	QUARANTINE_UNRESPONSIVE, /* its configuration space reads all ones */
	QUARANTINE_LEAVING,	 /* not reset, because the host took it away: it may be about to leave the machine */
	QUARANTINE_DIRECT, /* its holder had the VFIO device itself, and the kernel has no way to reset it when it closes it */
	QUARANTINE_REASONS,
};

/* Written by lease/quarantine.c. */
struct quarantine {
	enum quarantine_reason reason;
	int error;
	uint64_t since_us; /* as loop_now() */
	struct holder_record holder;
	struct reset_policy reset; /* of the rule that it was leased by */
	char rule[RULE_TEXT_SIZE];
	bool direct; /* its holder may have had the VFIO device itself */
};

/* A PCI device. It exists while the host has it, or a lease or a claim refers to it. Written by state/inventory.c. */
struct device {
	LIST_ENTRY(device) in_inventory; /* sorted by name */
	LIST_ENTRY(device) in_group;
	char name[DEVICE_NAME_SIZE];
	bool present;
	bool group_changed;	   /* it came back in another group while a lease or a claim held it in this one */
	struct iommu_group *group; /* NULL: no IOMMU */
	struct lease *lease;	   /* NULL: not leased (written by lease/lease.c) */
	struct claim *claim;	   /* owned; NULL: nothing to undo (written by lease/rebind.c) */
	bool handed_out;	   /* a client had it since its group was free last (written by lease/quarantine.c) */
	struct quarantine *
		quarantine; /* owned: what stands against it since its last lease; NULL: nothing (written by lease/quarantine.c) */
	struct quarantine *
		prior; /* owned: what did before that lease, if it is QUARANTINE_IN_USE (written by lease/quarantine.c) */
};
LIST_HEAD(device_list, device);

/*
 * The life of an IOMMU group:
 *
 *	FREE -> HELD -> RELEASING -> RESTORING -> FREE
 *	                    \------------\-> QUARANTINED -> FREE
 *	FREE -> QUERIED -> HELD, or RELEASING
 *
 * RELEASING: the keeper was told to let go, or ends by itself. RESTORING: its socket is closed; as soon as
 * the kernel lets go of the group too, and devices that were not reset have rested, they go back to their host
 * drivers. QUARANTINED: the keeper or the kernel takes too long; the broker keeps trying, and nobody gets the group meanwhile.
 * QUERIED: a keeper has it from an earlier broker, and was asked for whom.
 *
 * In a group that is FREE, devices may be quarantined (quarantine.h).
 */
enum group_state {
	GROUP_FREE,
	GROUP_HELD,
	GROUP_RELEASING,
	GROUP_RESTORING,
	GROUP_QUARANTINED,
	GROUP_QUERIED,
};

/* Written by lease/group.c. */
struct iommu_group {
	LIST_ENTRY(iommu_group) in_inventory;
	uint32_t number;	    /* state/inventory.c */
	struct device_list devices; /* state/inventory.c */
	enum group_state state;
	struct broker *broker;	     /* set by group_hold() */
	struct keeper *keeper;	     /* the one that has it; NULL: none */
	struct session *session;     /* whose leases these are; NULL once that has ended */
	bool direct;		     /* until it is free: a holder may have a VFIO device of it */
	bool cools_down;	     /* RESTORING: the kernel has let go, and its devices rest */
	struct holder_record holder; /* whose they are or were last, for as long as the group is not free */
	TAILQ_HEAD(waiter_list, waiter)
	waiters; /* who wait for what becomes of it (state/waiter.h) (written by state/waiter.c) */
	sd_event_source *timer;
	uint64_t release_began_us;
	uint64_t probe_us;
};

/* The inventory of PCI devices; groups belong to it as well (group.h). Written by state/inventory.c. */
struct inventory {
	const struct host *host;
	struct device_list devices;
	LIST_HEAD(group_list, iommu_group) groups;
	unsigned int count; /* devices that are present */
};

/* ---- leases and keepers ---- */

/* The life of a lease. */
enum lease_state {
	LEASE_OFFERED,	 /* the keeper has been sent the device and has not answered */
	LEASE_HELD,	 /* the client has the device channel */
	LEASE_RELEASING, /* the keeper is letting go; the client may be gone */
};

/* Answers the OPEN of SESSION: with LEASE, or, if that is NULL, with RESULT and DETAIL as in a reply. */
typedef void (*lease_answer)(struct session *session, struct lease *lease, int result, const struct detail *detail);

/* Written by lease/lease.c. */
struct lease {
	LIST_ENTRY(lease) in_session;
	struct broker *broker;
	struct device *device;
	struct session *session; /* NULL once that has ended */
	struct user *user;
	enum lease_state state;
	int channel; /* owned: the client's end of the device channel, until it is handed over; then -1 */
	uint64_t since_us;
	const struct policy_rule *allowed_by; /* set by review.c alone; NULL: no rule of the policy in force */
	sd_event_source *term;		      /* ends it when its lease-time is over; NULL: there never was one */
	bool direct;			      /* its holder may have the VFIO device itself */
	uint64_t due_us;		      /* when its keeper takes it back, or began to; 0: not ordered */
	struct release_report report;	      /* what its keeper has said of letting go so far; taken 0: nothing */
	lease_answer answer;		      /* tells the client; NULL: the lease is of an earlier broker */
	uint64_t answered; /* cookie of the OPEN that an earlier broker answered with it; 0: it is this one's own */
	/* What the policy says of its end, and lets its holder map, and the rule that says so. */
	struct reset_policy reset;
	struct window_limits windows;
	uint32_t mappings; /* by one domain channel; or POLICY_UNSET */
	char rule[RULE_TEXT_SIZE];
};

/*
 * The broker's end of the channel to one vfio-keeper process. systemd starts the process when the broker
 * connects; HELLO is sent right away and answered when it runs. One spare keeper is kept so far, so that a lease does
 * not wait for a process start. When the channel closes, the keeper is freed.
 */
enum keeper_state {
	KEEPER_STARTING, /* HELLO sent, not answered */
	KEEPER_READY,
	KEEPER_QUERIED,	   /* of an earlier broker, and asked what it holds (takeover.h) */
	KEEPER_LETTING_GO, /* told to release everything: our sending side is shut down */
};

/* Written by lease/keeper.c. */
struct keeper {
	LIST_ENTRY(keeper) in_broker;
	struct broker *broker;
	int fd;
	enum keeper_state state;
	struct iommu_group *group; /* NULL: spare */
	struct lease *offered;	   /* whose LEASE is not answered yet */
	sd_event_source *io;
	sd_event_source *timeout;
	uint32_t pid, uid; /* as it says itself with its first lease; for people to read */
};

/* What lease/keeper.c calls upwards: the keeper has said something or ended; it has not answered in time. It may be gone afterwards. */
struct keeper_events {
	void (*readable)(struct keeper *keeper);
	void (*timed_out)(struct keeper *keeper);
};

/* ---- clients ---- */

/* Of a session that asked for CHANGE events (audit/watch.h). Written by audit/watch.c. */
struct watch {
	bool on;
	uint64_t missed; /* since the last event that it got */
};

/* A client's broker channel. Its end is the end of its leases. Written by request/session.c. */
struct session {
	LIST_ENTRY(session) in_broker;
	struct waiter *waits; /* its OPEN or REVOKE that waits for a group; NULL: none (written by state/waiter.c) */
	struct broker *broker;
	struct channel channel;
	struct fair_queue_place place; /* in the queue of its user */
	struct peer peer;
	struct user *user;
	uint64_t id;
	uint64_t since_us;
	uint64_t
		started; /* the same by CLOCK_BOOTTIME: with the number, what tells it from sessions of other brokers */
	bool failed;	 /* its socket is broken, and serve() ends it (request/session.c) */
	bool stored;	 /* systemd has been asked to keep its socket */
	bool found_asking; /* it is of an earlier broker, and a request was on its socket when this one took over */
	LIST_HEAD(session_leases, lease) leases; /* lease/lease.c */
	unsigned int leases_count;		 /* lease/lease.c */
	LIST_ENTRY(session) in_watchers;
	struct watch watch;		/* audit/watch.c */
	char opening[DEVICE_NAME_SIZE]; /* the device of the OPEN that is not answered (written by request/open.c) */
	uint64_t opening_cookie;	/* request/open.c */
	uint64_t opening_since_us;	/* request/open.c */
	uint64_t
		answered; /* cookie of the last OPEN whose device was released while there was no broker (written by lease/handover.c) */
};

/* ---- the whole ---- */

/* What is counted and limited (audit/audit.h). */
struct audit_limit;
/* Written by audit/audit.c. */
struct audit {
	struct journal journal;
	TAILQ_HEAD(audit_limits, audit_limit) limits; /* the one that ends first is first */
	unsigned int limits_count;
	uint64_t interval_us; /* AUDIT_INTERVAL_US; tests have less time */
	sd_event_source *timer;
	uint64_t counts[CHANGE_MAX]; /* events by kind, suppressed ones included */
	uint64_t denials[REFUSAL_MAX];
	uint64_t suppressed; /* that were summed up instead of being recorded one by one */
	uint64_t lost;	     /* entries that the journal did not take */
	uint64_t lost_untold;
};

/* Written by service/main.c. */
struct broker_options {
	const char *keeper_socket;
	const char *claims_directory;
	const char *quarantine_directory;
	unsigned int sessions_per_user;
	unsigned int leases_per_user;
	const struct stored *stored; /* sockets of an earlier broker, that are taken over */
	size_t stored_count;
	const char *journal; /* its socket; NULL: what is recorded goes to stderr */
};

/* Written by request/session.c. */
struct broker_counters {
	uint64_t requests, refusals, malformed;
	uint64_t opens; /* request/open.c */
};

/* Written by service/service.c. */
struct broker {
	const struct broker_options *options; /* borrowed */
	sd_event *event;		      /* borrowed */
	const struct host *host;
	const struct channel_service *requests;	   /* what clients may ask: request/requests.c has it */
	const struct keeper_events *keeper_events; /* what keepers say: lease/keeper_inbox.c has it */
	sd_event_source *listener;
	sd_event_source *stop_deadline;
	sd_event_source *turns; /* of a broker that stops */
	sd_event_source *idle;
	unsigned int sessions_max;
	uint64_t started_us;
	bool stopping;
	bool leaving; /* another broker goes on with all there is */

	/* The policy. Written by service/reload.c: */
	struct policy *policy;		  /* owned; NULL: the files had a mistake at start, nobody gets anything */
	struct policy_error policy_error; /* why what the files say is not in force; empty: it is */
	uint64_t policy_since_us;	  /* when the policy in force was read */

	/* Devices and their users. */
	struct inventory inventory;
	struct users users;

	/* Sessions. Written by request/session.c: */
	LIST_HEAD(session_list, session) sessions;
	unsigned int sessions_count, sessions_stored;
	uint64_t last_session;
	struct broker_counters counters;

	/* Those that watch. Written by audit/watch.c: */
	LIST_HEAD(watcher_list, session) watchers;
	uint64_t changes_missed;

	/* Keepers. Written by lease/keeper.c: */
	LIST_HEAD(keeper_list, keeper) keepers;
	unsigned int keepers_count;
	struct keeper *spare; /* one of keepers, or NULL */
	sd_event_source *spare_timer;

	unsigned int leases_count; /* lease/lease.c */
	struct audit audit;

	/* Last, because service_init() clears all that is before them. */
	struct channel_buffers buffers; /* for whoever reads a socket and answers right away */
	struct packet outgoing;		/* for requests to keepers */
	struct packet change;		/* for watchers, while others of these are in use */
};

#endif
