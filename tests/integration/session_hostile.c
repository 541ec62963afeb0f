/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/*
 * One user does everything to the service that its sockets let it do. Another user, who has a device and wants more, is
 * served all the while; the first one alone is refused, in the words that PROTOCOL.md has for it; and when it is gone,
 * memory and descriptors are what they were. How much slower the other is served meanwhile, tests/run-bench measures.
 */

#define OFFENDER  1000
#define BYSTANDER 1001

/* How long each attack lasts, at least: VFIO_BROKER_TEST_HOSTILE_MS. */
static unsigned int duration_ms = 700;

/* Real time of a test that waits for something: the machine may be busy. */
#define PATIENCE_MS 60000

#if defined(__SANITIZE_ADDRESS__)
/* Freed memory is kept for a while. */
#define MEMORY_SLACK_KB (300 * 1024LL)
#else
#define MEMORY_SLACK_KB (4 * 1024LL)
#endif

static struct bystander {
	struct vbroker_session *session;
	struct vbroker_device *device;
	uint64_t served;
} bystander;

static long long memory_at_start;

/* The size in memory of a process, in KiB. */
static long long memory_of(pid_t pid)
{
	char path[64], line[256];
	long long value = -1;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file)) {
		if (strncmp(line, "VmRSS:", 6) == 0)
			value = strtoll(line + 6, NULL, 10);
	}
	if (file)
		fclose(file);
	assert_true(value > 0);
	return value;
}

/* What the kernel says of who connects is what they were then. */
static void become(uid_t uid)
{
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(seteuid(uid), 0);
}

static void begin(void)
{
	assert_int_equal(chmod(world()->directory, 0711), 0);
	become(BYSTANDER);
	bystander.session = session_begin();
	become(0);
	bystander.device = device_begin(bystander.session, EDU_2);
	bystander.served = 0;
	memory_at_start = memory_of(world()->broker);
}

/* The other user is served: session and device channel answer, and it gets and gives back another device. */
static void serve_bystander(void)
{
	struct vbroker_device *device;
	int r;

	expect_ok(vbroker_session_ping(bystander.session));
	expect_ok(vbroker_device_ping(bystander.device));
	/* The keeper in reserve may be on its way still; that is no refusal, but takes longer. */
	r = vbroker_device_open(bystander.session, NVME, &device);
	expect_ok(r);
	vbroker_device_close(device);
	bystander.served++;
}

static void end(void)
{
	serve_bystander();
	print_message("# the bystander was served %llu times; the broker's memory: %lld KiB, then %lld KiB\n",
		(unsigned long long)bystander.served, memory_at_start, memory_of(world()->broker));
	assert_true(memory_of(world()->broker) < memory_at_start + MEMORY_SLACK_KB);
	vbroker_device_close(bystander.device);
	vbroker_session_close(bystander.session);
	world_settle();
}

/* ---- offenders are processes: COUNT of them do ATTACK until it returns or they are killed ---- */

typedef void (*attack_function)(unsigned int number);

/* Of those, the first stays root: it is an administrator who does his work. */
static void open_or_revoke(unsigned int number);

static pid_t offender_start(attack_function attack, unsigned int number)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		bool root = attack == open_or_revoke && number == 0;

		if (!root &&
			(setresgid(OFFENDER, OFFENDER, OFFENDER) < 0 || setresuid(OFFENDER, OFFENDER, OFFENDER) < 0))
			_exit(3);
		/* Not before: to become another user resets it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		attack(number);
		_exit(0);
	}
	return pid;
}

#define OFFENDERS_MAX 64

/* The attacks go on for the duration at least, until the bystander was served a few times, and are killed then. */
static void under_attack(attack_function attack, unsigned int count)
{
	uint64_t start = now_ms();
	pid_t pids[OFFENDERS_MAX];

	begin();
	for (unsigned int i = 0; i < count; i++)
		pids[i] = offender_start(attack, i);
	do {
		serve_bystander();
		for (unsigned int i = 0; i < count; i++) {
			int status;

			/* Attacks are loops: what ends one is what it could not believe. */
			if (waitpid(pids[i], &status, WNOHANG) == pids[i])
				fail_msg("offender %u ended with wait status %#x", i, status);
		}
	} while (now_ms() - start < duration_ms || bystander.served < 3);
	for (unsigned int i = 0; i < count; i++) {
		kill(pids[i], SIGKILL);
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
	}
	end();
}

