/* SPDX-License-Identifier: MIT */
/*
 * owner-hazards HAZARD DEVICE [PATH]: the owner of an IOMMU domain, in a process of its own, and this one as its
 * drivers, who are hostile and belong to another user. Prints verdicts. As root, to become both users (1000 and 1001).
 *
 *	stalled DEVICE PATH	a file that stalls who asks it anything or closes it (stalled-file) is offered as memory
 *	memory DEVICE		memory that is taken away after it was mapped, and what is no memory: windows above all
 *	sealed DEVICE		memory that is sealed against writing, on a kernel that maps it privately only
 *	memlock DEVICE		the owner's processes and a driver's against RLIMIT_MEMLOCK and the budget
 *	hog DEVICE		owners with all the memory that RLIMIT_MEMLOCK lets them pin, for a cgroup to stop; as a
 *				user
 *	death DEVICE		the owner is killed while the device moves data to the driver's memory
 */
#include "edu-registers.h"
#include "packet.h"
#include "verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/vfio.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vfio-broker.h>

#define OWNER_USER  1000
#define DRIVER_USER 1001
#define DRIVERS	    2
#define PAGE	    ((size_t)4096)
#define MIB	    ((size_t)1 << 20)
#define ANSWER_S    3 /* what counts as "at once" on a machine that may be busy */

#define EDU_COUNT 4095 /* QEMU 7.2's edu ends QEMU beyond that */

static struct packet packet;

static void must(int result, const char *what)
{
	char text[256];

	if (result == 0)
		return;
	verdict(false, "%s: %s", what, vbroker_describe_result(result, text, sizeof text));
	exit(1);
}

static void become(uid_t user)
{
	if (geteuid() == 0 &&
		(setgroups(0, NULL) < 0 || setresgid(user, user, user) < 0 || setresuid(user, user, user) < 0))
		verdict_die("becoming a user");
}

/*
 * The library's mmap(), too. With OLD_KERNEL as on Linux before 6.7, but for later stable releases (Debian's 6.1 is
 * one): nothing that is sealed with F_SEAL_WRITE is mapped shared. What becomes of a private mapping of it is for the
 * real kernel to show.
 */
static bool old_kernel;

void *mmap64(void *address, size_t length, int access, int flags, int fd, off64_t offset)
{
	int seals = old_kernel && (flags & MAP_TYPE) == MAP_SHARED ? fcntl(fd, F_GET_SEALS) : 0;

	if (seals > 0 && (seals & F_SEAL_WRITE)) {
		errno = EPERM;
		return MAP_FAILED;
	}
	return (void *)syscall(SYS_mmap, address, length, access, flags, fd, offset);
}

/* ---- the owner's process ---- */

struct owner {
	pid_t pid;
	int control; /* its end is the owner's */
	struct vbroker_domain *drivers[DRIVERS];
	struct vbroker_device *device; /* by a copy of its channel */
};

static void hand_over(int control, int fd)
{
	packet_request(&packet, 1, 1);
	fdset_add(&packet.fds, dup(fd));
	must(packet_send(control, 0, &packet), "handing a channel over");
}

static int take_over(int control)
{
	if (packet_receive(control, 0, 1, &packet) != PACKET_RECEIVED || packet.fds.count != 1)
		verdict_die("the owner has not come up");
	return fdset_take(&packet.fds, 0);
}

/* Until CONTROL is closed; a byte there is what kills the owner, from whoever may not. */
static void serve(int control, struct vbroker_domain_server **servers)
{
	for (;;) {
		struct pollfd polled[DRIVERS + 1] = {{.fd = control, .events = POLLIN}};

		for (size_t i = 0; i < DRIVERS; i++) {
			polled[i + 1].fd = servers[i] ? vbroker_domain_server_fd(servers[i]) : -1;
			polled[i + 1].events = servers[i] ? vbroker_domain_server_events(servers[i]) : (short)0;
		}
		if (poll(polled, DRIVERS + 1, -1) < 0)
			return;
		if (polled[0].revents) {
			char byte;

			if (recv(control, &byte, 1, 0) == 1)
				raise(SIGKILL);
			return;
		}
		for (size_t i = 0; i < DRIVERS; i++) {
			if (!polled[i + 1].revents || vbroker_domain_server_dispatch(servers[i]) == 0)
				continue;
			vbroker_domain_server_close(servers[i]);
			servers[i] = NULL;
		}
	}
}

