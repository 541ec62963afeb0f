/* SPDX-License-Identifier: MIT */
/*
 * window-module MEMORY PORTS RESETABLE LARGE [SUBJECT]...: whether the kernel module vfio_window does what it should,
 * on the devices of these PCI addresses (window-module.h says what they must have), which vfio-pci has and nobody uses.
 * Root only.
 */
#include "window-module.h"
#include "probe.h"
#include "verdict.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const char *window_memory, *window_ports, *window_resetable, *window_large;

uint64_t ground_mark(uint64_t index)
{
	return 0x5aa5b44bc33c0000 | index;
}

void ground_open(struct ground *ret)
{
	raw_vfio_open(&ret->vfio, window_memory);
	ret->bar = raw_vfio_region(&ret->vfio, MEMORY_BAR);
	ret->control = raw_control();
	ret->direct = raw_map(ret->vfio.device, PROT_READ | PROT_WRITE, ret->bar.size, ret->bar.offset);
	for (uint64_t i = 0; i < ret->bar.size / PAGE; i++)
		*(volatile uint64_t *)(ret->direct + i * PAGE) = ground_mark(i);
}

void ground_close(struct ground *ground)
{
	munmap(ground->direct, ground->bar.size);
	close(ground->control);
	raw_vfio_close(&ground->vfio);
}

int ground_window(const struct ground *ground, uint32_t flags, uint64_t first, uint64_t pages)
{
	long fd = raw_window(
		ground->control, ground->vfio.device, flags, ground->bar.offset + first * PAGE, pages * PAGE);

	if (fd < 0)
		verdict_die("a window");
	return (int)fd;
}

bool ground_seen(const uint8_t *address, uint64_t first, uint64_t pages)
{
	uint64_t value;

	for (uint64_t i = 0; i < pages; i++)
		if (probe_read(address + i * PAGE, 8, &value) != 0 || value != ground_mark(first + i))
			return false;
	return true;
}

uint64_t ground_count(const uint8_t *address, uint64_t pages, unsigned width, int signal, uint64_t value)
{
	uint64_t count = 0, got = 0;

	for (uint64_t i = 0; i < pages; i++) {
		int came = probe_read(address + i * PAGE, width, &got);

		count += signal ? came == signal : came == 0 && got == value;
	}
	return count;
}

static const struct {
	const char *name;
	void (*with_ground)(struct ground *ground);
	void (*alone)(void);
	bool only_by_name;
} subjects[] = {
	{"creation", .with_ground = window_creation},
	{"mapping", .with_ground = window_mapping},
	{"walkers", .with_ground = window_walkers},
	{"revocation", .alone = window_revocation},
	{"others", .with_ground = window_others},
	{"ones", .with_ground = window_ones},
	{"ones-race", .with_ground = window_ones_race},
	{"enable", .with_ground = window_enable},
	{"reset", .with_ground = window_reset},
	{"huge", .with_ground = window_huge},
	{"softdirty", .with_ground = window_softdirty},
	{"flood", .with_ground = window_flood},
	{"starved", .alone = window_starved},
	{"pud", .alone = window_pud},
	{"dma", .with_ground = window_dma},
	{"iommufd", .with_ground = window_iommufd},
	{"leftover", .alone = window_leftover},
	{"future", .alone = window_future, .only_by_name = true},
};

int main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "window-module MEMORY PORTS RESETABLE LARGE [SUBJECT]...\n");
		return 2;
	}
	window_memory = argv[1];
	window_ports = argv[2];
	window_resetable = argv[3];
	window_large = argv[4];
	probe_init();
	for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
		struct ground ground;
		bool wanted = argc == 5 && !subjects[i].only_by_name;

		for (int j = 5; j < argc; j++)
			wanted |= strcmp(argv[j], subjects[i].name) == 0;
		if (!wanted)
			continue;
		if (subjects[i].alone) {
			subjects[i].alone();
			continue;
		}
		ground_open(&ground);
		subjects[i].with_ground(&ground);
		ground_close(&ground);
	}
	return verdict_failures > 0;
}
