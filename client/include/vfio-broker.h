/* SPDX-License-Identifier: MIT */
#ifndef VFIO_BROKER_H
#define VFIO_BROKER_H

/**
 * DOC: libvfio-broker
 *
 * Drive a PCI device from a process without root. A root daemon (vfio-brokerd) decides who gets which device. The
 * caller owns the IOMMU domain, maps its own memory into the domain and pays for it. Registers and interrupts are
 * reached through a device channel, a socket that can be handed to another process.
 *
 * Results: 0 is success, a negative value is the errno of a failure in this process, a positive value is an &enum
 * vbroker_refusal, a documented answer. vbroker_detail() then has the particulars in words. Output parameters
 * (ret_...) are written on success only.
 *
 * Threads: the library starts none and keeps no global state but vbroker_detail() and vbroker_set_timeout(), both per
 * thread. An object is used by one thread at a time; different objects by different threads freely, except that a
 * device bound to a domain must be released before the domain is closed.
 *
 * Order of things: session (or an inherited device channel) -> device -> bind to a domain -> map, use. Closing the
 * session releases all its devices. No descriptor of the library is inherited over fork() and exec() unless passed
 * explicitly.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VBROKER_SOCKET "/run/vfio-broker/broker.sock"

/**
 * enum vbroker_refusal - answers other than yes
 *
 * The numbers are stable. vbroker_refusal_name(), _sentence() and _advice() give the words.
 */
enum vbroker_refusal {
	VBROKER_NO_IOMMU = 1,
	VBROKER_NO_DOMAINS = 2,
	VBROKER_DOMAIN_INCOMPATIBLE = 3,
	VBROKER_DEVICE_BAD_STATE = 4,
	VBROKER_NOT_A_DOMAIN = 5,
	VBROKER_NOT_A_DEVICE = 6,
	VBROKER_GROUP_NOT_VIABLE = 7,
	VBROKER_DEVICE_BUSY = 8,
	VBROKER_NO_SUCH_DEVICE = 9,
	VBROKER_DENIED = 10,
	VBROKER_QUOTA = 11,
	VBROKER_MEMLOCK = 12,
	VBROKER_IOVA_IN_USE = 13,
	VBROKER_IOVA_INVALID = 14,
	VBROKER_NOT_BOUND = 15,
	VBROKER_ALREADY_BOUND = 16,
	VBROKER_QUARANTINED = 17,
	VBROKER_REVOKED = 18,
	VBROKER_GONE = 19,
	VBROKER_UNSUPPORTED = 20,
	VBROKER_MALFORMED = 21,
	VBROKER_NO_KEEPER = 22,
	VBROKER_FAILED = 23,
	VBROKER_WINDOW_UNAVAILABLE = 24,
	VBROKER_NOT_MEMORY = 25,
	VBROKER_NOT_QUARANTINED = 26,
	VBROKER_NOT_LEASABLE = 27,
	VBROKER_IN_USE = 28,
	VBROKER_NO_DOMAIN_FILE = 29,
	VBROKER_ROOT_ONLY = 30,
	VBROKER_NO_REMAPPING = 31
};

/** vbroker_refusal_name() - "DEVICE_BUSY" and so on; a constant string, never NULL */
const char *vbroker_refusal_name(int refusal);
/** vbroker_refusal_sentence() - the meaning of the refusal, one sentence; a constant string, never NULL */
const char *vbroker_refusal_sentence(int refusal);
/** vbroker_refusal_advice() - the remedy, for a person to carry out; a constant string, never NULL */
const char *vbroker_refusal_advice(int refusal);

/**
 * vbroker_detail() - the particulars of the last failure in this thread
 *
 * Names the sibling device, the holder or the limit, for instance. Empty when there is nothing to add. Valid until the
 * thread's next vbroker call.
 */
const char *vbroker_detail(void);

/**
 * vbroker_describe_result() - a line about a result: name or errno text, sentence, detail
 * @result: returned by a vbroker function
 * @buffer: where to write, always ended by a NUL
 * @size: of the buffer in bytes
 *
 * Returns @buffer.
 */
const char *vbroker_describe_result(int result, char *buffer, size_t size);

/**
 * vbroker_set_timeout() - how long a call of this thread waits for a reply
 * @timeout_ms: in milliseconds, for each request of a call; negative: for ever; 0: the default
 *
 * The default is 30 s for a device's registers and interrupts, windows, and PING; 120 s for requests that may wait for
 * a device, a driver or memory: all of a session and of a domain channel, bind, unbind, reset and close; 10 s for the
 * adoption of a channel. vbroker_session_revoke() waits so long beyond its deadline. vbroker_session_event() has a
 * timeout of its own.
 *
 * A call that has waited so long returns -ETIME; vbroker_detail() says who is stopped or hangs, and what to do. Nobody
 * knows whether the request was done, or will be. From then on each call with the same device, or domain behind a
 * channel, returns -ETIME at once: close the object. The lease goes on until then. A session can still be used. If a
 * device is opened after all, the next call of the session gives the device back.
 */
void vbroker_set_timeout(int timeout_ms);

/* ---- sessions ---- */

/** struct vbroker_session - a broker channel; closing the session releases its devices */
struct vbroker_session;
/** struct vbroker_device - a device channel */
struct vbroker_device;
/** struct vbroker_domain - an IOMMU domain, owned by this process or behind a domain channel */
struct vbroker_domain;

/**
 * vbroker_session_open() - connects to the broker and agrees on a version
 * @path: of the broker's socket, or NULL for VBROKER_SOCKET
 * @ret_session: the caller's, for vbroker_session_close()
 *
 * -ENOENT or -ECONNREFUSED: there is no broker. -EACCES: the socket is closed to this user. -ETIME: the broker does not
 * answer.
 */
int vbroker_session_open(const char *path, struct vbroker_session **ret_session);

/** vbroker_session_close() - releases the session and, in the broker, all devices of the session. NULL is fine. */
void vbroker_session_close(struct vbroker_session *session);

/** vbroker_session_fd() - for poll(): readable or hung up when the broker is gone. Stays the session's. */
int vbroker_session_fd(const struct vbroker_session *session);

/** vbroker_session_ping() - a round trip */
int vbroker_session_ping(struct vbroker_session *session);

