/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/engine/truth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/engine/memdb.h"
#include "tests/engine/moment.h"
#include "tests/lib/ledger.h"
#include "tests/unit/scratch.h"

#define CHUNK_BYTES ((size_t) 64 * 1024)
#define RANGE_BYTES_MAX ((size_t) 300 * 1000)
#define BUFFER_BYTES ((size_t) 1 << 20)
#define RANGES 200
#define TEXT_BYTES 1024

const char *truth_repeat = "";
atomic_uint_fast64_t truth_n_moves;

/* ---- comparing ----------------------------------------------------------- */

static void explain(const struct truth *truth, uint64_t off_bytes,
    const char *what, char *text, size_t len)
{
	const struct sqlite_image *image = truth->image;
	const char *where = "not saved";

	if (image->saved.fd >= 0 &&
	    sqlite_saved_has(&image->saved,
		(uint32_t) (off_bytes / image->page_size_bytes) + 1))
		where = "saved";
	snprintf(text, len,
	    "`%s`, page %llu of %u (%s), byte %llu (%llu of its page), after "
	    "%llu moves: %s",
	    image->rel,
	    (unsigned long long) (off_bytes / image->page_size_bytes + 1),
	    image->n_pages, where, (unsigned long long) off_bytes,
	    (unsigned long long) (off_bytes % image->page_size_bytes),
	    (unsigned long long) atomic_load(&truth_n_moves), what);
}

static void explain_bytes(const struct truth *truth, uint64_t off_bytes,
    const unsigned char *data, size_t n, char *text, size_t len)
{
	const unsigned char *want = truth->bytes + off_bytes;
	size_t n_wrong = 0;
	size_t first = n;
	char what[80];

	for (size_t i = n; i > 0; i--)
		if (data[i - 1] != want[i - 1]) {
			first = i - 1;
			n_wrong++;
		}
	snprintf(what, sizeof(what), "%zu of %zu bytes differ", n_wrong, n);
	explain(truth, off_bytes + first, what, text, len);
}

static bool compare(const struct truth *truth, uint64_t off_bytes,
    unsigned char *buffer, size_t n, char *text, size_t len)
{
	struct still_error err = STILL_ERROR_INIT;
	int rc = sqlite_image_read(truth->image, off_bytes, buffer, n, &err);

	if (rc < 0) {
		char what[512];

		snprintf(what, sizeof(what), "%zu bytes cannot be read: %s", n,
		    still_error_msg(&err));
		explain(truth, off_bytes, what, text, len);
		still_error_clear(&err);
		return false;
	}
	if (memcmp(buffer, truth->bytes + off_bytes, n) == 0)
		return true;
	explain_bytes(truth, off_bytes, buffer, n, text, len);
	return false;
}

static bool sweep(const struct truth *truth, unsigned char *buffer,
    size_t chunk_bytes, char *text, size_t len)
{
	bool right = true;

	for (uint64_t off = 0; right && off < truth->len_bytes;
	     off += chunk_bytes) {
		uint64_t left = truth->len_bytes - off;

		right = compare(truth, off, buffer,
		    left < chunk_bytes ? (size_t) left : chunk_bytes, text,
		    len);
	}
	return right;
}

bool truth_holds(
    const struct truth *truth, size_t chunk_bytes, char *text, size_t len)
{
	unsigned char *buffer = malloc(chunk_bytes);
	bool right;

	if (!buffer)
		moment_die("compare", "no memory");
	right = sweep(truth, buffer, chunk_bytes, text, len);
	free(buffer);
	return right;
}

/* Only one thread tells, and none of the others is waited for. */
static void complain(const char *text) __attribute__((noreturn));

static void complain(const char *text)
{
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&once);
	fprintf(stderr, "%s: WRONG IMAGE: %s\n", truth_repeat, text);
	_exit(EXIT_FAILURE);
}

void truth_compare(const struct truth *truth, size_t chunk_bytes)
{
	char text[TEXT_BYTES];

	if (!truth_holds(truth, chunk_bytes, text, sizeof(text)))
		complain(text);
}

/* ---- readers ------------------------------------------------------------- */

