/* SPDX-License-Identifier: MIT */
#include "lib_server.h"
#include "vfio-broker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>

/*
 * Windows from a keeper that is this test: what it answers is PLAN. Files in memory stand for windows, as far as they
 * do: that a real one is taken back, they cannot show (keeper_window.c does, and tests/vm).
 */
#define PAGE 4096
#define HUGE ((size_t)2 << 20)

static struct server server;
static struct vbroker_device *device;
static struct vbroker_window *const untouched = (void *)1;

static struct plan {
	int refusal; /* enum refusal; with REFUSAL_FAILED: */
	int error;
	int fd;		/* what the window is */
	size_t fds;	/* how many come */
	size_t payload; /* bytes of it; a good reply has none */
	bool ends;	/* instead of an answer */
} plan;

static struct window_request asked; /* last */

static void answer_window(struct server *s)
{
	struct message_refusal *refusal;
	static const char words[] = "the words of a keeper";

	asked = *(const struct window_request *)(const void *)s->request.payload;
	server_reply(s, plan.payload);
	if (plan.refusal) {
		s->reply.header.flags |= MESSAGE_REFUSED;
		refusal = packet_append(&s->reply, sizeof *refusal);
		*refusal = (struct message_refusal){(uint32_t)plan.refusal, (uint32_t)plan.error};
		memcpy(packet_append(&s->reply, sizeof words - 1), words, sizeof words - 1);
	}
	for (size_t i = 0; i < plan.fds; i++)
		fdset_add(&s->reply.fds, fcntl(plan.fd, F_DUPFD_CLOEXEC, 3));
	server_send(s);
}

static void serve(struct server *s)
{
	server_greet(s, CHANNEL_DEVICE);
	while (server_receive(s)) {
		if (s->request.header.type != DEVICE_REGION_WINDOW) {
			server_reply(s, 0);
			server_send(s);
		} else if (plan.ends) {
			return;
		} else {
			answer_window(s);
		}
	}
}

static int begin(void **state)
{
	(void)state;
	plan = (struct plan){.fd = -1, .fds = 1};
	server_start(&server, &device_table, serve, NULL);
	assert_int_equal(vbroker_device_adopt(server.client, &device), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	vbroker_device_close(device);
	if (plan.fd >= 0)
		close(plan.fd);
	server_finish(&server);
	return 0;
}

/* The keeper will have a window of SIZE bytes, each page of which begins with its number. */
static void plan_memory(size_t size)
{
	plan.fd = memfd_create("window", MFD_CLOEXEC);
	assert_int_equal(ftruncate(plan.fd, (off_t)size), 0);
	for (size_t i = 0; i < size / PAGE; i += i < 3 ? 1 : 256)
		assert_int_equal(pwrite(plan.fd, &(uint32_t){(uint32_t)i}, 4, (off_t)(i * PAGE)), 4);
}

static struct vbroker_window *open_window(size_t size, unsigned int flags)
{
	struct vbroker_window *window = NULL;

	assert_int_equal(vbroker_window_open(device, 0, 0, size, flags, &window), 0);
	return window;
}

/* The line of /proc/self/maps that begins with ADDRESS: size and permissions. False: there is none. */
static bool mapping(const volatile void *address, size_t *ret_size, char permissions[8])
{
	FILE *file = fopen("/proc/self/maps", "re");
	uintptr_t first, last;
	char line[512];
	bool found = false;

	assert_non_null(file);
	while (!found && fgets(line, sizeof line, file)) {
		found = sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &first, &last, permissions) == 3 &&
			first == (uintptr_t)address;
		*ret_size = last - first;
	}
	fclose(file);
	return found;
}

static bool is_mapped(const volatile void *address)
{
	char permissions[8];
	size_t size;

	return mapping(address, &size, permissions);
}

static void assert_mapped(const volatile void *address, size_t wanted_size, const char *wanted)
{
	char permissions[8] = "";
	size_t size = 0;

	assert_true(mapping(address, &size, permissions));
	assert_int_equal(size, wanted_size);
	assert_string_equal(permissions, wanted);
}

/* ---- what the library asks the system for ---- */

void *__real_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *address, size_t length);
int __wrap_munmap(void *address, size_t length);

static long mapped; /* bytes more mapped than unmapped, by library and test */
static bool another_is_faster;
static void *bystander;