/* The same for attacks that say themselves when they are done, with exit code 0. */
static void until_done(attack_function attack)
{
	uint64_t start = now_ms();
	int status = 0;
	pid_t pid;

	begin();
	pid = offender_start(attack, 0);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		serve_bystander();
		assert_true(now_ms() - start < PATIENCE_MS);
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	end();
}

/* For offenders, which must not use the asserts of the test's process. */
#define BELIEVE(condition)                                                                                             \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			fprintf(stderr, "offender: %s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno)); \
			_exit(4);                                                                                      \
		}                                                                                                      \
	} while (0)

/* Returns a channel, or -1: the queue of the listening socket is full. */
static int try_connect(int flags)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);

	BELIEVE(fd >= 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", world()->broker_socket);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	BELIEVE(errno == EAGAIN);
	close(fd);
	return -1;
}

/* ---- connections ---- */

#define CONNECTIONS 10000

/* The refusal that comes before any request: 0 if the channel is still open and nothing came. */
static int turned_away(int fd, int timeout_ms, struct detail *detail)
{
	static struct packet packet;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int r;

	packet_init(&packet);
	if (poll(&p, 1, timeout_ms) == 0)
		return 0;
	BELIEVE(packet_receive(fd, 0, 1, &packet) == PACKET_RECEIVED);
	BELIEVE(packet.header.cookie == 0 && (packet.header.flags & MESSAGE_REFUSED));
	r = packet_refusal(&packet, detail);
	BELIEVE(packet_receive(fd, 0, 1, &packet) == PACKET_END);
	return r;
}

static void connect_10000(unsigned int number)
{
	static int fds[CONNECTIONS];
	unsigned int admitted = 0, refused = 0;
	struct detail detail;

	(void)number;
	for (size_t i = 0; i < CONNECTIONS; i++)
		fds[i] = try_connect(0);
	for (size_t i = 0; i < CONNECTIONS; i++) {
		/* The last ones may be in the queue still; the first ones are let in, and nothing ever comes. */
		int r = turned_away(fds[i], i < 1024 ? 0 : 20000, &detail);

		admitted += r == 0;
		refused += r == REFUSAL_QUOTA && strstr(detail.text, "uid 1000 has 1024 sessions");
	}
	BELIEVE(admitted == 1024 && refused == CONNECTIONS - 1024);
}

static void ten_thousand_connections(void **state)
{
	(void)state;
	until_done(connect_10000);
}

/* Nobody says HELLO: as many as one may have, held. */
static void hold_connections(unsigned int number)
{
	(void)number;
	for (;;) {
		int fd = try_connect(0);
		struct detail detail;

		if (turned_away(fd, 5, &detail) != 0)
			close(fd);
	}
}

static void half_open_handshakes(void **state)
{
	(void)state;
	under_attack(hold_connections, 2);
}

static void connect_and_close(unsigned int number)
{
	for (;;) {
		int fd = try_connect(number % 2 ? SOCK_NONBLOCK : 0);

		if (fd >= 0)
			close(fd);
	}
}

static void connection_churn(void **state)
{
	(void)state;
	under_attack(connect_and_close, 3);
}

/* ---- requests ---- */

/* True: it was sent. */
static bool try_send(int fd, const void *bytes, size_t size, const int *fds, size_t count)
{
	return raw_try_send(fd, MSG_DONTWAIT, bytes, size, fds, count) >= 0;
}

struct request {
	struct message_header header;
	uint8_t payload[512];
};

