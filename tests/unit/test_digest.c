/* SPDX-License-Identifier: MIT */
/* Whatever the order of the reads, the digest is that of the whole file. */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "base/crc32c.h"
#include "core/digest.h"
#include "tests/unit/scratch.h"

#define MIB (1024 * 1024)
#define GAP_MAX (4 * MIB)
#define PIECE (256 * 1024)

struct file {
	uint8_t *bytes;
	size_t size;
	struct still_hash128 want;
	uint32_t want_crc;
	uint32_t page;
	uint64_t *sums;
	struct still_digest digest;
	atomic_uint_fast64_t total;
	atomic_bool cancel;
	/* How the fill behaves, and what it did. */
	int fill_code;
	atomic_uint_fast64_t n_fills;
	atomic_uint_fast64_t filled_bytes;
	bool cancel_in_fill;
};

static void open_file(struct file *file, size_t size, uint64_t seed)
{
	/* One after the other, and some that no read respects. */
	static const uint32_t pages[] = {4096, 1000, 65536, 512};
	static unsigned n_files;

	memset(file, 0, sizeof(*file));
	file->size = size;
	file->bytes = malloc(size + 1);
	assert_non_null(file->bytes);
	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = scratch_random(&seed);

		memcpy(file->bytes + i, &word, size - i < 8 ? size - i : 8);
	}
	file->want = still_hash128(file->bytes, size);
	file->want_crc = still_crc32c_end(
	    still_crc32c(STILL_CRC32C_INIT, file->bytes, size));
	still_digest_init(&file->digest, size, true, &file->total);
	file->page = pages[n_files++ % (sizeof(pages) / sizeof(pages[0]))];
	file->sums = calloc(size / file->page + 1, sizeof(*file->sums));
	assert_non_null(file->sums);
	still_digest_want_pages(&file->digest, file->page, file->sums);
}

static void close_file(struct file *file)
{
	still_digest_release(&file->digest);
	free(file->bytes);
	free(file->sums);
}

static int fill(void *arg, uint64_t off_bytes, void *data, size_t len,
    struct still_error *err)
{
	struct file *file = arg;

	file->n_fills++;
	if (file->fill_code)
		return still_error_set(
		    err, file->fill_code, 0, NULL, "told to fail");
	assert(off_bytes + len <= file->size);
	memcpy(data, file->bytes + off_bytes, len);
	file->filled_bytes += len;
	if (file->cancel_in_fill)
		atomic_store(&file->cancel, true);
	return 0;
}

static void feed(struct file *file, size_t off, size_t len)
{
	/* A copy, so that a sanitizer sees who reads beyond it. */
	uint8_t *data = malloc(len + 1);
	struct still_digest_read read;

	memcpy(data, file->bytes + off, len);
	still_digest_begin(&file->digest, &read, off, len);
	still_digest_end(&file->digest, &read, data, len, fill, file);
	free(data);
}

static void complete(struct file *file)
{
	assert_int_equal(still_digest_complete(
			     &file->digest, fill, file, &file->cancel, NULL),
	    0);
}

static void assert_done(struct file *file)
{
	assert_true(file->digest.done);
	assert_memory_equal(file->digest.value.bytes, file->want.bytes, 16);
	assert_int_equal(file->digest.crc, file->want_crc);
	assert_true(atomic_load(&file->total) == file->size);
	for (size_t at = 0; at < file->size; at += file->page) {
		size_t left = file->size - at;

		assert_true(file->sums[at / file->page] ==
		    still_hash64(file->bytes + at,
			left < file->page ? left : file->page));
	}
}

/* ---- orders -------------------------------------------------------------- */

static void empty(void **state)
{
	struct file file;

	(void) state;
	open_file(&file, 0, 1);
	assert_done(&file);
	complete(&file);
	assert_int_equal(file.n_fills, 0);
	close_file(&file);
}

static void front_to_back(void **state)
{
	struct file file;

	(void) state;
	open_file(&file, 100001, 1);
	for (size_t off = 0; off < file.size; off += 1000) {
		assert_false(file.digest.done);
		feed(&file, off,
		    file.size - off < 1000 ? file.size - off : 1000);
	}
	assert_done(&file);
	assert_int_equal(file.n_fills, 0);
	close_file(&file);
}

static void in_one_piece(void **state)
{
	struct file file;

	(void) state;
	open_file(&file, 5 * MIB + 7, 1);
	feed(&file, 0, file.size);
	assert_done(&file);
	/* To read it once more changes nothing. */
	feed(&file, 0, file.size);
	feed(&file, 10, 10);
	assert_done(&file);
	close_file(&file);
}

