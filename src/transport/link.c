/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection to a memory node. Replies come in the order of the requests, so a reply is read
 * right to where it belongs.
 *
 * State: the socket and the tag. Locks: the caller holds the link's. What can fail: the network and
 * the node; after a failure that is no refusal the stream is out of step, and is shut down.
 */
#include "transport/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

enum { MOST_VECTORS = KONA_DATA_MOST_PIECES + 1 };

static void send_at_once(int socket)
{
	int one = 1;

	if (socket >= 0 && setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))) {
		/* Slower, where it is no TCP socket; not wrong. */
	}
}

void kona_link_init(struct kona_link *link, int socket, uint64_t *opened)
{
	*link = (struct kona_link){.socket = socket, .opened = opened};
	pthread_mutex_init(&link->lock, NULL);
	send_at_once(socket);
}

void kona_link_renew(struct kona_link *link, size_t opened_words)
{
	send_at_once(link->socket);
	for (size_t i = 0; i < opened_words; i++)
		if (link->opened[i]) /* most were never touched, and stay so */
			link->opened[i] = 0;
}

void kona_link_destroy(struct kona_link *link)
{
	link->opened = NULL;
	pthread_mutex_destroy(&link->lock);
}

static int end(struct kona_link *link, int error)
{
	shutdown(link->socket, SHUT_RDWR);
	return error;
}

