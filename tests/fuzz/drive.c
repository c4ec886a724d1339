/* SPDX-License-Identifier: MIT */
/*
 * drive: what calls a fuzz target where libFuzzer does not (`make fuzz`): the
 * seeds as they are, and then changed in some way, so often.
 *
 *	NAME [-runs=N] [-seed=N] FILE...
 *
 * Run number i is made of the number seed + i alone, so that -runs=1 with the
 * number that is named repeats what failed. One that takes 20 s hangs.
 */
#include "config.h"

#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LEN_MAX 8192
#define SEEDS_MAX 64
#define CHANGES_MAX 6
#define LIMIT_S 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct bytes {
	uint8_t *data; /* owned */
	size_t len;
};

static struct bytes seeds[SEEDS_MAX];
static size_t n_seeds;
static char now[64]; /* what is run, for who looks at a failure */

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static size_t below(uint64_t *state, size_t n)
{
	return n ? (size_t) (draw(state) % n) : 0;
}

/* ---- changes ------------------------------------------------------------- */

static void insert(
    struct bytes *it, size_t at, const uint8_t *what, size_t len, size_t max)
{
	if (len > max - it->len)
		len = max - it->len;
	memmove(it->data + at + len, it->data + at, it->len - at);
	memcpy(it->data + at, what, len);
	it->len += len;
}

static void erase(struct bytes *it, size_t at, size_t len)
{
	memmove(it->data + at, it->data + at + len, it->len - at - len);
	it->len -= len;
}

/* A piece of this one or of another seed, in any place. */
static void splice(struct bytes *it, size_t max, uint64_t *state)
{
	const struct bytes *from = &seeds[below(state, n_seeds)];
	uint8_t piece[256];
	size_t at = below(state, from->len + 1);
	size_t len = below(state, sizeof(piece));

	if (len > from->len - at)
		len = from->len - at;
	memcpy(piece, from->data + at, len);
	insert(it, below(state, it->len + 1), piece, len, max);
}

static void put_word(struct bytes *it, size_t max, uint64_t *state)
{
	static const char *const words[] = {"0", "9", "ffffffff", "/", "..",
	    "\n", "\"", "\\u0000", "-1", "18446744073709551616", "{", "[", ",",
	    " ", "\xff", "00000000", "\\", "}"};
	const char *word =
	    words[below(state, sizeof(words) / sizeof(words[0]))];

	insert(it, below(state, it->len + 1), (const uint8_t *) word,
	    strlen(word), max);
}

static void change(struct bytes *it, size_t max, uint64_t *state)
{
	size_t at = below(state, it->len);
	unsigned kind = (unsigned) below(state, 7);

	if (it->len == 0)
		kind = 5;
	switch (kind) {
	case 0:
		it->data[at] ^= (uint8_t) (1 << below(state, 8));
		break;
	case 1:
		it->data[at] = (uint8_t) draw(state);
		break;
	case 2:
		erase(it, at, 1 + below(state, it->len - at));
		break;
	case 3:
		it->len = at;
		break;
	case 4:
		memset(it->data + at, below(state, 2) ? 0xff : 0,
		    1 + below(state, it->len - at < 8 ? it->len - at : 8));
		break;
	case 5:
		put_word(it, max, state);
		break;
	default:
		splice(it, max, state);
		break;
	}
}

/* ---- runs ---------------------------------------------------------------- */

/* In a buffer that ends where it ends. */
static void run(const struct bytes *it)
{
	uint8_t *own = malloc(it->len + (it->len == 0));

	if (!own)
		abort();
	memcpy(own, it->data, it->len);
	alarm(LIMIT_S);
	LLVMFuzzerTestOneInput(own, it->len);
	alarm(0);
	free(own);
}

static void run_changed(uint64_t number)
{
	uint64_t state = number;
	const struct bytes *seed = &seeds[below(&state, n_seeds)];
	size_t max = seed->len + LEN_MAX;
	struct bytes it = {malloc(max), seed->len};

	if (!it.data)
		abort();
	snprintf(now, sizeof(now), "-runs=1 -seed=%" PRIu64 "\n", number);
	memcpy(it.data, seed->data, seed->len);
	for (size_t n = 1 + below(&state, CHANGES_MAX); n > 0; n--)
		change(&it, max, &state);
	run(&it);
	free(it.data);
}

static void say_and_die(int sig)
{
	(void) !write(STDERR_FILENO, now, strlen(now));
	signal(sig, SIG_DFL);
	raise(sig);
}

static void load(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct bytes *seed = &seeds[n_seeds++];
	long size;

	if (!file || fseek(file, 0, SEEK_END) != 0 ||
	    (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	seed->len = (size_t) size;
	seed->data = malloc(seed->len + 1);
	if (!seed->data || fread(seed->data, 1, seed->len, file) != seed->len) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	fclose(file);
}

/* For a target that needs no file. */
static void make_seed(uint64_t state)
{
	struct bytes *seed = &seeds[n_seeds++];

	seed->len = 512;
	seed->data = malloc(seed->len);
	if (!seed->data)
		abort();
	for (size_t i = 0; i < seed->len; i++)
		seed->data[i] = (uint8_t) draw(&state);
}

int main(int argc, char **argv)
{
	uint64_t n = 10000;
	uint64_t first = (uint64_t) time(NULL) << 20;

	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "-runs=", 6) == 0)
			n = strtoull(argv[i] + 6, NULL, 10);
		else if (strncmp(argv[i], "-seed=", 6) == 0)
			first = strtoull(argv[i] + 6, NULL, 10);
		else if (n_seeds < SEEDS_MAX)
			load(argv[i]);
	printf("%" PRIu64 " runs, -seed=%" PRIu64 "\n", n, first);
	fflush(stdout);
	signal(SIGABRT, say_and_die);
	signal(SIGALRM, say_and_die);
	/* The sanitizer says more. */
#ifndef __SANITIZE_ADDRESS__
	signal(SIGSEGV, say_and_die);
#endif
	snprintf(now, sizeof(now), "one of the seeds\n");
	for (size_t i = 0; i < n_seeds; i++)
		run(&seeds[i]);
	if (n_seeds == 0)
		for (uint64_t i = 0; i < 16; i++)
			make_seed(i);
	for (uint64_t i = 0; i < n; i++)
		run_changed(first + i);
	for (size_t i = 0; i < n_seeds; i++)
		free(seeds[i].data);
	return EXIT_SUCCESS;
}