static void owner_run(int control, const char *name, const struct vbroker_budget *budget)
{
	struct vbroker_domain_server *servers[DRIVERS];
	struct vbroker_device *device;

	become(OWNER_USER);
	must(vbroker_open(name, &device), name);
	hand_over(control, vbroker_device_fd(device));
	for (size_t i = 0; i < DRIVERS; i++) {
		int channel;

		must(vbroker_domain_serve(vbroker_device_domain(device), budget, &servers[i], &channel), "serving");
		hand_over(control, channel);
		close(channel);
	}
	serve(control, servers);
	for (size_t i = 0; i < DRIVERS; i++)
		vbroker_domain_server_close(servers[i]);
	vbroker_device_close(device);
}

/* This process is the drivers from then on. */
static struct owner owner_start(const char *name, const struct vbroker_budget *budget)
{
	struct owner owner;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		verdict_die("socketpair");
	owner.pid = fork();
	if (owner.pid == 0) {
		close(ends[0]);
		owner_run(ends[1], name, budget);
		_exit(0);
	}
	close(ends[1]);
	owner.control = ends[0];
	become(DRIVER_USER);
	must(vbroker_device_adopt(take_over(owner.control), &owner.device), "device channel");
	for (size_t i = 0; i < DRIVERS; i++) {
		const struct timeval timeout = {.tv_sec = ANSWER_S};
		int fd = take_over(owner.control);

		must(vbroker_domain_adopt(fd, &owner.drivers[i]), "domain channel");
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	}
	return owner;
}

static void owner_kill(const struct owner *owner)
{
	(void)!write(owner->control, "k", 1);
}

/* It ends in good order, whatever was done to it. */
static void owner_stop(struct owner *owner)
{
	int status = -1;

	for (size_t i = 0; i < DRIVERS; i++)
		vbroker_domain_close(owner->drivers[i]);
	close(owner->control);
	waitpid(owner->pid, &status, 0);
	verdict_is("the owner ends in good order: its status", status, 0);
	vbroker_device_close(owner->device);
}

/* ---- a driver's requests, as they are on the wire ---- */

/*
 * Sends the request that PACKET is; the same packet is the reply then. A negative errno also where there was no answer
 * in time.
 */
static int call(struct vbroker_domain *driver, struct detail *ret_detail)
{
	int fd = vbroker_domain_fd(driver), r = packet_send(fd, 0, &packet);

	ret_detail->text[0] = '\0';
	if (r < 0)
		return r;
	r = packet_receive(fd, 0, 0, &packet);
	if (r != PACKET_RECEIVED)
		return r == PACKET_END ? -ECONNRESET : r;
	return packet.header.flags & MESSAGE_REFUSED ? packet_refusal(&packet, ret_detail) : 0;
}

static void *begin(uint16_t type, size_t size)
{
	struct array_header *header;

	packet_request(&packet, type, 1);
	header = packet_append(&packet, sizeof *header);
	header->count = 1;
	return packet_append(&packet, size);
}

/* MAP of a descriptor, a copy of which is sent, or with FD -1 of a handle. */
static int map(struct vbroker_domain *driver, int fd, uint32_t handle, size_t length, unsigned int access,
	struct map_result *ret_result, struct detail *ret_detail)
{
	struct map_element *element = begin(DOMAIN_MAP, sizeof *element);
	int r;

