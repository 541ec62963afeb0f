/* SPDX-License-Identifier: MIT */
#include "nvme.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* 3.1: controller registers, in BAR 0. CAP, ASQ and ACQ have 64 bits and may be accessed as two halves. */
#define CAP	  0x00
#define CAP_HIGH  0x04
#define CC	  0x14
#define CSTS	  0x1c
#define AQA	  0x24
#define ASQ	  0x28
#define ACQ	  0x30
#define DOORBELLS 0x1000

/* 3.1.1 CAP */
#define CAP_MQES(low)	  ((low)&0xffff)
#define CAP_TO(low)	  ((low) >> 24) /* in units of 500 ms */
#define CAP_DSTRD(high)	  ((high)&0xf)
#define CAP_CSS_NVM(high) ((high) >> 5 & 1)
#define CAP_MPSMIN(high)  ((high) >> 16 & 0xf)

/* 3.1.5 CC. I/O queue entries have 2^6 and 2^4 bytes. */
#define CC_EN	       (1U << 0)
#define CC_MPS(n)      ((uint32_t)(n) << 7)
#define CC_SHN_MASK    (3U << 14)
#define CC_SHN_NORMAL  (1U << 14)
#define CC_ENTRY_SIZES (6U << 16 | 4U << 20)

/* 3.1.6 CSTS */
#define CSTS_RDY	   (1U << 0)
#define CSTS_CFS	   (1U << 1)
#define CSTS_SHST_MASK	   (3U << 2)
#define CSTS_SHST_COMPLETE (2U << 2)

/* 5: admin commands; 6: NVM commands */
#define ADMIN_DELETE_SQ	   0x00
#define ADMIN_CREATE_SQ	   0x01
#define ADMIN_DELETE_CQ	   0x04
#define ADMIN_CREATE_CQ	   0x05
#define ADMIN_IDENTIFY	   0x06
#define ADMIN_SET_FEATURES 0x09
#define FEATURE_QUEUES	   0x07
#define NVM_READ	   0x02

/* 5.15 Identify: CNS */
#define IDENTIFY_NAMESPACE  0x00
#define IDENTIFY_CONTROLLER 0x01
#define IDENTIFY_ACTIVE	    0x02

#define ADMIN_ENTRIES	    8
#define IO_QUEUE	    1
#define VECTOR		    0
#define COMMAND_TIMEOUT_MS  10000
#define SHUTDOWN_TIMEOUT_MS 10000

/* 4.2 Submission queue entry */
struct nvme_command {
	uint8_t opcode;
	uint8_t flags;
	uint16_t id;
	uint32_t namespace;
	uint64_t reserved;
	uint64_t metadata;
	uint64_t prp1;
	uint64_t prp2;
	uint32_t cdw10;
	uint32_t cdw11;
	uint32_t cdw12;
	uint32_t cdw13;
	uint32_t cdw14;
	uint32_t cdw15;
};
static_assert(sizeof(struct nvme_command) == 64, "4.2");

/* 4.6 Completion queue entry */
struct nvme_completion {
	uint32_t result;
	uint32_t reserved;
	uint16_t sq_head;
	uint16_t sq_id;
	uint16_t id;
	uint16_t status; /* bit 0: the phase */
};
static_assert(sizeof(struct nvme_completion) == 16, "4.6");

#define PROBLEM(nvme, error, ...) (snprintf((nvme)->problem, sizeof(nvme)->problem, __VA_ARGS__), (error))

/* ---- memory ---- */

static int memory_map(struct nvme *nvme, struct nvme_memory *memory, size_t size)
{
	int r = vbroker_memory_alloc(vbroker_device_domain(nvme->device), size,
		VBROKER_DEVICE_READS | VBROKER_DEVICE_WRITES, 0, &memory->memory);

	if (r != 0)
		return r;
	memory->bytes = vbroker_memory_address(memory->memory);
	memory->iova = vbroker_memory_iova(memory->memory);
	memory->size = vbroker_memory_length(memory->memory);
	return 0;
}

