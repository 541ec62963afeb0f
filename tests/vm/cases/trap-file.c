/* SPDX-License-Identifier: MIT */
#include "trap-file.h"

#include "raw-client.h"
#include "verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FOLDER	   "/tmp/trap"
#define NODE_FIRST 2 /* the node of file 0; 1 is the folder */
#define SECONDS	   3600
#define PAGE	   4096

static union {
	struct fuse_in_header header;
	uint8_t bytes[FUSE_MIN_READ_BUFFER + (1 << 17)];
} request;

/* Shared with the server. */
static volatile bool *is_read;

/* ---- the server ---- */

static void answer(int fuse, int error, void *payload, size_t size)
{
	struct fuse_out_header out = {(uint32_t)(sizeof out + size), error, request.header.unique};
	struct iovec parts[] = {{&out, sizeof out}, {payload, size}};

	/* Who asked may have been interrupted meanwhile (ENOENT). */
	(void)!writev(fuse, parts, size > 0 ? 2 : 1);
}

static void answer_init(int fuse)
{
	const struct fuse_init_in *in = (const void *)(&request.header + 1);
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = PAGE};

	/* Without it a write is sent at once, and nothing stays dirty. */
	out.flags = in->flags & FUSE_WRITEBACK_CACHE;
	answer(fuse, 0, &out, sizeof out);
}

static struct fuse_attr attributes(uint64_t node)
{
	if (node == FUSE_ROOT_ID)
		return (struct fuse_attr){.ino = node, .mode = S_IFDIR | 0755, .nlink = 2};
	return (struct fuse_attr){.ino = node, .mode = S_IFREG | 0666, .nlink = 1, .size = 16 * PAGE};
}

static void answer_attributes(int fuse)
{
	struct fuse_attr_out out = {.attr_valid = SECONDS, .attr = attributes(request.header.nodeid)};

	answer(fuse, 0, &out, sizeof out);
}

/* The name is the number. The folder itself would not do as the file: its inode is made before INIT, and has no times
 * of its own. */
static void answer_lookup(int fuse)
{
	uint64_t node = NODE_FIRST + strtoull((const char *)(&request.header + 1), NULL, 10);
	struct fuse_entry_out out = {.nodeid = node, .generation = 1, .entry_valid = SECONDS, .attr_valid = SECONDS};

	out.attr = attributes(node);
	answer(fuse, 0, &out, sizeof out);
}

static void answer_open(int fuse)
{
	struct fuse_open_out out = {.fh = 1};

	answer(fuse, 0, &out, sizeof out);
}

static void serve(int fuse)
{
	switch (request.header.opcode) {
	case FUSE_INIT:
		answer_init(fuse);
		break;
	case FUSE_GETATTR:
		answer_attributes(fuse);
		break;
	case FUSE_LOOKUP:
		answer_lookup(fuse);
		break;
	case FUSE_OPEN:
		answer_open(fuse);
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
		answer(fuse, 0, NULL, 0);
		break;
	case FUSE_READ: /* the traps */
		*is_read = true;
		break;
	case FUSE_WRITE:
	case FUSE_SETATTR:
	case FUSE_FORGET: /* these have no answer */
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		answer(fuse, -ENOSYS, NULL, 0);
	}
}

static void run_server(int fuse)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		ssize_t size = read(fuse, request.bytes, sizeof request.bytes);

		if (size >= (ssize_t)sizeof request.header)
			serve(fuse);
		else if (size < 0 && errno != EINTR && errno != ENOENT && errno != EAGAIN)
			_exit(1);
	}
}

/* ---- the mount ---- */

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		verdict_die(path);
	close(fd);
}

static void enter_namespaces(void)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	char map[64];

	if (uid == 0) {
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			verdict_die("mount namespace");
		return;
	}
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		verdict_die("user namespace");
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof map, "0 %u 1", uid);
	write_file("/proc/self/uid_map", map);
	snprintf(map, sizeof map, "0 %u 1", gid);
	write_file("/proc/self/gid_map", map);
}

static void become(uid_t user)
{
	if (setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 || setresuid(user, user, user) < 0)
		verdict_die("becoming a user");
	/* Or /proc/self is root's. */
	prctl(PR_SET_DUMPABLE, 1);
}

void trap_file_mount(uid_t user)
{
	uid_t owner = user == (uid_t)-1 ? 0 : user;
	char options[128];
	int fuse;

	is_read = mmap(NULL, sizeof *is_read, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	enter_namespaces();
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (is_read == MAP_FAILED || fuse < 0)
		verdict_die("/dev/fuse");
	snprintf(options, sizeof options, "fd=%d,rootmode=40755,user_id=%u,group_id=%u", fuse, owner, owner);
	if (mount("tmpfs", "/tmp", "tmpfs", 0, NULL) < 0 || mkdir(FOLDER, 0755) < 0 ||
		mount("trap", FOLDER, "fuse.trap", MS_NOSUID | MS_NODEV, options) < 0)
		verdict_die("mount");
	fflush(stdout);
	if (fork() == 0)
		run_server(fuse);
	close(fuse);
	if (user != (uid_t)-1)
		become(user);
}

/* ---- its files ---- */

int trap_file_open(unsigned number)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, FOLDER "/%u", number);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		verdict_die(path);
	return fd;
}

void trap_file_dirty(unsigned number)
{
	static const char page[PAGE];
	int fd = trap_file_open(number);

	/* A whole page, which needs no READ. FD stays open: to close it would wait, too. */
	if (pwrite(fd, page, sizeof page, 0) != sizeof page)
		verdict_die("a dirty page");
}

void trap_file_await_read(void)
{
	for (int i = 0; !*is_read; i++) {
		if (i == RAW_PATIENCE_MS)
			verdict_die("a page that does not come is read");
		usleep(1000);
	}
}
