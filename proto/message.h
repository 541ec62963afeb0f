/* SPDX-License-Identifier: MIT */
#ifndef PROTO_MESSAGE_H
#define PROTO_MESSAGE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The wire structs of all channels. PROTOCOL.md explains the protocol; the structs here are its exact form.
 *
 * A packet is one SOCK_SEQPACKET message: a struct message_header and its payload. Numbers are in the byte order of
 * the machine, because both ends run there. Fields named `zero` must be zero, and so must unknown bits of `flags`.
 */

#define MESSAGE_VERSION 1

/* One packet, header included. Linux delivers a packet whole or not at all; the default socket buffer has room for
 * three. */
#define MESSAGE_SIZE_MAX 65536

enum message_flags {
	MESSAGE_REPLY = 1 << 0,	  /* answers the request with the same cookie */
	MESSAGE_REFUSED = 1 << 1, /* together with MESSAGE_REPLY: the payload is a struct message_refusal */
	MESSAGE_EVENT = 1 << 2,	  /* sent without a request; the cookie is 0 */
};

struct message_header {
	uint16_t type;	 /* a request or event number of the channel's kind */
	uint16_t flags;	 /* enum message_flags; a request has none */
	uint32_t length; /* bytes of payload after this header */
	uint64_t cookie; /* chosen by the requester, not 0; copied into the reply */
};
static_assert(sizeof(struct message_header) == 16, "wire");

#define MESSAGE_PAYLOAD_MAX (MESSAGE_SIZE_MAX - sizeof(struct message_header))

/* The payload of a refused reply. The detail follows the struct without a NUL and fills the rest of the packet. */
struct message_refusal {
	uint32_t refusal; /* enum refusal */
	uint32_t error;	  /* errno of the failed step, with REFUSAL_FAILED; else 0 */
};
static_assert(sizeof(struct message_refusal) == 8, "wire");

/* A PCI address as sysfs writes it ("0000:01:00.0", the domain may be longer), padded with NULs, the last one NUL. */
#define DEVICE_NAME_SIZE 32

enum channel_kind {
	CHANNEL_BROKER = 1,
	CHANNEL_DEVICE = 2,
	CHANNEL_DOMAIN = 3,
	CHANNEL_KEEPER = 4, /* between vfio-brokerd and vfio-keeper only; may change with every release */
	CHANNEL_FRONT = 5,  /* between vfio-brokerd and vfio-front (front_message.h) */
	CHANNEL_HELPER = 6, /* between vfio-brokerd and vfio-helper (helper_message.h) */
};

/* ---- on every channel ---- */

enum common_type {
	COMMON_HELLO = 1,
	COMMON_PING = 2,
};

struct hello_request {
	uint32_t flags;		  /* none yet */
	uint16_t version_lowest;  /* the requester speaks these versions ... */
	uint16_t version_highest; /* ... and everything between them */
	uint64_t features;	  /* wanted by the requester; bits unknown to the other side are ignored */
};
static_assert(sizeof(struct hello_request) == 16, "wire");

struct hello_reply {
	uint16_t version; /* the highest version of both sides; without a common version: refused with UNSUPPORTED */
	uint16_t kind;	  /* enum channel_kind */
	uint32_t packet_max;
	uint64_t features; /* the wanted features, as far as the server has them */
};
static_assert(sizeof(struct hello_reply) == 16, "wire");

/* PING has no payload, nor has its reply. */

/* ---- the end of a lease: on all channels but the domain's ---- */

/*
 * The steps of a keeper at the end of a lease, in their order. The order is the safety argument: after RELEASE_WINDOWS
 * only the keeper reaches the device, after RELEASE_MASTER the device does no DMA, and RELEASE_LEAVE, which may hang,
 * comes after the close.
 */
enum release_step {
	RELEASE_WINDOWS = 0,	/* register windows taken back: only the keeper reaches the device */
	RELEASE_INTERRUPTS = 1, /* off */
	RELEASE_MASTER = 2,	/* bus mastering off: no new DMA, no message interrupts */
	RELEASE_RESET = 3,	/* only if the device has a reset */
	RELEASE_CLOSE = 4,	/* the device is closed */
	RELEASE_LEAVE = 5,	/* the group is out of the IOMMU domain; only with its last bound device */
	RELEASE_STEPS,
};

enum reset_result {
	RESET_NOT_OPEN = 0, /* no need: the device was not bound in the lease */
	RESET_DONE = 1,
	RESET_NONE = 2,	  /* the device cannot be reset alone */
	RESET_FAILED = 3, /* steps[RELEASE_RESET].error has the errno */
	RESET_UNSURE = 4, /* the holder has the VFIO device itself (FILE), and may undo a reset until the last close */
};