	*element = (struct map_element){access | (fd >= 0 ? MAP_NEW_MEMORY : 0U), handle, 0, length, IOVA_ANY};
	if (fd >= 0)
		fdset_add(&packet.fds, dup(fd));
	r = call(driver, ret_detail);
	if (r == 0)
		*ret_result = *(const struct map_result *)(const void *)(packet.payload + sizeof(struct array_header));
	return r;
}

static int unmap(struct vbroker_domain *driver, uint64_t iova, size_t length)
{
	struct detail detail;

	*(struct unmap_element *)begin(DOMAIN_UNMAP, sizeof(struct unmap_element)) =
		(struct unmap_element){iova, length};
	return call(driver, &detail);
}

static int forget(struct vbroker_domain *driver, uint32_t handle)
{
	struct detail detail;

	*(struct forget_element *)begin(DOMAIN_FORGET, sizeof(struct forget_element)) =
		(struct forget_element){handle, 0};
	return call(driver, &detail);
}

static int ping(struct vbroker_domain *driver)
{
	struct detail detail;

	packet_request(&packet, DOMAIN_PING, 1);
	return call(driver, &detail);
}

/* ---- the device ---- */

/* Whether the device finds EDU_COUNT times BYTE at IOVA: it shows what it has found in memory of its own. */
static bool device_reads(const struct owner *owner, uint64_t iova, uint8_t byte)
{
	struct vbroker_memory *memory;
	const uint8_t *bytes;
	bool same = true;

	must(vbroker_memory_alloc(owner->drivers[1], PAGE, VBROKER_DEVICE_WRITES, 0, &memory), "memory");
	bytes = vbroker_memory_address(memory);
	must(edu_dma(owner->device, iova, EDU_BUFFER, EDU_COUNT, EDU_DMA_TO_DEVICE), "DMA");
	must(edu_dma(owner->device, EDU_BUFFER, vbroker_memory_iova(memory), EDU_COUNT, EDU_DMA_FROM_DEVICE), "DMA");
	for (size_t i = 0; i < EDU_COUNT; i++)
		same = same && bytes[i] == byte;
	vbroker_memory_free(memory);
	return same;
}

/* ---- a file that stalls ---- */

static void hazard_stalled(const char *name, const char *path)
{
	static const struct vbroker_budget budget = {16 << 20, 64, 64};
	struct owner owner = owner_start(name, &budget);
	struct map_result result;
	struct detail detail;
	int fd = open(path, O_RDWR | O_CLOEXEC), r = 0, sent = 0;

	if (fd < 0)
		verdict_die(path);
	verdict_is("a stalled file as memory: refused at once, NOT_MEMORY",
		map(owner.drivers[0], fd, 0, PAGE, MAP_DEVICE_READ, &result, &detail), REFUSAL_NOT_MEMORY);
	verdict(strstr(detail.text, "a regular file") != NULL, "a stalled file as memory: it is named (%s)",
		detail.text);
	verdict_is("... and the owner answers the same driver", ping(owner.drivers[0]), 0);
	verdict_is("... and another one", ping(owner.drivers[1]), 0);
	/* Such a descriptor cannot even be closed: the owner keeps some, not any number. */
	for (; r >= 0 && sent < 64; sent++)
		r = map(owner.drivers[0], fd, 0, PAGE, MAP_DEVICE_READ, &result, &detail);
	verdict(r < 0 && r != -EAGAIN, "many of them: the owner ends the channel after %d", sent);
	verdict_is("... and answers the other driver", ping(owner.drivers[1]), 0);
	close(fd);
	/*
	 * Killed with such a file open, the owner hangs in its exit, before the kernel has let go of anything else that
	 * it had open: its session too. What ends everything then is the end of the drivers, or a revocation.
	 */
	owner_kill(&owner);
	sleep(1);
	printf("# the owner is killed with such files open: the device %s its drivers\n",
		vbroker_device_ping(owner.device) == 0 ? "is left to" : "is taken from");
	verdict(ping(owner.drivers[1]) < 0,
		"the owner is killed with such files open: there is no memory to be had any more");
}

