/* SPDX-License-Identifier: MIT */
/*
 * nvme-read DEVICE: reads an NVMe disk from a process without root, without a kernel driver: queues, doorbells,
 * interrupts and DMA are driven from here (nvme.c).
 */
#include "nvme.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_DEFAULT 8
#define DEPTH_MAX     1024
#define NO_WINDOW     256 /* options without a letter */
#define NO_SANDBOX    257
/* Larger reads bring nothing but more pinned memory; QEMU and most disks allow 512 KiB or less anyway. */
#define TRANSFER_MAX (512U << 10)

static const char usage[] = "usage: nvme-read [OPTION]... DEVICE    (a PCI address: 0000:02:00.0)\n"
			    "  -n, --namespace N     default: the first active one\n"
			    "  -o, --output FILE     default: standard output\n"
			    "  -s, --offset BYTES    where to begin, default 0 (suffixes K, M, G)\n"
			    "  -l, --length BYTES    default: to the end\n"
			    "  -q, --queue-depth N   reads under way, default 8\n"
			    "      --no-window       rings doorbells by commands, also where it could have a window\n"
			    "      --no-sandbox      does not give up files, sockets and the like before it reads\n";

struct options {
	const char *device;
	const char *output;
	uint32_t namespace;
	uint64_t offset;
	uint64_t length;
	unsigned int depth;
	bool window;
	bool sandbox;
};

