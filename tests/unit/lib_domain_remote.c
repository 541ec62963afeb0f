/* SPDX-License-Identifier: MIT */
#include "domain_bench.h"
#include "lib_server.h"
#include "remote.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

/*
 * The asking end of a domain channel: first with an honest owner, a thread that dispatches as an application would;
 * then with owners that answer what a script says.
 */

static struct bench bench;
static pthread_t owner;
static int stop[2];
static struct vbroker_domain *domain; /* the driver's */

static void *dispatch(void *context)
{
	struct vbroker_domain_server *server = context;
	struct pollfd polled[2] = {{.fd = vbroker_domain_server_fd(server)}, {.fd = stop[0], .events = POLLIN}};
	int r = 0;

	while (r == 0) {
		polled[0].events = vbroker_domain_server_events(server);
		if (poll(polled, 2, -1) < 0 || polled[1].revents)
			break;
		r = vbroker_domain_server_dispatch(server);
	}
	return NULL;
}

static int set_up(void **state)
{
	const struct vbroker_budget budget = {BUDGET_BYTES, BUDGET_MAPPINGS, BUDGET_MEMORIES};
	int channel;

	bench_start_bare(&bench);
	bench_attach(&bench);
	assert_int_equal(vbroker_domain_serve(bench.domain, &budget, &bench.server, &channel), 0);
	assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&owner, NULL, dispatch, bench.server), 0);
	assert_int_equal(vbroker_domain_adopt(channel, &domain), 0);
	*state = &bench;
	return 0;
}

/* The owner stops; nothing else may use its objects before. */
static void owner_ends(void)
{
	if (stop[1] < 0)
		return;
	close(stop[1]);
	stop[1] = -1;
	pthread_join(owner, NULL);
	close(stop[0]);
}

static int tear_down(void **state)
{
	vbroker_domain_close(domain);
	owner_ends();
	bench_end(*state);
	return 0;
}

static void assert_said(const char *part)
{
	if (!strstr(vbroker_detail(), part))
		fail_msg("\"%s\" is not in the detail \"%s\"", part, vbroker_detail());
}

/* ---- an honest owner ---- */

static void test_ranges(void **state)
{
	struct vbroker_range *ranges;
	uint64_t sizes;
	size_t count;

	(void)state;
	assert_int_equal(vbroker_domain_ranges(domain, &ranges, &count, &sizes), 0);
	assert_int_equal(count, 2);
	assert_int_equal(ranges[0].last, FAKE_MSI_FIRST - 1);
	assert_int_equal(ranges[1].first, FAKE_MSI_LAST + 1);
	assert_int_equal(sizes & -sizes, PAGE);
	free(ranges);
	assert_true(vbroker_domain_fd(domain) >= 0);
}

