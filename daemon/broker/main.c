/* SPDX-License-Identifier: MIT */
#include "broker.h"
#include "capabilities.h"
#include "footprint.h"
#include "host_choice.h"
#include "limits.h"
#include "log.h"
#include "policy_files.h"
#include "sandbox_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define POLICY_DIRECTORIES_MAX 8

struct arguments {
	struct broker_options options;
	const char *listen;
	const char *policy[POLICY_DIRECTORIES_MAX + 1];
	size_t policy_count;
};

static const char help[] =
	"usage: vfio-brokerd [OPTION ...]\n"
	"Leases PCI devices to unprivileged processes. Started by systemd (vfio-broker.socket); by hand for tests.\n"
	"\n"
	"  --listen PATH            make this socket instead of taking systemd's\n"
	"  --keeper-socket PATH     where vfio-keeper is started (" RUNDIR "/keeper.sock)\n"
	"  --policy DIRECTORY       read policy files here only; may be given several times, the most important first\n"
	"  --claims DIRECTORY       where records of rebound devices are kept (" RUNDIR "/claims)\n"
	"  --sessions-per-user N    limit of connections\n"
	"  --leases-per-user N      limit of devices\n"
	"  --verbose                log more\n"
	"  --version, --help\n";

enum option_id {
	OPTION_LISTEN = 256,
	OPTION_KEEPER,
	OPTION_POLICY,
	OPTION_CLAIMS,
	OPTION_SESSIONS,
	OPTION_LEASES,
	OPTION_VERBOSE,
	OPTION_VERSION,
	OPTION_HELP,
};

static const struct option long_options[] = {
	{"listen", required_argument, NULL, OPTION_LISTEN},
	{"keeper-socket", required_argument, NULL, OPTION_KEEPER},
	{"policy", required_argument, NULL, OPTION_POLICY},
	{"claims", required_argument, NULL, OPTION_CLAIMS},
	{"sessions-per-user", required_argument, NULL, OPTION_SESSIONS},
	{"leases-per-user", required_argument, NULL, OPTION_LEASES},
	{"verbose", no_argument, NULL, OPTION_VERBOSE},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"help", no_argument, NULL, OPTION_HELP},
	{0},
};

static void fail(const char *what, int error) __attribute__((noreturn));
static void fail(const char *what, int error)
{
	log_line(LOG_ERR, "%s: %s", what, strerror(error < 0 ? -error : error));
	exit(EXIT_FAILURE);
}

static unsigned int parse_limit(const char *text)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || *end != '\0' || end == text || value == 0 || value > 1000000)
		fail(text, EINVAL);
	return (unsigned int)value;
}

static void parse_option(struct arguments *arguments, int option)
{
	switch (option) {
	case OPTION_LISTEN:
		arguments->listen = optarg;
		return;
	case OPTION_KEEPER:
		arguments->options.keeper_socket = optarg;
		return;
	case OPTION_POLICY:
		if (arguments->policy_count == POLICY_DIRECTORIES_MAX)
			fail("--policy", E2BIG);
		arguments->policy[arguments->policy_count++] = optarg;
		return;
	case OPTION_CLAIMS:
		arguments->options.claims_directory = optarg;
		return;
	case OPTION_SESSIONS:
		arguments->options.sessions_per_user = parse_limit(optarg);
		return;
	case OPTION_LEASES:
		arguments->options.leases_per_user = parse_limit(optarg);
		return;
	case OPTION_VERBOSE:
		log_set_level(LOG_DEBUG);
		return;
	case OPTION_VERSION:
		puts("vfio-brokerd " VERSION);
		exit(EXIT_SUCCESS);
	case OPTION_HELP:
		fputs(help, stdout);
		exit(EXIT_SUCCESS);
	default:
		fputs(help, stderr);
		exit(2);
	}
}

