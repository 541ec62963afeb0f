/* SPDX-License-Identifier: MIT */
#include "probe.h"
#include "verdict.h"
#include "window-module.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/*
 * Pages of ones come and go while others fault them in: by the process's own order, and because VFIO zaps all that is
 * mapped of the device. The kernel complains (run looks for that) if one is freed that is still locked: not each time,
 * but 7.3 did nearly always.
 */

#define COUNT	4
#define SECONDS 4

static struct ground *ground;
static uint8_t *window;
static atomic_bool ended;
static atomic_ulong reads, wrong;

/* What one has mapped another one discards. */
static void *read_and_discard(void *unused)
{
	(void)unused;
	while (!atomic_load(&ended)) {
		uint64_t right = ground_count(window, COUNT, 8, 0, UINT64_MAX);

		atomic_fetch_add(&reads, right);
		atomic_fetch_add(&wrong, COUNT - right);
		madvise(window, COUNT * PAGE, MADV_DONTNEED);
	}
	return NULL;
}

static void *sleep_and_wake(void *unused)
{
	(void)unused;
	while (!atomic_load(&ended)) {
		raw_vfio_sleep(&ground->vfio, true);
		raw_vfio_sleep(&ground->vfio, false);
		usleep(1000);
	}
	return NULL;
}

void window_ones_race(struct ground *the_ground)
{
	void *(*const bodies[])(void *) = {read_and_discard, read_and_discard, read_and_discard, sleep_and_wake};
	pthread_t threads[sizeof bodies / sizeof bodies[0]];
	int fd;

	ground = the_ground;
	fd = ground_window(ground, VFIO_WINDOW_FLAG_ONES, 0, COUNT);
	window = raw_map(fd, PROT_READ, COUNT * PAGE, 0);
	raw_revoke(ground->control);
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
		if (pthread_create(&threads[i], NULL, bodies[i], NULL) != 0)
			verdict_die("pthread_create");
	sleep(SECONDS);
	atomic_store(&ended, true);
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
		pthread_join(threads[i], NULL);
	printf("# %lu reads of pages of ones that come and go\n", atomic_load(&reads));
	verdict(atomic_load(&reads) > 0 && atomic_load(&wrong) == 0,
		"pages of ones can be discarded while they are faulted in");
	munmap(window, COUNT * PAGE);
	close(fd);
}
