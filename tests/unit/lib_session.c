/* SPDX-License-Identifier: MIT */
#include "lib_server.h"
#include "session.h"
#include "vfio-broker.h"

#include <errno.h>
#include <stdio.h>
#include <sys/un.h>

/*
 * Sessions over a real listening socket. What the script of each test serves is the one connection of the library.
 */
static struct server server;
static char path[64];
static int listener;
static int deaths; /* connections that end before HELLO is answered */

static void *serve(void *argument)
{
	struct server *s = argument;

	for (int i = 0; i < deaths; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		/* Sometimes with HELLO read, sometimes not: the client sees another errno. */
		if (i % 2)
			packet_receive(fd, 0, false, &s->request);
		close(fd);
	}
	s->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	server_greet(s, CHANNEL_BROKER);
	return server_main(s);
}

static struct vbroker_session *begin(void (*script)(struct server *))
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct vbroker_session *session;

	server.fds_before = unit_fds();
	snprintf(path, sizeof path, "/tmp/lib_session.%d", (int)getpid());
	strcpy(address.sun_path, path);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 1), 0);
	server.table = &broker_table;
	server.script = script;
	server.malformed = 0;
	packet_init(&server.request);
	packet_init(&server.reply);
	assert_int_equal(pthread_create(&server.thread, NULL, serve, &server), 0);
	server.running = true;
	assert_int_equal(vbroker_session_open(path, &session), 0);
	return session;
}

static void finish(struct vbroker_session *session)
{
	vbroker_session_close(session);
	server_wait(&server);
	close(listener);
	unlink(path);
	server_finish(&server);
}

/* ---- opening ---- */

static void test_no_broker(void **state)
{
	struct vbroker_session *session = (void *)1;
	char text[400];
	int r;

	(void)state;
	r = vbroker_session_open("/nonexistent/broker.sock", &session);
	assert_int_equal(r, -ENOENT);
	assert_ptr_equal(session, (void *)1);
	vbroker_describe_result(r, text, sizeof text);
	assert_non_null(strstr(text, "No such file or directory (no broker at /nonexistent/broker.sock"));
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	assert_int_equal(vbroker_session_open(text, &session), -ENAMETOOLONG);
	vbroker_session_close(NULL);
}

static void serve_pings(struct server *s)
{
	while (server_receive(s)) {
		server_reply(s, 0);
		server_send(s);
	}
}

static void test_ping(void **state)
{
	struct vbroker_session *session = begin(serve_pings);

	(void)state;
	assert_int_equal(vbroker_session_ping(session), 0);
	finish(session);
}

/* The library's end of a connection that nobody accepts. */
static void test_broker_that_hangs(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int before = unit_fds(), fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct vbroker_session *session;

	(void)state;
	snprintf(address.sun_path, sizeof address.sun_path, "/tmp/lib_session.%d", (int)getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 0), 0);
	vbroker_set_timeout(20);
	assert_int_equal(vbroker_session_open(address.sun_path, &session), -ETIME);
	assert_non_null(strstr(vbroker_detail(), "no reply to HELLO"));
	/* Now the queue of the socket is full. */
	assert_int_equal(vbroker_session_open(address.sun_path, &session), -ETIME);
	assert_non_null(strstr(vbroker_detail(), "nobody has accepted a connection"));
	vbroker_set_timeout(0);
	unlink(address.sun_path);
	close(fd);
	assert_int_equal(unit_fds(), before);
}

static void serve_one_slow_revoke(struct server *s)
{
	server_receive(s);
	usleep(100000);
	server_reply(s, sizeof(struct revoke_reply));
	server_send(s);
	while (server_receive(s))
		;
}

