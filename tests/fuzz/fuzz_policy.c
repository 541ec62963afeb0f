/* SPDX-License-Identifier: MIT */
#include "../unit/round_trip.h"
#include "input.h"
#include "policy/policy.h"
#include "policy/policy_text.h"

#include <stdlib.h>
#include <string.h>

/* The policy files' parser, and what it makes of them. The input is the text of one file. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct host_device device = {.name = "0000:01:00.0",
		.driver = "nvme",
		.group = 1,
		.vendor = 0x1b36,
		.device = 0x10,
		.class = 0x010802};
	gid_t groups[] = {100};
	char unit[] = "spdk@1.service";
	const struct peer peer = {
		.uid = 1000, .gid = 1000, .pid = 1, .groups = groups, .groups_count = 1, .unit = unit};
	struct policy *policy = calloc(1, sizeof *policy);
	struct policy_error error;
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	memset(&error, 'x', sizeof error);
	if (policy_read(policy, "fuzz.conf", text, &error) < 0) {
		INPUT_ASSERT(strnlen(error.text, sizeof error.text) < sizeof error.text);
		INPUT_ASSERT(error.text[0] != '\0');
	} else {
		INPUT_ASSERT(!round_trip_mistake(policy));
	}
	policy_decide(policy, &device, &peer);
	policy_free(policy);
	free(text);
	return 0;
}
