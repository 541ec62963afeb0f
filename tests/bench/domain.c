/* SPDX-License-Identifier: MIT */
#include "domain.h"

#include "bench.h"

#include "container.h"
#include "fdset.h"
#include "figure.h"
#include "floor.h"
#include "iova.h"
#include "memfd.h"
#include "processor.h"
#include "remote.h"
#include "requester.h"
#include "samples.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE   4096UL
#define RW     (MAP_DEVICE_READ | MAP_DEVICE_WRITE)
#define ROUNDS 40
#define CHUNK  500

#define ARRAY 256
#define FEW   10
#define MANY  60000

/* ---- an owner, as a process of its own ---- */

struct owner {
	pid_t pid;
	struct vbroker_domain *domain; /* the driver's, behind the channel */
	struct requester raw;	       /* for packets that the library does not make; on the same channel */
	int memory;
	uint32_t handle; /* of MEMORY */
	/* Of the process that serves. A close here would end the channel there. */
	struct vbroker_domain_server *server;
	struct vbroker_domain *served;
};

static void serve(struct vbroker_domain *domain, struct vbroker_domain_server *server)
{
	static const char *const names[] = {SERVICE_DEVICE, NULL};
	int group = fake_group_create(7, true, names);
	struct pollfd polled = {.fd = vbroker_domain_server_fd(server)};

	if (group < 0 || fake_vfio.group_attach(group, vbroker_domain_fd(domain)) < 0 ||
		fake_vfio.domain_setup(vbroker_domain_fd(domain)) < 0)
		return;
	do {
		polled.events = vbroker_domain_server_events(server);
		if (poll(&polled, 1, -1) < 0)
			return;
	} while (vbroker_domain_server_dispatch(server) == 0);
}

static void owner_start(struct owner *owner)
{
	const struct vbroker_budget budget = {UINT64_C(1) << 40, 65000, 1000};
	enum channel_kind kind;
	uint64_t iova;
	pid_t parent = getpid();
	int channel;

	must(domain_open_on(&fake_domain, &owner->served), "opening a fake domain");
	must(vbroker_domain_serve(owner->served, &budget, &owner->server, &channel), "serving it");
	owner->pid = fork();
	if (owner->pid < 0)
		die("fork");
	if (owner->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(EXIT_FAILURE);
		close(channel);
		processor_pin_server(0);
		serve(owner->served, owner->server);
		_exit(EXIT_SUCCESS);
	}
	must(vbroker_domain_adopt(channel, &owner->domain), "adopting the domain channel");
	requester_init(&owner->raw, channel, &domain_table);
	must(requester_hello(&owner->raw, &kind), "HELLO");
	owner->memory = memfd_make(ARRAY * PAGE, 0, &iova);
	if (owner->memory < 0)
		die("memfd");
	must(remote_map(domain_remote(owner->domain), owner->memory, 0, 0, PAGE, RW, IOVA_ANY, &owner->handle, &iova),
		"MAP");
}

static void owner_stop(struct owner *owner)
{
	requester_clear(&owner->raw);
	vbroker_domain_close(owner->domain);
	close(owner->memory);
	kill(owner->pid, SIGTERM);
	waitpid(owner->pid, NULL, 0);
	vbroker_domain_server_close(owner->server);
	vbroker_domain_close(owner->served);
}

/* ---- one mapping ---- */

struct mapper {
	struct owner *owner;
	uint32_t handle; /* of what was mapped last */
	uint64_t iova;
};

static void map_fd(void *context)
{
	struct mapper *mapper = context;

	must(remote_map(domain_remote(mapper->owner->domain), mapper->owner->memory, 0, 0, PAGE, RW, IOVA_ANY,
		     &mapper->handle, &mapper->iova),
		"MAP");
}

static void unmap_fd(void *context)
{
	struct mapper *mapper = context;

	must(remote_unmap(domain_remote(mapper->owner->domain), mapper->iova, PAGE), "UNMAP");
	must(remote_forget(domain_remote(mapper->owner->domain), mapper->handle), "FORGET");
}

static void map_handle(void *context)
{
	struct mapper *mapper = context;

	must(remote_map(domain_remote(mapper->owner->domain), -1, mapper->owner->handle, 0, PAGE, RW, IOVA_ANY, NULL,
		     &mapper->iova),
		"MAP");
}

