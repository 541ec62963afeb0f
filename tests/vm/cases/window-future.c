/* SPDX-License-Identifier: MIT */
#include "probe.h"
#include "verdict.h"
#include "window-module.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * A driver that puts another file into vma->vm_file (future_driver), as VFIO itself may do one day. The driver's
 * parameter says when: the driver's mmap() is vfio_pci_core's as long as the parameter is 0.
 */

#define PARAMETER "/sys/module/future_driver/parameters/way"

static long map(int fd, uint64_t offset)
{
	uint8_t *mapping = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	uint64_t value;

	if (mapping == MAP_FAILED)
		return -errno;
	probe_read(mapping, 8, &value);
	munmap(mapping, PAGE);
	return 0;
}

/* ---- how pages are mapped ---- */

#define LOOK	"/sys/module/future_driver/parameters/look"
#define PRESENT 0x001
#define CACHE	0x098 /* PWT, PCD, PAT: 0 is write-back, the type of memory */

static unsigned long look(const uint8_t *page)
{
	char text[32];
	unsigned long value = 0;
	FILE *file;

	snprintf(text, sizeof text, "%lu", (unsigned long)page);
	raw_write_file(LOOK, text);
	file = fopen(LOOK, "re");
	if (!file || fscanf(file, "%lu", &value) != 1)
		verdict_die(LOOK);
	fclose(file);
	return value;
}

/* Memory must not be mapped with the type of registers, or its caches would not know of one another. */
static void check_types(const struct raw_vfio *vfio, uint64_t offset)
{
	int control = raw_control();
	long fd = raw_window(control, vfio->device, VFIO_WINDOW_FLAG_ONES, offset, PAGE);
	uint8_t *page = raw_map((int)fd, PROT_READ, PAGE, 0);
	unsigned long before, after;
	uint64_t value;

	probe_read(page, 8, &value);
	before = look(page);
	verdict((before & PRESENT) && (before & CACHE), "registers are mapped as registers (%#lx)", before);
	verdict_is("the window is revoked", raw_revoke(control), 0);
	probe_read(page, 8, &value);
	after = look(page);
	verdict((after & PRESENT) && !(after & CACHE), "a page of ones is mapped as memory (%#lx)", after);
	munmap(page, PAGE);
	close((int)fd);
	close(control);
}

void window_future(void)
{
	static const char *const ways[] = {"another file", "a reference less", "open and close", "pages already there"};
	int control = raw_control();
	struct raw_vfio vfio;
	struct raw_region bar;
	long fd;

	if (access(PARAMETER, F_OK) < 0) {
		verdict_skip("a driver of the future", "there is no future_driver");
		return;
	}
	raw_write_file(PARAMETER, "0");
	raw_vfio_open(&vfio, window_memory);
	bar = raw_vfio_region(&vfio, MEMORY_BAR);
	fd = raw_window(control, vfio.device, VFIO_WINDOW_FLAG_WRITE, bar.offset, 16 * PAGE);
	verdict(fd >= 0 && map((int)fd, 0) == 0, "a driver with vfio_pci_core's mmap has windows");
	check_types(&vfio, bar.offset);
	for (unsigned way = 1; way <= sizeof ways / sizeof ways[0]; way++) {
		char text[4];
		char name[96];

		snprintf(text, sizeof text, "%u", way);
		raw_write_file(PARAMETER, text);
		snprintf(name, sizeof name, "with a mmap() of its own (%s) it has none", ways[way - 1]);
		verdict_is(name, raw_window(control, vfio.device, 0, bar.offset, PAGE), -EOPNOTSUPP);
		snprintf(name, sizeof name, "should VFIO itself do that (%s), a window is not mapped", ways[way - 1]);
		verdict_is(name, map((int)fd, 0), -EOPNOTSUPP);
		raw_write_file(PARAMETER, "0");
		verdict(map((int)fd, 0) == 0, "and all is undone: it can be mapped when VFIO does no more");
	}
	verdict_is("it is revoked", raw_revoke(control), 0);
	verdict_is("and its mapping refused", map((int)fd, 0), -ENODEV);
	close((int)fd);
	close(control);
	raw_vfio_close(&vfio);
}
