/* SPDX-License-Identifier: MIT */
/*
 * reads DEVICE COUNT: random reads of 4 KiB by the NVMe driver of client/examples, whose doorbells go through a window.
 * Prints the nanoseconds until the first DMA, which is the controller's answer to Identify, and those that one read
 * takes, the median at queue depth 1 and the mean at 32. Linked with the library, and with direct.c.
 */
#include "nvme.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SIZE  4096U
#define DEPTH 32U

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void must(int result, const char *what, const struct nvme *nvme)
{
	char text[256];

	if (result == 0)
		return;
	fprintf(stderr, "reads: %s: %s %s\n", what, vbroker_describe_result(result, text, sizeof text),
		nvme ? nvme->problem : "");
	exit(1);
}

static void submit(struct nvme *nvme, unsigned int slot, const struct nvme_namespace *namespace)
{
	static uint64_t random = 88172645463325252; /* xorshift64: the same blocks for everybody */
	uint32_t blocks = SIZE / namespace->block_size;

	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	nvme_read(nvme, slot, namespace, random % (namespace->blocks / blocks) * blocks, blocks);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t depth_1(struct nvme *nvme, const struct nvme_namespace *namespace, size_t count)
{
	uint64_t *ns = calloc(count, sizeof *ns), median;
	unsigned int slot;

	for (size_t i = 0; ns && i < count; i++) {
		uint64_t start = now_ns();

		submit(nvme, 0, namespace);
		must(nvme_wait(nvme, &slot), "depth 1", nvme);
		ns[i] = now_ns() - start;
	}
	if (!ns)
		exit(1);
	qsort(ns, count, sizeof *ns, compare);
	median = ns[count / 2];
	free(ns);
	return median;
}

static uint64_t depth_32(struct nvme *nvme, const struct nvme_namespace *namespace, size_t count)
{
	uint64_t start = now_ns();
	unsigned int slot;

	for (slot = 0; slot < DEPTH; slot++)
		submit(nvme, slot, namespace);
	for (size_t i = 0; i < count; i++) {
		must(nvme_wait(nvme, &slot), "depth 32", nvme);
		submit(nvme, slot, namespace);
	}
	start = now_ns() - start;
	for (unsigned int i = 0; i < DEPTH; i++)
		must(nvme_wait(nvme, &slot), "depth 32", nvme);
	return start / count;
}

int main(int argc, char **argv)
{
	struct vbroker_device *device;
	struct nvme_namespace namespace;
	struct nvme nvme;
	uint64_t start;
	size_t count;

	if (argc != 3)
		return 2;
	count = strtoul(argv[2], NULL, 10);
	start = now_ns();
	must(vbroker_open(argv[1], &device), argv[1], NULL);
	must(nvme_open(&nvme, device, true), "controller", &nvme);
	printf("%llu ", (unsigned long long)(now_ns() - start));
	must(nvme_namespace(&nvme, 0, &namespace), "namespace", &nvme);
	must(nvme_start_io(&nvme, DEPTH, SIZE), "queues", &nvme);
	if (!nvme.registers.window) {
		fprintf(stderr, "reads: no window: %s\n", nvme.registers.no_window);
		return 1;
	}
	/* A lease has systemd start the next spare keeper: not while something is measured. */
	sleep(1);
	depth_1(&nvme, &namespace, count / 4); /* to warm up */
	printf("%llu", (unsigned long long)depth_1(&nvme, &namespace, count));
	printf(" %llu\n",
		(unsigned long long)depth_32(&nvme, &namespace, 8 * count)); /* each is over that much sooner */
	nvme_close(&nvme);
	vbroker_device_close(device);
	return 0;
}
