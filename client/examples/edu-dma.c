/* SPDX-License-Identifier: MIT */
/*
 * edu-dma DEVICE: a whole driver for QEMU's teaching device "edu", as short as a driver can be.
 *
 * The driver asks the device for its identity, lets the device compute a factorial, and moves data to the device and
 * back by DMA; the device says by an interrupt (MSI) when the work is done. The device is documented in QEMU's
 * docs/specs/edu.txt.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vfio-broker.h>

#define EDU_VENDOR 0x1234
#define EDU_DEVICE 0x11e8

/* Registers in BAR 0 */
#define EDU_ID			0x00 /* 0xRRrr00ed: major and minor version */
#define EDU_LIVENESS		0x04 /* reads as the inverse of the value written */
#define EDU_FACTORIAL		0x08 /* write n, read n! when ready */
#define EDU_STATUS		0x20
#define EDU_STATUS_INTERRUPT	0x80 /* interrupt when the factorial is ready */
#define EDU_INTERRUPT		0x24 /* why there was an interrupt ... */
#define EDU_ACKNOWLEDGE		0x64 /* ... to be written back here */
#define EDU_INTERRUPT_FACTORIAL 0x001
#define EDU_INTERRUPT_DMA	0x100
#define EDU_DMA_SOURCE		0x80
#define EDU_DMA_DESTINATION	0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_COMMAND		0x98
#define EDU_DMA_TO_DEVICE	0x01
#define EDU_DMA_FROM_DEVICE	0x03
#define EDU_DMA_INTERRUPT	0x04

/* The device's own buffer, at this address in the device's own address space. QEMU 7.2 aborts at DMAs of all 4096
 * bytes. */
#define EDU_BUFFER     0x40000
#define EDU_BUFFER_MAX 4095

/* The device's DMA engine has 28 address bits. */
#define EDU_ADDRESS_BITS 28

#define INTERRUPT_TIMEOUT_MS 5000

static int complain(const char *what, int result)
{
	char text[512];

	fprintf(stderr, "edu-dma: %s: %s\n", what, vbroker_describe_result(result, text, sizeof text));
	if (result > 0)
		fprintf(stderr, "edu-dma: what can be done: %s\n", vbroker_refusal_advice(result));
	return -1;
}

static int fail(const char *what)
{
	fprintf(stderr, "edu-dma: %s\n", what);
	return -1;
}

static int read_register(struct vbroker_device *device, uint64_t offset, uint64_t *ret_value)
{
	int r = vbroker_region_read(device, VFIO_PCI_BAR0_REGION_INDEX, offset, 4, ret_value);

	return r == 0 ? 0 : complain("reading a register", r);
}

static int write_register(struct vbroker_device *device, uint64_t offset, uint64_t value)
{
	int r = vbroker_region_write(device, VFIO_PCI_BAR0_REGION_INDEX, offset, 4, value);

	return r == 0 ? 0 : complain("writing a register", r);
}

/* Waits for the interrupt, checks that the reason is REASON, and acknowledges the interrupt. */
static int wait_interrupt(struct vbroker_device *device, int event, uint64_t reason)
{
	struct pollfd p = {.fd = event, .events = POLLIN};
	uint64_t count, status;

	if (poll(&p, 1, INTERRUPT_TIMEOUT_MS) != 1 || read(event, &count, sizeof count) != sizeof count)
		return fail("the interrupt did not come");
	if (read_register(device, EDU_INTERRUPT, &status) < 0 || write_register(device, EDU_ACKNOWLEDGE, status) < 0)
		return -1;
	return status == reason ? 0 : fail("an interrupt came, but for another reason");
}

static int identify(struct vbroker_device *device)
{
	struct vbroker_device_info info;
	uint64_t id, inverse;
	int r;

	r = vbroker_device_describe(device, &info);
	if (r != 0)
		return complain("describing the device", r);
	if (info.vendor != EDU_VENDOR || info.device != EDU_DEVICE) {
		fprintf(stderr, "edu-dma: %s is a %04x:%04x, not an edu device (%04x:%04x)\n", info.name, info.vendor,
			info.device, EDU_VENDOR, EDU_DEVICE);
		return -1;
	}
	if (read_register(device, EDU_ID, &id) < 0)
		return -1;
	if ((id & 0xffff) != 0x00ed)
		return fail("the identification register is wrong");
	if (write_register(device, EDU_LIVENESS, 0x12345678) < 0 || read_register(device, EDU_LIVENESS, &inverse) < 0)
		return -1;
	if (inverse != (~0x12345678U & 0xffffffff))
		return fail("the device does not live: its inverse is wrong");
	printf("%s: edu version %u.%u, IOMMU group %u, alive\n", info.name, (unsigned int)(id >> 24),
		(unsigned int)(id >> 16 & 0xff), info.group);
	return 0;
}