enum vbroker_device_state {
	VBROKER_STATE_FREE = 0,
	VBROKER_STATE_CLAIMING = 1,
	VBROKER_STATE_LEASED = 2,
	VBROKER_STATE_RELEASING = 3,
	VBROKER_STATE_RESTORING = 4,
	VBROKER_STATE_QUARANTINED = 5
};

#define VBROKER_GROUP_NONE UINT32_MAX

/** struct vbroker_holder - the process that has something; pid 0: nobody */
struct vbroker_holder {
	uint32_t uid;
	uint32_t pid;
	char unit[64]; /* systemd unit, cut if longer; empty: none */
};

/** enum vbroker_reset_method - how the kernel resets a device */
enum vbroker_reset_method {
	VBROKER_RESET_METHOD_NONE = 0,	   /* not at all: quarantined after a lease, unless rules say otherwise */
	VBROKER_RESET_METHOD_FUNCTION = 1, /* a reset of the function */
	VBROKER_RESET_METHOD_BUS = 2,	   /* a reset of the bus, which the device has for itself */
	/* a reset of the bus, with the other devices on it, when no device of the IOMMU group is leased any more */
	VBROKER_RESET_METHOD_SHARED_BUS = 3
};

/** struct vbroker_device_entry - a PCI device of the machine */
struct vbroker_device_entry {
	char name[32];	 /* "0000:01:00.0" */
	char driver[32]; /* the host driver at this moment; empty: none */
	uint32_t group;	 /* IOMMU group or VBROKER_GROUP_NONE */
	uint32_t vendor;
	uint32_t device;
	uint32_t class_code; /* 24 bits */
	enum vbroker_device_state state;
	struct vbroker_holder holder;
	int stranded;  /* errno of the last try to go back to `home`, tried again until it works; 0: is not stranded */
	char home[32]; /* of a stranded device: the host driver that the device belongs to */
	enum vbroker_reset_method reset;
};

#define VBROKER_ADDRESS_SIZE 32

/**
 * vbroker_device_address() - the PCI address of the device that somebody calls @name
 * @name: an address ("0000:01:00.0", also "01:00.0", "0000:1:0.0", with capital letters or more zeros), libvirt's
 *	"pci_0000_01_00_0", a path in sysfs, or a name that the kernel uses at present ("nvme0", "enp3s0",
 *	"/dev/nvme0n1")
 * @ret_address: as the kernel writes it, with a NUL; empty if there is none
 *
 * Returns 0, or VBROKER_NO_SUCH_DEVICE if @name is none of these. Whether there is a device at an address, only a
 * request tells. All calls that take the name of a device take the same names. Asks sysfs, not the service.
 */
int vbroker_device_address(const char *name, char ret_address[VBROKER_ADDRESS_SIZE]);

/**
 * vbroker_list_devices() - the machine's PCI devices
 * @ret_entries: an array for the caller to free()
 * @ret_count: the number of entries
 */
int vbroker_list_devices(struct vbroker_session *session, struct vbroker_device_entry **ret_entries, size_t *ret_count);

/** struct vbroker_obstacle - a reason why the caller cannot have a device */
struct vbroker_obstacle {
	int refusal; /* enum vbroker_refusal */
	char detail[256];
};

/**
 * vbroker_session_check() - could this caller lease the device now?
 * @ret_obstacles: an array for the caller to free(), most important first; none: yes
 * @ret_count: the number of obstacles
 * @ret_claim: 1 if the device would be taken from its host driver
 */
int vbroker_session_check(struct vbroker_session *session, const char *name, struct vbroker_obstacle **ret_obstacles,
	size_t *ret_count, int *ret_claim);

/**
 * vbroker_session_in_use() - what does the host do with a device?
 * @ret_use: in words, "mounted on /srv by /dev/nvme0n1p1"; an empty string: nothing that can be seen
 * Return: 0, a refusal (of somebody who is not root and may not have the device, say) or a negative errno
 */
int vbroker_session_in_use(struct vbroker_session *session, const char *name, char ret_use[256]);

enum vbroker_unquarantine_flags {
	VBROKER_UNQUARANTINE_FORCE = 1,	 /* ends the quarantine of a device that was not reset */
	VBROKER_UNQUARANTINE_DRY_RUN = 2 /* changes nothing, only says what would be ended */
};

/** struct vbroker_unquarantined - the quarantine ended by vbroker_session_unquarantine(), in words */
struct vbroker_unquarantined {
	char ended[256];      /* why the device was held back, since when, its last holder */
	char unverified[256]; /* the facts that nobody has verified */
};

/**
 * vbroker_session_unquarantine() - ends the quarantine of a device; root only
 * @flags: enum vbroker_unquarantine_flags. Without FORCE the caller vouches for having reset the device.
 *
 * VBROKER_NOT_QUARANTINED: there is no quarantine, or somebody has the device. VBROKER_QUARANTINED: the device's
 * keeper or the kernel has not let go of the device, and nothing can force either. VBROKER_DEVICE_BAD_STATE: the
 * device does not answer (not with FORCE).
 */
int vbroker_session_unquarantine(struct vbroker_session *session, const char *name, unsigned int flags,
	struct vbroker_unquarantined *ret_released);

#define VBROKER_STATUS_CHANGES 32
#define VBROKER_STATUS_DENIALS 64

/** struct vbroker_status - the broker's present state, and counters since the broker's start */
struct vbroker_status {
	uint64_t uptime_us;
	uint32_t sessions, leases, keepers, keepers_spare, devices;
	uint32_t quarantined; /* IOMMU groups */
	uint32_t watchers;    /* sessions that watch */
	uint64_t requests, opens, refusals, releases, malformed;
	/* The policy: the number of rules in force (without a policy nobody gets anything), and the age. If the files
	 * on disk have a mistake, the files are not in force, and policy_error says why; else policy_error is empty. */
	int policy_in_force;
	uint32_t policy_rules;
	uint64_t policy_age_us;
	char policy_error[256];
	uint64_t suppressed;			  /* events summed up instead of reported singly */
	uint64_t lost;				  /* entries not accepted by the journal */
	uint64_t missed;			  /* events lost because watchers did not read in time */
	uint64_t changes[VBROKER_STATUS_CHANGES]; /* by enum vbroker_change_kind */
	uint64_t denials[VBROKER_STATUS_DENIALS]; /* by enum vbroker_refusal */
};

