/* SPDX-License-Identifier: MIT */
#include "detail.h"
#include "device.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct vbroker_window {
	int fd;	       /* owned */
	void *address; /* owned mapping; NULL: not mapped */
	size_t length;
	bool writable;
};

int vbroker_window_open(struct vbroker_device *device, uint32_t region, uint64_t offset, uint64_t length,
	unsigned int flags, struct vbroker_window **ret_window)
{
	static const struct requester_reply expected = {.fds = 1};
	struct vbroker_window *window;
	struct window_request *request;
	int r;

	detail_clear();
	if (length > SIZE_MAX / 2)
		return detail_set(-EINVAL, "a window of %#llx bytes", (unsigned long long)length);
	window = malloc(sizeof *window);
	if (!window)
		return -ENOMEM;
	request = requester_begin(&device->channel, DEVICE_REGION_WINDOW, sizeof *request);
	*request = (struct window_request){flags, region, offset, length};
	r = requester_call(&device->channel, &expected);
	if (r != 0) {
		free(window);
		return r;
	}
	*window = (struct vbroker_window){
		.fd = fdset_take(&device->channel.packet.fds, 0),
		.length = (size_t)length,
		.writable = flags & VBROKER_WINDOW_WRITE,
	};
	*ret_window = window;
	return 0;
}

int vbroker_window_fd(const struct vbroker_window *window)
{
	return window->fd;
}

/* The kernel maps large BARs by huge pages, where the address allows it. */
#define HUGE_PAGE ((size_t)2 << 20)

/*
 * A multiple of HUGE_PAGE with LENGTH free bytes; NULL: the kernel chooses. Only a hint, never MAP_FIXED: another
 * thread may map something there in the meantime, and the other mapping must be neither replaced nor, on failure,
 * unmapped.
 */
static void *aligned_hint(size_t length)
{
	size_t size = length + HUGE_PAGE;
	char *start = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (start == MAP_FAILED)
		return NULL;
	munmap(start, size);
	return start + (HUGE_PAGE - (uintptr_t)start % HUGE_PAGE) % HUGE_PAGE;
}

int vbroker_window_map(struct vbroker_window *window, volatile void **ret_address)
{
	int protection = PROT_READ | (window->writable ? PROT_WRITE : 0);
	void *hint, *address;

	detail_clear();
	if (window->address) {
		*ret_address = window->address;
		return 0;
	}
	hint = window->length >= HUGE_PAGE ? aligned_hint(window->length) : NULL;
	address = mmap(hint, window->length, protection, MAP_SHARED, window->fd, 0);
	/* drivers: the mapped file is gone */
	if (address == MAP_FAILED && errno == ENODEV)
		return detail_set(REFUSAL_REVOKED, "the window was taken back with its device");
	if (address == MAP_FAILED)
		return detail_set(-errno, "mapping a window of %#zx bytes", window->length);
	window->address = address;
	*ret_address = address;
	return 0;
}

void vbroker_window_close(struct vbroker_window *window)
{
	if (!window)
		return;
	if (window->address)
		munmap(window->address, window->length);
	close(window->fd);
	free(window);
}
