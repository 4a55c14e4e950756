/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The seal, over shared memory whose bytes the test changes, and over a pool of data servers.
 *
 * Catches: an algorithm that is not AES-256-GCM (by another library); plaintext in the store; a
 * page that is taken though a bit of it was changed, though it is another page or an older one,
 * though it was discarded; a version used twice; a child that seals, or takes for changed what its
 * parent writes; a replica that is right and not asked, or wrong and asked again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/atomic.h"
#include "data-node.h"
#include "transport/pool.h"
#include "transport/seal.h"

enum {
	PAGES = 256,
	SLAB_PAGES = 64,
	SLAB_BYTES = SLAB_PAGES * KONA_PAGE_BYTES,
	NODES = 2,
};

static struct kona_transport below;
static struct kona_seal seal;
static char (*store)[KONA_PAGE_BYTES]; /* what the memory node holds */
static struct data_node nodes[NODES];
static struct kona_pool pool;

/* What the hook was told. */
static struct {
	unsigned int count;
	uint64_t offset_bytes;
	const char *node;
	bool lost;
} told;

static void tell(void *with, uint64_t offset_bytes, const char *node, bool lost)
{
	told.count++;
	told.offset_bytes = offset_bytes;
	told.node = node;
	told.lost = lost;
}

static const struct kona_seal_hooks hooks = {tell, NULL};

static int open_seal(void **state)
{
	int grant = memfd_create("grant", MFD_CLOEXEC);

	memset(&told, 0, sizeof(told));
	assert_return_code(ftruncate(grant, PAGES * KONA_PAGE_BYTES), errno);
	store = mmap(NULL, PAGES * KONA_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, grant, 0);
	assert_ptr_not_equal(store, MAP_FAILED);
	assert_int_equal(kona_transport_shm_init(&below, SLAB_BYTES, PAGES / SLAB_PAGES), 0);
	kona_transport_shm_attach(&below, 0, PAGES / SLAB_PAGES, grant);
	assert_int_equal(kona_seal_init(&seal, &below, PAGES, &hooks), 0);
	return 0;
}

static int close_seal(void **state)
{
	seal.transport.ops->close(&seal.transport);
	munmap(store, PAGES * KONA_PAGE_BYTES);
	return 0;
}

/* Writes one line of the page, of which all bytes are `fill` but the first eight. */
static int put(uint64_t page, char fill)
{
	char content[KONA_PAGE_BYTES];
	struct kona_dirty_page dirty = {page * KONA_PAGE_BYTES, 1, content};
	uint64_t wire = 0, calls = 0;

	memset(content, fill, sizeof(content));
	memcpy(content, &page, sizeof(page));
	return seal.transport.ops->write_lines(&seal.transport, &dirty, 1, &wire, &calls);
}

static int get(uint64_t page, char *content)
{
	return kona_transport_read(&seal.transport, page * KONA_PAGE_BYTES, content,
				   KONA_PAGE_BYTES);
}

static void assert_is(uint64_t page, char fill)
{
	char content[KONA_PAGE_BYTES];

	assert_int_equal(get(page, content), 0);
	assert_memory_equal(content, &page, sizeof(page));
	for (size_t i = sizeof(page); i < sizeof(content); i++)
		assert_int_equal(content[i], fill);
}

static void assert_refused(uint64_t page)
{
	char content[KONA_PAGE_BYTES];
	unsigned int before = told.count;

	assert_int_equal(get(page, content), -EBADMSG);
	assert_int_equal(told.count, before + 1);
	assert_int_equal(told.offset_bytes, page * KONA_PAGE_BYTES);
	assert_true(told.lost);
}

/* --- the algorithm -----------------------------------------------------------------------------*/

/* The same by GnuTLS: an expanded AES-256 key begins with the key itself. */
static void seal_by_another(const struct kona_cipher *cipher, const struct kona_cipher_name *name,
			    const char *page, char *ret_sealed, uint64_t *ret_tag)
{
	gnutls_datum_t key = {(unsigned char *)cipher->key, 32};
	size_t bytes = KONA_PAGE_BYTES + 16;
	char both[KONA_PAGE_BYTES + 16];
	unsigned char nonce[12] = {0};
	gnutls_aead_cipher_hd_t handle;

	memcpy(nonce, &name->version, sizeof(name->version));
	assert_int_equal(gnutls_aead_cipher_init(&handle, GNUTLS_CIPHER_AES_256_GCM, &key), 0);
	assert_int_equal(gnutls_aead_cipher_encrypt(handle, nonce, sizeof(nonce), name,
						    sizeof(*name), 16, page, KONA_PAGE_BYTES, both,
						    &bytes),
			 0);
	gnutls_aead_cipher_deinit(handle);
	memcpy(ret_sealed, both, KONA_PAGE_BYTES);
	memcpy(ret_tag, both + KONA_PAGE_BYTES, 16);
}

