/* SPDX-License-Identifier: MIT */
/*
 * stalled-file PATH UID: turns PATH, an empty regular file, into one of a FUSE file system that this program serves
 * until it is killed: it can be opened and mapped, but reading it is never answered, nor is flushing it, which is what
 * close() does, except for UID. Prints "ready". Root only.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static union {
	struct fuse_in_header header;
	uint8_t bytes[FUSE_MIN_READ_BUFFER + (1 << 17)];
} request;

static void answer(int fuse, int error, void *payload, size_t size)
{
	struct fuse_out_header out = {(uint32_t)(sizeof out + size), error, request.header.unique};
	struct iovec parts[] = {{&out, sizeof out}, {payload, size}};

	/* Who asked may have been interrupted meanwhile (ENOENT). */
	(void)!writev(fuse, parts, size > 0 ? 2 : 1);
}

static void answer_init(int fuse)
{
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 4096};

	answer(fuse, 0, &out, sizeof out);
}

static void answer_attributes(int fuse)
{
	struct fuse_attr_out out = {
		.attr_valid = 3600, .attr = {.ino = 1, .mode = S_IFREG | 0666, .nlink = 1, .size = 65536}};

	answer(fuse, 0, &out, sizeof out);
}

static void answer_open(int fuse)
{
	struct fuse_open_out out = {.fh = 1};

	answer(fuse, 0, &out, sizeof out);
}

static void serve(int fuse, uint32_t friend)
{
	switch (request.header.opcode) {
	case FUSE_INIT:
		answer_init(fuse);
		break;
	case FUSE_GETATTR:
		answer_attributes(fuse);
		break;
	case FUSE_OPEN:
		answer_open(fuse);
		break;
	case FUSE_FLUSH: /* one trap */
		if (request.header.uid == friend)
			answer(fuse, 0, NULL, 0);
		break;
	case FUSE_READ: /* the other */
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	default:
		answer(fuse, -ENOSYS, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	char options[128];
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (argc != 3 || fuse < 0) {
		perror("stalled-file PATH UID: /dev/fuse");
		return 2;
	}
	snprintf(options, sizeof options, "fd=%d,rootmode=100666,user_id=0,group_id=0,allow_other", fuse);
	if (mount("stalled", argv[1], "fuse.stalled", MS_NOSUID | MS_NODEV, options) < 0) {
		perror(argv[1]);
		return 2;
	}
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		ssize_t size = read(fuse, request.bytes, sizeof request.bytes);

		if (size >= (ssize_t)sizeof request.header)
			serve(fuse, (uint32_t)atoi(argv[2]));
		else if (size < 0 && errno != EINTR && errno != ENOENT && errno != EAGAIN)
			return 1;
	}
}
