/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lease, grants and the spare descriptor (process, region -> broker -> kona-memd).
 *
 * State: the connection. Its lock keeps request and reply together. What can fail: the node is
 * gone, speaks nonsense (-EPROTO), or says no.
 */
#include "runtime/broker.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/units.h"
#include "base/unix.h"
#include "runtime/os.h"

enum {
	LEAST_SLAB_BYTES = 1 << 20,
	MOST_SLAB_BYTES = 1 << 30,
};

static struct kona_broker_header make_header(uint16_t type)
{
	return (struct kona_broker_header){KONA_BROKER_MAGIC, KONA_BROKER_VERSION, type};
}

/* Receives exactly one packet of that type and size. *ret_descriptor: negative, or the caller's. */
static int receive_packet(int socket, uint16_t type, void *packet, size_t size_bytes,
			  int *ret_descriptor)
{
	const struct kona_broker_header *header = packet;
	int descriptor = -1;
	ssize_t got = kona_unix_receive(socket, packet, size_bytes, 0, &descriptor);

	if (got <= 0)
		return got ? (int)got : -ECONNRESET;
	if (descriptor == -EMFILE)
		return -EMFILE;
	if ((size_t)got != size_bytes || header->magic != KONA_BROKER_MAGIC ||
	    header->version != KONA_BROKER_VERSION || header->type != type) {
		if (descriptor >= 0)
			syscall(SYS_close, descriptor);
		return -EPROTO;
	}
	*ret_descriptor = descriptor;
	return 0;
}

/* A refusal must be an error, whatever the peer says. */
static int as_error(int32_t status)
{
	return status < 0 && status > -4096 ? status : -EPROTO;
}

static int check_welcome(const struct kona_broker_welcome *welcome, int news)
{
	uint64_t slab = welcome->slab_bytes;

	if (welcome->status)
		return as_error(welcome->status);
	if (news < 0 || welcome->on_host > 1 || slab < LEAST_SLAB_BYTES || slab > MOST_SLAB_BYTES ||
	    slab & (slab - 1))
		return -EPROTO;
	return 0;
}

int kona_broker_open(struct kona_broker *broker, const char *path, uint64_t limit_bytes,
		     char *ret_text)
{
	struct kona_broker_hello hello = {.header = make_header(KONA_BROKER_HELLO),
					  .remote_limit_bytes = limit_bytes,
					  .pid = (uint32_t)getpid()};
	struct kona_broker_welcome welcome;
	int descriptor, news = -1, rc;

	rc = kona_unix_connect(path, SOCK_SEQPACKET, &descriptor);
	if (rc)
		return rc;
	descriptor = kona_os_raise(descriptor);
	strncpy(hello.program, program_invocation_short_name, sizeof(hello.program) - 1);
	rc = kona_unix_send(descriptor, &hello, sizeof(hello), -1, 0);
	if (!rc)
		rc = receive_packet(descriptor, KONA_BROKER_WELCOME, &welcome, sizeof(welcome),
				    &news);
	if (!rc) {
		rc = check_welcome(&welcome, news);
		memcpy(ret_text, welcome.text, KONA_BROKER_TEXT_BYTES);
		ret_text[KONA_BROKER_TEXT_BYTES - 1] = '\0';
	}
	if (rc) {
		if (news >= 0)
			syscall(SYS_close, news);
		kona_os_close(descriptor);
		return rc;
	}
	*broker = (struct kona_broker){.socket = descriptor,
				       .news = kona_os_raise(news),
				       .slab_bytes = welcome.slab_bytes,
				       .on_host = welcome.on_host};
	memcpy(broker->node, welcome.node, sizeof(broker->node) - 1);
	pthread_mutex_init(&broker->lock, NULL);
	return 0;
}

int kona_broker_hold(struct kona_broker *broker, int descriptor)
{
	struct kona_broker_hold hold = {.header = make_header(KONA_BROKER_HOLD)};
	int stray = -1, rc;

	pthread_mutex_lock(&broker->lock);
	rc = kona_unix_send(broker->socket, &hold, sizeof(hold), descriptor, 0);
	if (!rc)
		rc = receive_packet(broker->socket, KONA_BROKER_HELD, &hold, sizeof(hold), &stray);
	pthread_mutex_unlock(&broker->lock);
	if (stray >= 0)
		syscall(SYS_close, stray);
	if (!rc && hold.status)
		rc = as_error(hold.status);
	return rc;
}

bool kona_broker_is_slab(const struct kona_broker_slab *slab)
{
	if (!slab->id || slab->local > 1 || slab->replica_count > KONA_BROKER_MOST_REPLICAS)
		return false;
	for (uint32_t i = 0; i < slab->replica_count; i++)
		if (!slab->replicas[i].node || (slab->replicas[i].state != KONA_BROKER_FULL &&
						slab->replicas[i].state != KONA_BROKER_COPYING))
			return false;
	return slab->local || slab->replica_count;
}

