/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose memory: a private rack by default, else the daemons of the host.
 *
 * The private daemons do not depend on any signal to end. Each holds the read end of a pipe:
 *
 *   kona run ==owner==> memd ==owner==> rackd
 *
 * When kona run ends in order it writes a byte first: then memd ends with its last lease, because
 * the program may have left children behind that still use it. When kona run dies, memd ends at
 * once. rackd ends when memd has, so that it hears of the ends of all leases, and removes the
 * folder. The daemons live in sessions of their own: Ctrl-C is for the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/daemon.h"
#include "base/log.h"
#include "base/units.h"
#include "base/unix.h"
#include "cli/run.h"
#include "wire/broker.h"
#include "wire/rack-call.h"
#include "wire/rack.h"

enum {
	START_MS = 10000,
	END_MS = 10000,
	ANSWER_MS = 3000,
	MOST_ARGUMENTS = 12,
	MEMD = 0, /* indices of ready_fd */
	RACKD = 1,
};

struct daemon_start {
	const char *name;
	const char *argument[MOST_ARGUMENTS];
	int owner_fd, extra_fd; /* kept open; -1: none */
	int ready_fd;
};

static void keep_open(int fd)
{
	if (fd >= 0)
		fcntl(fd, F_SETFD, 0);
}

/* In the child. */
static KONA_NORETURN void become_daemon(const struct daemon_start *start, const char *path)
{
	char owner[32], ready[32];
	const char *argv[MOST_ARGUMENTS + 4] = {start->name};
	int null = open("/dev/null", O_RDWR);
	size_t count = 1;
	sigset_t none;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	/* Ours was closed: kona_daemon_guard_standard_fds(). */
	if (fcntl(STDERR_FILENO, F_GETFD) & FD_CLOEXEC)
		dup2(null, STDERR_FILENO);
	keep_open(start->owner_fd);
	keep_open(start->extra_fd);
	keep_open(start->ready_fd);
	for (size_t i = 0; start->argument[i]; i++)
		argv[count++] = start->argument[i];
	snprintf(owner, sizeof(owner), "--owner-fd=%d", start->owner_fd);
	snprintf(ready, sizeof(ready), "--ready-fd=%d", start->ready_fd);
	argv[count++] = owner;
	argv[count++] = ready;
	execv(path, (char **)argv);
	kona_error("%s: %s", path, strerror(errno));
	_exit(KONA_EXIT_OURS);
}

enum heard {
	HEARD_END,     /* of the pipe: the daemon has ended */
	HEARD_WANTED,  /* the line */
	HEARD_OTHER,   /* another line */
	HEARD_NOTHING, /* in time */
};

/* Reads a line from a daemon. */
static enum heard hear(int ready_fd, const char *wanted, int timeout_ms)
{
	struct pollfd polled = {.fd = ready_fd, .events = POLLIN};
	uint64_t end_ns = kona_now_ns() + (uint64_t)timeout_ms * 1000000;
	char text[64];
	size_t used = 0;

	while (used + 1 < sizeof(text)) {
		uint64_t now_ns = kona_now_ns();
		int left_ms = now_ns < end_ns ? (int)((end_ns - now_ns) / 1000000) : 0;
		int rc = poll(&polled, 1, left_ms);

		if (rc < 0 && errno == EINTR)
			continue;
		if (rc <= 0)
			return HEARD_NOTHING;
		if (read(ready_fd, text + used, 1) <= 0)
			return HEARD_END;
		if (text[used] == '\n') {
			text[used] = 0;
			return strcmp(text, wanted) ? HEARD_OTHER : HEARD_WANTED;
		}
		used++;
	}
	return HEARD_OTHER;
}

