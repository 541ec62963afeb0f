/* SPDX-License-Identifier: MIT */
#include "revocations.h"

#include "domain.h"
#include "figure.h"
#include "samples.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vfio-broker.h>

/*
 * The client of tests/vm/cases/window-starved.c, with a lease: page faults begin during a reset, and wait for VFIO's
 * memory_lock. When the reset ends, the faulting threads have the lock, and run as SCHED_IDLE beside threads that keep
 * their processor busy. Whoever needs the lock waits for the faulting threads. Another thread reads a register as
 * often as it can.
 */

#define PAGE	    4096
#define VERSION	    8 /* register of NVMe that does not change, and is not all ones */
#define FAULTERS    4
#define HOGS	    32
#define TARGET_MS   50
#define MASTER_BITS (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)
#define PATIENCE_NS UINT64_C(20000000000)

static struct shared {
	atomic_uint ready;
	atomic_bool reset, was_reset, hog, end;
	atomic_ulong accesses, last_ns; /* that succeeded; the time of the last */
} * shared;

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

/* ---- the client ---- */

static void *reader(void *registers)
{
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->end)) {
		if (vbroker_load32((volatile uint8_t *)registers + VERSION) == UINT32_MAX) {
			usleep(500);
			continue;
		}
		atomic_store(&shared->last_ns, now_ns());
		atomic_fetch_add(&shared->accesses, 1);
	}
	return NULL;
}

static void *faulter(void *registers)
{
	const struct sched_param none = {0};

	pin(1);
	if (sched_setscheduler(0, SCHED_IDLE, &none) < 0)
		die("SCHED_IDLE");
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->end)) {
		vbroker_load32((volatile uint8_t *)registers + VERSION);
		madvise(registers, PAGE, MADV_DONTNEED);
	}
	return NULL;
}

static void *hog(void *unused)
{
	(void)unused;
	pin(1);
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->end)) {
		if (!atomic_load_explicit(&shared->hog, memory_order_relaxed))
			usleep(2000);
	}
	return NULL;
}

static void *map_registers(struct vbroker_device *device)
{
	struct vbroker_window *window;
	volatile void *registers;

	must(vbroker_window_open(device, 0, 0, PAGE, VBROKER_WINDOW_ONES, &window), "window");
	must(vbroker_window_map(window, &registers), "mapping");
	return (void *)registers;
}

static void begin_thread(void *(*run)(void *), void *registers)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, registers) != 0)
		die("a thread");
}

static void client(const char *name) __attribute__((noreturn));
static void client(const char *name)
{
	struct vbroker_device *device;
	void *faulting;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	must(vbroker_open(name, &device), name);
	begin_thread(reader, map_registers(device));
	faulting = map_registers(device);
	for (unsigned int i = 0; i < FAULTERS; i++)
		begin_thread(faulter, faulting);
	for (unsigned int i = 0; i < HOGS; i++)
		begin_thread(hog, NULL);
	while (!atomic_load(&shared->reset))
		usleep(1000);
	must(vbroker_device_reset(device), "reset");
	atomic_store(&shared->was_reset, true);
	while (!atomic_load(&shared->end))
		usleep(5000);
	_exit(EXIT_SUCCESS);
}

/* ---- the revocation ---- */

struct revocation {
	const char *name;
	struct vbroker_revocation course;
};

static void *take_back(void *context)
{
	struct revocation *revocation = context;
	struct vbroker_session *session;

	must(vbroker_session_open(NULL, &session), "session");
	must(vbroker_session_revoke(session, revocation->name, 0, &revocation->course), "revoke");
	vbroker_session_close(session);
	return NULL;
}

static void await(const atomic_bool *flag)
{
	while (!atomic_load(flag))
		usleep(1000);
}

static uint16_t command(int config)
{
	uint8_t bytes[2];

	if (pread(config, bytes, sizeof bytes, PCI_COMMAND) != sizeof bytes)
		die("configuration space");
	return (uint16_t)(bytes[0] | bytes[1] << 8);
}

/* In the state in which the faults stand still. Returns the nanoseconds from the order to quiet. *HELD_US: the shortest
 * time from an order to the end, which waits for the faults. */
static uint64_t time_revocation(const char *name, int config, uint64_t *held_us)
{
	struct revocation revocation = {.name = name};
	uint64_t began = now_ns(), quiet_at, last;
	pthread_t thread;

	if (pthread_create(&thread, NULL, take_back, &revocation) != 0)
		die("a thread");
	while (command(config) & PCI_COMMAND_MASTER) {
		if (now_ns() - began > PATIENCE_NS)
			die("%s: bus mastering stays on", name);
		usleep(300);
	}
	quiet_at = now_ns();
	/* An access after this would be found. */
	usleep(300000);
	last = atomic_load(&shared->last_ns);
	atomic_store(&shared->hog, false);
	pthread_join(thread, NULL);
	if (revocation.course.result != VBROKER_REVOKE_COMPLETE)
		die("%s: revocation: %s", name, revocation.course.detail);
	if (revocation.course.time_us < *held_us)
		*held_us = revocation.course.time_us;
	return (last > quiet_at ? last : quiet_at) - began;
}

static uint64_t revoke_once(const char *name, int config, uint64_t *held_us)
{
	uint64_t took;
	pid_t pid;

	*shared = (struct shared){0};
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		client(name);
	while (atomic_load(&shared->ready) < 1 + FAULTERS + HOGS) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			die("the client has ended");
		usleep(1000);
	}
	usleep(50000);
	/* Faults stand still from the middle of the reset on. */
	atomic_store(&shared->reset, true);
	usleep(60000);
	atomic_store(&shared->hog, true);
	await(&shared->was_reset);
	usleep(100000);
	if ((command(config) & MASTER_BITS) != MASTER_BITS || atomic_load(&shared->accesses) == 0)
		die("%s: not in use", name);
	took = time_revocation(name, config, held_us);
	atomic_store(&shared->end, true);
	waitpid(pid, NULL, 0);
	return took;
}

void bench_revocations(const char *device, unsigned int count)
{
	uint64_t worst = 0, sum = 0, held_us = UINT64_MAX;
	struct figure figure;
	char path[128];
	int config;

	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/config", device);
	config = open(path, O_RDONLY | O_CLOEXEC);
	if (shared == MAP_FAILED || config < 0)
		die("%s", path);
	for (unsigned int i = 0; i < count; i++) {
		uint64_t took = revoke_once(device, config, &held_us);

		sum += took;
		if (took > worst)
			worst = took;
	}
	figure = figure_number("revocation_quiet_ms", "ms", (double)worst / 1e6, TARGET_MS);
	figure.decimals = 1;
	snprintf(figure.remark, sizeof figure.remark, "worst of %u, mean %.1f; the faults held the end up for %.0f ms",
		count, count ? (double)sum / count / 1e6 : 0, (double)held_us / 1e3);
	figure_add(&figure);
	close(config);
	munmap(shared, sizeof *shared);
}
