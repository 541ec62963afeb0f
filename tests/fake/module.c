/* SPDX-License-Identifier: MIT */
#include "module.h"

#include "container.h"
#include "fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOWS_MAX 64

/* Windows that this process made and that are not revoked. */
static struct window {
	int fd; /* owned; 0: unused */
	int control;
	uint8_t *memory; /* owned mapping of all of it */
	uint64_t size;
	uint32_t flags;
} windows[WINDOWS_MAX];

static bool is_control(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

int fake_window_info(int control, struct vfio_window_info *info)
{
	int r = fake_failure(FAKE_WINDOW_INFO, NULL);

	if (r == 0 && !is_control(control))
		r = -ENOTTY;
	if (r == 0 && info->argsz < sizeof *info)
		r = -EINVAL;
	if (r < 0)
		return r;
	*info = (struct vfio_window_info){.argsz = info->argsz, .version = VFIO_WINDOW_VERSION};
	for (size_t i = 0; i < WINDOWS_MAX; i++) {
		if (windows[i].fd <= 0 || windows[i].control != control)
			continue;
		info->windows++;
		info->size += windows[i].size;
	}
	return 0;
}

static struct window *window_slot(void)
{
	for (size_t i = 0; i < WINDOWS_MAX; i++) {
		if (windows[i].fd == 0)
			return &windows[i];
	}
	return NULL;
}

/* A file with a copy of REGISTERS, which only *RET_MEMORY can change unless it may be WRITTEN. Returns a descriptor. */
static int window_file(const uint8_t *registers, uint64_t size, bool written, uint8_t **ret_memory)
{
	OWNED_FD fd = memfd_create("fake-window", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *memory;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -errno;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	memcpy(memory, registers, size);
	if (!written && fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0) {
		int error = errno;

		munmap(memory, size);
		return -error;
	}
	*ret_memory = memory;
	return fd_take(&fd);
}

int fake_window_make(int control, const uint8_t *registers, uint64_t size, uint32_t flags)
{
	struct window *window = window_slot();
	OWNED_FD fd = -1;
	uint8_t *memory;
	int copy;

	if (!is_control(control))
		return -ENOTTY;
	if (!window)
		return -ENOMEM;
	fd = window_file(registers, size, flags & VFIO_WINDOW_FLAG_WRITE, &memory);
	if (fd < 0)
		return fd;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0) {
		int error = errno;

		munmap(memory, size);
		return -error;
	}
	*window = (struct window){copy, control, memory, size, flags};
	return fd_take(&fd);
}

static int take_back(struct window *window)
{
	int r = 0;

	if (window->flags & VFIO_WINDOW_FLAG_ONES)
		memset(window->memory, 0xff, window->size);
	else if (ftruncate(window->fd, 0) < 0)
		r = -errno;
	munmap(window->memory, window->size);
	close(window->fd);
	window->fd = 0;
	return r;
}

int fake_window_revoke(int control)
{
	int r = is_control(control) ? 0 : -ENOTTY;

	for (size_t i = 0; r == 0 && i < WINDOWS_MAX; i++) {
		if (windows[i].fd > 0 && windows[i].control == control)
			r = take_back(&windows[i]);
	}
	return r < 0 ? r : fake_failure(FAKE_WINDOW_REVOKE, NULL);
}