/* A device that was taken back has left the domain, and the mappings are gone too: no failure. */
static void memory_unmap(struct nvme_memory *memory)
{
	vbroker_memory_free(memory->memory);
	*memory = (struct nvme_memory){0};
}

/* ---- queues ---- */

/* A queue of fresh, zeroed memory: COMMANDS bytes into the memory the commands, COMPLETIONS bytes into the memory the
 * completions. */
static void queue_init(struct nvme_queue *queue, uint16_t id, uint16_t entries, const struct nvme_memory *memory,
	size_t commands, size_t completions)
{
	*queue = (struct nvme_queue){
		.id = id,
		.entries = entries,
		.commands = (void *)(memory->bytes + commands),
		.completions = (void *)(memory->bytes + completions),
		.commands_iova = memory->iova + commands,
		.completions_iova = memory->iova + completions,
		.phase = true,
	};
}

static void queue_push(struct nvme_queue *queue, const struct nvme_command *command)
{
	queue->commands[queue->tail] = *command;
	queue->tail = (uint16_t)((queue->tail + 1) % queue->entries);
}

/*
 * Takes the next completion if there is any. The controller writes the entry and, last, the phase bit in the entry.
 * The memory is shared with the controller, so the rest of the entry and the data are read only after the phase bit
 * (acquire).
 */
static bool queue_pop(struct nvme_queue *queue, struct nvme_completion *ret_completion)
{
	const struct nvme_completion *next = &queue->completions[queue->head];
	uint16_t status = le16toh(__atomic_load_n(&next->status, __ATOMIC_ACQUIRE));

	if ((status & 1) != queue->phase)
		return false;
	*ret_completion = *next;
	ret_completion->status = (uint16_t)(status >> 1);
	queue->head = (uint16_t)((queue->head + 1) % queue->entries);
	if (queue->head == 0)
		queue->phase = !queue->phase;
	return true;
}

/* Tells the controller of both changes at once: new commands, and completions taken. */
static int queue_ring(struct nvme *nvme, struct nvme_queue *queue)
{
	struct registers_write doorbells[2];
	size_t count = 0;
	int r;

	if (queue->head != queue->head_rung)
		doorbells[count++] =
			(struct registers_write){DOORBELLS + (2U * queue->id + 1) * nvme->doorbell_stride, queue->head};
	if (queue->tail != queue->tail_rung)
		doorbells[count++] =
			(struct registers_write){DOORBELLS + 2U * queue->id * nvme->doorbell_stride, queue->tail};
	if (count == 0)
		return 0;
	r = registers_ring(&nvme->registers, doorbells, count);
	if (r != 0)
		return r;
	nvme->rings++;
	queue->head_rung = queue->head;
	queue->tail_rung = queue->tail;
	return 0;
}

/* Doorbells through a window say nothing of a device that was taken back; the end of the device channel does. */
static int await_interrupt(struct nvme *nvme)
{
	struct pollfd polled[] = {{.fd = nvme->event, .events = POLLIN}, {.fd = vbroker_device_fd(nvme->device)}};
	uint64_t count;
	uint32_t status;
	int n = poll(polled, sizeof polled / sizeof polled[0], COMMAND_TIMEOUT_MS);

	if (n < 0)
		return -errno;
	if (polled[1].revents)
		return vbroker_device_ping(nvme->device);
	if (n > 0) {
		if (read(nvme->event, &count, sizeof count) == sizeof count)
			nvme->interrupts += count;
		return 0;
	}
	n = registers_read(&nvme->registers, CSTS, &status);
	if (n != 0)
		return n;
	return PROBLEM(nvme, -ETIMEDOUT, "no interrupt within %d s; controller status %#x%s", COMMAND_TIMEOUT_MS / 1000,
		status, status & CSTS_CFS ? ": a fatal error" : "");
}

/* The next completion of QUEUE. An interrupt may be of the other queue, or of a completion taken already. */
static int queue_wait(struct nvme *nvme, struct nvme_queue *queue, struct nvme_completion *ret_completion)
{
	int r;

	while (!queue_pop(queue, ret_completion)) {
		/* Before sleeping: the controller starts no command before the doorbell. */
		r = queue_ring(nvme, queue);
		if (r == 0)
			r = await_interrupt(nvme);
		if (r != 0)
			return r;
	}
	return 0;
}

