// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Mappings of windows. A window's file has the address space of the VFIO device for its own
 * (f_mapping), as the device's files do, so that VFIO finds and zaps mappings of windows when VFIO
 * switches the device's memory off. The window's mmap() lets VFIO judge the mapping. The page
 * faults are the window's own: the look at the revocation and the making of an entry are one step,
 * under the lock of the page table.
 */
#include "internal.h"

#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/sched/signal.h>
#include <linux/userfaultfd_k.h>

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
		ret = memory_enabled(window->core) ? window_make_huge(window, vmf, pfn) :
						     VM_FAULT_SIGBUS;
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
int window_mmap(struct file *file, struct vm_area_struct *vma)
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
