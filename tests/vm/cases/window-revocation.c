/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include "probe.h"
#include "verdict.h"
#include "window-module.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Three ways to take a window back, and the views that a client may have of it. The maker is a process that alone has
 * device and control file; the client is another, which gets the window's descriptor.
 *
 * A close does not wait for unmapping beyond VFIO_WINDOW_UNMAP_MS, which a busy host may use up. So the maker makes a
 * second window after the first, of which this process has a mapping: windows are unmapped in their order.
 */

#define FIRST 512 /* page of the BAR; a multiple of 2 MiB, so that the mapping may be huge */
#define COUNT 512

enum way { BY_REQUEST, BY_CLOSE, BY_DEATH };

static const char *const ways[] = {"REVOKE", "the last close of the control file", "SIGKILL of the maker"};

/* ---- the client ---- */

enum view_name {
	PLAIN,
	UNTOUCHED,
	MOVED,
	SMALLER,
	BEFORE_HOLE,
	BEHIND_HOLE,
	SPLIT,
	PROTECTED,
	NONLINEAR,
	VIEWS,
	/* what else is found out, in the same bit set */
	FORKED_BEFORE = VIEWS,
	FORKED_LATER,
	NEW_MAPPING,
	FINDINGS,
};

static const char *const findings[FINDINGS] = {
	[PLAIN] = "a mapping",
	[UNTOUCHED] = "a mapping that was never read",
	[MOVED] = "a mapping that mremap has moved",
	[SMALLER] = "a mapping that mremap has made smaller",
	[BEFORE_HOLE] = "what is before a hole that munmap has made",
	[BEHIND_HOLE] = "what is behind it",
	[SPLIT] = "a part that mremap has taken out of another mapping",
	[PROTECTED] = "a mapping whose middle mprotect has made read-only",
	[NONLINEAR] = "a mapping that remap_file_pages has changed",
	[FORKED_BEFORE] = "mappings that a child has inherited before",
	[FORKED_LATER] = "mappings that a child inherits later",
	[NEW_MAPPING] = "a new mapping: ENODEV",
};

struct view {
	uint8_t *address;
	uint64_t first; /* page of the window */
	uint64_t pages;
};

static uint8_t *map_all(int fd)
{
	return raw_map(fd, PROT_READ | PROT_WRITE, COUNT * PAGE, 0);
}

/* Moved to where nothing else is. */
static uint8_t *move(uint8_t *from, size_t size)
{
	void *to = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	to = to == MAP_FAILED ? to : mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (to == MAP_FAILED)
		verdict_die("mremap");
	return to;
}

static void look_at(int fd, struct view views[VIEWS])
{
	uint8_t *holed = map_all(fd), *split = map_all(fd), *protected = map_all(fd), *nonlinear = map_all(fd),
		*smaller = map_all(fd), *moved = map_all(fd);

	ground_seen(moved, FIRST, COUNT); /* so that there is something to move */
	ground_seen(split, FIRST, COUNT);
	ground_seen(holed, FIRST, COUNT);
	views[PLAIN] = (struct view){map_all(fd), 0, COUNT};
	views[UNTOUCHED] = (struct view){map_all(fd), 0, COUNT};
	views[MOVED] = (struct view){move(moved, COUNT * PAGE), 0, COUNT};
	views[SMALLER] = (struct view){mremap(smaller, COUNT * PAGE, 100 * PAGE, 0), 0, 100};
	views[BEFORE_HOLE] = (struct view){holed, 0, 200};
	views[BEHIND_HOLE] = (struct view){holed + 300 * PAGE, 300, COUNT - 300};
	views[SPLIT] = (struct view){move(split + 7 * PAGE, 100 * PAGE), 7, 100};
	views[PROTECTED] = (struct view){protected, 0, COUNT};
	views[NONLINEAR] = (struct view){nonlinear, 400, 50};
	if (munmap(holed + 200 * PAGE, 100 * PAGE) < 0 || mprotect(protected + 50 * PAGE, 10 * PAGE, PROT_READ) < 0 ||
		remap_file_pages(nonlinear, 50 * PAGE, 0, 400, 0) < 0)
		verdict_die("a view");
}

/* A set of the views that do not show the window. */
static long not_seen(const struct view views[VIEWS])
{
	long set = 0;

	for (unsigned i = 0; i < VIEWS; i++)
		if (i != UNTOUCHED && !ground_seen(views[i].address, FIRST + views[i].first, views[i].pages))
			set |= 1L << i;
	return set;
}

/* A set of the views that are not revoked: one page that does not fault, or is not all ones, is enough. */
static long not_revoked(const struct view views[VIEWS], bool ones)
{
	long set = 0;

	for (unsigned i = 0; i < VIEWS; i++)
		if (ground_count(views[i].address, views[i].pages, 8, ones ? 0 : SIGBUS, ~UINT64_C(0)) !=
			views[i].pages)
			set |= 1L << i;
	return set;
}

