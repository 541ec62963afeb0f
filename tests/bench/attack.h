/* SPDX-License-Identifier: MIT */
#ifndef BENCH_ATTACK_H
#define BENCH_ATTACK_H

/* What a hostile user does to a broker, for as long as it is let. */
struct attack {
	const char *name;

	/* By the broker's socket at PATH, about DEVICE. Does not return. */
	void (*run)(const char *path, const char *device);
};

#define ATTACKS 5

extern const struct attack attacks[ATTACKS];

/* A connection that has said HELLO, and may have been turned away. Ends the process without one. */
int attack_connect(const char *path);

#endif
