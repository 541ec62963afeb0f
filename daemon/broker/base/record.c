/* SPDX-License-Identifier: MIT */
#include "base/record.h"

#include "device_name.h"
#include "fdset.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PARTIAL ".new" /* at the end of the name of a record that is being written */

static void record_path(char *path, size_t size, const char *directory, const char *name, const char *suffix)
{
	snprintf(path, size, "%s/%s%s", directory, name, suffix);
}

int record_write(const char *directory, const char *name, const char *text)
{
	char path[256], partial[256];
	size_t length = strlen(text);
	OWNED_FD fd = -1;

	record_path(path, sizeof path, directory, name, "");
	record_path(partial, sizeof partial, directory, name, PARTIAL);
	fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	errno = 0;
	/* The directory is on tmpfs and root's alone: a record is there whole or not at all, and needs no fsync(). */
	if (write(fd, text, length) != (ssize_t)length || rename(partial, path) < 0) {
		int r = errno ? -errno : -EIO;

		unlink(partial);
		return r;
	}
	return 0;
}

void record_remove(const char *directory, const char *name)
{
	char path[256];

	record_path(path, sizeof path, directory, name, "");
	unlink(path);
}

static int record_read(const char *directory, const char *name, record_found found, void *context)
{
	char path[256], text[RECORD_SIZE_MAX + 1];
	OWNED_FD fd = -1;
	ssize_t length;

	record_path(path, sizeof path, directory, name, "");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -EINVAL;
	length = read(fd, text, sizeof text);
	if (length < 0 || length == sizeof text)
		return -EINVAL;
	text[length] = '\0';
	return found(context, name, text);
}

/* The length of a file's name without PARTIAL, if the name has PARTIAL. */
static size_t name_length(const char *file)
{
	const char *suffix = strstr(file, PARTIAL);

	return suffix ? (size_t)(suffix - file) : strlen(file);
}

int record_each(const char *directory, record_found found, void *context)
{
	DIR *dir = opendir(directory);
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	for (const struct dirent *entry; r == 0 && (entry = readdir(dir));) {
		char name[DEVICE_NAME_SIZE] = "";
		size_t length = name_length(entry->d_name);

		if (length >= sizeof name)
			continue;
		memcpy(name, entry->d_name, length);
		if (!device_name_valid(name))
			continue;
		/* The writer was killed before changing anything. */
		if (strcmp(entry->d_name + length, PARTIAL) == 0)
			record_remove(directory, entry->d_name);
		if (entry->d_name[length] != '\0')
			continue;
		r = record_read(directory, name, found, context);
		if (r != -EINVAL)
			continue;
		log_line(LOG_WARNING, "%s/%s: this record makes no sense; removed", directory, name);
		record_remove(directory, name);
		r = 0;
	}
	closedir(dir);
	return r;
}
