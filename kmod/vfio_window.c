// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Windows: revocable file descriptors for ranges of a VFIO PCI device's BARs, made for mapping.
 * vfio_window.h is the interface; README.md argues why the locking and the lifetimes are
 * right.
 *
 * A window's file has the address space of the VFIO device for its own (f_mapping), as the device's
 * files do, so that VFIO finds and zaps mappings of windows when VFIO switches the device's memory
 * off. The window's mmap() lets VFIO make the mapping, and then puts itself between the page faults
 * and VFIO.
 */
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
#error "vfio_window needs Linux 6.10 or later: before it, vfio-pci maps what cannot be revoked"
#endif

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>
#ifdef CONFIG_X86
#include <asm/cacheflush.h>
#endif

#include "vfio_window.h"

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)
#define vfs_mmap call_mmap
#endif

/*
 * Page table walkers pass over VM_PFNMAP mappings, but windows have no such mappings
 * (window_adopt). In older kernels, some walkers then take any huge entry for a struct page:
 * madvise(MADV_COLD) of a window was an Oops with a page table locked (6.12: madvise.c and
 * mempolicy.c, pmd_folio()). In 7.3, all walkers ask vm_normal_folio_pmd() or pass over VM_SPECIAL,
 * too. For small pages, walkers always did.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 3, 0)
#define WINDOW_HUGE_PAGES
#endif

/* The windows of one control file. References: the control file and each window. */
struct window_set {
	struct kref ref;
	struct mutex lock;		/* all below */
	struct list_head windows;	/* windows not revoked */
	u32 count;
	u64 size;
};

/* Owned by the window's file. Each mapping holds a reference to the file. */
struct window {
	struct window_set *set;		/* a reference */
	struct list_head in_set;	/* set->lock; empty: revoked */
	struct rw_semaphore lock;	/* device, ops */
	struct file *device;		/* a reference; NULL: revoked */
	const struct vm_operations_struct *ops;	/* VFIO's; used while @device is set */
	struct inode *inode;		/* of the pages; a reference, also to its sb */
	u32 flags;
	pgoff_t first;			/* pages in the device file */
	unsigned long pages;
};

static void window_set_free(struct kref *ref)
{
	kfree(container_of(ref, struct window_set, ref));
}

/* Unlinks a window not yet revoked, and drops its device. Under set->lock. */
static void window_unlink(struct window *window, struct file *device)
{
	list_del_init(&window->in_set);
	window->set->count--;
	window->set->size -= (u64)window->pages << PAGE_SHIFT;
	fput(device);
}

/* Under set->lock, so that the window stays: window_release() waits for the lock. */
static void window_revoke(struct window *window)
{
	struct file *device;

	/*
	 * With the lock taken, no fault that has seen the device is under way, and later faults see
	 * NULL ...
	 */
	down_write(&window->lock);
	device = window->device;
	window->device = NULL;
	up_write(&window->lock);
	/*
	 * ... so the pages zapped now stay zapped. Mappings of other windows fault back in.
	 */
	unmap_mapping_range(window->inode->i_mapping, (loff_t)window->first << PAGE_SHIFT,
			    (loff_t)window->pages << PAGE_SHIFT, 1);
	window_unlink(window, device);
}

static void window_set_revoke(struct window_set *set)
{
	struct window *window, *next;

	mutex_lock(&set->lock);
	list_for_each_entry_safe(window, next, &set->windows, in_set)
		window_revoke(window);
	mutex_unlock(&set->lock);
}

/* ---- mappings ---- */

/*
 * A private page of the reader: other processes do not see writes to the page. The page is mapped
 * here and not returned in vmf->page, because the caller would unlock a returned page after
 * mapping, and by then a zap may have freed the page.
 */
static vm_fault_t window_fault_revoked(const struct window *window, struct vm_fault *vmf)
{
#ifdef CONFIG_X86
	struct page *page;
	vm_fault_t ret;

	if (!(window->flags & VFIO_WINDOW_FLAG_ONES))
		return VM_FAULT_SIGBUS;
	page = alloc_page(GFP_KERNEL_ACCOUNT);
	if (!page)
		return VM_FAULT_OOM;
	memset(page_address(page), 0xff, PAGE_SIZE);
	/* The mapping is uncached. */
	clflush_cache_range(page_address(page), PAGE_SIZE);
	ret = vmf_insert_page(vmf->vma, vmf->address, page);
	put_page(page); /* the mapping has its own reference */
	return ret;
#else
	return VM_FAULT_SIGBUS;
#endif
}

static vm_fault_t window_fault(struct vm_fault *vmf)
{
	struct window *window = vmf->vma->vm_file->private_data;
	vm_fault_t ret;

	down_read(&window->lock);
	ret = window->device ? window->ops->fault(vmf) : window_fault_revoked(window, vmf);
	up_read(&window->lock);
	return ret;
}

