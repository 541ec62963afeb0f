/* SPDX-License-Identifier: MIT */
#include "domain.h"

#include "container.h"
#include "message.h"
#include "unit.h"
#include "vfio-broker.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define PAGE 4096UL
#define RW   (VBROKER_DEVICE_READS | VBROKER_DEVICE_WRITES)

/* A domain on the fake kernel, and the group of one device to bind to it, as a keeper would. */
struct fixture {
	int fds_before;
	struct vbroker_domain *domain;
	int group;
	char *memory;
};

static const char *const names[] = {"0000:00:02.0", NULL};

static int set_up_unbound(void **state)
{
	static struct fixture fixture;

	fixture.fds_before = unit_fds();
	fixture.group = fake_group_create(1, true, names);
	assert_true(fixture.group >= 0);
	assert_int_equal(domain_open_on(&fake_domain, &fixture.domain), 0);
	fixture.memory = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(fixture.memory, MAP_FAILED);
	*state = &fixture;
	return 0;
}

static void attach(struct fixture *f)
{
	assert_int_equal(fake_vfio.group_attach(f->group, vbroker_domain_fd(f->domain)), 0);
	assert_int_equal(fake_vfio.domain_setup(vbroker_domain_fd(f->domain)), 0);
}

static void detach(struct fixture *f)
{
	assert_int_equal(fake_vfio.group_detach(f->group), 0);
}

static int set_up(void **state)
{
	set_up_unbound(state);
	attach(*state);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (fake_group_view(f->group)->container)
		detach(f);
	vbroker_domain_close(f->domain);
	close(f->group);
	munmap(f->memory, 16 * PAGE);
	assert_int_equal(unit_fds(), f->fds_before);
	return 0;
}

static uint64_t map_any(struct fixture *f, size_t length)
{
	uint64_t iova = 0;

	assert_int_equal(vbroker_domain_map(f->domain, f->memory, length, RW, VBROKER_IOVA_ANY, &iova), 0);
	return iova;
}

static int map_at(struct fixture *f, uint64_t iova, size_t length)
{
	return vbroker_domain_map(f->domain, f->memory, length, RW, iova, NULL);
}

static void assert_detail(const char *part)
{
	if (!strstr(vbroker_detail(), part))
		fail_msg("\"%s\" is not in the detail \"%s\"", part, vbroker_detail());
}

/* ---- devices with few address bits ---- */

static int map_low(struct fixture *f, size_t length, unsigned int bits, uint64_t iova, uint64_t *ret_iova)
{
	return vbroker_domain_map(f->domain, f->memory, length, RW | VBROKER_ADDRESS_BITS(bits), iova, ret_iova);
}

/* Below 2^14 there are three pages to hand out. */
static void test_address_bits(void **state)
{
	struct fixture *f = *state;
	uint64_t iova = 0;

	attach(f);
	assert_int_equal(map_low(f, 4 * PAGE, 14, VBROKER_IOVA_ANY, &iova), VBROKER_IOVA_INVALID);
	assert_detail("the usable IOVAs up to 0x3fff have no room for 16 KiB, even with nothing mapped");
	assert_int_equal(map_any(f, PAGE), PAGE);
	assert_int_equal(map_low(f, 2 * PAGE, 14, VBROKER_IOVA_ANY, &iova), 0);
	assert_int_equal(iova, 2 * PAGE);
	assert_int_equal(map_low(f, PAGE, 14, VBROKER_IOVA_ANY, &iova), VBROKER_QUOTA);
	assert_detail("no free run of 4 KiB is left among the usable IOVAs up to 0x3fff");
	assert_int_equal(map_low(f, PAGE, 28, VBROKER_IOVA_ANY, &iova), 0);
	assert_int_equal(iova, 4 * PAGE);
	/* Nothing above matters to 64 bits. */
	assert_int_equal(map_low(f, PAGE, 64, VBROKER_IOVA_ANY, &iova), 0);
	assert_int_equal(iova, 5 * PAGE);
	/* The end counts, not the beginning. */
	assert_int_equal(vbroker_domain_unmap(f->domain, 2 * PAGE, 2 * PAGE), 0);
	assert_int_equal(map_low(f, PAGE, 14, 3 * PAGE, NULL), 0);
	assert_int_equal(map_low(f, 2 * PAGE, 15, 7 * PAGE, NULL), VBROKER_IOVA_INVALID);
	assert_detail("the devices reach IOVAs up to 0x7fff, not 0x8fff");
	assert_int_equal(map_low(f, 2 * PAGE, 16, 7 * PAGE, NULL), 0);
	assert_int_equal(map_low(f, PAGE, 65, VBROKER_IOVA_ANY, &iova), -EINVAL);
	assert_int_equal(map_low(f, PAGE, 128, VBROKER_IOVA_ANY, &iova), -EINVAL);
}