static bool try_request(int fd, uint16_t type, const void *payload, size_t size, const int *fds, size_t count)
{
	struct request request = {.header = {type, 0, (uint32_t)size, 7}};

	if (size > 0)
		memcpy(request.payload, payload, size);
	return try_send(fd, &request, sizeof request.header + size, fds, count);
}

static const struct hello_request hello = {.version_lowest = MESSAGE_VERSION, .version_highest = MESSAGE_VERSION};

/* As many sessions as one may have ask and ask, and never read. */
static void ask_without_reading(unsigned int number)
{
	const struct page_request page = {0};
	int fds[256];

	(void)number;
	for (size_t i = 0; i < 256; i++) {
		fds[i] = try_connect(0);
		try_request(fds[i], COMMON_HELLO, &hello, sizeof hello, NULL, 0);
	}
	for (;;) {
		for (size_t i = 0; i < 256; i++) {
			while (try_request(fds[i], BROKER_LIST, &page, sizeof page, NULL, 0))
				;
		}
	}
}

static void slow_readers(void **state)
{
	(void)state;
	under_attack(ask_without_reading, 2);
}

static void send_garbage(unsigned int number)
{
	static uint8_t bytes[4096];
	unsigned int seed = number + 1;

	for (;;) {
		int fd = try_connect(0);
		bool good = fd >= 0;

		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = (uint8_t)(rand_r(&seed) >> 8);
		while (good) {
			size_t size = (unsigned int)rand_r(&seed) % sizeof bytes;
			struct message_header header = {.type = (uint16_t)(size % 16), .cookie = 1};

			/* Whole packets now and then, or nothing behind the first one is ever looked at. */
			if (size >= sizeof header && size % 8 > 0) {
				header.length = (uint32_t)(size - sizeof header);
				memcpy(bytes, &header, sizeof header);
			}
			good = try_send(fd, bytes, size, NULL, 0);
		}
		if (fd >= 0)
			close(fd);
	}
}

static void pipelined_garbage(void **state)
{
	(void)state;
	under_attack(send_garbage, 4);
}

/* ---- opening ---- */