static void over_again(void **state)
{
	struct file file;

	(void) state;
	open_file(&file, 1000, 1);
	feed(&file, 0, 500);
	feed(&file, 0, 500);
	feed(&file, 100, 100);
	assert_int_equal(file.digest.frontier_bytes, 500);
	/* Only what is new counts. */
	feed(&file, 400, 200);
	assert_int_equal(file.digest.frontier_bytes, 600);
	feed(&file, 0, 1000);
	assert_done(&file);
	assert_int_equal(file.n_fills, 0);
	close_file(&file);
}

/* The second of two read-aheads comes first: its gap is read for it. */
static void small_gap(void **state)
{
	struct file file;

	(void) state;
	open_file(&file, 300000, 1);
	feed(&file, 131072, 131072);
	assert_int_equal(file.n_fills, 1);
	assert_int_equal(file.filled_bytes, 131072);
	assert_int_equal(file.digest.frontier_bytes, 262144);
	feed(&file, 0, 131072);
	assert_int_equal(file.digest.frontier_bytes, 262144);
	feed(&file, 262144, 300000 - 262144);
	assert_done(&file);
	assert_int_equal(file.n_fills, 1);
	close_file(&file);
}

static void large_gap(void **state)
{
	struct file file;

	(void) state;
	open_file(&file, 3 * GAP_MAX, 1);
	/* One byte more than is worth it. */
	feed(&file, GAP_MAX + 1, 1000);
	assert_int_equal(file.n_fills, 0);
	assert_int_equal(file.digest.frontier_bytes, 0);
	feed(&file, GAP_MAX, 1000);
	assert_int_equal(file.n_fills, GAP_MAX / PIECE);
	assert_int_equal(file.digest.frontier_bytes, GAP_MAX + 1000);
	complete(&file);
	assert_done(&file);
	/* No byte was digested twice, none left out. */
	assert_int_equal(file.filled_bytes, 3 * GAP_MAX - 1000);
	close_file(&file);
}

static void unread(void **state)
{
	struct file file;

	(void) state;
	open_file(&file, 3 * PIECE + 1, 1);
	complete(&file);
	assert_done(&file);
	assert_int_equal(file.filled_bytes, file.size);
	/* In pieces, so that a cancel is seen between them. */
	assert_int_equal(file.n_fills, 4);
	complete(&file);
	assert_int_equal(file.n_fills, 4);
	close_file(&file);
}

/* What of a read is there is taken at once, the rest later. */
static void piece_by_piece(void **state)
{
	struct still_digest_read read;
	struct file file;

	(void) state;
	open_file(&file, 1000, 1);
	feed(&file, 0, 100);
	still_digest_begin(&file.digest, &read, 50, 950);
	still_digest_feed(&file.digest, &read, file.bytes + 50, 10);
	assert_int_equal(file.digest.frontier_bytes, 100);
	still_digest_feed(&file.digest, &read, file.bytes + 50, 200);
	assert_int_equal(file.digest.frontier_bytes, 250);
	still_digest_feed(&file.digest, &read, file.bytes + 50, 200);
	assert_int_equal(file.digest.frontier_bytes, 250);
	/* It comes no further: the rest cannot be read. */
	still_digest_end(
	    &file.digest, &read, file.bytes + 50, 300, fill, &file);
	assert_int_equal(file.digest.frontier_bytes, 350);
	feed(&file, 350, 650);
	assert_done(&file);
	assert_int_equal(file.n_fills, 0);
	close_file(&file);
}

static void random_orders(void **state)
{
	uint64_t random = scratch_seed();

	(void) state;
	for (int round = 0; round < 60; round++) {
		size_t size = 1 + (size_t) scratch_below(&random, 2 * MIB);
		uint64_t longest = 1 + scratch_below(&random, 200000);
		uint64_t reads = scratch_below(&random, 60);
		struct file file;

		open_file(&file, size, scratch_random(&random));
		for (uint64_t i = 0; i < reads; i++) {
			size_t off = (size_t) scratch_below(&random, size);
			size_t len = 1 +
			    (size_t) scratch_below(&random, longest);

			feed(&file, off, len > size - off ? size - off : len);
			assert_true(atomic_load(&file.total) ==
			    file.digest.frontier_bytes);
		}
		complete(&file);
		assert_done(&file);
		close_file(&file);
	}
}

/* ---- failures ------------------------------------------------------------ */

