/* SPDX-License-Identifier: MIT */
#include "harness.h"
#include "message.h"
#include "raw_channel.h"
#include "restart.h"
#include "stuck_fd.h"
#include "systemd.h"
#include "unit.h"
#include "vfio-broker.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/*
 * Clients whose descriptors would have their closer wait, fronts that hang and fronts that end: other users, the broker
 * and the next broker notice nothing.
 */

/* The kernel lets descriptors through, as before 6.16. */
static const struct world_options stuck_world = {.systemd = true, .broker_arguments = {"--pass-rights"}};

/* ---- another user, who is served throughout ---- */

#define OTHER_USER 4242

/* A process of another user, which connects and asks. Returns how long that took, in ms. */
static unsigned int other_user_is_served(void)
{
	uint64_t began = now_ms();
	int status;
	pid_t pid;

	chmod(world()->directory, 0711);
	chmod(world()->broker_socket, 0666);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct vbroker_session *session;

		_exit(setgid(OTHER_USER) < 0 || setuid(OTHER_USER) < 0 ||
			vbroker_session_open(world()->broker_socket, &session) != 0 ||
			vbroker_session_ping(session) != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return (unsigned int)(now_ms() - began);
}

static void expect_others_served(void)
{
	unsigned int took = other_user_is_served();

	if (took > LINGER_S * 1000 / 2)
		fail_msg("another user waited for %u ms", took);
}

/* ---- descriptors that would have their closer wait ---- */

/* Our own copies, which have to be gone before the others are, or theirs would not be the last. */
static int peers[8];
static size_t peers_count;

/* Sends a packet with a stuck descriptor that nobody else has. */
static void send_stuck(int channel)
{
	const struct message_header ping = {COMMON_PING, 0, 0, 3};
	int fd = stuck_fd(&peers[peers_count++]);

	raw_send(channel, &ping, sizeof ping, &fd, 1);
	/* The packet has the last reference: close() here would wait only if the packet were gone. */
	close(fd);
}

/* The other ends go, and with them all that is to be waited for. */
static void let_go(void)
{
	while (peers_count > 0)
		close(peers[--peers_count]);
}

static void connection_of_nobody(void)
{
	send_stuck(raw_connect(world()->broker_socket));
}

static int greeted(void)
{
	int channel = raw_connect(world()->broker_socket);

	raw_hello(channel);
	return channel;
}

/* One after the other, in each state that a session can be in. */
static void nobody_waits_for_a_descriptor(void **state)
{
	struct open_request open = {.name = NVME};
	struct vbroker_session *holder = session_begin();
	struct vbroker_device *device = device_begin(holder, NVME);
	int session, waiting;
	pid_t pids[KEEPERS_MAX] = {0};

	(void)state;
	connection_of_nobody(); /* before HELLO */
	expect_others_served();
	session = greeted(); /* served */
	send_stuck(session);
	expect_others_served();
	close(session);
	session = greeted(); /* one that reads no replies */
	for (int i = 0; i < 2000; i++) {
		const struct listing_request page = {0};
		struct {
			struct message_header header;
			struct listing_request page;
		} list = {{BROKER_LIST, 0, sizeof page, 9}, page};

		if (raw_try_send(session, MSG_DONTWAIT, &list, sizeof list, NULL, 0) < 0)
			break;
	}
	close(session);
	expect_others_served();
	waiting = greeted(); /* one that waits in OPEN: the keeper does not let go */
	signal_keepers(pids, SIGSTOP);
	vbroker_session_close(holder);
	raw_request(waiting, BROKER_OPEN, 4, &open, sizeof open);
	send_stuck(waiting);
	expect_others_served();
	close(waiting);
	expect_others_served();
	signal_keepers(pids, SIGCONT);
	let_go();
	vbroker_device_close(device);
	world_settle();
}

/* The same, queued when the broker is killed, before anybody has read it; the next broker answers. */
static void the_next_broker_does_not_wait(void **state)
{
	int session = greeted(), fresh;

	(void)state;
	for (int i = 0; i < 3; i++) {
		stop_broker(session);
		fresh = raw_connect(world()->broker_socket); /* not accepted */
		send_stuck(fresh);
		kill_and_start();
		expect_others_served();
		close(fresh);
	}
	send_stuck(session);
	kill_and_start();
	expect_others_served();
	close(session);
	let_go();
	world_settle();
}

/* A broker before fronts has stored sessions, one of which has such a descriptor in its queue. Neither the broker nor
 * systemd may have the last copy: a front that is nobody's gets them, and ends what it can. */
static void sessions_of_an_older_broker_are_ended(void **state)
{
	uint64_t began;
	int ends[3][2];

	(void)state;
	world_kill_broker();
	for (size_t i = 0; i < 3; i++) {
		char name[32];

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends[i]), 0);
		if (i == 1)
			send_stuck(ends[i][0]);
		snprintf(name, sizeof name, "session-%zx-1f", i + 1);
		systemd_keep(name, ends[i][1]);
	}
	assert_int_equal(systemd_kept("session-"), 3);
	world_start_broker();
	expect_others_served();
	for (size_t i = 0; i < 3; i++) {
		raw_expect_end(ends[i][0]);
		close(ends[i][0]);
	}
	/* The last copy of the descriptor is the front's: with the store's copy nobody waits. */
	began = now_ms();
	systemd_drop();
	assert_true(now_ms() - began < LINGER_S * 1000 / 2);
	expect_others_served();
	let_go();
}