/* Dies with an OPEN in flight, or with the device: which, is a matter of time. */
static void open_and_die(unsigned int number)
{
	const struct open_request open = {.name = EDU};

	for (;;) {
		pid_t pid = fork();

		if (pid == 0) {
			int fd = try_connect(0);

			try_request(fd, COMMON_HELLO, &hello, sizeof hello, NULL, 0);
			try_request(fd, BROKER_OPEN, &open, sizeof open, NULL, 0);
			usleep(number * 300);
			_exit(0);
		}
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
}

static void fork_bomb_of_opens(void **state)
{
	(void)state;
	under_attack(open_and_die, 16);
}

static void open_and_release(unsigned int number)
{
	struct vbroker_session *session;

	BELIEVE(vbroker_session_open(world()->broker_socket, &session) == 0);
	for (;;) {
		struct vbroker_device *device;
		int r = vbroker_device_open(session, EDU, &device);

		if (r == 0)
			vbroker_device_close(device);
		else
			BELIEVE(r == VBROKER_DEVICE_BUSY || r == VBROKER_NO_KEEPER);
		if (number % 2) {
			vbroker_session_close(session);
			BELIEVE(vbroker_session_open(world()->broker_socket, &session) == 0);
		}
	}
}

static void storm_on_one_device(void **state)
{
	(void)state;
	under_attack(open_and_release, 6);
}

/* Whatever becomes of it; and it would like to take back devices of others. */
static void open_again_and_again(unsigned int number)
{
	const struct revoke_request revoke = {.name = EDU_2};
	struct vbroker_session *session;

	for (;;) {
		struct vbroker_device *device;

		BELIEVE(vbroker_session_open(world()->broker_socket, &session) == 0);
		for (int i = 0; i < 8; i++) {
			if (vbroker_device_open(session, EDU, &device) == 0)
				vbroker_device_close(device);
		}
		vbroker_session_close(session);
		if (number % 2) {
			int fd = try_connect(0);

			try_request(fd, COMMON_HELLO, &hello, sizeof hello, NULL, 0);
			while (try_request(fd, BROKER_REVOKE, &revoke, sizeof revoke, NULL, 0))
				;
			close(fd);
		}
	}
}

/* An administrator takes it back each time: every REVOKE is answered, and says that it is complete or nobody had it. */
static void revoke_again_and_again(unsigned int number)
{
	const struct revoke_request revoke = {.name = EDU};
	static struct packet packet;
	int fd;

	(void)number;
	fd = try_connect(0);
	packet_init(&packet);
	BELIEVE(try_request(fd, COMMON_HELLO, &hello, sizeof hello, NULL, 0));
	BELIEVE(packet_receive(fd, 0, 1, &packet) == PACKET_RECEIVED);
	for (;;) {
		const struct revoke_reply *reply;

		BELIEVE(try_request(fd, BROKER_REVOKE, &revoke, sizeof revoke, NULL, 0));
		BELIEVE(packet_receive(fd, 0, 1, &packet) == PACKET_RECEIVED);
		reply = packet_body(&packet, sizeof *reply);
		BELIEVE(packet.header.type == BROKER_REVOKE && packet.header.flags == MESSAGE_REPLY && reply);
		BELIEVE(reply->result == REVOKE_COMPLETE || reply->result == REVOKE_NOBODY);
	}
}

static void open_or_revoke(unsigned int number)
{
	if (number == 0)
		revoke_again_and_again(number);
	else
		open_again_and_again(number);
}

static void revocation_storm(void **state)
{
	(void)state;
	under_attack(open_or_revoke, 5);
}

/* ---- descriptors ---- */

static int open_channel(int session, const char *name)
{
	static struct packet packet;
	struct open_request request = {0};
	int channel = -1;

	packet_init(&packet);
	snprintf(request.name, sizeof request.name, "%s", name);
	if (!try_request(session, COMMON_HELLO, &hello, sizeof hello, NULL, 0) ||
		!try_request(session, BROKER_OPEN, &request, sizeof request, NULL, 0))
		return -1;
	for (int i = 0; i < 2 && packet_receive(session, 0, 1, &packet) == PACKET_RECEIVED; i++) {
		if (packet.fds.count == 1)
			channel = fdset_take(&packet.fds, 0);
	}
	packet_clear(&packet);
	return channel;
}

enum { SOCKETS, EVENTFDS, FILES, FLOODS };

static int flood_of(unsigned int kind)
{
	int ends[2];

	switch (kind) {
	case SOCKETS:
		BELIEVE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
		return ends[0];
	case EVENTFDS:
		return eventfd(0, EFD_CLOEXEC);
	default:
		return open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	}
}

/* 253 of them with every packet, as many packets as fit, to the broker and to the keeper of a device. */
static void flood(unsigned int number)
{
	const struct page_request page = {0};
	int fds[FDSET_MAX];

	for (size_t i = 0; i < FDSET_MAX; i++)
		fds[i] = flood_of(number % FLOODS);
	for (;;) {
		int session = try_connect(0), device = open_channel(session, EDU);

		while (device >= 0 && try_request(device, COMMON_PING, NULL, 0, fds, FDSET_MAX))
			;
		while (try_request(session, BROKER_LIST, &page, sizeof page, fds, FDSET_MAX))
			;
		if (device >= 0)
			close(device);
		close(session);
	}
}

static void descriptor_floods(void **state)
{
	(void)state;
	under_attack(flood, FLOODS);
}

/* ---- every wrong descriptor, and every wrong state ---- */

enum kind {
	KIND_EVENTFD,
	KIND_DOMAIN,
	KIND_GROUP,
	KIND_PIPE_END,
	KIND_FILE,
	KIND_DIRECTORY,
	KIND_NULL,
	KIND_TERMINAL,
	KIND_STREAM,
	KIND_INTERNET,
	KIND_SEQPACKET,
	KIND_EPOLL,
	KIND_TIMER,
	KIND_INOTIFY,
	KIND_PIDFD,
	KIND_MEMFD,
	KIND_PATH,
	KINDS,
};

static int kind_open(enum kind kind)
{
	char path[160];
	int ends[2];

	switch (kind) {
	case KIND_EVENTFD:
		return eventfd(0, EFD_CLOEXEC);
	case KIND_DOMAIN:
		return fake_container_open();
	case KIND_GROUP:
		snprintf(path, sizeof path, "%s/groups/10", world()->directory);
		return open(path, O_RDWR | O_CLOEXEC);
	case KIND_PIPE_END:
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		close(ends[1]);
		return ends[0];
	case KIND_FILE:
		return open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	case KIND_DIRECTORY:
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case KIND_NULL:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case KIND_TERMINAL:
		return open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	case KIND_STREAM:
		return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case KIND_INTERNET:
		return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case KIND_SEQPACKET:
		return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	case KIND_EPOLL:
		return epoll_create1(EPOLL_CLOEXEC);
	case KIND_TIMER:
		return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	case KIND_INOTIFY:
		return inotify_init1(IN_CLOEXEC);
	case KIND_PIDFD:
		return (int)syscall(SYS_pidfd_open, getpid(), 0);
	case KIND_MEMFD:
		return memfd_create("memory", MFD_CLOEXEC);
	case KIND_PATH:
		return open("/dev/null", O_PATH | O_CLOEXEC);
	case KINDS:
		break;
	}
	return -1;
}

/* A request with a payload that is as good as can be without knowing more: sizes are right, names are of a device. */
static size_t make_request(const struct request_table *table, uint16_t type, size_t fds, struct request *request)
{
	const struct request_rule *rule = &table->rules[type];
	struct lease_request lease = {.flags = fds == 2 ? LEASE_GROUP : 0, .group = 10, .name = NOBODYS};
	struct irq_request irq = {.index = 1, .count = (uint32_t)fds};
	struct region_request region = {.length = 4, .width = 4};
	struct open_request name = {.name = EDU};

	*request = (struct request){.header = {type, 0, (uint32_t)rule->size, 9}};
	if (type == COMMON_HELLO)
		memcpy(request->payload, &hello, sizeof hello);
	else if (table->kind == CHANNEL_KEEPER && type == KEEPER_LEASE)
		memcpy(request->payload, &lease, sizeof lease);
	else if (table->kind == CHANNEL_DEVICE && rule->size == sizeof irq)
		memcpy(request->payload, &irq, sizeof irq);
	else if (table->kind == CHANNEL_DEVICE && rule->size == sizeof region)
		memcpy(request->payload, &region, sizeof region);
	else if (table->kind == CHANNEL_BROKER && rule->size >= sizeof name)
		memcpy(request->payload, &name, sizeof name);
	return sizeof request->header + rule->size;
}

/* Sends it with COUNT copies of FD: answered once. Returns 0 or the refusal, negative if that has an errno. */
static int answer_to(int channel, const struct request_table *table, uint16_t type, int fd, size_t count)
{
	struct request request;
	int fds[FDSET_MAX] = {0};
	size_t size = make_request(table, type, count, &request);

	for (size_t i = 0; i < count; i++)
		fds[i] = fd;
	raw_send(channel, &request, size, fds, count);
	return raw_reply(channel, type, 9);
}

static void expect_alive(int channel)
{
	raw_request(channel, COMMON_PING, 77, NULL, 0);
	assert_int_equal(raw_reply(channel, COMMON_PING, 77), 0);
}

static void bind_to_new_domain(int channel)
{
	int domain = fake_container_open();

	assert_int_equal(answer_to(channel, &device_table, DEVICE_BIND, domain, 1), 0);
	close(domain);
}

/* Anonymous inodes: the kernel knows which are eventfds, the keeper and the fake kernel do not. */
static bool eventfd_or_like(enum kind kind)
{
	return kind == KIND_EVENTFD || kind == KIND_EPOLL || kind == KIND_TIMER || kind == KIND_INOTIFY ||
		kind == KIND_PIDFD;
}

/* Files whose close could block: who sends one is answered, and then shown the door. */
static bool ends_the_lease(enum kind kind)
{
	return kind == KIND_GROUP || kind == KIND_FILE || kind == KIND_DIRECTORY || kind == KIND_NULL ||
		kind == KIND_TERMINAL || kind == KIND_INTERNET || kind == KIND_MEMFD;
}

static int device_channel(int session, enum channel_state state)
{
	int channel = raw_open(session, EDU);

	if (state == STATE_BOUND)
		bind_to_new_domain(channel);
	return channel;
}

/* On device channels, where requests take as many as they should, or one: all refused but where KIND is the right one. */
static void send_everywhere(int session, enum kind kind, enum channel_state state)
{
	const struct request_table *table = &device_table;
	int channel = device_channel(session, state);
	int fd = kind_open(kind);

	assert_true(fd >= 0);
	for (uint16_t type = 1; type < table->count; type++) {
		const struct request_rule *rule = &table->rules[type];
		size_t count = rule->fds_min > 0 ? rule->fds_min : 1;
		bool right = (type == DEVICE_BIND && kind == KIND_DOMAIN) ||
			(type == DEVICE_IRQ_SET && eventfd_or_like(kind));
		int r;

		if (!rule->name)
			continue;
		r = answer_to(channel, table, type, fd, count);
		if (rule->fds_max == 0)
			assert_int_equal(r, REFUSAL_MALFORMED);
		else if (!(rule->states & state))
			assert_true(r == REFUSAL_NOT_BOUND || r == REFUSAL_ALREADY_BOUND);
		else if (right)
			assert_int_equal(r, 0);
		else if (type == DEVICE_BIND)
			assert_int_equal(r, REFUSAL_NOT_A_DOMAIN);
		else
			assert_true(r != 0);
		if (type == DEVICE_BIND && r == 0)
			assert_int_equal(answer_to(channel, table, DEVICE_UNBIND, -1, 0), 0);
		if (ends_the_lease(kind)) {
			raw_expect_end(channel);
			close(channel);
			channel = device_channel(session, state);
		}
		expect_alive(channel);
	}
	assert_int_equal(answer_to(channel, table, DEVICE_RELEASE, -1, 0), 0);
	close(channel);
	close(fd);
}

static void wrong_descriptors_to_keepers(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 2 * KINDS; i++) {
		int session = raw_connect(world()->broker_socket);

		raw_hello(session);
		send_everywhere(session, (enum kind)(i / 2), i % 2 ? STATE_BOUND : STATE_READY);
		close(session);
	}
	end();
}

