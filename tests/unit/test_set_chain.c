/* SPDX-License-Identifier: MIT */
/* Chains of sets: each way in which a link can be wrong, by its message; and a
 * directory of backups, with each of its steps failing, and with its process
 * killed at each of them. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/path.h"
#include "base/rmtree.h"
#include "base/sys.h"
#include "core/set_chain.h"
#include "core/dest_parts.h"
#include "tests/unit/scratch.h"

#define N_MAX 6
#define ID(n) "20261121T01020" #n "Z-0123abcd"

static const char *const ids[] = {
    ID(0), ID(1), ID(2), ID(3), ID(4), ID(5), ID(6), ID(7), ID(8)};

struct fixture {
	char *dir; /* holds the sets */
	struct still_error err;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->dir = scratch_make();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_sys_fault = NULL;
	still_error_clear(&f->err);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

/* ---- sets ---------------------------------------------------------------- */

/* What a test sets that is not as it should be. */
struct odd {
	const char *base; /* session */
	const char *chain;
	const char *engine;
	unsigned link;
	bool sum;
};

static void sum_of(
    struct fixture *f, const char *name, char hex[STILL_HASH128_HEX_CHARS + 1])
{
	char text[256] = {0};
	char path[128];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "%s/verify/XXH128SUMS", name);
	file = fopen(scratch_path(f->dir, path), "r");
	assert_non_null(file);
	n = fread(text, 1, sizeof(text), file);
	fclose(file);
	still_hash128_hex(still_hash128(text, n), hex);
}

static void write_set(
    struct fixture *f, const char *name, unsigned id, const char *keys)
{
	char path[160];
	char text[1024];
	char list[128];

	snprintf(text, sizeof(text),
	    "{\"format\": 1, \"session\": \"%s\", %s, \"source\": \"/src\", "
	    "\"frozen_at\": \"2026-11-21T02:13:14.262220310Z\", "
	    "\"checksums\": \"verify/XXH128SUMS\", \"data_files\": 1, "
	    "\"data_bytes\": 1, \"databases\": []}",
	    ids[id], keys);
	/* Each list is another one. */
	snprintf(list, sizeof(list),
	    "0011223344556677889900aabbccdd%02x  backup.json\n"
	    "00112233445566778899aabbccddeeff  x\n",
	    id);
	assert_int_equal(mkdir(scratch_path(f->dir, name), 0700), 0);
	snprintf(path, sizeof(path), "%s/verify", name);
	assert_int_equal(mkdir(scratch_path(f->dir, path), 0700), 0);
	snprintf(path, sizeof(path), "%s/verify/XXH128SUMS", name);
	assert_int_equal(
	    scratch_write(scratch_path(f->dir, path), list, strlen(list)), 0);
	snprintf(path, sizeof(path), "%s/backup.json", name);
	assert_int_equal(
	    scratch_write(scratch_path(f->dir, path), text, strlen(text)), 0);
}

static void put_full(struct fixture *f, const char *name, unsigned id)
{
	char keys[256];

	snprintf(keys, sizeof(keys),
	    "\"number\": %u, \"kind\": \"full\", \"base\": null, "
	    "\"chain\": {\"full\": \"%s\", \"link\": 0}, "
	    "\"engine\": \"fake\"",
	    id + 1, ids[id]);
	write_set(f, name, id, keys);
}

/* Session `id`, number id + 1, on the set `base`, which is session `on`. */
static void put_link(struct fixture *f, const char *name, unsigned id,
    const char *base, unsigned on, unsigned full, unsigned link,
    const struct odd *odd)
{
	static const struct odd none;
	char hex[STILL_HASH128_HEX_CHARS + 1];
	char keys[512];

	odd = odd ? odd : &none;
	sum_of(f, base, hex);
	if (odd->sum)
		hex[0] = hex[0] == '0' ? '1' : '0';
	snprintf(keys, sizeof(keys),
	    "\"number\": %u, \"kind\": \"incremental\", \"base\": "
	    "{\"session\": \"%s\", \"number\": %u, \"xxh128\": \"%s\"}, "
	    "\"chain\": {\"full\": \"%s\", \"link\": %u}, "
	    "\"dropped\": [], \"engine\": \"%s\"",
	    id + 1, odd->base ? odd->base : ids[on], on + 1, hex,
	    odd->chain ? odd->chain : ids[full], odd->link ? odd->link : link,
	    odd->engine ? odd->engine : "fake");
	write_set(f, name, id, keys);
}