static void unmap_handle(void *context)
{
	struct mapper *mapper = context;

	must(remote_unmap(domain_remote(mapper->owner->domain), mapper->iova, PAGE), "UNMAP");
}

/* ---- many ---- */

/* COUNT mappings by one packet, anywhere; *RET_FIRST is the first one's IOVA. */
static void map_array(struct owner *owner, uint32_t count, uint64_t *ret_first)
{
	const struct requester_reply expected = {
		.size = sizeof(struct array_header), .element_size = sizeof(struct map_result)};
	struct array_header *header =
		requester_begin(&owner->raw, DOMAIN_MAP, sizeof *header + count * sizeof(struct map_element));
	struct map_element *elements = (void *)(header + 1);
	const struct map_result *results;

	header->count = count;
	for (uint32_t i = 0; i < count; i++)
		elements[i] = (struct map_element){RW, owner->handle, i % ARRAY * PAGE, PAGE, IOVA_ANY};
	must(requester_call(&owner->raw, &expected), "MAP");
	results = (const void *)(owner->raw.packet.payload + sizeof *header);
	if (owner->raw.packet.header.length != sizeof *header + count * sizeof *results || results[count - 1].refusal)
		die("a MAP of %u elements was not done", count);
	*ret_first = results[0].iova;
}

static void map_256(void *context)
{
	struct mapper *mapper = context;

	map_array(mapper->owner, ARRAY, &mapper->iova);
}

/* They are neighbours. */
static void unmap_256(void *context)
{
	struct mapper *mapper = context;

	must(remote_unmap(domain_remote(mapper->owner->domain), mapper->iova, ARRAY * PAGE), "UNMAP");
}

/* ---- figures ---- */

/* The bare ioctl of the fake kernel, in this process */
struct bare {
	int container, group;
	void *pages;
	uint64_t next;
};

static void bare_start(struct bare *bare)
{
	static const char *const names[] = {SERVICE_DEVICE, NULL};

	*bare = (struct bare){fake_container_open(), fake_group_create(6, true, names),
		mmap(NULL, ARRAY * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), 1};
	if (bare->container < 0 || bare->group < 0 || bare->pages == MAP_FAILED ||
		fake_vfio.group_attach(bare->group, bare->container) < 0 || fake_vfio.domain_setup(bare->container) < 0)
		die("fake kernel");
}

static void bare_end(struct bare *bare)
{
	fake_vfio.group_detach(bare->group);
	munmap(bare->pages, ARRAY * PAGE);
	close(bare->container);
	close(bare->group);
}

static void bare_map(void *context)
{
	struct bare *bare = context;

	for (uint64_t i = 0; i < ARRAY; i++) {
		struct vfio_iommu_type1_dma_map map = {sizeof map, VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
			(uintptr_t)bare->pages + i * PAGE, (bare->next + i) * PAGE, PAGE};

		if (fake_domain.map(bare->container, &map) < 0)
			die("fake MAP");
	}
}

static void bare_unmap(void *context)
{
	struct bare *bare = context;
	struct vfio_iommu_type1_dma_unmap unmap = {sizeof unmap, 0, bare->next * PAGE, ARRAY * PAGE};

	if (fake_domain.unmap(bare->container, &unmap) < 0)
		die("fake UNMAP");
}

/* RUNNER's time, less that of the ioctl, which is measured in turns with it too. */
static void add_mapping(const char *name, const struct runner *runner, struct bare *bare, double target)
{
	const struct runner loop = {bare_map, bare_unmap, bare};
	struct samples same = {0}, floor = {0}, access = {0}, ignored = {0};
	struct figure figure;
	double cost;

	race(&loop, runner, ROUNDS / 4, CHUNK / 10, &access, &ignored);
	cost = samples_quantile(&access, 0.5) / ARRAY;
	race(&floor_runner, runner, ROUNDS, CHUNK, &floor, &same);
	figure = figure_durations(name, &same, &floor, target);
	figure.value.p50 -= cost;
	figure.value.p99 -= cost;
	figure.ratio = figure.value.p50 / figure.floor.p50;
	snprintf(figure.remark, sizeof figure.remark, "without the %.2f us of the fake kernel's ioctl", cost);
	figure_add(&figure);
	samples_clear(&same);
	samples_clear(&floor);
	samples_clear(&access);
	samples_clear(&ignored);
}

