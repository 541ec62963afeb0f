/* SPDX-License-Identifier: MIT */
#include "plain.h"

#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORIES 1024

/* Header and array, as they are on the wire. */
struct plain_packet {
	struct message_header header;
	struct array_header array;
	uint8_t elements[MESSAGE_PAYLOAD_MAX - sizeof(struct array_header)];
};

static struct {
	int domain;
	uint64_t next; /* IOVA */
	struct {
		uint8_t *address; /* NULL: none */
		size_t length;
	} memories[MEMORIES];
	struct plain_packet request, reply;
	int fd; /* that came with the request, or -1 */
} plain;

/* As the library must: a memfd that cannot shrink, and how long it is. */
static uint32_t take_memory(int fd)
{
	struct stat status;
	uint32_t i = 0;

	while (i < MEMORIES && plain.memories[i].address)
		i++;
	if (i == MEMORIES || !(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK) || fstat(fd, &status) < 0)
		_exit(EXIT_FAILURE);
	plain.memories[i].length = (size_t)status.st_size;
	plain.memories[i].address = mmap(NULL, plain.memories[i].length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (plain.memories[i].address == MAP_FAILED)
		_exit(EXIT_FAILURE);
	close(fd);
	return i + 1;
}

static struct map_result map(const struct map_element *element)
{
	uint32_t handle = element->flags & MAP_NEW_MEMORY ? take_memory(plain.fd) : element->handle;
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof map,
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)plain.memories[handle - 1].address + element->offset,
		.iova = plain.next,
		.size = element->length,
	};

	if (ioctl(plain.domain, VFIO_IOMMU_MAP_DMA, &map) < 0)
		_exit(EXIT_FAILURE);
	plain.next += element->length;
	return (struct map_result){0, handle, map.iova};
}

static void unmap(const struct unmap_element *element)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof unmap, .iova = element->iova, .size = element->length};

	if (ioctl(plain.domain, VFIO_IOMMU_UNMAP_DMA, &unmap) < 0)
		_exit(EXIT_FAILURE);
}

static void forget(uint32_t handle)
{
	munmap(plain.memories[handle - 1].address, plain.memories[handle - 1].length);
	plain.memories[handle - 1].address = NULL;
}

/* Returns the size of the results. */
static size_t serve_elements(void)
{
	const struct map_element *maps = (const void *)plain.request.elements;
	const struct unmap_element *unmaps = (const void *)plain.request.elements;
	const struct forget_element *forgets = (const void *)plain.request.elements;
	struct map_result *results = (void *)plain.reply.elements;
	uint32_t count = plain.request.array.count;

	if (plain.request.header.type == DOMAIN_MAP) {
		for (uint32_t i = 0; i < count; i++)
			results[i] = map(&maps[i]);
		return count * sizeof *results;
	}
	/* What is unmapped here is what was mapped last. */
	if (plain.request.header.type == DOMAIN_UNMAP)
		plain.next = unmaps[0].iova;
	for (uint32_t i = 0; i < count; i++) {
		if (plain.request.header.type == DOMAIN_UNMAP)
			unmap(&unmaps[i]);
		else
			forget(forgets[i].handle);
	}
	memset(plain.reply.elements, 0, count * sizeof(struct element_result));
	return count * sizeof(struct element_result);
}

static ssize_t receive(int channel)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec bytes = {&plain.request, sizeof plain.request};
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	ssize_t size = recvmsg(channel, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (size > 0 && message.msg_controllen > 0)
		memcpy(&plain.fd, CMSG_DATA(&control.header), sizeof plain.fd);
	return size;
}

void plain_serve(int channel, int domain, uint64_t next)
{
	struct pollfd p = {.fd = channel, .events = POLLIN};

	plain.domain = domain;
	plain.next = next;
	while (poll(&p, 1, -1) == 1 && receive(channel) > 0) {
		size_t size = sizeof plain.reply.array + serve_elements();

		plain.reply.header = (struct message_header){.length = (uint32_t)size,
			.type = plain.request.header.type,
			.flags = MESSAGE_REPLY,
			.cookie = plain.request.header.cookie};
		plain.reply.array = (struct array_header){0, plain.request.array.count};
		if (send(channel, &plain.reply, sizeof plain.reply.header + size, 0) < 0)
			break;
	}
}
