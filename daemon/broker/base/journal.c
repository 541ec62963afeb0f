/* SPDX-License-Identifier: MIT */
#include "base/journal.h"

#include "connection.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define VALUE_SIZE 640

bool journal_has_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat status;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &status) == 0 &&
		status.st_dev == device && status.st_ino == inode;
}

void journal_open(struct journal *journal, const char *path)
{
	*journal = (struct journal){.path = path, .fd = path ? connection_open(path, SOCK_DGRAM) : -1};
}

void journal_close(struct journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = -1;
}

void journal_add(struct journal_entry *entry, const char *name, const char *format, ...)
{
	size_t room = sizeof entry->text - entry->used;
	char value[VALUE_SIZE];
	va_list arguments;
	int length;

	va_start(arguments, format);
	vsnprintf(value, sizeof value, format, arguments);
	va_end(arguments);
	for (char *c = value; *c; c++) {
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	}
	length = snprintf(entry->text + entry->used, room, "%s=%s\n", name, value);
	if (length > 0 && (size_t)length < room)
		entry->used += (size_t)length;
}

int journal_send(struct journal *journal, const struct journal_entry *entry)
{
	if (journal->fd >= 0 && write(journal->fd, entry->text, entry->used) >= 0)
		return 0;
	if (!journal->path)
		return -ENOENT;
	if (journal->fd >= 0 && errno == EAGAIN)
		return -EAGAIN;
	/* The socket was made anew (systemd-journald.socket was restarted), or was not there before. */
	journal_close(journal);
	journal->fd = connection_open(journal->path, SOCK_DGRAM);
	if (journal->fd < 0)
		return journal->fd;
	return write(journal->fd, entry->text, entry->used) < 0 ? -errno : 0;
}