/* The broker never sees them: requests are answered as if they had none. */
static void wrong_descriptors_to_the_broker(void **state)
{
	int session;

	(void)state;
	begin();
	session = raw_connect(world()->broker_socket);
	raw_hello(session);
	for (int kind = 0; kind < KINDS; kind++) {
		int fd = kind_open((enum kind)kind);

		for (uint16_t type = 1; type < broker_table.count; type++) {
			if (!broker_table.rules[type].name || type == BROKER_OPEN)
				continue;
			assert_int_equal(answer_to(session, &broker_table, type, fd, FDSET_MAX),
				answer_to(session, &broker_table, type, -1, 0));
		}
		close(fd);
	}
	close(session);
	end();
}

/* What a broker gone mad could do to a keeper: no lease is made of anything but a group and a channel. */
static void wrong_descriptors_from_the_broker(void **state)
{
	(void)state;
	begin();
	for (int kind = 0; kind < KINDS; kind++) {
		int keeper = raw_connect(world()->keeper_socket), fd = kind_open((enum kind)kind);

		raw_hello(keeper);
		for (uint16_t type = 1; type < keeper_table.count; type++) {
			if (!keeper_table.rules[type].name || type == COMMON_HELLO || type == COMMON_PING)
				continue;
			for (size_t count = 1; count <= 3; count++)
				assert_true(answer_to(keeper, &keeper_table, type, fd, count) != 0);
			expect_alive(keeper);
		}
		assert_int_equal(answer_to(keeper, &keeper_table, COMMON_PING, fd, 1), REFUSAL_MALFORMED);
		expect_alive(keeper);
		close(fd);
		close(keeper);
	}
	end();
}

