/* SPDX-License-Identifier: MIT */
#include "base/capabilities.h"
#include "base/journal.h"
#include "base/limits.h"
#include "base/notify.h"
#include "base/sandbox_rules.h"
#include "base/store.h"
#include "host/host_choice.h"
#include "log.h"
#include "policy/policy_check.h"
#include "service/policy_program.h"
#include "service/policy_reader.h"
#include "service/reload.h"
#include "service/service.h"
#include "state/idle.h"

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
#include <time.h>
#include <unistd.h>

struct arguments {
	struct broker_options options;
	struct stored *stored; /* owned: options.stored */
	const char *listen;
	const char *policy[RELOAD_DIRECTORIES_MAX + 1];
	size_t policy_count;
	bool check_policy, read_policy;
	bool policy_socket_given;
	bool policy_is_own;	  /* the directories of the service, and no other files */
	const char *const *files; /* to be checked; ended by NULL */
};

static const char help[] =
	"usage: vfio-brokerd [OPTION ...]\n"
	"Leases PCI devices to unprivileged processes. Started by systemd (vfio-broker.socket); by hand for tests.\n"
	"\n"
	"  --listen PATH            make this socket instead of taking systemd's\n"
	"  --keeper-socket PATH     where vfio-keeper is started (" RUNDIR "/keeper.sock)\n"
	"  --front-socket PATH      where vfio-front is started (" RUNDIR "/front.sock)\n"
	"  --helper-socket PATH     where vfio-helper is started (" RUNDIR "/helper.sock)\n"
	"  --inspector-socket PATH  where vfio-inspector is started (" RUNDIR "/inspector.sock)\n"
	"  --policy-socket PATH     where the reader of policy files is started (" RUNDIR "/policy.sock)\n"
	"  --policy DIRECTORY       read policy files here only; may be given several times, the most important first\n"
	"  --read-policy            be the reader: send the policy over the socket from systemd, and end\n"
	"  --check-policy [FILE...] read the policy, or these files or directories, say what is wrong, and end;\n"
	"                           with --policy-socket: have the reader read the policy\n"
	"  --claims DIRECTORY       where records of rebound devices are kept (" RUNDIR "/claims)\n"
	"  --quarantine DIRECTORY   where records of devices that are or were in use are kept (" RUNDIR "/quarantine)\n"
	"  --sessions-per-user N    limit of connections\n"
	"  --leases-per-user N      limit of devices\n"
	"  --pass-rights            let clients attach descriptors where the kernel could refuse them; for tests\n"
	"  --verbose                log more\n"
	"  --version, --help\n";

enum option_id {
	OPTION_LISTEN = 256,
	OPTION_KEEPER,
	OPTION_FRONT,
	OPTION_HELPER,
	OPTION_INSPECTOR,
	OPTION_POLICY,
	OPTION_POLICY_SOCKET,
	OPTION_READ_POLICY,
	OPTION_CHECK_POLICY,
	OPTION_CLAIMS,
	OPTION_QUARANTINE,
	OPTION_SESSIONS,
	OPTION_LEASES,
	OPTION_PASS_RIGHTS,
	OPTION_VERBOSE,
	OPTION_VERSION,
	OPTION_HELP,
};