/*
 * While it maps the window, ANOTHER thread may map something just there, and the window not be mapped. With MAP_FIXED,
 * kernels before 6.12 have by then unmapped what was there.
 */
static void *lose(void *address, size_t length, int flags)
{
	if (flags & MAP_FIXED)
		__real_munmap(address, length);
	bystander = __real_mmap64(
		address, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	assert_ptr_not_equal(bystander, MAP_FAILED);
	errno = ENOMEM;
	return MAP_FAILED;
}

void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	void *result;

	if (another_is_faster && fd >= 0)
		return lose(address, length, flags);
	result = __real_mmap64(address, length, protection, flags, fd, offset);
	if (result != MAP_FAILED && !(flags & MAP_FIXED))
		mapped += (long)length;
	return result;
}

int __wrap_munmap(void *address, size_t length)
{
	mapped -= (long)length;
	return __real_munmap(address, length);
}

/* ---- opening ---- */

static void test_request(void **state)
{
	static const unsigned int flags[] = {
		0, VBROKER_WINDOW_WRITE, VBROKER_WINDOW_ONES, VBROKER_WINDOW_WRITE | VBROKER_WINDOW_ONES};

	(void)state;
	plan_memory(3 * PAGE);
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		struct vbroker_window *window = NULL;
		struct stat ours, theirs;

		assert_int_equal(vbroker_window_open(device, 4, 5 * PAGE, 3 * PAGE, flags[i], &window), 0);
		assert_int_equal(asked.flags, flags[i]);
		assert_int_equal(asked.region, 4);
		assert_int_equal(asked.offset, 5 * PAGE);
		assert_int_equal(asked.length, 3 * PAGE);
		assert_int_equal(fcntl(vbroker_window_fd(window), F_GETFD), FD_CLOEXEC);
		assert_int_equal(fstat(vbroker_window_fd(window), &ours), 0);
		assert_int_equal(fstat(plan.fd, &theirs), 0);
		assert_int_equal(ours.st_ino, theirs.st_ino);
		vbroker_window_close(window);
	}
}

/* The numbers are the keeper's to judge, as long as they can be mapped here. */
static void test_large_numbers(void **state)
{
	struct vbroker_window *window = untouched;
	unsigned int requests = server.requests;

	(void)state;
	assert_int_equal(vbroker_window_open(device, 0, 0, UINT64_MAX, 0, &window), -EINVAL);
	assert_non_null(strstr(vbroker_detail(), "a window of 0xffffffffffffffff bytes"));
	assert_int_equal(vbroker_window_open(device, 0, 0, (uint64_t)SIZE_MAX / 2 + 1, 0, &window), -EINVAL);
	assert_int_equal(server.requests, requests);
	assert_ptr_equal(window, untouched);
	plan = (struct plan){.refusal = REFUSAL_UNSUPPORTED, .fd = -1};
	assert_int_equal(vbroker_window_open(device, UINT32_MAX, (uint64_t)1 << 62, SIZE_MAX / 2, 0, &window),
		VBROKER_UNSUPPORTED);
	assert_int_equal(asked.region, UINT32_MAX);
	assert_int_equal(asked.offset, (uint64_t)1 << 62);
	assert_int_equal(asked.length, SIZE_MAX / 2);
}

static void test_refusals(void **state)
{
	static const int refusals[] = {VBROKER_WINDOW_UNAVAILABLE, VBROKER_UNSUPPORTED, VBROKER_MALFORMED,
		VBROKER_DENIED, VBROKER_QUOTA, VBROKER_NOT_BOUND};
	struct vbroker_window *window = untouched;
	char text[600];

	(void)state;
	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
		plan = (struct plan){.refusal = refusals[i], .fd = -1};
		assert_int_equal(vbroker_window_open(device, 0, 0, PAGE, 0, &window), refusals[i]);
		assert_string_equal(vbroker_detail(), "the words of a keeper");
	}
	plan = (struct plan){.refusal = REFUSAL_FAILED, .error = ENOMEM, .fd = -1};
	assert_int_equal(vbroker_window_open(device, 0, 0, PAGE, 0, &window), -ENOMEM);
	assert_string_equal(vbroker_detail(), "the words of a keeper");
	assert_ptr_equal(window, untouched);
	vbroker_describe_result(VBROKER_WINDOW_UNAVAILABLE, text, sizeof text);
	assert_non_null(strstr(text, "windows"));
	assert_string_equal(vbroker_refusal_name(VBROKER_WINDOW_UNAVAILABLE), "WINDOW_UNAVAILABLE");
	/* and the device goes on */
	plan = (struct plan){.fd = -1, .fds = 1};
	plan_memory(PAGE);
	vbroker_window_close(open_window(PAGE, 0));
}

