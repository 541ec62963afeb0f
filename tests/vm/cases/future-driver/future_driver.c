// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A VFIO driver for tests of vfio_window: vfio-pci, but for a mmap() that does what VFIO's own may
 * do one day. The parameter "way" says what, from the next mmap() on. The parameter "look" shows
 * tests how one of their pages is mapped.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/version.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

enum way {
	WAY_CORE,     /* vfio_pci_core_mmap() */
	WAY_FILE,     /* vm_file becomes another file, which keeps the reference to the former */
	WAY_SET_FILE, /* vma_set_file(): the reference to the former is dropped */
	WAY_FOLLOW,   /* open() and close() */
	WAY_FILL,     /* entries are made at once */
	WAYS,
};

static unsigned long followed; /* balance of open() and close(), with mmap() as an open() */

static int keeper_release(struct inode *inode, struct file *file)
{
	if (file->private_data)
		fput(file->private_data);
	return 0;
}

static const struct file_operations keeper_fops = {
	.owner = THIS_MODULE,
	.release = keeper_release,
};

static void follow_open(struct vm_area_struct *vma)
{
	followed++;
}

static void follow_close(struct vm_area_struct *vma)
{
	followed--;
}

static vm_fault_t follow_fault(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct follow_ops = {
	.open = follow_open,
	.close = follow_close,
	.fault = follow_fault,
};

static int swap_file(struct vm_area_struct *vma, bool keep)
{
	struct file *file = anon_inode_getfile("[vfio-future]", &keeper_fops, NULL, O_RDWR);

	if (IS_ERR(file))
		return PTR_ERR(file);
	if (keep) {
		file->private_data = vma->vm_file;
		vma->vm_file = file;
	} else {
		vma_set_file(vma, file);
		fput(file);
	}
	return 0;
}

static enum way way;

static int future_mmap(struct vfio_device *device, struct vm_area_struct *vma)
{
	struct vfio_pci_core_device *core = container_of(device, struct vfio_pci_core_device, vdev);
	unsigned long first = vma->vm_pgoff >> (VFIO_PCI_OFFSET_SHIFT - PAGE_SHIFT);
	int ret = vfio_pci_core_mmap(device, vma);

	if (ret)
		return ret;
	switch (way) {
	case WAY_FILE:
		return swap_file(vma, true);
	case WAY_SET_FILE:
		return swap_file(vma, false);
	case WAY_FOLLOW:
		vma->vm_ops = &follow_ops;
		followed++;
		return 0;
	case WAY_FILL:
		vma->vm_ops = NULL;
		return remap_pfn_range(vma, vma->vm_start, PHYS_PFN(pci_resource_start(core->pdev, first)),
			vma->vm_end - vma->vm_start, vma->vm_page_prot);
	default:
		return 0;
	}
}

static int future_open_device(struct vfio_device *device)
{
	struct vfio_pci_core_device *core = container_of(device, struct vfio_pci_core_device, vdev);
	int ret = vfio_pci_core_enable(core);

	if (!ret)
		vfio_pci_core_finish_enable(core);
	return ret;
}

/* Not const: set_way() changes mmap. */
static struct vfio_device_ops future_ops = {
	.name = "vfio-pci-future",
	.init = vfio_pci_core_init_dev,
	.release = vfio_pci_core_release_dev,
	.open_device = future_open_device,
	.close_device = vfio_pci_core_close_device,
	.ioctl = vfio_pci_core_ioctl,
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
	.get_region_info_caps = vfio_pci_ioctl_get_region_info,
	.match_token_uuid = vfio_pci_core_match_token_uuid,
#endif
	.device_feature = vfio_pci_core_ioctl_feature,
	.read = vfio_pci_core_read,
	.write = vfio_pci_core_write,
	.mmap = vfio_pci_core_mmap,
	.request = vfio_pci_core_request,
	.match = vfio_pci_core_match,
	.bind_iommufd = vfio_iommufd_physical_bind,
	.unbind_iommufd = vfio_iommufd_physical_unbind,
	.attach_ioas = vfio_iommufd_physical_attach_ioas,
	.detach_ioas = vfio_iommufd_physical_detach_ioas,
};

static int set_way(const char *text, const struct kernel_param *unused)
{
	unsigned int value;
	int ret = kstrtouint(text, 0, &value);

	if (ret)
		return ret;
	if (value >= WAYS)
		return -EINVAL;
	way = value;
	future_ops.mmap = way == WAY_CORE ? vfio_pci_core_mmap : future_mmap;
	return 0;
}

static const struct kernel_param_ops way_ops = {
	.set = set_way,
};

module_param_cb(way, &way_ops, NULL, 0200);
MODULE_PARM_DESC(way, "what mmap() does, see enum way");
module_param(followed, ulong, 0400);
MODULE_PARM_DESC(followed, "mappings whose close() has not been called");

static unsigned long looked; /* the protection, as the page table has it; 0: no entry */

/* Takes an address of the writer. */
static int look(const char *text, const struct kernel_param *unused)
{
	struct follow_pfnmap_args args = {};
	int ret = kstrtoul(text, 0, &args.address);

	if (ret)
		return ret;
	looked = 0;
	mmap_read_lock(current->mm);
	args.vma = vma_lookup(current->mm, args.address);
	if (args.vma && !follow_pfnmap_start(&args)) {
		looked = pgprot_val(args.pgprot);
		follow_pfnmap_end(&args);
	}
	mmap_read_unlock(current->mm);
	return 0;
}

static const struct kernel_param_ops look_ops = {
	.set = look,
	.get = param_get_ulong,
};

module_param_cb(look, &look_ops, &looked, 0600);
MODULE_PARM_DESC(look, "write an address, read the protection of its page");

static int future_probe(struct pci_dev *pci, const struct pci_device_id *id)
{
	struct vfio_pci_core_device *core = vfio_alloc_device(vfio_pci_core_device, vdev, &pci->dev, &future_ops);
	int ret;

	if (IS_ERR(core))
		return PTR_ERR(core);
	dev_set_drvdata(&pci->dev, core);
	ret = vfio_pci_core_register_device(core);
	if (ret)
		vfio_put_device(&core->vdev);
	return ret;
}

static void future_remove(struct pci_dev *pci)
{
	struct vfio_pci_core_device *core = dev_get_drvdata(&pci->dev);

	vfio_pci_core_unregister_device(core);
	vfio_put_device(&core->vdev);
}

static const struct pci_device_id future_table[] = {{PCI_DRIVER_OVERRIDE_DEVICE_VFIO(PCI_ANY_ID, PCI_ANY_ID)}, {}};

static struct pci_driver pci_driver = {
	.name = "vfio-pci-future",
	.id_table = future_table,
	.probe = future_probe,
	.remove = future_remove,
	.err_handler = &vfio_pci_core_err_handlers,
	.driver_managed_dma = true,
};

module_pci_driver(pci_driver);
MODULE_DESCRIPTION("What VFIO's mmap() may do one day");
MODULE_AUTHOR("The vfio-broker authors");
MODULE_LICENSE("Dual MIT/GPL");