/* ---- before and after ---- */

static void test_not_bound(void **state)
{
	struct fixture *f = *state;
	struct vbroker_range *ranges;
	uint64_t sizes, iova;
	size_t count;

	assert_int_equal(vbroker_domain_ranges(f->domain, &ranges, &count, &sizes), VBROKER_NOT_BOUND);
	assert_int_equal(
		vbroker_domain_map(f->domain, f->memory, PAGE, RW, VBROKER_IOVA_ANY, &iova), VBROKER_NOT_BOUND);
	assert_int_equal(vbroker_domain_unmap(f->domain, PAGE, PAGE), VBROKER_NOT_BOUND);
	attach(f);
	assert_int_equal(map_any(f, PAGE), PAGE);
}

static void test_open_fails(void **state)
{
	struct vbroker_domain *domain = (void *)1;

	(void)state;
	fake_kernel_fail(FAKE_OPEN, ENODEV);
	assert_int_equal(domain_open_on(&fake_domain, &domain), -ENODEV);
	fake_kernel_fail(FAKE_OPEN, 0);
	assert_ptr_equal(domain, (void *)1);
	vbroker_domain_close(NULL);
}

static void test_ranges(void **state)
{
	struct fixture *f = *state;
	struct vbroker_range *ranges;
	uint64_t sizes;
	size_t count;

	assert_int_equal(vbroker_domain_ranges(f->domain, &ranges, &count, &sizes), 0);
	assert_int_equal(count, 2);
	assert_int_equal(ranges[0].first, 0);
	assert_int_equal(ranges[0].last, FAKE_MSI_FIRST - 1);
	assert_int_equal(ranges[1].first, FAKE_MSI_LAST + 1);
	assert_int_equal(ranges[1].last, (UINT64_C(1) << 48) - 1);
	assert_int_equal(sizes & -sizes, PAGE);
	free(ranges);
}

/* ---- mapping ---- */

static void test_chosen_and_given(void **state)
{
	struct fixture *f = *state;
	struct fake_container *container = fake_container_view(vbroker_domain_fd(f->domain));

	assert_int_equal(map_at(f, 2 * PAGE, PAGE), 0);
	assert_int_equal(map_any(f, PAGE), PAGE);
	assert_int_equal(map_any(f, 2 * PAGE), 3 * PAGE);
	assert_int_equal(map_at(f, 0, PAGE), 0);
	assert_int_equal(container->mapping_count, 4);
	assert_int_equal(vbroker_domain_unmap(f->domain, PAGE, PAGE), 0);
	assert_int_equal(map_any(f, PAGE), PAGE);
	assert_int_equal(vbroker_domain_unmap(f->domain, 0, 5 * PAGE), 0);
	assert_int_equal(container->mapping_count, 0);
}

