/* SPDX-License-Identifier: MIT */
#include "keeper_bench.h"

#include "foreign_fd.h"
#include "group.h"

#include <linux/pci_regs.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Nothing is left of a BIND that was refused: neither in the kernel nor in the keeper. */
static void assert_unbound(struct bench *b, size_t i)
{
	assert_null(group_bound_device(&b->keeper->group, NULL));
	assert_int_equal(b->keeper->group.domain, -1);
	assert_int_equal(b->group->container, 0);
	assert_int_equal(b->group->devices[i].opened, 0);
	assert_int_equal(bench_command(b, i) & PCI_COMMAND_MASTER, 0);
}

static void test_bind_unbind(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();
	int before;

	(void)state;
	bench_start(&b, 1);
	before = unit_fds();
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	assert_true(fake_container_view(domain)->iommu);
	assert_int_equal(bench_command(&b, 0), PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	/* the device, the domain kept to compare with, the eventfd of unplug and the fake kernel's copy of it */
	assert_int_equal(unit_fds(), before + 4);
	assert_int_equal(bench_bind(&b, 0, domain), REFUSAL_ALREADY_BOUND);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), 0);
	assert_unbound(&b, 0);
	assert_false(fake_container_view(domain)->iommu);
	assert_int_equal(bench_fds(&b), before);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), REFUSAL_NOT_BOUND);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	bench_stop(&b);
}

static void refuse_foreign_fd(struct bench *b, int fd, const char *words)
{
	OWNED_FD owned = fd;

	assert_true(owned >= 0);
	assert_int_equal(bench_bind(b, 0, owned), REFUSAL_NOT_A_DOMAIN);
	assert_detail(b, words);
	assert_detail(b, bench_names[0]);
	assert_unbound(b, 0);
}

/* An eventfd is known to be harmless, and there may be a mistake behind it: the lease goes on. */
static void test_not_a_domain(void **state)
{
	struct bench b;

	(void)state;
	bench_start(&b, 1);
	refuse_foreign_fd(&b, eventfd(0, EFD_CLOEXEC), "an eventfd");
	bench_settle(&b);
	assert_true(b.running);
	bench_stop(&b);
}

/* Anything else: the keeper answers with the refusal, keeps the descriptor open and ends. */
static void test_not_a_domain_but_foreign(void **state)
{
	static const char *const words[] = {
		"regular file", "directory", "character device", "O_PATH", "pipe", "pipe", "socket", "anonymous inode"};

	(void)state;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		struct bench b;
		int before, pipe_fds[2], fds[8];

		assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
		fds[0] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		fds[1] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fds[2] = open("/dev/null", O_RDWR | O_CLOEXEC);
		fds[3] = open("/", O_PATH | O_CLOEXEC);
		fds[4] = pipe_fds[0];
		fds[5] = pipe_fds[1];
		fds[6] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		fds[7] = epoll_create1(EPOLL_CLOEXEC);
		bench_start(&b, 1);
		before = unit_fds();
		refuse_foreign_fd(&b, fds[i], words[i]);
		fds[i] = -1;
		assert_false(b.running);
		bench_expect_closed(&b, 0, REFUSAL_MALFORMED);
		/* the keeper has the last copy; the group and both channels went */
		assert_int_equal(unit_fds(), before - 3);
		assert_int_equal(b.keeper->group.kept.foreign.count, 1);
		bench_stop(&b);
		for (size_t j = 0; j < sizeof fds / sizeof fds[0]; j++)
			fd_cleanup(&fds[j]);
	}
}