/* The grant must be what was asked for: a short one would be lost data later. */
static int check_grant(const struct kona_broker *broker, const struct kona_broker_granted *granted,
		       uint32_t count, int descriptor)
{
	struct stat status;
	uint64_t local = 0;

	if (granted->status)
		return as_error(granted->status);
	if (granted->count != count)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++) {
		if (!kona_broker_is_slab(&granted->slabs[i]))
			return -EPROTO;
		local += granted->slabs[i].local;
	}
	if (!local != (descriptor < 0))
		return -EPROTO;
	if (!local)
		return 0;
	if (fstat(descriptor, &status))
		return -errno;
	if (granted->base_bytes % broker->slab_bytes || granted->base_bytes > INT64_MAX / 2)
		return -EPROTO;
	if (S_ISCHR(status.st_mode))
		return 0; /* a device does not tell its size here */
	return (uint64_t)status.st_size >= granted->base_bytes + local * broker->slab_bytes
		       ? 0
		       : -EPROTO;
}

int kona_broker_grant(struct kona_broker *broker, uint32_t count,
		      struct kona_broker_granted *ret_granted, int *ret_descriptor)
{
	struct kona_broker_grant grant = {.header = make_header(KONA_BROKER_GRANT), .count = count};
	int descriptor = -1, rc;

	pthread_mutex_lock(&broker->lock);
	rc = kona_unix_send(broker->socket, &grant, sizeof(grant), -1, 0);
	if (!rc)
		rc = receive_packet(broker->socket, KONA_BROKER_GRANTED, ret_granted,
				    sizeof(*ret_granted), &descriptor);
	pthread_mutex_unlock(&broker->lock);
	if (rc)
		return rc;
	ret_granted->text[KONA_BROKER_TEXT_BYTES - 1] = '\0';
	rc = check_grant(broker, ret_granted, count, descriptor);
	if (rc) {
		if (descriptor >= 0)
			syscall(SYS_close, descriptor);
		return rc;
	}
	*ret_descriptor = descriptor < 0 ? -1 : kona_os_raise(descriptor);
	return 0;
}

int kona_broker_ask_link(const struct kona_broker *broker, uint64_t node)
{
	struct kona_broker_link link = {.header = make_header(KONA_BROKER_LINK), .node = node};
	int ends[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	rc = kona_unix_send(broker->socket, &link, sizeof(link), ends[1], MSG_DONTWAIT);
	syscall(SYS_close, ends[1]);
	if (!rc)
		return ends[0];
	syscall(SYS_close, ends[0]);
	return rc;
}

/* What has come over the descriptor, or comes by then. */
static int receive_link(int answer, char *ret_name, uint64_t deadline_ns)
{
	struct pollfd polled = {answer, POLLIN, 0};
	struct kona_broker_linked linked;
	int descriptor = -1, rc;

	do {
		uint64_t now_ns = kona_now_ns();
		uint64_t left_ms =
			deadline_ns > now_ns ? (deadline_ns - now_ns + 999999) / 1000000 : 0;

		rc = poll(&polled, 1, (int)left_ms);
	} while (rc < 0 && errno == EINTR);
	if (rc <= 0)
		return rc ? -errno : -ETIMEDOUT;
	rc = receive_packet(answer, KONA_BROKER_LINKED, &linked, sizeof(linked), &descriptor);
	if (rc)
		return rc;
	if (!linked.status && descriptor >= 0) {
		memcpy(ret_name, linked.node, KONA_BROKER_NAME_BYTES);
		ret_name[KONA_BROKER_NAME_BYTES - 1] = '\0';
		return descriptor;
	}
	if (descriptor >= 0)
		syscall(SYS_close, descriptor);
	return as_error(linked.status);
}

int kona_broker_take_link(int answer, char *ret_name, uint64_t deadline_ns)
{
	int rc = receive_link(answer, ret_name, deadline_ns);

	syscall(SYS_close, answer);
	return rc;
}

int kona_broker_link(const struct kona_broker *broker, uint64_t node, char *ret_name,
		     uint64_t deadline_ns)
{
	int answer = kona_broker_ask_link(broker, node);

	return answer < 0 ? answer : kona_broker_take_link(answer, ret_name, deadline_ns);
}

int kona_broker_report(const struct kona_broker *broker, enum kona_broker_type type, uint64_t slab,
		       uint64_t value)
{
	const struct kona_broker_report report = {
		.header = make_header((uint16_t)type), .slab = slab, .value = value};

	return kona_unix_send(broker->news, &report, sizeof(report), -1, MSG_DONTWAIT);
}
