// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A host driver for PCI devices that the tests name by driver_override, and no others. The driver does nothing with a
 * device, but does not let a device go as long as the parameter `held` is set: its remove() waits, and no signal ends
 * the wait. So whoever unbinds the driver waits, like with drivers of dead controllers. The parameter `probe_ms` makes
 * probe() take so long: while the module is being loaded, the driver has devices, but no file unbind.
 */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/pci.h>

static bool held;
module_param(held, bool, 0600);
MODULE_PARM_DESC(held, "remove() waits until this is N");

static unsigned int probe_ms;
module_param(probe_ms, uint, 0600);
MODULE_PARM_DESC(probe_ms, "probe() takes so many milliseconds");

static int slow_driver_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	msleep(READ_ONCE(probe_ms));
	pci_info(pdev, "slow_driver has the device\n");
	return 0;
}

static void slow_driver_remove(struct pci_dev *pdev)
{
	pci_info(pdev, "slow_driver is to let go\n");
	while (READ_ONCE(held))
		msleep(20);
	pci_info(pdev, "slow_driver has let go\n");
}

static struct pci_driver slow_driver = {
	.name = "slow_driver",
	.probe = slow_driver_probe,
	.remove = slow_driver_remove,
};
module_pci_driver(slow_driver);

MODULE_DESCRIPTION("A PCI driver that is slow to let a device go, for tests");
MODULE_LICENSE("Dual MIT/GPL");