static void test_access(void **state)
{
	struct fixture *f = *state;
	struct fake_container *container = fake_container_view(vbroker_domain_fd(f->domain));
	uint64_t iova;

	assert_int_equal(vbroker_domain_map(f->domain, f->memory, PAGE, VBROKER_DEVICE_READS, PAGE, NULL), 0);
	assert_int_equal(container->mappings[0].flags, VFIO_DMA_MAP_FLAG_READ);
	assert_int_equal(vbroker_domain_map(f->domain, f->memory, PAGE, VBROKER_DEVICE_WRITES, 0, NULL), 0);
	assert_int_equal(container->mappings[0].flags, VFIO_DMA_MAP_FLAG_WRITE);
	assert_int_equal(vbroker_domain_map(f->domain, f->memory, PAGE, 0, VBROKER_IOVA_ANY, &iova), -EINVAL);
	assert_int_equal(vbroker_domain_map(f->domain, f->memory, PAGE, 4, VBROKER_IOVA_ANY, &iova), -EINVAL);
	assert_int_equal(vbroker_domain_map(f->domain, f->memory, PAGE, RW, VBROKER_IOVA_ANY, NULL), -EINVAL);
}

static void test_in_use(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_at(f, 4 * PAGE, 2 * PAGE), 0);
	assert_int_equal(map_at(f, 5 * PAGE, 2 * PAGE), VBROKER_IOVA_IN_USE);
	assert_detail("0x4000-0x5fff");
	/* It did not change what is known. */
	assert_int_equal(vbroker_domain_unmap(f->domain, 4 * PAGE, 2 * PAGE), 0);
	assert_int_equal(map_at(f, 5 * PAGE, 2 * PAGE), 0);
}

static void test_in_use_by_others(void **state)
{
	struct fixture *f = *state;
	struct vfio_iommu_type1_dma_map map = {sizeof map, VFIO_DMA_MAP_FLAG_READ, (uintptr_t)f->memory, PAGE, PAGE};
	uint64_t iova;

	assert_int_equal(fake_domain.map(vbroker_domain_fd(f->domain), &map), 0);
	assert_int_equal(
		vbroker_domain_map(f->domain, f->memory, PAGE, RW, VBROKER_IOVA_ANY, &iova), VBROKER_IOVA_IN_USE);
	assert_detail("by other means");
	assert_int_equal(map_at(f, PAGE, PAGE), VBROKER_IOVA_IN_USE);
	assert_detail("by other means");
	assert_int_equal(vbroker_domain_unmap(f->domain, PAGE, PAGE), 0);
	assert_int_equal(map_any(f, PAGE), PAGE);
}

static void test_invalid(void **state)
{
	struct fixture *f = *state;
	uint64_t iova;

	assert_int_equal(map_at(f, FAKE_MSI_FIRST, PAGE), VBROKER_IOVA_INVALID);
	assert_detail("0-0xfedfffff 0xfef00000-0xffffffffffff");
	assert_int_equal(map_at(f, FAKE_MSI_FIRST - PAGE, 2 * PAGE), VBROKER_IOVA_INVALID);
	assert_int_equal(map_at(f, UINT64_C(1) << 48, PAGE), VBROKER_IOVA_INVALID);
	assert_int_equal(map_at(f, PAGE + 1, PAGE), VBROKER_IOVA_INVALID);
	assert_detail("4096");
	assert_int_equal(map_at(f, PAGE, PAGE + 1), VBROKER_IOVA_INVALID);
	assert_int_equal(map_at(f, PAGE, 0), VBROKER_IOVA_INVALID);
	assert_int_equal(map_at(f, UINT64_MAX - PAGE + 1, 2 * PAGE), VBROKER_IOVA_INVALID);
	assert_int_equal(
		vbroker_domain_map(f->domain, f->memory + 1, PAGE, RW, VBROKER_IOVA_ANY, &iova), VBROKER_IOVA_INVALID);
	assert_int_equal(map_any(f, PAGE), PAGE);
}

static void test_bad_address(void **state)
{
	struct fixture *f = *state;
	uint64_t iova;

	munmap(f->memory + 8 * PAGE, PAGE);
	assert_int_equal(vbroker_domain_map(f->domain, f->memory, 16 * PAGE, RW, VBROKER_IOVA_ANY, &iova), -EFAULT);
	assert_detail("memory of this process");
	/* The IOVAs that were chosen are free again. */
	assert_int_equal(map_any(f, PAGE), PAGE);
}