/* Why a lease ends. */
enum end_reason {
	ENDED_NONE = 0,
	ENDED_RELEASED = 1,	 /* RELEASE by its holder */
	ENDED_HANGUP = 2,	 /* the device channel was closed: the holder has finished, or died */
	ENDED_BROKEN = 3,	 /* the holder broke the protocol, or sent a forbidden file */
	ENDED_SESSION = 4,	 /* the broker channel of its holder was closed, or the service stops */
	ENDED_ADMINISTRATOR = 5, /* REVOKE */
	ENDED_POLICY = 6,	 /* the policy was changed and does not allow the lease any more */
	ENDED_TIME = 7,		 /* the lease time of the policy is over */
	ENDED_UNPLUG = 8,	 /* the host wants the device: hot-unplug, or vfio-pci is unbound */
	ENDED_ERROR = 9,	 /* the device reported an uncorrectable error */
};

struct step_record {
	uint32_t time_us;
	uint32_t error; /* errno, or 0 */
};
static_assert(sizeof(struct step_record) == 8, "wire");

/* The last close of the device: by the end of the lease, or by an UNBIND before the end. */
struct release_report {
	uint32_t reason;     /* enum end_reason */
	uint32_t reset;	     /* enum reset_result */
	uint32_t steps_done; /* bit per enum release_step: steps done; the other steps were not needed */
	uint32_t zero;
	struct step_record steps[RELEASE_STEPS];
};
static_assert(sizeof(struct release_report) == 16 + 8 * RELEASE_STEPS, "wire");

/* ---- broker channel ---- */

enum broker_type {
	BROKER_HELLO = COMMON_HELLO,
	BROKER_PING = COMMON_PING,
	BROKER_LIST = 3,	  /* the machine's PCI devices */
	BROKER_CHECK = 4,	  /* could the caller lease a device now? */
	BROKER_OPEN = 5,	  /* leases a device; the reply carries the device channel */
	BROKER_STATUS = 6,	  /* counters */
	BROKER_SESSIONS = 7,	  /* the connected clients */
	BROKER_LEASES = 8,	  /* all leases, with holders and keepers */
	BROKER_REVOKE = 9,	  /* takes a device back; for administrators */
	BROKER_UNQUARANTINE = 10, /* ends a device's quarantine; administrators only */
	BROKER_WATCH = 11,	  /* CHANGE events from now on */
	BROKER_POLICY = 12,	  /* the rules in force, as far as the caller is concerned */
	BROKER_EXPLAIN = 13,	  /* the rule deciding about a device and a user */
	BROKER_PROCESSES = 14,	  /* the service's own processes, above all those that hang */
	BROKER_TYPE_MAX,
	/* events */
	BROKER_EVENT_CHANGE = 128, /* struct change_event */
};

/* The subject of a CHANGE event, and of an audit entry of the journal. */
enum change_kind {
	CHANGE_GRANT = 1, /* a device was leased */
	CHANGE_BIND = 2,  /* a device was bound to an IOMMU domain, and may do DMA */
	CHANGE_UNBIND = 3,
	CHANGE_DENIAL = 4,	      /* an OPEN, or another request or connection, was refused */
	CHANGE_RELEASE = 5,	      /* a lease has ended, without a revocation */
	CHANGE_REVOKE_PENDING = 6,    /* a lease is to end: the holder was told, and has time until a deadline */
	CHANGE_REVOKE = 7,	      /* a lease has ended by a revocation, or is revoked but not wholly */
	CHANGE_QUARANTINE = 8,	      /* a group is not leased any more until known to be clean */
	CHANGE_QUARANTINE_END = 9,    /* the group is clean */
	CHANGE_QUARANTINE_FORCE = 10, /* an administrator has ended the quarantine */
	CHANGE_POLICY = 11,	      /* the policy was read, or could not be read */
	CHANGE_ADD = 12,	      /* a device has come */
	CHANGE_REMOVE = 13,	      /* a device has gone */
	CHANGE_FAULT = 14,	      /* a device has reported an error */
	CHANGE_LOST = 15,	      /* events were lost on the way; `count` is their number */
	CHANGE_FRONT_LOST = 16,	      /* the process with a user's connections has ended, and with it the sessions */
	CHANGE_MAX,
};

/* How the kernel resets a device. */
enum reset_method {
	RESET_METHOD_NONE = 0,	   /* not at all: the device is quarantined after a lease, unless rules say otherwise */
	RESET_METHOD_FUNCTION = 1, /* a reset of the function */
	RESET_METHOD_BUS = 2,	   /* a reset of the bus, which the device has for itself */
	/* Not alone: by a reset of the bus, and all other devices on the bus are of the same IOMMU group. */
	RESET_METHOD_SHARED_BUS = 3,
};

enum device_state {
	DEVICE_STATE_FREE = 0,	   /* not leased; `driver` names the host driver, if any */
	DEVICE_STATE_CLAIMING = 1, /* a lease is being made */
	DEVICE_STATE_LEASED = 2,
	DEVICE_STATE_RELEASING = 3,   /* the keeper is giving the device back */
	DEVICE_STATE_RESTORING = 4,   /* going back to its host driver */
	DEVICE_STATE_QUARANTINED = 5, /* given to nobody; `check` says why */
};