static const struct option long_options[] = {
	{"listen", required_argument, NULL, OPTION_LISTEN},
	{"keeper-socket", required_argument, NULL, OPTION_KEEPER},
	{"front-socket", required_argument, NULL, OPTION_FRONT},
	{"helper-socket", required_argument, NULL, OPTION_HELPER},
	{"inspector-socket", required_argument, NULL, OPTION_INSPECTOR},
	{"policy", required_argument, NULL, OPTION_POLICY},
	{"policy-socket", required_argument, NULL, OPTION_POLICY_SOCKET},
	{"read-policy", no_argument, NULL, OPTION_READ_POLICY},
	{"check-policy", no_argument, NULL, OPTION_CHECK_POLICY},
	{"claims", required_argument, NULL, OPTION_CLAIMS},
	{"quarantine", required_argument, NULL, OPTION_QUARANTINE},
	{"sessions-per-user", required_argument, NULL, OPTION_SESSIONS},
	{"leases-per-user", required_argument, NULL, OPTION_LEASES},
	{"pass-rights", no_argument, NULL, OPTION_PASS_RIGHTS},
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

static void add_policy(struct arguments *arguments, const char *directory)
{
	if (arguments->policy_count == RELOAD_DIRECTORIES_MAX)
		fail("--policy", E2BIG);
	arguments->policy[arguments->policy_count++] = directory;
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
	case OPTION_FRONT:
		arguments->options.front_socket = optarg;
		return;
	case OPTION_HELPER:
		arguments->options.helper_socket = optarg;
		break;
	case OPTION_INSPECTOR:
		arguments->options.inspector_socket = optarg;
		return;
	case OPTION_POLICY:
		add_policy(arguments, optarg);
		return;
	case OPTION_POLICY_SOCKET:
		arguments->options.policy_socket = optarg;
		arguments->policy_socket_given = true;
		return;
	case OPTION_READ_POLICY:
		arguments->read_policy = true;
		return;
	case OPTION_CHECK_POLICY:
		arguments->check_policy = true;
		return;
	case OPTION_CLAIMS:
		arguments->options.claims_directory = optarg;
		return;
	case OPTION_QUARANTINE:
		arguments->options.quarantine_directory = optarg;
		return;
	case OPTION_SESSIONS:
		arguments->options.sessions_per_user = parse_limit(optarg);
		return;
	case OPTION_LEASES:
		arguments->options.leases_per_user = parse_limit(optarg);
		return;
	case OPTION_PASS_RIGHTS:
		arguments->options.pass_rights = true;
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

/* Takes the directories among the WORDS to be checked. The other words are files, and are moved together at the
 * front of WORDS. */
static const char *const *take_directories(struct arguments *arguments, char **words)
{
	struct stat st;
	size_t files = 0;

	for (size_t i = 0; words[i]; i++) {
		if (stat(words[i], &st) == 0 && S_ISDIR(st.st_mode))
			add_policy(arguments, words[i]);
		else
			words[files++] = words[i];
	}
	words[files] = NULL;
	return (const char *const *)words;
}

static void parse_arguments(struct arguments *arguments, int argc, char **argv)
{
	int option;

	*arguments = (struct arguments){
		.options =
			{
				.keeper_socket = RUNDIR "/keeper.sock",
				.front_socket = RUNDIR "/front.sock",
				.helper_socket = RUNDIR "/helper.sock",
				.inspector_socket = RUNDIR "/inspector.sock",
				.policy_socket = RUNDIR "/policy.sock",
				.claims_directory = RUNDIR "/claims",
				.quarantine_directory = RUNDIR "/quarantine",
				.sessions_per_user = SESSIONS_PER_USER,
				.leases_per_user = LEASES_PER_USER,
			},
	};
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
		parse_option(arguments, option);
	if (optind < argc && !arguments->check_policy)
		parse_option(arguments, '?');
	arguments->files = take_directories(arguments, argv + optind);
	if (arguments->policy_count > 0 || arguments->files[0])
		return;
	arguments->policy_is_own = true;
	add_policy(arguments, SYSCONFDIR "/vfio-broker/policy.d");
	add_policy(arguments, RUNDIR "/policy.d");
	add_policy(arguments, DATADIR "/vfio-broker/policy.d");
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

/* Takes the sockets that systemd has passed. Returns the listening socket, or -1; the sockets of an earlier broker
 * go to ARGUMENTS. */
static int take_passed(struct arguments *arguments)
{
	struct broker_options *options = &arguments->options;
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names), listener = -1;
	struct stored *stored = n > 0 ? calloc((size_t)n, sizeof *stored) : NULL;

	if (n < 0 || (n > 0 && !stored))
		fail("sockets from systemd", n < 0 ? n : ENOMEM);
	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		if (store_parse(names[i], &stored[options->stored_count]))
			stored[options->stored_count++].fd = fd;
		else if (listener < 0 && sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, NULL, 0) > 0)
			listener = fd;
		else
			log_line(LOG_WARNING, "ignoring unknown socket \"%s\" passed by systemd (LISTEN_FDNAMES)",
				names[i]);
		free(names[i]);
	}
	free(names);
	options->stored = arguments->stored = stored;
	return listener;
}

/* The listening socket: from systemd, or a new socket at PATH for tests. */
static int get_listener(const char *path, int passed)
{
	if (path)
		return listen_at(path);
	if (passed < 0) {
		log_line(LOG_ERR,
			"no SOCK_SEQPACKET socket from systemd: start vfio-broker.socket, or use --listen PATH");
		exit(EXIT_FAILURE);
	}
	/* systemd passes a blocking socket unless told otherwise, and the loop accepts until no connection is left. */
	if (fcntl(passed, F_SETFL, O_NONBLOCK) < 0)
		fail("listening socket", errno);
	return passed;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	(void)source;
	(void)info;
	service_stop(userdata);
	return 0;
}