/* Each request in each state that it is not for, and its answer; none changes the state. */
static void expect_wrong_state(int channel, const struct request_table *table, enum channel_state state)
{
	for (uint16_t type = 1; type < table->count; type++) {
		const struct request_rule *rule = &table->rules[type];
		int domain, r;

		if (!rule->name || (rule->states & state))
			continue;
		domain = fake_container_open();
		r = answer_to(channel, table, type, domain, rule->fds_min);
		/* Wrong in form, too, for want of elements: then that is what is said. */
		if (state == STATE_NEW || r == REFUSAL_MALFORMED)
			assert_int_equal(r, REFUSAL_MALFORMED);
		else
			assert_int_equal(r, state == STATE_BOUND ? REFUSAL_ALREADY_BOUND : REFUSAL_NOT_BOUND);
		close(domain);
	}
}

static void requests_in_wrong_states(void **state)
{
	struct packet *packet = malloc(sizeof *packet);
	const struct open_request request = {.name = EDU};
	int session, channel;

	(void)state;
	begin();
	session = raw_connect(world()->broker_socket);
	expect_wrong_state(session, &broker_table, STATE_NEW);
	raw_hello(session);
	expect_wrong_state(session, &broker_table, STATE_READY);
	raw_request(session, BROKER_OPEN, 2, &request, sizeof request);
	assert_int_equal(raw_receive(session, packet), PACKET_RECEIVED);
	channel = fdset_take(&packet->fds, 0);
	expect_wrong_state(channel, &device_table, STATE_NEW);
	raw_hello(channel);
	expect_wrong_state(channel, &device_table, STATE_READY);
	bind_to_new_domain(channel);
	expect_wrong_state(channel, &device_table, STATE_BOUND);
	assert_int_equal(answer_to(channel, &device_table, DEVICE_UNBIND, -1, 0), 0);
	expect_wrong_state(channel, &device_table, STATE_READY);
	close(channel);
	close(session);
	packet_clear(packet);
	free(packet);
	end();
}