/* A job of reading. Reads are numbered; read i is in slot i % depth, so that reads can be written in order. */
struct job {
	struct nvme *nvme;
	struct nvme_namespace namespace;
	int output;
	uint64_t offset; /* bytes, as asked for */
	uint64_t length;
	uint64_t first_block;
	uint64_t end_block;
	uint32_t blocks_per_read;
	uint64_t reads;	    /* all there are */
	bool cut;	    /* there were more */
	uint64_t submitted; /* reads */
	uint64_t written;   /* reads */
	uint64_t bytes;	    /* written */
	bool *complete;	    /* per slot */
	struct timespec start;
	double progress_at; /* when to show the progress again; below 0: never */
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* ---- words ---- */

static int complain(const char *what, int result, const struct nvme *nvme)
{
	char text[512];

	if (nvme && nvme->problem[0]) {
		fprintf(stderr, "nvme-read: %s: %s\n", what, nvme->problem);
		return 1;
	}
	fprintf(stderr, "nvme-read: %s: %s\n", what, vbroker_describe_result(result, text, sizeof text));
	if (result > 0)
		fprintf(stderr, "nvme-read: what can be done: %s\n", vbroker_refusal_advice(result));
	return 1;
}

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void show_progress(struct job *job)
{
	double seconds;

	if (job->progress_at < 0)
		return;
	seconds = seconds_since(&job->start);
	if (seconds < job->progress_at)
		return;
	job->progress_at = seconds + 0.2;
	fprintf(stderr, "\r%3.0f %%  %.1f MiB/s ", 100.0 * (double)job->bytes / (double)job->length,
		(double)job->bytes / 1048576 / seconds);
}

/* How doorbells were rung. */
static void show_doorbells(const struct nvme *nvme)
{
	const struct registers *registers = &nvme->registers;

	fprintf(stderr, "doorbells: rung %" PRIu64 " times %s%s%s\n", nvme->rings,
		registers->window ? "through a register window" : "by commands",
		registers->no_window[0] ? ", because: " : "", registers->no_window);
}

/* Shows how the driver's next register access ends. */
static void show_window_end(struct nvme *nvme)
{
	uint32_t value;

	if (nvme->registers.window && registers_read(&nvme->registers, 0, &value) == 0)
		fprintf(stderr, "nvme-read: the register window has been taken back, too: it reads %#x\n", value);
}

static void show_summary(const struct job *job)
{
	double seconds = seconds_since(&job->start);

	fprintf(stderr,
		"%s%" PRIu64 " bytes in %.3f s, %.1f MiB/s, %" PRIu64
		" commands of up to %u KiB, queue depth %u, %" PRIu64 " interrupts\n",
		job->progress_at < 0 ? "" : "\r", job->bytes, seconds, (double)job->bytes / 1048576 / seconds,
		job->submitted, job->blocks_per_read * job->namespace.block_size / 1024, job->nvme->depth,
		job->nvme->interrupts);
}

/* ---- reading ---- */

static uint64_t first_block_of(const struct job *job, uint64_t read)
{
	return job->first_block + read * job->blocks_per_read;
}

static uint32_t blocks_of(const struct job *job, uint64_t read)
{
	uint64_t left = job->end_block - first_block_of(job, read);

	return left < job->blocks_per_read ? (uint32_t)left : job->blocks_per_read;
}

static void submit(struct job *job)
{
	while (job->submitted < job->reads && job->submitted - job->written < job->nvme->depth) {
		unsigned int slot = (unsigned int)(job->submitted % job->nvme->depth);

		job->complete[slot] = false;
		nvme_read(job->nvme, slot, &job->namespace, first_block_of(job, job->submitted),
			blocks_of(job, job->submitted));
		job->submitted++;
	}
}

static int write_all(int fd, const uint8_t *data, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno == EINTR && !stopped)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

/* Blocks are read whole; of the first and the last block, only the requested part is written. */
static int write_read(struct job *job, uint64_t read)
{
	unsigned int slot = (unsigned int)(read % job->nvme->depth);
	uint64_t size = job->namespace.block_size;
	uint64_t begin = first_block_of(job, read) * size;
	uint64_t end = begin + blocks_of(job, read) * size;
	uint64_t from = begin < job->offset ? job->offset : begin;
	uint64_t to = end > job->offset + job->length ? job->offset + job->length : end;
	int r = write_all(job->output, nvme_data(job->nvme, slot) + (from - begin), (size_t)(to - from));

	if (r < 0) {
		if (!stopped)
			fprintf(stderr, "nvme-read: writing the output: %s\n", strerror(-r));
		return r;
	}
	job->bytes += to - from;
	return 0;
}

static int write_complete(struct job *job)
{
	while (job->written < job->submitted && job->complete[job->written % job->nvme->depth]) {
		int r = write_read(job, job->written);

		if (r < 0)
			return r;
		job->complete[job->written % job->nvme->depth] = false;
		job->written++;
		show_progress(job);
	}
	return 0;
}

static int say_interrupted(const struct job *job)
{
	fprintf(stderr, "%snvme-read: interrupted; shutting the controller down\n", job->progress_at < 0 ? "" : "\n");
	return 130;
}

/* The device will be taken back: no read is begun any more, reads under way are finished, and the rest is left. */
static void finish_early(struct job *job)
{
	struct vbroker_notice notice;
	char text[512];
	int r = job->cut ? 0 : vbroker_device_notice(job->nvme->device, &notice);

	/* No time left: the next request says so, too. */
	if (r != VBROKER_REVOKED || notice.left_us == 0)
		return;
	vbroker_describe_result(r, text, sizeof text);
	fprintf(stderr, "%snvme-read: stopping at block %" PRIu64 ", with %" PRIu64 " ms left: %s\n",
		job->progress_at < 0 ? "" : "\n", first_block_of(job, job->submitted), notice.left_us / 1000, text);
	job->cut = true;
	job->reads = job->submitted;
}

/* Returns the exit code. */
static int run(struct job *job)
{
	unsigned int slot;
	int r;

	clock_gettime(CLOCK_MONOTONIC, &job->start);
	for (;;) {
		finish_early(job);
		if (job->written >= job->reads)
			break;
		submit(job);
		r = stopped ? -EINTR : nvme_wait(job->nvme, &slot);
		if (r == -EINTR && !stopped)
			continue;
		if (r == VBROKER_REVOKED || r == VBROKER_GONE)
			show_window_end(job->nvme);
		if (r != 0 && r != -EINTR)
			return complain("reading", r, job->nvme);
		if (r == 0) {
			job->complete[slot] = true;
			r = write_complete(job);
		}
		if (r < 0)
			return stopped ? say_interrupted(job) : 1;
	}
	show_summary(job);
	show_doorbells(job->nvme);
	return job->cut ? 1 : 0;
}

/* Cuts the job to the size of the namespace, and into reads. */
static int plan(struct job *job, const struct options *options)
{
	uint64_t size = job->namespace.blocks * job->namespace.block_size;

	if (options->offset >= size) {
		fprintf(stderr, "nvme-read: the offset is beyond the end of namespace %u (%" PRIu64 " bytes)\n",
			job->namespace.id, size);
		return -1;
	}
	job->offset = options->offset;
	job->length = options->length < size - options->offset ? options->length : size - options->offset;
	job->first_block = job->offset / job->namespace.block_size;
	job->end_block = (job->offset + job->length + job->namespace.block_size - 1) / job->namespace.block_size;
	job->blocks_per_read = (uint32_t)(job->nvme->slot_size / job->namespace.block_size);
	job->reads = (job->end_block - job->first_block + job->blocks_per_read - 1) / job->blocks_per_read;
	job->complete = calloc(job->nvme->depth, sizeof *job->complete);
	return job->complete ? 0 : -1;
}

static int read_disk(struct nvme *nvme, const struct options *options, int output)
{
	struct job job = {.nvme = nvme, .output = output, .progress_at = isatty(STDERR_FILENO) ? 0 : -1};
	int r;

	r = nvme_namespace(nvme, options->namespace, &job.namespace);
	if (r != 0)
		return complain("identifying the namespace", r, nvme);
	fprintf(stderr, "%s: %s, serial %s, firmware %s; namespace %u: %" PRIu64 " blocks of %u bytes\n",
		options->device, nvme->model, nvme->serial, nvme->firmware, job.namespace.id, job.namespace.blocks,
		job.namespace.block_size);
	r = nvme_start_io(nvme, options->depth, TRANSFER_MAX);
	if (r != 0)
		return complain("making the I/O queues", r, nvme);
	r = plan(&job, options) < 0 ? 1 : run(&job);
	free(job.complete);
	return r;
}

static int drive(const struct options *options, int output)
{
	struct vbroker_device *device;
	struct nvme nvme;
	bool passed;
	int r;

	/* Started by "vfio-brokerctl drive", this program has inherited its channels. */
	r = vbroker_open_inherited(getenv("LISTEN_FDNAMES"), options->device, &device);
	passed = r == 0;
	if (r == -ENOENT)
		r = vbroker_open(options->device, &device);
	if (r != 0)
		return complain(options->device, r, NULL);
	r = nvme_open(&nvme, device, options->window);
	/* All files are open, and the memory comes from the domain's owner. Whatever the disk sends, there is little
	 * to make of this process from here on. */
	if (r == 0 && passed && options->sandbox)
		r = vbroker_sandbox_enter();
	r = r == 0 ? read_disk(&nvme, options, output) : complain("starting the controller", r, &nvme);
	nvme_close(&nvme);
	vbroker_device_close(device);
	return r;
}

/* ---- the command line ---- */

static int parse_size(const char *text, uint64_t *ret_size)
{
	static const char suffixes[] = "KMG";
	char *end;
	unsigned int shift = 0;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno != 0 || end == text || text[0] == '-')
		return -1;
	if (*end != '\0') {
		const char *suffix = strchr(suffixes, *end);

		if (!suffix || end[1] != '\0')
			return -1;
		shift = 10 * (unsigned int)(suffix - suffixes + 1);
	}
	if (value > UINT64_MAX >> shift)
		return -1;
	*ret_size = value << shift;
	return 0;
}