static int status_problem(struct nvme *nvme, const char *what, const struct nvme_completion *completion)
{
	/* 4.6.1: status code in bits 0-7, its type in 8-10 of the shifted field */
	return PROBLEM(nvme, -EIO, "%s failed: status type %u, code %#x", what, completion->status >> 8 & 7,
		completion->status & 0xff);
}

static int admin_run(struct nvme *nvme, const char *what, const struct nvme_command *command, uint32_t *ret_result)
{
	struct nvme_completion completion;
	int r;

	queue_push(&nvme->admin, command);
	do
		r = queue_wait(nvme, &nvme->admin, &completion);
	while (r == -EINTR); /* one command, answered soon: a signal can wait so long */
	if (r != 0)
		return r;
	if (completion.status & 0x7ff)
		return status_problem(nvme, what, &completion);
	if (ret_result)
		*ret_result = le32toh(completion.result);
	return 0;
}

/* ---- bringing the controller up and down ---- */

static int wait_status(struct nvme *nvme, uint32_t mask, uint32_t value, unsigned int timeout_ms, const char *what)
{
	uint32_t last = 0;
	int r = registers_wait(&nvme->registers, CSTS, mask, value, timeout_ms, &last);

	if (r == -ETIMEDOUT)
		return PROBLEM(nvme, r, "the controller did not become %s within %u ms; status %#x%s", what, timeout_ms,
			last,
			last == UINT32_MAX	  ? ": it does not answer"
				: last & CSTS_CFS ? ": a fatal error"
						  : "");
	return r;
}

static int read_capabilities(struct nvme *nvme)
{
	uint32_t low, high;
	int r = registers_read(&nvme->registers, CAP, &low);

	if (r == 0)
		r = registers_read(&nvme->registers, CAP_HIGH, &high);
	if (r != 0)
		return r;
	if (low == UINT32_MAX || !CAP_CSS_NVM(high))
		return PROBLEM(nvme, -EIO, "not an NVMe controller, or it does not answer: CAP is %#x %#x", high, low);
	nvme->entries_max = (uint16_t)(CAP_MQES(low) == 0xffff ? 0xffff : CAP_MQES(low) + 1);
	nvme->timeout_ms = (CAP_TO(low) ? CAP_TO(low) : 1) * 500;
	nvme->doorbell_stride = 4U << CAP_DSTRD(high);
	nvme->page_size = (size_t)4096 << CAP_MPSMIN(high);
	return 0;
}

/* 7.6.1 Initialization: disable, wait, admin queue, enable, wait. */
static int enable(struct nvme *nvme)
{
	const struct nvme_queue *admin = &nvme->admin;
	const struct registers_write off = {CC, 0};
	uint32_t mps = (uint32_t)__builtin_ctzl(nvme->page_size) - 12;
	const struct registers_write on[] = {
		{AQA, (ADMIN_ENTRIES - 1) << 16 | (ADMIN_ENTRIES - 1)},
		{ASQ, (uint32_t)admin->commands_iova},
		{ASQ + 4, (uint32_t)(admin->commands_iova >> 32)},
		{ACQ, (uint32_t)admin->completions_iova},
		{ACQ + 4, (uint32_t)(admin->completions_iova >> 32)},
		{CC, CC_ENTRY_SIZES | CC_MPS(mps) | CC_EN},
	};
	int r = registers_write(&nvme->registers, &off, 1);

	if (r == 0)
		r = wait_status(nvme, CSTS_RDY, 0, nvme->timeout_ms, "idle");
	if (r == 0)
		r = registers_write(&nvme->registers, on, sizeof on / sizeof on[0]);
	if (r == 0) {
		nvme->enabled = true;
		r = wait_status(nvme, CSTS_RDY, CSTS_RDY, nvme->timeout_ms, "ready");
	}
	return r;
}