#define UNIT_NAME_SIZE 64
#define GROUP_NONE     UINT32_MAX

/* The holder of a device or session. pid is 0 without a holder. A longer unit is cut. */
struct holder_record {
	uint32_t uid;
	uint32_t pid;
	char unit[UNIT_NAME_SIZE];
};
static_assert(sizeof(struct holder_record) == 72, "wire");

/* LIST, SESSIONS, LEASES and PROCESSES are read in pieces: ask again with start + count until the sum reaches total. */
struct listing_request {
	uint32_t flags; /* none */
	uint32_t start; /* index of the first entry wanted */
};
static_assert(sizeof(struct listing_request) == 8, "wire");

struct listing_reply {
	uint32_t total; /* number of entries now */
	uint32_t count; /* entries following */
};
static_assert(sizeof(struct listing_reply) == 8, "wire");

struct device_record {
	char name[DEVICE_NAME_SIZE];
	char driver[32]; /* of the host, at the moment; empty: none */
	uint32_t group;	 /* IOMMU group, or GROUP_NONE */
	uint16_t vendor;
	uint16_t device;
	uint32_t class; /* 24 bits, as in sysfs */
	uint32_t state; /* enum device_state */
	struct holder_record holder;
	uint32_t stranded; /* errno of the last try to give the device back to `home`, tried again later; 0: none */
	uint32_t reset;	   /* enum reset_method */
	char home[32];	   /* of a stranded device: the host driver that the device belongs to; empty: none */
};
static_assert(sizeof(struct device_record) == 192, "wire");

enum check_flags {
	/* Of all obstacles, only what the host does with the device, for a policy that allows the device to somebody
	 * else: root alone may ask. */
	BROKER_CHECK_USE = 1 << 0,
};

struct check_request {
	uint32_t flags; /* enum check_flags */
	uint32_t zero;
	char name[DEVICE_NAME_SIZE];
};
static_assert(sizeof(struct check_request) == 40, "wire");

/* All obstacles, most important first; none: OPEN would succeed now. */
struct check_reply {
	uint32_t count;
	uint32_t claim; /* 1: OPEN would take the device from its host driver first */
			/* struct check_obstacle follows, count times */
};
static_assert(sizeof(struct check_reply) == 8, "wire");

struct check_obstacle {
	uint32_t refusal;
	uint32_t zero;
	char detail[256]; /* ends with a NUL */
};
static_assert(sizeof(struct check_obstacle) == 264, "wire");

struct open_request {
	uint32_t flags; /* none yet */
	uint32_t zero;
	char name[DEVICE_NAME_SIZE];
};
static_assert(sizeof(struct open_request) == 40, "wire");

/* One fd: the device channel. */
struct open_reply {
	uint32_t group;
	uint32_t zero;
};
static_assert(sizeof(struct open_reply) == 8, "wire");

enum policy_line_kind {
	POLICY_LINE_SECTION = 1, /* "allow nvme", with the number of its line in ... */
	POLICY_LINE_FILE = 2,	 /* ... this file: follows each section */
	POLICY_LINE_KEY = 3,	 /* "class = 0108" */
};

/* One entry of POLICY. All texts together are a policy file with the policy in force. */
struct policy_line {
	uint32_t kind; /* enum policy_line_kind */
	uint32_t number;
	char text[248]; /* ends with a NUL */
};
static_assert(sizeof(struct policy_line) == 256, "wire");

/* The user in question. The supplementary groups (uint32_t) follow. A caller other than root may ask only about its
 * own uid, and the groups are taken from the kernel. */
struct explain_request {
	uint32_t flags; /* none */
	uint32_t start; /* as in struct listing_request */
	uint32_t uid;	/* the caller's, unless the caller is root */
	uint32_t gid;
	char name[DEVICE_NAME_SIZE];
	char unit[256]; /* padded with NULs, the last byte NUL; empty: unit not known */
};
static_assert(sizeof(struct explain_request) == 304, "wire");

enum explain_verdict {
	EXPLAIN_NO_RULE = 0, /* no rule fits: denied */
	EXPLAIN_DENIED = 1,
	EXPLAIN_ALLOWED = 2,
};

enum explain_flags {
	EXPLAIN_REBIND = 1 << 0, /* the device may be taken from its host driver */
	EXPLAIN_DIRECT = 1 << 1, /* the holder may have the VFIO device itself */
	EXPLAIN_TAKE = 1 << 2,	 /* also while the host uses the device */
};

#define EXPLAIN_UNLIMITED UINT32_MAX

/*
 * The entries of the page, struct explain_record, are the rules considered, in their order. The last entry decides,
 * unless no rule fits. Rules about other users are left out.
 */