/* A keeper that answers anything else is none. */
static void wrong_reply(size_t fds, size_t payload, int refusal)
{
	struct vbroker_window *window = untouched;

	plan_memory(PAGE);
	plan.fds = fds;
	plan.payload = payload;
	plan.refusal = refusal;
	assert_int_equal(vbroker_window_open(device, 0, 0, PAGE, 0, &window), -EPROTO);
	assert_ptr_equal(window, untouched);
	assert_int_equal(vbroker_device_ping(device), -EPROTO);
}

static void test_reply_without_fd(void **state)
{
	(void)state;
	wrong_reply(0, 0, 0);
}

static void test_reply_with_two_fds(void **state)
{
	(void)state;
	wrong_reply(2, 0, 0);
}

static void test_reply_with_many_fds(void **state)
{
	(void)state;
	wrong_reply(FDSET_MAX, 0, 0);
}

static void test_reply_with_payload(void **state)
{
	(void)state;
	wrong_reply(1, 8, 0);
}

static void test_refusal_with_fd(void **state)
{
	struct vbroker_window *window = untouched;

	(void)state;
	plan_memory(PAGE);
	plan.refusal = REFUSAL_DENIED;
	assert_int_not_equal(vbroker_window_open(device, 0, 0, PAGE, 0, &window), 0);
	assert_ptr_equal(window, untouched);
}

static void test_keeper_gone(void **state)
{
	struct vbroker_window *window = untouched;

	(void)state;
	plan.ends = true;
	assert_int_equal(vbroker_window_open(device, 0, 0, PAGE, 0, &window), VBROKER_REVOKED);
	assert_int_equal(vbroker_window_open(device, 0, 0, PAGE, 0, &window), VBROKER_REVOKED);
	assert_ptr_equal(window, untouched);
}

/* ---- mapping ---- */

static void test_map(void **state)
{
	struct vbroker_window *window;
	volatile void *address = NULL, *again = NULL;

	(void)state;
	plan_memory(3 * PAGE);
	window = open_window(3 * PAGE, VBROKER_WINDOW_WRITE);
	assert_int_equal(vbroker_window_map(window, &address), 0);
	assert_int_equal(vbroker_load32(address), 0);
	assert_int_equal(vbroker_load32((volatile char *)address + 2 * PAGE), 2);
	vbroker_store32((volatile char *)address + PAGE, 77);
	assert_int_equal(vbroker_window_map(window, &again), 0);
	assert_ptr_equal((void *)(uintptr_t)again, (void *)(uintptr_t)address);
	assert_mapped(address, 3 * PAGE, "rw-s");
	vbroker_window_close(window);
	assert_false(is_mapped(address));
	/* it was the window, and not a copy */
	assert_int_equal(pread(plan.fd, &(uint32_t){0}, 4, PAGE), 4);
	window = open_window(3 * PAGE, 0);
	assert_int_equal(vbroker_window_map(window, &address), 0);
	assert_int_equal(vbroker_load32((volatile char *)address + PAGE), 77);
	assert_mapped(address, 3 * PAGE, "r--s");
	vbroker_window_close(window);
}

/* "May outlive the device object." */
static void test_outlives_the_device(void **state)
{
	struct vbroker_window *window;
	volatile void *address;

	(void)state;
	plan_memory(2 * PAGE);
	window = open_window(2 * PAGE, 0);
	vbroker_device_close(device);
	device = NULL;
	assert_int_equal(vbroker_window_map(window, &address), 0);
	assert_int_equal(vbroker_load32((volatile char *)address + PAGE), 1);
	vbroker_window_close(window);
}