/* MSI-X if the controller has MSI-X, else MSI: one vector is all we need. */
static int enable_interrupt(struct nvme *nvme)
{
	static const uint32_t order[] = {VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX};
	struct vbroker_device_info info;
	int r = vbroker_device_describe(nvme->device, &info);

	if (r != 0)
		return r;
	for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
		for (uint32_t j = 0; j < info.irqs_count; j++) {
			if (info.irqs[j].index == order[i] && info.irqs[j].count > 0)
				return vbroker_irq_set(nvme->device, order[i], VECTOR, &nvme->event, 1);
		}
	}
	return PROBLEM(nvme, -EIO, "the controller has neither MSI-X nor MSI");
}

/* 5.15: identify data goes to the last page of the admin memory. */
static uint8_t *identify_page(const struct nvme *nvme)
{
	return nvme->admin_memory.bytes + 2 * nvme->page_size;
}

static int identify(struct nvme *nvme, uint8_t what, uint32_t namespace)
{
	const struct nvme_command command = {
		.opcode = ADMIN_IDENTIFY,
		.namespace = htole32(namespace),
		.prp1 = htole64(nvme->admin_memory.iova + 2 * nvme->page_size),
		.cdw10 = htole32(what),
	};

	return admin_run(nvme, "IDENTIFY", &command, NULL);
}

/* A fixed field of ASCII, filled with spaces (5.15.2.2), as a string. */
static void copy_text(char *to, const uint8_t *field, size_t length)
{
	while (length > 0 && (field[length - 1] == ' ' || field[length - 1] == '\0'))
		length--;
	for (size_t i = 0; i < length; i++)
		to[i] = (char)(field[i] >= 0x20 && field[i] < 0x7f ? field[i] : '?');
	to[length] = '\0';
}

static int identify_controller(struct nvme *nvme)
{
	const uint8_t *data = identify_page(nvme);
	int r = identify(nvme, IDENTIFY_CONTROLLER, 0);

	if (r != 0)
		return r;
	copy_text(nvme->serial, data + 4, 20);
	copy_text(nvme->model, data + 24, 40);
	copy_text(nvme->firmware, data + 64, 8);
	/* MDTS, byte 77: a power of two, in units of the smallest page; 0: no limit */
	nvme->transfer_max = data[77] == 0 || data[77] > 20 ? SIZE_MAX : nvme->page_size << data[77];
	return 0;
}

int nvme_open(struct nvme *nvme, struct vbroker_device *device, bool window)
{
	int r;

	memset(nvme, 0, sizeof *nvme);
	nvme->device = device;
	nvme->registers.device = device;
	nvme->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (nvme->event < 0)
		return -errno;
	r = read_capabilities(nvme);
	/* As far as the doorbells of the I/O queue. */
	if (r == 0 && window)
		registers_open_window(&nvme->registers, DOORBELLS + 2U * (IO_QUEUE + 1) * nvme->doorbell_stride);
	if (r == 0)
		r = memory_map(nvme, &nvme->admin_memory, 3 * nvme->page_size);
	if (r == 0) {
		queue_init(&nvme->admin, 0, ADMIN_ENTRIES, &nvme->admin_memory, 0, nvme->page_size);
		r = enable_interrupt(nvme);
	}
	if (r == 0)
		r = enable(nvme);
	return r == 0 ? identify_controller(nvme) : r;
}

static void delete_queue(struct nvme *nvme, uint8_t opcode)
{
	const struct nvme_command command = {.opcode = opcode, .cdw10 = htole32(IO_QUEUE)};

	(void)admin_run(nvme, "deleting a queue", &command, NULL);
}

/* 7.6.2 Shutdown: the queues, then the notification, then off. Deleting a queue aborts its commands. */
static void shut_down(struct nvme *nvme)
{
	char problem[sizeof nvme->problem];
	uint32_t cc;

	/* The first problem matters; problems on the way out do not. */
	memcpy(problem, nvme->problem, sizeof problem);
	if (nvme->io.entries > 0) {
		delete_queue(nvme, ADMIN_DELETE_SQ);
		delete_queue(nvme, ADMIN_DELETE_CQ);
	}
	if (registers_read(&nvme->registers, CC, &cc) == 0) {
		const struct registers_write notify = {CC, (cc & ~CC_SHN_MASK) | CC_SHN_NORMAL};
		const struct registers_write off = {CC, cc & ~(CC_SHN_MASK | CC_EN)};

		if (registers_write(&nvme->registers, &notify, 1) == 0)
			(void)wait_status(nvme, CSTS_SHST_MASK, CSTS_SHST_COMPLETE, SHUTDOWN_TIMEOUT_MS, "shut down");
		if (registers_write(&nvme->registers, &off, 1) == 0)
			(void)wait_status(nvme, CSTS_RDY, 0, nvme->timeout_ms, "idle");
	}
	memcpy(nvme->problem, problem, sizeof problem);
}