/* The broker has until the deadline, and the timeout besides. */
static void test_deadline_is_no_timeout(void **state)
{
	struct vbroker_session *session = begin(serve_one_slow_revoke);
	struct vbroker_revocation revocation;

	(void)state;
	vbroker_set_timeout(1);
	assert_int_equal(vbroker_session_revoke(session, "0000:01:00.0", 3600000, &revocation), 0);
	assert_int_equal(vbroker_session_revoke(session, "0000:01:00.0", 1, &revocation), -ETIME);
	vbroker_set_timeout(0);
	finish(session);
}

/* ---- lists ---- */

/* Pages of at most three of seven devices; the last name has no NUL, and a terminal would not like it. */
static void serve_list(struct server *s)
{
	while (server_receive(s)) {
		uint32_t start = ((struct listing_request *)s->request.payload)->start;
		uint32_t count = start > 7 ? 0 : 7 - start < 3 ? 7 - start : 3;
		struct listing_reply *page = server_reply(s, sizeof *page);

		*page = (struct listing_reply){7, count};
		for (uint32_t i = 0; i < count; i++) {
			struct device_record *record = packet_append(&s->reply, sizeof *record);

			snprintf(record->name, sizeof record->name, "0000:00:%02x.0", start + i);
			if (start + i == 6)
				memset(record->name, '\033', sizeof record->name);
			strcpy(record->driver, "nvme");
			record->vendor = 0x1b36;
			record->device = 0x0010;
			record->class = 0x010802;
			record->group = start + i;
			record->state = DEVICE_STATE_LEASED;
			record->holder = (struct holder_record){1000, 4711, "backup.service"};
		}
		server_send(s);
	}
}

/* The broker is killed before it has put the connection where its successor finds it. */
static void test_broker_dies_before_hello(void **state)
{
	struct vbroker_session *session;

	(void)state;
	deaths = 6;
	session = begin(serve_pings);
	deaths = 0;
	assert_int_equal(vbroker_session_ping(session), 0);
	finish(session);
}

static void test_list(void **state)
{
	struct vbroker_session *session = begin(serve_list);
	struct vbroker_device_entry *entries;
	size_t count;

	(void)state;
	assert_int_equal(vbroker_list_devices(session, &entries, &count), 0);
	assert_int_equal(count, 7);
	for (uint32_t i = 0; i < 6; i++) {
		char name[32];

		snprintf(name, sizeof name, "0000:00:%02x.0", i);
		assert_string_equal(entries[i].name, name);
		assert_int_equal(entries[i].group, i);
	}
	assert_string_equal(entries[6].name, "???????????????????????????????");
	assert_string_equal(entries[3].driver, "nvme");
	assert_int_equal(entries[3].vendor, 0x1b36);
	assert_int_equal(entries[3].device, 0x0010);
	assert_int_equal(entries[3].class_code, 0x010802);
	assert_int_equal(entries[3].state, VBROKER_STATE_LEASED);
	assert_int_equal(entries[3].holder.uid, 1000);
	assert_int_equal(entries[3].holder.pid, 4711);
	assert_string_equal(entries[3].holder.unit, "backup.service");
	free(entries);
	finish(session);
}

/* Always says that there is more, and sends nothing: the end. */
static void serve_empty_pages(struct server *s)
{
	while (server_receive(s)) {
		struct listing_reply *page = server_reply(s, sizeof *page);

		page->total = 1000;
		server_send(s);
	}
}

static void test_list_that_shrinks(void **state)
{
	struct vbroker_session *session = begin(serve_empty_pages);
	struct vbroker_session_entry *entries;
	size_t count = 1;

	(void)state;
	assert_int_equal(vbroker_list_sessions(session, &entries, &count), 0);
	assert_int_equal(count, 0);
	assert_non_null(entries);
	free(entries);
	finish(session);
}

/* Always says that there is more, and sends it. */
static void serve_endless_pages(struct server *s)
{
	while (server_receive(s)) {
		struct listing_reply *page = server_reply(s, sizeof *page + 1000 * sizeof(struct lease_record));

		*page = (struct listing_reply){UINT32_MAX, 1000};
		server_send(s);
	}
}

