/* SPDX-License-Identifier: MIT */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include "base/journal.h"
#include "base/peer.h"
#include "channel.h"
#include "helper_message.h"
#include "host/host.h"
#include "message.h"
#include "policy/policy.h"
#include "policy/policy_stream.h"
#include "policy/policy_text.h"
#include "refusal.h"
#include "state/user.h"

#include <bsd/sys/tree.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

struct audit_limit;
struct claim;
struct front;
struct helper;
struct iommu_group;
struct keeper;
struct lease;
struct operation;
struct session;
struct stored;
struct waiter;

/*
 * Everything vfio-brokerd knows, in one place and one thread:
 *
 *	broker ── fronts ── sessions ── leases ── device ── group ── keeper
 *
 * A session is the connection of a client. A front process holds the connections of one owner: the broker has no
 * client's socket. A lease gives a device to a session. All leases of an IOMMU group belong to the same session, and a
 * single keeper process holds the devices of the group.
 */

/* ---- devices and groups ---- */

/*
 * A quarantine is kept for a device that nobody has confirmed to be reset since the last lease. Work that the last
 * holder started in the device may go on, into the memory of the next holder. Data that the last holder left in the
 * device may be read by the next holder. The whole IOMMU group is held back: DMA of any device of the group reaches
 * the domain of all the devices.
 *
 * A group that the keeper or the kernel does not let go is another matter, and a state of the group
 * (GROUP_QUARANTINED).
 *
 * Two rules of the policy decide against whom a quarantine stands. The rule of the last lease counts because its
 * holder may have left something in the device. The rule of the next lease counts because its holder would get the
 * DMA. Of the two rules, the stricter "reset" counts, and the longer "settle". So loosening a rule does not free a
 * device that was released under the stricter rule: UNQUARANTINE does (vfio-brokerctl unquarantine). (A lease that
 * goes on takes the new rule when the policy is read again.)
 *
 * A host driver is held off, too, unless the rule of the lease has reset = optional. A host driver would switch bus
 * mastering on for the last holder's unfinished work, with IOMMU mappings of the host or, in pass-through, none. The
 * device stays with vfio-pci, bus mastering off, and the claim stays on record.
 *
 * The record, a file per device, is written before the client has the device (QUARANTINE_IN_USE). When the end of the
 * lease is known, the record is replaced or removed. So a broker that follows a killed broker knows which devices
 * were in use. The record also keeps the quarantine prior to the lease, because that quarantine still stands if the
 * lease ends without a BIND. A device that leaves the machine takes the quarantine along: a slot or a link that goes
 * down has reset the device; "echo 1 >remove" has not, but is root's own doing.
 *
 * When the host asks for a device in use, the host has the device locked, so that no reset is possible. Nobody knows
 * yet whether the device leaves (hot-unplug) or stays (vfio-pci was unbound from the device). The device is held
 * back, but nothing is reported for LEAVING_US.
 */
enum quarantine_reason {
	QUARANTINE_IN_USE = 1,	 /* leased, now or when the broker was killed */
	QUARANTINE_NO_RESET,	 /* the device has no reset method */
	QUARANTINE_RESET_FAILED, /* error: the errno; 0: VFIO's own reset at open failed */
	QUARANTINE_UNREPORTED,	 /* the keeper died, and the kernel has no way to reset the device on close */
	QUARANTINE_UNRESPONSIVE, /* the configuration space reads all ones */
	QUARANTINE_LEAVING, /* not reset, because the host took the device away: may be about to leave the machine */
	QUARANTINE_DIRECT,  /* the holder had the VFIO device itself, and the kernel has no way to reset on close */
	QUARANTINE_REASONS,
};

/* Written by lease/quarantine.c. */
struct quarantine {
	enum quarantine_reason reason;
	int error;
	uint64_t since_us; /* as loop_now() */
	uint64_t due_us;   /* IN_USE: when an earlier broker has ordered the device back; 0: not ordered */
	struct holder_record holder;
	struct reset_policy reset; /* of the rule of the lease */
	char rule[RULE_TEXT_SIZE];
	bool direct; /* the holder may have had the VFIO device itself */
};

/* Whether a device whose group was closed answers. */
enum device_answer {
	ANSWER_UNKNOWN, /* not asked so far */
	ANSWER_ALIVE,
	ANSWER_NONE, /* the configuration space reads all ones */
};

/* A PCI device. The object exists while the host has the device, or a lease or a claim refers to the device. Written
 * by state/inventory.c. */
