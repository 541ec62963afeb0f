/* SPDX-License-Identifier: MIT */
#include "lease/rebind.h"

#include "host/claim.h"
#include "log.h"
#include "state/quarantine_state.h"

#include <string.h>

int rebind_to_vfio(struct broker *broker, struct device *device, const struct host_device *now, struct detail *detail)
{
	const struct claim *old = device->claim;
	int r;

	if (strcmp(now->driver, VFIO_DRIVER) == 0)
		return 0;
	/* Claimed before, and not given back because the group was never free in between; or claimed by a broker that
	 * was killed in the middle of the claim. */
	if (device->claim)
		r = claim_finish(broker->host, device->name);
	else
		r = claim_make(broker->host, broker->options->claims_directory, device->name, &device->claim);
	if (r < 0)
		return refuse(detail, REFUSAL_DEVICE_BAD_STATE, "%s: cannot bind it to vfio-pci: %s", device->name,
			strerror(-r));
	if (device->claim && !old)
		log_line(LOG_INFO, "%s: taken from host driver %s", device->name,
			device->claim->driver[0] ? device->claim->driver : "(none)");
	return 0;
}

static int restore(struct broker *broker, struct device *device)
{
	struct claim *claim = device->claim;

	device->claim = NULL;
	return claim_restore(broker->host, broker->options->claims_directory, device->name, claim);
}

void rebind_undo(struct broker *broker, struct device *device)
{
	if (device->claim && device->group->state == GROUP_FREE && !quarantine_holds(device))
		restore(broker, device);
}

void rebind_back(struct broker *broker, struct device *device)
{
	int r;

	if (!device->claim)
		return;
	if (quarantine_holds(device)) {
		log_line(LOG_NOTICE, "%s: stays with vfio-pci until its quarantine is ended", device->name);
		return;
	}
	log_line(LOG_INFO, "%s: back to host driver %s", device->name,
		device->claim->driver[0] ? device->claim->driver : "(none)");
	r = restore(broker, device);
	if (r < 0)
		log_line(LOG_ERR, "%s: cannot go back to its host driver: %s", device->name, strerror(-r));
}

void rebind_adopt(struct broker *broker, struct device *device, struct claim *claim)
{
	device->claim = claim;
	if (device->group && device->group->state == GROUP_QUERIED)
		return;
	log_line(LOG_NOTICE, "%s: an earlier broker left it with vfio-pci; it goes back to %s", device->name,
		claim->driver[0] ? claim->driver : "no driver");
	if (!device->group)
		restore(broker, device);
}
