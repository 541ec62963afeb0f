/* SPDX-License-Identifier: MIT */
#include "lease/look.h"

#include "state/inventory.h"

#include <errno.h>
#include <string.h>

bool look_is_dead(const struct helper_reply *reply)
{
	return reply->error == 0 && reply->ids == UINT32_MAX && reply->command == UINT32_MAX;
}

int look_answers(const char *name, const struct helper_reply *reply, struct detail *detail)
{
	if (reply->error != 0)
		return refuse(detail, REFUSAL_DEVICE_BAD_STATE, "%s: its configuration space cannot be read: %s", name,
			strerror((int)reply->error));
	if (look_is_dead(reply))
		return refuse(detail, REFUSAL_DEVICE_BAD_STATE,
			"%s does not answer: its configuration space reads all ones", name);
	return 0;
}

int look_node_free(const struct iommu_group *group, bool vfio, const struct helper_reply *reply, struct detail *detail)
{
	if (reply->node_error == EBUSY)
		return refuse(detail, REFUSAL_DEVICE_BUSY, GROUP_FOREIGN_FORMAT, group->number, group->number);
	if (reply->node_error == 0 || !vfio)
		return 0;
	return refuse(
		detail, REFUSAL_DEVICE_BAD_STATE, "/dev/vfio/%u: %s", group->number, strerror((int)reply->node_error));
}

int look_unused(const struct host_device *device, const struct policy_rule *rule, const struct helper_reply *reply,
	struct detail *detail)
{
	char advice[POLICY_ADVICE_SIZE];

	if (reply->use_error != 0)
		return refuse(detail, REFUSAL_FAILED,
			"%s: nobody can say whether the host uses it (%s); "
			"'systemctl status vfio-inspector.socket' and 'journalctl -u \"vfio-inspector@*\"' say more",
			device->name, strerror((int)reply->use_error));
	if (reply->use[0] == '\0')
		return 0;
	return refuse(detail, REFUSAL_IN_USE, "%s: %s; end that, or %s", device->name, reply->use,
		policy_advice(rule, "in-use = take", advice));
}