struct device {
	LIST_ENTRY(device) in_inventory; /* sorted by name */
	LIST_ENTRY(device) in_group;
	char name[DEVICE_NAME_SIZE];
	char physical[DEVICE_NAME_SIZE]; /* of a virtual function (SR-IOV): the physical function; else empty */
	/* What the kernel said of it last, for lists alone: whoever decides about the device looks again. */
	struct host_device seen;
	int reset_seen; /* enum reset_method, or a negative errno, as of the same moment */
	bool present;
	bool group_changed;	   /* came back in another group while a lease or a claim held the device here */
	struct iommu_group *group; /* NULL: no IOMMU */
	struct lease *lease;	   /* NULL: not leased (written by lease/lease.c) */
	struct claim *claim;	   /* owned; NULL: nothing to undo (written by lease/rebind.c) */
	/* A client had the device since the group was free last (written by lease/quarantine.c) */
	bool handed_out;
	enum device_answer answer; /* lease/quarantine.c */
	bool reset_tried;	   /* by a helper, since the group was closed (written by lease/quarantine.c) */
	int reset_error; /* negative errno of the try, or 0: the device was reset (written by lease/quarantine.c) */
	/* In a lease of the present holder that has ended, the device was perhaps not reset, and is when the group is
	 * free (written by lease/quarantine.c) */
	bool unreported;
	/* Owned: what stands against the device since the last lease; NULL: nothing (written by lease/quarantine.c) */
	struct quarantine *quarantine;
	/* Owned: what stood against it before the lease, if QUARANTINE_IN_USE (written by lease/quarantine.c) */
	struct quarantine *prior;
};
LIST_HEAD(device_list, device);

/*
 * The life of an IOMMU group:
 *
 *	FREE -> CLAIMING -> HELD -> RELEASING -> RESTORING -> FREE
 *	            \-> RESTORING       \------------\-> QUARANTINED -> RESTORING
 *	FREE -> QUERIED -> HELD, or RELEASING
 *
 * CLAIMING: helpers prepare the first device for a session. RELEASING: the keeper was told to let go, or ends by
 * itself. RESTORING: the keeper's socket is closed. As soon as the kernel lets go of the group too, and devices that
 * were not reset have cooled down, the devices go back to their host drivers. QUARANTINED: the keeper, a helper or
 * the kernel takes too long; the broker keeps trying, and nobody gets the group meanwhile. QUERIED: a keeper has the
 * group from an earlier broker, and was asked for the holder.
 *
 * In a group that is FREE, devices may be quarantined (struct quarantine). lease/README.md names the functions that
 * change the state.
 */
enum group_state {
	GROUP_FREE,
	GROUP_CLAIMING,
	GROUP_HELD,
	GROUP_RELEASING,
	GROUP_RESTORING,
	GROUP_QUARANTINED,
	GROUP_QUERIED,
};

/* What the kernel has said last of the group's node. */
enum node_state {
	NODE_UNKNOWN,
	NODE_FREE,
	NODE_BUSY, /* somebody has the group */
};

/* Written by lease/group.c. */
struct iommu_group {
	LIST_ENTRY(iommu_group) in_inventory;
	uint32_t number;	    /* state/inventory.c */
	struct device_list devices; /* state/inventory.c */
	enum group_state state;
	struct broker *broker;	 /* set by group_claim() and the other functions that leave FREE */
	struct keeper *keeper;	 /* has the group open; NULL: no keeper has */
	struct session *session; /* has the leases; NULL once the session has ended */
	bool direct;		 /* until the group is free: a holder may have a VFIO device of the group */
	enum node_state node;	 /* since the keeper has gone */
	bool going_back;	 /* an operation asks the kernel, and gives the devices back */
	unsigned int operations; /* that are for the group, and keep the object alive (written by helper/operation.c) */
	bool cools_down;	 /* RESTORING: the kernel has let go, and the devices cool down */
	struct holder_record holder; /* the present or last holder, for as long as the group is not free */
	uint32_t holder_process;     /* for peer_is_there(); 0: not known */
	uid_t holder_owner;	     /* whose uid the holder's is */
	/* Requests that wait for news of the group (state/waiter.h) (written by state/waiter.c) */
	TAILQ_HEAD(waiter_list, waiter) waiters;
	sd_event_source *timer;
	uint64_t release_began_us;
	uint64_t quieted_us; /* QUERIED: devices that were due by then are quiet */
	uint64_t ask_again_us;
	uint64_t home_again_us; /* FREE: how long devices that could not go back to their host drivers wait; 0: none */
};

