// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Windows: revocable file descriptors for ranges of a VFIO PCI device's BARs, made for mapping.
 * vfio_window.h is the interface; README.md argues why the locking and the lifetimes are
 * right.
 *
 * A window's file has the address space of the VFIO device for its own (f_mapping), as the device's
 * files do, so that VFIO finds and zaps mappings of windows when VFIO switches the device's memory
 * off. The window's mmap() lets VFIO judge the mapping. The page faults are the window's own: the
 * look at the revocation and the making of an entry are one step, under the lock of the page table.
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
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/userfaultfd_k.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

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

/*
 * The windows of one control file. References: the control file and each window.
 *
 * A window's way: in @windows; refused, and in @unmapping; in @draining; in no list. The window's
 * release takes the window out of any list.
 */
struct window_set {
	struct kref ref;
	spinlock_t lock;		/* the lists, count, size, pending */
	struct list_head windows;	/* not refused */
	struct list_head unmapping;	/* refused; the worker has not begun to unmap them */
	struct list_head draining;	/* refused; hold their device until drained */
	u32 count;			/* of @windows */
	u64 size;			/* of @windows */
	bool pending;			/* the worker is not done with unmapping */
	wait_queue_head_t unmapped;	/* @pending has become false */
	struct work_struct unmap;
	struct work_struct end;		/* of a control file closed before all is drained */
	struct mutex drain;		/* one drain at a time; clients never take it */
};

/* References: the window's file, and for a while who unmaps or drains the window. */
struct window {
	struct kref ref;
	struct window_set *set;		/* a reference */
	struct list_head in_set;	/* set->lock */
	bool refused;			/* written once, under @gate */
	spinlock_t gate;		/* a huge entry is made */
	struct rw_semaphore lock;	/* device; held for reading by whoever uses @core */
	struct file *device;		/* a reference; NULL: drained */
	struct vfio_pci_core_device *core; /* there while @device is */
	struct inode *inode;		/* of the pages; a reference, also to its sb */
	atomic_t mappings;
	u32 flags;
	pgoff_t first;			/* pages in the device file */
	unsigned long pages;
	unsigned long pfn;		/* of the first page */
};

static struct workqueue_struct *window_queue;

/* ---- the life of a window ---- */

static void window_set_free(struct kref *ref)
{
	kfree(container_of(ref, struct window_set, ref));
}

static void window_free(struct kref *ref)
{
	struct window *window = container_of(ref, struct window, ref);
	struct super_block *sb = window->inode->i_sb;

	kref_put(&window->set->ref, window_set_free);
	iput(window->inode);
	deactivate_super(sb);
	kfree(window);
}

static void window_put(struct window *window)
{
	kref_put(&window->ref, window_free);
}

static bool window_refused(const struct window *window)
{
	return READ_ONCE(window->refused);
}

/* Lets the device go, once nobody uses the device on behalf of the window. -EAGAIN: not yet. */
static int window_drain(struct window *window, bool wait)
{
	struct file *device;

	if (!wait && !down_write_trylock(&window->lock))
		return -EAGAIN;
	if (wait && down_write_killable(&window->lock))
		return -EINTR;
	device = window->device;
	window->device = NULL;
	up_write(&window->lock);
	if (device)
		fput(device);
	return 0;
}

/* Under set->lock. The window stays where it is in lists. */
static void window_refuse(struct window *window)
{
	spin_lock(&window->gate);
	WRITE_ONCE(window->refused, true);
	spin_unlock(&window->gate);
	window->set->count--;
	window->set->size -= (u64)window->pages << PAGE_SHIFT;
}

static int window_release(struct inode *unused, struct file *file)
{
	struct window *window = file->private_data;
	struct window_set *set = window->set;

	spin_lock(&set->lock);
	if (!window_refused(window))
		window_refuse(window);
	list_del_init(&window->in_set);
	spin_unlock(&set->lock);
	/* Without mappings, nobody is in a fault. A drain may have the lock, and does the same. */
	window_drain(window, false);
	window_put(window);
	return 0;
}

