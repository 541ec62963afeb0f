/* SPDX-License-Identifier: MIT */
/*
 * trap [-u USER] [-n PACKETS] [-d DEVICE] KIND SESSION...: sends to the broker, without any right to do so, descriptors
 * whose last reference waits: for this program, so for ever. For each SESSION it prints "next: waiting", after a line
 * on standard input makes the session and prints "SESSION: waiting", and after another line sends the packets and
 * prints "SESSION: trapped", or which error the kernel gave for the descriptor. Whoever reads packets is best stopped
 * between these two. After the last session it prints "all: waiting".
 *
 * KIND, what the last reference waits for:
 *	linger		a TCP connection's peer, who does not read: SO_LINGER, 60 s
 *	fuse		a dirty page of a file whose server does not write it
 *	userfaultfd	the lock of the address space of its maker, a thread of whom reads a page that does not come
 * SESSION, where the packets with the descriptors are:
 *	raw		the first packets of a connection, instead of HELLO
 *	served		behind a PING that was answered
 *	second		behind one that was not
 *	nested		as served, but the packets carry sockets, in whose queues are the descriptors
 *	unread		behind LISTs whose replies nobody reads
 *	open		behind an OPEN of DEVICE, which is to wait
 *	refused		the first packets of a connection beyond the user's limit
 *	unaccepted	the first packets of a connection that is made just then
 *	owners=A-B	as served, of users A to B, each with more descriptors than a front keeps; alone, needs root
 * -u: this user's, in a file system that root has mounted for the user (else in one of a user namespace). Needs root.
 */
#include "message.h"
#include "raw-client.h"
#include "trap-descriptor.h"
#include "trap-file.h"
#include "verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEAR_MAX	128
#define FILLERS_MAX	64
#define TOO_MANY	70 /* above FRONT_KEPT_MAX */
#define REQUESTS_UNREAD 1000

static size_t packets = 1;
static const char *device = "";
static uid_t user = (uid_t)-1;

/* ---- descriptors ---- */

/* Made before the first is sent. Written by make_all(), taken by take_dear(). */
static struct {
	int fds[DEAR_MAX];
	size_t count, taken;
	bool files; /* number I is file I, and is to be dirtied after this program has closed it */
} dear;

static void make_all(const char *kind, size_t count)
{
	if (count > DEAR_MAX)
		exit(2);
	dear.count = count;
	if (strcmp(kind, "linger") == 0) {
		for (size_t i = 0; i < count; i++)
			dear.fds[i] = trap_descriptor_lingering();
		return;
	}
	trap_file_mount(user);
	if (strcmp(kind, "userfaultfd") == 0) {
		trap_descriptor_userfaultfds(dear.fds, count);
	} else if (strcmp(kind, "fuse") == 0) {
		dear.files = true;
		for (size_t i = 0; i < count; i++)
			dear.fds[i] = trap_file_open((unsigned)i);
	} else {
		exit(2);
	}
}

/* Sends the next descriptor, and keeps no copy; or cannot, and keeps it, because the last close would wait. 0, or a
 * negative errno. */
static long send_dear(int socket)
{
	size_t i = dear.taken++;
	long r;

	if (i == dear.count)
		exit(2);
	r = raw_send(socket, COMMON_PING, NULL, 0, dear.fds[i], 1);
	if (r < 0)
		return r;
	close(dear.fds[i]);
	if (dear.files)
		trap_file_dirty((unsigned)i);
	return 0;
}

/* ---- sessions: begin_…() returns the connection, or -1 for later ---- */

static void must(long r, const char *what)
{
	if (r < 0) {
		errno = (int)-r;
		verdict_die(what);
	}
}

static int begin_served(void)
{
	int fd = raw_connect();

	must(raw_hello(fd, RAW_PATIENCE_MS), "HELLO");
	must(raw_ping(fd, RAW_PATIENCE_MS), "PING");
	return fd;
}

static int begin_raw(void)
{
	return raw_connect();
}