static void ignore(
    void *arg, size_t index, const char *path, const struct still_error *what)
{
	(void) arg;
	(void) index;
	(void) path;
	(void) what;
}

/* The sets called so, with spaces between. */
static int check(struct fixture *f, const char *names)
{
	struct still_set_chain chain;
	char *paths[N_MAX];
	char *copy = strdup(names);
	char *rest = copy;
	size_t n = 0;
	int rc;

	for (char *name; (name = strsep(&rest, " "));)
		paths[n++] = strdup(scratch_path(f->dir, name));
	still_error_clear(&f->err);
	rc = still_set_chain_open(
	    (const char *const *) paths, n, ignore, NULL, &chain, &f->err);
	assert_int_equal(rc, 0);
	rc = still_set_chain_check(&chain, &f->err);
	still_set_chain_release(&chain);
	while (n > 0)
		free(paths[--n]);
	free(copy);
	return rc;
}

/* `text` has "@" for the fixture's directory. */
static void says(
    struct fixture *f, const char *names, int code, const char *text)
{
	struct still_buf buf = STILL_BUF_INIT;

	assert_int_equal(check(f, names), code);
	for (; *text; text++) {
		if (*text == '@')
			still_buf_str(&buf, f->dir);
		else
			still_buf_add(&buf, text, 1);
	}
	assert_string_equal(still_error_msg(&f->err), buf.data);
	still_buf_release(&buf);
}

/* ---- in order, or not ---------------------------------------------------- */

/* full a, links b and c; another chain: A, B. */
static void two_chains(struct fixture *f)
{
	put_full(f, "a", 0);
	put_link(f, "b", 1, "a", 0, 0, 1, NULL);
	put_link(f, "c", 2, "b", 1, 0, 2, NULL);
	put_full(f, "A", 4);
	put_link(f, "B", 5, "A", 4, 4, 1, NULL);
	put_link(f, "C", 6, "B", 5, 4, 2, NULL);
}

static void right_ones(void **state)
{
	struct fixture *f = *state;

	two_chains(f);
	assert_int_equal(check(f, "a"), 0);
	assert_int_equal(check(f, "a b"), 0);
	assert_int_equal(check(f, "a b c"), 0);
	assert_int_equal(check(f, "A B C"), 0);
}

static void missing_ones(void **state)
{
	struct fixture *f = *state;

	two_chains(f);
	says(f, "b", STILL_ERR_BASE,
	    "`@/b`: builds on session " ID(0) ", number 1, the full set of "
					      "its chain, which is missing");
	says(f, "a c", STILL_ERR_BASE,
	    "`@/c`: builds on session " ID(1) ", number 2, a link of its "
					      "chain, which is missing");
	says(f, "c", STILL_ERR_BASE,
	    "`@/c`: builds on session " ID(1) ", number 2, a link of its "
					      "chain, which is missing");
}

static void repeated_ones(void **state)
{
	struct fixture *f = *state;

	two_chains(f);
	says(f, "a b b", STILL_ERR_INVALID,
	    "`@/b`: is named twice: `@/b` is session " ID(1) ", too");
	says(f, "a a", STILL_ERR_INVALID,
	    "`@/a`: is named twice: `@/a` is session " ID(0) ", too");
	says(f, "a b c b", STILL_ERR_INVALID,
	    "`@/b`: is named twice: `@/b` is session " ID(1) ", too");
}

