/* SPDX-License-Identifier: MIT */
/*
 * revocations DEVICE COUNT: takes an edu device back COUNT times, at random moments, from two users who have it in
 * turns, with DMA into their memory, commands, and, where there are register windows, loads in a loop.
 *
 * Whoever has lost it watches its memory, and goes on to try the device's registers, while the other one has the device
 * and does the same DMA: after "complete" not one byte may come, and not one access may succeed.
 */
#include "edu-registers.h"
#include "verdict.h"

#include <grp.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IOVA	    0x100000
#define LENGTH	    4096
#define PATTERN	    0xa7
#define USERS	    2
#define WAIT_MS	    30000
#define TRIES_AFTER 2000 /* loads, and a hundredth of that commands, after completion */

/* One user's state, in memory that all processes share. */
struct user {
	atomic_int go;	     /* the number of the turn that it may begin */
	atomic_int running;  /* the turn in which it has the device, and DMA is under way */
	atomic_int complete; /* the turn whose revocation is complete */
	atomic_int watching; /* the turn after which it watches its memory */
	atomic_int failed;   /* it could not do its part */
	atomic_ulong loads, loads_after, commands, commands_after, bytes_after, dmas;
	atomic_int windows;
};

static struct user *users;
static atomic_int *stop; /* in the same memory */
static const char *device_name;

