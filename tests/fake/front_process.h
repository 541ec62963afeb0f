/* SPDX-License-Identifier: MIT */
#ifndef FRONT_PROCESS_H
#define FRONT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Fronts in a process that has a broker in it, too: the code of vfio-front without its main(). The structs of both have
 * the same names, so the fronts are behind these functions.
 */

#define FRONT_SLOTS 8

/* A new front on LIFELINE, which is taken. Returns its number, or -1: there is no slot, and nothing is taken. */
int front_process_start(int lifeline);

/* One turn of each front that runs. Returns whether there was anything to do. */
bool front_process_step(void);

/* The front is killed: nothing that it would say gets anywhere. */
void front_process_kill(size_t i);

/* The front does not get its turn any more, or does again. */
void front_process_stick(size_t i, bool stuck);

/* The front's end of its control socket, or -1. */
int front_process_control(size_t i);

/* Whether a front has the connection of SESSION. */
bool front_process_has(uint64_t session);

size_t front_process_running(void);

/* Ends all. */
void front_process_release(void);

#endif