/* The inventory of PCI devices and of their groups (state/inventory.h). Written by state/inventory.c. */
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

/* Answers the OPEN of SESSION: with LEASE, or, if LEASE is NULL, with RESULT and DETAIL as in a reply. */
typedef void (*lease_answer)(struct session *session, struct lease *lease, int result, const struct detail *detail);

/* A device that a session has. Written by lease/lease.c. */
struct lease {
	LIST_ENTRY(lease) in_session;
	struct broker *broker;
	struct device *device;
	struct session *session; /* NULL once the session has ended */
	struct user *user;
	enum lease_state state;
	int channel; /* owned: the client's end of the device channel, until handed over; then -1 */
	uint64_t since_us;
	/* NULL: no rule of the policy in force allows the lease. Set by lease/review.c alone, through lease_set_rule();
	 * lease/quota.c counts the leases of a rule by the field. */
	const struct policy_rule *allowed_by;
	sd_event_source *deadline;    /* has a helper make the device quiet (lease/revoke.c); NULL: not armed so far */
	sd_event_source *term;	      /* ends the lease when the lease-time is over; NULL: not armed so far */
	bool direct;		      /* the holder may have the VFIO device itself */
	uint64_t due_us;	      /* when the keeper takes the device back, or began to; 0: not ordered */
	bool ordered;		      /* the broker, or an earlier one, has ordered the device back */
	char order[REVOKE_TEXT_SIZE]; /* by whom and why; "" unless `ordered` */
	bool told;		      /* the audit trail has the end of the lease (lease/ending.h) */
	struct release_report report; /* the keeper's report of letting go so far; steps_done 0: nothing */
	lease_answer answer;	      /* tells the client; NULL: the lease is of an earlier broker */
	/* What the policy says of the end of the lease, and lets the holder map, and the rule that says so. */
	struct reset_policy reset;
	struct window_limits windows;
	uint32_t mappings; /* by a single domain channel; or POLICY_UNSET */
	char rule[RULE_TEXT_SIZE];
};

/*
 * The broker's end of the channel to a vfio-keeper process. systemd starts the process when the broker connects.
 * HELLO is sent right away and answered when the process runs. A single spare keeper is started in advance, so
 * that a lease does not wait for a process start. When the channel closes, the keeper is freed.
 */
enum keeper_state {
	KEEPER_STARTING, /* HELLO sent, not answered */
	KEEPER_READY,
	KEEPER_QUERIED,	   /* of an earlier broker, and asked for the leases (service/takeover.h) */
	KEEPER_LETTING_GO, /* told to release everything: our sending side is shut down */
};

/* Written by lease/keeper.c. */
struct keeper {
	LIST_ENTRY(keeper) in_broker;
	struct broker *broker;
	int fd;
	enum keeper_state state;
	struct iommu_group *group; /* NULL: spare */
	struct lease *offered;	   /* the lease whose LEASE request is not answered yet */
	bool lent;		   /* a helper has a copy of the channel, to send LEASE */
	/* QUERIED: the device of a LEASE that an earlier broker's helper may not have sent yet. "": none. */
	char awaited[DEVICE_NAME_SIZE];
	sd_event_source *io;
	sd_event_source *timeout;
	uint32_t pid, uid; /* as the keeper says with the first lease; for people to read */
};

/* Calls from lease/keeper.c upwards: the keeper has said something or ended; the keeper has not answered in time.
 * KEEPER may be gone afterwards. */
struct keeper_events {
	void (*readable)(struct keeper *keeper);
	void (*timed_out)(struct keeper *keeper);
};

/* ---- fronts ---- */

/*
 * The sessions of a front, as they outlive the broker: a file in memory (memfd) that the broker alone has and writes.
 * So the identity of a client is the broker's word after a restart, too. roll.c has the form of the file. Written by
 * front/roll.c.
 */
#define ROLL_CLASSES 20 /* sizes of records: front/roll.c */
struct roll {
	int fd;			     /* owned */
	uint32_t end;		     /* where the next new record begins, in blocks */
	uint32_t free[ROLL_CLASSES]; /* the first record of each size that can be used again; 0: none */
};

/*
 * The broker's end of a front. systemd starts the process when the broker connects: the connection is the life line,
 * and nothing but FRONT_HELLO travels there. FRONT_HELLO brings the front's end of the control socket. Spare fronts are
 * started in advance: a connection goes to a front before anything else happens, and does not wait for a process.
 *
 * A front serves one owner, and an owner has FRONTS_PER_OWNER fronts at most. A front that serves nobody turns
 * connections away (the door).
 */