static void gap_cannot_be_read(void **state)
{
	struct file file;

	(void) state;
	open_file(&file, 100000, 1);
	feed(&file, 0, 10);
	file.fill_code = STILL_ERR_IO;
	feed(&file, 50000, 1000);
	assert_int_equal(file.n_fills, 1);
	assert_int_equal(file.digest.frontier_bytes, 10);
	/* Nor is a gap of one byte jumped over. */
	feed(&file, 11, 1000);
	assert_int_equal(file.n_fills, 2);
	assert_int_equal(file.digest.frontier_bytes, 10);
	/* It may pass. */
	file.fill_code = 0;
	feed(&file, 50000, 1000);
	assert_int_equal(file.digest.frontier_bytes, 51000);
	complete(&file);
	assert_done(&file);
	close_file(&file);
}

static void rest_cannot_be_read(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct file file;

	(void) state;
	open_file(&file, 100000, 1);
	feed(&file, 0, 10);
	file.fill_code = STILL_ERR_CORRUPT;
	assert_int_equal(still_digest_complete(
			     &file.digest, fill, &file, &file.cancel, &err),
	    STILL_ERR_CORRUPT);
	assert_string_equal(still_error_msg(&err), "told to fail");
	assert_false(file.digest.done);
	assert_int_equal(file.digest.frontier_bytes, 10);
	still_error_clear(&err);
	file.fill_code = 0;
	complete(&file);
	assert_done(&file);
	close_file(&file);
}

static void cancelled(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct file file;

	(void) state;
	open_file(&file, 3 * PIECE, 1);
	file.cancel_in_fill = true;
	assert_int_equal(still_digest_complete(
			     &file.digest, fill, &file, &file.cancel, &err),
	    STILL_ERR_CANCELLED);
	assert_int_equal(err.code, STILL_ERR_CANCELLED);
	still_error_clear(&err);
	assert_int_equal(file.n_fills, 1);
	assert_int_equal(file.digest.frontier_bytes, PIECE);
	/* What is digested stays so. */
	file.cancel_in_fill = false;
	atomic_store(&file.cancel, false);
	complete(&file);
	assert_done(&file);
	assert_int_equal(file.filled_bytes, 3 * PIECE);
	close_file(&file);
}

/* ---- threads ------------------------------------------------------------- */

struct reader {
	struct file *file;
	uint64_t random;
	bool in_order;
};

static void *read_pieces(void *arg)
{
	struct reader *reader = arg;
	struct file *file = reader->file;
	size_t off = 0;

	for (int i = 0; i < 300 && off < file->size; i++) {
		size_t len = 1 + (size_t) scratch_below(&reader->random, 20000);

		if (!reader->in_order)
			off = (size_t) scratch_below(
			    &reader->random, file->size);
		if (len > file->size - off)
			len = file->size - off;
		feed(file, off, len);
		off += len;
	}
	return NULL;
}

static void *complete_beside(void *arg)
{
	struct reader *reader = arg;

	still_digest_complete(&reader->file->digest, fill, reader->file,
	    &reader->file->cancel, NULL);
	return NULL;
}

static void many_readers(void **state)
{
	uint64_t random = scratch_seed();

	(void) state;
	for (int round = 0; round < 5; round++) {
		struct reader readers[4];
		pthread_t thread[5];
		struct file file;

		open_file(&file, 2 * MIB + 3, scratch_random(&random));
		for (int i = 0; i < 4; i++) {
			readers[i] = (struct reader){
			    &file, scratch_random(&random), i % 2};
			assert_int_equal(pthread_create(&thread[i], NULL,
					     read_pieces, &readers[i]),
			    0);
		}
		assert_int_equal(pthread_create(&thread[4], NULL,
				     complete_beside, &readers[0]),
		    0);
		for (int i = 0; i < 5; i++)
			pthread_join(thread[i], NULL);
		assert_done(&file);
		close_file(&file);
	}
}

/* A read that another thread ends, as soon as it may. */
struct ender {
	struct file *file;
	struct still_digest_read read;
	pthread_t thread;
};

static void *end_read(void *arg)
{
	struct ender *ender = arg;
	const struct still_digest_read *read = &ender->read;

	still_digest_end(&ender->file->digest, &ender->read,
	    ender->file->bytes + read->from_bytes,
	    (size_t) (read->to_bytes - read->from_bytes), fill, ender->file);
	return NULL;
}

static void start_ender(
    struct ender *ender, struct file *file, size_t off, size_t len)
{
	ender->file = file;
	still_digest_begin(&file->digest, &ender->read, off, len);
	assert_int_equal(
	    pthread_create(&ender->thread, NULL, end_read, ender), 0);
}

