// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Making windows: over which devices, and of which ranges. */
#include "internal.h"

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

/*
 * The device behind a VFIO device file. VFIO exports no such function, so device_of() reads the
 * pointer from its place (struct vfio_device_file in drivers/vfio/vfio.h begins with the device)
 * and trusts the pointer only if the device has the inode of the file's own pages.
 *
 * Only drivers that leave mmap() to vfio_pci_core make mappings as window_fault() does: a driver
 * with a mmap() of its own may map something else, or map in another way.
 */
static struct vfio_pci_core_device *device_of(struct file *file)
{
	struct vfio_device *device;
	struct inode *inode;

	if (!vfio_file_is_valid(file) || vfio_file_is_group(file))
		return ERR_PTR(-EBADFD);
	if (get_kernel_nofault(device, (struct vfio_device **)file->private_data) ||
	    get_kernel_nofault(inode, &device->inode) || inode != file->f_mapping->host ||
	    !dev_is_pci(device->dev) || device->ops->mmap != vfio_pci_core_mmap)
		return ERR_PTR(-EOPNOTSUPP);
	return container_of(device, struct vfio_pci_core_device, vdev);
}

/*
 * Some MMIO has struct pages (a BAR in the memory section of the end of RAM), and vmf_insert_pfn()
 * takes such a PFN in a VM_MIXEDMAP mapping for a bug. What has struct pages gets no window.
 */
static bool has_pages(phys_addr_t start, u64 size)
{
	unsigned long pfn = PHYS_PFN(start), end = PHYS_PFN(start + size - 1);

	while (pfn <= end) {
		if (pfn_valid(pfn))
			return true;
#ifdef CONFIG_SPARSEMEM
		pfn = ALIGN(pfn + 1, PAGES_PER_SUBSECTION);
#else
		pfn++;
#endif
	}
	return false;
}

static int check_range(struct pci_dev *pci, u64 offset, u64 size)
{
	u64 within = offset & VFIO_PCI_OFFSET_MASK, bar_size;
	u64 bar = VFIO_PCI_OFFSET_TO_INDEX(offset);

	if (!PAGE_ALIGNED(offset) || !PAGE_ALIGNED(size) || !size)
		return -EINVAL;
	if (bar > VFIO_PCI_BAR5_REGION_INDEX || !(pci_resource_flags(pci, bar) & IORESOURCE_MEM))
		return -EINVAL;
	bar_size = PAGE_ALIGN(pci_resource_len(pci, bar));
	if (within > bar_size || bar_size - within < size)
		return -EINVAL;
	return has_pages(pci_resource_start(pci, bar) + within, size) ? -EOPNOTSUPP : 0;
}

static const struct file_operations window_fops = {
	.owner = THIS_MODULE,
	.release = window_release,
	.mmap = window_mmap,
};

/*
 * A file with an inode of its own, which an LSM labels by the name. O_RDWR also where nobody may
 * write: mmap() takes VM_SHARED away from files opened for reading.
 */
static struct file *window_file(struct window *window)
{
	return anon_inode_create_getfile("[vfio-window]", &window_fops, window, O_RDWR, NULL);
}

static struct file *window_open(struct window_set *set, const struct vfio_window_create *arg,
				struct file *device, struct vfio_pci_core_device *core)
{
	struct window *window = kzalloc(sizeof(*window), GFP_KERNEL_ACCOUNT);
	u64 bar = VFIO_PCI_OFFSET_TO_INDEX(arg->offset);
	struct file *file;

	if (!window)
		return ERR_PTR(-ENOMEM);
	file = window_file(window);
	if (IS_ERR(file)) {
		kfree(window);
		return file;
	}
	window->core = core;
	window->flags = arg->flags;
	window->first = arg->offset >> PAGE_SHIFT;
	window->pages = arg->size >> PAGE_SHIFT;
	window->pfn = PHYS_PFN(pci_resource_start(core->pdev, bar) +
			       (arg->offset & VFIO_PCI_OFFSET_MASK));
	file->f_mapping = device->f_mapping;
	window_add(window, set, device);
	return file;
}

struct file *window_create(struct window_set *set, const struct vfio_window_create *arg)
{
	struct file *device = fget(arg->device_fd);
	struct vfio_pci_core_device *core;
	struct file *file;
	int ret;

	if (!device)
		return ERR_PTR(-EBADF);
	core = device_of(device);
	if (IS_ERR(core))
		ret = PTR_ERR(core);
	else
		ret = check_range(core->pdev, arg->offset, arg->size);
	file = ret ? ERR_PTR(ret) : window_open(set, arg, device, core);
	fput(device);
	return file;
}