/* What an errno of a step means, once everything before it was in order. */
static const struct {
	enum fake_step step;
	int error;
	int refusal; /* negative: goes out as FAILED */
} meanings[] = {
	{FAKE_STATUS, ENODEV, REFUSAL_GONE},
	{FAKE_STATUS, EIO, -EIO},
	{FAKE_ATTACH, EBADF, REFUSAL_NOT_A_DOMAIN},
	{FAKE_ATTACH, EBADFD, REFUSAL_NOT_A_DOMAIN},
	{FAKE_ATTACH, ENODEV, REFUSAL_DOMAIN_INCOMPATIBLE},
	{FAKE_ATTACH, EINVAL, REFUSAL_DOMAIN_INCOMPATIBLE},
	{FAKE_ATTACH, EBUSY, REFUSAL_DOMAIN_INCOMPATIBLE},
	{FAKE_ATTACH, ENOMEM, REFUSAL_NO_DOMAINS},
	{FAKE_ATTACH, ENOSPC, REFUSAL_NO_DOMAINS},
	{FAKE_ATTACH, EPERM, REFUSAL_NO_REMAPPING},
	{FAKE_ATTACH, EXDEV, -EXDEV},
	{FAKE_SETUP, EPERM, REFUSAL_NO_REMAPPING},
	{FAKE_SETUP, ENODEV, REFUSAL_DOMAIN_INCOMPATIBLE},
	{FAKE_SETUP, EINVAL, REFUSAL_DOMAIN_INCOMPATIBLE},
	{FAKE_SETUP, EBUSY, REFUSAL_DOMAIN_INCOMPATIBLE},
	{FAKE_SETUP, ENOMEM, REFUSAL_NO_DOMAINS},
	{FAKE_SETUP, ENOSPC, REFUSAL_NO_DOMAINS},
	{FAKE_SETUP, EXDEV, -EXDEV},
	{FAKE_DEVICE_GET, ENODEV, REFUSAL_GONE},
	{FAKE_DEVICE_GET, EINVAL, REFUSAL_DEVICE_BAD_STATE},
	{FAKE_DEVICE_GET, EIO, REFUSAL_DEVICE_BAD_STATE},
	{FAKE_DEVICE_GET, EBUSY, REFUSAL_DEVICE_BAD_STATE},
	{FAKE_DEVICE_GET, ETIMEDOUT, REFUSAL_DEVICE_BAD_STATE},
	{FAKE_DEVICE_GET, EACCES, REFUSAL_UNSUPPORTED},
	{FAKE_DEVICE_GET, EMFILE, -EMFILE},
	{FAKE_DEVICE_INFO, EIO, REFUSAL_DEVICE_BAD_STATE},
	{FAKE_DEVICE_INFO, ENODEV, REFUSAL_GONE},
	{FAKE_REGION_INFO, EIO, REFUSAL_DEVICE_BAD_STATE},
	{FAKE_IRQ_INFO, EIO, REFUSAL_DEVICE_BAD_STATE},
	{FAKE_IRQ_INFO, ENOMEM, -ENOMEM},
	/* EINVAL of a region means that it is not there; so would be the configuration space */
	{FAKE_REGION_INFO, EINVAL, REFUSAL_DEVICE_BAD_STATE},
	{FAKE_READ, EIO, REFUSAL_DEVICE_BAD_STATE},
	{FAKE_READ, ENODEV, REFUSAL_GONE},
	{FAKE_WRITE, EIO, REFUSAL_DEVICE_BAD_STATE},
	{FAKE_WRITE, EFAULT, REFUSAL_DEVICE_BAD_STATE},
	{FAKE_WRITE, ENODEV, REFUSAL_GONE},
	{FAKE_WRITE, EPERM, -EPERM},
};

static void test_meanings(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();
	int before;

	(void)state;
	bench_start(&b, 1);
	before = unit_fds();
	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
		fake_kernel_fail(meanings[i].step, meanings[i].error);
		assert_int_equal(bench_bind(&b, 0, domain), meanings[i].refusal);
		fake_kernel_fail(meanings[i].step, 0);
		assert_detail(&b, bench_names[0]);
		assert_detail(&b, "group 7");
		assert_detail(&b,
			strerror(meanings[i].error == EINVAL && meanings[i].step == FAKE_REGION_INFO
					? EIO
					: meanings[i].error));
		assert_unbound(&b, 0);
		assert_int_equal(bench_fds(&b), before);
		assert_int_equal(bench_bind(&b, 0, domain), 0);
		assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), 0);
	}
	bench_stop(&b);
}

static void test_not_viable(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();

	(void)state;
	bench_start(&b, 1);
	b.group->viable = false;
	assert_int_equal(bench_bind(&b, 0, domain), REFUSAL_GROUP_NOT_VIABLE);
	assert_detail(&b, "group 7");
	assert_unbound(&b, 0);
	b.group->viable = true;
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	bench_stop(&b);
}

static void test_no_remapping(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();
	OWNED_FD other = fake_group_create(8, true, (const char *const[]){"0000:02:00.0", NULL});

	(void)state;
	bench_start(&b, 1);
	b.group->no_remapping = true;
	assert_int_equal(bench_bind(&b, 0, domain), REFUSAL_NO_REMAPPING);
	assert_detail(&b, "interrupt remapping");
	assert_unbound(&b, 0);
	/* The domain is ready through another group: now it is SET_CONTAINER that says so. */
	assert_int_equal(fake_vfio.group_attach(other, domain), 0);
	assert_int_equal(fake_vfio.domain_setup(domain), 0);
	assert_int_equal(bench_bind(&b, 0, domain), REFUSAL_NO_REMAPPING);
	assert_detail(&b, "interrupt remapping");
	assert_unbound(&b, 0);
	assert_int_equal(fake_vfio.group_detach(other), 0);
	bench_stop(&b);
}

static void test_dead_device(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();

	(void)state;
	bench_start(&b, 1);
	b.group->devices[0].vanished = true;
	assert_int_equal(bench_bind(&b, 0, domain), REFUSAL_DEVICE_BAD_STATE);
	assert_detail(&b, "ffff");
	assert_unbound(&b, 0);
	bench_stop(&b);
}

