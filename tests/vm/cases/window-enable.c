/* SPDX-License-Identifier: MIT */
#include "probe.h"
#include "verdict.h"
#include "window-module.h"

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

/* What VFIO does with its own mappings, it does with windows. */

#define COUNT 600
#define HUGE  512 /* pages */

static bool all_fault(const uint8_t *address)
{
	return ground_count(address, COUNT, 8, SIGBUS, 0) == COUNT;
}

void window_enable(struct ground *ground)
{
	int fd = ground_window(ground, VFIO_WINDOW_FLAG_WRITE, 0, COUNT),
	    ones_fd = ground_window(ground, VFIO_WINDOW_FLAG_ONES, 0, COUNT);
	uint8_t *window = raw_map(fd, PROT_READ | PROT_WRITE, COUNT * PAGE, 0),
		*ones = raw_map(ones_fd, PROT_READ, COUNT * PAGE, 0);

	verdict(ground_seen(window, 0, COUNT) && ground_seen(ones, 0, COUNT), "memory enabled: windows work");
	raw_vfio_command(&ground->vfio, PCI_COMMAND_MEMORY, 0);
	verdict(all_fault(ground->direct), "memory disabled: VFIO's own mapping faults");
	verdict(all_fault(window), "memory disabled: a window faults");
	verdict(all_fault(ones), "memory disabled: a window that is to give ones when it is revoked faults, too");
	raw_vfio_command(&ground->vfio, PCI_COMMAND_MEMORY, PCI_COMMAND_MEMORY);
	verdict(ground_seen(window, 0, COUNT) && ground_seen(ones, 0, COUNT),
		"memory enabled again: windows work again");
	raw_vfio_sleep(&ground->vfio, true);
	verdict(all_fault(ground->direct) && all_fault(window) && all_fault(ones), "in low power: all of them fault");
	raw_vfio_sleep(&ground->vfio, false);
	verdict(ground_seen(window, 0, COUNT) && ground_seen(ones, 0, COUNT), "awake again: windows work again");
	raw_vfio_command(&ground->vfio, PCI_COMMAND_MEMORY, 0);
	raw_revoke(ground->control);
	verdict(all_fault(window), "memory disabled and revoked: a window faults");
	verdict_is("memory disabled and revoked: the other one gives ones",
		(long)ground_count(ones, COUNT, 8, 0, UINT64_MAX), COUNT);
	raw_vfio_command(&ground->vfio, PCI_COMMAND_MEMORY, PCI_COMMAND_MEMORY);
	verdict(all_fault(window), "memory enabled again, revoked: a window faults");
	verdict_is("memory enabled again, revoked: the other one gives ones",
		(long)ground_count(ones, COUNT, 8, 0, UINT64_MAX), COUNT);
	munmap(window, COUNT * PAGE);
	munmap(ones, COUNT * PAGE);
	close(fd);
	close(ones_fd);
}

/* A register that does not change: NVMe's version. */
#define REGISTER 8

void window_reset(struct ground *ground)
{
	struct raw_vfio vfio;
	struct raw_region bar;
	uint64_t before = 0, value = 0;
	uint8_t *window;
	long fd;

	raw_vfio_open(&vfio, window_resetable);
	bar = raw_vfio_region(&vfio, VFIO_PCI_BAR0_REGION_INDEX);
	fd = raw_window(ground->control, vfio.device, VFIO_WINDOW_FLAG_WRITE, bar.offset, PAGE);
	if (fd < 0)
		verdict_die("a window over registers");
	window = raw_map((int)fd, PROT_READ | PROT_WRITE, PAGE, 0);
	verdict(probe_read(window + REGISTER, 4, &before) == 0 && before != 0 && before != 0xffffffff,
		"a register can be read through a window");
	verdict_is("VFIO_DEVICE_RESET works", verdict_result(ioctl(vfio.device, VFIO_DEVICE_RESET)), 0);
	raw_vfio_command(&vfio, PCI_COMMAND_MEMORY, PCI_COMMAND_MEMORY);
	verdict(probe_read(window + REGISTER, 4, &value) == 0 && value == before, "it can be read after the reset");
	raw_revoke(ground->control);
	verdict_is("it cannot be read once revoked", probe_read(window + REGISTER, 4, &value), SIGBUS);
	munmap(window, PAGE);
	close((int)fd);
	raw_vfio_close(&vfio);
}

/* ---- huge pages ---- */

static long faults(const uint8_t *mapping, uint64_t pages)
{
	struct rusage before, after;

	getrusage(RUSAGE_SELF, &before);
	ground_seen(mapping, 0, pages);
	getrusage(RUSAGE_SELF, &after);
	return after.ru_minflt - before.ru_minflt;
}

/* The module does without where the kernel's page table walkers cannot cope with it (WINDOW_HUGE_PAGES). */
static bool module_uses_huge_pages(void)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%u.%u", &major, &minor);
	return major > 7 || (major == 7 && minor >= 3);
}

void window_huge(struct ground *ground)
{
	const uint64_t pages = 4 * HUGE;
	int fd = ground_window(ground, VFIO_WINDOW_FLAG_WRITE, 0, pages);
	uint8_t *window = raw_map(fd, PROT_READ, pages * PAGE, 0),
		*direct = raw_map(ground->vfio.device, PROT_READ, pages * PAGE, ground->bar.offset);
	long directly = faults(direct, pages), through = faults(window, pages);

	printf("# page faults for %llu pages: %ld with VFIO itself, %ld with a window\n", (unsigned long long)pages,
		directly, through);
	if (directly > (long)pages / 64)
		verdict_skip("a window has huge pages", "VFIO has none here");
	else if (!module_uses_huge_pages())
		verdict(through >= (long)pages, "a window has small pages, because this kernel is older than 7.3");
	else
		verdict(through <= (long)pages / 64, "a window has huge pages, as VFIO's own mapping has");
	munmap(window, pages * PAGE);
	munmap(direct, pages * PAGE);
	close(fd);
}
