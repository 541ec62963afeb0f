/* SPDX-License-Identifier: MIT */
#include "domain.h"

#include "figure.h"
#include "packet.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vfio-broker.h>

#define PAGE	    4096
#define ARRAY	    256U
#define LIVE_FEW    10U
#define LIVE_MANY   60000U
#define ONE_ROUNDS  60
#define ONE_CHUNK   10
#define MANY_ROUNDS 101
/* Where this process maps by itself, in the domain of the same owner: above what the library gives to anybody. */
#define BARE_IOVA (UINT64_C(1) << 36)

/* An owner is a process of its own that serves one driver, which is this process. */
struct owner {
	struct vbroker_device *device; /* bound, with its domain; inherited by the owner */
	struct vbroker_domain *driver; /* the channel, after its greeting */
	int channel;
	pid_t pid;
	uint32_t handle; /* of MEMORY, in the channel */
	int memory;	 /* ARRAY pages, written to */
	uint64_t array[ARRAY];
};

static struct packet packet;

/* ---- owners ---- */

static void serve(struct vbroker_domain_server *server) __attribute__((noreturn));
static void serve(struct vbroker_domain_server *server)
{
	for (;;) {
		struct pollfd p = {
			.fd = vbroker_domain_server_fd(server), .events = vbroker_domain_server_events(server)};

		if (poll(&p, 1, -1) < 0 || vbroker_domain_server_dispatch(server) != 0)
			_exit(EXIT_SUCCESS);
	}
}

