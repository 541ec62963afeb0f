/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_SERVICE_KEEPERS_H
#define FUZZ_SERVICE_KEEPERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Keepers on the fake kernel, for a program that has a broker in it. They are a shared library of their own, because
 * both daemons have a group.c and a keeper.c, and because a keeper shares nothing with the broker but sockets.
 */

#define KEEPERS_SLOTS 6

/* Once, and before each input: nobody is there, nothing fails. */
void keepers_init(void);

/* A new process on CHANNEL, which is taken. Returns -1 if there is no slot, and takes nothing. */
int keepers_start(int channel);

/* A few turns of keeper I. True: it did something. */
bool keepers_step(size_t i);

/* It is killed: the kernel takes back what it had, nobody says a word. */
void keepers_kill(size_t i);

/* It does not get its turn any more, as when it hangs in the kernel; or does again. */
void keepers_stick(size_t i, bool stuck);

/* Those that run. */
size_t keepers_running(void);

/* Keepers that have the group, and leases that serve the device NAME: more than one is one too many. */
size_t keepers_with_group(uint32_t group);
size_t keepers_with_device(const char *name);

/* ---- the kernel under them ---- */

/* The group NUMBER with its devices (NULL ends them), in a file that is the caller's. */
int keepers_group(uint32_t number, const char *const *names);
int keepers_container(void);

/* The next calls of this kind (fake/container.h; modulo their number) fail with ERROR, or no more with 0. */
void keepers_fail(unsigned int step, int error);

/* The host wants the devices of GROUP_FD back; its devices do not answer any more, or do again. */
void keepers_request(int group_fd);
void keepers_vanish(int group_fd, bool vanished);

/* There is no way to reset its device NAME, for good. */
void keepers_make_stubborn(int group_fd, const char *name);

/* Whether anybody has a device of that name in the group open. */
bool keepers_opened(int group_fd, const char *name);

/* The group is as the kernel leaves it when nobody uses it. Its registers are cleared. */
bool keepers_group_idle(int group_fd);

#endif