/* Who is ahead waits for who is at the frontier, and reads nothing twice. */
static void waits_for_the_one_before(void **state)
{
	(void) state;
	for (int round = 0; round < 200; round++) {
		struct still_digest_read first;
		struct ender third;
		struct ender second;
		struct file file;

		open_file(&file, 3000, 1);
		still_digest_begin(&file.digest, &first, 0, 1000);
		start_ender(&third, &file, 2000, 1000);
		start_ender(&second, &file, 1000, 1000);
		still_digest_feed(&file.digest, &first, file.bytes, 500);
		still_digest_end(
		    &file.digest, &first, file.bytes, 1000, fill, &file);
		pthread_join(third.thread, NULL);
		pthread_join(second.thread, NULL);
		assert_done(&file);
		assert_int_equal(file.n_fills, 0);
		close_file(&file);
	}
}

/* The one before fails: nobody is left waiting, and the gap is read. */
static void the_one_before_fails(void **state)
{
	(void) state;
	for (int round = 0; round < 200; round++) {
		struct still_digest_read first;
		struct ender second;
		struct file file;

		open_file(&file, 2000, 1);
		still_digest_begin(&file.digest, &first, 0, 1000);
		start_ender(&second, &file, 1000, 1000);
		still_digest_end(
		    &file.digest, &first, file.bytes, 10, fill, &file);
		pthread_join(second.thread, NULL);
		assert_done(&file);
		assert_int_equal(file.n_fills, 1);
		assert_int_equal(file.filled_bytes, 990);
		close_file(&file);
	}
}

/* What is far ahead goes on; it is the closing pass's. */
/* ---- beside the pass ------------------------------------------------------ */

#define PASS_PIECES 10
#define PATIENCE_NS (30 * STILL_NS_PER_S)

struct pass {
	struct file file;
	atomic_uint n_fed;
	atomic_uint n_shut_out;
	atomic_bool over;
};

/* Reads no piece before a reader came through meanwhile. */
static int fill_beside_a_reader(void *arg, uint64_t off_bytes, void *data,
    size_t len, struct still_error *err)
{
	struct pass *pass = arg;
	unsigned before = atomic_load(&pass->n_fed);
	int64_t end_ns = still_sys_monotonic_ns() + PATIENCE_NS;

	while (atomic_load(&pass->n_shut_out) == 0 &&
	    atomic_load(&pass->n_fed) < before + 2) {
		if (still_sys_monotonic_ns() > end_ns)
			atomic_fetch_add(&pass->n_shut_out, 1);
		still_sys_sleep_ns(STILL_NS_PER_S / 10000);
	}
	return fill(&pass->file, off_bytes, data, len, err);
}

static void *pass_slowly(void *arg)
{
	struct pass *pass = arg;
	struct still_error err = STILL_ERROR_INIT;

	assert_int_equal(
	    still_digest_complete(&pass->file.digest, fill_beside_a_reader,
		pass, &pass->file.cancel, &err),
	    0);
	atomic_store(&pass->over, true);
	return NULL;
}

/* Who reads does not wait for what the pass reads. */
static void pass_lets_readers_in(void **state)
{
	struct pass pass = {.over = false};
	struct file *file = &pass.file;
	pthread_t thread;

	(void) state;
	open_file(file, (size_t) PASS_PIECES * PIECE, 20);
	pthread_create(&thread, NULL, pass_slowly, &pass);
	while (!atomic_load(&pass.over)) {
		feed(file, 0, 4096);
		atomic_fetch_add(&pass.n_fed, 1);
	}
	pthread_join(thread, NULL);
	assert_done(file);
	assert_int_equal(atomic_load(&pass.n_shut_out), 0);
	close_file(file);
}

static void far_ahead_does_not_wait(void **state)
{
	struct still_digest_read first;
	struct file file;

	(void) state;
	open_file(&file, GAP_MAX + 2000, 1);
	still_digest_begin(&file.digest, &first, 0, 1000);
	feed(&file, GAP_MAX + 1, 1000);
	assert_int_equal(file.digest.frontier_bytes, 0);
	assert_int_equal(file.n_fills, 0);
	still_digest_end(&file.digest, &first, file.bytes, 1000, fill, &file);
	assert_int_equal(file.digest.frontier_bytes, 1000);
	close_file(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(empty),
	    cmocka_unit_test(front_to_back),
	    cmocka_unit_test(in_one_piece),
	    cmocka_unit_test(over_again),
	    cmocka_unit_test(small_gap),
	    cmocka_unit_test(large_gap),
	    cmocka_unit_test(unread),
	    cmocka_unit_test(piece_by_piece),
	    cmocka_unit_test(random_orders),
	    cmocka_unit_test(gap_cannot_be_read),
	    cmocka_unit_test(rest_cannot_be_read),
	    cmocka_unit_test(cancelled),
	    cmocka_unit_test(many_readers),
	    cmocka_unit_test(waits_for_the_one_before),
	    cmocka_unit_test(the_one_before_fails),
	    cmocka_unit_test(pass_lets_readers_in),
	    cmocka_unit_test(far_ahead_does_not_wait),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
