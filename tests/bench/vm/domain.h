/* SPDX-License-Identifier: MIT */
#ifndef BENCH_DOMAIN_H
#define BENCH_DOMAIN_H

/*
 * What memory costs a driver that has a domain channel, compared with the system call that its owner makes of it. FEW
 * and MANY are two devices of one kind, each leased by an owner of its own; the second one's domain gets 60,000
 * mappings.
 */
void bench_domain(const char *few, const char *many);

/* Ends the program, and says why, if RESULT is not 0 but what a vbroker function returned. */
void must(int result, const char *what);

#endif