static void test_close(void **state)
{
	int fds;

	(void)state;
	vbroker_window_close(NULL);
	plan_memory(PAGE);
	fds = unit_fds();
	vbroker_window_close(open_window(PAGE, VBROKER_WINDOW_ONES));
	/* The server closes its copy after the reply is on its way; when it answers this, it has. */
	assert_int_equal(vbroker_device_ping(device), 0);
	assert_int_equal(unit_fds(), fds);
}

/* The module says ENODEV of a window that was taken back. A memfd cannot, but other files that nobody can map do. */
static void test_map_of_a_revoked_window(void **state)
{
	struct vbroker_window *window;
	volatile void *address = untouched;
	int sizes[] = {PAGE, HUGE};

	(void)state;
	plan.fd = eventfd(0, EFD_CLOEXEC);
	for (size_t i = 0; i < 2; i++) {
		window = open_window((size_t)sizes[i], VBROKER_WINDOW_WRITE);
		mapped = 0;
		for (int j = 0; j < 2; j++) {
			assert_int_equal(vbroker_window_map(window, &address), VBROKER_REVOKED);
			assert_non_null(strstr(vbroker_detail(), "taken back"));
		}
		assert_true(address == untouched);
		vbroker_window_close(window);
		assert_int_equal(mapped, 0);
	}
}

static void test_map_fails(void **state)
{
	struct vbroker_window *window;
	volatile void *address = untouched;
	char path[64];
	int memory;

	(void)state;
	plan_memory(PAGE);
	memory = plan.fd;
	snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
	plan.fd = open(path, O_RDONLY | O_CLOEXEC);
	close(memory);
	assert_true(plan.fd >= 0);
	window = open_window(PAGE, VBROKER_WINDOW_WRITE);
	assert_int_equal(vbroker_window_map(window, &address), -EACCES);
	assert_string_equal(vbroker_detail(), "mapping a window of 0x1000 bytes");
	assert_true(address == untouched);
	vbroker_window_close(window);
}

/* From 2 MiB on, so that the kernel can map by huge pages. */
static void test_alignment(void **state)
{
	static const size_t sizes[] = {HUGE, HUGE + PAGE, 2 * HUGE, 5 * HUGE - PAGE};

	(void)state;
	plan_memory(5 * HUGE);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct vbroker_window *windows[8];
		volatile void *address;

		mapped = 0;
		for (int j = 0; j < 8; j++) {
			windows[j] = open_window(sizes[i], VBROKER_WINDOW_WRITE);
			assert_int_equal(vbroker_window_map(windows[j], &address), 0);
			assert_int_equal((uintptr_t)address % HUGE, 0);
			assert_int_equal(vbroker_load32((volatile char *)address + PAGE), 1);
		}
		for (int j = 0; j < 8; j++)
			vbroker_window_close(windows[j]);
		/* nothing of the search is left */
		assert_int_equal(mapped, 0);
	}
}

/* A mapping that fails takes nothing of another thread's along. */
static void test_alignment_and_other_threads(void **state)
{
	struct vbroker_window *window;
	volatile void *address = untouched;

	(void)state;
	plan_memory(2 * HUGE);
	window = open_window(2 * HUGE, VBROKER_WINDOW_WRITE);
	another_is_faster = true;
	assert_int_equal(vbroker_window_map(window, &address), -ENOMEM);
	another_is_faster = false;
	assert_true(is_mapped(bystander));
	__real_munmap(bystander, PAGE);
	assert_int_equal(vbroker_window_map(window, &address), 0);
	vbroker_window_close(window);
}

/* ---- loads and stores ---- */

