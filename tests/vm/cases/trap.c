/* SPDX-License-Identifier: MIT */
/*
 * trap [-u USER] [-n PACKETS] [-d DEVICE] KIND SESSION...: sends to the broker, without any right to do so, descriptors
 * whose last reference waits: for this program, so for ever. For each SESSION it prints "SESSION: waiting" when the
 * session is there, and after a line on standard input "SESSION: trapped" (or which error the kernel gave for the
 * descriptor), after the last one "all: waiting". Whoever reads the packets is best stopped meanwhile.
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
 *	owners=A-B	as served, of users A to B, each with more descriptors than a front keeps; needs root
 * -u: this user's, in a file system that root has mounted for the user (else in one of a user namespace). Needs root.
 */
#include "message.h"
#include "raw-client.h"
#include "trap-file.h"
#include "verdict.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEAR_MAX	128
#define LINGER_S	60
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

static int make_lingering(void)
{
	static const char junk[1 << 16];
	const struct linger linger = {1, LINGER_S};
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, small = 4096;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	/* The accepted end stays open, and nobody reads there. */
	if (bind(listener, (void *)&address, size) < 0 || listen(listener, 1) < 0 ||
		getsockname(listener, (void *)&address, &size) < 0 || connect(fd, (void *)&address, size) < 0 ||
		accept4(listener, NULL, NULL, SOCK_CLOEXEC) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		verdict_die("a TCP connection");
	close(listener);
	/* The peer takes more and more, for a while. */
	for (int i = 0; i < 10; i++) {
		while (write(fd, junk, sizeof junk) > 0)
			;
		usleep(2000);
	}
	return fd;
}

/* A process that makes COUNT descriptors, sends them to SOCKET, and keeps the lock of its address space. */
static void make_userfaultfds(int socket, size_t count)
{
	volatile char *page;
	char byte;
	int memory;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, trap_file_open(0), 0);
	memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	if (page == MAP_FAILED || memory < 0)
		verdict_die("/proc/self/mem");
	for (size_t i = 0; i < count; i++) {
		int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

		if (fd < 0 || raw_send(socket, 1, NULL, 0, fd, 1) < 0)
			verdict_die("userfaultfd");
		close(fd);
	}
	/* The page does not come: this waits with the lock. */
	(void)!pread(memory, &byte, 1, (off_t)(uintptr_t)page);
	_exit(1);
}

static int take_over(int socket)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	char bytes[64];
	struct iovec part = {bytes, sizeof bytes};
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0 || message.msg_controllen == 0)
		verdict_die("the other process has ended early");
	memcpy(&fd, CMSG_DATA(&control.align), sizeof fd);
	return fd;
}

static void take_userfaultfds(size_t count)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		verdict_die("socketpair");
	fflush(stdout);
	if (fork() == 0) {
		close(ends[0]);
		make_userfaultfds(ends[1], count);
	}
	close(ends[1]);
	for (size_t i = 0; i < count; i++)
		dear.fds[i] = take_over(ends[0]);
	close(ends[0]);
	for (int i = 0; !trap_file_is_read(); i++) {
		if (i == RAW_PATIENCE_MS)
			verdict_die("a page that does not come is read");
		usleep(1000);
	}
}

static void make_all(const char *kind, size_t count)
{
	if (count > DEAR_MAX)
		exit(2);
	dear.count = count;
	if (strcmp(kind, "linger") == 0) {
		for (size_t i = 0; i < count; i++)
			dear.fds[i] = make_lingering();
		return;
	}
	trap_file_mount(user);
	if (strcmp(kind, "userfaultfd") == 0) {
		take_userfaultfds(count);
	} else if (strcmp(kind, "fuse") == 0) {
		dear.files = true;
		for (size_t i = 0; i < count; i++)
			dear.fds[i] = trap_file_open((unsigned)i);
	} else {
		exit(2);
	}
}

/* Sends the next descriptor, FDS times, and keeps no copy. 0, or a negative errno. */
static long send_dear(int socket, size_t fds)
{
	size_t i = dear.taken++;
	long r;

	if (i == dear.count)
		exit(2);
	r = raw_send(socket, COMMON_PING, NULL, 0, dear.fds[i], fds);
	close(dear.fds[i]);
	if (r == 0 && dear.files)
		trap_file_dirty((unsigned)i);
	return r;
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

/* As many sessions as the user may have. */
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

static int begin_later(void)
{
	return -1;
}

static long go(int fd)
{
	long r = 0;

	for (size_t i = 0; i < packets && r == 0; i++)
		r = send_dear(fd < 0 ? raw_connect() : fd, 1);
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
		must(send_dear(ends[0], 1), "a descriptor in a queue");
		close(ends[0]);
		r = raw_send(fd, COMMON_PING, NULL, 0, ends[1], 1);
		close(ends[1]);
	}
	return r;
}

/* Sends, from now on as OWNER, more descriptors than a front keeps. Then this process stays. */
static void be_owner(uid_t owner, int ready)
{
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (setgroups(0, NULL) < 0 || setresgid(owner, owner, owner) < 0 || setresuid(owner, owner, owner) < 0)
		verdict_die("becoming an owner");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = begin_served();
	dear.taken = owner % dear.count;
	if (send_dear(fd, TOO_MANY) < 0)
		verdict_die("as an owner");
	for (size_t i = 0; i < dear.count; i++)
		close(dear.fds[i]);
	(void)!write(ready, "x", 1);
	for (;;)
		pause();
}

static long go_owners(const char *range)
{
	uid_t first = (uid_t)atoi(range), last = (uid_t)atoi(strchr(range, '-') + 1);
	int ready[2];
	char byte;

	if (pipe2(ready, O_CLOEXEC) < 0)
		verdict_die("pipe");
	for (uid_t owner = first; owner <= last; owner++) {
		fflush(stdout);
		if (fork() == 0)
			be_owner(owner, ready[1]);
		/* One after the other: each needs a front that is being started. */
		if (read(ready[0], &byte, 1) != 1)
			verdict_die("an owner");
	}
	for (size_t i = 0; i < dear.count; i++)
		close(dear.fds[i]);
	return 0;
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
	{"unaccepted", begin_later, go},
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

	for (size_t i = 0; i < sizeof sessions / sizeof sessions[0]; i++) {
		int fd;

		if (strcmp(sessions[i].name, name) != 0)
			continue;
		fd = sessions[i].begin();
		wait_for_line(name);
		r = sessions[i].go(fd);
	}
	if (strncmp(name, "owners=", 7) == 0) {
		wait_for_line(name);
		r = go_owners(name + 7);
	}
	printf("%s: %s\n", name, r < 0 ? strerrorname_np((int)-r) : "trapped");
}

/* Of the sessions that follow, with room for owners=A-B. */
static size_t count_dear(int argc, char **argv)
{
	size_t count = 0;

	for (int i = 0; i < argc; i++)
		count += strncmp(argv[i], "owners=", 7) == 0 ? 64 : packets;
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
	signal(SIGPIPE, SIG_IGN);
	make_all(argv[optind], count_dear(argc - optind - 1, argv + optind + 1));
	for (int i = optind + 1; i < argc; i++)
		run(argv[i]);
	printf("all: waiting\n");
	for (;;)
		pause();
}