int vbroker_session_status(struct vbroker_session *session, struct vbroker_status *ret_status);

/** enum vbroker_policy_kind - the kind of a line of the policy */
enum vbroker_policy_kind {
	VBROKER_POLICY_SECTION = 1, /* "allow nvme"; @number is the line in the file named next */
	VBROKER_POLICY_FILE = 2,
	VBROKER_POLICY_KEY = 3 /* "class = 0108" */
};

/** struct vbroker_policy_line - a line of the policy in force */
struct vbroker_policy_line {
	enum vbroker_policy_kind kind;
	uint32_t number;
	char text[248];
};

/**
 * vbroker_list_policy() - the rules in force, in the order in which rules are asked
 * @ret_lines: an array for the caller to free()
 * @ret_count: the number of lines
 *
 * Root sees all rules, other users the rules about themselves. VBROKER_DENIED if there is no policy, because the files
 * have a mistake.
 */
int vbroker_list_policy(struct vbroker_session *session, struct vbroker_policy_line **ret_lines, size_t *ret_count);

/** struct vbroker_subject - the user to ask about; all pointers stay the caller's */
struct vbroker_subject {
	uint32_t uid; /* callers other than root may ask about themselves; the broker knows their groups itself */
	uint32_t gid;
	const uint32_t *groups; /* supplementary groups; NULL: none */
	size_t groups_count;	/* 4096 at most */
	const char *unit;	/* systemd unit; NULL: not known */
};

enum vbroker_verdict {
	VBROKER_VERDICT_NO_RULE = 0, /* no rule fits: the answer is no */
	VBROKER_VERDICT_DENIED = 1,
	VBROKER_VERDICT_ALLOWED = 2
};

#define VBROKER_UNLIMITED 0xffffffffu

/** struct vbroker_rule_entry - a rule looked at for a decision */
struct vbroker_rule_entry {
	enum vbroker_verdict verdict; /* the rule's answer, if the rule fits */
	uint32_t line;
	char name[64];
	char file[160];
	char why[152]; /* why the rule does not fit; empty: the rule fits, and decides */
};

/** struct vbroker_explanation - the policy's answer about a device and a user */
struct vbroker_explanation {
	enum vbroker_verdict verdict;
	struct vbroker_rule_entry *rules; /* for the caller to free(): all rules up to the deciding one */
	size_t rules_count;
	/* Of the rule that allows the device; numbers may be VBROKER_UNLIMITED. */
	int rebind;
	int take_in_use; /* the device is taken also while the host uses the device */
	int direct;	 /* the holder may have the VFIO device itself: vbroker_device_vfio_fd() */
	uint32_t windows;
	uint64_t window_size;	/* UINT64_MAX: unlimited */
	uint64_t lease_time_us; /* 0: for ever */
	uint32_t devices;	/* by this rule for one user at a time */
	uint32_t devices_per_unit;
	uint32_t mappings; /* of a driver through one domain channel */
	/* Of the user, whatever the device. */
	uint32_t user_sessions, user_devices, opens_per_minute, connections_per_minute;
};

/** vbroker_session_explain_policy() - which rule decides about device @name and @subject, and why no earlier rule */
int vbroker_session_explain_policy(struct vbroker_session *session, const char *name,
	const struct vbroker_subject *subject, struct vbroker_explanation *ret_explanation);

/** struct vbroker_session_entry - a connection to the broker */
struct vbroker_session_entry {
	uint64_t id;
	struct vbroker_holder peer;
	uint64_t requests;
	uint64_t age_us;
	uint32_t leases;
};

/** vbroker_list_sessions() - who is connected; an array for the caller to free() */
int vbroker_list_sessions(
	struct vbroker_session *session, struct vbroker_session_entry **ret_entries, size_t *ret_count);

/** struct vbroker_lease_entry - a leased device and the keeper that holds the device */
struct vbroker_lease_entry {
	char name[32];
	uint64_t session; /* id of the session with the lease */
	uint64_t age_us;
	uint32_t group;
	uint32_t keeper_pid;
	uint32_t keeper_uid;
	enum vbroker_device_state state;
};

/** vbroker_list_leases() - the leased devices and their sessions; an array for the caller to free() */
int vbroker_list_leases(struct vbroker_session *session, struct vbroker_lease_entry **ret_entries, size_t *ret_count);

/** enum vbroker_process_kind - the kinds of processes of the service; later versions may have more */
enum vbroker_process_kind {
	VBROKER_PROCESS_KEEPER = 1, /* holds the devices of a leased IOMMU group */
	VBROKER_PROCESS_FRONT = 2,  /* has the connections of a user */
	VBROKER_PROCESS_HELPER = 3, /* does an operation on a device that may wait */
	VBROKER_PROCESS_POLICY_READER = 4,
};

/** enum vbroker_process_state - what a process does */
enum vbroker_process_state {
	VBROKER_PROCESS_IDLE = 1, /* in reserve */
	VBROKER_PROCESS_WORKING = 2,
	VBROKER_PROCESS_HUNG = 3, /* does not answer, or does not end, in time */
};

/** VBROKER_PROCESS_NOBODYS - the uid of a process that works for no user */
#define VBROKER_PROCESS_NOBODYS UINT32_MAX

/** struct vbroker_process_entry - a process of the service beside vfio-brokerd */
struct vbroker_process_entry {
	enum vbroker_process_kind kind;
	enum vbroker_process_state state;
	uint32_t pid;	 /* 0: not known so far */
	uint32_t uid;	 /* the user for whom the process works, or VBROKER_PROCESS_NOBODYS */
	uint64_t age_us; /* since the process began what it does, or is late with; 0: not known */
	char name[32];	 /* the device; or empty */
	char text[160];	 /* of a process that hangs, what an administrator can do; else what the process does */
};

/**
 * vbroker_list_processes() - the processes of the service; an array for the caller to free()
 *
 * A broker of an earlier release answers VBROKER_UNSUPPORTED.
 */
int vbroker_list_processes(
	struct vbroker_session *session, struct vbroker_process_entry **ret_entries, size_t *ret_count);

/* ---- following events ---- */

