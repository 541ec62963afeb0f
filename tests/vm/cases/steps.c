/* SPDX-License-Identifier: MIT */
/*
 * steps STEP...: does with the library what its arguments say, one after the other, and prints a line for each:
 * "STEP: ok", or the refusal's or errno's name and the detail. A refused step does not end the program; its exit code
 * is 1 if there was one. Test cases are made of it.
 *
 * Objects are numbered in the order in which they are made, beginning with 0.
 *
 *	session				a connection to the broker, for the opens that follow
 *	open=NAME			leases a device
 *	domain				opens an IOMMU domain
 *	bind=DEVICE,DOMAIN
 *	bind-fds=THING,THING		vbroker_bind_fds(); THING: deviceN, domainN, null, file, eventfd, directory,
 *					socket, closed
 *	bind-raw=DEVICE,THING		a BIND packet, which the library would not send; THING may be a path too
 *	unbind=DEVICE			close=DEVICE	reset=DEVICE	ping=DEVICE
 *	close-session			close-domain=DOMAIN
 *	map=DOMAIN,LENGTH,IOVA		new memory; IOVA may be "any"
 *	unmap=DOMAIN,IOVA,LENGTH
 *	map-stalled=DOMAIN,PATH		a child maps a page of a file that hangs, and hangs; it has neither session nor
 *					devices
 *	fill=MEMORY,BYTE		expect=MEMORY,BYTE
 *	get=DEVICE,OFFSET		put=DEVICE,OFFSET,VALUE		a register of 32 bits in region 0
 *	send=DEVICE,IOVA,COUNT		an edu device reads memory into its buffer, by DMA
 *	receive=DEVICE,IOVA,COUNT	... and writes its buffer to memory
 *	window=DEVICE,REGION,OFFSET,LENGTH,FLAGS	a register window, mapped; FLAGS: r (read only), w, o (ones), wo
 *	load=WINDOW,OFFSET		store=WINDOW,OFFSET,VALUE	32 bits; a fault is an EFAULT and its signal
 *	close-window=WINDOW
 *	file=DEVICE			the VFIO device itself
 *	file-ids=FILE			reads its vendor and device by it, as VFIO has it		close-file=FILE
 *	read				waits for a line on standard input; prints "read: waiting" before
 *	pause				prints "pause: waiting" and waits to be killed
 *	repeat				the steps that follow again and again, until one is refused
 */
#include "edu-registers.h"
#include "packet.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vfio-broker.h>

#define OBJECTS_MAX   16
#define ARGUMENTS_MAX 5

/* What earlier steps have made. Numbers stay taken when an object is closed. */
static struct {
	struct vbroker_session *session;
	struct vbroker_device *devices[OBJECTS_MAX];
	struct vbroker_domain *domains[OBJECTS_MAX];
	struct {
		uint8_t *bytes;
		size_t length;
	} memory[OBJECTS_MAX];
	struct {
		struct vbroker_window *window;
		volatile uint8_t *registers;
	} windows[OBJECTS_MAX];
	int files[OBJECTS_MAX];
	size_t devices_count, domains_count, memory_count, windows_count, files_count;
	char remark[DETAIL_SIZE]; /* of the step that is done, for its line */
} world;

static void wrong(const char *what) __attribute__((noreturn));
static void wrong(const char *what)
{
	fprintf(stderr, "steps: %s is wrong\n", what);
	exit(2);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value;

	if (!text)
		wrong("the number of arguments");
	value = strtoull(text, &end, 0);
	if (end == text || *end != '\0')
		wrong(text);
	return value;
}

static size_t index_of(const char *text, size_t count)
{
	uint64_t value = number(text);

	if (value >= count)
		wrong(text);
	return (size_t)value;
}

static struct vbroker_device *device_of(const char *text)
{
	struct vbroker_device *device = world.devices[index_of(text, OBJECTS_MAX)];

	if (!device)
		wrong("a device that was not opened");
	return device;
}

static struct vbroker_domain *domain_of(const char *text)
{
	return world.domains[index_of(text, world.domains_count)];
}

/* ---- the steps: each returns what the library did ---- */

static int do_session(char **arguments)
{
	(void)arguments;
	return vbroker_session_open(NULL, &world.session);
}