/* ---- revocation ---- */

/* Moves the first window of a list to another. The reference returned is the caller's. */
static struct window *window_set_move(struct window_set *set, struct list_head *from,
				      struct list_head *to)
{
	struct window *window;

	spin_lock(&set->lock);
	window = list_first_entry_or_null(from, struct window, in_set);
	if (window) {
		kref_get(&window->ref);
		list_move_tail(&window->in_set, to);
	}
	spin_unlock(&set->lock);
	return window;
}

/*
 * Unmaps what window_set_refuse() has refused. What is unmapped stays unmapped, see
 * window_make_entry() and window_make_huge(). Mappings of other windows fault back in.
 *
 * A worker does this because unmapping waits for i_mmap_rwsem. Clients hold i_mmap_rwsem in mmap(),
 * munmap() and fork(), and may be kept from running meanwhile.
 */
static void window_set_unmap(struct work_struct *work)
{
	struct window_set *set = container_of(work, struct window_set, unmap);
	struct window *window;

	while ((window = window_set_move(set, &set->unmapping, &set->draining))) {
		/* The refusal, and then a look at page tables: pairs with window_make_entry(). */
		smp_mb();
		unmap_mapping_range(window->inode->i_mapping, (loff_t)window->first << PAGE_SHIFT,
				    (loff_t)window->pages << PAGE_SHIFT, 1);
		window_put(window);
	}
	spin_lock(&set->lock);
	set->pending = !list_empty(&set->unmapping);
	spin_unlock(&set->lock);
	wake_up_all(&set->unmapped);
}

/*
 * Refuses all windows, and has them unmapped. Never waits: set->lock and the gates are held for a
 * few instructions, by tasks that cannot be preempted.
 */
static void window_set_refuse(struct window_set *set)
{
	struct window *window;

	spin_lock(&set->lock);
	list_for_each_entry(window, &set->windows, in_set)
		window_refuse(window);
	if (!list_empty(&set->windows)) {
		list_splice_tail_init(&set->windows, &set->unmapping);
		set->pending = true;
	}
	spin_unlock(&set->lock);
	queue_work(window_queue, &set->unmap);
}

/* The bounded half of a revocation. */
static int window_set_refuse_now(struct window_set *set)
{
	window_set_refuse(set);
	if (wait_event_timeout(set->unmapped, !READ_ONCE(set->pending),
			       msecs_to_jiffies(VFIO_WINDOW_UNMAP_MS)))
		return 0;
	return -EINPROGRESS;
}

/* Lets the devices of refused and unmapped windows go. A window is left out if still in use. */
static int window_set_drain(struct window_set *set, bool wait)
{
	struct window *window;
	LIST_HEAD(tried);
	int ret;

	if (mutex_lock_killable(&set->drain))
		return -EINTR;
	while ((window = window_set_move(set, &set->draining, &tried))) {
		ret = window_drain(window, wait);
		if (!ret) {
			spin_lock(&set->lock);
			list_del_init(&window->in_set);
			spin_unlock(&set->lock);
		}
		window_put(window);
		if (ret == -EINTR)
			break;
	}
	spin_lock(&set->lock);
	list_splice_init(&tried, &set->draining);
	ret = list_empty(&set->draining) ? 0 : -EAGAIN;
	spin_unlock(&set->lock);
	mutex_unlock(&set->drain);
	return ret;
}

/* The whole of it. -EINTR: killed while waiting, and the rest is control_release()'s. */
static int window_set_revoke(struct window_set *set)
{
	int ret;

	window_set_refuse(set);
	ret = wait_event_killable(set->unmapped, !READ_ONCE(set->pending));
	if (!ret)
		ret = window_set_drain(set, true);
	return ret ? -EINTR : 0;
}

/* Without the control file, nobody adds windows or revokes. */
static void window_set_end(struct window_set *set)
{
	flush_work(&set->unmap);
	window_set_drain(set, true);
	kref_put(&set->ref, window_set_free);
}