/* Sleeps until the socket is ready. */
static int sleep_until_ready(struct kona_link *link, short events, uint64_t deadline_ns)
{
	struct pollfd polled = {.fd = link->socket, .events = events};
	uint64_t now_ns = kona_now_ns();
	struct timespec left;

	if (now_ns >= deadline_ns)
		return -ETIMEDOUT;
	left.tv_sec = (time_t)((deadline_ns - now_ns) / 1000000000);
	left.tv_nsec = (long)((deadline_ns - now_ns) % 1000000000);
	link->calls++;
	if (ppoll(&polled, 1, &left, NULL) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

/* Takes `bytes` off the front of the vectors; returns how many are used up. */
static size_t advance(struct iovec *vectors, size_t count, size_t bytes)
{
	size_t done = 0;

	while (done < count && bytes >= vectors[done].iov_len)
		bytes -= vectors[done++].iov_len;
	if (done < count && bytes) {
		vectors[done].iov_base = (char *)vectors[done].iov_base + bytes;
		vectors[done].iov_len -= bytes;
	}
	return done;
}

static int send_all(struct kona_link *link, struct iovec *vectors, size_t count,
		    uint64_t deadline_ns)
{
	while (count) {
		struct msghdr message = {.msg_iov = vectors, .msg_iovlen = count};
		ssize_t sent = sendmsg(link->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		size_t done;
		int rc = 0;

		link->calls++;
		if (sent < 0 && errno == EAGAIN)
			rc = sleep_until_ready(link, POLLOUT, deadline_ns);
		else if (sent < 0 && errno != EINTR)
			rc = -errno;
		if (rc)
			return end(link, rc);
		done = advance(vectors, count, sent > 0 ? (size_t)sent : 0);
		vectors += done;
		count -= done;
	}
	return 0;
}

/* Returns at once while it is worth to look again; else sleeps. *spun_since_ns: 0 at first. */
static int wait_to_receive(struct kona_link *link, uint64_t *spun_since_ns, uint64_t deadline_ns)
{
	uint64_t now_ns;

	if (!*spun_since_ns && !kona_spin_try(&link->spin))
		return sleep_until_ready(link, POLLIN, deadline_ns);
	now_ns = kona_now_ns();
	if (!*spun_since_ns)
		*spun_since_ns = now_ns;
	if (now_ns - *spun_since_ns < KONA_SPIN_NS)
		return 0;
	kona_spin_learn(&link->spin, true);
	*spun_since_ns = 0;
	return sleep_until_ready(link, POLLIN, deadline_ns);
}

/* Receives at least `least` bytes into the vectors, which it uses up. Returns the bytes. */
static ssize_t receive(struct kona_link *link, struct iovec *vectors, size_t count, size_t least,
		       uint64_t deadline_ns)
{
	uint64_t spun_since_ns = 0;
	size_t total = 0;

	while (total < least) {
		struct msghdr message = {.msg_iov = vectors, .msg_iovlen = count};
		ssize_t got = recvmsg(link->socket, &message, MSG_DONTWAIT);
		size_t done;
		int rc = 0;

		link->calls++;
		if (!got || (got < 0 && errno != EAGAIN && errno != EINTR))
			return end(link, got ? -errno : -ECONNRESET);
		if (got < 0) {
			rc = wait_to_receive(link, &spun_since_ns, deadline_ns);
			if (rc)
				return end(link, rc);
			continue;
		}
		if (spun_since_ns)
			kona_spin_learn(&link->spin, false);
		spun_since_ns = 0;
		total += (size_t)got;
		done = advance(vectors, count, (size_t)got);
		vectors += done;
		count -= done;
	}
	return (ssize_t)total;
}

static int send_frame(struct kona_link *link, enum kona_data_type type, const void *body,
		      size_t size_bytes, uint64_t deadline_ns)
{
	struct kona_data_header header = {KONA_DATA_MAGIC, KONA_DATA_VERSION, (uint16_t)type,
					  ++link->tag, (uint32_t)size_bytes};
	struct iovec vectors[] = {{&header, sizeof(header)}, {(void *)body, size_bytes}};

	return send_all(link, vectors, KONA_ARRAY_LEN(vectors), deadline_ns);
}

/* The rest of a FAILED reply, of whose body `have` bytes were received at `body`. */
static int take_refusal(struct kona_link *link, const struct kona_data_header *header,
			struct kona_data_failed *body, size_t have, uint64_t deadline_ns)
{
	struct iovec vector = {(char *)body + have, sizeof(*body) - have};
	ssize_t got;

	if (header->body_bytes != sizeof(*body))
		return end(link, -EPROTO);
	got = receive(link, &vector, 1, vector.iov_len, deadline_ns);
	if (got < 0)
		return (int)got;
	link->status = body->status < 0 && body->status > -4096 ? body->status : -EPROTO;
	return -EREMOTEIO;
}

static bool is_reply(const struct kona_data_header *header, uint32_t tag)
{
	return header->magic == KONA_DATA_MAGIC && header->version == KONA_DATA_VERSION &&
	       header->tag == tag;
}

/* Waits for the reply to the last request, whose body has size_bytes. */
static int wait_reply(struct kona_link *link, enum kona_data_type type, void *body,
		      size_t size_bytes, uint64_t deadline_ns)
{
	struct kona_data_header header;
	struct kona_data_failed refusal;
	struct iovec vector = {&header, sizeof(header)};
	ssize_t got = receive(link, &vector, 1, sizeof(header), deadline_ns);

	if (got < 0)
		return (int)got;
	if (!is_reply(&header, link->tag))
		return end(link, -EPROTO);
	if (header.type == KONA_DATA_FAILED)
		return take_refusal(link, &header, &refusal, 0, deadline_ns);
	if (header.type != type || header.body_bytes != size_bytes)
		return end(link, -EPROTO);
	if (!size_bytes)
		return 0;
	vector = (struct iovec){body, size_bytes};
	got = receive(link, &vector, 1, size_bytes, deadline_ns);
	return got < 0 ? (int)got : 0;
}

int kona_link_open(struct kona_link *link, const struct kona_data_open *open, uint64_t deadline_ns)
{
	int rc;

	if (!open->flags && kona_link_is_open(link, open->handle))
		return 0;
	rc = send_frame(link, KONA_DATA_OPEN, open, sizeof(*open), deadline_ns);
	if (!rc)
		rc = wait_reply(link, KONA_DATA_OPENED, NULL, 0, deadline_ns);
	if (!rc)
		link->opened[open->handle / 64] |= UINT64_C(1) << open->handle % 64;
	return rc;
}

int kona_link_expose(struct kona_link *link, const struct kona_data_expose *expose,
		     struct kona_data_exposed *ret_exposed, uint64_t deadline_ns)
{
	int rc = send_frame(link, KONA_DATA_EXPOSE, expose, sizeof(*expose), deadline_ns);

	if (!rc)
		rc = wait_reply(link, KONA_DATA_EXPOSED, ret_exposed, sizeof(*ret_exposed),
				deadline_ns);
	if (!rc && ret_exposed->address_bytes > KONA_DATA_ADDRESS_BYTES)
		rc = end(link, -EPROTO);
	return rc;
}

int kona_link_ask(struct kona_link *link, const struct kona_link_piece *pieces, size_t count,
		  uint64_t deadline_ns)
{
	struct kona_data_piece wire[KONA_DATA_MOST_PIECES];

	for (size_t i = 0; i < count; i++)
		wire[i] = (struct kona_data_piece){pieces[i].handle, pieces[i].size_bytes,
						   pieces[i].offset_bytes};
	return send_frame(link, KONA_DATA_READ, wire, count * sizeof(*wire), deadline_ns);
}

/* The bytes of a reply go right to the pieces. */
int kona_link_receive(struct kona_link *link, const struct kona_link_piece *pieces, size_t count,
		      uint64_t deadline_ns)
{
	struct iovec vectors[MOST_VECTORS];
	struct kona_data_header header;
	struct kona_data_failed refusal;
	struct iovec rest[MOST_VECTORS];
	size_t done, total = 0;
	ssize_t got;

	vectors[0] = (struct iovec){&header, sizeof(header)};
	for (size_t i = 0; i < count; i++) {
		vectors[i + 1] = (struct iovec){pieces[i].buffer, pieces[i].size_bytes};
		total += pieces[i].size_bytes;
	}
	memcpy(rest, vectors, sizeof(*rest) * (count + 1));
	got = receive(link, vectors, count + 1, sizeof(header), deadline_ns);
	if (got < 0)
		return (int)got;
	if (!is_reply(&header, link->tag))
		return end(link, -EPROTO);
	if (header.type == KONA_DATA_FAILED) {
		size_t have = (size_t)got - sizeof(header);

		if (have > sizeof(refusal) || have > pieces[0].size_bytes)
			return end(link, -EPROTO);
		memcpy(&refusal, pieces[0].buffer, have);
		return take_refusal(link, &header, &refusal, have, deadline_ns);
	}
	if (header.type != KONA_DATA_DATA || header.body_bytes != total)
		return end(link, -EPROTO);
	done = advance(rest, count + 1, (size_t)got);
	total -= (size_t)got - sizeof(header);
	if (!total)
		return 0;
	got = receive(link, rest + done, count + 1 - done, total, deadline_ns);
	return got < 0 ? (int)got : 0;
}

/* As many pieces as one request takes. */
static size_t cut(const struct kona_link_piece *pieces, size_t count)
{
	size_t taken = 0, total = 0;

	while (taken < count && taken < KONA_DATA_MOST_PIECES &&
	       total + pieces[taken].size_bytes <= KONA_DATA_MOST_READ_BYTES)
		total += pieces[taken++].size_bytes;
	return taken;
}

int kona_link_read(struct kona_link *link, const struct kona_link_piece *pieces, size_t count,
		   uint64_t deadline_ns)
{
	while (count) {
		size_t taken = cut(pieces, count);
		int rc = taken ? kona_link_ask(link, pieces, taken, deadline_ns) : -EINVAL;

		if (!rc)
			rc = kona_link_receive(link, pieces, taken, deadline_ns);
		if (rc)
			return rc;
		pieces += taken;
		count -= taken;
	}
	return 0;
}

int kona_link_send(struct kona_link *link, enum kona_data_type type, const void *body,
		   size_t size_bytes, uint64_t deadline_ns)
{
	return send_frame(link, type, body, size_bytes, deadline_ns);
}

/* One reply to the last `count` requests; those before may have been refused or acknowledged. */
static int wait_one(struct kona_link *link, uint32_t count, uint64_t *refused, uint32_t *ret_tag,
		    uint64_t deadline_ns)
{
	struct kona_data_header header;
	struct kona_data_failed refusal;
	struct iovec vector = {&header, sizeof(header)};
	uint32_t first = link->tag - count + 1;
	ssize_t got = receive(link, &vector, 1, sizeof(header), deadline_ns);

	if (got < 0)
		return (int)got;
	if (!is_reply(&header, header.tag) || header.tag - first >= count)
		return end(link, -EPROTO);
	*ret_tag = header.tag;
	if (header.type == KONA_DATA_ACK)
		return header.body_bytes ? end(link, -EPROTO) : 0;
	if (header.type != KONA_DATA_FAILED)
		return end(link, -EPROTO);
	*refused |= UINT64_C(1) << (header.tag - first);
	return take_refusal(link, &header, &refusal, 0, deadline_ns);
}

int kona_link_wait(struct kona_link *link, uint32_t count, uint64_t *ret_refused,
		   uint64_t deadline_ns)
{
	uint64_t refused = 0;
	uint32_t tag = 0;
	int rc;

	do {
		rc = wait_one(link, count, &refused, &tag, deadline_ns);
		if (rc && rc != -EREMOTEIO)
			return rc;
	} while (tag != link->tag);
	*ret_refused = refused;
	return refused ? -EREMOTEIO : 0;
}