static void test_memlock(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, low;
	uint64_t iova;
	int r;

	getrlimit(RLIMIT_MEMLOCK, &before);
	low = (struct rlimit){8 * PAGE, before.rlim_max};
	fake_kernel_fail(FAKE_MAP, ENOMEM);
	setrlimit(RLIMIT_MEMLOCK, &low);
	r = vbroker_domain_map(f->domain, f->memory, 16 * PAGE, RW, VBROKER_IOVA_ANY, &iova);
	assert_int_equal(r, VBROKER_MEMLOCK);
	assert_detail("64 KiB more on top of 0 KiB");
	assert_detail("limit of 32 KiB");
	assert_detail("raise LimitMEMLOCK= of the unit to at least 64K");
	/* What fits the limit fails for another reason. */
	r = vbroker_domain_map(f->domain, f->memory, 4 * PAGE, RW, VBROKER_IOVA_ANY, &iova);
	setrlimit(RLIMIT_MEMLOCK, &before);
	fake_kernel_fail(FAKE_MAP, 0);
	assert_int_equal(r, -ENOMEM);
	assert_int_equal(map_any(f, PAGE), PAGE);
}

static void test_as_many_as_the_kernel_allows(void **state)
{
	struct fixture *f = *state;
	uint64_t iova;

	for (uint64_t i = 1; i <= FAKE_MAPPINGS_MAX; i++)
		assert_int_equal(map_any(f, PAGE), i * PAGE);
	assert_int_equal(vbroker_domain_map(f->domain, f->memory, PAGE, RW, VBROKER_IOVA_ANY, &iova), VBROKER_QUOTA);
	assert_detail("65535");
	assert_int_equal(map_at(f, UINT64_C(1) << 40, PAGE), VBROKER_QUOTA);
	assert_int_equal(vbroker_domain_unmap(f->domain, 77 * PAGE, PAGE), 0);
	assert_int_equal(map_any(f, PAGE), 77 * PAGE);
	assert_int_equal(vbroker_domain_unmap(f->domain, PAGE, FAKE_MAPPINGS_MAX * PAGE), 0);
	assert_int_equal(map_any(f, 4 * PAGE), PAGE);
}

/* ---- unmapping ---- */

static void test_unmap_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(vbroker_domain_unmap(f->domain, 8 * PAGE, PAGE), VBROKER_IOVA_INVALID);
	assert_detail("nothing is mapped");
	assert_int_equal(vbroker_domain_unmap(f->domain, 8 * PAGE, 0), VBROKER_IOVA_INVALID);
	assert_int_equal(vbroker_domain_unmap(f->domain, 8 * PAGE + 1, PAGE), VBROKER_IOVA_INVALID);
}

static void test_unmap_part(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_at(f, 4 * PAGE, 4 * PAGE), 0);
	assert_int_equal(vbroker_domain_unmap(f->domain, 4 * PAGE, PAGE), VBROKER_IOVA_INVALID);
	assert_detail("would cut the mapping 0x4000-0x7fff");
	assert_int_equal(vbroker_domain_unmap(f->domain, 7 * PAGE, 5 * PAGE), VBROKER_IOVA_INVALID);
	assert_detail("would cut the mapping 0x4000-0x7fff");
	assert_int_equal(map_at(f, 5 * PAGE, PAGE), VBROKER_IOVA_IN_USE);
	/* More than the mapping is fine. */
	assert_int_equal(vbroker_domain_unmap(f->domain, 2 * PAGE, 8 * PAGE), 0);
	assert_int_equal(map_at(f, 5 * PAGE, PAGE), 0);
}

/* ---- devices come and go ---- */

static void test_last_device_leaves(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_any(f, PAGE), PAGE);
	detach(f);
	assert_int_equal(map_at(f, 4 * PAGE, PAGE), VBROKER_NOT_BOUND);
	assert_int_equal(vbroker_domain_unmap(f->domain, PAGE, PAGE), VBROKER_NOT_BOUND);
	attach(f);
	assert_int_equal(map_any(f, PAGE), PAGE);
}

static void test_unmap_after_last_device(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_any(f, PAGE), PAGE);
	detach(f);
	assert_int_equal(vbroker_domain_unmap(f->domain, PAGE, PAGE), VBROKER_NOT_BOUND);
}

