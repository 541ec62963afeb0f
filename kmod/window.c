// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The life and the revocation of windows and their sets. README.md has the argument. */
#include "internal.h"

#include <linux/file.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

/*
 * Of unmapping: unbound and of high priority, so that no client stops the worker by keeping a CPU
 * busy; with a rescuer, so that no client does by taking the memory for a new worker.
 */
static struct workqueue_struct *unmap_queue;
/* Of what clients can delay. */
static struct workqueue_struct *end_queue;

/* ---- the life of a window ---- */

static void window_set_free(struct kref *ref)
{
	kfree(container_of(ref, struct window_set, ref));
}

static void window_free(struct kref *ref)
{
	struct window *window = container_of(ref, struct window, ref);
	struct super_block *sb = window->inode->i_sb;

	/* A killed drain may have kept window_release() from letting the device go. */
	if (window->device)
		fput(window->device);
	kref_put(&window->set->ref, window_set_free);
	iput(window->inode);
	deactivate_super(sb);
	kfree(window);
}

static void window_put(struct window *window)
{
	kref_put(&window->ref, window_free);
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

int window_release(struct inode *unused, struct file *file)
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

void window_add(struct window *window, struct window_set *set, struct file *device)
{
	kref_init(&window->ref);
	spin_lock_init(&window->gate);
	init_rwsem(&window->lock);
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

	spin_lock(&set->lock);
	list_add_tail(&window->in_set, &set->windows);
	set->count++;
	set->size += (u64)window->pages << PAGE_SHIFT;
	spin_unlock(&set->lock);
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
	queue_work(unmap_queue, &set->unmap);
}

int window_set_refuse_now(struct window_set *set)
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

int window_set_revoke(struct window_set *set)
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

struct window_set *window_set_new(void)
{
	struct window_set *set = kzalloc(sizeof(*set), GFP_KERNEL_ACCOUNT);

	if (!set)
		return NULL;
	kref_init(&set->ref);
	spin_lock_init(&set->lock);
	INIT_LIST_HEAD(&set->windows);
	INIT_LIST_HEAD(&set->unmapping);
	INIT_LIST_HEAD(&set->draining);
	init_waitqueue_head(&set->unmapped);
	INIT_WORK(&set->unmap, window_set_unmap);
	INIT_WORK(&set->end, window_set_end_work);
	mutex_init(&set->drain);
	return set;
}

/*
 * Often the exit of a killed process, whose other files, the device's among them, are closed after
 * the control file: so what clients can delay is left to a worker.
 */
void window_set_close(struct window_set *set)
{
	if (!window_set_refuse_now(set) && !window_set_drain(set, false)) {
		window_set_end(set);
		return;
	}
	__module_get(THIS_MODULE);
	queue_work(end_queue, &set->end);
}

/* ---- the workers ---- */

int __init window_queues_make(void)
{
	unmap_queue = alloc_workqueue("vfio_window_unmap",
				      WQ_UNBOUND | WQ_HIGHPRI | WQ_MEM_RECLAIM, 0);
	if (!unmap_queue)
		return -ENOMEM;
	end_queue = alloc_workqueue("vfio_window_end", WQ_UNBOUND, 0);
	if (!end_queue) {
		destroy_workqueue(unmap_queue);
		return -ENOMEM;
	}
	return 0;
}

void window_queues_destroy(void)
{
	destroy_workqueue(end_queue); /* first: an end waits for unmapping */
	destroy_workqueue(unmap_queue);
}