static void window_set_end_work(struct work_struct *work)
{
	window_set_end(container_of(work, struct window_set, end));
	module_put(THIS_MODULE); /* destroy_workqueue() waits for the return */
}

/* ---- page faults ---- */

/*
 * A private page of the reader: other processes do not see writes to the page. The page is mapped
 * here and not returned in vmf->page, because the caller would unlock a returned page after
 * mapping, and by then a zap may have freed the page. The page gets vm_page_prot, which is that of
 * ordinary memory (window_adopt).
 */
static vm_fault_t window_fault_refused(const struct window *window, struct vm_fault *vmf)
{
	struct page *page;
	vm_fault_t ret;

	if (!(window->flags & VFIO_WINDOW_FLAG_ONES))
		return VM_FAULT_SIGBUS;
	page = alloc_page(GFP_HIGHUSER | __GFP_ACCOUNT);
	if (!page)
		return VM_FAULT_OOM;
	memset_page(page, 0, 0xff, PAGE_SIZE);
	ret = vmf_insert_page(vmf->vma, vmf->address, page);
	put_page(page); /* the mapping has its own reference */
	return ret;
}

/* As VFIO asks before it makes an entry (__vfio_pci_memory_enabled). Under core->memory_lock. */
static bool memory_enabled(const struct vfio_pci_core_device *core)
{
	u16 command = le16_to_cpu(*(__le16 *)&core->vconfig[PCI_COMMAND]);

	return !core->pm_runtime_engaged &&
	       (__force int)core->pdev->current_state < (__force int)PCI_D3hot &&
	       (core->pdev->no_command_memory || (command & PCI_COMMAND_MEMORY));
}

/* Of registers. Not vm_page_prot, which may lack the right to write while writes are tracked. */
static pgprot_t device_prot(const struct vm_area_struct *vma)
{
	return pgprot_decrypted(pgprot_noncached(vm_get_page_prot(vma->vm_flags)));
}

struct new_entry {
	const struct window *window;
	struct vm_fault *vmf;
};

/*
 * Called under the lock of the page table. Either the entry is made before unmapping takes the
 * lock, and is unmapped; or the window is seen to be refused. If the page table itself is new and
 * unmapping has not seen the table, then the barrier makes sure that the refusal is seen here.
 */
static int window_make_entry(pte_t *pte, unsigned long address, void *data)
{
	struct new_entry *new = data;
	struct vm_area_struct *vma = new->vmf->vma;
	unsigned long pfn = new->window->pfn + (new->vmf->pgoff - new->window->first);

	/* A new table, and then a look at the refusal: pairs with window_set_unmap(). */
	smp_mb();
	if (!window_refused(new->window) && pte_none(ptep_get(pte)))
		set_pte_at(vma->vm_mm, address, pte,
			   pte_mkyoung(pte_mkspecial(pfn_pte(pfn, device_prot(vma)))));
	return 0;
}

/*
 * Under window->lock. VFIO holds memory_lock for writing while it switches the device's memory,
 * and zaps. The task may be killed while it waits.
 */
static vm_fault_t window_fault_device(const struct window *window, struct vm_fault *vmf)
{
	struct new_entry new = {.window = window, .vmf = vmf};
	vm_fault_t ret = VM_FAULT_NOPAGE;

	if (down_read_killable(&window->core->memory_lock))
		return VM_FAULT_NOPAGE;
	if (!memory_enabled(window->core))
		ret = VM_FAULT_SIGBUS;
	else if (apply_to_page_range(vmf->vma->vm_mm, vmf->address, PAGE_SIZE, window_make_entry,
				     &new))
		ret = VM_FAULT_OOM;
	up_read(&window->core->memory_lock);
	return ret;
}

static vm_fault_t window_fault(struct vm_fault *vmf)
{
	struct window *window = vmf->vma->vm_file->private_data;
	vm_fault_t ret = VM_FAULT_NOPAGE;

	/* Without the lock, for which a drain may be waiting. */
	if (window_refused(window))
		return window_fault_refused(window, vmf);
	if (down_read_killable(&window->lock))
		return VM_FAULT_NOPAGE;
	if (window->device)
		ret = window_fault_device(window, vmf);
	up_read(&window->lock);
	return ret;
}