struct explain_reply {
	struct listing_reply page;
	uint32_t verdict;	/* enum explain_verdict */
	uint32_t flags;		/* enum explain_flags, of the allowing rule; so are the next five */
	uint64_t window_size;	/* UINT64_MAX: unlimited */
	uint64_t lease_time_us; /* 0: for ever */
	uint32_t windows;
	uint32_t devices; /* of the rule, for one user; or EXPLAIN_UNLIMITED, like all below */
	uint32_t devices_per_unit;
	uint32_t user_sessions; /* limits of the user over all rules */
	uint32_t user_devices;
	uint32_t opens_per_minute;
	uint32_t connections_per_minute;
	uint32_t mappings; /* of the rule: by one domain channel */
};
static_assert(sizeof(struct explain_reply) == 64, "wire");
static_assert(offsetof(struct explain_reply, page) == 0, "a page");

struct explain_record {
	uint32_t line;
	uint32_t verdict; /* the rule's verdict where the rule fits */
	char name[64];
	char file[160];
	char why[152]; /* why the rule does not fit; empty: fits. All three texts are cut and end with a NUL. */
};
static_assert(sizeof(struct explain_record) == 384, "wire");

enum policy_flags {
	POLICY_IN_FORCE = 1 << 0,    /* there is a policy; without a policy nobody gets anything */
	POLICY_FILES_WRONG = 1 << 1, /* the files on disk have a mistake, or cannot be read, and are not in force */
};

struct policy_status {
	uint64_t age_us; /* since the policy in force was read */
	uint32_t rules;	 /* in force */
	uint32_t flags;	 /* enum policy_flags */
	char error[256]; /* FILE:LINE:COLUMN: the mistake; ends with a NUL */
};
static_assert(sizeof(struct policy_status) == 272, "wire");
/* Room in STATUS for kinds of changes and for refusals of later versions. */
#define STATUS_CHANGES 32
#define STATUS_DENIALS 64
static_assert(CHANGE_MAX <= STATUS_CHANGES, "wire");

enum unquarantine_flags {
	BROKER_UNQUARANTINE_FORCE =
		1 << 0, /* nothing was done about the device; else the requester has reset the device */
	BROKER_UNQUARANTINE_DRY_RUN = 1 << 1, /* describes the quarantine, and ends nothing */
};

struct unquarantine_request {
	uint32_t flags; /* enum unquarantine_flags */
	uint32_t zero;
	char name[DEVICE_NAME_SIZE];
};
static_assert(sizeof(struct unquarantine_request) == 40, "wire");

/* Texts, each ended by a NUL. */
struct unquarantine_reply {
	char ended[256];      /* the quarantine: why, since when, the last holder */
	char unverified[256]; /* the facts about the device not known to the broker */
};
static_assert(sizeof(struct unquarantine_reply) == 512, "wire");

struct status_reply {
	uint64_t uptime_us;
	uint32_t sessions;
	uint32_t leases;
	uint32_t keepers; /* spare ones included */
	uint32_t keepers_spare;
	uint32_t devices;
	uint32_t quarantined; /* groups */
	uint32_t watchers;    /* sessions getting CHANGE events */
	uint32_t zero;
	uint64_t requests; /* since start, like all below */
	uint64_t opens;
	uint64_t refusals;
	uint64_t releases;
	uint64_t malformed;
	struct policy_status policy;
	uint64_t suppressed;		  /* events summed up instead of being sent one by one */
	uint64_t lost;			  /* entries not taken by the journal */
	uint64_t missed;		  /* events not sent because a watcher did not read */
	uint64_t changes[STATUS_CHANGES]; /* by enum change_kind */
	uint64_t denials[STATUS_DENIALS]; /* by enum refusal */
};
static_assert(sizeof(struct status_reply) == 104 + sizeof(struct policy_status) + 8 * (STATUS_CHANGES + STATUS_DENIALS),
	"wire");

struct watch_request {
	uint32_t flags; /* none yet */
	uint32_t zero;
};
static_assert(sizeof(struct watch_request) == 8, "wire");

#define RULE_TEXT_SIZE 128

/* Texts end with a NUL. Unknown values, and values without meaning here, are 0 or empty. */
struct change_event {
	uint64_t time_us; /* CLOCK_REALTIME */
	uint64_t missed;  /* events dropped before this event, because the session had no room */
	uint32_t kind;	  /* enum change_kind; LOST: `missed` is the only other field set */
	uint32_t level;	  /* 3 error, 4 warning, 5 notice, 6 information, as in syslog.h */
	uint32_t refusal;
	uint32_t group; /* or GROUP_NONE */
	uint64_t session;
	uint64_t duration_us;
	uint64_t count;		  /* number of events summed up in this event; mostly 1 */
	struct holder_record who; /* the requester, or the present or last holder of the device */
	char device[DEVICE_NAME_SIZE];
	char rule[RULE_TEXT_SIZE]; /* only for the requester and for administrators */
	char message[352];	   /* a sentence for people */
};
static_assert(sizeof(struct change_event) == 640, "wire");

struct session_record {
	uint64_t id;
	struct holder_record peer;
	uint64_t requests;
	uint64_t age_us;
	uint32_t leases;
	uint32_t zero;
};
static_assert(sizeof(struct session_record) == 104, "wire");

