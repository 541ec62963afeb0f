/* SPDX-License-Identifier: MIT */
#include "host/claim.h"

#include "base/record.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the record: two lines, host driver and driver_override; either may be empty ---- */

static int claim_write(const char *directory, const char *name, const struct claim *claim)
{
	char text[2 * DRIVER_NAME_SIZE + 2];

	snprintf(text, sizeof text, "%s\n%s\n", claim->driver, claim->override);
	return record_write(directory, name, text);
}

static bool driver_name_copy(char to[DRIVER_NAME_SIZE], const char *from, size_t length)
{
	if (length >= DRIVER_NAME_SIZE)
		return false;
	memcpy(to, from, length);
	to[length] = '\0';
	return true;
}

static int claim_parse(const char *text, struct claim *claim)
{
	size_t first = strcspn(text, "\n"), second;

	if (text[first] != '\n')
		return -EINVAL;
	second = strcspn(text + first + 1, "\n");
	if (text[first + 1 + second] != '\n')
		return -EINVAL;
	if (!driver_name_copy(claim->driver, text, first) ||
		!driver_name_copy(claim->override, text + first + 1, second))
		return -EINVAL;
	return 0;
}

struct loading {
	claim_found found;
	void *context;
};

static int on_record(void *context, const char *name, const char *text)
{
	const struct loading *loading = context;
	struct claim *claim = calloc(1, sizeof *claim);
	int r;

	if (!claim)
		return -ENOMEM;
	r = claim_parse(text, claim);
	if (r < 0) {
		free(claim);
		return r;
	}
	return loading->found(loading->context, name, claim);
}

int claim_load(const char *directory, claim_found found, void *context)
{
	struct loading loading = {found, context};

	return record_each(directory, on_record, &loading);
}

/* ---- taking and giving back ---- */

static int give_to_vfio(const struct host *host, const char *name, const char *driver)
{
	/* Safe for a hostile caller: NAME is a device of the inventory that policy lets it have, the group is viable
	 * and nobody's, and vfio-pci itself never does DMA. Only this device matches its own driver_override. */
	int r = host->override_set(name, VFIO_DRIVER);

	if (r == 0 && *driver)
		r = host->driver_unbind(name, driver);
	return r == 0 ? host->driver_bind(name, VFIO_DRIVER) : r;
}

int claim_make(const struct host *host, const char *directory, const char *name, struct claim **ret_claim)
{
	struct host_device device;
	struct claim *claim;
	int r = host->read(name, &device);

	if (r < 0)
		return r;
	if (strcmp(device.driver, VFIO_DRIVER) == 0) {
		*ret_claim = NULL;
		return 0;
	}
	claim = calloc(1, sizeof *claim);
	if (!claim)
		return -ENOMEM;
	memcpy(claim->driver, device.driver, sizeof claim->driver);
	r = host->override_get(name, claim->override);
	if (r == 0)
		r = claim_write(directory, name, claim);
	if (r < 0) {
		free(claim);
		return r;
	}
	r = give_to_vfio(host, name, claim->driver);
	if (r < 0) {
		claim_restore(host, directory, name, claim);
		return r;
	}
	*ret_claim = claim;
	return 0;
}

int claim_finish(const struct host *host, const char *name)
{
	struct host_device device;
	int r = host->read(name, &device);

	if (r < 0 || strcmp(device.driver, VFIO_DRIVER) == 0)
		return r;
	return give_to_vfio(host, name, device.driver);
}

int claim_restore(const struct host *host, const char *directory, const char *name, struct claim *claim)
{
	struct host_device device;
	int r = host->read(name, &device);
	/* It left the machine: nothing to give back. */
	bool gone = r == -ENODEV, with_vfio;

	with_vfio = r < 0 ? !gone : strcmp(device.driver, VFIO_DRIVER) == 0;
	if (r == 0)
		r = host->override_set(name, claim->override);
	if (r == 0 && with_vfio) {
		r = host->driver_unbind(name, VFIO_DRIVER);
		with_vfio = r < 0;
		device.driver[0] = '\0';
	}
	if (r == 0 && claim->driver[0] && device.driver[0] == '\0')
		r = host->driver_bind(name, claim->driver);
	if (!with_vfio)
		record_remove(directory, name);
	free(claim);
	return gone ? 0 : r;
}
