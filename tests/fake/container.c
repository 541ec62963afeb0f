/* SPDX-License-Identifier: MIT */
#include "container.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTAINER_MAGIC UINT64_C(0x72656e6961746e6f)
#define GROUP_MAGIC	UINT64_C(0x70756f7267656b61)

static int failures_of_process[FAKE_STEPS];

void fake_kernel_fail(enum fake_step step, int error)
{
	failures_of_process[step] = error;
}

int fake_failure(enum fake_step step, const int *failures)
{
	if (failures_of_process[step])
		return -failures_of_process[step];
	return failures ? -failures[step] : 0;
}

/* ---- mutexes that survive their owners ---- */

static void make_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(mutex, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

void fake_lock(pthread_mutex_t *mutex)
{
	if (pthread_mutex_lock(mutex) == EOWNERDEAD)
		pthread_mutex_consistent(mutex);
}

void fake_unlock(pthread_mutex_t *mutex)
{
	pthread_mutex_unlock(mutex);
}

bool fake_alive(pthread_mutex_t *life)
{
	int r = pthread_mutex_trylock(life);

	if (r == EBUSY)
		return true;
	if (r == EOWNERDEAD)
		pthread_mutex_consistent(life);
	pthread_mutex_unlock(life);
	return false;
}

/* ---- mapped files ---- */

/*
 * One mapping per file and process, found by inode: a mutex that is held must stay where it is. The mapping keeps the
 * inode alive, so its number is not used again.
 */
struct view {
	dev_t dev;
	ino_t ino;
	void *content;
	size_t size;
};

#define VIEWS_MAX 64

static struct view views[VIEWS_MAX];
static size_t views_used;
static pthread_mutex_t views_lock = PTHREAD_MUTEX_INITIALIZER;

/* A group that this process attached must not be unmapped; its own life says so to itself, too. */
static bool in_use(const struct view *view)
{
	struct fake_group *group = view->content;
	struct fake_container *container = view->content;

	if (group->magic == GROUP_MAGIC)
		return fake_alive(&group->life);
	for (size_t i = 0; i < FAKE_GROUPS_MAX; i++) {
		if (container->attachments[i].used && fake_alive(&container->attachments[i].life))
			return true;
	}
	return false;
}

/* A slot for a new view; the oldest unused one goes. */
static struct view *view_slot(void)
{
	if (views_used < VIEWS_MAX)
		return &views[views_used++];
	for (size_t i = 0; i < VIEWS_MAX; i++) {
		if (in_use(&views[i]))
			continue;
		munmap(views[i].content, views[i].size);
		memmove(&views[i], &views[i + 1], (VIEWS_MAX - 1 - i) * sizeof views[0]);
		return &views[VIEWS_MAX - 1];
	}
	assert(false && "more fake groups and containers in use than this process can have");
	return NULL;
}

/* Makes it the youngest: what a caller is using is never the oldest. Returns its content. */
static void *view_touch(size_t i)
{
	struct view view = views[i];

	memmove(&views[i], &views[i + 1], (views_used - 1 - i) * sizeof views[0]);
	views[views_used - 1] = view;
	return view.content;
}

static void *view_make(int fd, const struct stat *status)
{
	void *content = mmap(NULL, (size_t)status->st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (content == MAP_FAILED)
		return NULL;
	*view_slot() = (struct view){status->st_dev, status->st_ino, content, (size_t)status->st_size};
	return content;
}

static void *view_find(int fd, size_t size, uint64_t magic)
{
	struct stat status;
	uint64_t found;
	void *content = NULL;

	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || (size_t)status.st_size != size ||
		pread(fd, &found, sizeof found, 0) != sizeof found || found != magic)
		return NULL;
	pthread_mutex_lock(&views_lock);
	for (size_t i = 0; i < views_used && !content; i++) {
		if (views[i].dev == status.st_dev && views[i].ino == status.st_ino)
			content = view_touch(i);
	}
	if (!content)
		content = view_make(fd, &status);
	pthread_mutex_unlock(&views_lock);
	return content;
}

/* Fills the file of FD with zeros. */
static int clear(int fd, size_t size)
{
	return ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

static int create(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* ---- containers ---- */

static void *map_new(int fd, size_t size)
{
	void *content = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return content == MAP_FAILED ? NULL : content;
}

static int container_format(int fd)
{
	struct fake_container *container;
	int r = clear(fd, sizeof *container);

	if (r < 0)
		return r;
	container = map_new(fd, sizeof *container);
	if (!container)
		return -ENOMEM;
	make_mutex(&container->lock);
	for (size_t i = 0; i < FAKE_GROUPS_MAX; i++)
		make_mutex(&container->attachments[i].life);
	container->page_size = 4096;
	container->width = 48;
	container->magic = CONTAINER_MAGIC;
	munmap(container, sizeof *container);
	return 0;
}

int fake_container_open(void)
{
	int fd = fake_failure(FAKE_OPEN, NULL);
	int r;

	if (fd < 0)
		return fd;
	fd = create("fake-container");
	if (fd < 0)
		return fd;
	r = container_format(fd);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

bool fake_container_check(int fd)
{
	return view_find(fd, sizeof(struct fake_container), CONTAINER_MAGIC) != NULL;
}

/* The last group that leaves takes the IOMMU and all mappings along. */
static void drop_dead(struct fake_container *container)
{
	size_t alive = 0;

	for (size_t i = 0; i < FAKE_GROUPS_MAX; i++) {
		struct fake_attachment *attachment = &container->attachments[i];

		if (attachment->used && !fake_alive(&attachment->life))
			attachment->used = false;
		alive += attachment->used;
	}
	if (alive == 0) {
		container->iommu = false;
		container->mapping_count = 0;
	}
}

static struct fake_container *refreshed(struct fake_container *container)
{
	if (!container)
		return NULL;
	fake_lock(&container->lock);
	drop_dead(container);
	fake_unlock(&container->lock);
	return container;
}

struct fake_container *fake_container_view(int fd)
{
	return refreshed(view_find(fd, sizeof(struct fake_container), CONTAINER_MAGIC));
}

struct fake_container *fake_container_at(uint64_t inode)
{
	struct fake_container *container = NULL;

	pthread_mutex_lock(&views_lock);
	for (size_t i = 0; i < views_used; i++) {
		if (views[i].ino == inode && views[i].size == sizeof *container)
			container = views[i].content;
	}
	pthread_mutex_unlock(&views_lock);
	return refreshed(container);
}

/* ---- groups ---- */

static void put16(uint8_t *bytes, uint16_t value)
{
	bytes[0] = (uint8_t)value;
	bytes[1] = (uint8_t)(value >> 8);
}

#define MSIX_CAPABILITY 0x40

static void device_make(struct fake_device *device, const char *name)
{
	strncpy(device->name, name, sizeof device->name - 1);
	device->resettable = true;
	put16(&device->config[0], 0x1234); /* edu */
	put16(&device->config[2], 0x11e8);
	put16(&device->config[10], 0x00ff);
	put16(&device->config[PCI_STATUS], PCI_STATUS_CAP_LIST);
	device->config[PCI_CAPABILITY_LIST] = MSIX_CAPABILITY;
	device->config[MSIX_CAPABILITY] = PCI_CAP_ID_MSIX;
	put16(&device->config[MSIX_CAPABILITY + PCI_MSIX_FLAGS], FAKE_MSIX_COUNT - 1);
	put16(&device->config[MSIX_CAPABILITY + PCI_MSIX_TABLE], FAKE_MSIX_TABLE | VFIO_PCI_BAR0_REGION_INDEX);
}

int fake_group_format(int fd, uint32_t number, bool viable, const char *const *names)
{
	struct fake_group *group;
	int r = clear(fd, sizeof *group);

	if (r < 0)
		return r;
	group = map_new(fd, sizeof *group);
	if (!group)
		return -ENOMEM;
	make_mutex(&group->lock);
	make_mutex(&group->life);
	group->number = number;
	group->viable = viable;
	for (size_t i = 0; i < FAKE_DEVICES_MAX && names[i]; i++)
		device_make(&group->devices[i], names[i]);
	group->magic = GROUP_MAGIC;
	munmap(group, sizeof *group);
	return 0;
}

int fake_group_create(uint32_t number, bool viable, const char *const *names)
{
	int fd = create("fake-group");
	int r;

	if (fd < 0)
		return fd;
	r = fake_group_format(fd, number, viable, names);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

struct fake_group *fake_group_view(int fd)
{
	struct fake_group *group = view_find(fd, sizeof *group, GROUP_MAGIC);

	if (!group)
		return NULL;
	fake_lock(&group->lock);
	if (group->container && !fake_alive(&group->life)) {
		group->container = 0;
		for (size_t i = 0; i < FAKE_DEVICES_MAX; i++)
			group->devices[i].opened = 0;
	}
	fake_unlock(&group->lock);
	return group;
}

struct fake_device *fake_group_device(struct fake_group *group, const char *name)
{
	for (size_t i = 0; i < FAKE_DEVICES_MAX; i++) {
		if (name[0] != '\0' && strcmp(group->devices[i].name, name) == 0)
			return &group->devices[i];
	}
	return NULL;
}