/* ---- memory that is taken away, and what is no memory ---- */

static int memfd(size_t length, unsigned int seals)
{
	int fd = memfd_create("driver", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)length) < 0 || (seals && fcntl(fd, F_ADD_SEALS, seals) < 0))
		verdict_die("memfd");
	return fd;
}

static void expect_no_memory(struct vbroker_domain *driver, const char *what, int fd)
{
	struct map_result result;
	struct detail detail;
	char line[128];

	if (fd < 0)
		verdict_die(what);
	snprintf(line, sizeof line, "NOT_MEMORY: %s", what);
	if (!verdict_is(line, map(driver, fd, 0, PAGE, MAP_DEVICE_READ, &result, &detail), REFUSAL_NOT_MEMORY))
		printf("# %s\n", detail.text);
	close(fd);
}

static void try_truncation(const struct owner *owner)
{
	struct map_result result;
	struct detail detail;
	int fd = memfd(PAGE, F_SEAL_SHRINK);

	expect_no_memory(owner->drivers[0], "a memfd without a seal", memfd(PAGE, 0));
	expect_no_memory(owner->drivers[0], "a memfd sealed against growing only", memfd(PAGE, F_SEAL_GROW));
	expect_no_memory(owner->drivers[0], "an empty memfd", memfd(0, F_SEAL_SHRINK));
	verdict_is("a memfd sealed against shrinking: mapped",
		map(owner->drivers[0], fd, 0, PAGE, MAP_DEVICE_READ | MAP_DEVICE_WRITE, &result, &detail), 0);
	verdict_is("... and cannot be cut", verdict_result(ftruncate(fd, 0)), -EPERM);
	verdict_is("... and is unmapped", unmap(owner->drivers[0], result.iova, PAGE), 0);
	verdict_is("... and forgotten", forget(owner->drivers[0], result.handle), 0);
	close(fd);
	fd = memfd(PAGE, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE);
	verdict_is("a memfd sealed against writing, for a device that writes: NOT_MEMORY",
		map(owner->drivers[0], fd, 0, PAGE, MAP_DEVICE_WRITE, &result, &detail), REFUSAL_NOT_MEMORY);
	close(fd);
}

/* What is sealed against writing is there for a device that reads. */
static void try_sealed(const struct owner *owner)
{
	int fd = memfd(PAGE, F_SEAL_SHRINK);
	struct map_result result;
	struct detail detail;
	uint8_t bytes[PAGE];
	void *shared;

	memset(bytes, 0x3c, PAGE);
	if (pwrite(fd, bytes, PAGE, 0) != PAGE || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0)
		verdict_die("memfd");
	shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	printf("# %s kernel %s a memfd sealed with F_SEAL_WRITE shared\n", old_kernel ? "an older" : "this",
		shared == MAP_FAILED ? "does not map" : "maps");
	verdict_is("a memfd sealed with F_SEAL_WRITE, for a device that reads: mapped",
		map(owner->drivers[0], fd, 0, PAGE, MAP_DEVICE_READ, &result, &detail), 0);
	verdict(device_reads(owner, result.iova, 0x3c), "... the device reads what is in it");
	verdict_is("... and is unmapped", unmap(owner->drivers[0], result.iova, PAGE), 0);
	verdict_is("... for a device that writes: NOT_MEMORY",
		map(owner->drivers[0], -1, result.handle, PAGE, MAP_DEVICE_WRITE, &result, &detail),
		REFUSAL_NOT_MEMORY);
	verdict_is("... and forgotten", forget(owner->drivers[0], result.handle), 0);
	if (shared != MAP_FAILED)
		munmap(shared, PAGE);
	close(fd);
}

/*
 * What a driver punches out of its memory is gone for everybody but the device, which keeps the pages that were pinned.
 */
