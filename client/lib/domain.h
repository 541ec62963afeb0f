/* SPDX-License-Identifier: MIT */
#ifndef LIB_DOMAIN_H
#define LIB_DOMAIN_H

#include "domain_kernel.h"
#include "memory.h"
#include "vfio-broker.h"

#include <stdbool.h>

/* vbroker_domain_open() on another kernel, for tests. */
int domain_open_on(const struct domain_kernel *kernel, struct vbroker_domain **ret_domain);

/* True if FD is an open /dev/vfio/vfio. Asks only the kernel, never whoever may be behind a file system. */
bool domain_is_domain(int fd);

struct remote;

/* What a domain behind a channel is asked through; NULL: it is this process's own. */
struct remote *domain_remote(const struct vbroker_domain *domain);

/* Its vbroker_memory objects. */
struct memory_list *domain_memories(struct vbroker_domain *domain);

/* Who wants to know of mappings that end by other means than its own. */
struct domain_watcher {
	LIST_ENTRY(domain_watcher) in_domain;
	/* No mapping that there was has an IOVA in FIRST ... LAST any more. Called from within any function on the domain. */
	void (*ended)(struct domain_watcher *watcher, uint64_t first, uint64_t last);
};

void domain_watch(struct vbroker_domain *domain, struct domain_watcher *watcher);
void domain_unwatch(struct domain_watcher *watcher);

/* Around a BIND: forgets the mappings of a former life if all devices have left since; then, that a device has come. */
void domain_before_bind(struct vbroker_domain *domain);
void domain_after_bind(struct vbroker_domain *domain);

#endif