static int do_open(char **arguments)
{
	size_t i = world.devices_count++;

	if (i == OBJECTS_MAX || !world.session)
		wrong("open");
	return vbroker_device_open(world.session, arguments[0], &world.devices[i]);
}

static int do_domain(char **arguments)
{
	int r;

	(void)arguments;
	if (world.domains_count == OBJECTS_MAX)
		wrong("domain");
	r = vbroker_domain_open(&world.domains[world.domains_count]);
	world.domains_count += r == 0;
	return r;
}

static int do_bind(char **arguments)
{
	return vbroker_device_bind(device_of(arguments[0]), domain_of(arguments[1]));
}

/* The fd stays open until the end: this is a program of a second. */
static int thing(const char *name)
{
	static int pair[2];

	if (!name)
		wrong("the number of things");
	if (strncmp(name, "device", 6) == 0)
		return vbroker_device_fd(device_of(name + 6));
	if (strncmp(name, "domain", 6) == 0)
		return vbroker_domain_fd(domain_of(name + 6));
	if (strcmp(name, "null") == 0)
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	if (strcmp(name, "file") == 0)
		return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	if (strcmp(name, "directory") == 0)
		return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (strcmp(name, "eventfd") == 0)
		return eventfd(0, EFD_CLOEXEC);
	if (strcmp(name, "socket") == 0)
		return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ? -1 : pair[0];
	if (strcmp(name, "closed") == 0)
		return 1000;
	if (name[0] == '/')
		return open(name, O_RDWR | O_CLOEXEC);
	wrong(name);
}

static int do_bind_fds(char **arguments)
{
	int first = thing(arguments[0]);

	return vbroker_bind_fds(first, thing(arguments[1]));
}

/* What the keeper says to a BIND of a THING that the library would have refused by itself. */
static int do_bind_raw(char **arguments)
{
	static struct packet packet;
	int channel = vbroker_device_fd(device_of(arguments[0])), r;
	struct detail detail = {{0}};

	packet_init(&packet);
	packet_request(&packet, DEVICE_BIND, 1);
	packet_append(&packet, sizeof(struct bind_request));
	/* Sending closes it. */
	fdset_add(&packet.fds, dup(thing(arguments[1])));
	r = packet_send(channel, 0, &packet);
	if (r == 0)
		r = packet_receive(channel, 0, 0, &packet);
	if (r < 0)
		return r;
	r = packet.header.flags & MESSAGE_REFUSED ? packet_refusal(&packet, &detail) : 0;
	snprintf(world.remark, sizeof world.remark, "%s", detail.text);
	return r;
}

static int do_unbind(char **arguments)
{
	return vbroker_device_unbind(device_of(arguments[0]));
}

static int do_close(char **arguments)
{
	size_t i = index_of(arguments[0], world.devices_count);

	vbroker_device_close(world.devices[i]);
	world.devices[i] = NULL;
	return 0;
}

static int do_ping(char **arguments)
{
	return vbroker_device_ping(device_of(arguments[0]));
}

static int do_reset(char **arguments)
{
	return vbroker_device_reset(device_of(arguments[0]));
}

static int do_close_session(char **arguments)
{
	(void)arguments;
	vbroker_session_close(world.session);
	world.session = NULL;
	return 0;
}

static int do_close_domain(char **arguments)
{
	size_t i = index_of(arguments[0], world.domains_count);

	vbroker_domain_close(world.domains[i]);
	world.domains[i] = NULL;
	return 0;
}

static int do_map(char **arguments)
{
	struct vbroker_domain *domain = domain_of(arguments[0]);
	size_t length = (size_t)number(arguments[1]), i = world.memory_count++;
	uint64_t iova = VBROKER_IOVA_ANY;
	void *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int r;

	if (i == OBJECTS_MAX || bytes == MAP_FAILED || !arguments[2])
		wrong("map");
	world.memory[i].bytes = bytes;
	world.memory[i].length = length;
	if (strcmp(arguments[2], "any") != 0)
		iova = number(arguments[2]);
	r = vbroker_domain_map(domain, bytes, length, VBROKER_DEVICE_READS | VBROKER_DEVICE_WRITES, iova, &iova);
	if (r == 0)
		snprintf(world.remark, sizeof world.remark, "%#llx", (unsigned long long)iova);
	return r;
}