struct lease_record {
	char name[DEVICE_NAME_SIZE];
	uint64_t session;
	uint64_t age_us;
	uint32_t group;
	uint32_t keeper_pid;
	uint32_t keeper_uid;
	uint32_t state; /* enum device_state */
};
static_assert(sizeof(struct lease_record) == 64, "wire");

enum process_kind {
	PROCESS_KEEPER = 1,
	PROCESS_FRONT = 2,
	PROCESS_HELPER = 3,
	PROCESS_POLICY_READER = 4,
};

enum process_state {
	PROCESS_IDLE = 1, /* in reserve */
	PROCESS_WORKING = 2,
	PROCESS_HUNG = 3, /* does not answer, or does not end, in time */
};

/* For processes that work for no user. */
#define PROCESS_NOBODYS UINT32_MAX

/* Texts end with a NUL. */
struct process_record {
	uint32_t kind;		     /* enum process_kind */
	uint32_t state;		     /* enum process_state */
	uint32_t pid;		     /* 0: the process has not said so far */
	uint32_t uid;		     /* the user for whom the process works; or PROCESS_NOBODYS */
	uint64_t age_us;	     /* since the process began what it does, or is late with; 0: not known */
	char name[DEVICE_NAME_SIZE]; /* the device that the process is about; or empty */
	char text[160];		     /* HUNG: what to do; else what the process does; may be empty */
};
static_assert(sizeof(struct process_record) == 24 + DEVICE_NAME_SIZE + 160, "wire");

enum revoke_result {
	REVOKE_COMPLETE = 1, /* the keeper has reported the steps, or has died, and the kernel has the device back */
	REVOKE_NOBODY = 2,   /* the device had no holder, or has none any more */
	REVOKE_INCOMPLETE = 3,
};

struct revoke_request {
	uint32_t flags;	      /* none */
	uint32_t deadline_ms; /* the holder's time to finish and to release the device itself; 0: at once */
	char name[DEVICE_NAME_SIZE];
};
static_assert(sizeof(struct revoke_request) == 40, "wire");

struct revoke_reply {
	uint32_t result;     /* enum revoke_result */
	uint32_t group;	     /* or GROUP_NONE */
	uint32_t reported;   /* 1: `report` is from the keeper; 0: the keeper has not reported, and `report` is empty */
	uint32_t keeper_pid; /* 0: not known */
	uint64_t time_us;    /* since the request */
	struct holder_record holder;  /* the present or last holder */
	struct release_report report; /* INCOMPLETE: the steps known to be done */
	char detail[256];	      /* the steps left, and advice; ends with a NUL */
};
static_assert(sizeof(struct revoke_reply) == 24 + 72 + sizeof(struct release_report) + 256, "wire");

/* ---- device channel ---- */

enum device_type {
	DEVICE_HELLO = COMMON_HELLO,
	DEVICE_PING = COMMON_PING,
	DEVICE_DESCRIBE = 3,
	DEVICE_BIND = 4, /* one fd: the IOMMU domain */
	DEVICE_UNBIND = 5,
	DEVICE_REGION_READ = 6,
	DEVICE_REGION_WRITE = 7,
	DEVICE_REGION_PROGRAM = 8,
	DEVICE_IRQ_SET = 9, /* one eventfd per vector */
	DEVICE_IRQ_CLEAR = 10,
	DEVICE_IRQ_UNMASK = 11, /* INTx masks itself when it fires */
	DEVICE_RESET = 12,
	DEVICE_RELEASE = 13,
	DEVICE_REGION_WINDOW = 14, /* the reply carries one fd: the window */
	DEVICE_FILE = 15,	   /* the reply carries one fd: the VFIO device itself */
	DEVICE_TYPE_MAX,
	/* events */
	DEVICE_EVENT_CLOSED = 128,	   /* struct closed_event; the last packet of the channel */
	DEVICE_EVENT_REVOKE_PENDING = 129, /* struct pending_event: a revocation is coming; RELEASE the device before */
};

/* PING, UNBIND, RESET, RELEASE, FILE and DESCRIBE have no payload; of their replies only DESCRIBE's has a payload. */

enum describe_flags {
	DESCRIBE_BOUND = 1 << 0, /* regions and interrupts are known from then on only */
	DESCRIBE_RESET = 1 << 1, /* the device can be reset by function, power state or bus */
};

struct describe_reply {
	char name[DEVICE_NAME_SIZE];
	uint32_t flags; /* enum describe_flags */
	uint32_t group;
	uint16_t vendor;
	uint16_t device;
	uint32_t class;
	uint32_t regions; /* number of struct region_record following ... */
	uint32_t irqs;	  /* ... and then number of struct irq_record */
};
static_assert(sizeof(struct describe_reply) == 56, "wire");

/* Numbers and flags as in VFIO (linux/vfio.h: VFIO_PCI_BAR0_REGION_INDEX, VFIO_REGION_INFO_FLAG_READ ...). */
struct region_record {
	uint32_t index;
	uint32_t flags;
	uint64_t size; /* bytes; 0: not there */
};
static_assert(sizeof(struct region_record) == 16, "wire");

