/* SPDX-License-Identifier: MIT */
/*
 * bench-vm FOLDER [JSON [REVOCATIONS]]: what a register window costs compared with root's own mapping of the same kind
 * of register, what the first DMA and reading a disk cost, what memory costs by a domain channel, what many leases
 * cost, and the worst of so many revocations. In the test VM, as root, with the service running. FOLDER has reads and
 * reads-direct.
 */
#include "domain.h"
#include "figure.h"
#include "leases.h"
#include "raw-vfio.h"
#include "revocations.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vfio-broker.h>

#define EDU_LEASED "0000:00:02.0"
#define EDU_DIRECT "0000:01:00.0"
#define DISK	   "0000:02:00.0"
#define EDU_ID	   0x00
#define EDU_ID_IS  0x010000ed

#define LOAD_ROUNDS 40
#define LOAD_CHUNK  10
#define READS	    "1500"
#define READ_ROUNDS 9
#define REVOCATIONS 20

void must(int result, const char *what)
{
	char text[256];

	if (result == 0)
		return;
	errno = 0;
	die("%s: %s", what, vbroker_describe_result(result, text, sizeof text));
}

/* ---- loads of a register ---- */

/* Many in one sample: a clock costs as much as they do. */
#define BATCH 64

static void load_batch(void *registers)
{
	for (int i = 0; i < BATCH; i++) {
		if (vbroker_load32((volatile uint8_t *)registers + EDU_ID) != EDU_ID_IS)
			die("the register is not edu's");
	}
}

static void store_batch(void *registers)
{
	for (int i = 0; i < BATCH; i++)
		vbroker_store32((volatile uint8_t *)registers + 4, (uint32_t)i);
}

static void add_load(
	const char *name, void (*run)(void *), void *context, void (*floor)(void *), void *mapping, double target)
{
	struct samples a = {0}, b = {0};
	struct figure figure;

	race(&(struct runner){run, NULL, context}, &(struct runner){floor, NULL, mapping}, LOAD_ROUNDS, LOAD_CHUNK, &a,
		&b);
	for (size_t i = 0; i < a.count; i++)
		a.ns[i] /= BATCH;
	for (size_t i = 0; i < b.count; i++)
		b.ns[i] /= BATCH;
	figure = figure_durations(name, &a, &b, target);
	figure.decimals = 3;
	figure_add(&figure);
	samples_clear(&a);
	samples_clear(&b);
}

/* Two devices of one kind: one is leased, root has the other to itself. */
static void bench_loads(void)
{
	struct vbroker_device *device;
	struct vbroker_window *window;
	volatile void *registers;
	struct raw_vfio vfio;
	void *direct;

	raw_vfio_open(&vfio, EDU_DIRECT);
	raw_vfio_command(&vfio, PCI_COMMAND_MEMORY, PCI_COMMAND_MEMORY);
	direct = raw_map(
		vfio.device, PROT_READ | PROT_WRITE, 4096, raw_vfio_region(&vfio, VFIO_PCI_BAR0_REGION_INDEX).offset);
	must(vbroker_open(EDU_LEASED, &device), EDU_LEASED);
	must(vbroker_window_open(device, VFIO_PCI_BAR0_REGION_INDEX, 0, 4096, VBROKER_WINDOW_WRITE, &window), "window");
	must(vbroker_window_map(window, &registers), "mapping");
	add_load("window_load", load_batch, (void *)registers, load_batch, direct, 1.05);
	add_load("window_store", store_batch, (void *)registers, store_batch, direct, 1.05);
	vbroker_window_close(window);
	vbroker_device_close(device);
	munmap(direct, 4096);
	raw_vfio_close(&vfio);
}

/* ---- reads of a disk ---- */

enum variant { DIRECT, WINDOW, VARIANTS };

static const char *const programs[VARIANTS] = {[DIRECT] = "reads-direct", [WINDOW] = "reads"};

/* Nanoseconds until the first DMA, and for one read at depth 1 and 32. */
enum kind { FIRST_DMA, DEPTH_1, DEPTH_32, KINDS };

static void read_disk(const char *folder, enum variant variant, double ns[KINDS])
{
	char command[512];
	FILE *pipe;

	snprintf(command, sizeof command, "exec %s/%s %s %s", folder, programs[variant], DISK, READS);
	pipe = popen(command, "re");
	if (!pipe || fscanf(pipe, "%lf %lf %lf", &ns[FIRST_DMA], &ns[DEPTH_1], &ns[DEPTH_32]) != KINDS ||
		pclose(pipe) != 0)
		die("%s", command);
}

/* The first DMA as a duration, reads as a rate. */
static struct figure disk_figure(const char *name, enum kind kind, double (*ns)[READ_ROUNDS][KINDS], double target)
{
	double values[VARIANTS][READ_ROUNDS];
	struct figure figure;

	for (size_t i = 0; i < VARIANTS; i++) {
		for (size_t round = 0; round < READ_ROUNDS; round++)
			values[i][round] = kind == FIRST_DMA ? ns[i][round][kind] / 1e6 : 1e9 / ns[i][round][kind];
	}
	figure = figure_rounds(
		name, kind == FIRST_DMA ? "ms" : "1/s", values[WINDOW], values[DIRECT], READ_ROUNDS, target);
	figure.at_least = kind != FIRST_DMA;
	return figure;
}

static void bench_reads(const char *folder)
{
	double ns[VARIANTS][READ_ROUNDS][KINDS];
	struct figure figure;

	for (size_t round = 0; round < READ_ROUNDS; round++) {
		/* Another one begins each round. */
		for (size_t i = 0; i < VARIANTS; i++) {
			enum variant variant = (round + i) % VARIANTS;

			/* What the turn before has released, and the next keeper that systemd starts. */
			sleep(2);
			read_disk(folder, variant, ns[variant][round]);
		}
	}
	figure = disk_figure("first_dma", FIRST_DMA, ns, 1.2);
	figure.decimals = 1;
	snprintf(figure.remark, sizeof figure.remark, "from connect to the answer to NVMe's Identify, against root");
	figure_add(&figure);
	figure = disk_figure("nvme_qd1_window", DEPTH_1, ns, 0.97);
	figure_add(&figure);
	figure = disk_figure("nvme_qd32_window", DEPTH_32, ns, 0.97);
	figure_add(&figure);
}

int main(int argc, char **argv)
{
	if (argc < 2 || argc > 4)
		return 2;
	bench_revocations(DISK, argc == 4 ? (unsigned int)atoi(argv[3]) : REVOCATIONS);
	bench_loads();
	bench_domain(EDU_LEASED, EDU_DIRECT);
	bench_reads(argv[1]);
	bench_leases();
	printf("%zu targets missed\n", figure_table());
	if (argc >= 3 && figure_json(argv[2]) < 0)
		die("%s", argv[2]);
	return EXIT_SUCCESS;
}