static void bench_mappings(struct owner *owner)
{
	struct mapper mapper = {.owner = owner};
	const struct runner by_fd = {map_fd, unmap_fd, &mapper}, by_handle = {map_handle, unmap_handle, &mapper};
	struct bare bare;

	bare_start(&bare);
	add_mapping("map_fd", &by_fd, &bare, 1.5);
	add_mapping("map_handle", &by_handle, &bare, 1.2);
	bare_end(&bare);
}

static void fill(struct owner *owner, uint32_t count)
{
	uint64_t iova;

	for (uint32_t done = 0, now; done < count; done += now) {
		now = count - done < 2000 ? count - done : 2000;
		map_array(owner, now, &iova);
	}
}

static void bench_growth(struct owner *few, struct owner *many)
{
	struct mapper few_mapper = {.owner = few}, many_mapper = {.owner = many};
	const struct runner few_runner = {map_256, unmap_256, &few_mapper};
	const struct runner many_runner = {map_256, unmap_256, &many_mapper};
	struct samples few_samples = {0}, many_samples = {0};
	struct figure figure;

	fill(few, FEW - 1);
	fill(many, MANY - 1);
	race(&few_runner, &many_runner, ROUNDS, CHUNK / 10, &few_samples, &many_samples);
	figure = figure_durations("map_rate_60000", &many_samples, &few_samples, 0.8);
	figure.unit = "/s";
	figure.decimals = 0;
	figure.value = (struct spread){ARRAY * 1e6 / figure.value.p50, ARRAY * 1e6 / figure.value.p99};
	figure.floor = (struct spread){ARRAY * 1e6 / figure.floor.p50, ARRAY * 1e6 / figure.floor.p99};
	figure.ratio = figure.value.p50 / figure.floor.p50;
	figure.at_least = true;
	snprintf(figure.remark, sizeof figure.remark, "mappings by arrays of %d with %d there already; floor: with %d",
		ARRAY, MANY, FEW);
	figure_add(&figure);
	samples_clear(&few_samples);
	samples_clear(&many_samples);
}

/* ---- the choice of IOVAs ---- */

#define RANGES 1000000

static uint64_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *state >> 33;
}

static uint64_t processor_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/*
 * A million ranges of 1 to 16 pages; then one of them at random is released and another taken, a million times. There
 * is no floor that others' use of the processor would meet too, so it is not counted.
 */
static void bench_allocator(void)
{
	const struct vbroker_range range = {0, (UINT64_C(1) << 48) - 1};
	struct vbroker_range *ranges = calloc(RANGES, sizeof *ranges);
	struct iova_space *space;
	uint64_t random = 1, start = 0;
	struct figure figure;

	if (!ranges || iova_space_new(&range, 1, PAGE, NULL, &space) < 0)
		die("out of memory");
	for (size_t i = 0; i < 2 * RANGES; i++) {
		struct vbroker_range *one = &ranges[i < RANGES ? i : next_random(&random) % RANGES];
		uint64_t length = (1 + next_random(&random) % 16) * PAGE;

		if (i == RANGES)
			start = processor_ns();
		if (i >= RANGES)
			iova_space_release(space, one->first, one->last);
		if (iova_space_take(space, length, (struct iova_use){0}, &one->first) < 0)
			die("no IOVA");
		one->last = one->first + length - 1;
	}
	figure = figure_number("iova_allocator_ns", "ns", (double)(processor_ns() - start) / (2.0 * RANGES), 1000);
	snprintf(figure.remark, sizeof figure.remark, "a take or a release among %d ranges of 1 to 16 pages, mean",
		RANGES);
	figure_add(&figure);
	iova_space_free(space);
	free(ranges);
}

void bench_domain(void)
{
	struct owner few, many;

	processor_pin_server(0);
	owner_start(&few);
	bench_mappings(&few);
	owner_start(&many);
	bench_growth(&few, &many);
	owner_stop(&many);
	owner_stop(&few);
	bench_allocator();
}