static void swapped_ones(void **state)
{
	struct fixture *f = *state;

	two_chains(f);
	says(f, "a c b", STILL_ERR_INVALID,
	    "`@/c`: stands before `@/b`, on which it builds");
	says(f, "b a", STILL_ERR_INVALID,
	    "`@/b`: stands before `@/a`, on which it builds");
	says(f, "a A", STILL_ERR_INVALID,
	    "`@/A`: is a full set, and builds on nothing: it can only be the "
	    "first");
}

static void foreign_ones(void **state)
{
	struct fixture *f = *state;

	two_chains(f);
	says(f, "a B", STILL_ERR_BASE,
	    "`@/B`: is of another chain: that of the full set of session " ID(
		4) ", and `@/a` is session " ID(0));
	says(f, "a b C", STILL_ERR_BASE,
	    "`@/C`: is of another chain: that of the full set of session " ID(
		4) ", and `@/a` is session " ID(0));
	/* Two on one base: the first was never committed. */
	put_link(f, "x", 3, "a", 0, 0, 1, NULL);
	says(f, "a b x", STILL_ERR_BASE,
	    "`@/x`: builds on `@/a`, and so does `@/b`");
}

static void others_of_that_name(void **state)
{
	struct fixture *f = *state;
	char hex[STILL_HASH128_HEX_CHARS + 1];
	char text[512];

	put_full(f, "a", 0);
	put_link(f, "b", 1, "a", 0, 0, 1, &(struct odd){.sum = true});
	sum_of(f, "a", hex);
	snprintf(text, sizeof(text),
	    "`@/a`: is not what `@/b` builds on: the XXH128 of its "
	    "`verify/XXH128SUMS` is %s, and was %c%s",
	    hex, hex[0] == '0' ? '1' : '0', hex + 1);
	says(f, "a b", STILL_ERR_BASE, text);
	put_link(f, "c", 2, "a", 0, 0, 1, &(struct odd){.engine = "other"});
	says(f, "a c", STILL_ERR_CORRUPT,
	    "`@/c`: its `backup.json` does not agree with that of `@/a`, on "
	    "which it builds");
	put_link(f, "d", 3, "a", 0, 0, 1, &(struct odd){.link = 2});
	says(f, "a d", STILL_ERR_CORRUPT,
	    "`@/d`: its `backup.json` does not agree with that of `@/a`, on "
	    "which it builds");
}

/* ---- a directory of backups ---------------------------------------------- */

static void put_dest(struct fixture *f)
{
	assert_int_equal(mkdir(scratch_path(f->dir, "incremental"), 0700), 0);
	put_full(f, "full", 0);
	put_link(f, "incremental/000002", 1, "full", 0, 0, 1, NULL);
	put_link(
	    f, "incremental/000003", 2, "incremental/000002", 1, 0, 2, NULL);
	put_link(
	    f, "incremental/000004", 3, "incremental/000003", 2, 0, 3, NULL);
}