#ifdef WINDOW_HUGE_PAGES
/*
 * Nothing in here sleeps, where page tables need no deposit for a huge entry. So the gate can be
 * held, and the entry is made before the refusal or not at all.
 */
static vm_fault_t window_make_huge(struct window *window, struct vm_fault *vmf, unsigned long pfn)
{
	vm_fault_t ret = VM_FAULT_NOPAGE;

	spin_lock(&window->gate);
	if (!window->refused)
		ret = vmf_insert_pfn_pmd(vmf, pfn, vmf->flags & FAULT_FLAG_WRITE);
	spin_unlock(&window->gate);
	return ret;
}

/* Whether the two MiB around the fault can be a single entry. */
static bool can_be_huge(const struct window *window, const struct vm_fault *vmf, unsigned int order,
			unsigned long pfn)
{
	const struct vm_area_struct *vma = vmf->vma;
	unsigned long start = vmf->address & PMD_MASK;

	if (order != PMD_ORDER || !IS_ENABLED(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP) ||
	    arch_needs_pgtable_deposit())
		return false;
	/* mm/mremap.c takes huge PUDs for broken ones: no order above the PMD's (KERNEL.md). */
	if (start < vma->vm_start || start + PMD_SIZE > vma->vm_end || pfn % PTRS_PER_PMD)
		return false;
	/*
	 * A huge entry gets vm_page_prot. For windows of ones, vm_page_prot is that of memory.
	 * While writes are tracked, vm_page_prot is not writable, and write faults would come for
	 * ever.
	 */
	if ((window->flags & VFIO_WINDOW_FLAG_ONES) || userfaultfd_wp((struct vm_area_struct *)vma))
		return false;
	return !(vma->vm_flags & VM_WRITE) || pte_write(pfn_pte(0, vma->vm_page_prot));
}

/* May run under the VMA's lock alone. */
static vm_fault_t window_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct window *window = vmf->vma->vm_file->private_data;
	unsigned long within = (vmf->address & ~PMD_MASK) >> PAGE_SHIFT;
	unsigned long pfn = window->pfn + (vmf->pgoff - window->first) - within;
	vm_fault_t ret = VM_FAULT_FALLBACK;

	if (window_refused(window) || !can_be_huge(window, vmf, order, pfn))
		return VM_FAULT_FALLBACK;
	if (down_read_killable(&window->lock))
		return VM_FAULT_NOPAGE;
	if (window->device && !down_read_killable(&window->core->memory_lock)) {
		if (memory_enabled(window->core))
			ret = window_make_huge(window, vmf, pfn);
		up_read(&window->core->memory_lock);
	}
	up_read(&window->lock);
	return ret;
}
#endif

/* ---- mappings ---- */

/* Returns whether the window may have one more. */
static bool window_count(struct window *window)
{
	return atomic_inc_return(&window->mappings) <= VFIO_WINDOW_MAPPINGS_MAX;
}

/*
 * fork() calls window_vma_open() for the child's mapping before copying page tables. With
 * VM_WIPEONFORK fork() copies no page tables: the child's own faults fill the mapping. Otherwise
 * copy_huge_pmd() would copy an entry read before taking the locks, even if zapped meanwhile, and
 * so bring back a revoked page. The flag also keeps a page of ones private to a process. The flag
 * is set here and not in mmap(), since MADV_KEEPONFORK clears the flag.
 *
 * open() cannot fail. The parent that exceeds the limit by fork() is killed, and then fork() fails.
 * mremap() has one mapping more for a moment.
 */
static void window_vma_open(struct vm_area_struct *vma)
{
	struct window *window = vma->vm_file->private_data;

	vm_flags_set(vma, VM_WIPEONFORK);
	if (!window_count(window) && vma->vm_mm != current->mm)
		send_sig(SIGKILL, current, 1);
}

static void window_vma_close(struct vm_area_struct *vma)
{
	struct window *window = vma->vm_file->private_data;

	atomic_dec(&window->mappings);
}

