/* SPDX-License-Identifier: MIT */
#include "container.h"
#include "domain.h"
#include "foreign_fd.h"
#include "input.h"
#include "packet.h"
#include "vfio-broker.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * The owner of a domain on the fake kernel, with two domain channels, whose drivers send what they like, and things
 * that happen to the domain meanwhile. When the channels have ended, only what the owner mapped is mapped, and no
 * descriptor or memory is left.
 *
 * The input is a sequence of steps: 1 byte, of which the lower half is an enum step and the upper half says which
 * channel, and a packet (input.h) for those that send one. Descriptors that come with a packet are, in turn, those of
 * enum kind.
 */
enum step {
	STEP_DRIVER,
	STEP_DRIVER_READS,
	STEP_DRIVER_ENDS,
	STEP_OWNER_MAPS,   /* at page 8 * upper half */
	STEP_OWNER_UNMAPS, /* 8 pages from there */
	STEP_REBOUND,	   /* the last device leaves, and comes back */
	STEP_REBOUND_UNNOTICED,
	STEPS,
};

enum kind { MEMORY, READ_ONLY, UNSEALED, EMPTY, ODD, EVENTFD, NULL_FILE, SOCKET, KINDS };

#define STEPS_MAX 32 /* more of them find nothing that fewer do not */
#define CHANNELS  2
#define PAGE	  4096

static const struct vbroker_budget budget = {64 * PAGE, 16, 4};

static int fds[KINDS];
static int group;
static struct vbroker_domain *domain;
static struct vbroker_domain_server *servers[CHANNELS];
static int drivers[CHANNELS];
static char *page; /* the owner's */

/* ---- what must not be lost ---- */

/* Shared memory that is mapped; it is sealed, the fake kernel's own is not. */
#define SHARED_MAX 64
static void *shared[SHARED_MAX];
static unsigned int shared_count;

void *__real_mmap64(void *address, size_t size, int access, int flags, int fd, off64_t offset);
void *__wrap_mmap64(void *address, size_t size, int access, int flags, int fd, off64_t offset);
int __real_munmap(void *address, size_t size);
int __wrap_munmap(void *address, size_t size);
void __real_foreign_fd_keep(int fd);
void __wrap_foreign_fd_keep(int fd);

void *__wrap_mmap64(void *address, size_t size, int access, int flags, int fd, off64_t offset)
{
	void *mapped = __real_mmap64(address, size, access, flags, fd, offset);

	if (mapped != MAP_FAILED && fd >= 0 && (fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK)) {
		INPUT_ASSERT(shared_count < SHARED_MAX);
		shared[shared_count++] = mapped;
	}
	return mapped;
}

int __wrap_munmap(void *address, size_t size)
{
	for (unsigned int i = 0; i < shared_count; i++) {
		if (shared[i] == address)
			shared[i--] = shared[--shared_count];
	}
	return __real_munmap(address, size);
}

/* Those that are never closed (foreign_fd.h) could not be told from those that are lost. */
static int strangers[CHANNELS * 1024];
static unsigned int strangers_count;

void __wrap_foreign_fd_keep(int fd)
{
	__real_foreign_fd_keep(fd);
	strangers[strangers_count++] = fd;
}

/* ---- the world ---- */

