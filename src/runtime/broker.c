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
#include <unistd.h>

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
	int descriptor, stray = -1, rc;

	rc = kona_unix_connect(path, SOCK_SEQPACKET, &descriptor);
	if (rc)
		return rc;
	descriptor = kona_os_raise(descriptor);
	strncpy(hello.program, program_invocation_short_name, sizeof(hello.program) - 1);
	rc = kona_unix_send(descriptor, &hello, sizeof(hello), -1, 0);
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
	rc = kona_unix_send(broker->socket, &grant, sizeof(grant), -1, 0);
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
