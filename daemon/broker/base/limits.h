/* SPDX-License-Identifier: MIT */
#ifndef BROKER_LIMITS_H
#define BROKER_LIMITS_H

#include <assert.h>

/* Sessions one user may have: enough for any machine's jobs, few enough that one user cannot use up the broker's
 * memory, or the file descriptors of a front (LimitNOFILE=). Changed by --sessions-per-user. */
#define SESSIONS_PER_USER 1024

/* Devices one user may hold at a time. A machine with more devices gives each job its own user anyway. Changed by
 * --leases-per-user. */
#define LEASES_PER_USER 256

/* Leases one user may begin in a minute, and as many at once after a quiet minute: twice as many devices as a user may
 * have. A lease costs the start of a process, and orders to the device. Changed by opens-per-minute in a [limits]. */
#define OPENS_PER_MINUTE 600

/* Register windows of one lease at a time, where the rule does not say: a few for each of a device's queues and BARs.
 * Each window is a file of the kernel's, held by the client. */
#define WINDOWS_PER_LEASE 64

/* Connections accepted before others get their turn: one connection costs as much as ten requests, because the unit of
 * the client is looked up. */
#define ACCEPTS_PER_WAKEUP 1

/* Fronts (MaxConnections= of vfio-front.socket), the spare and the hung included. Of these, places for root: root must
 * be able to look into what all others have done; and places for owners with leases: however many others come, those
 * can go on. */
#define FRONTS_MAX	   512
#define FRONTS_FOR_ROOT	   8
#define FRONTS_FOR_HOLDERS 64

/* Fronts of one owner: if one hangs, the next connections of its owner have another. An owner whose clients hang fronts
 * on purpose has no more than these. */
#define FRONTS_PER_OWNER 2

/* Fronts in reserve. Without one in reserve nobody is accepted, whoever it is; and a front takes as long to start as
 * nobody should wait. So while another starts for the next new owner, there is one left. */
#define FRONTS_SPARE 2

/* A spare front that does not answer HELLO by then will not answer: systemd gives up a unit that starts after as long.
 * Giving up sooner would start the next front beside a front that is merely slow, which makes both slower. */
#define FRONT_ANSWER_US (90 * 1000000ULL)
/* How soon to try again. */
#define FRONT_RETRY_US (1 * 1000000ULL)

/* So long after the last session of its owner a front ends: commands in a script use one front. */
#define FRONT_IDLE_US (10 * 1000000ULL)

/* While a front has packets of which the broker does not know whether the front has read them, the broker asks so often
 * (FRONT_PING). A front that does not answer, or does not end when it should, for FRONT_HUNG_US is said to hang. */
#define FRONT_PING_US (250 * 1000ULL)
#define FRONT_HUNG_US (1 * 1000000ULL)

/* When no front can take a connection, the broker accepts none for so long. */
#define FRONT_FULL_US (50 * 1000ULL)

/* A keeper that runs, and has not answered LEASE or QUERY by then, will not answer. */
#define KEEPER_ANSWER_US (15 * 1000000ULL)

/* A keeper that has not started by then will not start. systemd needs some 20 ms on a quiet machine; 19 s were seen on
 * a machine that was busy with much else. Giving up sooner would start the next keeper beside one that is merely slow,
 * which makes both slower. */
#define KEEPER_START_US (60 * 1000000ULL)

/* The next spare keeper is started so long after a lease, and not at once: the start of a process, and of its unit in
 * systemd, would take the processor from the client that has just been given its device. */
#define KEEPER_SPARE_US (20 * 1000ULL)

/* How soon to try again after no keeper could be had, or the spare keeper died. */
#define KEEPER_RETRY_US (1 * 1000000ULL)

/* Helpers in all: MaxConnections= of vfio-helper.socket. However many hang, there is a place for each of so many
 * devices that a revocation makes quiet; and before these places, the last one is for devices on their way back. */
#define HELPERS_MAX	 64
#define HELPERS_QUIETING 8

/* Helpers that are started for operations that wait. Helpers that hang do not count: more at a time would be slower,
 * because drivers come and go one by one in the kernel. */
#define HELPERS_AT_WORK 4

/* Helpers that are kept when no operation wants them: a start takes longer than most operations. */
#define HELPERS_IDLE 2

/* Helpers that hang by the OPENs of one user: a further OPEN is refused. */
#define HELPERS_PER_USER 4

/* A helper that has not answered by then is named to all who ask. Most orders take milliseconds; a driver with much
 * hardware to stop takes longer. After GROUP_QUARANTINE_US the group is quarantined. */