static int parse_number(const char *text, uint64_t max, uint32_t *ret_number)
{
	uint64_t value;

	if (parse_size(text, &value) < 0 || value == 0 || value > max)
		return -1;
	*ret_number = (uint32_t)value;
	return 0;
}

static int parse_option(struct options *options, int option)
{
	switch (option) {
	case 'n':
		return parse_number(optarg, UINT32_MAX - 1, &options->namespace);
	case 'o':
		options->output = optarg;
		return 0;
	case 's':
		return parse_size(optarg, &options->offset);
	case 'l':
		return parse_size(optarg, &options->length) < 0 || options->length == 0 ? -1 : 0;
	case NO_SANDBOX:
		options->sandbox = false;
		return 0;
	case NO_WINDOW:
		options->window = false;
		return 0;
	case 'q':
		return parse_number(optarg, DEPTH_MAX, &options->depth);
	default:
		return -1;
	}
}

static int parse(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{"namespace", required_argument, NULL, 'n'},
		{"output", required_argument, NULL, 'o'},
		{"offset", required_argument, NULL, 's'},
		{"length", required_argument, NULL, 'l'},
		{"queue-depth", required_argument, NULL, 'q'},
		{"no-window", no_argument, NULL, NO_WINDOW},
		{"no-sandbox", no_argument, NULL, NO_SANDBOX},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "n:o:s:l:q:", names, NULL)) != -1) {
		if (parse_option(options, option) < 0)
			return -1;
	}
	if (optind != argc - 1)
		return -1;
	options->device = argv[optind];
	return 0;
}

int main(int argc, char **argv)
{
	struct options options = {.length = UINT64_MAX, .depth = DEPTH_DEFAULT, .window = true, .sandbox = true};
	struct sigaction action = {.sa_handler = stop}; /* no SA_RESTART: a wait ends */
	int output = STDOUT_FILENO;
	int r;

	if (parse(argc, argv, &options) < 0) {
		fputs(usage, stderr);
		return 2;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (options.output)
		output = open(options.output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (output < 0) {
		fprintf(stderr, "nvme-read: %s: %s\n", options.output, strerror(errno));
		return 1;
	}
	r = drive(&options, output);
	if (options.output && close(output) < 0 && r == 0) {
		fprintf(stderr, "nvme-read: %s: %s\n", options.output, strerror(errno));
		r = 1;
	}
	return r;
}