static void try_holes(const struct owner *owner)
{
	const size_t length = 16 * PAGE;
	struct map_result first, again;
	struct detail detail;
	int fd = memfd(length, F_SEAL_SHRINK);
	uint8_t *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (bytes == MAP_FAILED)
		verdict_die("mmap");
	memset(bytes, 0x5a, length);
	must(map(owner->drivers[0], fd, 0, length, MAP_DEVICE_READ | MAP_DEVICE_WRITE, &first, &detail), "MAP");
	verdict_is("a hole is punched under a mapping",
		verdict_result(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)length)), 0);
	verdict(device_reads(owner, first.iova, 0x5a), "... the device has the pages that it had");
	verdict_is("... the same handle is mapped again",
		map(owner->drivers[0], -1, first.handle, length, MAP_DEVICE_READ, &again, &detail), 0);
	verdict(device_reads(owner, again.iova, 0), "... where the hole reads as zeroes");
	fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)length);
	verdict_is("... the owner unmaps the one", unmap(owner->drivers[0], first.iova, length), 0);
	verdict_is("... and the other", unmap(owner->drivers[0], again.iova, length), 0);
	verdict_is("... and forgets it", forget(owner->drivers[0], first.handle), 0);
	munmap(bytes, length);
	close(fd);
}

static void try_windows(const struct owner *owner)
{
	struct vbroker_window *window;
	struct vbroker_memory *memory;
	volatile void *registers;
	uint64_t iova;
	int r = vbroker_window_open(owner->device, VFIO_PCI_BAR0_REGION_INDEX, 0, PAGE, VBROKER_WINDOW_WRITE, &window);

	if (r == VBROKER_WINDOW_UNAVAILABLE) {
		verdict_skip("a register window as memory", "no windows on this kernel");
		return;
	}
	must(r, "window");
	must(vbroker_window_map(window, &registers), "mapping a window");
	expect_no_memory(owner->drivers[0], "a register window", dup(vbroker_window_fd(window)));
	verdict_is("a register window by its address: NOT_MEMORY",
		vbroker_domain_map(
			owner->drivers[0], (void *)registers, PAGE, VBROKER_DEVICE_READS, VBROKER_IOVA_ANY, &iova),
		VBROKER_NOT_MEMORY);
	/* Where shared memory was, the driver puts the window: what the owner maps is the memory all the same. */
	must(vbroker_memory_alloc(owner->drivers[0], PAGE, VBROKER_DEVICE_READS, 0, &memory), "memory");
	memset(vbroker_memory_address(memory), 0x66, PAGE);
	if (mmap(vbroker_memory_address(memory), PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, vbroker_window_fd(window),
		    0) == MAP_FAILED)
		verdict_die("mmap");
	must(vbroker_domain_map(owner->drivers[0], vbroker_memory_address(memory), PAGE, VBROKER_DEVICE_READS,
		     VBROKER_IOVA_ANY, &iova),
		"MAP");
	verdict(device_reads(owner, iova, 0x66),
		"a register window in the place of memory: the device reaches the memory");
	vbroker_domain_unmap(owner->drivers[0], iova, PAGE);
	vbroker_memory_free(memory);
	vbroker_window_close(window);
}

static void hazard_sealed(const char *name)
{
	static const struct vbroker_budget budget = {16 << 20, 64, 64};
	struct owner owner;

	old_kernel = true;
	owner = owner_start(name, &budget);
	try_sealed(&owner);
	owner_stop(&owner);
}