#ifdef WINDOW_HUGE_PAGES
/* May run under the VMA's lock alone. */
static vm_fault_t window_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct window *window = vmf->vma->vm_file->private_data;
	vm_fault_t ret = VM_FAULT_FALLBACK;

	down_read(&window->lock);
	if (window->device && window->ops->huge_fault)
		ret = window->ops->huge_fault(vmf, order);
	up_read(&window->lock);
	return ret;
}
#endif

/*
 * fork() calls window_vma_open() for the child's mapping before copying page tables. With
 * VM_WIPEONFORK fork() copies no page tables: the child's own faults fill the mapping. Otherwise
 * copy_huge_pmd() would copy an entry read before taking the locks, even if zapped meanwhile, and
 * so bring back a revoked page. The flag also keeps a page of ones private to a process. The flag
 * is set here and not in mmap(), since MADV_KEEPONFORK clears the flag.
 */
static void window_vma_open(struct vm_area_struct *vma)
{
	vm_flags_set(vma, VM_WIPEONFORK);
}

static const struct vm_operations_struct window_vm_ops = {
	.open = window_vma_open,
	.fault = window_fault,
#ifdef WINDOW_HUGE_PAGES
	.huge_fault = window_huge_fault,
#endif
};

/*
 * Comes between VFIO and a mapping just made by VFIO. Only mappings filled by faults can be
 * revoked: mappings filled in mmap() (remap_pfn_range) or followed by the driver itself (open,
 * close ...) are refused.
 *
 * VM_MIXEDMAP takes the place of VM_PFNMAP. vfio_iommu_type1 maps the pages behind a mapping for
 * DMA only with VM_PFNMAP: with such a DMA mapping, another device could reach the registers after
 * a revocation. VM_IO keeps get_user_pages() out.
 */
static int window_adopt(struct window *window, struct vm_area_struct *vma)
{
	const struct vm_operations_struct *ops = vma->vm_ops;
	vm_flags_t never = VM_PFNMAP | VM_MAYEXEC;

	if (!ops || !ops->fault || ops->open || ops->close || ops->map_pages ||
	    ops->page_mkwrite || ops->pfn_mkwrite)
		return -EOPNOTSUPP;
	if (!(window->flags & VFIO_WINDOW_FLAG_WRITE))
		never |= VM_MAYWRITE;
	vm_flags_mod(vma, VM_MIXEDMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP, never);
	vma->vm_ops = &window_vm_ops;
	window->ops = ops;
	return 0;
}

/* remap_file_pages() comes here, too, with an offset of the caller's choice. */
static int window_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct window *window = file->private_data;
	int ret = -ENODEV;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	if ((vma->vm_flags & VM_WRITE) && !(window->flags & VFIO_WINDOW_FLAG_WRITE))
		return -EACCES;
	if (vma->vm_pgoff > window->pages || window->pages - vma->vm_pgoff < vma_pages(vma))
		return -EINVAL;

	down_write(&window->lock);
	if (window->device) {
		vma->vm_pgoff += window->first;
		ret = vfs_mmap(window->device, vma);
		if (!ret)
			ret = window_adopt(window, vma);
	}
	up_write(&window->lock);
	return ret;
}

static int window_release(struct inode *unused, struct file *file)
{
	struct window *window = file->private_data;
	struct window_set *set = window->set;
	struct super_block *sb = window->inode->i_sb;

	mutex_lock(&set->lock);
	if (!list_empty(&window->in_set))
		window_unlink(window, window->device);
	mutex_unlock(&set->lock);
	kref_put(&set->ref, window_set_free);
	iput(window->inode);
	deactivate_super(sb);
	kfree(window);
	return 0;
}

static const struct file_operations window_fops = {
	.owner = THIS_MODULE,
	.release = window_release,
	.mmap = window_mmap,
};

/* ---- making windows ---- */

/*
 * The device behind a VFIO device file. VFIO exports no such function, so device_of() reads the
 * pointer from its place (struct vfio_device_file in drivers/vfio/vfio.h begins with the device)
 * and trusts the pointer only if the device has the inode of the file's own pages.
 */
static struct vfio_device *device_of(struct file *file)
{
	struct vfio_device *device;
	struct inode *inode;

	if (!vfio_file_is_valid(file) || vfio_file_is_group(file))
		return ERR_PTR(-EBADFD);
	if (get_kernel_nofault(device, (struct vfio_device **)file->private_data) ||
	    get_kernel_nofault(inode, &device->inode) || inode != file->f_mapping->host ||
	    !dev_is_pci(device->dev))
		return ERR_PTR(-EOPNOTSUPP);
	return device;
}

/*
 * vmf_insert_pfn() takes a PFN with a struct page in a VM_MIXEDMAP mapping for a bug, and stops the
 * machine.
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

/* A file for a new window of @set over @device. The window takes a reference to @device. */
static struct file *window_open(struct window_set *set, const struct vfio_window_create *arg,
				struct file *device)
{
	struct window *window = kzalloc(sizeof(*window), GFP_KERNEL_ACCOUNT);
	struct file *file;

