/* SPDX-License-Identifier: MIT */
#include "log.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* A pipe that nobody reads, and which another program writes to as well. */
static void a_full_pipe_loses_lines(void **state)
{
	int saved = dup(STDERR_FILENO), pipe_fds[2];

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	dup2(pipe_fds[1], STDERR_FILENO);
	log_never_wait();
	/* More than any pipe has room for by default. */
	for (int i = 0; i < 2000; i++)
		log_line(LOG_INFO, "%0100d", i);
	assert_false(fcntl(pipe_fds[1], F_GETFL) & O_NONBLOCK);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void a_full_socket_loses_lines(void **state)
{
	int saved = dup(STDERR_FILENO), pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	dup2(pair[1], STDERR_FILENO);
	log_never_wait();
	for (int i = 0; i < 20000; i++)
		log_line(LOG_INFO, "%0100d", i);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_carry_their_level),
		cmocka_unit_test(level_is_a_threshold),
		cmocka_unit_test(long_lines_are_cut_and_ended),
		cmocka_unit_test(log_without_stderr_goes_on),
		cmocka_unit_test(a_full_pipe_loses_lines),
		cmocka_unit_test(a_full_socket_loses_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
