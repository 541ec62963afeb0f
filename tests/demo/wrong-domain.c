/* SPDX-License-Identifier: MIT */
/* Hands things that are no IOMMU domain to BIND, then the right two in the wrong order, as a tired engineer would. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <vfio-broker.h>

static int say(const char *what, int r)
{
	char text[512];

	printf("  %-44s %s\n", what, vbroker_describe_result(r, text, sizeof text));
	return r;
}

static int mix_up(struct vbroker_device *device, struct vbroker_domain *domain)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);
	int wrong = 0;

	wrong |= say("BIND device, /dev/null:", vbroker_bind_fds(vbroker_device_fd(device), null)) !=
		VBROKER_NOT_A_DOMAIN;
	wrong |= say("BIND device, an eventfd:", vbroker_bind_fds(vbroker_device_fd(device), event)) !=
		VBROKER_NOT_A_DOMAIN;
	wrong |= say("BIND /dev/null, domain:", vbroker_bind_fds(null, vbroker_domain_fd(domain))) !=
		VBROKER_NOT_A_DEVICE;
	wrong |= say("BIND domain, device (swapped, and understood):",
			 vbroker_bind_fds(vbroker_domain_fd(domain), vbroker_device_fd(device))) != 0;
	close(null);
	close(event);
	return wrong;
}

int main(int argc, char **argv)
{
	struct vbroker_session *session;
	struct vbroker_device *device = NULL;
	struct vbroker_domain *domain = NULL;
	int r, wrong = 1;

	if (argc != 2)
		return 2;
	r = vbroker_session_open(NULL, &session);
	if (r != 0)
		return say("session:", r) != 0;
	r = vbroker_device_open(session, argv[1], &device);
	if (r == 0)
		r = vbroker_domain_open(&domain);
	if (r == 0)
		wrong = mix_up(device, domain);
	else
		say(argv[1], r);
	vbroker_device_close(device);
	vbroker_domain_close(domain);
	vbroker_session_close(session);
	return wrong;
}