static void test_list_without_end(void **state)
{
	struct vbroker_session *session = begin(serve_endless_pages);
	struct vbroker_lease_entry *entries = (void *)1;
	size_t count = 1;

	(void)state;
	assert_int_equal(vbroker_list_leases(session, &entries, &count), -EPROTO);
	assert_ptr_equal(entries, (void *)1);
	finish(session);
}

static void serve_processes(struct server *s)
{
	struct listing_reply *page;
	struct process_record *record;

	server_receive(s);
	assert_int_equal(s->request.header.type, BROKER_PROCESSES);
	page = server_reply(s, sizeof *page);
	*page = (struct listing_reply){1, 1};
	record = packet_append(&s->reply, sizeof *record);
	*record = (struct process_record){
		.kind = PROCESS_KEEPER, .state = PROCESS_HUNG, .pid = 42, .uid = PROCESS_NOBODYS, .age_us = 7};
	strcpy(record->name, "0000:01:00.0");
	/* No NUL: the copy ends with one all the same. */
	memset(record->text, 'x', sizeof record->text);
	server_send(s);
}

static void test_processes(void **state)
{
	struct vbroker_session *session = begin(serve_processes);
	struct vbroker_process_entry *entries;
	size_t count;

	(void)state;
	assert_int_equal(vbroker_list_processes(session, &entries, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(entries[0].kind, VBROKER_PROCESS_KEEPER);
	assert_int_equal(entries[0].state, VBROKER_PROCESS_HUNG);
	assert_int_equal(entries[0].pid, 42);
	assert_int_equal(entries[0].uid, VBROKER_PROCESS_NOBODYS);
	assert_int_equal(entries[0].age_us, 7);
	assert_string_equal(entries[0].name, "0000:01:00.0");
	assert_int_equal(strlen(entries[0].text), sizeof entries[0].text - 1);
	free(entries);
	finish(session);
}

static void serve_lying_page(struct server *s)
{
	while (server_receive(s)) {
		struct listing_reply *page = server_reply(s, sizeof *page + sizeof(struct lease_record));

		*page = (struct listing_reply){2, 2};
		server_send(s);
	}
}

static void test_page_of_another_length(void **state)
{
	struct vbroker_session *session = begin(serve_lying_page);
	struct vbroker_lease_entry *entries;
	size_t count;

	(void)state;
	assert_int_equal(vbroker_list_leases(session, &entries, &count), -EPROTO);
	finish(session);
}

/* ---- check, status, open ---- */

static void serve_check(struct server *s)
{
	struct check_reply *check;
	struct check_obstacle *obstacle;

	server_receive(s);
	check = server_reply(s, sizeof *check);
	*check = (struct check_reply){2, 1};
	obstacle = packet_append(&s->reply, 2 * sizeof *obstacle);
	obstacle[0].refusal = REFUSAL_GROUP_NOT_VIABLE;
	strcpy(obstacle[0].detail, "0000:04:02.0 has the driver e1000");
	obstacle[1].refusal = REFUSAL_DENIED;
	memset(obstacle[1].detail, 'x', sizeof obstacle[1].detail);
	server_send(s);
	server_receive(s);
	check = server_reply(s, sizeof *check);
	check->count = UINT32_MAX;
	server_send(s);
}

static void test_check(void **state)
{
	struct vbroker_session *session = begin(serve_check);
	struct vbroker_obstacle *obstacles;
	size_t count;
	int claim = 0;

	(void)state;
	assert_int_equal(vbroker_session_check(session, "0000:04:01.0", &obstacles, &count, &claim), 0);
	assert_int_equal(count, 2);
	assert_int_equal(claim, 1);
	assert_int_equal(obstacles[0].refusal, VBROKER_GROUP_NOT_VIABLE);
	assert_string_equal(obstacles[0].detail, "0000:04:02.0 has the driver e1000");
	assert_int_equal(strlen(obstacles[1].detail), 255);
	free(obstacles);
	assert_int_equal(vbroker_session_check(session, "0000:04:01.0", &obstacles, &count, &claim), -EPROTO);
	finish(session);
}

static void test_name_too_long(void **state)
{
	struct vbroker_session *session = begin(serve_pings);
	struct vbroker_obstacle *obstacles;
	struct vbroker_device *device;
	const char *name = "0000:04:01.0 and much more than a name can have";
	size_t count;
	int claim;

	(void)state;
	assert_int_equal(vbroker_session_check(session, name, &obstacles, &count, &claim), VBROKER_NO_SUCH_DEVICE);
	assert_int_equal(vbroker_device_open(session, name, &device), VBROKER_NO_SUCH_DEVICE);
	assert_int_equal(vbroker_session_ping(session), 0);
	finish(session);
}

static void serve_status(struct server *s)
{
	struct status_reply *status;

	server_receive(s);
	status = server_reply(s, sizeof *status);
	*status = (struct status_reply){1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 10, 11, 12, 13,
		{13, 14, POLICY_FILES_WRONG, "t.conf:1:2: so\n"}, 14, 15, 16, {0}, {0}};
	status->changes[CHANGE_GRANT] = 17;
	status->denials[STATUS_DENIALS - 1] = 18;
	server_send(s);
}

static void test_status(void **state)
{
	struct vbroker_session *session = begin(serve_status);
	struct vbroker_status status;

	(void)state;
	assert_int_equal(vbroker_session_status(session, &status), 0);
	assert_int_equal(status.uptime_us, 1);
	assert_int_equal(status.sessions, 2);
	assert_int_equal(status.leases, 3);
	assert_int_equal(status.keepers, 4);
	assert_int_equal(status.keepers_spare, 5);
	assert_int_equal(status.devices, 6);
	assert_int_equal(status.quarantined, 7);
	assert_int_equal(status.watchers, 8);
	assert_int_equal(status.requests, 9);
	assert_int_equal(status.opens, 10);
	assert_int_equal(status.refusals, 11);
	assert_int_equal(status.releases, 12);
	assert_int_equal(status.malformed, 13);
	assert_int_equal(status.policy_age_us, 13);
	assert_int_equal(status.policy_rules, 14);
	assert_false(status.policy_in_force);
	/* it will reach a terminal */
	assert_string_equal(status.policy_error, "t.conf:1:2: so?");
	assert_int_equal(status.suppressed, 14);
	assert_int_equal(status.lost, 15);
	assert_int_equal(status.missed, 16);
	assert_int_equal(status.changes[VBROKER_CHANGE_GRANT], 17);
	assert_int_equal(status.denials[VBROKER_STATUS_DENIALS - 1], 18);
	finish(session);
}

/* ---- WATCH ---- */

static void send_change(struct server *s, uint64_t session, uint64_t missed)
{
	struct change_event *change;

	packet_event(&s->reply, BROKER_EVENT_CHANGE);
	change = packet_append(&s->reply, sizeof *change);
	change->kind = CHANGE_GRANT;
	change->session = session;
	change->missed = missed;
	change->count = 1;
	memset(change->message, '\n', sizeof change->message); /* and no NUL */
	strcpy(change->device, "0000:01:00.0");
	server_send(s);
}

/*
 * Events before the reply to WATCH, between a request and its reply, and alone; other events; a reply that comes
 * twice.
 */
static void serve_watch(struct server *s)
{
	server_receive(s);
	send_change(s, 1, 0);
	server_reply(s, 0);
	server_send(s);
	server_receive(s);
	for (uint64_t i = 2; i <= 66; i++)
		send_change(s, i, i == 66 ? 5 : 0);
	packet_event(&s->reply, 200);
	server_send(s);
	server_reply(s, 0);
	server_send(s);
	server_reply(s, 0);
	server_send(s);
	packet_event(&s->reply, BROKER_EVENT_CHANGE); /* of another length: of another version */
	server_send(s);
	send_change(s, 67, 0);
}

static void test_watch(void **state)
{
	struct vbroker_session *session = begin(serve_watch);
	struct vbroker_change change;

	(void)state;
	assert_int_equal(vbroker_session_event(session, 0, &change), -EINVAL);
	assert_int_equal(vbroker_session_watch(session), 0);
	assert_int_equal(vbroker_session_ping(session), 0);
	server_wait(&server);
	for (uint64_t i = 1; i <= 64; i++) {
		assert_int_equal(vbroker_session_event(session, -1, &change), 0);
		assert_int_equal(change.session, i);
		assert_int_equal(change.missed, 0);
	}
	assert_string_equal(change.device, "0000:01:00.0");
	assert_int_equal(change.message[0], '?');
	assert_int_equal(strlen(change.message), sizeof change.message - 1);
	/* 65 and 66 did not fit, and 66 said that five were lost before it. */
	assert_int_equal(vbroker_session_event(session, 0, &change), 0);
	assert_int_equal(change.session, 67);
	assert_int_equal(change.missed, 7);
	assert_int_equal(vbroker_session_event(session, 0, &change), -ECONNRESET);
	finish(session);
}

static void serve_watch_refused(struct server *s)
{
	const struct detail detail = {"enough"};

	server_receive(s);
	packet_refuse(&s->reply, &s->request.header, REFUSAL_QUOTA, &detail);
	server_send(s);
	server_receive(s);
	server_reply(s, 0);
	server_send(s);
	server_receive(s);
}

static void test_watch_refused(void **state)
{
	struct vbroker_session *session = begin(serve_watch_refused);
	struct vbroker_change change;

	(void)state;
	assert_int_equal(vbroker_session_watch(session), VBROKER_QUOTA);
	assert_int_equal(vbroker_session_event(session, 0, &change), -EINVAL);
	assert_int_equal(vbroker_session_watch(session), 0);
	assert_int_equal(vbroker_session_event(session, 0, &change), -EAGAIN);
	assert_int_equal(vbroker_session_event(session, 20, &change), -EAGAIN);
	finish(session);
}

/* OPEN gives a socket that is no device channel: it is closed, not leaked. */
static void serve_wrong_channel(struct server *s)
{
	static struct packet packet;
	struct hello_reply *hello;
	int pair[2];

	server_receive(s);
	unit_pair(pair);
	server_reply(s, sizeof(struct open_reply));
	fdset_add(&s->reply.fds, pair[1]);
	server_send(s);
	packet_init(&packet);
	packet_receive(pair[0], 0, false, &packet);
	packet_reply(&packet, &(struct message_header){.type = COMMON_HELLO, .cookie = packet.header.cookie});
	hello = packet_append(&packet, sizeof *hello);
	*hello = (struct hello_reply){MESSAGE_VERSION, CHANNEL_KEEPER, MESSAGE_SIZE_MAX, 0};
	packet_send(pair[0], 0, &packet);
	close(pair[0]);
}

static void test_open_gives_something_else(void **state)
{
	struct vbroker_session *session = begin(serve_wrong_channel);
	struct vbroker_device *device;

	(void)state;
	assert_int_equal(vbroker_device_open(session, "0000:04:01.0", &device), VBROKER_NOT_A_DEVICE);
	finish(session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_broker),
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_broker_dies_before_hello),
		cmocka_unit_test(test_broker_that_hangs),
		cmocka_unit_test(test_deadline_is_no_timeout),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_list_that_shrinks),
		cmocka_unit_test(test_list_without_end),
		cmocka_unit_test(test_page_of_another_length),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_name_too_long),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_watch_refused),
		cmocka_unit_test(test_open_gives_something_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