static int memory(uint64_t size, int seals)
{
	int fd = memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	INPUT_ASSERT(fd >= 0 && ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fds[MEMORY] = memory(16 * PAGE, F_SEAL_SHRINK);
	fds[READ_ONLY] = memory(16 * PAGE, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE);
	fds[UNSEALED] = memory(16 * PAGE, F_SEAL_GROW);
	fds[EMPTY] = memory(0, F_SEAL_SHRINK);
	fds[ODD] = memory(PAGE + 5, F_SEAL_SHRINK);
	fds[EVENTFD] = eventfd(0, EFD_CLOEXEC);
	fds[NULL_FILE] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[SOCKET] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return 0;
}

static void attach(void)
{
	INPUT_ASSERT(fake_vfio.group_attach(group, vbroker_domain_fd(domain)) == 0);
	INPUT_ASSERT(fake_vfio.domain_setup(vbroker_domain_fd(domain)) == 0);
}

static void end(size_t i)
{
	vbroker_domain_server_close(servers[i]);
	servers[i] = NULL;
	close(drivers[i]);
	drivers[i] = -1;
}

static void run(void)
{
	for (size_t i = 0; i < CHANNELS; i++) {
		for (int j = 0; j < 4 && servers[i]; j++) {
			if (vbroker_domain_server_dispatch(servers[i]) < 0)
				end(i);
		}
	}
}

/* HELLO is nothing to learn: most inputs are about what comes after it. */
static void greet(size_t i)
{
	static struct packet packet;
	struct hello_request *hello;

	INPUT_ASSERT(vbroker_domain_serve(domain, &budget, &servers[i], &drivers[i]) == 0);
	packet_request(&packet, COMMON_HELLO, 1);
	hello = packet_append(&packet, sizeof *hello);
	hello->version_lowest = hello->version_highest = MESSAGE_VERSION;
	INPUT_ASSERT(packet_send(drivers[i], MSG_DONTWAIT, &packet) == 0);
	run();
	INPUT_ASSERT(input_drain(drivers[i]) == 1);
}

static void start(void)
{
	static const char *const names[] = {"0000:01:00.0", NULL};

	group = fake_group_create(7, true, names);
	INPUT_ASSERT(group >= 0 && domain_open_on(&fake_domain, &domain) == 0);
	attach();
	for (size_t i = 0; i < CHANNELS; i++)
		greet(i);
}

static void finish(void)
{
	for (size_t i = 0; i < CHANNELS; i++) {
		if (servers[i])
			end(i);
	}
	INPUT_ASSERT(shared_count == 0);
	for (uint64_t i = 0; i < 16; i++)
		vbroker_domain_unmap(domain, i * 8 * PAGE, PAGE);
	INPUT_ASSERT(fake_container_view(vbroker_domain_fd(domain))->mapping_count == 0);
	fake_vfio.group_detach(group);
	vbroker_domain_close(domain);
	close(group);
	while (strangers_count > 0)
		close(strangers[--strangers_count]);
}

/* By a lease that allows a channel so many mappings; 0: any number. */
static void rebind(bool noticed, uint32_t mappings)
{
	INPUT_ASSERT(fake_vfio.group_detach(group) == 0);
	if (noticed)
		domain_before_bind(domain);
	attach();
	if (noticed)
		domain_after_bind(domain, mappings > 0 ? mappings : MAPPINGS_UNLIMITED);
}

static void step(struct input *input)
{
	static struct input_packet packet;
	uint8_t byte = input_byte(input);
	uint64_t number = byte >> 4, iova;
	size_t which = number % CHANNELS;

	switch ((enum step)((byte & 15) % STEPS)) {
	case STEP_DRIVER:
		input_packet(input, 9, &packet);
		input_send(drivers[which], &packet, fds, KINDS);
		break;
	case STEP_DRIVER_READS:
		input_drain(drivers[which]);
		break;
	case STEP_DRIVER_ENDS:
		shutdown(drivers[which], SHUT_RDWR);
		break;
	case STEP_OWNER_MAPS:
		vbroker_domain_map(domain, page, PAGE, VBROKER_DEVICE_READS, number * 8 * PAGE, &iova);
		break;
	case STEP_OWNER_UNMAPS:
		vbroker_domain_unmap(domain, number * 8 * PAGE, 8 * PAGE);
		break;
	case STEP_REBOUND:
	case STEP_REBOUND_UNNOTICED:
		rebind((byte & 15) % STEPS == STEP_REBOUND, (uint32_t)number);
		break;
	case STEPS:
		break;
	}
	run();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct input_run whole = {start, step, finish, STEPS_MAX};

	input_run(&whole, data, size);
	return 0;
}