/* Too many connections of one user: the refused one has such a descriptor. */
static const struct world_options few_sessions = {
	.systemd = true, .broker_arguments = {"--pass-rights", "--sessions-per-user", "2"}};

static void a_refused_client_does_not_matter(void **state)
{
	int a = greeted(), b = greeted(), refused = raw_connect(world()->broker_socket);
	const struct message_header ping = {COMMON_PING, 0, 0, 3};
	int fd = stuck_fd(&peers[peers_count++]);

	(void)state;
	/* It may have been turned away already. */
	(void)raw_try_send(refused, 0, &ping, sizeof ping, &fd, 1);
	expect_others_served();
	let_go();
	close(fd);
	close(refused);
	close(a);
	close(b);
	expect_others_served();
}

/* ---- fronts that end, and fronts that hang ---- */

static bool logged(const char *words)
{
	for (int i = 0; i < 1500; i++) {
		if (strstr(host_read("log"), words))
			return true;
		nap(10);
	}
	return false;
}

static void a_killed_front_ends_its_sessions(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, NVME);
	pid_t front;

	(void)state;
	front = front_of_clients();
	assert_true(front > 0);
	kill(front, SIGKILL);
	assert_int_equal(vbroker_session_ping(session), -ECONNRESET);
	assert_true(logged("1 sessions and 1 leases end with it"));
	vbroker_session_close(session);
	/* The same user is served again, by another. */
	session = session_begin();
	expect_ok(vbroker_session_ping(session));
	expect_refused(vbroker_device_ping(device), VBROKER_REVOKED, NULL);
	vbroker_device_close(device);
	device = device_begin(session, NVME);
	vbroker_device_close(device);
	vbroker_session_close(session);
	world_settle();
}

/* STATUS says who hangs, of whom, and what ends the front. */
static void expect_named_hung(struct vbroker_session *session, pid_t front)
{
	struct vbroker_process_entry entry;
	char words[64];
	bool found = false;

	for (int i = 0; i < 500 && !found; i++) {
		found = process_find(session, VBROKER_PROCESS_FRONT, VBROKER_PROCESS_HUNG, front, &entry);
		nap(10);
	}
	assert_true(found);
	assert_int_equal(entry.uid, getuid());
	assert_in_range(entry.age_us, 900000, 60000000);
	snprintf(words, sizeof words, "'kill -9 %d' ends the front with its 2 sessions", (int)front);
	assert_non_null(strstr(entry.text, words));
}

static void a_front_that_hangs_is_named_and_replaced(void **state)
{
	struct vbroker_session *session = session_begin(), *next;
	struct vbroker_device *device = device_begin(session, EDU), *none;
	struct vbroker_process_entry entry;
	char words[64];
	pid_t front;

	(void)state;
	front = front_of_clients();
	assert_true(front > 0);
	assert_true(process_find(session, VBROKER_PROCESS_FRONT, VBROKER_PROCESS_WORKING, front, &entry));
	assert_string_equal(entry.text, "has 1 sessions");
	assert_true(process_find(session, VBROKER_PROCESS_FRONT, VBROKER_PROCESS_IDLE, 0, &entry));
	assert_int_equal(entry.uid, VBROKER_PROCESS_NOBODYS);
	kill(front, SIGSTOP);
	/* The session waits no longer than it wants. A device that it gets later is given back below, by the ping. */
	vbroker_set_timeout(100);
	assert_int_equal(vbroker_device_open(session, EDU_2, &none), -ETIME);
	assert_non_null(strstr(vbroker_detail(), "the vfio-front of this user, is stopped or hangs: no reply to OPEN"));
	vbroker_set_timeout(0);
	/* A connection is something to be answered by the front. */
	close(raw_connect(world()->broker_socket));
	snprintf(words, sizeof words, "(pid %d) does not answer", (int)front);
	assert_true(logged(words));
	expect_others_served();
	next = session_begin();
	expect_ok(vbroker_session_ping(next));
	expect_named_hung(next, front);
	expect_refused(vbroker_device_open(next, EDU, &none), VBROKER_DEVICE_BUSY, "is held by uid");
	kill_and_start();
	expect_ok(vbroker_session_ping(next));
	expect_named_hung(next, front);
	kill(front, SIGCONT);
	expect_ok(vbroker_session_ping(session));
	vbroker_device_close(device);
	vbroker_session_close(next);
	vbroker_session_close(session);
	world_settle();
}

