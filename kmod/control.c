// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Windows: revocable file descriptors for ranges of a VFIO PCI device's BARs, made for mapping.
 * Here: the control file, and the module.
 */
#include "internal.h"

#include <linux/file.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/uaccess.h>

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
	file->private_data = window_set_new();
	return file->private_data ? 0 : -ENOMEM;
}

static int control_release(struct inode *inode, struct file *file)
{
	window_set_close(file->private_data);
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

static int __init control_init(void)
{
	int ret = window_queues_make();

	if (ret)
		return ret;
	ret = misc_register(&control_device);
	if (ret)
		window_queues_destroy();
	return ret;
}

static void __exit control_exit(void)
{
	misc_deregister(&control_device);
	window_queues_destroy();
}

module_init(control_init);
module_exit(control_exit);

MODULE_DESCRIPTION("Register windows: revocable mappings of VFIO PCI devices");
MODULE_AUTHOR("The vfio-broker authors");
MODULE_VERSION("0.1.0");
MODULE_LICENSE("Dual MIT/GPL");
