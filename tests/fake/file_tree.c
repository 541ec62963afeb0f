/* SPDX-License-Identifier: MIT */
#include "file_tree.h"

#include "fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const char *tree_root(void)
{
	const char *directory = getenv("FAKE_HOST");

	return directory ? directory : "/nonexistent";
}

static void path_of(char *path, size_t size, const char *name, const char *file)
{
	snprintf(path, size, "%s/devices/%s/%s", tree_root(), name, file);
}

/* The first line of the file at PATH. Returns false, and an empty line, if there is no such file. */
static bool line_read(const char *path, char *text, size_t size)
{
	OWNED_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);

	text[length < 0 ? 0 : length] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return length >= 0;
}

int tree_read(const char *name, const char *file, char *text, size_t size)
{
	char path[512];

	path_of(path, sizeof path, name, file);
	return line_read(path, text, size) ? 0 : -ENODEV;
}

int tree_write(const char *name, const char *file, const char *text)
{
	char path[512];
	OWNED_FD fd = -1;

	path_of(path, sizeof path, name, file);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -ENODEV;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

void tree_hang(const char *step, const char *what)
{
	const struct timespec pause = {0, 5000000};
	char path[512], whom[64];

	snprintf(path, sizeof path, "%s/hang-%s", tree_root(), step);
	while (line_read(path, whom, sizeof whom) && (whom[0] == '\0' || strcmp(whom, what) == 0))
		nanosleep(&pause, NULL);
}
