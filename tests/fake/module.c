/* SPDX-License-Identifier: MIT */
#include "module.h"

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
	if (!is_control(control))
		return -ENOTTY;
	if (info->argsz < sizeof *info)
		return -EINVAL;
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

int fake_window_make(int control, const uint8_t *registers, uint64_t size, uint32_t flags)
{
	struct window *window = window_slot();
	OWNED_FD fd = memfd_create("fake-window", MFD_CLOEXEC);
	int copy;

	if (!is_control(control))
		return -ENOTTY;
	if (!window)
		return -ENOMEM;
	if (fd < 0 || pwrite(fd, registers, size, 0) != (ssize_t)size)
		return -errno;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	*window = (struct window){copy, control, size, flags};
	return fd_take(&fd);
}

static int take_back(const struct window *window)
{
	uint8_t ones[4096];

	if (!(window->flags & VFIO_WINDOW_FLAG_ONES))
		return ftruncate(window->fd, 0) < 0 ? -errno : 0;
	memset(ones, 0xff, sizeof ones);
	for (uint64_t i = 0; i < window->size; i += sizeof ones) {
		if (pwrite(window->fd, ones, sizeof ones, (off_t)i) < 0)
			return -errno;
	}
	return 0;
}

int fake_window_revoke(int control)
{
	int r = is_control(control) ? 0 : -ENOTTY;

	for (size_t i = 0; r == 0 && i < WINDOWS_MAX; i++) {
		if (windows[i].fd <= 0 || windows[i].control != control)
			continue;
		r = take_back(&windows[i]);
		close(windows[i].fd);
		windows[i].fd = 0;
	}
	return r;
}
