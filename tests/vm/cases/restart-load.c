/* SPDX-License-Identifier: MIT */
#include "clock.h"
#include "edu-registers.h"
#include "packet.h"
#include "verdict.h"

#include <linux/vfio.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * restart-load DMA-DEVICE REGISTER-DEVICE DEVICE...: what clients do while somebody kills the broker, until standard
 * input ends. One has two devices all the while, and does DMA, mappings and register accesses; one for each further
 * device opens it, asks this and that, and releases it, in a loop; one sends requests in batches and counts the answers
 * by their cookies. Whatever is refused, lost, wrong or answered twice is a failure. Prints "running" when all have
 * begun.
 */

#define CLIENTS_MAX 8
#define PAGE	    4096

static atomic_bool over;
static atomic_ulong calls, leases, transfers, accesses, batches, doubled, longest_us, waited_us;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char complaint[512]; /* the first */

static void complain(const char *who, const char *what)
{
	pthread_mutex_lock(&lock);
	if (!complaint[0])
		snprintf(complaint, sizeof complaint, "%s: %s", who, what);
	pthread_mutex_unlock(&lock);
	over = true;
}

static bool fine(const char *who, const char *step, int r)
{
	char text[300], line[400];

	calls++;
	if (r == 0)
		return true;
	snprintf(line, sizeof line, "%s: %s", step, vbroker_describe_result(r, text, sizeof text));
	complain(who, line);
	return false;
}

static void keep_longest(atomic_ulong *longest, uint64_t us)
{
	unsigned long before = *longest;

	while (us > before && !atomic_compare_exchange_weak(longest, &before, us))
		;
}

/* ---- two devices for the whole time ---- */

static struct vbroker_session *session;

static bool transfer(struct vbroker_device *device, struct vbroker_domain *domain, uint8_t *memory, uint8_t seed)
{
	const uint64_t iova = 0x100000;
	uint64_t got;

	for (int i = 0; i < PAGE; i++)
		memory[i] = (uint8_t)(seed + i * 7);
	memset(memory + PAGE, 0, PAGE);
	got = iova;
	if (!fine("dma", "map",
		    vbroker_domain_map(
			    domain, memory, 2 * PAGE, VBROKER_DEVICE_READS | VBROKER_DEVICE_WRITES, got, &got)) ||
		!fine("dma", "to the device", edu_dma(device, iova, EDU_BUFFER, 4000, EDU_DMA_TO_DEVICE)) ||
		!fine("dma", "from the device", edu_dma(device, EDU_BUFFER, iova + PAGE, 4000, EDU_DMA_FROM_DEVICE)) ||
		!fine("dma", "unmap", vbroker_domain_unmap(domain, iova, 2 * PAGE)))
		return false;
	if (memcmp(memory, memory + PAGE, 4000) != 0) {
		complain("dma", "other bytes came back than were sent");
		return false;
	}
	transfers++;
	return true;
}

static void *do_dma(void *argument)
{
	struct vbroker_device *device = argument;
	struct vbroker_domain *domain = NULL;
	uint8_t *memory = aligned_alloc(PAGE, 2 * PAGE), seed = 0;
	bool good = memory && fine("dma", "domain", vbroker_domain_open(&domain)) &&
		fine("dma", "bind", vbroker_device_bind(device, domain));

	while (good && !over)
		good = transfer(device, domain, memory, seed++);
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	free(memory);
	return NULL;
}

static void *do_registers(void *argument)
{
	struct vbroker_device *device = argument;
	struct vbroker_domain *domain = NULL;
	uint64_t value;
	bool good = fine("registers", "domain", vbroker_domain_open(&domain)) &&
		fine("registers", "bind", vbroker_device_bind(device, domain));

	while (good && !over) {
		uint64_t before = clock_us();

		good = fine("registers", "write",
			       vbroker_region_write(device, VFIO_PCI_BAR0_REGION_INDEX, 4, 4, (uint32_t)before)) &&
			fine("registers", "read",
				vbroker_region_read(device, VFIO_PCI_BAR0_REGION_INDEX, 4, 4, &value));
		keep_longest(&longest_us, clock_us() - before);
		accesses += 2;
		/* edu's liveness register: what was written, inverted. */
		if (good && (uint32_t)value != ~(uint32_t)before) {
			complain("registers", "another value came back than the inverse of what was written");
			good = false;
		}
		/*
		 * Back to back, they would have the emulated processors for themselves, and the broker would get
		 * nothing done.
		 */
		usleep(1000);
	}
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	return NULL;
}

/* ---- clients that come and go ---- */

static bool use_once(struct vbroker_session *mine, const char *name)
{
	struct vbroker_device_entry *entries;
	struct vbroker_obstacle *obstacles;
	struct vbroker_device *device;
	struct vbroker_status status;
	size_t count;
	int claim;

	if (!fine(name, "open", vbroker_device_open(mine, name, &device)))
		return false;
	leases++;
	if (!fine(name, "device ping", vbroker_device_ping(device)) ||
		!fine(name, "list", vbroker_list_devices(mine, &entries, &count)))
		return false;
	free(entries);
	if (!fine(name, "check", vbroker_session_check(mine, name, &obstacles, &count, &claim)))
		return false;
	free(obstacles);
	vbroker_device_close(device);
	return fine(name, "status", vbroker_session_status(mine, &status)) &&
		fine(name, "ping", vbroker_session_ping(mine));
}