static int compute_factorial(struct vbroker_device *device, int event)
{
	uint64_t result;

	if (write_register(device, EDU_STATUS, EDU_STATUS_INTERRUPT) < 0 ||
		write_register(device, EDU_FACTORIAL, 10) < 0 ||
		wait_interrupt(device, event, EDU_INTERRUPT_FACTORIAL) < 0 ||
		read_register(device, EDU_FACTORIAL, &result) < 0)
		return -1;
	if (result != 3628800)
		return fail("the factorial is wrong");
	printf("10! = %u, told by interrupt\n", (unsigned int)result);
	return 0;
}

/* The four register writes of one DMA are one program: a single round trip to the holder of the device. */
static int run_dma(
	struct vbroker_device *device, int event, uint64_t from, uint64_t to, uint64_t count, uint64_t command)
{
	const uint64_t values[][2] = {
		{EDU_DMA_SOURCE, from},
		{EDU_DMA_DESTINATION, to},
		{EDU_DMA_COUNT, count},
		{EDU_DMA_COMMAND, command | EDU_DMA_INTERRUPT},
	};
	struct vbroker_op ops[4];
	size_t done;
	int r;

	memset(ops, 0, sizeof ops);
	for (size_t i = 0; i < 4; i++) {
		ops[i].kind = VBROKER_OP_WRITE;
		ops[i].region = VFIO_PCI_BAR0_REGION_INDEX;
		ops[i].width = 4;
		ops[i].offset = values[i][0];
		ops[i].value = values[i][1];
	}
	r = vbroker_region_program(device, ops, 4, &done);
	if (r != 0)
		return complain("starting the DMA", r);
	return wait_interrupt(device, event, EDU_INTERRUPT_DMA);
}

/* Sends a pattern to the device's buffer, wipes our copy, and gets the pattern back. */
static int move_data(struct vbroker_device *device, int event, uint8_t *memory, uint64_t iova)
{
	for (size_t i = 0; i < EDU_BUFFER_MAX; i++)
		memory[i] = (uint8_t)(i * 7 + (i >> 8));
	if (run_dma(device, event, iova, EDU_BUFFER, EDU_BUFFER_MAX, EDU_DMA_TO_DEVICE) < 0)
		return -1;
	printf("%d bytes sent to the device by DMA from IOVA %#llx\n", EDU_BUFFER_MAX, (unsigned long long)iova);
	memset(memory, 0, EDU_BUFFER_MAX);
	if (run_dma(device, event, EDU_BUFFER, iova, EDU_BUFFER_MAX, EDU_DMA_FROM_DEVICE) < 0)
		return -1;
	for (size_t i = 0; i < EDU_BUFFER_MAX; i++) {
		if (memory[i] != (uint8_t)(i * 7 + (i >> 8)))
			return fail("what came back by DMA is not what was sent");
	}
	printf("%d bytes received from the device by DMA, all as they were sent\n", EDU_BUFFER_MAX);
	return 0;
}

static int drive(struct vbroker_device *device, int event)
{
	struct vbroker_memory *memory;
	uint64_t iova;
	int r;

	if (identify(device) < 0)
		return -1;
	r = vbroker_irq_set(device, VFIO_PCI_MSI_IRQ_INDEX, 0, &event, 1);
	if (r != 0)
		return complain("setting up the interrupt", r);
	r = vbroker_memory_alloc(vbroker_device_domain(device), EDU_BUFFER_MAX,
		VBROKER_DEVICE_READS | VBROKER_DEVICE_WRITES | VBROKER_ADDRESS_BITS(EDU_ADDRESS_BITS), 0, &memory);
	if (r != 0)
		return complain("getting memory for DMA", r);
	iova = vbroker_memory_iova(memory);
	if (compute_factorial(device, event) < 0 || move_data(device, event, vbroker_memory_address(memory), iova) < 0)
		return -1;
	vbroker_memory_free(memory);
	return 0;
}

int main(int argc, char **argv)
{
	struct vbroker_device *device;
	int event, r;

	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: edu-dma DEVICE    (a PCI address: 0000:00:02.0)\n");
		return 2;
	}
	event = eventfd(0, EFD_CLOEXEC);
	if (event < 0) {
		perror("edu-dma");
		return 1;
	}
	/* Started by "vfio-brokerctl drive", this program has inherited its channels. */
	r = vbroker_open_inherited(getenv("LISTEN_FDNAMES"), argv[1], &device);
	if (r == -ENOENT)
		r = vbroker_open(argv[1], &device);
	else if (r == 0)
		r = vbroker_sandbox_enter();
	if (r != 0) {
		complain(argv[1], r);
		return 1;
	}
	r = drive(device, event);
	vbroker_device_close(device);
	close(event);
	return r < 0 ? 1 : 0;
}
