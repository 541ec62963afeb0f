/* SPDX-License-Identifier: MIT */
#include "log.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Runs one log_line() with stderr in a pipe and returns what came out, at most 4 KiB. */
#define LOGGED(...) (log_begin(), log_line(__VA_ARGS__), log_end())

static int saved_stderr;
static int reader;
static char text[4096];

static void log_begin(void)
{
	int pipe_fds[2];

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	saved_stderr = dup(STDERR_FILENO);
	dup2(pipe_fds[1], STDERR_FILENO);
	close(pipe_fds[1]);
	reader = pipe_fds[0];
}

static const char *log_end(void)
{
	ssize_t size;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	size = read(reader, text, sizeof text - 1);
	close(reader);
	text[size < 0 ? 0 : size] = '\0';
	return text;
}

static void lines_carry_their_level(void **state)
{
	(void)state;
	assert_string_equal(LOGGED(LOG_ERR, "%s: %d", "0000:01:00.0", 5), "<3>0000:01:00.0: 5\n");
	assert_string_equal(LOGGED(LOG_INFO, "ready"), "<6>ready\n");
}

static void level_is_a_threshold(void **state)
{
	(void)state;
	assert_string_equal(LOGGED(LOG_DEBUG, "detail"), "");
	log_set_level(LOG_DEBUG);
	assert_string_equal(LOGGED(LOG_DEBUG, "detail"), "<7>detail\n");
	log_set_level(LOG_ERR);
	assert_string_equal(LOGGED(LOG_INFO, "ready"), "");
	log_set_level(LOG_INFO);
}

static void long_lines_are_cut_and_ended(void **state)
{
	char longer[3000];
	const char *line;

	(void)state;
	memset(longer, 'x', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	line = LOGGED(LOG_INFO, "%s", longer);
	assert_true(strlen(line) > 1000 && strlen(line) <= 1024);
	assert_int_equal(line[strlen(line) - 1], '\n');
	assert_int_equal(line[strlen(line) - 2], 'x');
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void log_without_stderr_goes_on(void **state)
{
	int saved = dup(STDERR_FILENO);

	(void)state;
	close(STDERR_FILENO);
	errno = EDOM;
	log_line(LOG_INFO, "nobody hears this");
	assert_int_equal(errno, EDOM);
	dup2(saved, STDERR_FILENO);
	close(saved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_carry_their_level),
		cmocka_unit_test(level_is_a_threshold),
		cmocka_unit_test(long_lines_are_cut_and_ended),
		cmocka_unit_test(log_without_stderr_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
