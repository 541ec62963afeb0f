/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int level_max = LOG_INFO;

void log_set_level(int level)
{
	level_max = level;
}

/* A pipe or terminal may be other programs' stderr, too. A second opening has flags of its own. */
static bool open_again(void)
{
	int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	bool is_open = fd >= 0 && dup2(fd, STDERR_FILENO) >= 0;

	if (fd >= 0)
		close(fd);
	return is_open;
}

void log_never_wait(void)
{
	struct stat status;
	int flags;

	if (fstat(STDERR_FILENO, &status) < 0 || S_ISREG(status.st_mode))
		return;
	if ((S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) && open_again())
		return;
	flags = fcntl(STDERR_FILENO, F_GETFL);
	if (flags >= 0)
		fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
}

void log_line(int level, const char *format, ...)
{
	int saved = errno;
	char line[1024];
	va_list arguments;
	int used;

	if (level > level_max)
		return;
	used = snprintf(line, sizeof line, "<%d>", level);
	va_start(arguments, format);
	used += vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
	va_end(arguments);
	if ((size_t)used > sizeof line - 2)
		used = (int)sizeof line - 2;
	line[used++] = '\n';
	/* A single write, so lines of several processes do not mix. A full or closed stderr must not stop a daemon. */
	if (write(STDERR_FILENO, line, (size_t)used) < 0)
		errno = saved;
	errno = saved;
}