/** enum vbroker_change_kind - kinds of events about devices and their users; vbroker_change_name() has the words */
enum vbroker_change_kind {
	VBROKER_CHANGE_GRANT = 1, /* a device was leased */
	VBROKER_CHANGE_BIND = 2,  /* a device was bound to an IOMMU domain, and may do DMA */
	VBROKER_CHANGE_UNBIND = 3,
	VBROKER_CHANGE_DENIAL = 4,  /* an OPEN, or another request or connection, was refused */
	VBROKER_CHANGE_RELEASE = 5, /* a lease has ended, without a revocation */
	VBROKER_CHANGE_REVOKE_PENDING = 6,
	VBROKER_CHANGE_REVOKE = 7, /* a lease has ended by a revocation, or is revoked but not wholly */
	VBROKER_CHANGE_QUARANTINE = 8,
	VBROKER_CHANGE_QUARANTINE_END = 9,
	VBROKER_CHANGE_QUARANTINE_FORCE = 10, /* ended by an administrator */
	VBROKER_CHANGE_POLICY = 11,
	VBROKER_CHANGE_ADD = 12, /* a device has come */
	VBROKER_CHANGE_REMOVE = 13,
	VBROKER_CHANGE_FAULT = 14,     /* a device has reported an error */
	VBROKER_CHANGE_LOST = 15,      /* carries no news but the number of missed events */
	VBROKER_CHANGE_FRONT_LOST = 16 /* the process with a user's connections has ended, and the sessions with it */
};

/** vbroker_change_name() - "grant", "revoke-pending" and so on; a constant string, never NULL */
const char *vbroker_change_name(int kind);

/** struct vbroker_change - an event; fields without a known or meaningful value are 0 or empty */
struct vbroker_change {
	uint64_t time_us; /* since 1970 */
	uint64_t missed;  /* events lost before this one, because the client did not read in time */
	enum vbroker_change_kind kind;
	uint32_t level; /* 3 error, 4 warning, 5 notice, 6 information */
	int refusal;	/* enum vbroker_refusal */
	uint32_t group; /* or VBROKER_GROUP_NONE */
	uint64_t session;
	uint64_t duration_us; /* grant: since OPEN; release: of the lease; bind and revoke: of itself */
	uint64_t count;	      /* number of events summed up in this one, when a user repeats the same */
	struct vbroker_holder who;
	char device[32];
	char rule[128];	   /* of the policy; only for events about the caller's user, and for root */
	char message[352]; /* a sentence for people */
};

/**
 * vbroker_session_watch() - has the broker send events to this session from now on
 *
 * Everybody gets events about devices. Denials, and the rules of the policy, are shown to the user concerned and to
 * root. The session goes on to answer requests. Do not watch by a busy session, though: at most 64 events are kept
 * while a call waits for a reply. QUOTA: a user has eight watching sessions at most.
 */
int vbroker_session_watch(struct vbroker_session *session);

/**
 * vbroker_session_event() - the next event
 * @timeout_ms: 0: do not wait; -1: wait for ever
 *
 * -EAGAIN: there is none (yet). Before polling vbroker_session_fd(), take events until there is none. A client that
 * does not read loses events, and the next event says how many. -ECONNRESET: the broker is gone.
 */
int vbroker_session_event(struct vbroker_session *session, int timeout_ms, struct vbroker_change *ret_change);

/* ---- taking devices back ---- */

/** enum vbroker_end_reason - why a lease ended, or is to end */
enum vbroker_end_reason {
	VBROKER_ENDED_NONE = 0,
	VBROKER_ENDED_RELEASED = 1,	 /* the holder released the device */
	VBROKER_ENDED_HANGUP = 2,	 /* the holder closed the device channel, or died */
	VBROKER_ENDED_BROKEN = 3,	 /* the holder broke the protocol, or sent something forbidden */
	VBROKER_ENDED_SESSION = 4,	 /* the holder's session ended, or the service stopped */
	VBROKER_ENDED_ADMINISTRATOR = 5, /* revoked */
	VBROKER_ENDED_POLICY = 6,	 /* the policy does not allow the lease any more */
	VBROKER_ENDED_TIME = 7,		 /* the lease time of the policy is over */
	VBROKER_ENDED_UNPLUG = 8,	 /* the host wanted the device: hot-unplug, or vfio-pci was unbound */
	VBROKER_ENDED_ERROR = 9		 /* the device reported an uncorrectable error */
};

/** enum vbroker_release_step - the steps of taking a device out of use, in this order */
enum vbroker_release_step {
	VBROKER_STEP_WINDOWS = 0,    /* register windows taken back */
	VBROKER_STEP_INTERRUPTS = 1, /* interrupts off */
	VBROKER_STEP_MASTER = 2,     /* bus mastering off: no DMA */
	VBROKER_STEP_RESET = 3,	     /* if the device has a reset of its own */
	VBROKER_STEP_CLOSE = 4,	     /* device closed */
	VBROKER_STEP_LEAVE = 5	     /* the group is out of the IOMMU domain, with its last bound device */
};
#define VBROKER_STEPS 6

enum vbroker_reset_result {
	VBROKER_RESET_NOT_OPEN = 0, /* no need: the device was not bound in this lease */
	VBROKER_RESET_DONE = 1,
	VBROKER_RESET_NONE = 2,	  /* the device cannot be reset alone */
	VBROKER_RESET_FAILED = 3, /* the step's error says how */
	VBROKER_RESET_UNSURE = 4  /* in any case: the holder has the VFIO device itself until the holder closes it */
};

enum vbroker_revoke_result {
	VBROKER_REVOKE_COMPLETE = 1,  /* the kernel has the device back */
	VBROKER_REVOKE_NOBODY = 2,    /* nobody had the device, or has the device any more */
	VBROKER_REVOKE_INCOMPLETE = 3 /* @detail says what is left */
};

struct vbroker_step {
	int taken; /* 0: there was nothing to do, or, if incomplete, the step is not known to be done */
	int error; /* errno, or 0 */
	uint32_t time_us;
};

/** struct vbroker_revocation - the course of a revocation */
struct vbroker_revocation {
	enum vbroker_revoke_result result;
	uint32_t group;		      /* or VBROKER_GROUP_NONE */
	uint32_t keeper_pid;	      /* 0: not known */
	uint64_t time_us;	      /* since the request */
	struct vbroker_holder holder; /* the present holder, or the last */
	int reported;		      /* 0: the keeper sent no report; the fields from here to @steps are empty */
	enum vbroker_end_reason reason;
	enum vbroker_reset_result reset;
	struct vbroker_step steps[VBROKER_STEPS];
	char detail[256];
};