static void nap_us(long us)
{
	nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

/* False: it has not come to that in time. */
static bool await(const atomic_int *value, int turn)
{
	for (int i = 0; i < WAIT_MS * 5; i++) {
		if (atomic_load(value) >= turn)
			return true;
		nap_us(200);
	}
	return false;
}

/* ---- a user ---- */

struct holder {
	struct user *user;
	struct vbroker_session *session;
	struct vbroker_device *device;
	struct vbroker_domain *domain;
	struct vbroker_window *window;
	volatile uint32_t *registers; /* NULL: no windows here */
	uint8_t *memory;
};

static int take(struct holder *h)
{
	volatile void *address = NULL;
	uint64_t iova;
	int r = vbroker_session_open(NULL, &h->session);

	if (r == 0)
		r = vbroker_device_open(h->session, device_name, &h->device);
	if (r == 0)
		r = vbroker_domain_open(&h->domain);
	if (r == 0)
		r = vbroker_device_bind(h->device, h->domain);
	if (r == 0)
		r = vbroker_domain_map(
			h->domain, h->memory, LENGTH, VBROKER_DEVICE_READS | VBROKER_DEVICE_WRITES, IOVA, &iova);
	if (r == 0 && vbroker_window_open(h->device, 0, 0, 4096, VBROKER_WINDOW_ONES, &h->window) == 0 &&
		vbroker_window_map(h->window, &address) == 0)
		atomic_store(&h->user->windows, 1);
	h->registers = (volatile uint32_t *)address;
	if (r != 0) {
		char text[512];

		printf("# cannot take it: %s\n", vbroker_describe_result(r, text, sizeof text));
	}
	return r;
}

static void leave(struct holder *h)
{
	vbroker_window_close(h->window);
	vbroker_device_close(h->device);
	vbroker_domain_close(h->domain);
	vbroker_session_close(h->session);
	h->window = NULL;
	h->registers = NULL;
	h->device = NULL;
	h->domain = NULL;
	h->session = NULL;
}

/* A DMA of zeroes into memory, which is not waited for: it comes 100 ms later. */
static int start_dma(struct holder *h)
{
	struct vbroker_op ops[] = {
		{.kind = VBROKER_OP_WRITE, .offset = 0x80, .value = EDU_BUFFER},
		{.kind = VBROKER_OP_WRITE, .offset = 0x88, .value = IOVA},
		{.kind = VBROKER_OP_WRITE, .offset = 0x90, .value = LENGTH - 1},
		{.kind = VBROKER_OP_WRITE, .offset = 0x98, .value = EDU_DMA_FROM_DEVICE},
	};
	size_t done;

	for (size_t i = 0; i < 4; i++)
		ops[i].width = 4;
	atomic_fetch_add(&h->user->dmas, 1);
	return vbroker_region_program(h->device, ops, 4, &done);
}

/* One load, if there is a window: all ones is what a window gives that was taken back. */
static void try_load(struct holder *h, int turn)
{
	bool after = atomic_load(&h->user->complete) >= turn;

	if (!h->registers)
		return;
	atomic_fetch_add(&h->user->loads, 1);
	if (vbroker_load32(h->registers) != UINT32_MAX && after)
		atomic_fetch_add(&h->user->loads_after, 1);
}

/* Returns what the library said. */
static int try_command(struct holder *h, int turn)
{
	bool after = atomic_load(&h->user->complete) >= turn;
	uint64_t value;
	int r = vbroker_region_read(h->device, 0, 0, 4, &value);

	atomic_fetch_add(&h->user->commands, 1);
	if (r == 0 && after)
		atomic_fetch_add(&h->user->commands_after, 1);
	return r;
}

static void check_memory(struct holder *h)
{
	for (size_t i = 0; i < LENGTH; i++)
		atomic_fetch_add(&h->user->bytes_after, h->memory[i] != PATTERN);
}

static void use(struct holder *h, int turn)
{
	do {
		if (start_dma(h) != 0)
			break;
		for (int i = 0; i < 100; i++)
			try_load(h, turn);
	} while (try_command(h, turn) == 0);
	/* The window may live on for moments; after "complete" nothing does. */
	while (atomic_load(&h->user->complete) < turn)
		try_load(h, turn);
	memset(h->memory, PATTERN, LENGTH);
	atomic_store(&h->user->watching, turn);
	for (int i = 0; i < TRIES_AFTER; i++) {
		try_load(h, turn);
		if (i % 100 == 0)
			try_command(h, turn);
	}
}

static void user_run(struct user *user, uid_t uid) __attribute__((noreturn));
static void user_run(struct user *user, uid_t uid)
{
	struct holder h = {.user = user};

	h.memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0 || h.memory == MAP_FAILED)
		_exit(1);
	/* After setuid(), which undoes it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0UL, 0UL, 0UL);
	for (int turn = 0;; turn++) {
		while (atomic_load(&user->go) <= turn)
			nap_us(500);
		if (turn > 0)
			check_memory(&h);
		leave(&h);
		if (atomic_load(stop))
			_exit(0);
		memset(h.memory, 0x11, LENGTH);
		if (take(&h) != 0 || start_dma(&h) != 0)
			atomic_store(&user->failed, 1);
		atomic_store(&user->running, turn + 1);
		use(&h, turn + 1);
	}
}

/* ---- the administrator ---- */

static unsigned long total(size_t offset)
{
	unsigned long sum = 0;

	for (int i = 0; i < USERS; i++)
		sum += atomic_load((atomic_ulong *)(void *)((char *)&users[i] + offset));
	return sum;
}
#define TOTAL(field) total(offsetof(struct user, field))

static bool good(const struct vbroker_revocation *revocation)
{
	bool all = revocation->result == VBROKER_REVOKE_COMPLETE && revocation->reported;

	for (int i = 0; i < VBROKER_STEPS; i++)
		all = all && revocation->steps[i].error == 0;
	return all && revocation->steps[VBROKER_STEP_MASTER].taken && revocation->steps[VBROKER_STEP_CLOSE].taken &&
		revocation->steps[VBROKER_STEP_LEAVE].taken;
}

/* Turn TURN of USER, which takes the device, and loses it. */
static bool one(struct vbroker_session *session, struct user *user, int turn, uint64_t *longest_us)
{
	struct vbroker_revocation revocation;
	int r;

	atomic_store(&user->go, turn);
	if (!await(&user->running, turn) || atomic_load(&user->failed))
		return false;
	nap_us(random() % 120000);
	r = vbroker_session_revoke(session, device_name, 0, &revocation);
	if (r != 0 || !good(&revocation)) {
		printf("# revocation: %s, result %d, %s\n", vbroker_refusal_name(r), (int)revocation.result,
			r == 0 ? revocation.detail : vbroker_detail());
		return false;
	}
	atomic_store(&user->complete, turn);
	if (revocation.time_us > *longest_us)
		*longest_us = revocation.time_us;
	return await(&user->watching, turn);
}

int main(int argc, char **argv)
{
	static const uid_t uids[USERS] = {1000, 1001};
	struct vbroker_session *session;
	uint64_t longest_us = 0;
	int count, done = 0;

	if (argc != 3 || (count = atoi(argv[2])) < 1)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	device_name = argv[1];
	users = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	stop = (atomic_int *)(void *)(users + USERS);
	if (users == MAP_FAILED || vbroker_session_open(NULL, &session) != 0)
		verdict_die("shared memory, or a session");
	for (int i = 0; i < USERS; i++) {
		if (fork() == 0)
			user_run(&users[i], uids[i]);
	}
	while (done < count && one(session, &users[done % USERS], done / USERS + 1, &longest_us))
		done++;
	/* DMA that was under way is over by then. */
	nap_us(300000);
	atomic_store(stop, 1);
	for (int i = 0; i < USERS; i++)
		atomic_fetch_add(&users[i].go, 1);
	while (wait(NULL) > 0)
		;
	verdict_is("revocations that were complete", done, count);
	verdict(TOTAL(bytes_after) == 0, "bytes written into the old owner's memory after completion: %lu",
		TOTAL(bytes_after));
	verdict(TOTAL(loads_after) == 0, "loads that reached registers after completion: %lu", TOTAL(loads_after));
	verdict(TOTAL(commands_after) == 0, "commands that were done after completion: %lu", TOTAL(commands_after));
	verdict(TOTAL(dmas) >= (unsigned long)count && TOTAL(commands) > TOTAL(dmas),
		"there were DMAs and commands to stop");
	printf("# %d revocations: %lu DMAs begun, %lu loads%s, %lu commands; the longest took %lu ms\n", done,
		TOTAL(dmas), TOTAL(loads), users[0].windows ? "" : " (no windows on this kernel)", TOTAL(commands),
		(unsigned long)(longest_us / 1000));
	vbroker_session_close(session);
	return verdict_failures ? 1 : 0;
}