enum front_state {
	FRONT_STARTING, /* HELLO sent, not answered */
	FRONT_READY,
	FRONT_QUERIED, /* of an earlier broker, and asked for the sessions */
	FRONT_ENDING,  /* the control socket is closed, and the sessions have ended; the process is still there */
};

enum front_role {
	FRONT_SPARE,
	FRONT_OWNED,
	FRONT_DOOR,
};

struct unsent;

/* Written by front/front.c. */
struct front {
	LIST_ENTRY(front) in_broker;
	struct broker *broker;
	uint64_t number; /* names the front in systemd's fd store */
	int life;	 /* owned: the life line */
	int control;	 /* owned; -1: closed */
	enum front_state state;
	enum front_role role;
	uid_t owner;	   /* of an OWNED front */
	uint32_t pid, uid; /* as the front says; for people to read */
	bool ordered;	   /* the broker has ended the front */
	struct roll roll;
	RB_HEAD(session_tree, session) sessions; /* by number */
	unsigned int sessions_count;
	STAILQ_HEAD(unsent_list, unsent) unsent; /* owned: packets without room in the control socket */
	uint64_t sent, acknowledged;		 /* packets sent, and how many of them the front has read for sure */
	uint64_t pinged;			 /* `sent` at the last PING; 0: no PING is unanswered */
	uint64_t hung_since_us;			 /* the front does not answer, or does not end; 0: it does */
	uint64_t waiting_since_us;		 /* since when an answer to PING, or the end, is awaited */
	sd_event_source *life_io;
	sd_event_source *io;
	sd_event_source *timer; /* STARTING: the answer to HELLO; ENDING: the end; else the next PING or its answer */
	sd_event_source *idle;	/* ends a front without sessions */
};

/* Calls from front/front.c upwards. FRONT may be gone afterwards only where that is said. */
struct front_events {
	/* A packet that is not the front's own business: a request, an event, or the reply to LOOK or QUERY. */
	void (*packet)(struct front *front, struct packet *packet);
	/* The control socket has closed: the sessions of the front have ended. */
	void (*ended)(struct front *front);
	/* The control socket has room again. */
	void (*writable)(struct front *front);
	/* The front has not answered in time. */
	void (*hung)(struct front *front);
	/* There is a spare front, or there is none: connections can be accepted, or not. */
	void (*spare)(struct broker *broker, bool ready);
};

/* ---- helpers ---- */

/*
 * What may wait for others (a driver, a device, the node of a group) is done by processes of vfio-helper, one order
 * at a time. systemd starts the process when the broker connects. An idle helper is used again, and one is kept in
 * reserve. A helper that hangs is never signalled: the broker waits until the helper answers or ends, looks anew, and
 * goes on from what is there.
 */
enum helper_state {
	HELPER_STARTING, /* HELLO sent, not answered */
	HELPER_READY,
};

/* Written by helper/helper.c. */
struct helper {
	LIST_ENTRY(helper) in_broker;
	struct broker *broker;
	int fd;
	int note;	     /* memfd with the order, for the next broker; negative: there is none */
	unsigned int number; /* in the names of systemd's fd store */
	enum helper_state state;
	struct operation *operation; /* has the helper to itself; NULL: idle */
	bool adopted;		     /* the order of OPERATION is an earlier broker's */
	sd_event_source *io;
	uint32_t pid; /* as the helper says; for people to read */
};

/* Calls from helper/helper.c upwards. OPERATION may be gone afterwards. */
struct helper_events {
	/* The helper of OPERATION has answered HELLO. */
	void (*started)(struct operation *operation);
	void (*answered)(struct operation *operation, const struct helper_reply *reply);
	/* The helper of OPERATION has ended. */
	void (*lost)(struct operation *operation);
};

/* The owner's part of an operation. Each function may end the operation. */
struct operation_kind {
	/* No other operation is in the way, and a helper is there: gives the first order. */
	void (*begin)(struct operation *operation);
	/* REPLY to the order. NULL: the helper has ended, and nobody knows how far the order has come. */
	void (*answered)(struct operation *operation, const struct helper_reply *reply);
	/* The operation has waited for its begin, or for the answer to an order, for GROUP_QUARANTINE_US. */
	void (*late)(struct operation *operation);
};

/*
 * Orders to a helper, one after the other, that belong together. An operation waits until no earlier operation is for
 * the same set: devices of an IOMMU group, and a physical function with its virtual functions. The first member of
 * the owner's struct. Written by helper/operation.c.
 */