/* munmap(), mprotect() and the like fail as if the process had too many mappings. */
static int window_vma_may_split(struct vm_area_struct *vma, unsigned long address)
{
	struct window *window = vma->vm_file->private_data;

	return atomic_read(&window->mappings) < VFIO_WINDOW_MAPPINGS_MAX ? 0 : -ENOMEM;
}

static const struct vm_operations_struct window_vm_ops = {
	.open = window_vma_open,
	.close = window_vma_close,
	.may_split = window_vma_may_split,
	.fault = window_fault,
#ifdef WINDOW_HUGE_PAGES
	.huge_fault = window_huge_fault,
#endif
};

/*
 * The operations of a mapping that is filled by page faults, and that the driver does not follow
 * in any other way. A field that a later kernel adds counts, too.
 */
static bool faults_alone(const struct vm_operations_struct *ops)
{
	const size_t fault = offsetof(typeof(*ops), fault);
	const size_t huge_fault = offsetof(typeof(*ops), huge_fault);
	const char *bytes = (const char *)ops;

	if (!ops || !ops->fault)
		return false;
	for (size_t i = 0; i < sizeof(*ops); i += sizeof(ops->fault))
		if (i != fault && i != huge_fault && memchr_inv(bytes + i, 0, sizeof(ops->fault)))
			return false;
	return true;
}

/*
 * Takes a mapping over that VFIO has just made. Refused are mappings that are no longer the
 * window's (VFIO may put another file into vm_file), or filled in mmap() (remap_pfn_range), or
 * followed by the driver.
 *
 * VM_MIXEDMAP takes the place of VM_PFNMAP. vfio_iommu_type1 maps the pages behind a mapping for
 * DMA only with VM_PFNMAP: with such a DMA mapping, another device could reach the registers after
 * a revocation. VM_IO keeps get_user_pages() out.
 */
static int window_adopt(struct window *window, struct file *file, struct vm_area_struct *vma)
{
	vm_flags_t never = VM_PFNMAP | VM_MAYEXEC;

	if (vma->vm_file != file || !faults_alone(vma->vm_ops)) {
		/* The caller puts vm_file, whichever it is, and unmaps what is mapped. */
		if (vma->vm_ops && vma->vm_ops->close)
			vma->vm_ops->close(vma);
		return -EOPNOTSUPP;
	}
	if (!(window->flags & VFIO_WINDOW_FLAG_WRITE))
		never |= VM_MAYWRITE;
	vm_flags_mod(vma, VM_MIXEDMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP, never);
	/* Pages of ones are memory: mapped as registers, they would be an alias of another type. */
	if (window->flags & VFIO_WINDOW_FLAG_ONES)
		vma->vm_page_prot = vm_get_page_prot(vma->vm_flags);
	vma->vm_private_data = NULL;
	vma->vm_ops = &window_vm_ops;
	return 0;
}

/* The mapping as VFIO makes it, and then as the window wants it. */
static int window_map(struct window *window, struct file *file, struct vm_area_struct *vma)
{
	int ret = -ENODEV;

	if (down_read_killable(&window->lock))
		return -EINTR;
	if (!window_refused(window) && window->device) {
		vma->vm_pgoff += window->first;
		ret = vfs_mmap(window->device, vma);
		if (!ret)
			ret = window_adopt(window, file, vma);
	}
	up_read(&window->lock);
	return ret;
}

/* remap_file_pages() comes here, too, with an offset of the caller's choice. */
static int window_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct window *window = file->private_data;
	int ret;

	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	if ((vma->vm_flags & VM_WRITE) && !(window->flags & VFIO_WINDOW_FLAG_WRITE))
		return -EACCES;
	if (vma->vm_pgoff > window->pages || window->pages - vma->vm_pgoff < vma_pages(vma))
		return -EINVAL;

	if (window_refused(window))
		return -ENODEV;
	ret = window_count(window) ? window_map(window, file, vma) : -ENOMEM;
	if (ret)
		atomic_dec(&window->mappings);
	return ret;
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

