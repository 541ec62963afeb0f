/* SPDX-License-Identifier: MIT */
#ifndef DOMAIN_SERVER_BENCH_H
#define DOMAIN_SERVER_BENCH_H

#include "container.h"
#include "domain_bench.h"
#include "packet.h"
#include "unit.h"
#include "vfio-broker.h"

/*
 * A served domain that is bound, or not yet, with a driver that sends raw packets; and a second channel of the same
 * domain.
 */

static struct bench bench;

static inline int set_up_unbound(void **state)
{
	bench_start_bare(&bench);
	bench_serve(&bench, BUDGET_BYTES, BUDGET_MAPPINGS, BUDGET_MEMORIES);
	*state = &bench;
	return 0;
}

static inline int set_up(void **state)
{
	set_up_unbound(state);
	bench_attach(*state);
	return 0;
}

static inline int tear_down(void **state)
{
	bench_end(*state);
	return 0;
}

/* With another budget than the usual one. */
static inline void serve_again(struct bench *b, uint64_t bytes, uint32_t mappings, uint32_t memories)
{
	vbroker_domain_server_close(b->server);
	close(b->driver.fd);
	bench_serve(b, bytes, mappings, memories);
}

/* ---- a second channel of the same domain ---- */

static struct bench others; /* only its server and driver are of its own */

static inline void start_others(struct bench *b)
{
	others.domain = b->domain;
	others.group = b->group;
	packet_init(&others.driver.packet);
	bench_serve(&others, BUDGET_BYTES, BUDGET_MAPPINGS, BUDGET_MEMORIES);
}

static inline void end_others(void)
{
	vbroker_domain_server_close(others.server);
	close(others.driver.fd);
}

/* ---- the good case ---- */

static inline char *as_the_device_sees_it(const struct bench *b, uint64_t iova)
{
	const struct fake_mapping *mapping = bench_mapping(b, iova);

	assert_non_null(mapping);
	return (char *)(uintptr_t)mapping->vaddr;
}

#endif