struct operation {
	TAILQ_ENTRY(operation) in_broker;
	struct broker *broker;
	const struct operation_kind *kind;
	struct iommu_group *group; /* NULL: the device has none */
	char device[DEVICE_NAME_SIZE];
	uid_t uid;   /* who has caused the operation */
	bool urgent; /* a device is on its way back: may use the last place */
	bool first;  /* before all others, and waits for none of them */
	bool begun;
	bool late;		       /* late() was called for the order in work */
	uint16_t order;		       /* enum helper_type of the order in work; 0: none */
	uint32_t flags;		       /* of the order, as in struct helper_order */
	char driver[DEVICE_NAME_SIZE]; /* of the order */
	uint64_t since_us;	       /* beginning of the order, or of the wait for the begin */
	struct helper *helper;	       /* NULL: not begun, or the helper has ended */
	sd_event_source *timer;
};

/* ---- clients ---- */

/* The subscription of a session that asked for CHANGE events (audit/watch.h). Written by audit/watch.c. */
struct watch {
	bool on;
	uint32_t missed; /* since the last event that the session got */
};

/* An OPEN. Written by request/open.c. */
struct opening {
	char device[DEVICE_NAME_SIZE];
	uint64_t since_us;
	uint64_t waits_from_us; /* patience with a release (OPEN_WAIT_US) counts from here */
	bool lost_keeper;	/* a keeper ended before it had the device; the OPEN is tried a second time */
};

/* A client's broker channel, which a front has. When a session ends, all its leases end. Written by
 * request/session.c. */
struct session {
	RB_ENTRY(session) in_front; /* front/front.c */
	struct waiter *waits; /* an OPEN or REVOKE that waits for a group; NULL: none (written by state/waiter.c) */
	struct broker *broker;
	struct front *front; /* written by front/front.c */
	struct peer peer;
	struct user *user; /* the owner of the peer's uid */
	uint64_t id;
	uint64_t since_us;
	/* since_us by CLOCK_BOOTTIME: with the number, tells the session from sessions of other brokers */
	uint64_t started;
	uint64_t arrived_us; /* of the request in work: when the broker, or the front of an earlier broker, got it */
	uint64_t requests;
	uint32_t record;      /* its place in the roll of the front (written by front/roll.c) */
	uint8_t record_class; /* front/roll.c */
	bool deferred : 1;    /* a handler answers later */
	bool repeated : 1;    /* the next request was sent to an earlier broker, and arrived at `arrived_us` */
	bool unconfirmed : 1; /* of an earlier broker, and not named by the front so far */
	bool looked_at : 1;   /* LOOK is not answered */
	uint16_t asked;	      /* the type of the request in work */
	bool looked; /* the OPEN in work has had the holder of the device looked at (written by request/open.c) */
	unsigned int leases_count;		 /* lease/lease.c */
	LIST_HEAD(session_leases, lease) leases; /* lease/lease.c */
	LIST_ENTRY(session) in_watchers;
	struct watch watch; /* audit/watch.c */
	/* The last OPEN; owned; NULL: the session has asked for none so far (written by request/open.c) */
	struct opening *opening;
};
static_assert(sizeof(struct session) <= 200, "10,000 connections are to cost little");

/* ---- the reader of the policy ---- */

/* The broker's end of a process that reads the policy files. Written by service/policy_reader.c. */
struct policy_reader {
	LIST_ENTRY(policy_reader) in_broker;
	struct broker *broker;
	sd_event_source *io; /* owns the connection */
	uint64_t since_us;
	bool hangs;
	bool is_superseded;	     /* another reader has begun since: the result is not wanted any more */
	struct policy_stream stream; /* policy/policy_stream.c */
	/* A call upwards, to service/reload.c */
	void (*ended)(void *context, struct policy_reader *reader);
	void *context;
};

/* ---- the whole ---- */

/* Events that are counted and limited (audit/audit.h). */
struct audit_limit;
/* Written by audit/audit.c. */
struct audit {
	struct journal journal;
	TAILQ_HEAD(audit_limits, audit_limit) limits; /* sorted: the limit that ends first is first */
	unsigned int limits_count;
	uint64_t interval_us; /* AUDIT_INTERVAL_US; tests have less time */
	sd_event_source *timer;
	uint64_t counts[CHANGE_MAX]; /* events by kind, suppressed ones included */
	uint64_t denials[REFUSAL_MAX];
	uint64_t suppressed; /* events summed up instead of being recorded singly */
	uint64_t lost;	     /* entries that the journal did not take */
	uint64_t lost_untold;
};

