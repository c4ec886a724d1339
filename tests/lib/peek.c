/* SPDX-License-Identifier: MIT */
/*
 * peek: read a file in unusual ways and compare with another, for tests.
 *
 *	peek pread FILE REFERENCE SEED COUNT   random offsets and lengths
 *	peek mmap FILE REFERENCE               through a mapping, back to front
 *	peek bad FILE PAGE_SIZE                which pages give EIO, one per line
 *	peek hold FILE                         open, read a byte, wait for stdin
 *	peek late FILE REFERENCE               the same, then read a byte as
 *	                                       everybody does, then all of it
 *	peek loop FILE REFERENCE               open by name and read all of it,
 *	                                       again and again until stdin ends
 *
 * late and loop read past the page cache. They exit with 0 after whole reads
 * only, with 3 at the first error, whose name they print, and with 1 when a
 * byte is another one or missing. What late gets through the page cache, "byte"
 * or the name of an error, it only prints.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_ERROR 3
#define PIECE_BYTES 65536

static int open_or_die(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		fprintf(stderr, "peek: %s: %s\n", path, strerror(errno));
		exit(EXIT_FAILURE);
	}
	return fd;
}

static int preads(
    const char *path, const char *reference, unsigned seed, long count)
{
	static uint8_t a[300000];
	static uint8_t b[300000];
	int fd = open_or_die(path);
	int ref = open_or_die(reference);
	struct stat st;

	if (fstat(fd, &st) != 0)
		return EXIT_FAILURE;
	printf("seed %u\n", seed);
	for (long i = 0; i < count; i++) {
		/* A little beyond the end, too. */
		off_t off = (off_t) ((uint64_t) rand_r(&seed) *
		    (uint64_t) rand_r(&seed) % ((uint64_t) st.st_size + 1000));
		size_t len = (size_t) rand_r(&seed) % sizeof(a);
		ssize_t n;
		ssize_t m;

		if (rand_r(&seed) % 2)
			len %= 5000;
		n = pread(fd, a, len, off);
		m = pread(ref, b, len, off);
		if (n < 0 || n != m || memcmp(a, b, (size_t) n) != 0) {
			fprintf(stderr, "peek: %s differs at %lld+%zu\n", path,
			    (long long) off, len);
			return EXIT_FAILURE;
		}
	}
	return EXIT_SUCCESS;
}

static const uint8_t *map(const char *path, size_t *ret_len)
{
	int fd = open_or_die(path);
	struct stat st;
	void *data;

	if (fstat(fd, &st) != 0)
		exit(EXIT_FAILURE);
	data = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED) {
		fprintf(stderr, "peek: mmap %s: %s\n", path, strerror(errno));
		exit(EXIT_FAILURE);
	}
	*ret_len = (size_t) st.st_size;
	return data;
}

static int mapped(const char *path, const char *reference)
{
	size_t len;
	size_t ref_len;
	const uint8_t *a = map(path, &len);
	const uint8_t *b = map(reference, &ref_len);

	if (len != ref_len)
		return EXIT_FAILURE;
	for (size_t i = len; i-- > 0;)
		if (a[i] != b[i]) {
			fprintf(stderr, "peek: %s differs at %zu\n", path, i);
			return EXIT_FAILURE;
		}
	return EXIT_SUCCESS;
}

static int bad_pages(const char *path, size_t page_size)
{
	uint8_t *page = malloc(page_size);
	int fd = open_or_die(path);
	ssize_t n = 1;

	for (off_t i = 0; page && n != 0; i++) {
		n = pread(fd, page, page_size, i * (off_t) page_size);
		if (n < 0 && errno != EIO) {
			perror("peek");
			return EXIT_FAILURE;
		}
		if (n < 0)
			printf("%lld\n", (long long) i + 1);
	}
	free(page);
	return EXIT_SUCCESS;
}

static void say(const char *word)
{
	puts(word);
	fflush(stdout);
}

static int error(void)
{
	say(strerrorname_np(errno));
	return EXIT_ERROR;
}

static bool hold(int fd)
{
	char byte;

	if (read(fd, &byte, 1) != 1)
		return false;
	say("held");
	while (read(0, &byte, 1) > 0)
		;
	return true;
}

/* All of `fd` against all of `ref`. */
static int compare(int fd, int ref)
{
	static uint8_t a[PIECE_BYTES] __attribute__((aligned(4096)));
	static uint8_t b[PIECE_BYTES];
	off_t off = 0;
	ssize_t n;

	do {
		n = pread(fd, a, sizeof(a), off);
		if (n < 0)
			return error();
		if (pread(ref, b, sizeof(b), off) != n ||
		    memcmp(a, b, (size_t) n) != 0) {
			fprintf(stderr, "peek: not the same behind %lld\n",
			    (long long) off);
			return EXIT_FAILURE;
		}
		off += n;
	} while (n > 0);
	return EXIT_SUCCESS;
}

static int late(const char *path, const char *reference)
{
	int fd = open_or_die(path);
	int ref = open_or_die(reference);

	char byte;

	if (!hold(fd))
		return EXIT_FAILURE;
	if (pread(fd, &byte, 1, 0) == 1)
		say("byte");
	else
		error();
	if (fcntl(fd, F_SETFL, O_DIRECT) != 0)
		return EXIT_FAILURE;
	return compare(fd, ref);
}

static int loop(const char *path, const char *reference)
{
	struct pollfd in = {.fd = 0, .events = POLLIN};
	int held = open_or_die(path);
	int ref = open_or_die(reference);
	int status;

	for (bool first = true;; first = false) {
		int fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);

		if (fd < 0)
			return error();
		status = compare(fd, ref);
		close(fd);
		if (status != EXIT_SUCCESS)
			return status;
		if (first)
			say("reading");
		if (poll(&in, 1, 0) != 0)
			break;
	}
	close(held);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";

	if (strcmp(verb, "pread") == 0 && argc == 6)
		return preads(argv[2], argv[3],
		    (unsigned) strtoul(argv[4], NULL, 10),
		    strtol(argv[5], NULL, 10));
	if (strcmp(verb, "mmap") == 0 && argc == 4)
		return mapped(argv[2], argv[3]);
	if (strcmp(verb, "bad") == 0 && argc == 4)
		return bad_pages(argv[2], strtoul(argv[3], NULL, 10));
	if (strcmp(verb, "hold") == 0 && argc == 3)
		return hold(open_or_die(argv[2])) ? EXIT_SUCCESS : EXIT_FAILURE;
	if (strcmp(verb, "late") == 0 && argc == 4)
		return late(argv[2], argv[3]);
	if (strcmp(verb, "loop") == 0 && argc == 4)
		return loop(argv[2], argv[3]);
	fprintf(stderr,
	    "usage: peek pread FILE REFERENCE SEED COUNT | "
	    "mmap|late|loop FILE REFERENCE | bad FILE PAGE_SIZE | "
	    "hold FILE\n");
	return 2;
}