#define HELPER_NAMED_US (1 * 1000000ULL)

/* The next spare helper is started so long after the last one got an operation: see KEEPER_SPARE_US. */
#define HELPER_SPARE_US (20 * 1000ULL)

/* An order whose helper has not started by then is late, as if the helper hung: as long as for a keeper. */
#define HELPER_START_US (60 * 1000000ULL)

/* An inspection begins with the start of a process, and has so much more time than other orders before its helper is
 * named, or late. */
#define INSPECTOR_START_US (15 * 1000000ULL)

/* How soon to try again after no helper could be had. */
#define HELPER_RETRY_US (1 * 1000000ULL)

/* A keeper that ends lets go of the group a few milliseconds after the socket closes. The broker asks the kernel again
 * after GROUP_ASK_FIRST_US, then after twice as long each time, up to GROUP_ASK_LAST_US. */
#define GROUP_ASK_FIRST_US 2000ULL
#define GROUP_ASK_LAST_US  1000000ULL

/* A device whose host driver is gone, or refuses the device, tries again after HOME_FIRST_US, then after twice as long
 * each time, up to HOME_LAST_US: each try may be a line in the kernel's log. */
#define HOME_FIRST_US 1000000ULL
#define HOME_LAST_US  (60 * 1000000ULL)

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

/* A read of the policy files takes some 300 ms, most of it the start of a process. Requests that need the policy wait
 * so long for the read, and are then answered by the policy in force. */
#define POLICY_READ_US (2 * 1000000ULL)

/* After the start, while there is no policy of before, the first policy is waited for until systemd ends its reader
 * (RuntimeMaxSec=30): a machine that boots, or starts the service again and again, is slow. */
#define POLICY_START_US (35 * 1000000ULL)

/* Readers of the policy files at a time: one that hangs, and one that reads meanwhile. */
#define POLICY_READERS_MAX 2

/* A reader that hangs for so long is not waited for any more if another reader is needed. */
#define POLICY_GIVE_UP_US (10 * 1000000ULL)

/* How soon the policy files are read again after their reader could not be started, or died. */
#define POLICY_RETRY_US (5 * 1000000ULL)

/* A line of a policy file, without the indentation; a comment may be longer. A line is copied on the stack, and a list
 * of words goes on in the next line of the same key. */
#define POLICY_LINE_MAX 4096

/* A rule has a few hundred bytes, so this is room for fifty thousand rules; each OPEN asks all rules. */
#define POLICY_BYTES_MAX (16U << 20)
#define POLICY_TOO_LONG	 "the policy files have too many rules, more than 16 MiB"

/* Time to finish for the holder of a lease that the policy does not allow any more, or whose time is up. */
#define REVIEW_DEADLINE_US (5 * 1000000ULL)

/* Without clients for so long, the broker gives back the memory that clients needed: not at once, because scripts
 * come and go. */
#define IDLE_TRIM_US (2 * 1000000ULL)

/* MaxConnections= of vfio-keeper.socket: a keeper for each group that can be leased, and the spare one. */
#define KEEPERS_MAX 1024

/* Descriptors in systemd's fd store (FileDescriptorStoreMax= of the unit): one of each keeper, three of each front, two
 * of each helper. */
#define STORE_MAX 3000
static_assert(KEEPERS_MAX + 3 * FRONTS_MAX + 2 * HELPERS_MAX <= STORE_MAX, "the store has room for all");

/* Messages to PID 1 that wait for room, as many as the store has places. */
#define NOTIFY_KEPT_MAX STORE_MAX

/* How soon to try again after PID 1 had no room for a message. PID 1 reads a full socket in a few milliseconds, unless
 * PID 1 is stopped. */
#define NOTIFY_RETRY_US (50 * 1000ULL)

/* How long a stopping broker waits for keepers to let go, below TimeoutStopSec= of the unit. */
#define STOP_WAIT_US (20 * 1000000ULL)

/* Refusals, binds and unbinds of one user are recorded one by one, up to AUDIT_BURST in AUDIT_INTERVAL_US: enough to
 * read what happened, too few to fill a disk. The rest is counted. Leases and their ends are worth more: a program that
 * takes a hundred devices at once is in the journal with each; and watchers are told of each. */
#define AUDIT_BURST	   20
#define AUDIT_BURST_LEASES 100
#define AUDIT_INTERVAL_US  (10 * 1000000ULL)

/* Sessions of one user that get CHANGE events: each event is sent to each session. */
#define WATCHERS_PER_USER 8

/* Users with such a count of events; further users share a single count. */
#define AUDIT_LIMITS_MAX 256

#endif
