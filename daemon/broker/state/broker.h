/* SPDX-License-Identifier: MIT */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include "audit/audit.h"
#include "channel.h"
#include "policy/policy.h"
#include "policy/policy_text.h"
#include "state/inventory.h"
#include "state/user.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

/*
 * Everything vfio-brokerd knows, in one place and one thread:
 *
 *	broker ── sessions ── leases ── device ── group ── keeper
 *
 * A session is a client's connection. A lease is a device that it has. All leases of one IOMMU group belong to one
 * session and are held by one keeper process.
 */

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

struct broker_counters {
	uint64_t requests, opens, refusals, releases, malformed;
};

struct broker {
	struct broker_options options;
	sd_event *event; /* borrowed */
	const struct host *host;
	struct policy *policy;		  /* owned; NULL: the files had a mistake at start, nobody gets anything */
	struct policy_error policy_error; /* why what the files say is not in force; empty: it is */
	uint64_t policy_since_us;	  /* when the policy in force was read */
	struct inventory inventory;
	struct users users;
	LIST_HEAD(session_list, session) sessions;
	LIST_HEAD(watcher_list, session) watchers;
	LIST_HEAD(keeper_list, keeper) keepers;
	LIST_HEAD(revoker_list, revoker) revokers;
	struct keeper *spare; /* one of keepers, or NULL */
	sd_event_source *spare_timer;
	sd_event_source *listener;
	sd_event_source *stop_deadline;
	sd_event_source *idle;
	unsigned int sessions_count, sessions_max, sessions_stored;
	unsigned int keepers_count;
	unsigned int leases_count;
	uint64_t last_session;
	uint64_t started_us;
	struct broker_counters counters;
	struct audit audit;
	uint64_t changes_missed;
	bool stopping;
	bool leaving; /* another broker goes on with all there is */
	/* Last, because broker_init() clears all that is before them. */
	struct channel_buffers buffers; /* for whoever reads a socket and answers right away */
	struct packet outgoing;		/* for requests to keepers */
	struct packet change;		/* for watchers, while others of these are in use */
};

/*
 * Reads inventory and policy, undoes the claims of an earlier run, and serves LISTENER (taken) from then on. POLICY is
 * taken; NULL with the reason in POLICY_ERROR denies everything. BROKER is cleared by broker_clear(), also on failure.
 */
int broker_init(struct broker *broker, sd_event *event, const struct host *host, const struct broker_options *options,
	struct policy *policy, const struct policy_error *policy_error, int listener);
void broker_clear(struct broker *broker);

/*
 * Ends the event loop and leaves everything as it is, for the next broker: the sockets are in systemd's fd store, the
 * keepers have the devices.
 */
void broker_leave(struct broker *broker);

/* Has every device let go and given back, then ends the event loop. */
void broker_stop(struct broker *broker);

/* To be told at the start, and when the last session has ended: memory is given back if there is none for a while. */
void broker_idle(struct broker *broker);

/* To be told when a keeper or a group is done, so that a stopping broker sees its end. */
void broker_settle(struct broker *broker);

#endif