static void it_is_aes_256_gcm(void **state)
{
	char page[KONA_PAGE_BYTES], sealed[KONA_PAGE_BYTES], other[KONA_PAGE_BYTES];
	uint64_t tag[2], other_tag[2];
	unsigned int ran = 0;

	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = (char)(i * i >> 3);
	for (unsigned int code = 0;; code++) {
		static struct kona_cipher cipher;
		const struct kona_cipher_name name = {77, UINT64_C(0x123456789a) + code};
		int rc = kona_cipher_init_by(&cipher, code);

		if (rc == -EINVAL)
			break;
		if (rc == -ENOTSUP)
			continue;
		assert_int_equal(rc, 0);
		kona_cipher_seal(&cipher, &name, page, sealed, tag);
		seal_by_another(&cipher, &name, page, other, other_tag);
		assert_memory_equal(sealed, other, sizeof(other));
		assert_memory_equal(tag, other_tag, sizeof(other_tag));
		assert_true(kona_cipher_open(&cipher, &name, tag, sealed));
		assert_memory_equal(sealed, page, sizeof(page));
		ran++;
	}
	assert_true(ran > 0);
}

static void a_name_is_part_of_the_seal(void **state)
{
	static struct kona_cipher cipher, other_key;
	struct kona_cipher_name name = {5, 9};
	char page[KONA_PAGE_BYTES] = "a page", sealed[KONA_PAGE_BYTES], copy[KONA_PAGE_BYTES];
	uint64_t tag[2];

	assert_int_equal(kona_cipher_init(&cipher), 0);
	assert_int_equal(kona_cipher_init(&other_key), 0);
	kona_cipher_seal(&cipher, &name, page, sealed, tag);
	for (int field = 0; field < 5; field++) {
		struct kona_cipher_name wrong = name;
		uint64_t wrong_tag[2] = {tag[0], tag[1]};

		memcpy(copy, sealed, sizeof(copy));
		wrong.page += field == 0;
		wrong.version += field == 1;
		wrong_tag[0] ^= field == 2;
		wrong_tag[1] ^= (uint64_t)(field == 3) << 63;
		assert_false(kona_cipher_open(field == 4 ? &other_key : &cipher, &wrong, wrong_tag,
					      copy));
	}
	memcpy(copy, sealed, sizeof(copy));
	assert_true(kona_cipher_open(&cipher, &name, tag, copy));
}

/* --- a node that is not to be trusted ----------------------------------------------------------*/

static void what_leaves_is_not_what_was_written(void **state)
{
	static const char secret[] = "ssssssssssssssss";

	for (uint64_t page = 0; page < PAGES; page++)
		assert_int_equal(put(page, 's'), 0);
	assert_null(memmem(store, PAGES * KONA_PAGE_BYTES, secret, sizeof(secret) - 1));
	for (uint64_t page = 0; page < PAGES; page++)
		assert_is(page, 's');
	assert_int_equal(told.count, 0);
}