	if (!window)
		return ERR_PTR(-ENOMEM);
	/*
	 * O_RDWR also where nobody may write: mmap() takes VM_SHARED away from files opened for
	 * reading.
	 */
	file = anon_inode_getfile("[vfio-window]", &window_fops, window, O_RDWR);
	if (IS_ERR(file)) {
		kfree(window);
		return file;
	}
	init_rwsem(&window->lock);
	window->flags = arg->flags;
	window->first = arg->offset >> PAGE_SHIFT;
	window->pages = arg->size >> PAGE_SHIFT;
	/*
	 * Mappings of a revoked window stay linked to the inode, when the device and even VFIO's
	 * mount may have gone.
	 */
	window->inode = device->f_mapping->host;
	ihold(window->inode);
	atomic_inc(&window->inode->i_sb->s_active);
	file->f_mapping = device->f_mapping;

	window->device = get_file(device);
	window->set = set;
	kref_get(&set->ref);
	mutex_lock(&set->lock);
	list_add_tail(&window->in_set, &set->windows);
	set->count++;
	set->size += arg->size;
	mutex_unlock(&set->lock);
	return file;
}

static struct file *window_create(struct window_set *set, const struct vfio_window_create *arg)
{
	struct file *device = fget(arg->device_fd);
	struct vfio_device *vfio;
	struct file *file;
	int ret;

	if (!device)
		return ERR_PTR(-EBADF);
	vfio = device_of(device);
	if (IS_ERR(vfio))
		ret = PTR_ERR(vfio);
	else
		ret = check_range(to_pci_dev(vfio->dev), arg->offset, arg->size);
	file = ret ? ERR_PTR(ret) : window_open(set, arg, device);
	fput(device);
	return file;
}

/* ---- the control file ---- */

static int copy_arg(void *arg, size_t size, const void __user *user)
{
	u32 argsz;

	if (get_user(argsz, (const u32 __user *)user))
		return -EFAULT;
	if (argsz < size)
		return -EINVAL;
	if (argsz > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(arg, size, user, argsz);
}

static long control_create(struct window_set *set, const void __user *user)
{
	struct vfio_window_create arg;
	struct file *file;
	int fd, ret;

	ret = copy_arg(&arg, sizeof(arg), user);
	if (ret)
		return ret;
	if (arg.flags & ~(VFIO_WINDOW_FLAG_WRITE | VFIO_WINDOW_FLAG_ONES) || arg.reserved)
		return -EINVAL;
	if ((arg.flags & VFIO_WINDOW_FLAG_ONES) && !IS_ENABLED(CONFIG_X86))
		return -EOPNOTSUPP;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	file = window_create(set, &arg);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	fd_install(fd, file);
	return fd;
}

static long control_revoke(struct window_set *set, const void __user *user)
{
	struct vfio_window_revoke arg;
	int ret = copy_arg(&arg, sizeof(arg), user);

	if (ret)
		return ret;
	if (arg.flags)
		return -EINVAL;
	window_set_revoke(set);
	return 0;
}

static long control_info(struct window_set *set, void __user *user)
{
	struct vfio_window_info info;
	int ret = copy_arg(&info, sizeof(info), user);

	if (ret)
		return ret;
	info.flags = 0;
	info.version = VFIO_WINDOW_VERSION;
	mutex_lock(&set->lock);
	info.windows = set->count;
	info.size = set->size;
	mutex_unlock(&set->lock);
	return copy_to_user(user, &info, sizeof(info)) ? -EFAULT : 0;
}

static long control_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct window_set *set = file->private_data;

	switch (cmd) {
	case VFIO_WINDOW_CREATE:
		return control_create(set, (void __user *)arg);
	case VFIO_WINDOW_REVOKE:
		return control_revoke(set, (void __user *)arg);
	case VFIO_WINDOW_INFO:
		return control_info(set, (void __user *)arg);
	default:
		return -ENOTTY;
	}
}

static int control_open(struct inode *inode, struct file *file)
{
	struct window_set *set = kzalloc(sizeof(*set), GFP_KERNEL_ACCOUNT);

	if (!set)
		return -ENOMEM;
	kref_init(&set->ref);
	mutex_init(&set->lock);
	INIT_LIST_HEAD(&set->windows);
	file->private_data = set;
	return 0;
}

static int control_release(struct inode *inode, struct file *file)
{
	struct window_set *set = file->private_data;

	window_set_revoke(set);
	kref_put(&set->ref, window_set_free);
	return 0;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = control_open,
	.release = control_release,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice control_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vfio_window",
	.nodename = "vfio/window",
	.mode = 0600,
	.fops = &control_fops,
};

module_misc_device(control_device);

MODULE_DESCRIPTION("Register windows: revocable mappings of VFIO PCI devices");
MODULE_AUTHOR("The vfio-broker authors");
MODULE_VERSION("0.1.0");
MODULE_LICENSE("Dual MIT/GPL");