int main(int argc, char **argv)
{
	static const struct world_options options = {.broker_arguments = {"--sessions-per-user", "1024"}};
	const struct rlimit files = {16384, 16384};
	const struct CMUnitTest tests[] = {
		CASE_IN(ten_thousand_connections, &options),
		CASE_IN(half_open_handshakes, &options),
		CASE_IN(connection_churn, &options),
		CASE_IN(slow_readers, &options),
		CASE_IN(pipelined_garbage, &options),
		CASE_IN(fork_bomb_of_opens, &options),
		CASE_IN(storm_on_one_device, &options),
		CASE_IN(revocation_storm, &options),
		CASE_IN(descriptor_floods, &options),
		CASE_IN(wrong_descriptors_to_keepers, &options),
		CASE_IN(wrong_descriptors_to_the_broker, &options),
		CASE_IN(wrong_descriptors_from_the_broker, &options),
		CASE_IN(requests_in_wrong_states, &options),
	};

	/* The broker's as well, which keeps some for itself; vfio-broker.service has its own. */
	setrlimit(RLIMIT_NOFILE, &files);
	if (getenv("VFIO_BROKER_TEST_HOSTILE_MS"))
		duration_ms = (unsigned int)strtoul(getenv("VFIO_BROKER_TEST_HOSTILE_MS"), NULL, 10);
	return HARNESS_RUN(argc, argv, "session_hostile", tests);
}