struct irq_record {
	uint32_t index; /* VFIO_PCI_INTX_IRQ_INDEX ... */
	uint32_t flags; /* VFIO_IRQ_INFO_EVENTFD ... */
	uint32_t count; /* vectors; 0: not there */
	uint32_t zero;
};
static_assert(sizeof(struct irq_record) == 16, "wire");

struct bind_request {
	uint32_t flags; /* none yet */
	uint32_t zero;
};
static_assert(sizeof(struct bind_request) == 8, "wire");

/* Limits of the lease's rule for the device's new domain. The owner of the domain enforces the limits. */
struct bind_reply {
	uint32_t mappings; /* largest number for one domain channel at a time; or MAPPINGS_UNLIMITED */
	uint32_t zero;
};
static_assert(sizeof(struct bind_reply) == 8, "wire");

#define MAPPINGS_UNLIMITED UINT32_MAX

/*
 * REGION_READ answers with `length` bytes; in REGION_WRITE the bytes follow the struct. Each access is `width` bytes
 * wide (1, 2, 4 or 8; offset and length are multiples of the width); width 0 leaves the widths to the kernel. The data
 * is in the device's byte order: little endian for every PCI device.
 */
struct region_request {
	uint32_t flags; /* none */
	uint32_t region;
	uint64_t offset; /* bytes from the start of the region */
	uint32_t length;
	uint32_t width;
};
static_assert(sizeof(struct region_request) == 24, "wire");

#define REGION_LENGTH_MAX 32768

enum region_op_kind {
	REGION_OP_READ = 1,   /* result: the value read */
	REGION_OP_WRITE = 2,  /* writes value; result: value */
	REGION_OP_MODIFY = 3, /* reads, then writes (read & ~mask) | (value & mask); result: the value read */
	REGION_OP_POLL = 4,   /* reads until (read & mask) == value; result: the last value read */
};

struct region_op {
	uint8_t kind;  /* enum region_op_kind */
	uint8_t width; /* 1, 2, 4 or 8 bytes; the offset is a multiple of the width */
	uint16_t region;
	uint32_t timeout_us; /* POLL only, at least 1; else 0 */
	uint64_t offset;
	uint64_t value; /* in the byte order of the machine; 0 for READ */
	uint64_t mask;	/* MODIFY and POLL; else 0 */
};
static_assert(sizeof(struct region_op) == 32, "wire");

struct program_request {
	uint32_t flags; /* none */
	uint32_t count; /* struct region_op follows, count times */
};
static_assert(sizeof(struct program_request) == 8, "wire");

#define PROGRAM_OPS_MAX 2000
/* Limit of the sum of a program's POLL timeouts. Longer waits need several programs, so that leases stay revocable
 * meanwhile. */
#define PROGRAM_TIMEOUT_MAX_US 1000000

enum program_stop {
	PROGRAM_COMPLETE = 0,
	PROGRAM_TIMED_OUT = 1, /* at a POLL; no operation after the POLL was done */
	PROGRAM_FAILED = 2,    /* the device or the kernel refused the access; `error` is the errno */
};

struct program_reply {
	uint32_t done; /* number of completed operations; count results follow, 0 for operations not done */
	uint32_t stop; /* enum program_stop */
	uint32_t error;
	uint32_t count; /* number of uint64_t results following */
};
static_assert(sizeof(struct program_reply) == 16, "wire");

enum window_flags {
	WINDOW_WRITE = 1 << 0, /* mappings may be written to, not only read */
	WINDOW_ONES = 1 << 1,  /* mappings of a revoked window read all ones; without the flag: SIGBUS */
};

/* REGION_WINDOW: offset and length are multiples of the page size. */
struct window_request {
	uint32_t flags; /* enum window_flags */
	uint32_t region;
	uint64_t offset; /* bytes from the start of the region */
	uint64_t length;
};
static_assert(sizeof(struct window_request) == 24, "wire");

/* IRQ_SET: one eventfd for each of the vectors start ... start + count - 1. CLEAR and UNMASK carry no fds. */
struct irq_request {
	uint32_t flags; /* none */
	uint32_t index; /* VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX or VFIO_PCI_MSIX_IRQ_INDEX */
	uint32_t start;
	uint32_t count; /* IRQ_CLEAR: 0 (with start 0) switches the whole interrupt off */
};
static_assert(sizeof(struct irq_request) == 16, "wire");

struct closed_event {
	uint32_t refusal; /* why: REVOKED or GONE; NONE after RELEASE */
	uint32_t zero;
	char detail[248]; /* ends with a NUL */
};
static_assert(sizeof(struct closed_event) == 256, "wire");

/* Sent again after a revocation with an earlier deadline. */
struct pending_event {
	uint32_t reason; /* enum end_reason */
	uint32_t zero;
	uint64_t left_us; /* from now on */
	char detail[240]; /* the requester and the reason; ends with a NUL */
};
static_assert(sizeof(struct pending_event) == 256, "wire");