static int do_map_stalled(char **arguments)
{
	struct vbroker_domain *domain = domain_of(arguments[0]);
	int file = open(arguments[1], O_RDWR | O_CLOEXEC);
	struct stat status;
	void *bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	uint64_t iova;

	/* The kernel asks for the size only when somebody wants to know it. */
	if (file < 0 || bytes == MAP_FAILED || fstat(file, &status) < 0)
		return -errno;
	if (fork() == 0) {
		close(vbroker_session_fd(world.session));
		for (size_t i = 0; i < world.devices_count; i++)
			close(vbroker_device_fd(world.devices[i]));
		vbroker_domain_map(domain, bytes, 4096, VBROKER_DEVICE_READS, VBROKER_IOVA_ANY, &iova);
		_exit(1);
	}
	/* Until it is in there. */
	return usleep(500000);
}

static int do_unmap(char **arguments)
{
	return vbroker_domain_unmap(domain_of(arguments[0]), number(arguments[1]), (size_t)number(arguments[2]));
}

static int do_fill(char **arguments)
{
	size_t i = index_of(arguments[0], world.memory_count);

	memset(world.memory[i].bytes, (int)number(arguments[1]), world.memory[i].length);
	return 0;
}

static int do_expect(char **arguments)
{
	size_t i = index_of(arguments[0], world.memory_count);
	uint64_t byte = number(arguments[1]);

	/* The last byte is beyond what an edu device moves at a time (4095 bytes in QEMU 7.2). */
	for (size_t at = 0; at < world.memory[i].length - 1; at++) {
		if (world.memory[i].bytes[at] == byte)
			continue;
		snprintf(world.remark, sizeof world.remark, "byte %zu is %u", at, world.memory[i].bytes[at]);
		return -EBADMSG;
	}
	return 0;
}

static int do_get(char **arguments)
{
	uint64_t value;
	int r = vbroker_region_read(
		device_of(arguments[0]), VFIO_PCI_BAR0_REGION_INDEX, number(arguments[1]), 4, &value);

	if (r == 0)
		snprintf(world.remark, sizeof world.remark, "%#llx", (unsigned long long)value);
	return r;
}

static int do_put(char **arguments)
{
	return vbroker_region_write(
		device_of(arguments[0]), VFIO_PCI_BAR0_REGION_INDEX, number(arguments[1]), 4, number(arguments[2]));
}

static int do_send(char **arguments)
{
	return edu_dma(
		device_of(arguments[0]), number(arguments[1]), EDU_BUFFER, number(arguments[2]), EDU_DMA_TO_DEVICE);
}

static int do_receive(char **arguments)
{
	return edu_dma(
		device_of(arguments[0]), EDU_BUFFER, number(arguments[1]), number(arguments[2]), EDU_DMA_FROM_DEVICE);
}

static int do_window(char **arguments)
{
	size_t i = world.windows_count++;
	volatile void *address;
	unsigned int flags;
	int r;

	if (i == OBJECTS_MAX || !arguments[4])
		wrong("window");
	flags = (strchr(arguments[4], 'w') ? VBROKER_WINDOW_WRITE : 0U) |
		(strchr(arguments[4], 'o') ? VBROKER_WINDOW_ONES : 0U);
	r = vbroker_window_open(device_of(arguments[0]), (uint32_t)number(arguments[1]), number(arguments[2]),
		number(arguments[3]), flags, &world.windows[i].window);
	if (r == 0)
		r = vbroker_window_map(world.windows[i].window, &address);
	if (r == 0)
		world.windows[i].registers = address;
	return r;
}

static sigjmp_buf fault;

static void on_fault(int signal)
{
	siglongjmp(fault, signal);
}

/* STORE: NULL loads. */
static int access_window(char **arguments, const char *store)
{
	size_t i = index_of(arguments[0], world.windows_count);
	volatile uint8_t *address = world.windows[i].registers + number(arguments[1]);
	int signal;

	if (!world.windows[i].registers)
		wrong("a window that is not open");
	signal = sigsetjmp(fault, 1);
	if (signal != 0) {
		snprintf(world.remark, sizeof world.remark, "SIG%s", sigabbrev_np(signal));
		return -EFAULT;
	}
	if (store)
		vbroker_store32(address, (uint32_t)number(store));
	else
		snprintf(world.remark, sizeof world.remark, "%#x", vbroker_load32(address));
	return 0;
}