/* How many sets are one chain there; whatever is there is one. */
static size_t length(struct fixture *f)
{
	struct still_set_chain chain;
	char **paths = NULL;
	size_t n = 0;
	int rc = still_set_chain_find(f->dir, 0, &paths, &n, &f->err);

	/* Those that were put aside are told, and not forgotten. */
	if (rc == STILL_ERR_BUSY) {
		still_error_clear(&f->err);
		still_set_chain_free_paths(paths, n);
		return 0;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(still_set_chain_open((const char *const *) paths, n,
			     ignore, NULL, &chain, &f->err),
	    0);
	if (still_set_chain_check(&chain, &f->err) != 0)
		fail_msg("%s", still_error_msg(&f->err));
	still_set_chain_release(&chain);
	still_set_chain_free_paths(paths, n);
	return n;
}

static bool is_there(struct fixture *f, const char *name)
{
	return access(scratch_path(f->dir, name), F_OK) == 0;
}

static bool is_full(struct fixture *f, unsigned id)
{
	struct still_set set;
	int dirfd = open(f->dir, O_RDONLY | O_DIRECTORY);
	bool same;

	assert_int_equal(still_set_identify(dirfd, "full", &set, NULL), 0);
	same = strcmp(set.session, ids[id]) == 0;
	still_set_release(&set);
	close(dirfd);
	return same;
}

static unsigned n_leftovers(struct fixture *f)
{
	DIR *dir = opendir(f->dir);
	struct dirent *entry;
	unsigned n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += entry->d_name[0] == '.' && strlen(entry->d_name) > 2;
	closedir(dir);
	return n;
}

static void finds_links(void **state)
{
	struct fixture *f = *state;
	char **paths;
	size_t n;

	put_dest(f);
	assert_int_equal(length(f), 4);
	assert_int_equal(still_set_chain_find(f->dir, 3, &paths, &n, NULL), 0);
	assert_int_equal(n, 3);
	assert_true(still_path_ends(paths[2], "/incremental/000003"));
	still_set_chain_free_paths(paths, n);
	assert_int_equal(still_set_chain_find(f->dir, 9, &paths, &n, NULL),
	    STILL_ERR_NOTFOUND);
	still_set_chain_free_paths(paths, n);
	assert_int_equal(mkdir(scratch_path(f->dir, "incremental/5"), 0700), 0);
	assert_int_equal(still_set_chain_find(f->dir, 0, &paths, &n, NULL),
	    STILL_ERR_INVALID);
	still_set_chain_free_paths(paths, n);
	assert_int_equal(still_set_chain_number("000042"), 42);
	assert_int_equal(still_set_chain_number("1234567"), 1234567);
	assert_int_equal(still_set_chain_number("0000042"), 0);
	assert_int_equal(still_set_chain_number("000000"), 0);
	assert_int_equal(still_set_chain_number("00004x"), 0);
}

static void refuses_what_is_foreign(void **state)
{
	struct fixture *f = *state;
	struct still_dest dest;

	put_dest(f);
	assert_int_equal(
	    mkdir(scratch_path(f->dir, "incremental/mine"), 0700), 0);
	assert_int_equal(still_dest_open(f->dir, "/src", false, &dest, &f->err),
	    STILL_ERR_INVALID);
	still_dest_close(&dest);
	assert_int_equal(rmdir(scratch_path(f->dir, "incremental/mine")), 0);
	assert_int_equal(
	    still_dest_open(f->dir, "/other", false, &dest, &f->err),
	    STILL_ERR_INVALID);
	still_dest_close(&dest);
	assert_int_equal(length(f), 4);
}

/* A new set is made in the directory: full, or a link of session 4, number 5. */
enum what {
	A_FULL_ONE,
	A_LINK,    /* behind the last */
	A_LATE_ONE /* behind 000002: what is newer was never committed */
};

static void write_new(struct fixture *f, enum what what)
{
	char name[STILL_DEST_NAME_BYTES];

	snprintf(name, sizeof(name), ".new-%s", ids[4]);
	assert_int_equal(rmdir(scratch_path(f->dir, name)), 0);
	if (what == A_FULL_ONE)
		put_full(f, name, 4);
	else if (what == A_LINK)
		put_link(f, name, 4, "incremental/000004", 3, 0, 4, NULL);
	else
		put_link(f, name, 4, "incremental/000002", 1, 0, 2, NULL);
}

/* Returns what still_dest_place() did. */
static int backup(struct fixture *f, enum what what, still_sys_fault_fn *fault)
{
	struct still_dest dest;
	int fd = -1;
	int rc;

	assert_int_equal(
	    still_dest_open(f->dir, "/src", false, &dest, &f->err), 0);
	assert_int_equal(still_dest_make(&dest, ids[4], &fd, &f->err), 0);
	close(fd);
	write_new(f, what);
	if (what != A_FULL_ONE)
		still_dest_is_link(&dest, 5, what == A_LINK ? 4 : 2);
	still_sys_fault = fault;
	rc = still_dest_place(&dest, &f->err);
	if (rc == 0)
		rc = still_dest_clear(&dest, &f->err);
	still_sys_fault = NULL;
	if (rc < 0)
		still_dest_clear(&dest, NULL);
	still_dest_close(&dest);
	return rc;
}

static const size_t lengths[] = {
    [A_FULL_ONE] = 1, [A_LINK] = 5, [A_LATE_ONE] = 3};

static void is_new(struct fixture *f, enum what what)
{
	assert_int_equal(length(f), lengths[what]);
	assert_int_equal(n_leftovers(f), 0);
	assert_true(is_full(f, what == A_FULL_ONE ? 4 : 0));
	assert_int_equal(is_there(f, "incremental/000005"), what != A_FULL_ONE);
}

static void is_old(struct fixture *f)
{
	assert_int_equal(length(f), 4);
	assert_int_equal(n_leftovers(f), 0);
	assert_true(is_full(f, 0));
}

static void takes_its_place(void **state)
{
	for (enum what what = A_FULL_ONE; what <= A_LATE_ONE; what++) {
		struct fixture *f;

		teardown(state);
		setup(state);
		f = *state;
		put_dest(f);
		assert_int_equal(backup(f, what, NULL), 0);
		is_new(f, what);
	}
}

static unsigned countdown;
static bool deadly;

/* What changes a directory, or makes that durable. */
static int at_step(enum still_sys_call call)
{
	if (call != STILL_SYS_RENAME && call != STILL_SYS_MKDIR &&
	    call != STILL_SYS_FSYNC)
		return 0;
	if (countdown == 0 || --countdown > 0)
		return 0;
	if (deadly)
		_exit(9);
	return EIO;
}

static void fails_at_each_step(void **state)
{
	deadly = false;
	for (enum what what = A_FULL_ONE; what <= A_LATE_ONE; what++)
		for (unsigned n = 1;; n++) {
			struct fixture *f;
			int rc;

			teardown(state);
			setup(state);
			f = *state;
			put_dest(f);
			countdown = n;
			rc = backup(f, what, at_step);
			if (countdown > 0) {
				assert_int_equal(rc, 0);
				assert_true(n > 2);
				break;
			}
			if (rc == 0 || is_there(f, "incremental/000005") ||
			    is_full(f, 4)) {
				/* It was placed, and could not be tidied. */
				assert_true(length(f) == 0 ||
				    length(f) == lengths[what]);
				continue;
			}
			is_old(f);
		}
}

/* Killed at the n-th step: what has a name is a chain, and the next one finds all
 * of the old one, or the new one. */
static void killed_at_each_step(void **state)
{
	unsigned killed = 0;

	deadly = true;
	for (enum what what = A_FULL_ONE; what <= A_LATE_ONE; what++)
		for (unsigned n = 1;; n++) {
			struct still_dest dest;
			struct fixture *f;
			int status;
			pid_t pid;

			teardown(state);
			setup(state);
			f = *state;
			put_dest(f);
			pid = fork();
			if (pid == 0) {
				countdown = n;
				backup(f, what, at_step);
				_exit(0);
			}
			assert_int_equal(waitpid(pid, &status, 0), pid);
			if (WEXITSTATUS(status) == 0)
				break;
			assert_int_equal(WEXITSTATUS(status), 9);
			killed++;
			length(f);
			assert_int_equal(still_dest_open(f->dir, "/src", false,
					     &dest, &f->err),
			    0);
			still_dest_close(&dest);
			if (is_full(f, 4) || is_there(f, "incremental/000005"))
				is_new(f, what);
			else
				is_old(f);
		}
	assert_true(killed > 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(right_ones, setup, teardown),
	    cmocka_unit_test_setup_teardown(missing_ones, setup, teardown),
	    cmocka_unit_test_setup_teardown(repeated_ones, setup, teardown),
	    cmocka_unit_test_setup_teardown(swapped_ones, setup, teardown),
	    cmocka_unit_test_setup_teardown(foreign_ones, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		others_of_that_name, setup, teardown),
	    cmocka_unit_test_setup_teardown(finds_links, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		refuses_what_is_foreign, setup, teardown),
	    cmocka_unit_test_setup_teardown(takes_its_place, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		fails_at_each_step, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		killed_at_each_step, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