/* ---- domain channel ---- */

enum domain_type {
	DOMAIN_HELLO = COMMON_HELLO,
	DOMAIN_PING = COMMON_PING,
	DOMAIN_DESCRIBE = 3,
	DOMAIN_MAP = 4, /* fds: the memory of each element with MAP_NEW_MEMORY */
	DOMAIN_UNMAP = 5,
	DOMAIN_FORGET = 6, /* a memory handle */
	DOMAIN_ALLOC = 7,  /* the reply has a map_result per element, and an fd for each successful element */
	DOMAIN_TYPE_MAX,
};

#define IOVA_ANY UINT64_MAX

/* DESCRIBE: the properties of the domain, and the rest of the channel's budget. */
struct domain_reply {
	uint64_t page_sizes; /* bit mask; the lowest is the granule of every mapping */
	uint64_t bytes_left;
	uint32_t mappings_left;
	uint32_t memories_left;
	uint32_t count; /* struct domain_range follows, count times: the usable IOVAs */
	uint32_t zero;
};
static_assert(sizeof(struct domain_reply) == 32, "wire");

struct domain_range {
	uint64_t first;
	uint64_t last;
};
static_assert(sizeof(struct domain_range) == 16, "wire");

/* The answer to an element of UNMAP and FORGET. A request with a single element is refused as a whole. */
struct element_result {
	uint32_t refusal; /* 0: done */
	uint32_t zero;
};
static_assert(sizeof(struct element_result) == 8, "wire");

enum map_flags {
	MAP_DEVICE_READ = 1 << 0,     /* the device may read the memory */
	MAP_DEVICE_WRITE = 1 << 1,    /* the device may write the memory */
	MAP_NEW_MEMORY = 1 << 2,      /* MAP: takes the next fd of the packet; the reply has the new memory's handle */
	MAP_HUGE_PAGES = 1 << 3,      /* ALLOC: huge pages, if there are free ones */
	MAP_ADDRESS_BITS = 0x7f << 8, /* the devices reach IOVAs of so many bits, 1 to 64; 0: all */
};

/* The head of every array request and reply: elements or results follow, count times. */
struct array_header {
	uint32_t flags; /* none */
	uint32_t count;
};
static_assert(sizeof(struct array_header) == 8, "wire");

struct map_element {
	uint32_t flags;	 /* enum map_flags */
	uint32_t handle; /* of memory passed before; 0 with MAP_NEW_MEMORY */
	uint64_t offset; /* into the memory */
	uint64_t length;
	uint64_t iova; /* or IOVA_ANY */
};
static_assert(sizeof(struct map_element) == 32, "wire");

struct map_result {
	uint32_t refusal; /* 0: mapped */
	uint32_t handle;
	uint64_t iova;
};
static_assert(sizeof(struct map_result) == 16, "wire");

struct unmap_element {
	uint64_t iova;
	uint64_t length;
};
static_assert(sizeof(struct unmap_element) == 16, "wire");

struct forget_element {
	uint32_t handle;
	uint32_t zero;
};
static_assert(sizeof(struct forget_element) == 8, "wire");

struct alloc_element {
	uint32_t flags; /* enum map_flags */
	uint32_t zero;
	uint64_t length;
};
static_assert(sizeof(struct alloc_element) == 16, "wire");

/* ---- keeper channel ---- */

enum keeper_type {
	KEEPER_HELLO = COMMON_HELLO,
	KEEPER_PING = COMMON_PING,
	KEEPER_LEASE = 3, /* fds: the keeper's end of the device channel; with the first lease the group before it */
	KEEPER_QUERY = 4, /* asks for all leases of the keeper; sent by a broker started after the LEASEs */
	KEEPER_REVOKE = 5,
	KEEPER_TYPE_MAX,
	/* events */
	KEEPER_EVENT_RELEASED = 128, /* struct released_event; after the last device the keeper ends */
	KEEPER_EVENT_FAULT = 129,    /* struct fault_event; the end of the lease follows */
	KEEPER_EVENT_BOUND = 130,    /* struct bound_event */
	/*
	 * struct released_event, sent before the group leaves the domain. Leaving may block (daemon/README.md, hazard
	 * 1: stalled exit).
	 */
	KEEPER_EVENT_LEAVING = 131,
};

/* fds of LEASE, in this order: the group, the window control file, the keeper's end of the device channel. */
enum lease_flags {
	LEASE_GROUP = 1 << 0,	/* the packet carries the VFIO group; needed once, refused later */
	LEASE_WINDOWS = 1 << 1, /* the packet carries a control file of the module vfio_window, for this device alone */
	LEASE_DIRECT = 1 << 2,	/* the holder may have the VFIO device itself (access = direct) */
};

/* Part of a region open to windows: first and last byte. */
struct window_range {
	uint32_t region;
	uint32_t zero;
	uint64_t first;
	uint64_t last;
};
static_assert(sizeof(struct window_range) == 24, "wire");

