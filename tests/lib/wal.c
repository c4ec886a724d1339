/* SPDX-License-Identifier: MIT */
/*
 * wal: look at, and damage, a database's log, for tests.
 *
 *	wal info DB                 backfilled and last frame, page size
 *	wal page DB FRAME           the page in a frame
 *	wal has DB PAGE             0 when a frame of the log has this page
 *	wal superseded DB FRAME     0 when a later frame has the same page
 *	wal flip DB FRAME OFFSET    flip a bit OFFSET bytes into the frame (its
 *	                            header is the first 24); twice undoes it
 *
 * It parses the files by itself, on purpose: not with the code under test.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t be4(const uint8_t *p)
{
	return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 |
	    (uint32_t) p[2] << 8 | p[3];
}

static int open_or_die(const char *db, const char *suffix, int flags)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s%s", db, suffix);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "wal: %s: %s\n", path, strerror(errno));
		exit(EXIT_FAILURE);
	}
	return fd;
}

static void read_or_die(int fd, void *data, size_t len, off_t off)
{
	if (pread(fd, data, len, off) != (ssize_t) len) {
		fprintf(stderr, "wal: short file\n");
		exit(EXIT_FAILURE);
	}
}

static uint32_t shm_word(const char *db, off_t off)
{
	int fd = open_or_die(db, "-shm", O_RDONLY);
	uint32_t word;

	read_or_die(fd, &word, sizeof(word), off);
	close(fd);
	return word;
}

static uint32_t page_size(const char *db)
{
	uint8_t header[32];
	int fd = open_or_die(db, "-wal", O_RDONLY);

	read_or_die(fd, header, sizeof(header), 0);
	close(fd);
	return be4(header + 8);
}

static off_t frame_offset(const char *db, uint32_t frame)
{
	return 32 + (off_t) (frame - 1) * (24 + (off_t) page_size(db));
}

static uint32_t frame_page(const char *db, uint32_t frame)
{
	uint8_t header[4];
	int fd = open_or_die(db, "-wal", O_RDONLY);

	read_or_die(fd, header, sizeof(header), frame_offset(db, frame));
	close(fd);
	return be4(header);
}

static void flip(const char *db, uint32_t frame, off_t off)
{
	int fd = open_or_die(db, "-wal", O_RDWR);
	uint8_t byte;

	off += frame_offset(db, frame);
	read_or_die(fd, &byte, 1, off);
	byte ^= 0x10;
	if (pwrite(fd, &byte, 1, off) != 1)
		exit(EXIT_FAILURE);
	close(fd);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 2 ? argv[1] : "";
	const char *db = argc > 2 ? argv[2] : "";
	uint32_t frame = argc > 3 ? (uint32_t) strtoul(argv[3], NULL, 10) : 0;

	if (strcmp(verb, "info") == 0) {
		printf("backfilled=%u last=%u page_size=%u\n", shm_word(db, 96),
		    shm_word(db, 16), page_size(db));
	} else if (strcmp(verb, "page") == 0 && argc == 4) {
		printf("%u\n", frame_page(db, frame));
	} else if (strcmp(verb, "has") == 0 && argc == 4) {
		uint32_t last = shm_word(db, 16);

		/* What was the argument is a page here. */
		for (uint32_t f = 1; f <= last; f++)
			if (frame_page(db, f) == frame)
				return EXIT_SUCCESS;
		return EXIT_FAILURE;
	} else if (strcmp(verb, "superseded") == 0 && argc == 4) {
		uint32_t last = shm_word(db, 16);
		uint32_t page = frame_page(db, frame);

		while (++frame <= last)
			if (frame_page(db, frame) == page)
				return EXIT_SUCCESS;
		return EXIT_FAILURE;
	} else if (strcmp(verb, "flip") == 0 && argc == 5) {
		flip(db, frame, (off_t) strtoul(argv[4], NULL, 10));
	} else {
		fprintf(stderr,
		    "usage: wal info|page|has|superseded|flip DB "
		    "[FRAME [OFFSET]]\n");
		return 2;
	}
	return EXIT_SUCCESS;
}