static void hazard_memory(const char *name)
{
	static const struct vbroker_budget budget = {16 << 20, 64, 64};
	struct owner owner = owner_start(name, &budget);
	int ordinary = memfd(PAGE, F_SEAL_SHRINK);
	char path[64];

	try_truncation(&owner);
	try_sealed(&owner);
	try_holes(&owner);
	try_windows(&owner);
	snprintf(path, sizeof path, "/proc/self/fd/%d", ordinary);
	expect_no_memory(owner.drivers[0], "a memfd opened with O_PATH", open(path, O_PATH | O_CLOEXEC));
	expect_no_memory(owner.drivers[0], "an IOMMU domain", open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC));
	expect_no_memory(owner.drivers[0], "/dev/zero", open("/dev/zero", O_RDWR | O_CLOEXEC));
	expect_no_memory(owner.drivers[0], "a file", open("/etc/passwd", O_RDONLY | O_CLOEXEC));
	expect_no_memory(owner.drivers[0], "an eventfd", eventfd(0, EFD_CLOEXEC));
	expect_no_memory(owner.drivers[0], "the device channel", dup(vbroker_device_fd(owner.device)));
	close(ordinary);
	verdict_is("after all that the owner answers", ping(owner.drivers[0]), 0);
	owner_stop(&owner);
}

/* ---- how much memory ---- */

#define MEMLOCK	   (8 * MIB)
#define PIECE	   (6 * MIB)
#define HOG	   (16 * MIB)
#define HOGS	   8
#define FIRST_IOVA (UINT64_C(1) << 32)

/* Pins LENGTH bytes of its own in the domain, as the Nth process that does. */
static int pin(struct vbroker_domain *domain, size_t length, unsigned int n)
{
	void *bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED)
		return -errno;
	return vbroker_domain_map(
		domain, bytes, length, VBROKER_DEVICE_READS | VBROKER_DEVICE_WRITES, FIRST_IOVA + n * 64 * MIB, NULL);
}

/* COUNT processes do; they live until the last one has. Returns how many could. */
static unsigned int pin_in_children(struct vbroker_domain *domain, size_t length, unsigned int count)
{
	int ready[2], go[2];
	unsigned int good = 0;
	char byte;

	if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
		verdict_die("pipe");
	for (unsigned int i = 0; i < count; i++) {
		if (fork() != 0)
			continue;
		close(go[1]);
		byte = pin(domain, length, i + 1) == 0;
		(void)!write(ready[1], &byte, 1);
		(void)!read(go[0], &byte, 1);
		_exit(0);
	}
	close(ready[1]);
	for (unsigned int i = 0; i < count && read(ready[0], &byte, 1) == 1; i++)
		good += byte == 1;
	close(go[1]);
	while (wait(NULL) > 0)
		;
	close(go[0]);
	close(ready[0]);
	return good;
}

static void set_memlock(size_t bytes)
{
	const struct rlimit limit = {bytes, bytes};

	if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		verdict_die("RLIMIT_MEMLOCK");
}

static void pin_as_owner(const char *name)
{
	struct vbroker_device *device;
	struct vbroker_domain *domain;

	become(OWNER_USER);
	must(vbroker_open(name, &device), name);
	domain = vbroker_device_domain(device);
	verdict_is("an owner's first 6 MiB of a limit of 8 MiB", pin(domain, PIECE, 0), 0);
	verdict_is("... and 6 MiB more in the same process: MEMLOCK", pin(domain, PIECE, 10), VBROKER_MEMLOCK);
	verdict_is("... but 3 processes of its own have 6 MiB each in the same domain: the limit is per process",
		pin_in_children(domain, PIECE, 3), 3);
	vbroker_device_close(device);
	exit(verdict_failures > 0);
}

static int alloc_status(struct vbroker_domain *driver, size_t length)
{
	struct vbroker_memory *memory;

	return vbroker_memory_alloc(driver, length, VBROKER_DEVICE_READS, 0, &memory);
}