/* Sealed, and with something in it: a driver has a reason to have it mapped. */
static int new_memory(size_t length)
{
	int fd = memfd_create("bench", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint8_t byte = 1;

	if (fd < 0 || ftruncate(fd, (off_t)length) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		die("memfd");
	for (size_t at = 0; at < length; at += PAGE) {
		if (pwrite(fd, &byte, 1, (off_t)at) != 1)
			die("memfd");
	}
	return fd;
}

static void owner_start(struct owner *owner, const char *name)
{
	static const struct vbroker_budget budget = {UINT64_C(1) << 40, 65535, 1024};
	struct vbroker_domain_server *server;
	int channel;

	must(vbroker_open(name, &owner->device), name);
	must(vbroker_domain_serve(vbroker_device_domain(owner->device), &budget, &server, &channel), "domain channel");
	owner->memory = new_memory((size_t)ARRAY * PAGE);
	owner->pid = fork();
	if (owner->pid < 0)
		die("fork");
	if (owner->pid == 0) {
		close(channel);
		serve(server);
	}
	/* The server is the other process's. vbroker_domain_server_close() would shut the channel down for both. */
	close(vbroker_domain_server_fd(server));
	must(vbroker_domain_adopt(channel, &owner->driver), "greeting of the domain channel");
	owner->channel = channel;
}

static void owner_end(struct owner *owner)
{
	vbroker_domain_close(owner->driver);
	waitpid(owner->pid, NULL, 0);
	close(owner->memory);
	vbroker_device_close(owner->device);
}

/* ---- requests, as they are on the wire ---- */

static void *begin(uint16_t type, uint32_t count, size_t element_size)
{
	struct array_header *header;

	packet_request(&packet, type, 1);
	header = packet_append(&packet, sizeof *header);
	header->count = count;
	return packet_append(&packet, count * element_size);
}

/* Returns the results, of which each one begins with a refusal; there is none. */
static const void *call(const struct owner *owner, size_t result_size)
{
	const struct array_header *header;
	const uint8_t *results;
	int r = packet_send(owner->channel, 0, &packet);

	if (r == 0 && packet_receive(owner->channel, 0, 0, &packet) != PACKET_RECEIVED)
		r = -ECONNRESET;
	if (r == 0 && packet.header.flags & MESSAGE_REFUSED)
		r = packet_refusal(&packet, &(struct detail){{0}});
	must(r, "a request on the domain channel");
	header = packet_body(&packet, sizeof *header);
	results = (const uint8_t *)(header + 1);
	for (uint32_t i = 0; i < header->count; i++)
		must((int)*(const uint32_t *)(const void *)(results + i * result_size), "an element of an array");
	return results;
}

/* FD -1: by the owner's handle. */
static struct map_result map_one(struct owner *owner, int fd)
{
	struct map_element *element = begin(DOMAIN_MAP, 1, sizeof *element);

	*element = (struct map_element){
		.flags = MAP_DEVICE_READ | MAP_DEVICE_WRITE | (fd >= 0 ? MAP_NEW_MEMORY : 0U),
		.handle = fd >= 0 ? 0 : owner->handle,
		.length = PAGE,
		.iova = IOVA_ANY,
	};
	if (fd >= 0)
		fdset_add(&packet.fds, fd);
	return *(const struct map_result *)call(owner, sizeof(struct map_result));
}

static void map_array(struct owner *owner)
{
	struct map_element *elements = begin(DOMAIN_MAP, ARRAY, sizeof *elements);
	const struct map_result *results;

	for (uint32_t i = 0; i < ARRAY; i++)
		elements[i] = (struct map_element){
			MAP_DEVICE_READ | MAP_DEVICE_WRITE, owner->handle, (uint64_t)i * PAGE, PAGE, IOVA_ANY};
	results = call(owner, sizeof *results);
	for (uint32_t i = 0; i < ARRAY; i++)
		owner->array[i] = results[i].iova;
}

static void unmap(const struct owner *owner, const uint64_t *iovas, uint32_t count)
{
	struct unmap_element *elements = begin(DOMAIN_UNMAP, count, sizeof *elements);

	for (uint32_t i = 0; i < count; i++)
		elements[i] = (struct unmap_element){iovas[i], PAGE};
	call(owner, sizeof(struct element_result));
}

static void forget(const struct owner *owner, uint32_t handle)
{
	*(struct forget_element *)begin(DOMAIN_FORGET, 1, sizeof(struct forget_element)) =
		(struct forget_element){handle, 0};
	call(owner, sizeof(struct element_result));
}

/* ---- what is timed, and what is done between ---- */

static int fresh = -1; /* the memory that the next MAP brings along */
static struct map_result mapped;

static void run_map_fd(void *owner)
{
	mapped = map_one(owner, fresh);
}

static void settle_map_fd(void *owner)
{
	unmap(owner, &mapped.iova, 1);
	forget(owner, mapped.handle);
	fresh = new_memory(PAGE);
}

static void run_map_handle(void *owner)
{
	mapped = map_one(owner, -1);
}

static void settle_map_handle(void *owner)
{
	unmap(owner, &mapped.iova, 1);
}

static void run_map_array(void *owner)
{
	map_array(owner);
}

static void settle_map_array(void *owner)
{
	unmap(owner, ((struct owner *)owner)->array, ARRAY);
}

static void run_map_and_unmap_array(void *owner)
{
	map_array(owner);
	settle_map_array(owner);
}

/* ---- floors ---- */

/* The same pages, mapped here, and the owner's domain. */
struct bare {
	const struct owner *owner;
	uint8_t *address;
};

static void bare_map(const struct bare *bare, uint32_t pages)
{
	for (uint32_t i = 0; i < pages; i++) {
		struct vfio_iommu_type1_dma_map map = {
			.argsz = sizeof map,
			.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
			.vaddr = (uintptr_t)bare->address + (uint64_t)i * PAGE,
			.iova = BARE_IOVA + (uint64_t)i * PAGE,
			.size = PAGE,
		};

		if (ioctl(vbroker_domain_fd(vbroker_device_domain(bare->owner->device)), VFIO_IOMMU_MAP_DMA, &map) < 0)
			die("VFIO_IOMMU_MAP_DMA");
	}
}

static void bare_unmap(const struct bare *bare, uint32_t pages)
{
	struct vfio_iommu_type1_dma_unmap all = {
		.argsz = sizeof all, .iova = BARE_IOVA, .size = (uint64_t)pages * PAGE};

	if (ioctl(vbroker_domain_fd(vbroker_device_domain(bare->owner->device)), VFIO_IOMMU_UNMAP_DMA, &all) < 0)
		die("VFIO_IOMMU_UNMAP_DMA");
}

static void bare_forget_pages(struct bare *bare)
{
	size_t length = (size_t)ARRAY * PAGE;

	if (bare->address)
		munmap(bare->address, length);
	bare->address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, bare->owner->memory, 0);
	if (bare->address == MAP_FAILED)
		die("mmap");
}

static void run_bare_one(void *bare)
{
	bare_map(bare, 1);
}

static void settle_bare_one(void *bare)
{
	bare_unmap(bare, 1);
}

/* As with a memfd that has just come: its pages are there, but not in this process's page tables. */
static void settle_bare_fresh(void *bare)
{
	bare_unmap(bare, 1);
	bare_forget_pages(bare);
}

static void run_bare_array(void *bare)
{
	bare_map(bare, ARRAY);
}

static void settle_bare_array(void *bare)
{
	bare_unmap(bare, ARRAY);
}

static void echo_bytes(int channel)
{
	char bytes[64];

	while (recv(channel, bytes, sizeof bytes, 0) == sizeof bytes &&
		send(channel, bytes, sizeof bytes, 0) == sizeof bytes)
		;
}

/* Ends with this process. */
static int echo_start(void (*run)(int channel))
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		die("socketpair");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		close(ends[0]);
		run(ends[1]);
		_exit(EXIT_SUCCESS);
	}
	close(ends[1]);
	return ends[0];
}