static uint64_t ranges(
    const struct truth *truth, unsigned char *buffer, uint64_t *seed)
{
	uint64_t n_bytes = 0;
	char text[TEXT_BYTES];

	for (int i = 0; i < RANGES; i++) {
		uint64_t off = scratch_below(seed, truth->len_bytes);
		uint64_t len = 1 + scratch_below(seed, RANGE_BYTES_MAX);

		/* Small ones are asked for more often. */
		if (i % 4)
			len = 1 + len / 100;
		if (len > truth->len_bytes - off)
			len = truth->len_bytes - off;
		if (!compare(
			truth, off, buffer, (size_t) len, text, sizeof(text)))
			complain(text);
		n_bytes += len;
	}
	return n_bytes / truth->image->page_size_bytes;
}

static void *read_on(void *arg)
{
	static const size_t chunks[] = {4096, 65536, 131072, 1000003, 777777};
	struct truth_reader *reader = arg;
	unsigned char *buffer = malloc(BUFFER_BYTES);
	uint64_t *seed = &reader->seed;
	char text[TEXT_BYTES];

	if (!buffer)
		moment_die("reader", "no memory");
	while (!atomic_load(reader->stop)) {
		const struct truth *truth =
		    &reader->truths[scratch_below(seed, reader->n)];

		if (scratch_below(seed, 3) == 0) {
			if (!sweep(truth, buffer,
				chunks[scratch_below(seed, 5)], text,
				sizeof(text)))
				complain(text);
			atomic_fetch_add(
			    &reader->n_pages, truth->image->n_pages);
			atomic_fetch_add(&reader->n_images, 1);
		} else {
			atomic_fetch_add(
			    &reader->n_pages, ranges(truth, buffer, seed));
		}
	}
	free(buffer);
	return NULL;
}

void truth_reader_start(struct truth_reader *reader, const struct truth *truths,
    size_t n, uint64_t seed, const atomic_bool *stop)
{
	reader->truths = truths;
	reader->n = n;
	reader->seed = seed;
	reader->stop = stop;
	atomic_init(&reader->n_pages, 0);
	atomic_init(&reader->n_images, 0);
	if (pthread_create(&reader->thread, NULL, read_on, reader) != 0)
		moment_die("reader", "cannot be started");
}

void truth_reader_join(struct truth_reader *reader)
{
	pthread_join(reader->thread, NULL);
}

/* ---- the reference ------------------------------------------------------- */

/* By stock SQLite, in memory. */
static void judge(const struct truth *truth)
{
	unsigned char *copy = sqlite3_malloc64(truth->len_bytes);
	char want[64];
	sqlite3 *db;
	char *answer;

	if (!copy)
		moment_die("judge", "no memory");
	memcpy(copy, truth->bytes, truth->len_bytes);
	db = memdb_open(copy, (size_t) truth->len_bytes);
	if (!db)
		moment_die(truth->image->rel, "SQLite cannot open the image");
	answer = memdb_ask(db, "PRAGMA integrity_check");
	if (strcmp(answer, "ok") != 0)
		moment_die(truth->image->rel, answer);
	free(answer);
	answer = memdb_ask(
	    db, "SELECT sum(balance)||' '||count(*) FROM account");
	snprintf(want, sizeof(want), "%d %d", LEDGER_ACCOUNTS * LEDGER_BALANCE,
	    LEDGER_ACCOUNTS);
	if (strcmp(answer, want) != 0)
		moment_die(truth->image->rel, answer);
	free(answer);
	sqlite3_close(db);
}

void truth_take(struct truth *truth, struct sqlite_image *image)
{
	struct still_error err = STILL_ERROR_INIT;

	truth->image = image;
	truth->len_bytes = sqlite_image_bytes(image);
	truth->bytes = malloc(truth->len_bytes);
	if (!truth->bytes)
		moment_die("reference", "no memory");
	for (uint64_t off = 0; off < truth->len_bytes; off += CHUNK_BYTES) {
		uint64_t left = truth->len_bytes - off;

		if (sqlite_image_read(image, off, truth->bytes + off,
			left < CHUNK_BYTES ? (size_t) left : CHUNK_BYTES,
			&err) < 0)
			moment_die("reference", still_error_msg(&err));
	}
	judge(truth);
}

void truth_release(struct truth *truth)
{
	free(truth->bytes);
	truth->bytes = NULL;
}
