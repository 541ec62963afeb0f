/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
#ifndef INTERNAL_H
#define INTERNAL_H

/*
 * What the files of the module share. Calls go down: control.c; create.c; window.c and mapping.c.
 * vfio_window.h is the interface; README.md argues why the locking and the lifetimes are right.
 */
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
#error "vfio_window needs Linux 6.10 or later: before it, vfio-pci maps what cannot be revoked"
#endif

#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/vfio_pci_core.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "vfio_window.h"

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

static inline bool window_refused(const struct window *window)
{
	return READ_ONCE(window->refused);
}

/* ---- window.c: the life and the revocation of windows ---- */

/* The reference is the control file's. NULL: no memory. */
struct window_set *window_set_new(void);
/* The bounded half of a revocation. -EINPROGRESS: not unmapped after VFIO_WINDOW_UNMAP_MS. */
int window_set_refuse_now(struct window_set *set);
/* The whole of it. -EINTR: killed while waiting, and the rest is window_set_close()'s. */
int window_set_revoke(struct window_set *set);
/* Revokes, and puts the control file's reference. Does not wait for what clients can delay. */
void window_set_close(struct window_set *set);

/* Adds a window that has its range, and takes references. The window's is the caller's. */
void window_add(struct window *window, struct window_set *set, struct file *device);
/* The release() of a window's file. */
int window_release(struct inode *unused, struct file *file);

int window_queues_make(void);
void window_queues_destroy(void);

/* ---- mapping.c: mmap() and page faults ---- */

int window_mmap(struct file *file, struct vm_area_struct *vma);

/* ---- create.c ---- */

/* A new window of the set. The file is the caller's; or an error pointer. */
struct file *window_create(struct window_set *set, const struct vfio_window_create *arg);

#endif