static void parse_arguments(struct arguments *arguments, int argc, char **argv)
{
	int option;

	*arguments = (struct arguments){
		.options = {RUNDIR "/keeper.sock", RUNDIR "/claims", SESSIONS_PER_USER, LEASES_PER_USER, NULL},
	};
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
		parse_option(arguments, option);
	if (optind < argc)
		parse_option(arguments, '?');
	if (arguments->policy_count > 0)
		return;
	arguments->policy[arguments->policy_count++] = SYSCONFDIR "/vfio-broker/policy.d";
	arguments->policy[arguments->policy_count++] = RUNDIR "/policy.d";
	arguments->policy[arguments->policy_count++] = DATADIR "/vfio-broker/policy.d";
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof address.sun_path)
		fail(path, ENAMETOOLONG);
	strcpy(address.sun_path, path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || chmod(path, 0666) < 0 ||
		listen(fd, SOMAXCONN) < 0)
		fail(path, errno);
	return fd;
}

/* The listening socket: systemd's, or one of our own for tests. */
static int get_listener(const char *path)
{
	int n = sd_listen_fds(1);

	if (path)
		return listen_at(path);
	if (n != 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) <= 0) {
		log_line(LOG_ERR,
			"no SOCK_SEQPACKET socket from systemd: start vfio-broker.socket, or use --listen PATH");
		exit(EXIT_FAILURE);
	}
	/* systemd passes it blocking unless told otherwise, and the loop accepts until there is nothing left. */
	if (fcntl(SD_LISTEN_FDS_START, F_SETFL, O_NONBLOCK) < 0)
		fail("listening socket", errno);
	return SD_LISTEN_FDS_START;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	(void)source;
	(void)info;
	broker_stop(userdata);
	return 0;
}

static void catch_signals(sd_event *event, struct broker *broker)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (sd_event_add_signal(event, NULL, SIGTERM, on_signal, broker) < 0 ||
		sd_event_add_signal(event, NULL, SIGINT, on_signal, broker) < 0)
		fail("signals", ENOMEM);
}

/* A policy with a mistake grants nothing: the service is up, and every refusal names file and line. */
static struct policy *read_policy(const struct arguments *arguments, struct policy_error *error)
{
	struct policy *policy = NULL;

	if (policy_load(arguments->policy, &policy, error) < 0)
		log_line(LOG_ERR, "no device will be leased: %s", error->text);
	else if (policy->count == 0)
		log_line(LOG_NOTICE, "there is no policy rule yet, so no device will be leased; see %s",
			arguments->policy[0]);
	return policy;
}

int main(int argc, char **argv)
{
	static struct broker broker;
	struct policy_error policy_error = {0};
	struct arguments arguments;
	struct policy *policy;
	sd_event *event;
	int listener, r;

	parse_arguments(&arguments, argc, argv);
	umask(0077);
	log_never_wait();
	if (journal_has_stderr())
		arguments.options.journal = JOURNAL_SOCKET;
	if (mkdir(arguments.options.claims_directory, 0700) < 0 && errno != EEXIST)
		fail(arguments.options.claims_directory, errno);
	listener = get_listener(arguments.listen);
	/* Names are looked up now: name services may want sockets and files that the sandbox does not give. */
	policy = read_policy(&arguments, &policy_error);
	r = sd_event_new(&event);
	if (r < 0)
		fail("event loop", r);
	catch_signals(event, &broker);
	r = capabilities_drop();
	if (r < 0)
		fail("capabilities", r);
	r = broker_init(&broker, event, host_choice(), &arguments.options, policy, &policy_error, listener);
	if (r < 0)
		fail("start", r);
	/* Before the first client byte: connections are accepted by the loop alone. */
	r = sandbox_enter(broker_sandbox_rules, broker_sandbox_rules_count);
	if (r < 0)
		fail("seccomp", r);
	log_line(LOG_INFO, "ready: %u PCI devices", broker.inventory.count);
	sd_notify(0, "READY=1");
	footprint_trim();
	r = sd_event_loop(event);
	broker_clear(&broker);
	sd_event_unref(event);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