/* RestartKillSignal= of the unit. */
static int on_restart(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	(void)source;
	(void)info;
	service_leave(userdata);
	return 0;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	(void)source;
	(void)info;
	reload_now(userdata, "of SIGHUP");
	return 0;
}

static void catch_signals(sd_event *event, struct broker *broker, struct reload *reload)
{
	sd_event_source *hangup = NULL;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* SIGHUP goes before clients: a request after `systemctl reload` has returned is answered by the new policy. */
	if (sd_event_add_signal(event, NULL, SIGUSR1, on_restart, broker) < 0 ||
		sd_event_add_signal(event, NULL, SIGTERM, on_signal, broker) < 0 ||
		sd_event_add_signal(event, NULL, SIGINT, on_signal, broker) < 0 ||
		sd_event_add_signal(event, &hangup, SIGHUP, on_hangup, reload) < 0 ||
		sd_event_source_set_priority(hangup, SD_EVENT_PRIORITY_IMPORTANT) < 0 ||
		sd_event_source_set_floating(hangup, 1) < 0)
		fail("signals", ENOMEM);
	sd_event_source_unref(hangup);
}

static bool check(const struct arguments *arguments)
{
	if (arguments->policy_socket_given)
		return policy_reader_check(arguments->options.policy_socket);
	if (arguments->policy_is_own)
		return policy_reader_agrees(arguments->options.policy_socket, policy_check_own(arguments->policy));
	return policy_check(arguments->policy, arguments->files);
}

/* The connection is the only descriptor that systemd passes to a unit of a socket with Accept=yes. */
static int be_reader(const struct arguments *arguments)
{
	int r = sd_listen_fds(1);

	if (r != 1)
		fail("--read-policy is for systemd (vfio-policy.socket)", r < 0 ? r : EINVAL);
	r = capabilities_drop();
	if (r < 0)
		fail("capabilities", r);
	return policy_program_run(arguments->policy, SD_LISTEN_FDS_START);
}

static void make_directory(const char *path)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		fail(path, errno);
}

int main(int argc, char **argv)
{
	static struct broker broker;
	static struct reload reload;
	const struct policy_error no_error = {0};
	struct arguments arguments;
	sd_event *event;
	int listener, r;

	parse_arguments(&arguments, argc, argv);
	if (arguments.check_policy)
		return check(&arguments) ? EXIT_SUCCESS : EXIT_FAILURE;
	umask(0077);
	if (arguments.read_policy)
		return be_reader(&arguments);
	signal(SIGPIPE, SIG_IGN); /* of a stderr that nobody reads any more */
	log_never_wait();
	if (journal_has_stderr())
		arguments.options.journal = JOURNAL_SOCKET;
	make_directory(arguments.options.claims_directory);
	make_directory(arguments.options.quarantine_directory);
	tzset(); /* people are told local times; the zone is read before the sandbox is entered */
	listener = get_listener(arguments.listen, take_passed(&arguments));
	r = sd_event_new(&event);
	if (r < 0)
		fail("event loop", r);
	catch_signals(event, &broker, &reload);
	r = notify_begin(event);
	if (r < 0)
		fail("watchdog", r);
	/* The watch comes before the first read: a change in between is seen. */
	reload_init(&reload, event, arguments.policy, &broker);
	r = capabilities_drop();
	if (r < 0)
		fail("capabilities", r);
	r = service_init(&broker, event, host_choice(), &arguments.options, NULL, &no_error, listener);
	if (r < 0)
		fail("start", r);
	/* Before the first client byte: connections are accepted by the loop alone. */
	r = sandbox_enter(broker_sandbox_rules, broker_sandbox_rules_count);
	if (r < 0)
		fail("seccomp", r);
	log_line(LOG_INFO, "ready: %u PCI devices", broker.inventory.count);
	reload_begin(&reload, "the service has started");
	reload_tell(&broker);
	idle_arm(&broker);
	r = sd_event_loop(event);
	reload_clear(&reload);
	service_clear(&broker);
	notify_end();
	sd_event_unref(event);
	free(arguments.stored);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