static void a_changed_bit_is_refused(void **state)
{
	assert_int_equal(put(3, 'x'), 0);
	for (size_t bit = 0; bit < 8 * KONA_PAGE_BYTES; bit += 97) {
		store[3][bit / 8] ^= (char)(1 << bit % 8);
		assert_refused(3);
		store[3][bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_is(3, 'x');
	memset(store[3], 0, KONA_PAGE_BYTES); /* "lost it" */
	assert_refused(3);
}

static void another_page_or_an_older_one_is_refused(void **state)
{
	char older[KONA_PAGE_BYTES], swapped[KONA_PAGE_BYTES];

	assert_int_equal(put(1, 'x'), 0);
	assert_int_equal(put(2, 'x'), 0);
	memcpy(swapped, store[1], KONA_PAGE_BYTES);
	memcpy(store[1], store[2], KONA_PAGE_BYTES);
	memcpy(store[2], swapped, KONA_PAGE_BYTES);
	assert_refused(1);
	assert_refused(2);

	assert_int_equal(put(1, 'x'), 0);
	memcpy(older, store[1], KONA_PAGE_BYTES);
	assert_int_equal(put(1, 'x'), 0); /* the very same contents */
	memcpy(store[1], older, KONA_PAGE_BYTES);
	assert_refused(1);
}

static void a_discarded_page_is_zeros_whatever_the_store_holds(void **state)
{
	static const char zeros[KONA_PAGE_BYTES];
	char held[KONA_PAGE_BYTES], content[KONA_PAGE_BYTES];

	assert_int_equal(get(9, content), 0); /* never written */
	assert_memory_equal(content, zeros, sizeof(zeros));
	assert_int_equal(put(9, 'x'), 0);
	memcpy(held, store[9], sizeof(held));
	assert_int_equal(seal.transport.ops->discard(&seal.transport, UINT64_C(9) * KONA_PAGE_BYTES,
						     KONA_PAGE_BYTES),
			 0);
	memcpy(store[9], held, sizeof(held));
	assert_int_equal(get(9, content), 0);
	assert_memory_equal(content, zeros, sizeof(zeros));
	memset(store[10], 1, KONA_PAGE_BYTES); /* never written, and yet something is there */
	assert_int_equal(get(10, content), 0);
	assert_memory_equal(content, zeros, sizeof(zeros));
}

static int compare(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static void no_version_comes_twice(void **state)
{
	static uint64_t versions[16 * PAGES];
	size_t count = 0;

	for (int round = 0; round < 16; round++) {
		for (uint64_t page = 0; page < PAGES; page++) {
			assert_int_equal(put(page, 'x'), 0);
			versions[count++] = seal.entries[page].version;
		}
		assert_int_equal(seal.transport.ops->discard(&seal.transport, 0,
							     PAGES / 2 * KONA_PAGE_BYTES),
				 0);
	}
	qsort(versions, count, sizeof(versions[0]), compare);
	for (size_t i = 1; i < count; i++)
		assert_true(versions[i - 1] < versions[i]);
}

/* Runs and pieces, longer than what is opened in one go, and across it. */
static void many_pages_in_many_pieces(void **state)
{
	static char contents[PAGES][KONA_PAGE_BYTES], got[PAGES][KONA_PAGE_BYTES];
	struct kona_dirty_page dirty[PAGES];
	uint64_t wire = 0, calls = 0;
	struct kona_read reads[] = {{0, got[0], 70 * KONA_PAGE_BYTES},
				    {70 * KONA_PAGE_BYTES, got[70], KONA_PAGE_BYTES},
				    {71 * KONA_PAGE_BYTES, got[71], 185 * KONA_PAGE_BYTES}};

	for (uint64_t page = 0; page < PAGES; page++) {
		memset(contents[page], (int)page, KONA_PAGE_BYTES);
		dirty[page] = (struct kona_dirty_page){page * KONA_PAGE_BYTES, 2, contents[page]};
	}
	assert_int_equal(
		seal.transport.ops->write_lines(&seal.transport, dirty, PAGES, &wire, &calls), 0);
	assert_true(wire >= PAGES * KONA_PAGE_BYTES);
	assert_int_equal(seal.transport.ops->read(&seal.transport, reads, 3, &calls), 0);
	assert_memory_equal(got, contents, sizeof(got));
	reads[0].offset_bytes = 1;
	assert_int_equal(seal.transport.ops->read(&seal.transport, reads, 1, &calls), -EINVAL);
	reads[0] = (struct kona_read){(PAGES - 1) * KONA_PAGE_BYTES, got, 2 * KONA_PAGE_BYTES};
	assert_int_equal(seal.transport.ops->read(&seal.transport, reads, 1, &calls), -EIO);
}

/* --- pages that change while they are read
 * -------------------------------------------------------*/

static const struct kona_transport_ops *shm_ops;
static bool meddles;

/* The parent writes the page between a child's look at the table and its read. */
static int meddling_read(struct kona_transport *transport, const struct kona_read *reads,
			 size_t count, uint64_t *system_calls)
{
	if (meddles)
		assert_int_equal(put(reads[0].offset_bytes / KONA_PAGE_BYTES, 'n'), 0);
	return shm_ops->read(transport, reads, count, system_calls);
}

static void a_page_that_changes_meanwhile_is_no_lie(void **state)
{
	static const char zeros[KONA_PAGE_BYTES];
	struct kona_transport_ops ops = *below.ops;
	char content[KONA_PAGE_BYTES];

	assert_int_equal(put(4, 'o'), 0);
	shm_ops = below.ops;
	ops.read = meddling_read;
	below.ops = &ops;
	meddles = true;
	assert_int_equal(get(4, content), 0);
	assert_memory_equal(content, zeros, sizeof(zeros));
	meddles = false;
	assert_is(4, 'n');
	assert_int_equal(told.count, 0);
	below.ops = shm_ops;
}

/* --- a forked child ----------------------------------------------------------------------------*/

/* Reads what the parent writes all the time: each page is one of its contents, or unusable zeros.
 */
static int read_beside_the_parent(const uint32_t *ends)
{
	char content[KONA_PAGE_BYTES];

	if (put(7, 'c') != -EPERM)
		return 2;
	for (uint64_t rounds = 0; rounds < 1000 || !kona_load_acquire(ends); rounds++) {
		if (get(rounds % 8, content))
			return 3;
		for (size_t i = sizeof(uint64_t); i < sizeof(content) - 1; i++)
			if (content[i] != content[i + 1])
				return 4;
	}
	return 0;
}

static void a_child_reads_and_does_not_seal(void **state)
{
	uint32_t *ends = mmap(NULL, sizeof(*ends), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t child;

	assert_ptr_not_equal(ends, MAP_FAILED);
	for (uint64_t page = 0; page < 8; page++)
		assert_int_equal(put(page, 'p'), 0);
	child = fork();
	assert_return_code(child, errno);
	if (!child)
		_exit(read_beside_the_parent(ends));
	for (int i = 0; i < 40000; i++)
		assert_int_equal(put((uint64_t)i % 8, (char)('a' + i % 26)), 0);
	kona_store_release(ends, 1); /* the test's own edge: the child ends */
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	munmap(ends, sizeof(*ends));
}

/* --- replicas ----------------------------------------------------------------------------------*/

static void close_socket(int socket)
{
	close(socket);
}

static int open_pool(void **state)
{
	static const struct kona_pool_hooks pool_hooks = {NULL, NULL, close_socket, NULL};
	static const char *const names[NODES] = {"first", "second"};
	struct kona_pool_replica replicas[NODES];

	memset(&told, 0, sizeof(told));
	assert_int_equal(kona_pool_init(&pool, SLAB_BYTES, PAGES / SLAB_PAGES, &pool_hooks), 0);
	for (int i = 0; i < NODES; i++) {
		int sockets[KONA_POOL_LINKS];

		data_node_start(&nodes[i]);
		for (int j = 0; j < KONA_POOL_LINKS; j++)
			sockets[j] = data_node_dial(&nodes[i]);
		assert_int_equal(kona_pool_add_node(&pool, (uint64_t)i + 1, names[i], sockets), 0);
		replicas[i] = (struct kona_pool_replica){(uint64_t)i + 1, KONA_POOL_FULL, {0}};
		assert_int_equal(
			kona_capability_make(data_node_secret, 1000, 1, replicas[i].capability), 0);
	}
	assert_int_equal(kona_pool_grant(&pool, 0, 1000, 1, false, replicas, NODES), 0);
	assert_int_equal(kona_seal_init(&seal, &pool.transport, SLAB_PAGES, &hooks), 0);
	return 0;
}

static int close_pool(void **state)
{
	seal.transport.ops->close(&seal.transport);
	for (int i = 0; i < NODES; i++)
		kona_data_server_stop(&nodes[i].server);
	return 0;
}

static void flip_at(int node, uint64_t page)
{
	struct kona_data_server *server = &nodes[node].server;

	pthread_mutex_lock(&server->lock);
	kona_slab_find(&server->slabs, 1000)->memory[page * KONA_PAGE_BYTES + 17] ^= 4;
	pthread_mutex_unlock(&server->lock);
}

static void the_other_replica_is_asked(void **state)
{
	for (uint64_t page = 0; page < 4; page++)
		assert_int_equal(put(page, 'x'), 0);
	flip_at(0, 2);
	assert_is(1, 'x');
	assert_int_equal(told.count, 0);
	assert_is(2, 'x');
	assert_int_equal(told.count, 1);
	assert_string_equal(told.node, "first");
	assert_false(told.lost);
	assert_is(2, 'x'); /* the liar is not asked again */
	assert_int_equal(told.count, 1);
	flip_at(1, 2);
	assert_refused(2);
	assert_string_equal(told.node, "second");
	assert_is(1, 'x'); /* the last one goes on with what is right */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_aes_256_gcm),
		cmocka_unit_test(a_name_is_part_of_the_seal),
		cmocka_unit_test_setup_teardown(what_leaves_is_not_what_was_written, open_seal,
						close_seal),
		cmocka_unit_test_setup_teardown(a_changed_bit_is_refused, open_seal, close_seal),
		cmocka_unit_test_setup_teardown(another_page_or_an_older_one_is_refused, open_seal,
						close_seal),
		cmocka_unit_test_setup_teardown(a_discarded_page_is_zeros_whatever_the_store_holds,
						open_seal, close_seal),
		cmocka_unit_test_setup_teardown(no_version_comes_twice, open_seal, close_seal),
		cmocka_unit_test_setup_teardown(many_pages_in_many_pieces, open_seal, close_seal),
		cmocka_unit_test_setup_teardown(a_page_that_changes_meanwhile_is_no_lie, open_seal,
						close_seal),
		cmocka_unit_test_setup_teardown(a_child_reads_and_does_not_seal, open_seal,
						close_seal),
		cmocka_unit_test_setup_teardown(the_other_replica_is_asked, open_pool, close_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
