/* SPDX-License-Identifier: MIT */
#include "probe.h"
#include "verdict.h"
#include "window-module.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A process that has its writes tracked (4 to /proc/PID/clear_refs) still writes to windows: the kernel protects the
 * entries of windows, and the first write to each must come to its end.
 */

#define HUGE	((uint64_t)2 << 20)
#define SECONDS 3 /* until a write that is tried for ever is given up */

static void track(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "4", 1) != 1)
		verdict_die("/proc/self/clear_refs");
	close(fd);
}

/* In a child, because a write that never ends takes the process with it. */
static int write_while_tracked(int fd, uint64_t size, bool zapped)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		uint8_t *window = raw_map(fd, PROT_READ | PROT_WRITE, size, 0);
		int failed = probe_write(window + 64, 8, 1);

		track();
		if (zapped)
			madvise(window, size, MADV_DONTNEED);
		alarm(SECONDS);
		for (uint64_t at = 64; at < size; at += 64 * PAGE)
			failed |= probe_write(window + at, 8, at);
		track();
		failed |= probe_write(window + 64, 8, 2);
		_exit(failed != 0);
	}
	if (waitpid(pid, &status, 0) != pid)
		verdict_die("waitpid");
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

void window_softdirty(struct ground *ground)
{
	static const uint32_t flags[] = {VFIO_WINDOW_FLAG_WRITE, VFIO_WINDOW_FLAG_WRITE | VFIO_WINDOW_FLAG_ONES};
	static const char *const names[] = {"a window", "a window of ones"};

	for (size_t i = 0; i < 2; i++) {
		int fd = ground_window(ground, flags[i], 0, 2 * HUGE / PAGE);

		verdict(write_while_tracked(fd, 2 * HUGE, false) == 0, "%s is written to while writes are tracked",
			names[i]);
		verdict(write_while_tracked(fd, 2 * HUGE, true) == 0, "%s is, too, where its entries were zapped",
			names[i]);
		verdict(write_while_tracked(fd, 16 * PAGE, false) == 0, "%s of small pages is", names[i]);
		close(fd);
	}
	verdict(*(volatile uint64_t *)(ground->direct + 64) == 2, "the device has what was written last");
}