void nvme_close(struct nvme *nvme)
{
	if (nvme->enabled)
		shut_down(nvme);
	nvme->enabled = false;
	registers_close_window(&nvme->registers);
	memory_unmap(&nvme->io_memory);
	memory_unmap(&nvme->admin_memory);
	if (nvme->event >= 0)
		close(nvme->event);
	nvme->event = -1;
}

/* ---- namespaces ---- */

/* 5.15.2.1 Identify Namespace */
static int read_namespace(struct nvme *nvme, uint32_t id, struct nvme_namespace *ret_namespace)
{
	const uint8_t *data = identify_page(nvme);
	uint64_t blocks;
	uint32_t format;

	memcpy(&blocks, data, sizeof blocks);
	memcpy(&format, data + 128 + 4 * (data[26] & 0xf), sizeof format);
	format = le32toh(format);
	if (blocks == 0)
		return PROBLEM(nvme, -EIO, "namespace %u is not active", id);
	if ((format & 0xffff) != 0)
		return PROBLEM(nvme, -EIO,
			"namespace %u has %u bytes of metadata per block, which this program cannot read", id,
			format & 0xffff);
	if ((format >> 16 & 0xff) < 9 || (size_t)1 << (format >> 16 & 0xff) > nvme->page_size)
		return PROBLEM(nvme, -EIO, "namespace %u has blocks of 2^%u bytes", id, format >> 16 & 0xff);
	*ret_namespace = (struct nvme_namespace){id, le64toh(blocks), 1U << (format >> 16 & 0xff)};
	return 0;
}

int nvme_namespace(struct nvme *nvme, uint32_t id, struct nvme_namespace *ret_namespace)
{
	int r;

	if (id == 0) {
		r = identify(nvme, IDENTIFY_ACTIVE, 0);
		if (r != 0)
			return r;
		memcpy(&id, identify_page(nvme), sizeof id);
		id = le32toh(id);
		if (id == 0)
			return PROBLEM(nvme, -EIO, "the controller has no active namespace");
	}
	r = identify(nvme, IDENTIFY_NAMESPACE, id);
	return r == 0 ? read_namespace(nvme, id, ret_namespace) : r;
}

/* ---- reading ---- */

/* 5.21.1.7 Number of Queues; 5.3 Create I/O Completion Queue; 5.4 Create I/O Submission Queue */
static int create_io_queues(struct nvme *nvme)
{
	const uint32_t size_and_id = (uint32_t)(nvme->io.entries - 1) << 16 | IO_QUEUE;
	const struct nvme_command number = {
		.opcode = ADMIN_SET_FEATURES,
		.cdw10 = htole32(FEATURE_QUEUES),
		.cdw11 = 0, /* one of each, counted from 0 */
	};
	const struct nvme_command completions = {
		.opcode = ADMIN_CREATE_CQ,
		.prp1 = htole64(nvme->io.completions_iova),
		.cdw10 = htole32(size_and_id),
		.cdw11 = htole32(VECTOR << 16 | 1 << 1 | 1), /* interrupts on, contiguous */
	};
	const struct nvme_command commands = {
		.opcode = ADMIN_CREATE_SQ,
		.prp1 = htole64(nvme->io.commands_iova),
		.cdw10 = htole32(size_and_id),
		.cdw11 = htole32(IO_QUEUE << 16 | 1), /* the completion queue of this queue; contiguous */
	};
	int r = admin_run(nvme, "SET FEATURES (number of queues)", &number, NULL);

	if (r == 0)
		r = admin_run(nvme, "CREATE I/O COMPLETION QUEUE", &completions, NULL);
	if (r == 0)
		r = admin_run(nvme, "CREATE I/O SUBMISSION QUEUE", &commands, NULL);
	return r;
}

