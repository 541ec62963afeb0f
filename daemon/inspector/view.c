/* SPDX-License-Identifier: MIT */
#include "view.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *view_path(const struct view *view, char path[VIEW_PATH_SIZE], const char *format, ...)
{
	size_t length = strlen(view->root);
	va_list arguments;

	if (length >= VIEW_PATH_SIZE)
		length = 0;
	memcpy(path, view->root, length);
	va_start(arguments, format);
	vsnprintf(path + length, VIEW_PATH_SIZE - length, format, arguments);
	va_end(arguments);
	return path;
}

bool view_line(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	bool read = file && fgets(text, (int)size, file);

	if (file)
		fclose(file);
	text[read ? strcspn(text, "\n") : 0] = '\0';
	return read;
}

bool view_link(const char *path, char *text, size_t size)
{
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof target - 1);
	const char *slash;

	text[0] = '\0';
	if (length < 0)
		return false;
	target[length] = '\0';
	slash = strrchr(target, '/');
	snprintf(text, size, "%s", slash ? slash + 1 : target);
	return true;
}