static void test_memory(void **state)
{
	struct bench *b = *state;
	struct vbroker_memory *first, *second;
	const struct fake_mapping *mapping;
	char *address;

	assert_int_equal(vbroker_memory_alloc(domain, 3 * PAGE + 1, RW, 0, &first), 0);
	assert_int_equal(vbroker_memory_alloc(domain, PAGE, VBROKER_DEVICE_READS, 0, &second), 0);
	assert_int_equal(vbroker_memory_length(first), 4 * PAGE);
	assert_int_equal(fcntl(vbroker_memory_fd(first), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	address = vbroker_memory_address(first);
	assert_int_equal(address[0] | address[4 * PAGE - 1], 0);
	strcpy(address + PAGE, "to the device");
	mapping = bench_mapping(b, vbroker_memory_iova(first));
	assert_non_null(mapping);
	assert_int_equal(mapping->size, 4 * PAGE);
	assert_string_equal((char *)(uintptr_t)mapping->vaddr + PAGE, "to the device");
	assert_int_equal(bench_mapping(b, vbroker_memory_iova(second))->flags, VFIO_DMA_MAP_FLAG_READ);
	vbroker_memory_free(first);
	vbroker_memory_free(NULL);
	assert_int_equal(bench_mapped(b), 1);
	/* The domain frees the other one. */
}

/* Below 2^14 there are three pages to hand out. */
static void test_address_bits(void **state)
{
	const unsigned int low = RW | VBROKER_ADDRESS_BITS(14);
	struct vbroker_memory *memory, *other;
	void *address;
	uint64_t iova;

	(void)state;
	assert_int_equal(vbroker_memory_alloc(domain, 4 * PAGE, low, 0, &memory), VBROKER_IOVA_INVALID);
	assert_said("up to 0x3fff have no room for 16 KiB");
	assert_int_equal(vbroker_memory_alloc(domain, 2 * PAGE, low, 0, &memory), 0);
	assert_int_equal(vbroker_memory_iova(memory), PAGE);
	assert_int_equal(vbroker_memory_alloc(domain, 2 * PAGE, low, 0, &other), VBROKER_QUOTA);
	assert_said("no free run of 8 KiB is left");
	address = vbroker_memory_address(memory);
	assert_int_equal(vbroker_domain_map(domain, address, PAGE, low, VBROKER_IOVA_ANY, &iova), 0);
	assert_int_equal(iova, 3 * PAGE);
	assert_int_equal(vbroker_domain_map(domain, address, PAGE, low, VBROKER_IOVA_ANY, &iova), VBROKER_QUOTA);
	assert_int_equal(vbroker_domain_map(domain, address, PAGE, low, 4 * PAGE, NULL), VBROKER_IOVA_INVALID);
	assert_int_equal(vbroker_domain_map(domain, address, PAGE, RW, 4 * PAGE, NULL), 0);
	vbroker_memory_free(memory);
}

static void test_memory_wrong(void **state)
{
	struct vbroker_memory *memory;

	(void)state;
	assert_int_equal(vbroker_memory_alloc(domain, 0, RW, 0, &memory), -EINVAL);
	assert_int_equal(vbroker_memory_alloc(domain, PAGE, 0, 0, &memory), -EINVAL);
	assert_int_equal(vbroker_memory_alloc(domain, PAGE, 4, 0, &memory), -EINVAL);
	assert_int_equal(vbroker_memory_alloc(domain, PAGE, RW, 2, &memory), -EINVAL);
	assert_int_equal(vbroker_memory_alloc(domain, UINT64_MAX, RW, 0, &memory), -EINVAL);
	assert_int_equal(vbroker_memory_alloc(domain, INT64_MAX, RW, 0, &memory), -EINVAL);
}

static void test_memory_quota(void **state)
{
	struct bench *b = *state;
	struct vbroker_memory *all, *one;

	assert_int_equal(vbroker_memory_alloc(domain, BUDGET_BYTES + 1, RW, 0, &all), VBROKER_QUOTA);
	assert_said("260 KiB wanted, 256 KiB left");
	for (int i = 0; i < 20; i++) {
		assert_int_equal(vbroker_memory_alloc(domain, BUDGET_BYTES, RW, 0, &all), 0);
		assert_int_equal(vbroker_memory_alloc(domain, PAGE, RW, 0, &one), VBROKER_QUOTA);
		vbroker_memory_free(all);
	}
	assert_int_equal(bench_mapped(b), 0);
}

static void test_map(void **state)
{
	struct bench *b = *state;
	struct vbroker_memory *memory, *other;
	char *address;
	uint64_t iova;

	assert_int_equal(vbroker_memory_alloc(domain, PAGE, RW, 0, &other), 0);
	assert_int_equal(vbroker_memory_alloc(domain, 4 * PAGE, RW, 0, &memory), 0);
	address = vbroker_memory_address(memory);
	assert_int_equal(vbroker_domain_map(domain, address + PAGE, 2 * PAGE, RW, VBROKER_IOVA_ANY, &iova), 0);
	address[2 * PAGE] = 'y';
	assert_int_equal(((char *)(uintptr_t)bench_mapping(b, iova)->vaddr)[PAGE], 'y');
	assert_int_equal(vbroker_domain_map(domain, address, 4 * PAGE, RW, 64 * PAGE, NULL), 0);
	assert_int_equal(vbroker_domain_map(domain, address, PAGE, RW, 65 * PAGE, NULL), VBROKER_IOVA_IN_USE);
	assert_int_equal(vbroker_domain_map(domain, address, PAGE, RW, VBROKER_IOVA_ANY, NULL), -EINVAL);
	assert_int_equal(vbroker_domain_map(domain, address, PAGE, RW, 65 * PAGE + 1, NULL), VBROKER_IOVA_INVALID);
	/* Memory that the owner does not have, all of it or some of it */
	assert_int_equal(vbroker_domain_map(domain, &iova, PAGE, RW, VBROKER_IOVA_ANY, &iova), VBROKER_NOT_MEMORY);
	assert_int_equal(
		vbroker_domain_map(domain, address + PAGE, 4 * PAGE, RW, VBROKER_IOVA_ANY, &iova), VBROKER_NOT_MEMORY);
	assert_int_equal(
		vbroker_domain_map(domain, address + 4 * PAGE, PAGE, RW, VBROKER_IOVA_ANY, &iova), VBROKER_NOT_MEMORY);
	assert_int_equal(vbroker_domain_map(domain, address, 0, RW, VBROKER_IOVA_ANY, &iova), VBROKER_MALFORMED);
	assert_int_equal(bench_mapped(b), 4);
	assert_int_equal(vbroker_domain_unmap(domain, 64 * PAGE, PAGE), VBROKER_IOVA_INVALID);
	assert_said("would cut");
	assert_int_equal(vbroker_domain_unmap(domain, 64 * PAGE, 4 * PAGE), 0);
	assert_int_equal(vbroker_domain_unmap(domain, 64 * PAGE, 4 * PAGE), VBROKER_IOVA_INVALID);
	/* Forgotten with a mapping left: it ends with that. */
	vbroker_memory_free(memory);
	assert_int_equal(bench_mapped(b), 2);
	assert_int_equal(vbroker_domain_unmap(domain, iova, 2 * PAGE), 0);
	assert_int_equal(bench_memfds(), b->memfds_before + 2);
}

static void test_not_bound(void **state)
{
	struct bench *b = *state;
	struct vbroker_memory *memory;
	struct vbroker_range *ranges;
	uint64_t sizes;
	size_t count;

	bench_detach(b);
	assert_int_equal(vbroker_domain_ranges(domain, &ranges, &count, &sizes), VBROKER_NOT_BOUND);
	assert_int_equal(vbroker_memory_alloc(domain, PAGE, RW, 0, &memory), VBROKER_NOT_BOUND);
	bench_attach(b);
	assert_int_equal(vbroker_memory_alloc(domain, PAGE, RW, 0, &memory), 0);
}

static void test_owner_ends(void **state)
{
	struct bench *b = *state;
	struct vbroker_memory *memory;

	assert_int_equal(vbroker_memory_alloc(domain, PAGE, RW, 0, &memory), 0);
	owner_ends();
	vbroker_domain_server_close(b->server);
	b->server = NULL;
	assert_int_equal(vbroker_domain_unmap(domain, vbroker_memory_iova(memory), PAGE), -ECONNRESET);
	assert_said("owner of the domain");
	/* What it has is its own still. */
	memset(vbroker_memory_address(memory), 1, PAGE);
	vbroker_memory_free(memory);
	assert_int_equal(vbroker_memory_alloc(domain, PAGE, RW, 0, &memory), -ECONNRESET);
}

/* The same functions where the domain is this process's own */
static void test_memory_of_an_own_domain(void **state)
{
	struct bench *b = *state;
	struct vbroker_memory *memory, *left;

	bench_start_bare(b);
	assert_int_equal(vbroker_memory_alloc(b->domain, PAGE, RW, 0, &memory), VBROKER_NOT_BOUND);
	bench_attach(b);
	assert_int_equal(vbroker_memory_alloc(b->domain, PAGE + 1, RW, 0, &memory), 0);
	assert_int_equal(vbroker_memory_alloc(b->domain, PAGE, RW, VBROKER_MEMORY_HUGE, &left), 0);
	assert_int_equal(vbroker_memory_length(memory), 2 * PAGE);
	assert_ptr_equal(bench_mapping(b, vbroker_memory_iova(memory))->vaddr, vbroker_memory_address(memory));
	memset(vbroker_memory_address(memory), 1, 2 * PAGE);
	vbroker_memory_free(memory);
	assert_int_equal(bench_mapped(b), 1);
	vbroker_memory_free(left);
	bench_end(b);
}

/* ---- what is no domain channel ---- */

static void test_adopt_something_else(void **state)
{
	int before = unit_fds(), pair[2];

	(void)state;
	assert_int_equal(vbroker_domain_adopt(-1, &domain), VBROKER_NOT_A_DOMAIN);
	assert_int_equal(vbroker_domain_adopt(STDERR_FILENO, &domain), VBROKER_NOT_A_DOMAIN);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(vbroker_domain_adopt(pair[0], &domain), VBROKER_NOT_A_DOMAIN);
	close(pair[0]);
	close(pair[1]);
	unit_pair(pair);
	close(pair[1]);
	assert_int_equal(vbroker_domain_adopt(pair[0], &domain), VBROKER_NOT_A_DOMAIN);
	assert_said("no domain channel answers");
	close(pair[0]);
	assert_int_equal(unit_fds(), before);
}

static void greet_as_device(struct server *s)
{
	server_greet(s, CHANNEL_DEVICE);
}

static void test_adopt_a_device_channel(void **state)
{
	static struct server server;

	(void)state;
	server_start(&server, &domain_table, greet_as_device, NULL);
	assert_int_equal(vbroker_domain_adopt(server.client, &domain), VBROKER_NOT_A_DOMAIN);
	assert_said("but not a domain's");
	close(server.client);
	server_finish(&server);
}

/* ---- owners that lie ---- */

/* The reply to the one request after HELLO. */
struct lie {
	uint32_t flags; /* of the array header */
	uint32_t count;
	size_t elements; /* that are there */
	uint32_t refusal;
	int fds[3]; /* 0: none; taken */
	size_t trailing;
};

static void tell(struct server *s)
{
	const struct lie *lie = s->argument;
	struct array_header *header;

	server_greet(s, CHANNEL_DOMAIN);
	if (!server_receive(s))
		return;
	header = server_reply(s, sizeof *header);
	*header = (struct array_header){lie->flags, lie->count};
	for (size_t i = 0; i < lie->elements; i++) {
		size_t size = s->request.header.type == DOMAIN_ALLOC || s->request.header.type == DOMAIN_MAP ? 16 : 8;
		uint32_t *element = packet_append(&s->reply, size);

		element[0] = lie->refusal;
		element[1] = size == 16 ? 5 : 0; /* the handle */
	}
	packet_append(&s->reply, lie->trailing);
	for (size_t i = 0; i < 3 && lie->fds[i] > 0; i++)
		fdset_add(&s->reply.fds, lie->fds[i]);
	server_send(s);
	/* What it does to clean up has good answers. */
	while (server_receive(s)) {
		server_reply(s, sizeof *header + sizeof(struct element_result));
		((struct array_header *)(void *)s->reply.payload)->count = 1;
		server_send(s);
	}
}

static struct server liar;
static int memfds_before;

static void begin_lies(const struct lie *lie)
{
	memfds_before = bench_memfds();
	server_start(&liar, &domain_table, tell, lie);
	/* Descriptors of the lie are gone in the end. */
	for (size_t i = 0; i < 3; i++)
		liar.fds_before -= lie->fds[i] > 0;
	assert_int_equal(vbroker_domain_adopt(liar.client, &domain), 0);
}

static void end_lies(void)
{
	vbroker_domain_close(domain);
	server_finish(&liar);
	assert_int_equal(bench_memfds(), memfds_before);
}

static int alloc_from(struct lie lie)
{
	struct vbroker_memory *memory = NULL;
	int r;

	begin_lies(&lie);
	r = vbroker_memory_alloc(domain, 4 * PAGE, RW, 0, &memory);
	if (r != 0)
		assert_null(memory);
	end_lies();
	return r;
}

#define SEALED (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static void test_lies_about_memory(void **state)
{
	const uint64_t size = 4 * PAGE;

	(void)state;
	assert_int_equal(alloc_from((struct lie){0, 1, 1, 0, {memory_make(size, SEALED)}, 0}), 0);
	/* More than was asked for is what huge pages are. */
	assert_int_equal(alloc_from((struct lie){0, 1, 1, 0, {memory_make(2 * size, SEALED)}, 0}), 0);
	/* Other numbers of elements and descriptors */
	assert_int_equal(alloc_from((struct lie){0, 0, 1, 0, {memory_make(size, SEALED)}, 0}), -EPROTO);
	assert_int_equal(alloc_from((struct lie){0, 2, 1, 0, {memory_make(size, SEALED)}, 0}), -EPROTO);
	assert_int_equal(alloc_from((struct lie){0, 2, 2, 0, {memory_make(size, SEALED)}, 0}), -EPROTO);
	assert_int_equal(alloc_from((struct lie){0, 0, 0, 0, {memory_make(size, SEALED)}, 0}), -EPROTO);
	assert_int_equal(alloc_from((struct lie){0, 1, 1, 0, {memory_make(size, SEALED)}, 8}), -EPROTO);
	assert_int_equal(alloc_from((struct lie){0, 1, 1, 0, {0}, 0}), -EPROTO);
	assert_int_equal(
		alloc_from((struct lie){0, 1, 1, 0, {memory_make(size, SEALED), memory_make(size, SEALED)}, 0}),
		-EPROTO);
	/* A refusal that is none */
	assert_int_equal(alloc_from((struct lie){0, 1, 1, REFUSAL_QUOTA, {memory_make(size, SEALED)}, 0}), -EPROTO);
	/* Memory that is none, or not what was asked for */
	assert_int_equal(alloc_from((struct lie){0, 1, 1, 0, {memory_make(PAGE, SEALED)}, 0}), -EPROTO);
	assert_int_equal(alloc_from((struct lie){0, 1, 1, 0, {memory_make(size, F_SEAL_GROW)}, 0}), VBROKER_NOT_MEMORY);
	assert_int_equal(alloc_from((struct lie){0, 1, 1, 0, {memory_make(0, SEALED)}, 0}), VBROKER_NOT_MEMORY);
	assert_int_equal(alloc_from((struct lie){0, 1, 1, 0, {eventfd(0, EFD_CLOEXEC)}, 0}), VBROKER_NOT_MEMORY);
	assert_int_equal(
		alloc_from((struct lie){0, 1, 1, 0, {open("/dev/null", O_RDWR | O_CLOEXEC)}, 0}), VBROKER_NOT_MEMORY);
	/* More than this process has room for */
	assert_int_equal(alloc_from((struct lie){0, 1, 1, 0, {memory_make(UINT64_C(1) << 50, SEALED)}, 0}), -ENOMEM);
}

static int unmap_from(struct lie lie)
{
	int r;

	begin_lies(&lie);
	r = vbroker_domain_unmap(domain, PAGE, PAGE);
	end_lies();
	return r;
}

static void test_lies_about_unmap(void **state)
{
	(void)state;
	assert_int_equal(unmap_from((struct lie){0, 1, 1, 0, {0}, 0}), 0);
	assert_int_equal(unmap_from((struct lie){0, 1, 1, REFUSAL_IOVA_INVALID, {0}, 0}), -EPROTO);
	assert_int_equal(unmap_from((struct lie){0, 2, 1, 0, {0}, 0}), -EPROTO);
	assert_int_equal(unmap_from((struct lie){0, 1, 2, 0, {0}, 0}), -EPROTO);
	assert_int_equal(unmap_from((struct lie){0, 1, 1, 0, {0}, 1}), -EPROTO);
	/* Descriptors that nobody wants do not even arrive. */
	assert_int_equal(unmap_from((struct lie){0, 1, 1, 0, {dup(STDERR_FILENO)}, 0}), 0);
}

struct ranges_lie {
	uint32_t said, there;
	size_t trailing;
};

static void tell_ranges(struct server *s)
{
	const struct ranges_lie *lie = s->argument;
	struct domain_reply *reply;

	server_greet(s, CHANNEL_DOMAIN);
	if (!server_receive(s))
		return;
	reply = server_reply(s, sizeof *reply);
	*reply = (struct domain_reply){.page_sizes = PAGE, .count = lie->said};
	for (uint32_t i = 0; i < lie->there; i++)
		packet_append(&s->reply, sizeof(struct domain_range));
	packet_append(&s->reply, lie->trailing);
	server_send(s);
}

static int ranges_from(struct ranges_lie lie, size_t *ret_count)
{
	struct vbroker_range *ranges = NULL;
	uint64_t sizes;
	int r;

	server_start(&liar, &domain_table, tell_ranges, &lie);
	assert_int_equal(vbroker_domain_adopt(liar.client, &domain), 0);
	r = vbroker_domain_ranges(domain, &ranges, ret_count, &sizes);
	free(ranges);
	vbroker_domain_close(domain);
	server_finish(&liar);
	return r;
}

static void test_lies_about_ranges(void **state)
{
	size_t count = 77;

	(void)state;
	assert_int_equal(ranges_from((struct ranges_lie){3, 3, 0}, &count), 0);
	assert_int_equal(count, 3);
	assert_int_equal(ranges_from((struct ranges_lie){0, 0, 0}, &count), 0);
	assert_int_equal(count, 0);
	/* As many as there can be */
	assert_int_equal(ranges_from((struct ranges_lie){4093, 4093, 0}, &count), 0);
	assert_int_equal(count, 4093);
	assert_int_equal(ranges_from((struct ranges_lie){4094, 4093, 0}, &count), -EPROTO);
	assert_int_equal(ranges_from((struct ranges_lie){UINT32_MAX, 1, 0}, &count), -EPROTO);
	assert_int_equal(ranges_from((struct ranges_lie){1, 2, 0}, &count), -EPROTO);
	assert_int_equal(ranges_from((struct ranges_lie){1, 1, 8}, &count), -EPROTO);
	assert_int_equal(count, 4093);
}

/* ---- an owner that ends in the middle ---- */

static void tell_nothing(struct server *s)
{
	server_greet(s, CHANNEL_DOMAIN);
	server_receive(s);
}

static void test_no_reply(void **state)
{
	struct vbroker_memory *memory;

	(void)state;
	server_start(&liar, &domain_table, tell_nothing, NULL);
	assert_int_equal(vbroker_domain_adopt(liar.client, &domain), 0);
	assert_int_equal(vbroker_memory_alloc(domain, PAGE, RW, 0, &memory), -ECONNRESET);
	vbroker_domain_close(domain);
	server_finish(&liar);
}

/* A domain behind a channel cannot be passed on by another one: the owner would have to know the memory. */
static void test_serve_what_is_not_ones_own(void **state)
{
	const struct vbroker_budget budget = {PAGE, 1, 1};
	struct vbroker_domain_server *server;
	int channel;

	(void)state;
	assert_int_equal(vbroker_domain_serve(domain, &budget, &server, &channel), VBROKER_UNSUPPORTED);
	assert_said("behind a channel");
}

/* Memory that the driver could not write would be a SIGSEGV for it, sooner or later. */
static void test_memory_that_cannot_be_written(void **state)
{
	(void)state;
	assert_int_equal(alloc_from((struct lie){0, 1, 1, 0, {memory_make(4 * PAGE, SEALED | F_SEAL_FUTURE_WRITE)}, 0}),
		-EPROTO);
}

/* What this process cannot map stays mapped at the owner's otherwise. */
static void test_memory_that_is_given_back(void **state)
{
	(void)state;
	assert_int_equal(alloc_from((struct lie){0, 1, 1, 0, {memory_make(UINT64_C(1) << 50, SEALED)}, 0}), -ENOMEM);
	/* HELLO, ALLOC, UNMAP, FORGET */
	assert_int_equal(liar.requests, 4);
}

/* What is lent comes back, whether or not there is somebody to send it to; what is received is closed all the same. */
static void test_lend(void **state)
{
	struct bench *b = *state;
	int fd = memory_make(4 * PAGE, F_SEAL_SHRINK), before = unit_fds();
	struct vbroker_memory *memory;
	uint32_t handle;
	uint64_t iova;

	assert_int_equal(
		remote_map(domain_remote(domain), fd, 0, PAGE, 2 * PAGE, RW, VBROKER_IOVA_ANY, &handle, &iova), 0);
	assert_int_equal(bench_mapping(b, iova)->size, 2 * PAGE);
	assert_int_equal(remote_map(domain_remote(domain), fd, 0, 0, 5 * PAGE, RW, VBROKER_IOVA_ANY, &handle, &iova),
		VBROKER_NOT_MEMORY);
	assert_int_equal(unit_fds(), before);
	assert_int_equal(vbroker_memory_alloc(domain, PAGE, RW, 0, &memory), 0);
	vbroker_memory_free(memory);
	assert_int_equal(unit_fds(), before);
	owner_ends();
	vbroker_domain_server_close(b->server);
	b->server = NULL;
	before = unit_fds();
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			remote_map(domain_remote(domain), fd, 0, 0, PAGE, RW, VBROKER_IOVA_ANY, &handle, &iova),
			-ECONNRESET);
	assert_int_equal(unit_fds(), before);
	assert_int_equal(close(fd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ranges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memory_wrong, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_address_bits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memory_quota, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_map, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_bound, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_owner_ends, set_up, tear_down),
		cmocka_unit_test_prestate(test_memory_of_an_own_domain, &bench),
		cmocka_unit_test(test_adopt_something_else),
		cmocka_unit_test(test_adopt_a_device_channel),
		cmocka_unit_test(test_lies_about_memory),
		cmocka_unit_test(test_lies_about_unmap),
		cmocka_unit_test(test_lies_about_ranges),
		cmocka_unit_test(test_no_reply),
		cmocka_unit_test_setup_teardown(test_serve_what_is_not_ones_own, set_up, tear_down),
		cmocka_unit_test(test_memory_that_cannot_be_written),
		cmocka_unit_test(test_memory_that_is_given_back),
		cmocka_unit_test_setup_teardown(test_lend, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
