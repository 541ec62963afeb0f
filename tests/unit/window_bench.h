/* SPDX-License-Identifier: MIT */
#ifndef WINDOW_BENCH_H
#define WINDOW_BENCH_H

#include "container.h"
#include "fdset.h"
#include "keeper_bench.h"
#include "message.h"
#include "unit.h"
#include "vfio_window.h"

#include <linux/vfio.h>
#include <sys/mman.h>

/* A keeper whose client may have windows. */

#define BAR    VFIO_PCI_BAR0_REGION_INDEX
#define CONFIG VFIO_PCI_CONFIG_REGION_INDEX
#define PAGE   UINT64_C(0x1000)
#define TABLE  ((uint64_t)FAKE_MSIX_TABLE)

static const struct window_limits plenty = {.count = 64, .size = UINT64_MAX};

/* ---- a client with windows ---- */

/* COUNT devices with windows by LIMITS (NULL: no module), all bound to one domain. */
static inline void start(struct bench *b, size_t count, const struct window_limits *limits)
{
	OWNED_FD domain = fake_container_open();

	bench_start_limited(b, count, limits);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(bench_bind(b, i, domain), 0);
}

/* REGION_WINDOW of device I. *RET_FD is the caller's; refusals bring none. */
static inline int ask(struct bench *b, size_t i, struct window_request request, int *ret_fd)
{
	int r = bench_call(b, b->clients[i], DEVICE_REGION_WINDOW, &request, sizeof request);

	*ret_fd = -1;
	assert_int_equal(b->packet.fds.count, r == 0 ? 1 : 0);
	if (r == 0) {
		assert_int_equal(b->packet.header.length, 0);
		*ret_fd = fdset_take(&b->packet.fds, 0);
	}
	return r;
}

/* The same of device 0, without flags, and without the window. */
static inline int try(struct bench *b, uint32_t region, uint64_t offset, uint64_t length)
{
	int fd = -1;
	int r = ask(b, 0, (struct window_request){0, region, offset, length}, &fd);

	fd_cleanup(&fd);
	return r;
}

/* A mapping of LENGTH bytes at OFFSET of BAR 0 of device I, which outlives its descriptor. */
static inline volatile uint8_t *map(struct bench *b, size_t i, uint32_t flags, uint64_t offset, uint64_t length)
{
	int fd, protection = PROT_READ | (flags & WINDOW_WRITE ? PROT_WRITE : 0);
	void *address;

	assert_int_equal(ask(b, i, (struct window_request){flags, BAR, offset, length}, &fd), 0);
	address = mmap(NULL, length, protection, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(address, MAP_FAILED);
	close(fd);
	return address;
}

static inline void unmap(volatile uint8_t *address, uint64_t length)
{
	assert_int_equal(munmap((void *)(uintptr_t)address, length), 0);
}

static inline int unbind(struct bench *b, size_t i)
{
	return bench_call(b, b->clients[i], DEVICE_UNBIND, NULL, 0);
}

static inline void bind_again(struct bench *b, size_t i)
{
	OWNED_FD domain = fake_container_open();

	assert_int_equal(bench_bind(b, i, domain), 0);
}

#endif
