/* SPDX-License-Identifier: MIT */
#include "helper/note.h"

#include "device_name.h"
#include "log.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int note_make(void)
{
	int fd = memfd_create("vfio-helper-note", MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

void note_write(const struct helper *helper)
{
	const struct operation *operation = helper->operation;
	struct helper_note note = {.pid = helper->pid, .group = GROUP_NONE};

	if (helper->note < 0)
		return;
	if (operation) {
		note.since_us = operation->since_us;
		note.order = operation->order;
		note.group = operation->group ? operation->group->number : GROUP_NONE;
		note.uid = operation->uid;
		memcpy(note.device, operation->device, sizeof note.device);
		memcpy(note.driver, operation->driver, sizeof note.driver);
	}
	if (pwrite(helper->note, &note, sizeof note, 0) != (ssize_t)sizeof note)
		log_line(LOG_WARNING, "helper (pid %u): no note of its order: %s", helper->pid, strerror(errno));
}

bool note_read(int fd, struct helper_note *ret_note)
{
	struct helper_note note;

	if (pread(fd, &note, sizeof note, 0) != (ssize_t)sizeof note)
		return false;
	if (note.order >= HELPER_TYPE_MAX || !memchr(note.driver, '\0', sizeof note.driver))
		return false;
	if (note.order != 0 && !device_name_valid(note.device))
		return false;
	*ret_note = note;
	return true;
}
