/* SPDX-License-Identifier: MIT */
#ifndef RESTART_H
#define RESTART_H

#include "harness.h"
#include "message.h"
#include "packet.h"
#include "raw_channel.h"
#include "unit.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* For tests of what outlives the broker: its end, the next one, and who has which device. */

static const struct world_options with_systemd = {.systemd = true};
#define RESTART_CASE(name) CASE_IN(name, &with_systemd)

static inline void kill_and_start(void)
{
	world_kill_broker();
	world_start_broker();
}

/* ---- requests ---- */

/* Stopped, it leaves on the sockets of fronts what comes; so a kill finds it there. */
static inline void stop_broker(int session)
{
	int status;

	raw_wait_taken(session);
	kill(world()->broker, SIGSTOP);
	/* It may be at work on the other processor for a moment yet. */
	assert_int_equal(waitpid(world()->broker, &status, WUNTRACED), world()->broker);
	assert_true(WIFSTOPPED(status));
}

/* The broker answers what comes from one front in the order of coming: so it has read what came before. HELLO alone
 * would be answered by the front. */
static inline void await_turn(void)
{
	struct vbroker_session *session = session_begin();

	expect_ok(vbroker_session_ping(session));
	vbroker_session_close(session);
}

static inline void raw_revoke(int session, uint64_t cookie, const char *name)
{
	struct revoke_request revoke = {0};

	snprintf(revoke.name, sizeof revoke.name, "%s", name);
	raw_request(session, BROKER_REVOKE, cookie, &revoke, sizeof revoke);
}

static inline void expect_revoked(int session, uint64_t cookie, enum revoke_result result, const char *words)
{
	static struct packet packet;
	const struct revoke_reply *reply;

	assert_int_equal(raw_receive(session, &packet), PACKET_RECEIVED);
	assert_int_equal(packet.header.type, BROKER_REVOKE);
	assert_int_equal(packet.header.cookie, cookie);
	assert_int_equal(packet.header.flags, MESSAGE_REPLY);
	reply = packet_body(&packet, sizeof *reply);
	assert_non_null(reply);
	if (reply->result != result || !strstr(reply->detail, words))
		fail_msg("%u, %s", reply->result, reply->detail);
	if (result == REVOKE_COMPLETE) {
		assert_int_equal(reply->holder.pid, getpid());
		assert_int_equal(reply->reported, 1);
		assert_true(reply->keeper_pid > 1);
	}
	packet_clear(&packet);
}

/* To those in PIDS; if there are none yet, to all, who are there from then on. */
static inline void signal_keepers(pid_t pids[KEEPERS_MAX], int number)
{
	if (pids[0] == 0)
		keepers(pids);
	for (size_t i = 0; i < KEEPERS_MAX && pids[i] > 0; i++)
		kill(pids[i], number);
}

#endif
