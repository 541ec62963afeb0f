/* SPDX-License-Identifier: MIT */
#include "verdict.h"
#include "window-module.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * What would let a client reach the BAR not through its page tables, which are zapped, but by a physical address that
 * somebody has looked up there: DMA through another device, and whatever pins pages.
 */

#define COUNT 4
#define SIZE  ((uint64_t)COUNT * PAGE)

/* ---- DMA ---- */

static void check_type1(const struct ground *ground, const char *what, const void *mapping, int writable, long expected)
{
	char name[128];
	long result = raw_map_dma(&ground->vfio, mapping, SIZE, writable);

	snprintf(name, sizeof name, "type1 %s %s for DMA, %s", expected ? "does not map" : "maps", what,
		writable ? "writable" : "read-only");
	if (result == 0)
		raw_unmap_dma(&ground->vfio, SIZE);
	verdict_is(name, result, expected);
}

static void check_type1_both(const struct ground *ground, const char *what, const void *mapping, long expected)
{
	check_type1(ground, what, mapping, 0, expected);
	check_type1(ground, what, mapping, 1, expected);
}

/* ---- pages that are pinned ---- */

static long direct_read(void *mapping)
{
	int disk = open("/dev/vda", O_RDONLY | O_DIRECT | O_CLOEXEC);
	long result;

	if (disk < 0)
		verdict_die("/dev/vda");
	result = verdict_result(read(disk, mapping, PAGE));
	close(disk);
	return result;
}

static long splice_from(void *mapping)
{
	struct iovec part = {mapping, PAGE};
	int ends[2];
	long result;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		verdict_die("pipe");
	result = verdict_result(vmsplice(ends[1], &part, 1, 0));
	close(ends[0]);
	close(ends[1]);
	return result;
}

static long write_remotely(void *mapping)
{
	char buffer[64] = {0};
	struct iovec local = {buffer, sizeof buffer}, remote = {mapping, sizeof buffer};

	return verdict_result(process_vm_writev(getpid(), &local, 1, &remote, 1, 0));
}

/* -ENOSYS: there is no io_uring here */
static long register_buffer(void *mapping)
{
	struct io_uring_params parameters = {0};
	struct iovec part = {mapping, SIZE};
	int ring = (int)syscall(SYS_io_uring_setup, 1, &parameters);
	long result;

	if (ring < 0)
		return -ENOSYS;
	result = verdict_result(syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &part, 1));
	close(ring);
	return result;
}

static const struct {
	const char *name;
	long (*attempt)(void *mapping);
} pinners[] = {
	{"O_DIRECT", direct_read},
	{"vmsplice", splice_from},
	{"process_vm_writev", write_remotely},
	{"an io_uring's buffer", register_buffer},
};

/* @memory: what each of them works with, as a sign that it does something */
static void check_pinners(const char *when, void *mapping, void *memory)
{
	char name[128];

	for (size_t i = 0; i < sizeof pinners / sizeof pinners[0]; i++) {
		long usual = pinners[i].attempt(memory);

		snprintf(name, sizeof name, "%s does not reach a window, %s", pinners[i].name, when);
		if (usual == -ENOSYS)
			verdict_skip(name, "not in this kernel");
		else if (usual < 0)
			verdict_is("it reaches memory", usual, 0);
		else
			verdict_is(name, pinners[i].attempt(mapping), -EFAULT);
	}
}

void window_dma(struct ground *ground)
{
	int fd = ground_window(ground, VFIO_WINDOW_FLAG_WRITE, 0, COUNT),
	    ones_fd = ground_window(ground, VFIO_WINDOW_FLAG_WRITE | VFIO_WINDOW_FLAG_ONES, 0, COUNT);
	uint8_t *window = raw_map(fd, PROT_READ | PROT_WRITE, SIZE, 0),
		*ones = raw_map(ones_fd, PROT_READ | PROT_WRITE, SIZE, 0),
		*memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	check_type1_both(ground, "memory", memory, 0);
	check_type1_both(ground, "VFIO's own mapping", ground->direct, 0);
	check_type1_both(ground, "a window that nobody has touched", window, -EFAULT);
	verdict(ground_seen(window, 0, COUNT) && ground_seen(ones, 0, COUNT), "the windows are touched");
	check_type1_both(ground, "a window", window, -EFAULT);
	check_type1_both(ground, "a window that is to give ones", ones, -EFAULT);
	check_pinners("while it is there", window, memory);
	raw_revoke(ground->control);
	check_type1_both(ground, "a revoked window", window, -EFAULT);
	check_type1_both(ground, "a revoked window that gives ones, before it is touched", ones, -EFAULT);
	check_pinners("when it is revoked", window, memory);
	verdict_is("the ones are touched", (long)ground_count(ones, COUNT, 8, 0, UINT64_MAX), COUNT);
	check_type1_both(ground, "a revoked window that gives ones", ones, -EFAULT);
	/* Others may pin these pages, which are the process's own: */
	direct_read(ones);
	register_buffer(ones);
	splice_from(ones);
	verdict(ground_seen(ground->direct, 0, ground->bar.size / PAGE), "the device has all that it had");
	munmap(window, SIZE);
	munmap(ones, SIZE);
	munmap(memory, SIZE);
	close(fd);
	close(ones_fd);
}