/* Written by service/main.c. */
struct broker_options {
	const char *keeper_socket;
	const char *front_socket;
	const char *helper_socket;
	const char *inspector_socket; /* NULL: there is none */
	const char *policy_socket;
	const char *claims_directory;
	const char *quarantine_directory;
	unsigned int sessions_per_user;
	unsigned int leases_per_user;
	const struct stored *stored; /* sockets of an earlier broker, to be taken over */
	size_t stored_count;
	const char *journal; /* the socket of the journal; NULL: records go to stderr */
	bool pass_rights;    /* leaves it to clients to attach descriptors (SO_PASSRIGHTS); for tests */
};

/* Written by request/session.c. */
struct broker_counters {
	uint64_t requests, refusals, malformed;
	uint64_t opens; /* request/open.c */
};

/* A connection that no front has taken so far. Written by service/connections.c. */
struct unplaced {
	int fd;	  /* never closed here (service/connections.h) */
	bool old; /* of a broker before fronts: the connection is to end */
};

/* Written by service/service.c. */
struct broker {
	const struct broker_options *options; /* borrowed */
	sd_event *event;		      /* borrowed */
	const struct host *host;
	const struct channel_service *requests;	   /* the requests of clients: the table of request/requests.c */
	const struct keeper_events *keeper_events; /* the messages of keepers: the functions of lease/keeper_inbox.c */
	const struct helper_events *helper_events; /* the answers of helpers: the functions of helper/operation.c */
	const struct front_events *front_events;   /* the messages of fronts: the functions of request/front_inbox.c */
	sd_event_source *stop_deadline;
	sd_event_source *turns; /* after each turn of the loop, while the broker stops */
	sd_event_source *idle;
	uint64_t started_us;
	bool stopping;
	bool leaving; /* another broker goes on with all sessions and leases */

	/* The policy. Written by service/reload.c: */
	struct policy *policy;		  /* owned; NULL: the files had a mistake at start, nobody gets anything */
	struct policy_error policy_error; /* why the files are not in force; empty: the files are in force */
	bool policy_unread;		  /* policy_error is not about a mistake: the files could not be read */
	uint64_t policy_since_us;	  /* when the policy in force was read */
	bool policy_awaited;		  /* a read is under way, and requests that need the policy wait */
	/* The newest first (written by service/policy_reader.c): */
	LIST_HEAD(policy_reader_list, policy_reader) policy_readers;
	struct waiter_list held; /* requests that wait for the policy (written by state/waiter.c) */

	/* Devices and their users. */
	struct inventory inventory;
	struct users users;

	/* Fronts. Written by front/front.c: */
	LIST_HEAD(front_list, front) fronts;
	unsigned int fronts_count;
	uint64_t last_front;
	struct front *front_door; /* an element of fronts, or NULL */
	sd_event_source *front_timer;

	/* Connections. Written by service/connections.c: */
	sd_event_source *listener;
	struct unplaced *unplaced; /* owned */
	size_t unplaced_count;
	sd_event_source *unplaced_timer;

	/* Sessions. Written by request/session.c: */
	unsigned int sessions_count;
	uint64_t last_session;
	struct broker_counters counters;

	/* Sessions that watch. Written by audit/watch.c: */
	LIST_HEAD(watcher_list, session) watchers;
	uint64_t changes_missed;

	/* Keepers. Written by lease/keeper.c: */
	LIST_HEAD(keeper_list, keeper) keepers;
	unsigned int keepers_count;
	struct keeper *spare; /* an element of keepers, or NULL */
	sd_event_source *spare_timer;

	/* Helpers. Written by helper/helper.c: */
	LIST_HEAD(helper_list, helper) helpers;
	unsigned int helpers_count;
	unsigned int last_helper;
	sd_event_source *helper_timer;

	/* In the order of their arrival. Written by helper/operation.c: */
	TAILQ_HEAD(operation_list, operation) operations;
	sd_event_source *operations_timer, *operations_turn;

	unsigned int leases_count; /* lease/lease.c */
	struct audit audit;

	/* Last, because service_init() clears all the fields before the packets. */
	struct channel_buffers buffers; /* for a reader of a socket that answers right away */
	struct packet outgoing;		/* for requests to keepers and helpers */
	struct packet change;		/* for watchers, while the other packets are in use */
};

#endif
