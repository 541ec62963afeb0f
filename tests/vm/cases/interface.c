/* SPDX-License-Identifier: MIT */
/*
 * What ip(8) would do, which the image does not have:
 *
 *	interface NAME up|down
 *	interface NAME address ADDRESS		10.0.0.5, with a /24 around it
 *	interface NAME gateway ADDRESS		the default route
 *	interface NAME namespace PID		moves the interface to the network namespace of a process
 *
 * Exit code: 0, or 1 with the reason.
 */
#include <arpa/inet.h>
#include <err.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in ip(const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET};

	if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
		errx(1, "not an address: %s", text);
	return address;
}

static void request(int fd, unsigned long number, void *argument)
{
	if (ioctl(fd, number, argument) < 0)
		err(1, "ioctl %lx", number);
}

static void set_address(int fd, struct ifreq *interface, const char *text, const char *mask)
{
	struct sockaddr_in address = ip(text);

	memcpy(&interface->ifr_addr, &address, sizeof address);
	request(fd, SIOCSIFADDR, interface);
	address = ip(mask);
	memcpy(&interface->ifr_netmask, &address, sizeof address);
	request(fd, SIOCSIFNETMASK, interface);
}

static void set_up(int fd, struct ifreq *interface, int up)
{
	request(fd, SIOCGIFFLAGS, interface);
	interface->ifr_flags = (short)(up ? interface->ifr_flags | IFF_UP : interface->ifr_flags & ~IFF_UP);
	request(fd, SIOCSIFFLAGS, interface);
}

static void add_gateway(int fd, char *name, const char *text)
{
	struct sockaddr_in any = {.sin_family = AF_INET}, gateway = ip(text);
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = name};

	memcpy(&route.rt_dst, &any, sizeof any);
	memcpy(&route.rt_genmask, &any, sizeof any);
	memcpy(&route.rt_gateway, &gateway, sizeof gateway);
	request(fd, SIOCADDRT, &route);
}

static void move(const char *name, unsigned int pid)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
		struct rtattr attribute;
		unsigned int pid;
	} message = {
		.header = {sizeof message, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0},
		.link = {.ifi_family = AF_UNSPEC, .ifi_index = (int)if_nametoindex(name)},
		.attribute = {RTA_LENGTH(sizeof message.pid), IFLA_NET_NS_PID},
		.pid = pid,
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (send(fd, &message, sizeof message, 0) < 0 || recv(fd, &answer, sizeof answer, MSG_TRUNC) < 0)
		err(1, "netlink");
	if (answer.error.error != 0)
		errx(1, "netlink: %s", strerror(-answer.error.error));
	close(fd);
}

int main(int count, char **words)
{
	struct ifreq interface = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (count < 3)
		errx(1, "interface NAME WHAT [VALUE]");
	snprintf(interface.ifr_name, sizeof interface.ifr_name, "%s", words[1]);
	if (strcmp(words[2], "up") == 0 || strcmp(words[2], "down") == 0)
		set_up(fd, &interface, strcmp(words[2], "up") == 0);
	else if (count > 3 && strcmp(words[2], "address") == 0)
		set_address(fd, &interface, words[3], "255.255.255.0");
	else if (count > 3 && strcmp(words[2], "gateway") == 0)
		add_gateway(fd, words[1], words[3]);
	else if (count > 3 && strcmp(words[2], "namespace") == 0)
		move(words[1], (unsigned int)strtoul(words[3], NULL, 10));
	else
		errx(1, "unknown: %s", words[2]);
	close(fd);
	return 0;
}