/* Another user takes a front, and the next one does not start: new connections are served. */
static void nobody_waits_for_the_start_of_a_front(void **state)
{
	pid_t pids[FRONTS_MAX];
	int first, second;

	(void)state;
	/* Of the user of all sessions here, and those in reserve. */
	first = greeted();
	for (int i = 0; i < 500 && fronts(pids) < 3; i++)
		nap(10);
	assert_int_equal(fronts(pids), 3);
	kill(world()->activate_fronts, SIGSTOP);
	other_user_is_served();
	second = raw_connect(world()->broker_socket);
	raw_request(second, COMMON_HELLO, 1, &(struct hello_request){0, MESSAGE_VERSION, MESSAGE_VERSION, 0},
		sizeof(struct hello_request));
	assert_int_equal(poll(&(struct pollfd){.fd = second, .events = POLLIN}, 1, 3000), 1);
	kill(world()->activate_fronts, SIGCONT);
	close(first);
	close(second);
	world_settle();
}

static void killed_fronts_while_there_is_no_broker(void **state)
{
	struct vbroker_session *session = session_begin();
	struct vbroker_device *device = device_begin(session, NVME);
	pid_t front = front_of_clients();

	(void)state;
	assert_true(front > 0);
	world_kill_broker();
	kill(front, SIGKILL);
	world_start_broker();
	/* The keeper may name the lease before or after the broker sees the end of the front. */
	assert_true(logged("1 sessions and "));
	assert_true(logged("leases end with it"));
	vbroker_session_close(session);
	vbroker_device_close(device);
	world_settle();
}

/* ---- nothing is stored of clients, nothing is answered twice ---- */

static void no_client_is_in_the_fd_store(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		vbroker_session_close(session_begin());
	assert_int_equal(systemd_kept("session-"), 0);
	/* A life line, a control socket and a roll for the front of ours, and for each of the two spare ones. */
	for (int i = 0; i < 500 && systemd_kept("front-") < 9; i++)
		nap(10);
	assert_int_equal(systemd_kept("front-"), 9);
	assert_int_equal(systemd_kept(""), 9 + systemd_kept("helper-"));
}

#define ASKED 3000

/* Replies by cookie; more than one is one too many. */
static void count_replies(int session, unsigned char replies[ASKED + 1], unsigned int wanted)
{
	static struct packet packet;

	for (unsigned int i = 0; i < wanted; i++) {
		assert_int_equal(raw_receive(session, &packet), PACKET_RECEIVED);
		assert_in_range(packet.header.cookie, 1, ASKED);
		assert_int_equal(++replies[packet.header.cookie], 1);
		packet_clear(&packet);
	}
}

static void no_request_is_answered_twice(void **state)
{
	static unsigned char replies[ASKED + 1];
	const struct listing_request page = {0};
	int session = greeted();
	unsigned int asked = 1, answered = 1; /* HELLO */
	unsigned int seed = (unsigned int)now_ms();

	(void)state;
	print_message("# seed %u\n", seed);
	memset(replies, 0, sizeof replies);
	for (int kills = 0; kills < 12; kills++) {
		unsigned int burst = (unsigned int)rand_r(&seed) % 60;

		for (unsigned int i = 0; i < burst; i++) {
			asked++;
			if (asked % 2)
				raw_request(session, BROKER_PING, asked, NULL, 0);
			else
				raw_request(session, BROKER_LIST, asked, &page, sizeof page);
		}
		usleep((unsigned int)rand_r(&seed) % 3000);
		world_kill_broker();
		world_start_broker();
		count_replies(session, replies, asked - answered);
		answered = asked;
	}
	assert_int_equal(poll(&(struct pollfd){.fd = session, .events = POLLIN}, 1, 200), 0);
	close(session);
	world_settle();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CASE_IN(nobody_waits_for_a_descriptor, &stuck_world),
		CASE_IN(the_next_broker_does_not_wait, &stuck_world),
		CASE_IN(sessions_of_an_older_broker_are_ended, &stuck_world),
		CASE_IN(a_refused_client_does_not_matter, &few_sessions),
		RESTART_CASE(a_killed_front_ends_its_sessions),
		RESTART_CASE(a_front_that_hangs_is_named_and_replaced),
		CASE(nobody_waits_for_the_start_of_a_front),
		RESTART_CASE(killed_fronts_while_there_is_no_broker),
		RESTART_CASE(no_client_is_in_the_fd_store),
		RESTART_CASE(no_request_is_answered_twice),
	};

	return HARNESS_RUN(argc, argv, "fronts", tests);
}