static void hazard_memlock(const char *name)
{
	static const struct vbroker_budget budget = {4 << 20, 64, 64};
	struct owner owner;
	int status = -1;

	set_memlock(MEMLOCK);
	if (fork() == 0)
		pin_as_owner(name);
	wait(&status);
	verdict_failures += status != 0;
	owner = owner_start(name, &budget);
	verdict_is("a driver's first 3 MiB of a budget of 4 MiB", alloc_status(owner.drivers[0], 3 * MIB), 0);
	verdict_is("... and 3 MiB more: QUOTA", alloc_status(owner.drivers[0], 3 * MIB), VBROKER_QUOTA);
	if (fork() == 0)
		_exit(alloc_status(owner.drivers[0], 3 * MIB));
	wait(&status);
	verdict_is("... nor by a process of the driver's own: the budget is the channel's", WEXITSTATUS(status),
		VBROKER_QUOTA);
	verdict_is("... 1 MiB is left", alloc_status(owner.drivers[0], 1 * MIB), 0);
	verdict_is("... and another driver has its own 4 MiB", alloc_status(owner.drivers[1], 4 * MIB), 0);
	verdict_is("... the sum is at the owner's limit", alloc_status(owner.drivers[1], PAGE), VBROKER_QUOTA);
	owner_stop(&owner);
}

static void hazard_hog(const char *name)
{
	struct vbroker_device *device;

	must(vbroker_open(name, &device), name);
	printf("# %u of %d processes pinned 16 MiB each\n", pin_in_children(vbroker_device_domain(device), HOG, HOGS),
		HOGS);
	vbroker_device_close(device);
}

/* ---- the owner's death ---- */

static void hazard_death(const char *name)
{
	static const struct vbroker_budget budget = {16 << 20, 64, 64};
	struct owner owner = owner_start(name, &budget);
	struct vbroker_memory *memory, *more;
	struct timespec begin_, end;
	unsigned int moved = 0;
	char text[256];
	int r;

	must(vbroker_memory_alloc(owner.drivers[0], PAGE, VBROKER_DEVICE_READS, 0, &memory), "memory");
	memset(vbroker_memory_address(memory), 0x77, PAGE);
	printf("# iova %#llx\n", (unsigned long long)vbroker_memory_iova(memory));
	must(edu_dma(owner.device, vbroker_memory_iova(memory), EDU_BUFFER, EDU_COUNT, EDU_DMA_TO_DEVICE), "DMA");
	if (fork() == 0) {
		usleep(350000);
		owner_kill(&owner);
		_exit(0);
	}
	clock_gettime(CLOCK_MONOTONIC, &begin_);
	do {
		r = edu_dma(owner.device, vbroker_memory_iova(memory), EDU_BUFFER, EDU_COUNT, EDU_DMA_TO_DEVICE);
		moved += r == 0;
		clock_gettime(CLOCK_MONOTONIC, &end);
	} while (r == 0 && end.tv_sec - begin_.tv_sec < 10);
	verdict(r != 0 && moved > 0, "the owner is killed while the device works: the device channel ends (%s)",
		vbroker_describe_result(r, text, sizeof text));
	r = vbroker_memory_alloc(owner.drivers[0], PAGE, VBROKER_DEVICE_READS, 0, &more);
	verdict(r < 0, "... so does the domain channel (%s)", vbroker_describe_result(r, text, sizeof text));
	verdict(((uint8_t *)vbroker_memory_address(memory))[PAGE - 1] == 0x77, "... the driver still has its memory");
}

int main(int argc, char **argv)
{
	const char *hazard = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	packet_init(&packet);
	if (argc == 4 && strcmp(hazard, "stalled") == 0)
		hazard_stalled(argv[2], argv[3]);
	else if (argc == 3 && strcmp(hazard, "memory") == 0)
		hazard_memory(argv[2]);
	else if (argc == 3 && strcmp(hazard, "sealed") == 0)
		hazard_sealed(argv[2]);
	else if (argc == 3 && strcmp(hazard, "memlock") == 0)
		hazard_memlock(argv[2]);
	else if (argc == 3 && strcmp(hazard, "hog") == 0)
		hazard_hog(argv[2]);
	else if (argc == 3 && strcmp(hazard, "death") == 0)
		hazard_death(argv[2]);
	else
		return 2;
	return verdict_failures > 0;
}