/*
 * A file with an inode of its own, which an LSM labels by the name. O_RDWR also where nobody may
 * write: mmap() takes VM_SHARED away from files opened for reading.
 */
static struct file *window_file(struct window *window)
{
	return anon_inode_create_getfile("[vfio-window]", &window_fops, window, O_RDWR, NULL);
}

/* What the window holds. All of it is window_free()'s, and the device window_drain()'s. */
static void window_hold(struct window *window, struct window_set *set, struct file *device)
{
	kref_get(&set->ref);
	window->set = set;
	window->device = get_file(device);
	/*
	 * Mappings of a revoked window stay linked to the inode, when the device and even VFIO's
	 * mount may have gone.
	 */
	window->inode = device->f_mapping->host;
	ihold(window->inode);
	atomic_inc(&window->inode->i_sb->s_active);
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
	kref_init(&window->ref);
	spin_lock_init(&window->gate);
	init_rwsem(&window->lock);
	window->core = core;
	window->flags = arg->flags;
	window->first = arg->offset >> PAGE_SHIFT;
	window->pages = arg->size >> PAGE_SHIFT;
	window->pfn = PHYS_PFN(pci_resource_start(core->pdev, bar) +
			       (arg->offset & VFIO_PCI_OFFSET_MASK));
	window_hold(window, set, device);
	file->f_mapping = device->f_mapping;

	spin_lock(&set->lock);
	list_add_tail(&window->in_set, &set->windows);
	set->count++;
	set->size += arg->size;
	spin_unlock(&set->lock);
	return file;
}

static struct file *window_create(struct window_set *set, const struct vfio_window_create *arg)
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
	if (arg.flags & ~VFIO_WINDOW_REVOKE_NOW)
		return -EINVAL;
	return arg.flags ? window_set_refuse_now(set) : window_set_revoke(set);
}

static long control_info(struct window_set *set, void __user *user)
{
	struct vfio_window_info info;
	int ret = copy_arg(&info, sizeof(info), user);

	if (ret)
		return ret;
	info.flags = 0;
	info.version = VFIO_WINDOW_VERSION;
	spin_lock(&set->lock);
	info.windows = set->count;
	info.size = set->size;
	spin_unlock(&set->lock);
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
	spin_lock_init(&set->lock);
	INIT_LIST_HEAD(&set->windows);
	INIT_LIST_HEAD(&set->unmapping);
	INIT_LIST_HEAD(&set->draining);
	init_waitqueue_head(&set->unmapped);
	INIT_WORK(&set->unmap, window_set_unmap);
	INIT_WORK(&set->end, window_set_end_work);
	mutex_init(&set->drain);
	file->private_data = set;
	return 0;
}

/*
 * Often the exit of a killed process, whose other files, the device's among them, are closed after
 * this one: the close does not wait for what a client can delay.
 */
static int control_release(struct inode *inode, struct file *file)
{
	struct window_set *set = file->private_data;

	if (!window_set_refuse_now(set) && !window_set_drain(set, false)) {
		window_set_end(set);
		return 0;
	}
	__module_get(THIS_MODULE);
	queue_work(window_queue, &set->end);
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

/* Unbound and of high priority, so that no client stops the worker by keeping a CPU busy. */
static int __init window_init(void)
{
	int ret;

	window_queue = alloc_workqueue("vfio_window", WQ_UNBOUND | WQ_HIGHPRI, 0);
	if (!window_queue)
		return -ENOMEM;
	ret = misc_register(&control_device);
	if (ret)
		destroy_workqueue(window_queue);
	return ret;
}

static void __exit window_exit(void)
{
	misc_deregister(&control_device);
	destroy_workqueue(window_queue);
}

module_init(window_init);
module_exit(window_exit);

MODULE_DESCRIPTION("Register windows: revocable mappings of VFIO PCI devices");
MODULE_AUTHOR("The vfio-broker authors");
MODULE_VERSION("0.1.0");
MODULE_LICENSE("Dual MIT/GPL");
