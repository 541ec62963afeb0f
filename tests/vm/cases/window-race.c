/* SPDX-License-Identifier: MIT */
/*
 * window-race [--direct] MEMORY ROUNDS READS: whether a read of a window ever succeeds after its revocation has
 * returned. MEMORY is a device as window-module wants it. Each round has a new window; clients in several processes
 * read it in threads, move it by mremap and let children inherit it, while the device's memory is switched off and on;
 * and then it is revoked, by ioctl, by the last close, or by the death of its maker. At least ROUNDS rounds, and so
 * many that READS reads have succeeded before.
 *
 * With --direct the clients have VFIO's own mapping, which is not revoked: what this program looks for must be found
 * then.
 */
#include "peer.h"
#include "probe.h"
#include "raw-vfio.h"
#include "verdict.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE	   4096
#define MEMORY_BAR 2
#define CLIENTS	   2
#define THREADS	   4  /* in each */
#define ATTEMPTS   64 /* of each thread, once revocation has returned */
#define SMALL	   (UINT64_C(16) * PAGE)
#define LARGE	   (UINT64_C(4) << 20) /* of two huge pages, where there are any */

/* What came of reads. */
struct tally {
	unsigned long early;	/* the device's value, before revocation had returned */
	unsigned long late;	/* the same afterwards: what must not be */
	unsigned long strange;	/* any other value, which must not be either */
	unsigned long switched; /* a fault before: the memory was switched off, or revocation was about to return */
	unsigned long revoked;	/* a fault, or ones, afterwards */
	unsigned long forks;
	unsigned long moves;
};

/* Of all processes. */
static struct shared {
	atomic_bool revoked;  /* of this round */
	atomic_uint readers;  /* that have begun, this round */
	atomic_bool ended;    /* all rounds */
	pthread_mutex_t lock; /* sum */
	struct tally sum;
} * shared;

/* ---- the clients ---- */

struct job {
	uint64_t size;
	bool ones;
	int fd;
	uint64_t offset;
};

static struct job job; /* of this client */
/* Only when all have what they map do they begin: mremap makes room where another mapping must not come. */
static pthread_barrier_t all_ready;

static uint64_t mark(uint64_t page)
{
	return 0x1bb1255236636996 ^ page << 20;
}

static void attempt(struct tally *tally, const uint8_t *mapping, unsigned *seed)
{
	uint64_t page = (uint64_t)rand_r(seed) % (job.size / PAGE), value = 0;
	bool late = atomic_load_explicit(&shared->revoked, memory_order_acquire);
	int signal = probe_read(mapping + page * PAGE, 8, &value);

	if (signal == 0 && value == mark(page))
		++*(late ? &tally->late : &tally->early);
	else if (signal == SIGBUS || (signal == 0 && job.ones && value == UINT64_MAX))
		++*(late ? &tally->revoked : &tally->switched);
	else
		tally->strange++;
}

static bool is_revoked(void)
{
	return atomic_load_explicit(&shared->revoked, memory_order_acquire);
}

static void add(const struct tally *tally)
{
	pthread_mutex_lock(&shared->lock);
	shared->sum.early += tally->early;
	shared->sum.late += tally->late;
	shared->sum.strange += tally->strange;
	shared->sum.switched += tally->switched;
	shared->sum.revoked += tally->revoked;
	shared->sum.forks += tally->forks;
	shared->sum.moves += tally->moves;
	pthread_mutex_unlock(&shared->lock);
}

static void begin(void)
{
	pthread_barrier_wait(&all_ready);
	atomic_fetch_add(&shared->readers, 1);
}

static void *read_only(void *mapping)
{
	struct tally tally = {0};
	unsigned seed = (unsigned)gettid();

	begin();
	while (!is_revoked())
		attempt(&tally, mapping, &seed);
	for (unsigned i = 0; i < ATTEMPTS; i++)
		attempt(&tally, mapping, &seed);
	add(&tally);
	return NULL;
}