static int do_load(char **arguments)
{
	return access_window(arguments, NULL);
}

static int do_store(char **arguments)
{
	return access_window(arguments, arguments[2]);
}

static int do_close_window(char **arguments)
{
	size_t i = index_of(arguments[0], world.windows_count);

	vbroker_window_close(world.windows[i].window);
	world.windows[i].window = NULL;
	world.windows[i].registers = NULL;
	return 0;
}

static int do_file(char **arguments)
{
	int r = vbroker_device_vfio_fd(device_of(arguments[0]), &world.files[world.files_count]);

	if (r == 0)
		world.files_count++;
	return r;
}

static int do_file_ids(char **arguments)
{
	int file = world.files[index_of(arguments[0], world.files_count)];
	struct vfio_region_info config = {.argsz = sizeof config, .index = VFIO_PCI_CONFIG_REGION_INDEX};
	uint32_t ids;

	if (ioctl(file, VFIO_DEVICE_GET_REGION_INFO, &config) < 0 ||
		pread(file, &ids, sizeof ids, (off_t)config.offset) != sizeof ids)
		return -errno;
	snprintf(world.remark, sizeof world.remark, "%08x", ids);
	return 0;
}

static int do_close_file(char **arguments)
{
	return close(world.files[index_of(arguments[0], world.files_count)]) < 0 ? -errno : 0;
}

static int do_read(char **arguments)
{
	char line[64];

	(void)arguments;
	printf("read: waiting\n");
	return fgets(line, sizeof line, stdin) ? 0 : -EPIPE;
}

static int do_pause(char **arguments)
{
	(void)arguments;
	printf("pause: waiting\n");
	for (;;)
		pause();
	return 0; /* gcc wants one */
}

static const struct {
	const char *name;
	int (*run)(char **arguments);
} steps[] = {
	{"session", do_session},
	{"open", do_open},
	{"domain", do_domain},
	{"bind", do_bind},
	{"bind-fds", do_bind_fds},
	{"bind-raw", do_bind_raw},
	{"unbind", do_unbind},
	{"close", do_close},
	{"ping", do_ping},
	{"reset", do_reset},
	{"close-session", do_close_session},
	{"close-domain", do_close_domain},
	{"map", do_map},
	{"map-stalled", do_map_stalled},
	{"unmap", do_unmap},
	{"fill", do_fill},
	{"get", do_get},
	{"put", do_put},
	{"expect", do_expect},
	{"send", do_send},
	{"receive", do_receive},
	{"window", do_window},
	{"load", do_load},
	{"store", do_store},
	{"close-window", do_close_window},
	{"file", do_file},
	{"file-ids", do_file_ids},
	{"close-file", do_close_file},
	{"read", do_read},
	{"pause", do_pause},
};

/* ---- one after the other ---- */

static int run(const char *text)
{
	char *arguments[ARGUMENTS_MAX + 1] = {NULL};
	char *copy = strdup(text), *rest = copy, *name = strsep(&rest, "=");
	int r = 0;
	size_t i = 0;

	for (size_t n = 0; rest && n < ARGUMENTS_MAX; n++)
		arguments[n] = strsep(&rest, ",");
	while (i < sizeof steps / sizeof steps[0] && strcmp(steps[i].name, name) != 0)
		i++;
	if (i == sizeof steps / sizeof steps[0] || rest)
		wrong(text);
	world.remark[0] = '\0';
	r = steps[i].run(arguments);
	free(copy);
	if (r == 0)
		printf("%s: ok%s%s\n", text, world.remark[0] ? ": " : "", world.remark);
	else
		printf("%s: %s: %s\n", text, r > 0 ? vbroker_refusal_name(r) : strerrorname_np(-r),
			world.remark[0] ? world.remark : vbroker_detail());
	return r;
}

int main(int argc, char **argv)
{
	int again = 0, refused = 0;

	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	/* Other processes wait for the lines. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "repeat") == 0) {
			again = i;
			continue;
		}
		if (run(argv[i]) != 0)
			refused = 1;
		if (refused && again)
			break;
		if (i == argc - 1 && again)
			i = again;
	}
	return refused;
}