/**
 * vbroker_session_revoke() - takes a device back, whoever has it; for root
 * @deadline_ms: for so long the holder may go on, and release the device itself; 0: at once
 * @ret_revocation: the course of the revocation
 *
 * Returns when the revocation is complete, or known to be incomplete: some seconds after the deadline at most. Of
 * several deadlines the earliest counts. Refusals: DENIED, NO_SUCH_DEVICE.
 */
int vbroker_session_revoke(struct vbroker_session *session, const char *name, uint32_t deadline_ms,
	struct vbroker_revocation *ret_revocation);

/* ---- the simple case ---- */

/**
 * vbroker_open() - session, device and a domain of its own in a single call
 * @name: PCI address, "0000:01:00.0", or another name that vbroker_device_address() knows
 * @ret_device: bound and ready; vbroker_device_close() ends all three
 *
 * Then vbroker_domain_map(vbroker_device_domain(device), ...), use the device, close the device.
 */
int vbroker_open(const char *name, struct vbroker_device **ret_device);

/** vbroker_device_domain() - the domain the device is bound to, or NULL. Stays its owner's. */
struct vbroker_domain *vbroker_device_domain(const struct vbroker_device *device);

/* ---- devices ---- */

/**
 * vbroker_device_open() - leases a device from the broker
 * @ret_device: the caller's, for vbroker_device_close(); may outlive neither the session nor a revocation
 *
 * Refusals: DENIED, DEVICE_BUSY, GROUP_NOT_VIABLE, NO_IOMMU, NO_SUCH_DEVICE, DEVICE_BAD_STATE, QUARANTINED, QUOTA,
 * NO_KEEPER.
 */
int vbroker_device_open(struct vbroker_session *session, const char *name, struct vbroker_device **ret_device);

/**
 * vbroker_device_adopt() - makes a device of a device channel passed by another process
 * @fd: taken on success, the caller's on failure
 *
 * NOT_A_DEVICE if @fd is something else.
 */
int vbroker_device_adopt(int fd, struct vbroker_device **ret_device);

/** vbroker_device_fd() - the device channel, to pass on or to poll for a hang-up. Stays the device's. */
int vbroker_device_fd(const struct vbroker_device *device);

/**
 * vbroker_device_close() - releases the device (and all else made by vbroker_open()), frees the object
 *
 * On return the device has been reset, if it can be reset, and the device's group has left the domain. The release
 * holds for all copies of the channel: other processes with a copy find the device REVOKED. NULL is fine. If the keeper
 * does not answer in time (vbroker_set_timeout()), the release is the keeper's to finish.
 */
void vbroker_device_close(struct vbroker_device *device);

int vbroker_device_ping(struct vbroker_device *device);

/** struct vbroker_notice - the device will be taken back */
struct vbroker_notice {
	enum vbroker_end_reason reason;
	uint64_t left_us; /* from now on; 0: any moment */
	char detail[256]; /* by whom and why */
};

/**
 * vbroker_device_notice() - is the device about to be taken back?
 * @ret_notice: written if so
 *
 * 0: no. VBROKER_REVOKED: yes; finish and vbroker_device_close() the device before @left_us is over. Another refusal
 * or a negative errno: the device is gone already (GONE, DEVICE_BAD_STATE, ...). The device is also gone if the result
 * is VBROKER_REVOKED and @left_us stays 0.
 *
 * Asks nobody and waits for nothing: the call reads packets received so far. A program with an event loop calls this
 * function when vbroker_device_fd() is readable; outside of calls only a revocation makes the fd readable. A program
 * without an event loop calls it between two pieces of work.
 */
int vbroker_device_notice(struct vbroker_device *device, struct vbroker_notice *ret_notice);

/**
 * vbroker_device_vfio_fd() - the VFIO device itself, for programs that speak linux/vfio.h themselves
 * @ret_fd: another descriptor of the VFIO device, for the caller to close() before vbroker_device_unbind() or
 * vbroker_device_close()
 *
 * Only where the rule has access = direct: VBROKER_DENIED otherwise. Neither this library nor the keeper knows of
 * actions through this descriptor: interrupts set up by the caller replace the keeper's, also the interrupts for
 * errors and hot-unplug. As long as a copy of the descriptor, or a mapping, exists, the device cannot be taken back
 * from its holder, nor leased to anybody else.
 */
int vbroker_device_vfio_fd(struct vbroker_device *device, int *ret_fd);

/** VFIO_DEVICE_RESET: function, power state or bus reset. UNSUPPORTED if the device has none. */
int vbroker_device_reset(struct vbroker_device *device);

#define VBROKER_REGIONS_MAX 64
#define VBROKER_IRQS_MAX    16

/** struct vbroker_region - index and flags as in linux/vfio.h; size 0: not there */
struct vbroker_region {
	uint32_t index;
	uint32_t flags;
	uint64_t size;
};

/** struct vbroker_irq - index and flags as in linux/vfio.h; count 0: not there */
struct vbroker_irq {
	uint32_t index;
	uint32_t flags;
	uint32_t count;
};

/** struct vbroker_device_info - regions and irqs are known once the device is bound */
struct vbroker_device_info {
	char name[32];
	uint32_t group;
	uint32_t vendor;
	uint32_t device;
	uint32_t class_code;
	int bound;
	int can_reset;
	uint32_t regions_count;
	uint32_t irqs_count;
	struct vbroker_region regions[VBROKER_REGIONS_MAX];
	struct vbroker_irq irqs[VBROKER_IRQS_MAX];
};

int vbroker_device_describe(struct vbroker_device *device, struct vbroker_device_info *ret_info);

/* ---- binding ---- */

/**
 * vbroker_device_bind() - puts the device's IOMMU group into the domain; then switches bus mastering on
 *
 * Several devices can be bound to the same domain. Refusals: NO_DOMAINS, DOMAIN_INCOMPATIBLE, DEVICE_BAD_STATE,
 * NOT_A_DOMAIN, ALREADY_BOUND, GROUP_NOT_VIABLE.
 */