/* Between two places, of which one is always free. */
static void *move_and_read(void *mapping)
{
	struct tally tally = {0};
	unsigned seed = (unsigned)gettid(), left = ATTEMPTS;
	uint8_t *here = mapping,
		*there = mmap(NULL, job.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	begin();
	while (left > 0) {
		uint8_t *moved = mremap(here, job.size, job.size, MREMAP_MAYMOVE | MREMAP_FIXED, there);

		if (moved == MAP_FAILED)
			verdict_die("mremap");
		there = here;
		here = moved;
		tally.moves++;
		left -= is_revoked() ? 8 : 0;
		for (unsigned i = 0; i < 8; i++)
			attempt(&tally, here, &seed);
	}
	add(&tally);
	return NULL;
}

/* In the child there is but this thread; others may have held the lock, so its tally goes through a pipe. */
static void read_in_child(const uint8_t *mapping, int to)
{
	struct tally tally = {.forks = 1};
	unsigned seed = (unsigned)getpid();

	for (unsigned i = 0; i < ATTEMPTS; i++)
		attempt(&tally, mapping, &seed);
	_exit(write(to, &tally, sizeof tally) != sizeof tally);
}

static void *fork_and_read(void *mapping)
{
	unsigned left = 4;
	int ends[2];

	if (pipe(ends) < 0)
		verdict_die("pipe");
	begin();
	while (left > 0) {
		struct tally tally;
		pid_t child;

		left -= is_revoked();
		child = fork();
		if (child == 0)
			read_in_child(mapping, ends[1]);
		if (child < 0 || waitpid(child, NULL, 0) != child ||
			read(ends[0], &tally, sizeof tally) != sizeof tally)
			verdict_die("a child");
		add(&tally);
	}
	return NULL;
}

static uint8_t *map_window(void)
{
	return raw_map(job.fd, PROT_READ, job.size, job.offset);
}

static void client(int socket)
{
	void *(*const bodies[THREADS])(void *) = {read_only, read_only, move_and_read, fork_and_read};
	pthread_t threads[THREADS];
	uint8_t *mapping = NULL;

	job.size = (uint64_t)peer_receive(socket, NULL);
	job.ones = peer_receive(socket, NULL);
	job.offset = (uint64_t)peer_receive(socket, &job.fd);
	pthread_barrier_init(&all_ready, NULL, THREADS);
	for (size_t i = 0; i < THREADS; i++) {
		/* One for itself, or else what the thread before has. */
		if (i != 1)
			mapping = map_window();
		if (pthread_create(&threads[i], NULL, bodies[i], mapping) != 0)
			verdict_die("pthread_create");
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* ---- the maker ---- */

static struct raw_vfio vfio;
static struct raw_region bar;
static pthread_mutex_t switching = PTHREAD_MUTEX_INITIALIZER; /* the memory is not on */

/*
 * By letting it sleep: to VFIO's mappings, that is the same as PCI_COMMAND, but it changes nothing in the device. QEMU
 * 7.2 crashes when a processor reads a BAR that another one is switching off.
 */
static void *switch_memory(void *unused)
{
	unsigned seed = 1;

	(void)unused;
	while (!atomic_load(&shared->ended)) {
		pthread_mutex_lock(&switching);
		raw_vfio_sleep(&vfio, true);
		raw_vfio_sleep(&vfio, false);
		pthread_mutex_unlock(&switching);
		usleep(200 + (unsigned)rand_r(&seed) % 2000);
	}
	return NULL;
}

/* Makes a window when it gets the device, and lives until it is killed. */
static void mortal_maker(int socket)
{
	int device, control = raw_control();
	uint64_t size = (uint64_t)peer_receive(socket, NULL);
	uint32_t flags = (uint32_t)peer_receive(socket, NULL);
	uint64_t offset = (uint64_t)peer_receive(socket, &device);

	peer_send(socket, 0, (int)raw_window(control, device, flags, offset, size));
	peer_send(socket, 0, (int)raw_window(control, device, 0, offset, PAGE));
	peer_receive(socket, NULL);
}

enum way { BY_REQUEST, BY_CLOSE, BY_DEATH, DIRECT, WAYS = DIRECT };

struct round {
	enum way way;
	uint32_t flags;
	uint64_t size;
	int control;
	struct peer maker;
	int window;
	/* Of the same set, made later: windows are unmapped in their order, and a close may return before. */
	int second;
};

static void make(struct round *round)
{
	if (round->way == DIRECT) {
		round->window = dup(vfio.device);
	} else if (round->way == BY_DEATH) {
		peer_start(&round->maker, mortal_maker);
		peer_send(round->maker.socket, (long)round->size, -1);
		peer_send(round->maker.socket, (long)round->flags, -1);
		peer_send(round->maker.socket, (long)bar.offset, vfio.device);
		peer_receive(round->maker.socket, &round->window);
		peer_receive(round->maker.socket, &round->second);
	} else {
		round->control = raw_control();
		round->window = (int)raw_window(round->control, vfio.device, round->flags, bar.offset, round->size);
		round->second = (int)raw_window(round->control, vfio.device, 0, bar.offset, PAGE);
	}
	if (round->window < 0 || (round->way != DIRECT && round->second < 0))
		verdict_die("a window");
}

/* Meanwhile the memory stays on: the second window's page must go by nothing but the revocation. */
static void take_back_by_close(struct round *round)
{
	uint8_t *second = raw_map(round->second, PROT_READ, PAGE, 0);
	uint64_t value;

	pthread_mutex_lock(&switching);
	if (probe_read(second, 8, &value) != 0)
		verdict_die("the second window");
	if (round->way == BY_CLOSE)
		close(round->control);
	else
		peer_kill(&round->maker);
	if (probe_until(second, SIGBUS) < 0)
		verdict_die("the second window is still there");
	pthread_mutex_unlock(&switching);
	munmap(second, PAGE);
}

/* When it returns, it is over for the clients. */
static void take_back(struct round *round)
{
	if (round->way == BY_REQUEST && raw_revoke(round->control) != 0)
		verdict_die("VFIO_WINDOW_REVOKE");
	else if (round->way == BY_CLOSE || round->way == BY_DEATH)
		take_back_by_close(round);
	atomic_store_explicit(&shared->revoked, true, memory_order_release);
	if (round->way == BY_REQUEST)
		close(round->control);
	if (round->way != DIRECT)
		close(round->second);
}

static void play(struct round *round, unsigned *seed)
{
	struct peer clients[CLIENTS];

	atomic_store(&shared->revoked, false);
	atomic_store(&shared->readers, 0);
	make(round);
	for (unsigned i = 0; i < CLIENTS; i++) {
		peer_start(&clients[i], client);
		peer_send(clients[i].socket, (long)round->size, -1);
		peer_send(clients[i].socket, (round->flags & VFIO_WINDOW_FLAG_ONES) != 0, -1);
		peer_send(clients[i].socket, round->way == DIRECT ? (long)bar.offset : 0, round->window);
	}
	close(round->window);
	while (atomic_load(&shared->readers) < THREADS * CLIENTS)
		usleep(200);
	usleep((unsigned)rand_r(seed) % 20000);
	take_back(round);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (peer_end(&clients[i]) != 0)
			verdict(false, "race: a client came to its end");
}

static void fill(void)
{
	uint8_t *all = raw_map(vfio.device, PROT_READ | PROT_WRITE, LARGE, bar.offset);

	for (uint64_t page = 0; page < LARGE / PAGE; page++)
		*(volatile uint64_t *)(all + page * PAGE) = mark(page);
	munmap(all, LARGE);
}

static void share(void)
{
	pthread_mutexattr_t attributes;

	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		verdict_die("mmap");
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->lock, &attributes);
}

static void judge(bool direct, unsigned long reads, unsigned rounds)
{
	const struct tally *sum = &shared->sum;

	printf("# race%s: %u rounds, %lu reads, %lu faults while the memory was off, %lu refused after revocation, %lu "
	       "not; %lu forks, %lu moves\n",
		direct ? " --direct" : "", rounds, sum->early, sum->switched, sum->revoked, sum->late, sum->forks,
		sum->moves);
	if (direct) {
		verdict(sum->late > 0, "race: reads that should not succeed are found where nothing is revoked");
		return;
	}
	verdict(sum->late == 0, "race: no read succeeds after a revocation has returned");
	verdict(sum->strange == 0, "race: all values are the device's, or ones after a revocation");
	verdict(sum->early >= reads && sum->revoked > 0, "race: at least %lu reads before", reads);
}

int main(int argc, char **argv)
{
	bool direct = argc == 5 && strcmp(argv[1], "--direct") == 0;
	unsigned rounds, played = 0, seed = (unsigned)time(NULL);
	unsigned long reads;
	pthread_t switcher;

	if (argc != 4 + direct) {
		fprintf(stderr, "window-race [--direct] MEMORY ROUNDS READS\n");
		return 2;
	}
	rounds = (unsigned)atoi(argv[direct + 2]);
	reads = strtoul(argv[direct + 3], NULL, 10);
	probe_init();
	share();
	raw_vfio_open(&vfio, argv[direct + 1]);
	bar = raw_vfio_region(&vfio, MEMORY_BAR);
	fill();
	if (pthread_create(&switcher, NULL, switch_memory, NULL) != 0)
		verdict_die("pthread_create");
	for (; played < rounds || shared->sum.early < reads; played++) {
		struct round round = {
			.way = direct ? DIRECT : played % WAYS,
			.flags = played / WAYS % 2 ? VFIO_WINDOW_FLAG_ONES : 0,
			.size = played / WAYS / 2 % 2 ? SMALL : LARGE,
		};

		play(&round, &seed);
	}
	atomic_store(&shared->ended, true);
	pthread_join(switcher, NULL);
	judge(direct, reads, played);
	raw_vfio_close(&vfio);
	return verdict_failures > 0;
}