/* A child that waits for a byte and then looks. */
static pid_t start_child(const struct view views[VIEWS], bool ones, int pipe_end)
{
	pid_t pid = fork();
	char byte;

	if (pid != 0)
		return pid;
	_exit(read(pipe_end, &byte, 1) == 1 && not_revoked(views, ones) == 0 ? 0 : 1);
}

static bool child_failed(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void client(int socket)
{
	struct view views[VIEWS];
	int fd, pipe_ends[2];
	bool ones = peer_receive(socket, &fd);
	pid_t before;
	long set;

	if (pipe(pipe_ends) < 0)
		verdict_die("pipe");
	look_at(fd, views);
	before = start_child(views, ones, pipe_ends[0]);
	peer_send(socket, not_seen(views), -1);

	peer_receive(socket, NULL);
	set = not_revoked(views, ones);
	if (write(pipe_ends[1], "12", 2) != 2 || child_failed(before))
		set |= 1L << FORKED_BEFORE;
	if (child_failed(start_child(views, ones, pipe_ends[0])))
		set |= 1L << FORKED_LATER;
	if (mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED || errno != ENODEV)
		set |= 1L << NEW_MAPPING;
	peer_send(socket, set, -1);
}

/* ---- the maker ---- */

static void maker(int socket)
{
	struct ground ground;
	uint32_t flags = (uint32_t)peer_receive(socket, NULL);

	ground_open(&ground);
	peer_send(socket, 0, ground_window(&ground, flags, FIRST, COUNT));
	peer_send(socket, 0, ground_window(&ground, 0, FIRST, 1));
	/* Its own copies of the descriptors are no matter: they stay open. */
	if (peer_receive(socket, NULL) == BY_REQUEST)
		peer_send(socket, raw_revoke(ground.control), -1);
	else
		peer_send(socket, close(ground.control), -1);
	peer_receive(socket, NULL);
}

static void take_back(struct peer *peer, enum way way, const uint8_t *second)
{
	uint64_t value;

	if (probe_read(second, 8, &value) != 0)
		verdict_die("the second window");
	if (way == BY_DEATH)
		peer_kill(peer);
	else if (peer_ask(peer, way, -1) != 0)
		verdict_die("revocation");
	if (way != BY_REQUEST && probe_until(second, SIGBUS) < 0)
		verdict_die("the second window is still there");
}

static void check_way(enum way way, uint32_t flags)
{
	const char *then = flags & VFIO_WINDOW_FLAG_ONES ? "ones" : "SIGBUS";
	struct peer made_by, used_by;
	int fd, second_fd;
	uint8_t *second;
	long set;

	peer_start(&made_by, maker);
	peer_start(&used_by, client);
	peer_send(made_by.socket, flags, -1);
	peer_receive(made_by.socket, &fd);
	peer_receive(made_by.socket, &second_fd);
	second = raw_map(second_fd, PROT_READ, PAGE, 0);
	close(second_fd);
	set = peer_ask(&used_by, (flags & VFIO_WINDOW_FLAG_ONES) != 0, fd);
	close(fd);
	verdict(set == 0, "before %s (%s): a client sees the window in all its mappings", ways[way], then);
	take_back(&made_by, way, second);
	munmap(second, PAGE);
	set = peer_ask(&used_by, 0, -1);
	for (unsigned i = 0; i < FINDINGS; i++)
		verdict(!(set & 1L << i), "revoked by %s (%s): %s", ways[way], then, findings[i]);
	peer_end(&used_by);
	if (way != BY_DEATH) {
		peer_send(made_by.socket, 0, -1);
		peer_end(&made_by);
	}
}

void window_revocation(void)
{
	for (enum way way = BY_REQUEST; way <= BY_DEATH; way++) {
		check_way(way, VFIO_WINDOW_FLAG_WRITE);
		check_way(way, VFIO_WINDOW_FLAG_WRITE | VFIO_WINDOW_FLAG_ONES);
	}
}

/* ---- what goes on ---- */

void window_others(struct ground *ground)
{
	int revoked = ground_window(ground, VFIO_WINDOW_FLAG_WRITE, FIRST, COUNT), other_control = raw_control();
	long other = raw_window(other_control, ground->vfio.device, VFIO_WINDOW_FLAG_WRITE,
		ground->bar.offset + FIRST * PAGE, COUNT * PAGE);
	uint8_t *window = map_all(revoked), *others;
	uint64_t value = 0;

	if (other < 0)
		verdict_die("another window");
	others = map_all((int)other);
	verdict(ground_seen(window, FIRST, COUNT) && ground_seen(others, FIRST, COUNT),
		"two windows over the same pages");
	raw_revoke(ground->control);
	verdict_is("one is revoked", probe_read(window, 8, &value), SIGBUS);
	verdict(ground_seen(others, FIRST, COUNT), "the other one, from another control file, goes on");
	verdict(ground_seen(ground->direct + FIRST * PAGE, FIRST, COUNT), "VFIO's own mapping goes on");
	verdict(pread(ground->vfio.device, &value, 8, (off_t)ground->bar.offset + FIRST * PAGE) == 8 &&
			value == ground_mark(FIRST),
		"pread of the device goes on");
	verdict(probe_write(others + 16, 4, 0xabcd1234) == 0 &&
			*(volatile uint32_t *)(ground->direct + FIRST * PAGE + 16) == 0xabcd1234,
		"the other one can still be written to");
	munmap(window, COUNT * PAGE);
	close(revoked);
	revoked = ground_window(ground, VFIO_WINDOW_FLAG_WRITE, FIRST, COUNT);
	window = map_all(revoked);
	verdict(ground_seen(window, FIRST, COUNT), "a new one of the same control file works");
	close(other_control);
	verdict(ground_seen(window, FIRST, COUNT), "it goes on when the other control file is closed");
	verdict_is("the other one is revoked then", probe_until(others, SIGBUS), 0);
	munmap(window, COUNT * PAGE);
	munmap(others, COUNT * PAGE);
	close(revoked);
	close((int)other);
}

/* ---- ones ---- */

#define ONES UINT64_MAX

static void check_widths(const uint8_t *window)
{
	for (unsigned width = 1; width <= 8; width *= 2) {
		uint64_t expected = ONES >> (64 - 8 * width), good = 0;

		for (unsigned at = 0; at < PAGE; at += 512 + width)
			good += ground_count(window + at / width * width, COUNT - 1, width, 0, expected) == COUNT - 1;
		verdict(good == (PAGE + 511 + width) / (512 + width),
			"after revocation, all reads of %u bytes give ones", width);
	}
}

/* In a process that had the mapping before, in one that is forked now, and where the device is. */
static void check_writes(const struct ground *ground, uint8_t *window, const struct peer *earlier)
{
	uint64_t value = 0;
	pid_t child;

	verdict(probe_write(window, 8, 0) == 0 && probe_read(window, 8, &value) == 0 && value == 0,
		"after revocation, a process reads what it has written");
	verdict(probe_read(window + 8, 8, &value) == 0 && value == ONES, "the rest of that page is ones");
	verdict_is("other pages are ones", (long)ground_count(window + PAGE, COUNT - 1, 8, 0, ONES), COUNT - 1);
	verdict(pread(ground->vfio.device, &value, 8, (off_t)ground->bar.offset + FIRST * PAGE) == 8 &&
			value == ground_mark(FIRST),
		"the device does not have what was written");
	verdict_is("nor does another process's mapping", peer_ask(earlier, 0, -1), 0);
	madvise(window, COUNT * PAGE, MADV_KEEPONFORK); /* makes no difference */
	child = fork();
	if (child == 0)
		_exit(ground_count(window, COUNT, 8, 0, ONES) != COUNT);
	verdict(!child_failed(child), "nor does a child that is forked later");
	verdict(probe_read(window, 8, &value) == 0 && value == 0, "the process still has it");
}

/* Touches its mapping when it gets the window, and again when it is asked. */
static void earlier_client(int socket)
{
	int fd;
	uint8_t *window;

	peer_receive(socket, &fd);
	window = map_all(fd);
	peer_send(socket, !ground_seen(window, FIRST, COUNT), -1);
	peer_receive(socket, NULL);
	peer_send(socket, ground_count(window, COUNT, 8, 0, ONES) != COUNT, -1);
}

void window_ones(struct ground *ground)
{
	int fd = ground_window(ground, VFIO_WINDOW_FLAG_WRITE | VFIO_WINDOW_FLAG_ONES, FIRST, COUNT),
	    read_only = ground_window(ground, VFIO_WINDOW_FLAG_ONES, FIRST, COUNT);
	uint8_t *window = map_all(fd), *other = raw_map(read_only, PROT_READ, COUNT * PAGE, 0);
	struct peer earlier;

	peer_start(&earlier, earlier_client);
	verdict_is("another process sees a window that will give ones", peer_ask(&earlier, 0, fd), 0);
	verdict(ground_seen(window, FIRST, COUNT) && ground_seen(other, FIRST, COUNT), "so does this one");
	verdict_is("it is revoked", raw_revoke(ground->control), 0);
	check_widths(window);
	check_writes(ground, window, &earlier);
	verdict_is("one that was not writable reads as ones", (long)ground_count(other, COUNT, 8, 0, ONES), COUNT);
	verdict_is("it is not writable now", probe_write(other, 4, 0), SIGSEGV);
	verdict(madvise(window, COUNT * PAGE, MADV_DONTNEED) == 0 && ground_count(window, COUNT, 8, 0, ONES) == COUNT,
		"MADV_DONTNEED brings the ones back");
	verdict(ground_seen(ground->direct, 0, ground->bar.size / PAGE), "the device has all that it had");
	munmap(window, COUNT * PAGE);
	munmap(other, COUNT * PAGE);
	close(fd);
	close(read_only);
	peer_end(&earlier);
}