static void test_siblings(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();
	OWNED_FD same = fcntl(domain, F_DUPFD_CLOEXEC, 3);
	OWNED_FD other = fake_container_open();
	int before;

	(void)state;
	bench_start(&b, 2);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	before = unit_fds();
	assert_int_equal(bench_bind(&b, 1, other), REFUSAL_DOMAIN_INCOMPATIBLE);
	assert_detail(&b, bench_names[0]);
	assert_detail(&b, bench_names[1]);
	assert_int_equal(bench_fds(&b), before);
	/* With a device at work, no domain is closed for good. */
	assert_int_equal(b.keeper->group.kept.known.count, 1);
	assert_int_equal(bench_bind(&b, 1, same), 0);
	/* the device and its eventfd, twice; one domain for both */
	assert_int_equal(bench_fds(&b), before + 3);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), 0);
	assert_true(fake_container_view(domain)->iommu);
	assert_int_equal(bench_bind(&b, 0, other), REFUSAL_DOMAIN_INCOMPATIBLE);
	assert_int_equal(bench_call(&b, b.clients[1], DEVICE_UNBIND, NULL, 0), 0);
	assert_false(fake_container_view(domain)->iommu);
	/* nobody is in it any more: the next may choose */
	assert_int_equal(bench_bind(&b, 0, other), 0);
	bench_stop(&b);
}

/* A sibling that fails to open does not take the group out of the other's domain. */
static void test_sibling_fails(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();

	(void)state;
	bench_start(&b, 2);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	fake_kernel_fail(FAKE_DEVICE_GET, EIO);
	assert_int_equal(bench_bind(&b, 1, domain), REFUSAL_DEVICE_BAD_STATE);
	fake_kernel_fail(FAKE_DEVICE_GET, 0);
	assert_true(fake_container_view(domain)->iommu);
	assert_int_equal(bench_command(&b, 0) & PCI_COMMAND_MASTER, PCI_COMMAND_MASTER);
	bench_stop(&b);
}

/* Two groups, each with its keeper, in one domain. */
static void test_shared_domain(void **state)
{
	struct bench a, b;
	OWNED_FD domain = fake_container_open();

	(void)state;
	bench_start(&a, 1);
	bench_start(&b, 1);
	b.group->number = 8;
	assert_int_equal(bench_bind(&a, 0, domain), 0);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	assert_int_equal(bench_call(&a, a.clients[0], DEVICE_UNBIND, NULL, 0), 0);
	assert_true(fake_container_view(domain)->iommu);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), 0);
	assert_false(fake_container_view(domain)->iommu);
	bench_stop(&b);
	bench_stop(&a);
}

/* The owner may have done SET_IOMMU itself, through another group. */
static void test_ready_domain(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();
	OWNED_FD other = fake_group_create(8, true, (const char *const[]){"0000:02:00.0", NULL});

	(void)state;
	bench_start(&b, 1);
	assert_int_equal(fake_vfio.group_attach(other, domain), 0);
	assert_int_equal(fake_vfio.domain_setup(domain), 0);
	fake_kernel_fail(FAKE_SETUP, EINVAL);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	assert_int_equal(fake_vfio.group_detach(other), 0);
	bench_stop(&b);
}

/* A failure while letting go is reported, and everything else is still done. */
static void test_unbind_fails(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();

	(void)state;
	bench_start(&b, 1);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	fake_kernel_fail(FAKE_DETACH, EBUSY);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), -EBUSY);
	assert_detail(&b, bench_names[0]);
	assert_int_equal(b.group->devices[0].opened, 0);
	fake_kernel_fail(FAKE_DETACH, 0);
	/* The kernel still has the group in the domain. */
	assert_int_equal(bench_bind(&b, 0, domain), REFUSAL_DOMAIN_INCOMPATIBLE);
	assert_int_equal(fake_vfio.group_detach(b.group_copy), 0);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	fake_kernel_fail(FAKE_WRITE, EIO);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), -EIO);
	fake_kernel_fail(FAKE_WRITE, 0);
	assert_unbound(&b, 0);
	bench_stop(&b);
}

/*
 * The kernel takes a group out of its container itself when its last device leaves vfio-pci
 * (vfio_device_remove_group() in drivers/vfio/group.c).
 */
static void test_left_already(void **state)
{
	struct bench b;
	OWNED_FD domain = fake_container_open();

	(void)state;
	bench_start(&b, 1);
	assert_int_equal(bench_bind(&b, 0, domain), 0);
	fake_kernel_fail(FAKE_DETACH, EINVAL);
	assert_int_equal(bench_call(&b, b.clients[0], DEVICE_UNBIND, NULL, 0), 0);
	fake_kernel_fail(FAKE_DETACH, 0);
	assert_int_equal(fake_vfio.group_detach(b.group_copy), 0);
	bench_stop(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(test_left_already),
		bench_test(test_bind_unbind),
		bench_test(test_not_a_domain),
		bench_test(test_not_a_domain_but_foreign),
		bench_test(test_meanings),
		bench_test(test_not_viable),
		bench_test(test_no_remapping),
		bench_test(test_dead_device),
		bench_test(test_siblings),
		bench_test(test_sibling_fails),
		bench_test(test_shared_domain),
		bench_test(test_ready_domain),
		bench_test(test_unbind_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