/* The broker, or whoever reads for it, does not read on. Room for the packets to come is left. */
static int begin_unread(void)
{
	const struct listing_request list = {0};
	int fd = begin_served(), small = 32768, large = 212992;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	for (int i = 0, idle = 0; i < REQUESTS_UNREAD && idle < 10; i++) {
		if (raw_send(fd, BROKER_LIST, &list, sizeof list, -1, 0) == 0) {
			idle = 0;
		} else {
			idle++;
			usleep(20000);
		}
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
	return fd;
}

static int begin_open(void)
{
	struct open_request open = {0};
	int fd = begin_served();

	memcpy(open.name, device, strnlen(device, sizeof open.name - 1));
	must(raw_send(fd, BROKER_OPEN, &open, sizeof open, -1, 0), "OPEN");
	if (raw_wait(fd, 300) == 0)
		printf("# the OPEN does not wait\n");
	return fd;
}

/* As many sessions as the user may have, until begin_unaccepted(). */
static int fillers[FILLERS_MAX];

static int begin_refused(void)
{
	int r = 0;

	for (size_t i = 0; i < FILLERS_MAX && r == 0; i++) {
		fillers[i] = raw_connect();
		r = (int)raw_hello(fillers[i], RAW_PATIENCE_MS);
	}
	if (r != -ECONNREFUSED)
		printf("# the limit was not reached\n");
	return -1;
}

static int begin_unaccepted(void)
{
	for (size_t i = 0; i < FILLERS_MAX; i++) {
		if (fillers[i] > 0)
			close(fillers[i]);
	}
	/* Until that is known. */
	usleep(300000);
	return -1;
}

static long go(int fd)
{
	long r = 0;

	for (size_t i = 0; i < packets && r == 0; i++) {
		r = send_dear(fd < 0 ? raw_connect() : fd);
		/* The first may have ended the session. */
		if (r == -EPIPE && i > 0)
			return 0;
	}
	return r;
}

static long go_second(int fd)
{
	must(raw_send(fd, COMMON_PING, NULL, 0, -1, 0), "PING");
	return go(fd);
}

static long go_nested(int fd)
{
	long r = 0;

	for (size_t i = 0; i < packets && r == 0; i++) {
		int ends[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
			verdict_die("socketpair");
		must(send_dear(ends[0]), "a descriptor in a queue");
		close(ends[0]);
		r = raw_send(fd, COMMON_PING, NULL, 0, ends[1], 1);
		if (r == -EPIPE && i > 0)
			return 0;
		if (r == 0)
			close(ends[1]);
	}
	return r;
}

/* ---- many owners ---- */

static struct {
	size_t count;
	int gate[2], told[2]; /* a byte for each owner; what became of its packet */
} owners;

/* Process NUMBER, as OWNER: has descriptor NUMBER and no other, so that the last reference is the receiver's. */
static void be_owner(size_t number, uid_t owner)
{
	long r = 0;
	char byte;
	int fd;

	if (setgroups(0, NULL) < 0 || setresgid(owner, owner, owner) < 0 || setresuid(owner, owner, owner) < 0)
		verdict_die("becoming an owner");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < dear.count; i++) {
		if (i != number)
			close(dear.fds[i]);
	}
	fd = begin_served();
	(void)!write(owners.told[1], &r, sizeof r);
	(void)!read(owners.gate[0], &byte, 1);
	r = raw_send(fd, COMMON_PING, NULL, 0, dear.fds[number], TOO_MANY);
	(void)!write(owners.told[1], &r, sizeof r);
	if (r == 0)
		close(dear.fds[number]);
	for (;;)
		pause();
}

static long hear_owner(void)
{
	long r;

	if (read(owners.told[0], &r, sizeof r) != sizeof r)
		verdict_die("an owner");
	return r;
}

static void begin_owners(const char *range)
{
	uid_t first = (uid_t)atoi(range), last = (uid_t)atoi(strchr(range, '-') + 1);

	if (pipe2(owners.gate, O_CLOEXEC) < 0 || pipe2(owners.told, O_CLOEXEC) < 0)
		verdict_die("pipe");
	owners.count = last - first + 1;
	for (size_t i = 0; i < owners.count; i++) {
		if (fork() == 0)
			be_owner(i, first + (uid_t)i);
		/* One after the other: each needs a front that is being started. */
		hear_owner();
	}
	for (size_t i = 0; i < dear.count; i++)
		close(dear.fds[i]);
}

static long go_owners(void)
{
	long worst = 0;

	for (size_t i = 0; i < owners.count; i++) {
		long r;

		(void)!write(owners.gate[1], "x", 1);
		r = hear_owner();
		worst = r < 0 ? r : worst;
	}
	return worst;
}

static const struct {
	const char *name;
	int (*begin)(void);
	long (*go)(int fd);
} sessions[] = {
	{"raw", begin_raw, go},
	{"served", begin_served, go},
	{"second", begin_served, go_second},
	{"nested", begin_served, go_nested},
	{"unread", begin_unread, go},
	{"open", begin_open, go},
	{"refused", begin_refused, go},
	{"unaccepted", begin_unaccepted, go},
};

static void wait_for_line(const char *name)
{
	char line[64];

	printf("%s: waiting\n", name);
	if (!fgets(line, sizeof line, stdin))
		exit(0);
}

static void run(const char *name)
{
	long r = -EINVAL;

	wait_for_line("next");
	for (size_t i = 0; i < sizeof sessions / sizeof sessions[0]; i++) {
		int fd;

		if (strcmp(sessions[i].name, name) != 0)
			continue;
		fd = sessions[i].begin();
		wait_for_line(name);
		r = sessions[i].go(fd);
	}
	if (strncmp(name, "owners=", 7) == 0) {
		begin_owners(name + 7);
		wait_for_line(name);
		r = go_owners();
	}
	printf("%s: %s\n", name, r < 0 ? strerrorname_np((int)-r) : "trapped");
}

/* For the sessions that follow. */
static size_t count_dear(int argc, char **argv)
{
	unsigned first, last;
	size_t count = 0;

	for (int i = 0; i < argc; i++)
		count += sscanf(argv[i], "owners=%u-%u", &first, &last) == 2 ? last - first + 1 : packets;
	return count;
}

int main(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "u:n:d:")) != -1) {
		if (option == 'u')
			user = (uid_t)atoi(optarg);
		else if (option == 'n')
			packets = (size_t)atoi(optarg);
		else if (option == 'd')
			device = optarg;
		else
			return 2;
	}
	if (argc - optind < 2)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* All processes of the trap can be ended at once. */
	setpgid(0, 0);
	signal(SIGPIPE, SIG_IGN);
	make_all(argv[optind], count_dear(argc - optind - 1, argv + optind + 1));
	for (int i = optind + 1; i < argc; i++)
		run(argv[i]);
	printf("all: waiting\n");
	for (;;)
		pause();
}