static int start_daemon(struct daemon_start *start, pid_t *ret_pid, int *ret_ready_fd)
{
	char path[PATH_MAX];
	int ready[2];
	pid_t pid;

	if (kona_find_beside(start->name, KONA_LIBEXECDIR, path)) {
		kona_error("%s is neither beside kona nor in %s", start->name, KONA_LIBEXECDIR);
		return KONA_EXIT_OURS;
	}
	if (pipe2(ready, O_CLOEXEC)) {
		kona_error("pipe: %s", strerror(errno));
		return KONA_EXIT_OURS;
	}
	start->ready_fd = ready[1];
	pid = fork();
	if (!pid)
		become_daemon(start, path);
	close(ready[1]);
	if (pid < 0) {
		kona_error("fork: %s", strerror(errno));
		close(ready[0]);
		return KONA_EXIT_OURS;
	}
	*ret_pid = pid;
	*ret_ready_fd = ready[0];
	if (hear(ready[0], "ready", START_MS) == HEARD_WANTED)
		return 0;
	kona_error("%s did not start", start->name);
	return KONA_EXIT_OURS;
}

static int make_folder(struct kona_run_rack *rack)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	/* A socket's path is short. */
	const char *parents[] = {
		runtime && runtime[0] == '/' && strlen(runtime) < 70 ? runtime : "/tmp", "/tmp"};

	for (size_t i = 0; i < KONA_ARRAY_LEN(parents); i++) {
		snprintf(rack->folder, sizeof(rack->folder), "%s/kona-XXXXXX", parents[i]);
		if (mkdtemp(rack->folder))
			return 0;
	}
	kona_error("cannot make a folder in /tmp: %s", strerror(errno));
	rack->folder[0] = 0;
	return KONA_EXIT_OURS;
}

/* A quarter of what the program may have, so that a small --remote is more than one slab. */
static uint64_t choose_slab_bytes(uint64_t remote_bytes)
{
	uint64_t slab_bytes = 64 * KONA_MIB;

	while (remote_bytes && slab_bytes > (uint64_t)KONA_RACK_LEAST_SLAB_BYTES &&
	       slab_bytes > remote_bytes / 4)
		slab_bytes /= 2;
	return slab_bytes;
}

static int start_rackd(struct kona_run_rack *rack, const char *address, uint64_t slab_bytes,
		       int owner_fd)
{
	char listen[160], slab[32], folder[128];
	struct daemon_start start = {
		.name = "kona-rackd",
		.argument = {listen, "--state=:memory:", "--replicas=1", slab, folder, NULL},
		.owner_fd = owner_fd,
		.extra_fd = -1};

	snprintf(listen, sizeof(listen), "--listen=%s", address);
	snprintf(slab, sizeof(slab), "--slab=%" PRIu64, slab_bytes);
	snprintf(folder, sizeof(folder), "--private=%s", rack->folder);
	return start_daemon(&start, &rack->rackd, &rack->ready_fd[RACKD]);
}

/* lend_bytes UINT64_MAX: all of the pool. */
static int start_memd(struct kona_run_rack *rack, const char *address, uint64_t lend_bytes,
		      const char *pool_path, const char *node, int owner_fd, int rackd_owner_fd)
{
	char socket[128], rack_address[PATH_MAX], lend[32], name[128], folder[128], pool[PATH_MAX];
	struct daemon_start start = {.name = "kona-memd",
				     .argument = {socket, rack_address, name, folder},
				     .owner_fd = owner_fd,
				     .extra_fd = rackd_owner_fd};
	size_t count = 4;

	snprintf(rack->socket, sizeof(rack->socket), "%s/" KONA_PRIVATE_MEMD_SOCKET, rack->folder);
	snprintf(socket, sizeof(socket), "--socket=%s", rack->socket);
	snprintf(rack_address, sizeof(rack_address), "--rack=%s", address);
	snprintf(lend, sizeof(lend), "--lend=%" PRIu64, lend_bytes);
	snprintf(name, sizeof(name), "--name=%s", node);
	snprintf(folder, sizeof(folder), "--private=%s", rack->folder);
	snprintf(pool, sizeof(pool), "--pool=%s", pool_path ? pool_path : "");
	if (lend_bytes != UINT64_MAX)
		start.argument[count++] = lend;
	if (pool_path)
		start.argument[count++] = pool;
	return start_daemon(&start, &rack->memd, &rack->ready_fd[MEMD]);
}