int vbroker_device_bind(struct vbroker_device *device, struct vbroker_domain *domain);

/**
 * vbroker_bind_fds() - the same for bare file descriptors, a device channel and a domain, in either order
 *
 * Nothing is changed unless there is exactly one of each: NOT_A_DEVICE and NOT_A_DOMAIN say which is missing. No
 * request may be under way on the channel. Both fds stay the caller's.
 */
int vbroker_bind_fds(int fd, int other_fd);

/** vbroker_device_unbind() - bus mastering off, interrupts off, device closed, group out of the domain */
int vbroker_device_unbind(struct vbroker_device *device);

/* ---- regions: BARs and configuration space, numbered as in linux/vfio.h ---- */

/** vbroker_region_read() - an access of 1, 2, 4 or 8 bytes at a multiple of the width; the value in host order */
int vbroker_region_read(
	struct vbroker_device *device, uint32_t region, uint64_t offset, unsigned int width, uint64_t *ret_value);
int vbroker_region_write(
	struct vbroker_device *device, uint32_t region, uint64_t offset, unsigned int width, uint64_t value);

/** vbroker_region_read_bytes() - any number of bytes, in accesses of @width bytes, or as the kernel likes with 0 */
int vbroker_region_read_bytes(
	struct vbroker_device *device, uint32_t region, uint64_t offset, void *data, size_t length, unsigned int width);
int vbroker_region_write_bytes(struct vbroker_device *device, uint32_t region, uint64_t offset, const void *data,
	size_t length, unsigned int width);

enum vbroker_op_kind {
	VBROKER_OP_READ = 1,   /* result: the value read */
	VBROKER_OP_WRITE = 2,  /* writes value */
	VBROKER_OP_MODIFY = 3, /* writes (read & ~mask) | (value & mask); result: the value read */
	VBROKER_OP_POLL = 4    /* reads until (read & mask) == value; result: the last value read */
};

/** struct vbroker_op - a step of a register program */
struct vbroker_op {
	enum vbroker_op_kind kind;
	uint32_t region;
	uint32_t width;	     /* 1, 2, 4, 8 */
	uint32_t timeout_us; /* POLL only; all of a program at most one second together */
	uint64_t offset;
	uint64_t value;
	uint64_t mask;
	uint64_t result; /* set by vbroker_region_program() */
};

/** The largest number of operations in one call. */
#define VBROKER_PROGRAM_MAX 2000

/**
 * vbroker_region_program() - many register accesses in one round trip, in order
 * @ret_done: how many were done; also written when the result is -ETIMEDOUT (a POLL) or -EIO (an access failed); not
 * with -ETIME, when the keeper does not answer
 */
int vbroker_region_program(struct vbroker_device *device, struct vbroker_op *ops, size_t count, size_t *ret_done);

/* ---- register windows: loads and stores instead of commands ---- */

/** struct vbroker_window - a mapping of registers; the kernel takes the window back with the device */
struct vbroker_window;

enum vbroker_window_flags {
	VBROKER_WINDOW_WRITE = 1, /* stores are wanted, not only loads */
	/*
	 * Content of the window once the device was taken back: all ones, like a device pulled out of the machine
	 * (later stores of the process itself can be loaded again). Without this flag: SIGBUS.
	 */
	VBROKER_WINDOW_ONES = 2
};

/**
 * vbroker_window_open() - a window over part of a BAR of a bound device
 * @region: the BAR, 0 to 5, with VFIO_REGION_INFO_FLAG_MMAP among the flags
 * @offset: in bytes from the start of the BAR, page-aligned
 * @length: in bytes, a multiple of the page size; a BAR smaller than a page counts as one page
 * @flags: enum vbroker_window_flags
 * @ret_window: the caller's, for vbroker_window_close(); may outlive the device object
 *
 * The registers stay reachable until the device is unbound, closed or taken back, or the keeper ends. From then on
 * every mapping in every process behaves as chosen by @flags, for good. A load or store while PCI memory access is
 * switched off gives SIGBUS whatever the flags.
 *
 * Refusals: WINDOW_UNAVAILABLE (no kernel module: use vbroker_region_read() and its like), UNSUPPORTED (no such BAR,
 * or the pages of the MSI-X table), DENIED and QUOTA (the policy's limits), MALFORMED, NOT_BOUND.
 */
int vbroker_window_open(struct vbroker_device *device, uint32_t region, uint64_t offset, uint64_t length,
	unsigned int flags, struct vbroker_window **ret_window);

/**
 * vbroker_window_fd() - the file descriptor of the window, to pass on: it can be mapped, shared, and nothing else.
 * Stays the window's.
 */
int vbroker_window_fd(const struct vbroker_window *window);

/**
 * vbroker_window_map() - maps the whole window
 * @ret_address: of the byte at the window's @offset; the same at each call, valid until vbroker_window_close()
 *
 * Access the registers by vbroker_load32() and its like.
 */
int vbroker_window_map(struct vbroker_window *window, volatile void **ret_address);

/** vbroker_window_close() - unmaps and closes the window, and frees the object. NULL is fine. */
void vbroker_window_close(struct vbroker_window *window);

/*
 * A single access of a register through a window, of exactly the given width (64 bits: on 64-bit processors), at a
 * multiple of the width. Values are in host order, registers little endian, as in PCI. Ordered like the kernel's
 * readl() and writel() (Documentation/memory-barriers.txt): memory stored by this thread before a store is visible to
 * the device when the register's value arrives; memory read after a load is not older than the load. Loads and stores
 * of one device stay in order among each other.
 */
#if defined(__x86_64__) || defined(__i386__)
#define VBROKER_BARRIER_()                                                                                             \
	__asm__ __volatile__("" ::: "memory") /* uncached accesses are in order; only the compiler is not */