static void test_values(void **state)
{
	static const uint8_t bytes[8] = {0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
	union {
		uint64_t align;
		uint8_t bytes[16];
	} memory = {0};

	(void)state;
	/* registers are little endian, whatever this machine is */
	memcpy(memory.bytes, bytes, sizeof bytes);
	assert_int_equal(vbroker_load8(memory.bytes), 0x88);
	assert_int_equal(vbroker_load8(memory.bytes + 3), 0x55);
	assert_int_equal(vbroker_load16(memory.bytes + 2), 0x5566);
	assert_int_equal(vbroker_load32(memory.bytes + 4), 0x11223344);
	assert_true(vbroker_load64(memory.bytes) == UINT64_C(0x1122334455667788));
	memset(memory.bytes, 0xee, sizeof memory.bytes);
	vbroker_store64(memory.bytes + 8, UINT64_C(0x1122334455667788));
	assert_memory_equal(memory.bytes + 8, bytes, 8);
	assert_int_equal(memory.bytes[7], 0xee);
	memset(memory.bytes, 0xee, sizeof memory.bytes);
	vbroker_store32(memory.bytes + 4, 0x55667788);
	vbroker_store16(memory.bytes + 10, 0x7788);
	vbroker_store8(memory.bytes + 13, 0x88);
	assert_memory_equal(memory.bytes,
		((const uint8_t[]){0xee, 0xee, 0xee, 0xee, 0x88, 0x77, 0x66, 0x55, 0xee, 0xee, 0x88, 0x77, 0xee, 0x88,
			0xee, 0xee}),
		16);
}

#ifdef __x86_64__

/*
 * A page that is not accessible: each instruction that touches it is counted and then done, alone, by the processor's
 * single step. Behind it is one that nothing may touch.
 */
static volatile uint8_t *page;
static volatile unsigned int loads, stores;
static volatile uintptr_t touched;

#define TRAP_FLAG   0x100
#define FAULT_WRITE 2

static void on_fault(int number, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	uintptr_t at = (uintptr_t)info->si_addr;

	if (at - (uintptr_t)page >= PAGE) {
		signal(number, SIG_DFL);
		return;
	}
	touched = at;
	if (registers[REG_ERR] & FAULT_WRITE)
		stores++;
	else
		loads++;
	mprotect((void *)(uintptr_t)page, PAGE, PROT_READ | PROT_WRITE);
	registers[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
	mprotect((void *)(uintptr_t)page, PAGE, PROT_NONE);
}

/* Since the last time, there was one access, by a load or a store, of the place WIDTH bytes before the page's end. */
static void assert_one(bool store, size_t width)
{
	assert_int_equal(loads, !store);
	assert_int_equal(stores, store);
	assert_true(touched == (uintptr_t)page + PAGE - width);
	loads = stores = 0;
}

static void test_one_access_each(void **state)
{
	struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	struct sigaction one_step = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO}, old_fault, old_step;
	void *both = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(both, MAP_FAILED);
	page = both;
	loads = stores = 0;
	sigaction(SIGSEGV, &fault, &old_fault);
	sigaction(SIGTRAP, &one_step, &old_step);
#define ONE_EACH(bits, value)                                                                                          \
	vbroker_store##bits(page + PAGE - bits / 8, value);                                                            \
	assert_one(true, bits / 8);                                                                                    \
	assert_true(vbroker_load##bits(page + PAGE - bits / 8) == (value));                                            \
	assert_one(false, bits / 8)
	ONE_EACH(8, 0xa5);
	ONE_EACH(16, 0xa55a);
	ONE_EACH(32, 0xa55a1234);
	ONE_EACH(64, UINT64_C(0xa55a123456789abc));
	/* what nobody uses is loaded all the same: reading a register may be the point */
	vbroker_load32(page + PAGE - 4);
	assert_one(false, 4);
	/* and twice is twice */
	vbroker_store32(page + PAGE - 4, 1);
	vbroker_store32(page + PAGE - 4, 1);
	vbroker_load32(page + PAGE - 4);
	vbroker_load32(page + PAGE - 4);
	assert_int_equal(stores, 2);
	assert_int_equal(loads, 2);
	sigaction(SIGSEGV, &old_fault, NULL);
	sigaction(SIGTRAP, &old_step, NULL);
	munmap(both, 2 * PAGE);
}

#else

/* Elsewhere nobody steps through it; "volatile" is what there is. */
static void test_one_access_each(void **state)
{
	(void)state;
	skip();
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
		CASE(test_request),
		CASE(test_large_numbers),
		CASE(test_refusals),
		CASE(test_reply_without_fd),
		CASE(test_reply_with_two_fds),
		CASE(test_reply_with_many_fds),
		CASE(test_reply_with_payload),
		CASE(test_refusal_with_fd),
		CASE(test_keeper_gone),
		CASE(test_map),
		CASE(test_outlives_the_device),
		CASE(test_close),
		CASE(test_map_of_a_revoked_window),
		CASE(test_map_fails),
		CASE(test_alignment),
		CASE(test_alignment_and_other_threads),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_one_access_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
