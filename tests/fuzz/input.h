/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bytes that libFuzzer made up, eaten from the front. */
struct input {
	const uint8_t *bytes;
	size_t left;
};

/* Returns 0 when nothing is left. */
uint8_t input_byte(struct input *input);
/* Copies at most SIZE bytes; returns how many. */
size_t input_bytes(struct input *input, void *buffer, size_t size);

/*
 * A packet, as fuzzed: written raw, because packet_send() makes only good ones.
 *
 * 	1 byte		what to do with the header: see enum input_header
 * 	1 byte		low 3 bits: how many descriptors; others: which is the first; 255: as many as the kernel takes
 * 	2 bytes		how many bytes follow
 * 	these bytes	header and payload
 */
enum input_header {
	INPUT_LENGTH_RIGHT = 1 << 0, /* the header's length becomes right */
	INPUT_COOKIE_RIGHT = 1 << 1, /* its cookie becomes the one that is given */
	INPUT_IS_REPLY = 1 << 2,     /* its flags become those of a reply */
};

struct input_packet {
	size_t length;
	unsigned int fds, first_fd;
	uint8_t bytes[70000];
};

/* Reads the next packet. Returns false when the input is at its end. */
bool input_packet(struct input *input, uint64_t cookie, struct input_packet *packet);

/* Sends it without waiting, with as many descriptors as it wants: of the COUNT in FDS, in turn. True: it was sent. */
bool input_send(int socket, const struct input_packet *packet, const int *fds, size_t count);

/* Receives and closes whatever has come. Returns how many packets. */
unsigned int input_drain(int socket);

/* How many file descriptors are open: if it is another number afterwards, somebody has lost one. */
unsigned int input_open_fds(void);

/* A target that is made anew for each input, and told to do the steps of it. */
struct input_run {
	void (*start)(void);
	void (*step)(struct input *input);
	void (*finish)(void);
	int steps_max;
};

/* Does all of that, and looks for lost file descriptors. */
void input_run(const struct input_run *run, const uint8_t *data, size_t size);

/* Ends the process with a report if CONDITION does not hold. */
#define INPUT_ASSERT(condition)                                                                                        \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#endif
