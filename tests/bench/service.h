/* SPDX-License-Identifier: MIT */
#ifndef BENCH_SERVICE_H
#define BENCH_SERVICE_H

#include "vfio-broker.h"

#include <sys/types.h>

/* The only device of the fake host, bound to vfio-pci already. */
#define SERVICE_DEVICE	"0000:01:00.0"
#define SERVICE_LIMITED 1000 /* a user whose connections are limited by the policy */

/* The programs under test. */
struct programs {
	const char *broker, *keeper, *helper;
	const char *broker_fake, *keeper_fake, *helper_fake;
	const char *front;
};

/* A broker and what starts its keepers, fronts and helpers (systemd-socket-activate), all on the servers' processor. */
struct service {
	char directory[80];
	char socket[108];
	char keeper_socket[108];
	char front_socket[108];
	char helper_socket[108];
	pid_t broker;
	pid_t activator;	 /* 0: none; its children are the keepers */
	pid_t activator_fronts;	 /* the same of fronts */
	pid_t activator_helpers; /* the same of helpers */
	pid_t reader;		 /* the same of readers of the policy */
};

/*
 * Starts it, with absolute paths of programs, in DIRECTORY, which is made, and waits until it is ready. The fake
 * broker finds its fake host there; to others it means nothing. All of it ends with this process, however that ends.
 */
void service_start(struct service *service, const char *directory, const char *broker, const char *keeper,
	const char *front, const char *helper);
void service_stop(struct service *service);

/* A connection. */
struct vbroker_session *service_connect(const struct service *service);

/* Waits until a spare keeper has started and answered. */
void service_await_spare(struct vbroker_session *session);

/* The pid of a keeper; of the front that has the connections of this process: the oldest one. */
pid_t service_keeper(const struct service *service);
pid_t service_front(const struct service *service);

/* The pid of the oldest helper. */
pid_t service_helper(const struct service *service);

/* The bytes of all rolls of the broker: memory of the kernel's, that no process has mapped. */
unsigned long service_rolls(const struct service *service);

/* Exits unless RESULT, of a library call, is 0. */
void must(int result, const char *what);

#endif