static int start_private(struct kona_run_rack *rack, const struct kona_rack_wish *wish)
{
	uint64_t slab_bytes = choose_slab_bytes(wish->remote_bytes);
	uint64_t lend_bytes = wish->remote_bytes ? wish->remote_bytes : kona_host_memory_bytes();
	char address[128];
	int memd_owner[2] = {-1, -1}, rackd_owner[2] = {-1, -1};
	int status = KONA_EXIT_OURS;

	if (pipe2(memd_owner, O_CLOEXEC) || pipe2(rackd_owner, O_CLOEXEC)) {
		kona_error("pipe: %s", strerror(errno));
		goto out;
	}
	rack->owner_fd = memd_owner[1];
	snprintf(address, sizeof(address), "unix:%s/" KONA_PRIVATE_RACK_SOCKET, rack->folder);
	status = start_rackd(rack, address, slab_bytes, rackd_owner[0]);
	if (!status)
		status = start_memd(rack, address,
				    wish->pool && !wish->remote_bytes
					    ? UINT64_MAX
					    : kona_round_up(lend_bytes, slab_bytes),
				    wish->pool, "local", memd_owner[0], rackd_owner[1]);
out:
	/* From here on, only memd keeps rackd alive. */
	for (int i = 0; i < 2; i++)
		if (rackd_owner[i] >= 0)
			close(rackd_owner[i]);
	if (memd_owner[0] >= 0)
		close(memd_owner[0]);
	return status;
}

/* A memd of our own that lends nothing and speaks to the given controller. */
static int start_broker(struct kona_run_rack *rack, const char *address)
{
	char name[64], host[40] = "host", text[KONA_RACK_TEXT_BYTES];
	struct kona_rack_peer *peer;
	json_t *reply = NULL;
	int owner[2], status;
	int rc = kona_rack_peer_new(address, NULL, &peer);

	if (rc || strlen(address) > PATH_MAX / 2) {
		kona_error("--rack %s: want " KONA_RACK_ADDRESS_FORMS, address);
		return KONA_EXIT_OURS;
	}
	rc = kona_rack_call(peer, "GET", "/v1/status", NULL, START_MS, &reply, text);
	json_decref(reply);
	kona_rack_peer_free(peer);
	if (rc) {
		kona_error("%s", text);
		return KONA_EXIT_OURS;
	}
	status = make_folder(rack);
	if (status)
		return status;
	if (pipe2(owner, O_CLOEXEC)) {
		kona_error("pipe: %s", strerror(errno));
		return KONA_EXIT_OURS;
	}
	gethostname(host, sizeof(host) - 1);
	snprintf(name, sizeof(name), "%s-run-%d", host, (int)getpid());
	rack->owner_fd = owner[1];
	status = start_memd(rack, address, 0, NULL, name, owner[0], -1);
	close(owner[0]);
	return status;
}

/* Do two lists of addresses, with commas between, have one in common? */
static bool share_address(const char *one, const char *other)
{
	for (; *one; one += strspn(one, ",")) {
		size_t length = strcspn(one, ",");

		for (const char *seen = other; *seen; seen += strspn(seen, ",")) {
			size_t seen_length = strcspn(seen, ",");

			if (length && length == seen_length && !memcmp(one, seen, length))
				return true;
			seen += seen_length;
		}
		one += length;
	}
	return false;
}

/* Asks a kona-memd for the address of its rack. */
static int ask_for_rack(int memd, struct kona_broker_told *told)
{
	static const struct kona_broker_ask ask = {
		{KONA_BROKER_MAGIC, KONA_BROKER_VERSION, KONA_BROKER_ASK}, 0};
	struct pollfd polled = {memd, POLLIN, 0};
	int passed, rc = kona_unix_send(memd, &ask, sizeof(ask), -1, 0);

	if (rc)
		return rc;
	if (poll(&polled, 1, ANSWER_MS) != 1)
		return -ETIMEDOUT;
	if (kona_unix_receive(memd, told, sizeof(*told), MSG_DONTWAIT, &passed) != sizeof(*told) ||
	    told->header.type != KONA_BROKER_TOLD || told->rack[sizeof(told->rack) - 1])
		return -EPROTO;
	return 0;
}

/* The kona-memd of this host serves programs of its own rack only. One line when that is another.
 */
