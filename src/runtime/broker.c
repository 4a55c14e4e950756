/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lease, grants and the spare descriptor (process, region -> broker -> kona-memd).
 *
 * State: the connection. Its lock keeps request and reply together. What can fail: the node is
 * gone, speaks nonsense (-EPROTO), or says no.
 */
#include "runtime/broker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/units.h"
#include "runtime/os.h"

enum {
	LEAST_SLAB_BYTES = 1 << 20,
	MOST_SLAB_BYTES = 1 << 30,
};

static struct kona_broker_header make_header(uint16_t type)
{
	return (struct kona_broker_header){KONA_BROKER_MAGIC, KONA_BROKER_VERSION, type};
}

static int send_packet(int socket, const void *packet, size_t size_bytes, int descriptor)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec vector = {(void *)packet, size_bytes};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
	ssize_t sent;

	if (descriptor >= 0) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &descriptor, sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	do
		sent = sendmsg(socket, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

static int take_descriptor(struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int descriptor;

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
	return descriptor;
}

/* Receives exactly one packet of that type and size. *ret_descriptor: -1, or the caller's. */
static int receive_packet(int socket, uint16_t type, void *packet, size_t size_bytes,
			  int *ret_descriptor)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec vector = {packet, size_bytes};
	struct msghdr message = {.msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	const struct kona_broker_header *header = packet;
	ssize_t got;
	int descriptor;

	do
		got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return got ? -errno : -ECONNRESET;
	descriptor = take_descriptor(&message);
	if ((size_t)got != size_bytes || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    header->magic != KONA_BROKER_MAGIC || header->version != KONA_BROKER_VERSION ||
	    header->type != type) {
		if (descriptor >= 0)
			syscall(SYS_close, descriptor);
		return (message.msg_flags & MSG_CTRUNC) ? -EMFILE : -EPROTO;
	}
	*ret_descriptor = descriptor;
	return 0;
}

/* A refusal must be an error, whatever the peer says. */
static int as_error(int32_t status)
{
	return status < 0 && status > -4096 ? status : -EPROTO;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int descriptor, rc;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (descriptor < 0)
		return -errno;
	do
		rc = connect(descriptor, (struct sockaddr *)&address, sizeof(address));
	while (rc && errno == EINTR);
	if (rc) {
		rc = -errno;
		syscall(SYS_close, descriptor);
		return rc;
	}
	return kona_os_raise(descriptor);
}

static int check_welcome(const struct kona_broker_welcome *welcome)
{
	uint64_t slab = welcome->slab_bytes;

	if (welcome->status)
		return as_error(welcome->status);
	if (slab < LEAST_SLAB_BYTES || slab > MOST_SLAB_BYTES || slab & (slab - 1))
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
	int descriptor = connect_to(path), stray = -1, rc;

	if (descriptor < 0)
		return descriptor;
	strncpy(hello.program, program_invocation_short_name, sizeof(hello.program) - 1);
	rc = send_packet(descriptor, &hello, sizeof(hello), -1);
	if (!rc)
		rc = receive_packet(descriptor, KONA_BROKER_WELCOME, &welcome, sizeof(welcome),
				    &stray);
	if (stray >= 0)
		syscall(SYS_close, stray);
	if (!rc) {
		rc = check_welcome(&welcome);
		memcpy(ret_text, welcome.text, KONA_BROKER_TEXT_BYTES);
		ret_text[KONA_BROKER_TEXT_BYTES - 1] = '\0';
	}
	if (rc) {
		kona_os_close(descriptor);
		return rc;
	}
	*broker = (struct kona_broker){.socket = descriptor, .slab_bytes = welcome.slab_bytes};
	memcpy(broker->node, welcome.node, sizeof(broker->node) - 1);
	pthread_mutex_init(&broker->lock, NULL);
	return 0;
}

int kona_broker_hold(struct kona_broker *broker, int descriptor)
{
	struct kona_broker_hold hold = {.header = make_header(KONA_BROKER_HOLD)};
	int stray = -1, rc;

	pthread_mutex_lock(&broker->lock);
	rc = send_packet(broker->socket, &hold, sizeof(hold), descriptor);
	if (!rc)
		rc = receive_packet(broker->socket, KONA_BROKER_HELD, &hold, sizeof(hold), &stray);
	pthread_mutex_unlock(&broker->lock);
	if (stray >= 0)
		syscall(SYS_close, stray);
	if (!rc && hold.status)
		rc = as_error(hold.status);
	return rc;
}

/* The grant must be what was asked for: a short one would be lost data later. */
static int check_grant(const struct kona_broker *broker, const struct kona_broker_granted *granted,
		       uint32_t count, int descriptor)
{
	struct stat status;

	if (granted->status)
		return as_error(granted->status);
	if (granted->count != count || descriptor < 0)
		return -EPROTO;
	if (fstat(descriptor, &status))
		return -errno;
	return (uint64_t)status.st_size == count * broker->slab_bytes ? 0 : -EPROTO;
}

int kona_broker_grant(struct kona_broker *broker, uint32_t count, int *ret_descriptor,
		      char *ret_text)
{
	struct kona_broker_grant grant = {.header = make_header(KONA_BROKER_GRANT), .count = count};
	struct kona_broker_granted granted;
	int descriptor = -1, rc;

	pthread_mutex_lock(&broker->lock);
	rc = send_packet(broker->socket, &grant, sizeof(grant), -1);
	if (!rc)
		rc = receive_packet(broker->socket, KONA_BROKER_GRANTED, &granted, sizeof(granted),
				    &descriptor);
	pthread_mutex_unlock(&broker->lock);
	if (rc)
		return rc;
	rc = check_grant(broker, &granted, count, descriptor);
	if (rc) {
		if (descriptor >= 0)
			syscall(SYS_close, descriptor);
		memcpy(ret_text, granted.text, KONA_BROKER_TEXT_BYTES);
		ret_text[KONA_BROKER_TEXT_BYTES - 1] = '\0';
		return rc;
	}
	*ret_descriptor = kona_os_raise(descriptor);
	return 0;
}