#elif defined(__aarch64__)
#define VBROKER_BARRIER_() __asm__ __volatile__("dmb osh" ::: "memory")
#else
#define VBROKER_BARRIER_() __sync_synchronize()
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define VBROKER_LE_16(value) __builtin_bswap16(value)
#define VBROKER_LE_32(value) __builtin_bswap32(value)
#define VBROKER_LE_64(value) __builtin_bswap64(value)
#else
#define VBROKER_LE_16(value) (value)
#define VBROKER_LE_32(value) (value)
#define VBROKER_LE_64(value) (value)
#endif
#define VBROKER_LE_8(value) (value)
#define VBROKER_ACCESSORS_(bits)                                                                                       \
	static inline uint##bits##_t vbroker_load##bits(const volatile void *address)                                  \
	{                                                                                                              \
		uint##bits##_t value = *(const volatile uint##bits##_t *)address;                                      \
		VBROKER_BARRIER_();                                                                                    \
		return VBROKER_LE_##bits(value);                                                                       \
	}                                                                                                              \
	static inline void vbroker_store##bits(volatile void *address, uint##bits##_t value)                           \
	{                                                                                                              \
		VBROKER_BARRIER_();                                                                                    \
		*(volatile uint##bits##_t *)address = VBROKER_LE_##bits(value);                                        \
	}
VBROKER_ACCESSORS_(8)
VBROKER_ACCESSORS_(16)
VBROKER_ACCESSORS_(32)
VBROKER_ACCESSORS_(64)

/* ---- interrupts ---- */

/**
 * vbroker_irq_set() - lets vectors signal eventfds
 * @index: VFIO_PCI_INTX_IRQ_INDEX (0), VFIO_PCI_MSI_IRQ_INDEX (1) or VFIO_PCI_MSIX_IRQ_INDEX (2)
 * @start: first vector
 * @eventfds: one for each vector, at most 253; all stay the caller's
 */
int vbroker_irq_set(struct vbroker_device *device, uint32_t index, uint32_t start, const int *eventfds, uint32_t count);
/** vbroker_irq_clear() - @count 0 with @start 0 switches the whole interrupt off */
int vbroker_irq_clear(struct vbroker_device *device, uint32_t index, uint32_t start, uint32_t count);
/** vbroker_irq_unmask() - INTx is masked each time it fires */
int vbroker_irq_unmask(struct vbroker_device *device, uint32_t index, uint32_t start, uint32_t count);

/* ---- domains ---- */

/**
 * vbroker_domain_open() - opens an IOMMU domain; needs no broker and no privilege
 * @ret_domain: the caller's, for vbroker_domain_close()
 */
int vbroker_domain_open(struct vbroker_domain **ret_domain);

/**
 * vbroker_domain_obstacle() - could this process open an IOMMU domain?
 * @path: of the file that gives domains; NULL: /dev/vfio/vfio
 * @ret_obstacle: the reason, if not; else unchanged
 *
 * The service does not know: a unit with PrivateDevices= does not see the file, say. A driver whose domain is another
 * process's needs none (vbroker_domain_adopt()). Returns 0, or VBROKER_NO_DOMAIN_FILE.
 */
int vbroker_domain_obstacle(const char *path, struct vbroker_obstacle *ret_obstacle);

/** vbroker_domain_close() - all mappings end with the domain once no device is bound any more. NULL is fine. */
void vbroker_domain_close(struct vbroker_domain *domain);

/** vbroker_domain_fd() - the file descriptor for BIND. Stays the domain's. */
int vbroker_domain_fd(const struct vbroker_domain *domain);

/** struct vbroker_range - first and last usable IOVA */
struct vbroker_range {
	uint64_t first;
	uint64_t last;
};

/**
 * vbroker_domain_ranges() - the IOVAs that all devices of the domain can be given
 * @ret_ranges: an array for the caller to free()
 * @ret_count: the number of ranges
 * @ret_page_sizes: bit mask of the page sizes; the lowest is the granule of every mapping
 *
 * NOT_BOUND before the first device is bound. Another device may narrow the ranges.
 */
int vbroker_domain_ranges(
	struct vbroker_domain *domain, struct vbroker_range **ret_ranges, size_t *ret_count, uint64_t *ret_page_sizes);

#define VBROKER_IOVA_ANY UINT64_MAX

enum vbroker_access { VBROKER_DEVICE_READS = 1, VBROKER_DEVICE_WRITES = 2 };

/**
 * VBROKER_ADDRESS_BITS() - part of an @access: the device reaches IOVAs of @bits bits alone, 1 to 64
 *
 * For devices with fewer address bits than the IOMMU (28, 32): VBROKER_DEVICE_READS | VBROKER_ADDRESS_BITS(32). All of
 * the mapping lies below 2^@bits, at the lowest free place if the library chooses. Map such memory early, because other
 * mappings may take low IOVAs, too. QUOTA: no room is left below. IOVA_INVALID: there is none, by the IOMMU's usable
 * ranges; or the given IOVA lies beyond.
 */
#define VBROKER_ADDRESS_BITS(bits) ((unsigned int)(bits) << 8)

/**
 * vbroker_domain_map() - lets the devices of the domain reach memory of this process
 * @address: page-aligned
 * @length: in bytes, a multiple of the page size
 * @access: enum vbroker_access bits, and VBROKER_ADDRESS_BITS() if the device does not reach all IOVAs
 * @iova: page-aligned, or VBROKER_IOVA_ANY to let the library choose
 * @ret_iova: the address for the devices; may be NULL if @iova was given
 *
 * The memory is pinned and counts against RLIMIT_MEMLOCK of this process until unmapped. Mixing chosen and given IOVAs
 * is fine. Refusals: NOT_BOUND, MEMLOCK, IOVA_IN_USE, IOVA_INVALID, QUOTA (65,535 mappings). -EFAULT: no such memory.
 */
int vbroker_domain_map(struct vbroker_domain *domain, void *address, size_t length, unsigned int access, uint64_t iova,
	uint64_t *ret_iova);

/**
 * vbroker_domain_unmap() - ends mappings
 *
 * The range must cover whole mappings (IOVA_INVALID otherwise) and at least one (also IOVA_INVALID).
 */
int vbroker_domain_unmap(struct vbroker_domain *domain, uint64_t iova, size_t length);

/* ---- memory made by the library, for domains of one's own and behind a channel ---- */

/** struct vbroker_memory - memory shared by this process and the devices of a domain: a sealed memfd */
struct vbroker_memory;

#define VBROKER_MEMORY_HUGE 1U /* by huge pages, where there are some free */

/**
 * vbroker_memory_alloc() - memory of zeroes, mapped here and in the domain
 * @length: in bytes; rounded up to whole pages
 * @access: enum vbroker_access bits, and VBROKER_ADDRESS_BITS() if the device does not reach all IOVAs
 * @flags: VBROKER_MEMORY_HUGE or 0
 * @ret_memory: the caller's, for vbroker_memory_free(); vbroker_domain_close() frees what is left
 *
 * A single round trip if the domain is behind a channel; the memory then belongs to the owner of the domain, and
 * counts against the owner's limits. Refusals as of vbroker_domain_map().
 */
int vbroker_memory_alloc(struct vbroker_domain *domain, uint64_t length, unsigned int access, unsigned int flags,
	struct vbroker_memory **ret_memory);

/**
 * vbroker_memory_free() - unmaps the memory everywhere. NULL is fine.
 *
 * Behind a channel, other processes with a copy of the descriptor find zeroes afterwards.
 */
void vbroker_memory_free(struct vbroker_memory *memory);

/** vbroker_memory_address() - the memory's address in this process, for reading and writing; page-aligned */
void *vbroker_memory_address(const struct vbroker_memory *memory);
/** vbroker_memory_iova() - the memory's address for the devices: @length bytes without a gap */
uint64_t vbroker_memory_iova(const struct vbroker_memory *memory);
uint64_t vbroker_memory_length(const struct vbroker_memory *memory);
/** vbroker_memory_fd() - the memfd, to share the memory with another process. Stays the memory's. */
int vbroker_memory_fd(const struct vbroker_memory *memory);

/* ---- domain channels: a driver asks the owner of the domain for memory ---- */

/**
 * vbroker_domain_adopt() - makes a domain of a domain channel passed by the domain's owner
 * @fd: taken on success, the caller's on failure
 *
 * The driver's side. Ranges, maps and memory work as in a domain of one's own, except that vbroker_domain_map() takes
 * memory of vbroker_memory_alloc() alone (NOT_MEMORY). Limits are the owner's: MEMLOCK is about the owner's memory,
 * QUOTA about the channel's budget. NOT_A_DOMAIN if @fd is something else.
 */
int vbroker_domain_adopt(int fd, struct vbroker_domain **ret_domain);

/** struct vbroker_domain_server - the owner's end of a domain channel */
struct vbroker_domain_server;

/** struct vbroker_budget - the most that a driver may have through one channel at a time */
struct vbroker_budget {
	uint64_t bytes;	   /* mapped bytes: pinned and charged to the owner; no single memory may be larger */
	uint32_t mappings; /* in the domain, with room for 65,535 at most; the policy may allow fewer */
	uint32_t memories; /* shared with the owner; each is a mapping in the owner's address space */
};

/**
 * vbroker_domain_serve() - makes a domain channel
 * @domain: stays the caller's, with a device bound; must outlive the server
 * @ret_server: the caller's, for vbroker_domain_server_close()
 * @ret_channel: the caller's, to pass to the driver, and to close here then
 *
 * The owner's side, for programs with an event loop: poll vbroker_domain_server_fd() for
 * vbroker_domain_server_events() and call vbroker_domain_server_dispatch() when there is something. No thread is
 * started and nothing waits. Memory mapped by a driver counts against the limits of the process that calls dispatch.
 * The policy may limit the mappings of a channel (vfio-broker.policy(5), "mappings") for a device bound by
 * vbroker_device_bind(): more mappings are QUOTA as well. UNSUPPORTED for a domain behind a channel.
 */
int vbroker_domain_serve(struct vbroker_domain *domain, const struct vbroker_budget *budget,
	struct vbroker_domain_server **ret_server, int *ret_channel);

/** vbroker_domain_server_fd() - to poll. Stays the server's. */
int vbroker_domain_server_fd(const struct vbroker_domain_server *server);
/** vbroker_domain_server_events() - the events to poll for at this moment: POLLIN or POLLOUT */
short vbroker_domain_server_events(const struct vbroker_domain_server *server);

/**
 * vbroker_domain_server_dispatch() - serves one request, if there is one
 *
 * -EPIPE: the driver has closed the channel. -EPROTO: the driver broke the protocol. After any failure:
 * vbroker_domain_server_close().
 *
 * The last close of a descriptor may wait for the driver, without limit. So what a driver sends is not closed here
 * unless it is memory that was asked for: up to 16 descriptors of one channel, and those of the packet after them
 * (253), stay open until the process ends, whose end may wait for the driver. RLIMIT_NOFILE must leave room for them:
 * the kernel closes what does not fit, and that may wait.
 */
int vbroker_domain_server_dispatch(struct vbroker_domain_server *server);

/**
 * vbroker_domain_server_close() - ends all mappings made by the driver through this channel, and no others. NULL is
 * fine. If the driver has left descriptors on the channel, the socket stays open, shut down, until the process ends.
 */
void vbroker_domain_server_close(struct vbroker_domain_server *server);

/**
 * vbroker_open_inherited() - a device and its domain from channels inherited at the program's start
 * @names: getenv("LISTEN_FDNAMES"); may be NULL
 * @name: PCI address
 * @ret_device: bound and ready, as made by vbroker_open()
 *
 * For programs started by "vfio-brokerctl drive", and others that follow sd_listen_fds(3): the descriptors from 3 on
 * are called "domain" and "device-0000-01-00.0". The inherited descriptors stay open. -ENOENT: there are none of these
 * names; use vbroker_open() then.
 */
int vbroker_open_inherited(const char *names, const char *name, struct vbroker_device **ret_device);

/**
 * vbroker_sandbox_enter() - gives up everything not needed by a driver with open channels, for good
 *
 * No new privileges, no capability, no file by name (Landlock, where the kernel has it), and some twenty system calls:
 * requests and replies, poll, read and write of open descriptors, mapping memory without execution, memory of
 * malloc(), futexes, the clock, exit. Everything else is EPERM: opening files and looking at files by name, sockets,
 * processes, ioctl(). fstat() fails with the glibc of 2.33 to 2.38, where fstat() calls newfstatat(): a filter cannot
 * see whether newfstatat() has a name. Call this function after the last open(), eventfd() and thread start. A domain
 * of one's own is mapped by ioctl(), and so is of no use afterwards. Holds for all threads.
 */
int vbroker_sandbox_enter(void);

#ifdef __cplusplus
}
#endif

#endif