static int check_rack(int memd, const char *path, const char *wanted)
{
	struct kona_broker_told told;
	int rc = ask_for_rack(memd, &told);

	if (rc)
		kona_error("the kona-memd at %s does not tell its rack (%s): is it of another "
			   "version? It is left alone; this run starts a broker of its own",
			   path, strerror(-rc));
	else if (!share_address(told.rack, wanted))
		kona_error("the kona-memd at %s belongs to the rack %s, not to %s: it is left "
			   "alone, and this run starts a broker of its own",
			   path, told.rack, wanted);
	else
		return 0;
	return -ENOENT;
}

/* rack: only if it belongs to that one; or NULL. */
static int use_host_memd(struct kona_run_rack *run, const char *path, const char *rack)
{
	int fd, rc;

	if (strlen(path) >= sizeof(run->socket))
		return -ENAMETOOLONG;
	rc = kona_unix_connect(path, SOCK_SEQPACKET, &fd);
	if (rc)
		return rc;
	if (rack)
		rc = check_rack(fd, path, rack);
	close(fd);
	if (!rc)
		snprintf(run->socket, sizeof(run->socket), "%s", path);
	return rc;
}

int kona_run_rack_start(struct kona_run_rack *rack, const struct kona_rack_wish *wish)
{
	int status, rc;

	memset(rack, 0, sizeof(*rack));
	rack->owner_fd = rack->ready_fd[MEMD] = rack->ready_fd[RACKD] = -1;
	if (wish->memd || wish->rack) {
		rc = use_host_memd(rack, wish->memd ? wish->memd : KONA_MEMD_DEFAULT, wish->rack);
		if (!rc)
			return 0;
		if (wish->memd) {
			kona_error("no kona-memd answers at %s: %s", wish->memd, strerror(-rc));
			return KONA_EXIT_OURS;
		}
		status = start_broker(rack, wish->rack);
	} else {
		status = make_folder(rack);
		if (!status)
			status = start_private(rack, wish);
	}
	if (status)
		kona_run_rack_release(rack);
	return status;
}

/* One line when a daemon ended otherwise than in order. */
static void reap(pid_t *pid, const char *name, int options, bool quiet)
{
	int status;

	if (*pid <= 0 || waitpid(*pid, &status, options) <= 0)
		return;
	*pid = 0;
	if (quiet)
		return;
	if (WIFSIGNALED(status))
		kona_error("the private %s was ended by signal %d", name, WTERMSIG(status));
	else if (WEXITSTATUS(status))
		kona_error("the private %s ended with status %d", name, WEXITSTATUS(status));
}

void kona_run_rack_reap(struct kona_run_rack *rack)
{
	/* Of memd's end the program tells first. */
	reap(&rack->rackd, "kona-rackd", WNOHANG, false);
}

void kona_run_rack_release(struct kona_run_rack *rack)
{
	enum heard memd = HEARD_NOTHING;

	if (rack->owner_fd >= 0) {
		/* The program has started, or never will: nobody inherits this. */
		signal(SIGPIPE, SIG_IGN);
		if (write(rack->owner_fd, "", 1) < 0) {
			/* memd is gone already. */
		}
		close(rack->owner_fd);
		rack->owner_fd = -1;
	}
	if (rack->ready_fd[MEMD] >= 0)
		memd = hear(rack->ready_fd[MEMD], "staying", END_MS);
	if (memd == HEARD_END)
		reap(&rack->memd, "kona-memd", 0, rack->memd_told);
	/* While leases go on, so does rackd. */
	if (memd != HEARD_WANTED && rack->ready_fd[RACKD] >= 0 &&
	    hear(rack->ready_fd[RACKD], "", END_MS) == HEARD_END)
		reap(&rack->rackd, "kona-rackd", 0, rack->memd_told);
	for (int i = 0; i < 2; i++)
		if (rack->ready_fd[i] >= 0)
			close(rack->ready_fd[i]);
	/* Already gone, unless both daemons were killed. */
	if (memd != HEARD_WANTED && rack->folder[0])
		kona_daemon_remove_private(rack->folder);
}
