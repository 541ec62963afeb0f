/* SPDX-License-Identifier: MIT */
#include "peer.h"
#include "probe.h"
#include "verdict.h"
#include "window-module.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A window has VFIO_WINDOW_MAPPINGS_MAX mappings in all processes: each of them costs time at a revocation. */

#define MAX	 VFIO_WINDOW_MAPPINGS_MAX
#define LIMIT_MS 1000 /* the host of the VM may be busy */

static uint8_t *mappings[MAX + 1];

/* Maps one page until that is refused. Returns the number of mappings; errno says why no more. */
static unsigned flood(int fd, unsigned most)
{
	unsigned count = 0;

	while (count < most) {
		mappings[count] = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, count % 2 ? PAGE : 0);
		if (mappings[count] == MAP_FAILED)
			break;
		count++;
	}
	return count;
}

static void drain(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		munmap(mappings[i], PAGE);
}

static void check_limit(int fd)
{
	unsigned count = flood(fd, MAX + 1);
	uint8_t *moved;

	verdict(count == MAX && errno == ENOMEM, "a window has %u mappings, and one more is ENOMEM (%u, %m)", MAX,
		count);
	verdict(munmap(mappings[0], PAGE) == 0 && flood(fd, 1) == 1, "one that is unmapped makes room for another");
	moved = mremap(mappings[1], PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	verdict(moved != MAP_FAILED, "at the limit, mremap still moves a mapping");
	mappings[1] = moved;
	drain(count);
}

static void check_split(int fd)
{
	uint8_t *wide = raw_map(fd, PROT_READ, 3 * PAGE, 0);
	unsigned count = flood(fd, MAX - 1);

	verdict_is("at the limit, a hole that makes two of one is refused", verdict_result(munmap(wide + PAGE, PAGE)),
		-ENOMEM);
	verdict(munmap(wide, 3 * PAGE) == 0, "a whole mapping can be unmapped");
	drain(count);
}

/* Children keep what they inherit until the pipe GO ends, and the pipe ENDED ends with the last of them. */
static void check_fork(int fd)
{
	int go[2], ended[2], status = 0;
	pid_t forker;
	char byte;

	if (pipe(go) < 0 || pipe(ended) < 0)
		verdict_die("pipe");
	forker = fork();
	if (forker == 0) {
		close(go[1]);
		flood(fd, MAX / 2);
		for (unsigned i = 0; i < 4; i++)
			if (fork() == 0)
				_exit(read(go[0], &byte, 1) != 0);
		_exit(0);
	}
	close(go[0]);
	close(ended[1]);
	verdict(waitpid(forker, &status, 0) == forker && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
		"a process that forks beyond the limit is killed");
	close(go[1]);
	if (read(ended[0], &byte, 1) != 0)
		verdict_die("children");
	close(ended[0]);
	verdict(flood(fd, MAX) == MAX, "when all of them have gone, there is room for %u again", MAX);
	drain(MAX);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Another set's revocation has to pass over the mappings of this one, which are at the limit. */
static void check_other_set(const struct ground *ground, int fd)
{
	int control = raw_control();
	long other = raw_window(control, ground->vfio.device, 0, ground->bar.offset, 2 * PAGE);
	unsigned count = flood(fd, MAX);
	uint8_t *window = raw_map((int)other, PROT_READ, PAGE, 0);
	uint64_t value;
	double begun;

	for (unsigned i = 0; i < count; i++)
		probe_read(mappings[i], 8, &value);
	probe_read(window, 8, &value);
	begun = now_ms();
	verdict_is("another set is revoked beside them", raw_revoke(control), 0);
	printf("# %u mappings of one window: another set's revocation took %.1f ms\n", count, now_ms() - begun);
	verdict(now_ms() - begun < LIMIT_MS, "in less than %d ms", LIMIT_MS);
	verdict_is("it is revoked", probe_read(window, 8, &value), SIGBUS);
	drain(count);
	munmap(window, PAGE);
	close((int)other);
	close(control);
}

void window_flood(struct ground *ground)
{
	int fd = ground_window(ground, VFIO_WINDOW_FLAG_WRITE, 0, 4);

	check_limit(fd);
	check_split(fd);
	check_fork(fd);
	check_other_set(ground, fd);
	close(fd);
}
