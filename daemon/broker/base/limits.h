/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LIMITS_H
#define BROKER_LIMITS_H

/* Sessions one user may have: enough for any machine's jobs, few enough that one user cannot use up the broker's
 * memory, or the file descriptors of a front (LimitNOFILE=). Changed by --sessions-per-user. */
#define SESSIONS_PER_USER 1024

/* Devices one user may hold at a time. A machine with more devices gives each job its own user anyway. Changed by
 * --leases-per-user. */
#define LEASES_PER_USER 256

/* Register windows of one lease at a time, where the rule does not say: a few for each of a device's queues and BARs.
 * Each window is a file of the kernel's, held by the client. */
#define WINDOWS_PER_LEASE 64

/* Connections accepted before others get their turn: one connection costs as much as ten requests, because the unit of
 * the client is looked up. */
#define ACCEPTS_PER_WAKEUP 1

/* Fronts (MaxConnections= of vfio-front.socket), the spare and those that hang included. Of these, places for root:
 * root must be able to look into what all others have done. */
#define FRONTS_MAX	512
#define FRONTS_FOR_ROOT 8

/* Fronts of one owner: if one hangs, the next connections of its owner have another. An owner whose clients hang fronts
 * on purpose has no more than these. */
#define FRONTS_PER_OWNER 2

/* As for keepers: a spare front that does not answer HELLO by then will not answer, and how soon to try again. */
#define FRONT_ANSWER_US (15 * 1000000ULL)
#define FRONT_RETRY_US	(1 * 1000000ULL)

/* So long after the last session of its owner a front ends: commands in a script use one front. */
#define FRONT_IDLE_US (10 * 1000000ULL)

/* While a front has packets of which the broker does not know whether the front has read them, the broker asks so often
 * (FRONT_PING). A front that does not answer, or does not end when it should, for FRONT_HUNG_US is said to hang. */
#define FRONT_PING_US (250 * 1000ULL)
#define FRONT_HUNG_US (1 * 1000000ULL)

/* When no front can take a connection, the broker accepts none for so long. */
#define FRONT_FULL_US (50 * 1000ULL)

/* A keeper without an answer to LEASE by then will not answer: systemd needs some 20 ms to start a keeper on a quiet
 * machine and seconds on a machine that is just booting. */
#define KEEPER_ANSWER_US (15 * 1000000ULL)

/* The next spare keeper is started so long after a lease, and not at once: the start of a process, and of its unit in
 * systemd, would take the processor from the client that has just been given its device. */
#define KEEPER_SPARE_US (20 * 1000ULL)

/* How soon to try again after no keeper could be had, or the spare keeper died. */
#define KEEPER_RETRY_US (1 * 1000000ULL)

/* A keeper that ends lets go of the group a few milliseconds after the socket closes. The broker asks the kernel again
 * after GROUP_ASK_FIRST_US, then after twice as long each time, up to GROUP_ASK_LAST_US. */
#define GROUP_ASK_FIRST_US 2000ULL
#define GROUP_ASK_LAST_US  1000000ULL

/* A group still held so long after the keeper was told to let go is quarantined: the kernel is stuck. */
#define GROUP_QUARANTINE_US (5 * 1000000ULL)

/* A device that the host pulls out leaves the machine a few milliseconds after the keeper has closed the device. A
 * device still present so long after the close stays. */
#define LEAVING_US (1 * 1000000ULL)

/* An OPEN waits so long for a device that is just being released, and is then refused. */
#define OPEN_WAIT_US (5 * 1000000ULL)

/* The cooldown after the release of a device that anybody may have without a reset (reset = optional), where the
 * rule does not say: the device's last order, a copy or a descriptor, is done by then. */
#define SETTLE_US (1 * 1000000ULL)
/* A lease with a shorter time would be over before the driver has looked at the device. */
#define LEASE_TIME_SHORTEST_US (1 * 1000000ULL)

/* The highest rate per minute in a policy: one in 60 us. A higher rate would limit nothing. */
#define RATE_HIGHEST 1000000

/* Policy files are read when no file has changed for RELOAD_QUIET_US: a change comes in several steps.
 * RELOAD_PATIENCE_US after the first step the files are read in any case, whatever still happens. */
#define RELOAD_QUIET_US	   (250 * 1000ULL)
#define RELOAD_PATIENCE_US (3 * 1000000ULL)

/* Time to finish for the holder of a lease that the policy does not allow any more, or whose time is up. */
#define REVIEW_DEADLINE_US (5 * 1000000ULL)

/* Without clients for so long, the broker gives back the memory that clients needed: not at once, because scripts
 * come and go. */
#define IDLE_TRIM_US (2 * 1000000ULL)

/* Descriptors in systemd's fd store (FileDescriptorStoreMax= of the unit): a keeper's for each group that can be leased
 * (MaxConnections= of vfio-keeper.socket), three of each front, two of each helper. */
#define STORE_MAX 3000

/* How long a stopping broker waits for keepers to let go, below TimeoutStopSec= of the unit. */
#define STOP_WAIT_US (20 * 1000000ULL)

/* Refusals, binds and unbinds of one user are recorded one by one, up to AUDIT_BURST in AUDIT_INTERVAL_US: enough to
 * read what happened, too few to fill a disk. The rest is counted. */
#define AUDIT_BURST	  20
#define AUDIT_INTERVAL_US (10 * 1000000ULL)

/* Sessions of one user that get CHANGE events: each event is sent to each session. */
#define WATCHERS_PER_USER 8

/* Users with such a count of events; further users share a single count. */
#define AUDIT_LIMITS_MAX 256

#endif
