/* SPDX-License-Identifier: MIT */
#include "probe.h"
#include "verdict.h"
#include "window-module.h"

#include <errno.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * A client without privileges whose page faults stand still: the faults begin during a reset, and wait for VFIO's
 * memory_lock; when the reset ends, the faulting threads run as SCHED_IDLE beside threads that keep their CPU busy.
 * Refusing and unmapping must not wait for the faults, and nobody may reach the device afterwards.
 */

#define FAULTERS 4
#define HOGS_MAX 32
#define CLIENT	 1000

static struct shared {
	atomic_uint ready;
	atomic_bool hog, refused, end;
	atomic_ulong before, late; /* accesses that succeeded */
} * shared;

static int window;
static unsigned hogs;

/* Waiting for the faults takes seconds. The host of the VM may be busy, unless the VM's clock goes by instructions. */
static unsigned limit_ms(void)
{
	return getenv("VM_CLOCK") ? 50 : 3000;
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

/* One read, and a write of a register that the NVMe disk ignores while it is not enabled. */
static void access_once(uint8_t *page)
{
	bool refused = atomic_load(&shared->refused);
	uint64_t value;

	if (probe_read(page, 4, &value) == 0)
		atomic_fetch_add(refused ? &shared->late : &shared->before, 1);
}

static void *reader(void *unused)
{
	uint8_t *page = raw_map(window, PROT_READ, PAGE, 0);

	(void)unused;
	pin(0);
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->end)) {
		access_once(page);
		if (atomic_load(&shared->refused))
			usleep(500);
	}
	return NULL;
}

static void *faulter(void *unused)
{
	const struct sched_param none = {0};
	uint8_t *page = raw_map(window, PROT_READ, PAGE, 0);

	(void)unused;
	pin(1);
	if (sched_setscheduler(0, SCHED_IDLE, &none) < 0)
		verdict_die("SCHED_IDLE");
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->end)) {
		access_once(page);
		madvise(page, PAGE, MADV_DONTNEED);
	}
	return NULL;
}

static void *hog(void *unused)
{
	(void)unused;
	pin(1);
	while (!atomic_load(&shared->end))
		if (!atomic_load_explicit(&shared->hog, memory_order_relaxed))
			usleep(2000);
	return NULL;
}

static void client(void)
{
	pthread_t thread;

	if (setresgid(CLIENT, CLIENT, CLIENT) < 0 || setresuid(CLIENT, CLIENT, CLIENT) < 0)
		verdict_die("setresuid");
	pthread_create(&thread, NULL, reader, NULL);
	for (unsigned i = 0; i < FAULTERS; i++)
		pthread_create(&thread, NULL, faulter, NULL);
	for (unsigned i = 0; i < hogs; i++)
		pthread_create(&thread, NULL, hog, NULL);
	while (!atomic_load(&shared->end))
		usleep(5000);
	_exit(0);
}

/* Faults stand still from the middle of the reset on. */
static void reset(const struct raw_vfio *vfio)
{
	pid_t resetter = fork();

	if (resetter == 0)
		_exit(ioctl(vfio->device, VFIO_DEVICE_RESET) < 0);
	usleep(60000);
	atomic_store(&shared->hog, true);
	waitpid(resetter, NULL, 0);
	usleep(100000);
}

static void judge(int control, double begun)
{
	long result;
	double took;

	do
		result = raw_revoke_now(control);
	while (result == -EINPROGRESS);
	took = now_ms() - begun;

	atomic_store(&shared->refused, true);
	printf("# %u hogs: refused and unmapped after %.1f ms; %lu accesses before\n", hogs, took,
		atomic_load(&shared->before));
	verdict(result == 0 && took < limit_ms(), "%u hogs: REVOKE_NOW refuses and unmaps within %u ms", hogs,
		limit_ms());
	usleep(300000);
	atomic_store(&shared->hog, false);
	begun = now_ms();
	verdict_is("REVOKE waits for the faults, which go on", raw_revoke(control), 0);
	printf("# %u hogs: drained %.1f ms after they had ended\n", hogs, now_ms() - begun);
	usleep(100000);
	verdict(atomic_load(&shared->late) == 0, "%u hogs: no access succeeds afterwards, by a late fault either",
		hogs);
}

static void starve(unsigned count)
{
	struct raw_vfio vfio;
	int control = raw_control();
	pid_t pid;

	hogs = count;
	*shared = (struct shared){0};
	raw_vfio_open(&vfio, window_resetable);
	window = (int)raw_window(
		control, vfio.device, 0, raw_vfio_region(&vfio, VFIO_PCI_BAR0_REGION_INDEX).offset, PAGE);
	if (window < 0)
		verdict_die("a window over registers");
	pid = fork();
	if (pid == 0) {
		close(control);
		raw_vfio_close(&vfio);
		client();
	}
	close(window);
	pin(0);
	while (atomic_load(&shared->ready) < FAULTERS + 1)
		usleep(1000);
	usleep(50000);
	reset(&vfio);
	judge(control, now_ms());
	atomic_store(&shared->end, true);
	waitpid(pid, NULL, 0);
	close(control);
	raw_vfio_close(&vfio);
}

void window_starved(void)
{
	cpu_set_t before;

	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		verdict_die("mmap");
	sched_getaffinity(0, sizeof before, &before);
	starve(0);
	starve(HOGS_MAX / 2);
	starve(HOGS_MAX);
	sched_setaffinity(0, sizeof before, &before);
	munmap(shared, sizeof *shared);
}
