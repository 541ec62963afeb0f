/* SPDX-License-Identifier: MIT */
#ifndef DOMAIN_BENCH_H
#define DOMAIN_BENCH_H

#include "channel.h"
#include "container.h"
#include "domain.h"
#include "foreign_fd.h"
#include "vfio-broker.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PAGE 4096UL
#define RW   (MAP_DEVICE_READ | MAP_DEVICE_WRITE)
#define ANY  IOVA_ANY

/* What a driver may have, unless a test says otherwise. */
#define BUDGET_BYTES	(64 * PAGE)
#define BUDGET_MAPPINGS 8
#define BUDGET_MEMORIES 4

/* The raw other end of a domain channel. */
struct driver {
	int fd;
	uint64_t cookie;
	struct packet packet; /* a request, and then its reply */
	struct detail detail; /* of a refused one */
};

/* A domain on the fake kernel with a device in it, and a server of it with its driver, all in this thread. */
struct bench {
	int fds_before, memfds_before;
	unsigned int kept_before;
	struct vbroker_domain *domain;
	int group;
	struct vbroker_domain_server *server;
	struct driver driver;
};

/* How many memfds are mapped here, but for those of the fake kernel. */
static inline int bench_memfds(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int count = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof line, maps))
		count += strstr(line, "/memfd:") && !strstr(line, "/memfd:fake-");
	fclose(maps);
	return count;
}

static inline void bench_attach(struct bench *b)
{
	assert_int_equal(fake_vfio.group_attach(b->group, vbroker_domain_fd(b->domain)), 0);
	assert_int_equal(fake_vfio.domain_setup(vbroker_domain_fd(b->domain)), 0);
}

static inline void bench_detach(struct bench *b)
{
	assert_int_equal(fake_vfio.group_detach(b->group), 0);
}

static inline struct fake_container *bench_container(const struct bench *b)
{
	return fake_container_view(vbroker_domain_fd(b->domain));
}

/* What the kernel has at IOVA, or NULL. */
static inline const struct fake_mapping *bench_mapping(const struct bench *b, uint64_t iova)
{
	const struct fake_container *container = bench_container(b);

	for (uint32_t i = 0; i < container->mapping_count; i++) {
		if (container->mappings[i].iova == iova)
			return &container->mappings[i];
	}
	return NULL;
}

static inline uint32_t bench_mapped(const struct bench *b)
{
	return bench_container(b)->mapping_count;
}

/* Without a device, and without a server. */
static inline void bench_start_bare(struct bench *b)
{
	static const char *const names[] = {"0000:00:02.0", NULL};

	b->fds_before = unit_fds();
	b->memfds_before = bench_memfds();
	b->kept_before = foreign_fd_kept();
	b->group = fake_group_create(1, true, names);
	assert_true(b->group >= 0);
	assert_int_equal(domain_open_on(&fake_domain, &b->domain), 0);
	b->server = NULL;
	b->driver.fd = -1;
	packet_init(&b->driver.packet);
}

static inline void bench_end(struct bench *b)
{
	vbroker_domain_server_close(b->server);
	if (b->driver.fd >= 0)
		close(b->driver.fd);
	packet_clear(&b->driver.packet);
	if (fake_group_view(b->group)->container) {
		assert_int_equal(bench_mapped(b), 0);
		bench_detach(b);
	}
	vbroker_domain_close(b->domain);
	close(b->group);
	/* Those that could have blocked are open for ever (foreign_fd.h). */
	assert_int_equal(unit_fds() - (int)(foreign_fd_kept() - b->kept_before), b->fds_before);
	assert_int_equal(bench_memfds(), b->memfds_before);
}

/* ---- memory ---- */