/* The device was taken away, and the next one is bound before anybody has looked. */
static void test_next_life(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_any(f, PAGE), PAGE);
	detach(f);
	domain_before_bind(f->domain);
	attach(f);
	domain_after_bind(f->domain, MAPPINGS_UNLIMITED);
	assert_int_equal(map_any(f, PAGE), PAGE);
}

/* The same for the limits of the devices that have left, when nothing was asked of the domain in their time. */
static void test_next_life_of_limits(void **state)
{
	struct fixture *f = *state;

	domain_after_bind(f->domain, 5);
	detach(f);
	domain_before_bind(f->domain);
	attach(f);
	domain_after_bind(f->domain, 9);
	assert_int_equal(domain_channel_mappings(f->domain), 9);
}

/* The same by other means than this library: the kernel's word counts more than the record. */
static void test_next_life_unnoticed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(map_at(f, 4 * PAGE, 4 * PAGE), 0);
	detach(f);
	attach(f);
	assert_int_equal(map_at(f, 6 * PAGE, PAGE), 0);
	assert_int_equal(map_at(f, 4 * PAGE, 2 * PAGE), 0);
	assert_int_equal(map_at(f, 6 * PAGE, PAGE), VBROKER_IOVA_IN_USE);
	assert_int_equal(vbroker_domain_unmap(f->domain, 4 * PAGE, 3 * PAGE), 0);
}

static void test_another_device_narrows(void **state)
{
	struct fixture *f = *state;
	struct vbroker_range *ranges;
	uint64_t sizes;
	size_t count;

	assert_int_equal(map_at(f, UINT64_C(1) << 40, PAGE), 0);
	assert_int_equal(vbroker_domain_unmap(f->domain, UINT64_C(1) << 40, PAGE), 0);
	assert_int_equal(map_any(f, PAGE), PAGE);
	fake_container_view(vbroker_domain_fd(f->domain))->width = 39;
	domain_after_bind(f->domain, MAPPINGS_UNLIMITED);
	assert_int_equal(map_at(f, UINT64_C(1) << 40, PAGE), VBROKER_IOVA_INVALID);
	assert_detail("0x7fffffffff");
	/* What is mapped is known still. */
	assert_int_equal(map_any(f, PAGE), 2 * PAGE);
	assert_int_equal(vbroker_domain_ranges(f->domain, &ranges, &count, &sizes), 0);
	assert_int_equal(ranges[1].last, (UINT64_C(1) << 39) - 1);
	free(ranges);
}

/* Nobody told the library; an IOVA that it chose turns out to be none, and it chooses again. */
static void test_narrowed_unnoticed(void **state)
{
	struct fixture *f = *state;
	size_t size = UINT64_C(1) << 32;
	char *large = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t iova;

	assert_ptr_not_equal(large, MAP_FAILED);
	assert_int_equal(map_any(f, PAGE), PAGE);
	fake_container_view(vbroker_domain_fd(f->domain))->width = 32;
	assert_int_equal(vbroker_domain_map(f->domain, large, size, VBROKER_DEVICE_READS, VBROKER_IOVA_ANY, &iova),
		VBROKER_QUOTA);
	assert_detail("4194304 KiB");
	munmap(large, size);
}

/* ---- what the kernel says about itself ---- */

static struct {
	uint32_t offset; /* of the capability */
	uint32_t next;
	uint16_t id;
	uint32_t ranges; /* as it says */
	uint32_t room;	 /* bytes that it wants, in all */
	unsigned int calls;
} kernel_says;