static int echo;

static void run_echo(void *context)
{
	char bytes[64] = {0};

	(void)context;
	if (send(echo, bytes, sizeof bytes, 0) != sizeof bytes || recv(echo, bytes, sizeof bytes, 0) != sizeof bytes)
		die("the process that echoes has gone");
}

/* ---- figures ---- */

/* The ratio is how many bare ping-pongs it costs beyond the system call that does the work, BARE. */
static void add_one(const char *name, const struct runner *runner, const struct runner *bare, double target)
{
	const struct runner ping = {run_echo, NULL, NULL}, *all[] = {runner, &ping, bare};
	struct samples samples[3] = {{0}};
	struct figure figure;
	double ping_us, bare_us;

	race_all(all, samples, 3, ONE_ROUNDS, ONE_CHUNK);
	ping_us = samples_quantile(&samples[1], 0.5);
	bare_us = samples_quantile(&samples[2], 0.5);
	figure = figure_durations(name, &samples[0], NULL, target);
	figure.floor = (struct spread){ping_us + bare_us, -1};
	figure.ratio = (figure.value.p50 - bare_us) / ping_us;
	snprintf(figure.remark, sizeof figure.remark, "a bare ping-pong %.2f us, a bare MAP_DMA %.2f us", ping_us,
		bare_us);
	figure_add(&figure);
	for (size_t i = 0; i < 3; i++)
		samples_clear(&samples[i]);
}

/* PER things in each run, as a rate; the ratio of rates is the median of the rounds' own, of neighbours in time. */
static void add_rate(const char *name, const struct runner *runner, const struct runner *floor_runner, unsigned int per,
	double target)
{
	struct samples samples = {0}, floor = {0};
	double rates[MANY_ROUNDS], floor_rates[MANY_ROUNDS];
	struct figure figure;

	race(runner, floor_runner, MANY_ROUNDS, 1, &samples, &floor);
	for (size_t i = 0; i < MANY_ROUNDS; i++) {
		rates[i] = per * 1e9 / (double)samples.ns[i];
		floor_rates[i] = per * 1e9 / (double)floor.ns[i];
	}
	figure = figure_rounds(name, "1/s", rates, floor_rates, MANY_ROUNDS, target);
	figure.at_least = true;
	figure_add(&figure);
	samples_clear(&samples);
	samples_clear(&floor);
}

static void bench_mapping(struct owner *owner, struct bare *bare)
{
	add_one("map_fd", &(struct runner){run_map_fd, settle_map_fd, owner},
		&(struct runner){run_bare_one, settle_bare_fresh, bare}, 1.5);
	/* The first MAP brings the memory of all the others. */
	owner->handle = map_one(owner, dup(owner->memory)).handle;
	add_one("map_handle", &(struct runner){run_map_handle, settle_map_handle, owner},
		&(struct runner){run_bare_one, settle_bare_one, bare}, 1.2);
	add_rate("map_array_256", &(struct runner){run_map_array, settle_map_array, owner},
		&(struct runner){run_bare_array, settle_bare_array, bare}, ARRAY, 0.9);
}

static void make_live(struct owner *owner, uint32_t count)
{
	for (uint32_t i = 0; i < count / ARRAY; i++)
		map_array(owner);
	for (uint32_t i = 0; i < count % ARRAY; i++)
		map_one(owner, -1);
}

void bench_domain(const char *few, const char *many)
{
	/* 60,000 mappings are 234 MiB to the kernel, which counts a page as often as it is mapped. */
	const struct rlimit memlock = {UINT64_C(1) << 30, UINT64_C(1) << 30};
	static struct owner owners[2];
	struct bare bare = {.owner = &owners[0]};

	if (setrlimit(RLIMIT_MEMLOCK, &memlock) < 0)
		die("RLIMIT_MEMLOCK");
	packet_init(&packet);
	echo = echo_start(echo_bytes);
	owner_start(&owners[0], few);
	bare_forget_pages(&bare);
	fresh = new_memory(PAGE);
	bench_mapping(&owners[0], &bare);

	owner_start(&owners[1], many);
	owners[1].handle = map_one(&owners[1], dup(owners[1].memory)).handle;
	make_live(&owners[0], LIVE_FEW - 1);
	make_live(&owners[1], LIVE_MANY - 1);
	add_rate("map_rate_60000", &(struct runner){run_map_and_unmap_array, NULL, &owners[1]},
		&(struct runner){run_map_and_unmap_array, NULL, &owners[0]}, ARRAY, 0.8);
	close(fresh);
	close(echo);
	munmap(bare.address, (size_t)ARRAY * PAGE);
	owner_end(&owners[1]);
	owner_end(&owners[0]);
	packet_clear(&packet);
}