/* A memfd of SIZE bytes with SEALS; the caller's. */
static inline int memory_make(uint64_t size, int seals)
{
	int fd = memfd_create("test-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* ---- the driver's packets ---- */

static inline void driver_begin(struct driver *d, uint16_t type)
{
	packet_request(&d->packet, type, ++d->cookie);
	packet_append(&d->packet, sizeof(struct array_header));
}

static inline void *driver_add(struct driver *d, size_t size)
{
	((struct array_header *)(void *)d->packet.payload)->count++;
	return packet_append(&d->packet, size);
}

/* FD -1: memory that was passed before. FD stays the caller's. */
static inline void driver_add_map(
	struct driver *d, unsigned int access, int fd, uint32_t handle, uint64_t offset, uint64_t length, uint64_t iova)
{
	struct map_element *element = driver_add(d, sizeof *element);

	*element = (struct map_element){access | (fd >= 0 ? MAP_NEW_MEMORY : 0U), handle, offset, length, iova};
	if (fd >= 0)
		assert_int_equal(fdset_add(&d->packet.fds, fcntl(fd, F_DUPFD_CLOEXEC, 0)), 0);
}

static inline void driver_add_unmap(struct driver *d, uint64_t iova, uint64_t length)
{
	struct unmap_element *element = driver_add(d, sizeof *element);

	*element = (struct unmap_element){iova, length};
}

static inline void driver_add_forget(struct driver *d, uint32_t handle)
{
	struct forget_element *element = driver_add(d, sizeof *element);

	element->handle = handle;
}

static inline void driver_add_alloc(struct driver *d, uint32_t flags, uint64_t length)
{
	struct alloc_element *element = driver_add(d, sizeof *element);

	*element = (struct alloc_element){flags, 0, length};
}

static inline void driver_send(struct driver *d)
{
	assert_int_equal(packet_send(d->fd, MSG_DONTWAIT, &d->packet), 0);
}

/* Receives the reply to a request of TYPE and COOKIE: 0, or what it was refused with. */
static inline int driver_receive(struct driver *d, uint16_t type, uint64_t cookie)
{
	assert_int_equal(packet_receive(d->fd, MSG_DONTWAIT, true, &d->packet), PACKET_RECEIVED);
	assert_int_equal(d->packet.header.type, type);
	assert_int_equal(d->packet.header.cookie, cookie);
	assert_true(d->packet.header.flags & MESSAGE_REPLY);
	d->detail.text[0] = '\0';
	return d->packet.header.flags & MESSAGE_REFUSED ? packet_refusal(&d->packet, &d->detail) : 0;
}

/* One round trip with SERVER, which must stay usable. */
static inline int driver_ask_at(struct driver *d, struct vbroker_domain_server *server)
{
	uint16_t type = d->packet.header.type;

	driver_send(d);
	assert_int_equal(vbroker_domain_server_dispatch(server), 0);
	return driver_receive(d, type, d->cookie);
}

static inline int driver_ask(struct bench *b)
{
	return driver_ask_at(&b->driver, b->server);
}

/* The results of the last reply, which must be COUNT of SIZE bytes. */
static inline const void *driver_results(const struct driver *d, size_t size, uint32_t count)
{
	const struct array_header *header = packet_body(&d->packet, sizeof *header);

	assert_non_null(header);
	assert_int_equal(header->flags, 0);
	assert_int_equal(header->count, count);
	assert_int_equal(d->packet.header.length, sizeof *header + count * size);
	return header + 1;
}

static inline const struct map_result *map_results(const struct driver *d, uint32_t count)
{
	return driver_results(d, sizeof(struct map_result), count);
}

static inline const struct element_result *element_results(const struct driver *d, uint32_t count)
{
	return driver_results(d, sizeof(struct element_result), count);
}

/* ---- one element, in one line ---- */

/* What came of one element; *RET_RESULT is zero if it was refused. */
static inline int map_one(struct bench *b, unsigned int access, int fd, uint32_t handle, uint64_t offset,
	uint64_t length, uint64_t iova, struct map_result *ret_result)
{
	int r;

	if (ret_result)
		*ret_result = (struct map_result){0};
	driver_begin(&b->driver, DOMAIN_MAP);
	driver_add_map(&b->driver, access, fd, handle, offset, length, iova);
	r = driver_ask(b);
	if (r == 0 && ret_result)
		*ret_result = *map_results(&b->driver, 1);
	return r;
}

static inline int unmap_one(struct bench *b, uint64_t iova, uint64_t length)
{
	driver_begin(&b->driver, DOMAIN_UNMAP);
	driver_add_unmap(&b->driver, iova, length);
	return driver_ask(b);
}

static inline int forget_one(struct bench *b, uint32_t handle)
{
	driver_begin(&b->driver, DOMAIN_FORGET);
	driver_add_forget(&b->driver, handle);
	return driver_ask(b);
}

/* *RET_FD is the caller's. */
static inline int alloc_one(
	struct bench *b, uint32_t flags, uint64_t length, struct map_result *ret_result, int *ret_fd)
{
	int r;

	*ret_result = (struct map_result){0};
	*ret_fd = -1;
	driver_begin(&b->driver, DOMAIN_ALLOC);
	driver_add_alloc(&b->driver, flags, length);
	r = driver_ask(b);
	if (r != 0)
		return r;
	*ret_result = *map_results(&b->driver, 1);
	assert_int_equal(b->driver.packet.fds.count, 1);
	*ret_fd = fdset_take(&b->driver.packet.fds, 0);
	return 0;
}

/* What is left of the budget, as DESCRIBE says. */
static inline struct domain_reply driver_describe(struct bench *b)
{
	const struct domain_reply *reply;

	packet_request(&b->driver.packet, DOMAIN_DESCRIBE, ++b->driver.cookie);
	assert_int_equal(driver_ask(b), 0);
	reply = packet_body(&b->driver.packet, sizeof *reply);
	assert_non_null(reply);
	return *reply;
}

static inline void assert_left(struct bench *b, uint64_t bytes, uint32_t mappings, uint32_t memories)
{
	struct domain_reply reply = driver_describe(b);

	assert_int_equal(reply.bytes_left, bytes);
	assert_int_equal(reply.mappings_left, mappings);
	assert_int_equal(reply.memories_left, memories);
}

static inline void assert_untouched(struct bench *b)
{
	assert_left(b, BUDGET_BYTES, BUDGET_MAPPINGS, BUDGET_MEMORIES);
	assert_int_equal(bench_memfds(), b->memfds_before);
}

static inline void assert_words(const struct driver *d, const char *part)
{
	if (!strstr(d->detail.text, part))
		fail_msg("\"%s\" is not in the detail \"%s\"", part, d->detail.text);
}

/* ---- servers ---- */

static inline void driver_greet(struct driver *d, struct vbroker_domain_server *server)
{
	struct hello_request *hello;

	packet_request(&d->packet, COMMON_HELLO, ++d->cookie);
	hello = packet_append(&d->packet, sizeof *hello);
	hello->version_lowest = hello->version_highest = MESSAGE_VERSION;
	assert_int_equal(driver_ask_at(d, server), 0);
}

static inline void bench_serve(struct bench *b, uint64_t bytes, uint32_t mappings, uint32_t memories)
{
	const struct vbroker_budget budget = {bytes, mappings, memories};

	assert_int_equal(vbroker_domain_serve(b->domain, &budget, &b->server, &b->driver.fd), 0);
	b->driver.cookie = 0;
	driver_greet(&b->driver, b->server);
}

#endif