static void *do_leases(void *argument)
{
	struct vbroker_session *mine;
	const char *name = argument;
	bool good = true;

	vbroker_set_timeout(-1);
	while (good && !over) {
		uint64_t before = clock_us();

		good = fine(name, "session", vbroker_session_open(NULL, &mine));
		for (int i = 0; good && !over && i < 4; i++)
			good = use_once(mine, name);
		vbroker_session_close(mine);
		mine = NULL;
		keep_longest(&waited_us, clock_us() - before);
	}
	return NULL;
}

/* ---- answers, counted ---- */

#define BATCH 8

static int connect_raw(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = VBROKER_SOCKET};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		verdict_die("connect");
	return fd;
}

static bool send_request(int fd, struct packet *packet, uint16_t type, uint64_t cookie)
{
	struct hello_request *hello;

	packet_request(packet, type, cookie);
	if (type == BROKER_HELLO) {
		hello = packet_append(packet, sizeof *hello);
		hello->version_lowest = hello->version_highest = MESSAGE_VERSION;
	} else if (type == BROKER_LIST) {
		packet_append(packet, sizeof(struct listing_request));
	}
	return packet_send(fd, 0, packet) == 0;
}

/*
 * The replies to the cookies FIRST ... FIRST + BATCH - 1, in their order. An earlier one that comes again is counted,
 * as a failure for the end: a front keeps a request until the request's reply is on its way, and no broker answers a
 * request that another has answered.
 */
static bool take_replies(int fd, struct packet *packet, uint64_t first)
{
	for (uint64_t next = first; next < first + BATCH;) {
		if (packet_receive(fd, 0, 0, packet) != PACKET_RECEIVED || !(packet->header.flags & MESSAGE_REPLY) ||
			(packet->header.flags & MESSAGE_REFUSED) || packet->header.cookie > next) {
			complain("batch", "an answer is missing, or a refusal");
			return false;
		}
		if (packet->header.cookie < next)
			doubled++;
		else
			next++;
		calls++;
	}
	return true;
}

static void *do_batches(void *argument)
{
	static struct packet packet;
	uint64_t cookie = 1;
	int fd = connect_raw();
	bool good;

	(void)argument;
	packet_init(&packet);
	good = send_request(fd, &packet, BROKER_HELLO, cookie++) &&
		packet_receive(fd, 0, 0, &packet) == PACKET_RECEIVED;
	while (good && !over) {
		for (int i = 0; good && i < BATCH; i++)
			good = send_request(fd, &packet, i % 4 == 3 ? BROKER_LIST : BROKER_PING, cookie + (uint64_t)i);
		good = good && take_replies(fd, &packet, cookie);
		cookie += BATCH;
		batches++;
	}
	if (!good)
		complain("batch", "the connection has ended");
	close(fd);
	return NULL;
}

static void wait_for_end(void)
{
	struct pollfd input = {STDIN_FILENO, POLLIN, 0};
	char bytes[64];

	while (!over) {
		if (poll(&input, 1, 100) > 0 && read(STDIN_FILENO, bytes, sizeof bytes) >= 0)
			break;
	}
	over = true;
}

int main(int argc, char **argv)
{
	struct vbroker_device *dma, *registers;
	pthread_t threads[CLIENTS_MAX + 3];
	size_t count = 0;

	if (argc < 4 || argc - 3 > CLIENTS_MAX)
		return 2;
	/* The emulator is slow, and the case as a whole has a limit. Each thread that asks the broker says so. */
	vbroker_set_timeout(-1);
	if (!fine("holder", "session", vbroker_session_open(NULL, &session)) ||
		!fine("holder", argv[1], vbroker_device_open(session, argv[1], &dma)) ||
		!fine("holder", argv[2], vbroker_device_open(session, argv[2], &registers))) {
		printf("not ok - the load begins\n# %s\n", complaint);
		return 1;
	}
	pthread_create(&threads[count++], NULL, do_dma, dma);
	pthread_create(&threads[count++], NULL, do_registers, registers);
	pthread_create(&threads[count++], NULL, do_batches, NULL);
	for (int i = 3; i < argc; i++)
		pthread_create(&threads[count++], NULL, do_leases, argv[i]);
	printf("running\n");
	fflush(stdout);
	wait_for_end();
	for (size_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	if (!complaint[0])
		fine("holder", "ping", vbroker_session_ping(session));
	vbroker_session_close(session);
	verdict(!complaint[0], "under load, no client has seen an error%s%s", complaint[0] ? ": " : "", complaint);
	verdict_is("under load, no request is answered twice", (long)doubled, 0);
	verdict(transfers > 0 && accesses > 0 && leases > 0 && batches > 0, "all of them have done something");
	printf("# %lu calls, %lu leases, %lu transfers with map and unmap, %lu register accesses, longest pair "
	       "%lu us\n",
		calls, leases, transfers, accesses, longest_us);
	printf("# %lu batches of %d requests\n", batches, BATCH);
	return verdict_failures > 0;
}