#define WINDOW_RANGES_MAX 8

/* Limits of the policy for the windows of a lease. */
struct window_limits {
	uint32_t count;	      /* windows at a time; 0: none */
	uint32_t range_count; /* 0: any part of any BAR */
	uint64_t size;	      /* bytes of all windows together */
	struct window_range ranges[WINDOW_RANGES_MAX];
};
static_assert(sizeof(struct window_limits) == 16 + 24 * WINDOW_RANGES_MAX, "wire");

/*
 * The origin of a lease. The keeper makes no use of the origin, and returns a copy with QUERY: so a new broker learns
 * the leases of a killed broker. Times are microseconds.
 */
struct lease_origin {
	uint64_t session;	  /* the number of the client's session, and ... */
	uint64_t session_started; /* ... its start (CLOCK_BOOTTIME): both together are unique */
	uint64_t zero;		  /* earlier brokers: the cookie of the OPEN */
	uint64_t since;		  /* start of the lease (CLOCK_MONOTONIC) */
	struct holder_record holder;
};
static_assert(sizeof(struct lease_origin) == 104, "wire");

struct lease_request {
	uint32_t flags; /* enum lease_flags */
	uint32_t group;
	char name[DEVICE_NAME_SIZE];
	uint16_t vendor;
	uint16_t device;
	uint32_t class;
	uint32_t mappings; /* as in bind_reply */
	uint32_t zero;
	struct window_limits windows;
	char rule[RULE_TEXT_SIZE]; /* the policy rule with the limits above, for people; ends with a NUL */
	struct lease_origin origin;
};
static_assert(sizeof(struct lease_request) ==
		56 + sizeof(struct window_limits) + RULE_TEXT_SIZE + sizeof(struct lease_origin),
	"wire");

/* The keeper's process, for people to read. */
struct lease_reply {
	uint32_t pid;
	uint32_t uid;
};
static_assert(sizeof(struct lease_reply) == 8, "wire");

struct query_request {
	uint32_t flags; /* none */
	uint32_t zero;
};
static_assert(sizeof(struct query_request) == 8, "wire");

/*
 * Before the reply, the keeper ends all leases whose client has closed the channel: every lease in the reply has a
 * client. Replies and events not read by the earlier broker may arrive before the reply, and mean nothing any more.
 */
struct query_reply {
	uint32_t pid;
	uint32_t uid;
	uint32_t group; /* valid if count is not 0 */
	uint32_t count; /* struct query_record follows, count times */
};
static_assert(sizeof(struct query_reply) == 16, "wire");

enum query_flags {
	QUERY_BOUND = 1 << 0,  /* to an IOMMU domain */
	QUERY_DIRECT = 1 << 1, /* as in LEASE */
};

struct query_record {
	char name[DEVICE_NAME_SIZE];
	uint32_t flags; /* enum query_flags */
	uint32_t zero;
	struct lease_origin origin;
	char rule[RULE_TEXT_SIZE];
};
static_assert(sizeof(struct query_record) == 40 + sizeof(struct lease_origin) + RULE_TEXT_SIZE, "wire");

#define REVOKE_TEXT_SIZE 192

/*
 * REVOKE: the keeper tells the holder, and takes the device back at the deadline, even without a broker. Of several
 * orders the order with the earliest deadline counts. The reply comes at once; RELEASED reports the end.
 */
struct revoke_order {
	uint32_t flags;	      /* none */
	uint32_t reason;      /* enum end_reason */
	uint64_t deadline_us; /* from its arrival on; 0: at once */
	char name[DEVICE_NAME_SIZE];
	char text[REVOKE_TEXT_SIZE]; /* the requester and the reason, for the holder and the log; ends with a NUL */
};
static_assert(sizeof(struct revoke_order) == 48 + REVOKE_TEXT_SIZE, "wire");

/* The device has reported an uncorrectable error (VFIO_PCI_ERR_IRQ_INDEX). */
struct fault_event {
	char name[DEVICE_NAME_SIZE];
};
static_assert(sizeof(struct fault_event) == 32, "wire");

struct released_event {
	char name[DEVICE_NAME_SIZE];
	uint32_t remaining; /* devices left in the keeper */
	uint32_t error;	    /* errno of the first failed step, the reset apart, or 0 */
	struct release_report report;
	struct lease_origin origin;
	uint32_t used; /* 1: the client has sent a request, so the client had the device channel */
	uint32_t zero;
};
static_assert(
	sizeof(struct released_event) == 48 + sizeof(struct release_report) + sizeof(struct lease_origin), "wire");

/* A device was bound to an IOMMU domain, or unbound. */
struct bound_event {
	char name[DEVICE_NAME_SIZE];
	uint32_t bound; /* 1 or 0 */
	uint32_t zero;
	uint64_t duration_us; /* of the BIND or UNBIND */
};
static_assert(sizeof(struct bound_event) == 48, "wire");

#endif
