/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LIMITS_H
#define BROKER_LIMITS_H

/* Sessions one user may have: enough for any machine's jobs, few enough that one user cannot use up the broker's file
 * descriptors (LimitNOFILE=) alone. Changed by --sessions-per-user. */
#define SESSIONS_PER_USER 1024

/* Devices one user may hold at a time. A machine with more of them gives each job its own user anyway. Changed by
 * --leases-per-user. */
#define LEASES_PER_USER 256

/* Register windows of one lease at a time, where the rule does not say: a few for each of a device's queues and BARs. Each is a
 * file of the kernel's that its client holds. */
#define WINDOWS_PER_LEASE 64

/* File descriptors kept free for the broker's own work when sessions use them up: group nodes, sysfs files, keepers. */
#define FDS_RESERVED 128

/* Connections accepted before others get their turn: one costs as much as ten requests, because its unit is looked up. */
#define ACCEPTS_PER_WAKEUP 1

/* Connections of one user that have their own turns of the event loop. All further ones share one more, which costs each of their
 * requests another system call. */
#define FAIR_QUEUE_OWN_TURNS 1

/* A keeper that has not answered LEASE by then will not: systemd needs some 20 ms to start one on a quiet machine
 * and seconds on a machine that is just booting. */
#define KEEPER_ANSWER_US (15 * 1000000ULL)

/* The next spare keeper is started so long after a lease, and not at once: the start of a process, and of its unit in
 * systemd, would take the processor from the client that has just been given its device. */
#define KEEPER_SPARE_US (20 * 1000ULL)

/* How soon to try again after no keeper could be had, or the spare one died. */
#define KEEPER_RETRY_US (1 * 1000000ULL)

/* A keeper that ends lets go of its group a few milliseconds after its socket closes; the broker looks again after
 * the first of these, twice as long each time, up to the second. */
#define GROUP_PROBE_FIRST_US 2000ULL
#define GROUP_PROBE_LAST_US  1000000ULL

/* A group that is still held so long after its keeper was told to let go is quarantined: the kernel is stuck. */
#define GROUP_QUARANTINE_US (5 * 1000000ULL)

/* A device that the host pulls out leaves the machine a few milliseconds after its keeper has closed it; one that is there for
 * so long after that stays. */
#define LEAVING_US (1 * 1000000ULL)

/* An OPEN waits so long for a device that is just being released before it is refused. */
#define OPEN_WAIT_US (5 * 1000000ULL)

/* A device that anybody may have without a reset (reset = optional) rests so long after its release, where the rule does not
 * say: what it was told to do last, a copy or a descriptor, is done by then. */
#define SETTLE_US (1 * 1000000ULL)
/* A lease whose time is shorter would be over before its driver has looked at the device. */
#define LEASE_TIME_SHORTEST_US (1 * 1000000ULL)

/* The highest rate per minute that can be asked for: one in 60 us, below which a limit limits nothing. */
#define RATE_HIGHEST 1000000

/* Policy files are read when they have not changed for so long: a change comes in several steps. Never later than the
 * second after the first step, whatever still happens. */
#define RELOAD_QUIET_US	   (250 * 1000ULL)
#define RELOAD_PATIENCE_US (3 * 1000000ULL)

/* What the holder of a lease that the policy does not allow any more, or whose time is up, is given to finish in. */
#define REVIEW_DEADLINE_US (5 * 1000000ULL)

/* Without clients for so long, the broker gives back the memory that they needed: not at once, because scripts
 * come and go. */
#define IDLE_TRIM_US (2 * 1000000ULL)

/* Sockets in systemd's fd store (FileDescriptorStoreMax= of the unit): a keeper's for each group that can be leased (MaxConnections= of
 * vfio-keeper.socket), and of sessions, as many as their names have room for in the next broker's environment. Sessions
 * beyond that, or beyond a fair share of it for one user, work as well, and end with a restart. */
#define STORE_MAX		 3000
#define SESSIONS_STORED_MAX	 (STORE_MAX - 1024)
#define SESSIONS_STORED_PER_USER 512

/* Sockets of one user's sessions that are put there: somewhat more at once than that user may have there, and then ten a second. Each
 * is work for systemd, which is in the middle of everything: behind somebody who comes and goes as fast as he can, keepers would not
 * be started, and its store would be full of sockets that it has not yet seen the end of. */
#define STORES_PER_MINUTE 600

/* How long a stopping broker waits for keepers to let go, below TimeoutStopSec= of the unit. */
#define STOP_WAIT_US (20 * 1000000ULL)

/* What one user is refused, or binds and unbinds, is recorded one by one up to this number in that time: enough to read what
 * happened, too few to fill a disk. The rest is counted. */
#define AUDIT_BURST	  20
#define AUDIT_INTERVAL_US (10 * 1000000ULL)

/* Sessions of one user that get CHANGE events: each event is sent to each of them. */
#define WATCHERS_PER_USER 8

/* Users whose events are being counted like that; those beyond share one count. */
#define AUDIT_LIMITS_MAX 256

#endif