static int scripted_info(int fd, struct vfio_iommu_type1_info *info)
{
	/* Made here, where it is aligned, and copied to wherever the script wants it. */
	static uint64_t memory[1024];
	struct vfio_iommu_type1_info_cap_iova_range *cap = (void *)memory;
	uint32_t given = info->argsz, room = given - kernel_says.offset;

	(void)fd;
	kernel_says.calls++;
	info->flags = VFIO_IOMMU_INFO_PGSIZES | VFIO_IOMMU_INFO_CAPS;
	info->iova_pgsizes = PAGE;
	info->argsz = kernel_says.room;
	info->cap_offset = 0;
	if (given < kernel_says.room)
		return 0;
	info->cap_offset = kernel_says.offset;
	if (kernel_says.offset > given || room < sizeof *cap)
		return 0;
	cap->header = (struct vfio_info_cap_header){kernel_says.id, 1, kernel_says.next};
	cap->nr_iovas = kernel_says.ranges;
	for (uint32_t i = 0; i < kernel_says.ranges && (char *)&cap->iova_ranges[i + 1] <= (char *)memory + room; i++) {
		cap->iova_ranges[i].start = i * 16 * PAGE;
		cap->iova_ranges[i].end = (i * 16 + 8) * PAGE - 1;
	}
	memcpy((char *)info + kernel_says.offset, memory, room < sizeof memory ? room : sizeof memory);
	return 0;
}

static int ask(uint32_t offset, uint32_t next, uint16_t id, uint32_t said, uint32_t room, size_t *ret_count)
{
	struct domain_kernel kernel = fake_domain;
	struct vbroker_domain *domain;
	struct vbroker_range *ranges;
	uint64_t sizes;
	int r;

	kernel.info = scripted_info;
	kernel_says.offset = offset;
	kernel_says.next = next;
	kernel_says.id = id;
	kernel_says.ranges = said;
	kernel_says.room = room;
	kernel_says.calls = 0;
	assert_int_equal(domain_open_on(&kernel, &domain), 0);
	r = vbroker_domain_ranges(domain, &ranges, ret_count, &sizes);
	if (r == 0)
		free(ranges);
	vbroker_domain_close(domain);
	return r;
}

static void test_info_of_all_kinds(void **state)
{
	const uint32_t start = sizeof(struct vfio_iommu_type1_info);
	size_t count = 0;

	(void)state;
	/* More ranges than the first guess has room for */
	assert_int_equal(ask(start, 0, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 300, 8192, &count), 0);
	assert_int_equal(count, 300);
	assert_int_equal(kernel_says.calls, 2);
	/* Linux 6.1 does not align capabilities */
	assert_int_equal(ask(start + 4, 0, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 3, 256, &count), 0);
	assert_int_equal(count, 3);
	/* A kernel that never has enough */
	assert_int_equal(ask(start, 0, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, UINT32_MAX, &count), -EOVERFLOW);
	/* None, in a loop, behind the end, more ranges than there are bytes */
	assert_int_equal(ask(start, 0, 77, 1, 256, &count), VBROKER_UNSUPPORTED);
	assert_int_equal(ask(start, start, 77, 1, 256, &count), VBROKER_UNSUPPORTED);
	assert_int_equal(ask(0, 0, 77, 1, 256, &count), VBROKER_UNSUPPORTED);
	assert_int_equal(ask(248, 0, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, 256, &count), VBROKER_UNSUPPORTED);
	assert_int_equal(ask(1U << 31, 0, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1, 256, &count), VBROKER_UNSUPPORTED);
	assert_int_equal(ask(start, 0, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, 1000, 256, &count), -EOVERFLOW);
}

static void test_is_domain(void **state)
{
	(void)state;
	assert_false(domain_is_domain(-1));
	assert_false(domain_is_domain(STDERR_FILENO));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_not_bound, set_up_unbound, tear_down),
		cmocka_unit_test_setup_teardown(test_address_bits, set_up_unbound, tear_down),
		cmocka_unit_test(test_open_fails),
		cmocka_unit_test_setup_teardown(test_ranges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_chosen_and_given, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_access, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_in_use, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_in_use_by_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_invalid, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bad_address, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_memlock, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_as_many_as_the_kernel_allows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_part, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_last_device_leaves, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unmap_after_last_device, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_next_life, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_next_life_of_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_next_life_unnoticed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_device_narrows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_narrowed_unnoticed, set_up, tear_down),
		cmocka_unit_test(test_info_of_all_kinds),
		cmocka_unit_test(test_is_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