static size_t round_up(size_t size, size_t unit)
{
	return (size + unit - 1) / unit * unit;
}

/* One mapping: the two queues, a PRP list per slot, the data. */
int nvme_start_io(struct nvme *nvme, unsigned int depth, size_t transfer)
{
	/* A PRP list of one page, without a link to another, is the limit of one command here. */
	size_t list_max = nvme->page_size / sizeof(uint64_t) * nvme->page_size;
	size_t commands, completions;
	struct nvme_queue queue;
	int r;

	if (depth > nvme->entries_max - 1U)
		depth = nvme->entries_max - 1U;
	if (transfer > nvme->transfer_max)
		transfer = nvme->transfer_max;
	if (transfer > list_max)
		transfer = list_max;
	nvme->depth = depth;
	nvme->slot_size = round_up(transfer, nvme->page_size);
	commands = round_up((depth + 1) * sizeof(struct nvme_command), nvme->page_size);
	completions = round_up((depth + 1) * sizeof(struct nvme_completion), nvme->page_size);
	nvme->lists_offset = commands + completions;
	nvme->data_offset = nvme->lists_offset + depth * nvme->page_size;
	r = memory_map(nvme, &nvme->io_memory, nvme->data_offset + depth * nvme->slot_size);
	if (r != 0)
		return r;
	/* A queue of n entries holds n - 1 (4.1.1): one entry more than slots. */
	queue_init(&queue, IO_QUEUE, (uint16_t)(depth + 1), &nvme->io_memory, 0, commands);
	nvme->io = queue;
	r = create_io_queues(nvme);
	if (r != 0)
		nvme->io.entries = 0;
	return r;
}

/* 4.3: the first page in PRP1; the second in PRP2, or there a list of all pages but the first. */
static void set_prps(struct nvme *nvme, struct nvme_command *command, unsigned int slot, size_t length)
{
	size_t list_offset = nvme->lists_offset + slot * nvme->page_size;
	uint64_t *list = (void *)(nvme->io_memory.bytes + list_offset);
	uint64_t data = nvme->io_memory.iova + nvme->data_offset + slot * nvme->slot_size;
	size_t pages = (length + nvme->page_size - 1) / nvme->page_size;

	command->prp1 = htole64(data);
	if (pages == 2)
		command->prp2 = htole64(data + nvme->page_size);
	if (pages <= 2)
		return;
	for (size_t i = 1; i < pages; i++)
		list[i - 1] = htole64(data + i * nvme->page_size);
	command->prp2 = htole64(nvme->io_memory.iova + list_offset);
}

/* 6.9 Read */
void nvme_read(
	struct nvme *nvme, unsigned int slot, const struct nvme_namespace *namespace, uint64_t block, uint32_t blocks)
{
	struct nvme_command command = {
		.opcode = NVM_READ,
		.id = htole16((uint16_t)slot),
		.namespace = htole32(namespace->id),
		.cdw10 = htole32((uint32_t)block),
		.cdw11 = htole32((uint32_t)(block >> 32)),
		.cdw12 = htole32(blocks - 1),
	};

	set_prps(nvme, &command, slot, (size_t)blocks * namespace->block_size);
	queue_push(&nvme->io, &command);
}

int nvme_wait(struct nvme *nvme, unsigned int *ret_slot)
{
	struct nvme_completion completion;
	int r = queue_wait(nvme, &nvme->io, &completion);

	if (r != 0)
		return r;
	if (completion.status & 0x7ff)
		return status_problem(nvme, "READ", &completion);
	if (le16toh(completion.id) >= nvme->depth)
		return PROBLEM(nvme, -EIO, "a completion of a command that was never sent");
	*ret_slot = le16toh(completion.id);
	return 0;
}

const uint8_t *nvme_data(const struct nvme *nvme, unsigned int slot)
{
	return nvme->io_memory.bytes + nvme->data_offset + slot * nvme->slot_size;
}
