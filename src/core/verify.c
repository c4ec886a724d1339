/* SPDX-License-Identifier: MIT */
/*
 * verify: is a set whole, and is each byte of it what it was (still_set.h).
 *
 *	1. its list and its description are read, and compared with what is in
 *	   the directory (set.h)
 *	2. each listed file is read to its end, and its XXH128 compared
 *	3. the engine checks each described database of which nothing was found
 *	   (examine.h)
 *
 * In a directory of backups that holds a chain (set_chain.h) all its sets are looked at,
 * one after the other, and then whether each builds on the one before.
 *
 * A file of which something was found is not looked at further: one reason is
 * enough, and the first is the one that can be acted upon.
 */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/path.h"
#include "base/sys.h"
#include "core/set_chain.h"
#include "core/crew.h"
#include "core/examine.h"
#include "core/set.h"

#define PIECE_BYTES ((size_t) 1 << 20)

struct flaws {
	struct still_flaw *list;
	size_t n;
	size_t capacity;
	uint64_t total;
};

struct verifying {
	const struct still_verify_options *options;
	struct still_set set;
	struct still_ticker *ticker; /* borrowed */
	pthread_mutex_t lock;        /* of what follows */
	struct flaws flaws;
	struct flaws warnings;
	bool nomem; /* one could not be kept */
	uint64_t bytes;
	uint32_t n_sound;
};

/* ---- flaws --------------------------------------------------------------- */

/* False without memory. */
static bool add(
    struct flaws *flaws, const char *path, int code, const char *text)
{
	struct still_flaw *flaw;

	flaws->total++;
	if (flaws->n == STILL_FLAWS_MAX)
		return true;
	if (flaws->n == flaws->capacity) {
		size_t capacity = flaws->capacity ? 2 * flaws->capacity : 16;
		void *list = realloc(
		    flaws->list, capacity * sizeof(flaws->list[0]));

		if (!list)
			return false;
		flaws->list = list;
		flaws->capacity = capacity;
	}
	flaw = &flaws->list[flaws->n];
	flaw->code = code;
	flaw->path = path ? strdup(path) : NULL;
	flaw->text = strdup(text);
	if (!flaw->text || (path && !flaw->path)) {
		free(flaw->path);
		free(flaw->text);
		return false;
	}
	flaws->n++;
	return true;
}

static void note(struct verifying *verifying, struct flaws *flaws,
    const char *path, int code, const char *text)
{
	pthread_mutex_lock(&verifying->lock);
	if (!add(flaws, path, code, text))
		verifying->nomem = true;
	pthread_mutex_unlock(&verifying->lock);
}

static void on_flaw(void *arg, const char *path, const struct still_error *what)
{
	struct verifying *verifying = arg;

	note(verifying, &verifying->flaws, path, what->code,
	    still_error_msg(what));
}

static int compare_flaws(const void *a, const void *b)
{
	const struct still_flaw *one = a;
	const struct still_flaw *two = b;
	int order = strcmp(
	    one->path ? one->path : "", two->path ? two->path : "");

	return order ? order : strcmp(one->text, two->text);
}

static void sort(struct flaws *flaws)
{
	if (flaws->n > 1)
		qsort(flaws->list, flaws->n, sizeof(flaws->list[0]),
		    compare_flaws);
}

static void release(struct still_flaw *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(list[i].path);
		free(list[i].text);
	}
	free(list);
}

static int compare_path(const void *key, const void *flaw)
{
	const char *path = ((const struct still_flaw *) flaw)->path;

	return strcmp(key, path ? path : "");
}

/* Was something found of it? They are sorted, and nobody adds one. Where there
 * are more than are kept, it is not known. */
static bool is_flawed(const struct flaws *flaws, const char *path)
{
	return flaws->n > 0 &&
	    bsearch(path, flaws->list, flaws->n, sizeof(flaws->list[0]),
		compare_path);
}

/* A database that is a directory (set_compare.c): its files are all over the set,
 * and so is what was found of them. */
static bool is_flawed_database(const struct verifying *verifying,
    const struct still_set_database *database)
{
	const struct flaws *flaws = &verifying->flaws;

	if (!verifying->set.listed ||
	    still_set_find(&verifying->set, database->path))
		return is_flawed(flaws, database->path);
	for (size_t i = 0; i < flaws->n; i++) {
		const char *path = flaws->list[i].path;

		if (path && strcmp(path, STILL_SET_LIST) != 0 &&
		    strcmp(path, STILL_SET_DESCRIPTION) != 0)
			return true;
	}
	return false;
}

/* ---- content ------------------------------------------------------------- */

struct digesting {
	struct verifying *verifying;
	const struct still_set_file **files; /* owned; the largest first */
	size_t n;
};

/* All of it. 0, and the digest; 1: the task was stopped; or a failure. */
static int digest(struct verifying *verifying, const char *path, int fd,
    uint64_t size_bytes, struct still_hash128 *ret, struct still_error *err)
{
	size_t len = size_bytes < PIECE_BYTES ? (size_t) size_bytes + 1
					      : PIECE_BYTES;
	struct still_hash_state *state = still_hash_new();
	char *piece = malloc(len);
	uint64_t at = 0;
	ssize_t n = 0;

	if (state && piece) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
		do {
			n = still_sys_pread(fd, piece, len, at);
			if (n <= 0)
				break;
			still_hash_update(state, piece, (size_t) n);
			at += (uint64_t) n;
			still_ticker_count(verifying->ticker, 0, (uint64_t) n);
		} while (!still_ticker_stopped(verifying->ticker));
		*ret = still_hash_digest(state);
	}
	free(piece);
	if (!state || !piece) {
		still_hash_free(state);
		return still_error_nomem(err);
	}
	still_hash_free(state);
	pthread_mutex_lock(&verifying->lock);
	verifying->bytes += at;
	pthread_mutex_unlock(&verifying->lock);
	if (n < 0)
		return still_error_sys(err, (int) -n, NULL, "`%s`", path);
	return n > 0;
}

static int digest_file(void *arg, size_t i, struct still_error *err)
{
	struct digesting *digesting = arg;
	struct verifying *verifying = digesting->verifying;
	const struct still_set_file *file = digesting->files[i];
	struct still_error own = STILL_ERROR_INIT;
	struct still_hash128 sum;
	struct stat st;
	int fd = -1;
	int rc;

	still_ticker_file(verifying->ticker, file->path);
	rc = still_set_open_file(&verifying->set, file->path, &fd, &st, &own);
	if (rc == 0)
		rc = digest(verifying, file->path, fd, (uint64_t) st.st_size,
		    &sum, &own);
	if (fd >= 0)
		close(fd);
	if (rc == 0 && memcmp(&sum, &file->sum, sizeof(sum)) != 0)
		rc = still_error_set(&own, STILL_ERR_CORRUPT, 0, NULL,
		    "`%s`: its content is not what was backed up", file->path);
	if (rc < 0 && rc != STILL_ERR_NOMEM)
		on_flaw(verifying, file->path, &own);
	still_error_clear(&own);
	still_ticker_count(verifying->ticker, 1, 0);
	return rc == STILL_ERR_NOMEM ? still_error_nomem(err) : 0;
}

static uint64_t size_of(
    const struct verifying *verifying, const struct still_set_file *file)
{
	const struct still_set_database *database = still_set_database(
	    &verifying->set, file->path);

	return database ? database->size_bytes : 0;
}

static int compare_sizes(const void *a, const void *b, void *arg)
{
	uint64_t one = size_of(arg, *(const struct still_set_file *const *) a);
	uint64_t two = size_of(arg, *(const struct still_set_file *const *) b);

	return one < two ? 1 : one > two ? -1 : 0;
}

static int digest_all(
    struct verifying *verifying, uint64_t bytes, struct still_error *err)
{
	const struct still_set *set = &verifying->set;
	struct digesting digesting = {.verifying = verifying};
	int rc;

	digesting.files = calloc(set->n_files + 1, sizeof(*digesting.files));
	if (!digesting.files)
		return still_error_nomem(err);
	for (size_t i = 0; i < set->n_files; i++)
		if (!is_flawed(&verifying->flaws, set->files[i].path))
			digesting.files[digesting.n++] = &set->files[i];
	/* Who comes last with a large one makes the others wait. */
	qsort_r(digesting.files, digesting.n, sizeof(*digesting.files),
	    compare_sizes, verifying);
	still_ticker_phase(
	    verifying->ticker, STILL_PHASE_VERIFYING, digesting.n, bytes);
	rc = still_crew_run(verifying->ticker,
	    verifying->options->task.n_threads, digesting.n, digest_file,
	    &digesting, err);
	free(digesting.files);
	return rc;
}

/* ---- the engine's check -------------------------------------------------- */

static void on_verdict(
    void *arg, const char *path, enum still_verdict verdict, const char *text)
{
	struct verifying *verifying = arg;

	if (verdict == STILL_VERDICT_UNCHECKED)
		note(verifying, &verifying->warnings, path,
		    STILL_ERR_UNSUPPORTED, text);
	else if (verdict != STILL_VERDICT_SOUND)
		note(verifying, &verifying->flaws, path,
		    verdict == STILL_VERDICT_DAMAGED ? STILL_ERR_CORRUPT
						     : STILL_ERR_IO,
		    text);
	pthread_mutex_lock(&verifying->lock);
	verifying->n_sound += verdict == STILL_VERDICT_SOUND;
	pthread_mutex_unlock(&verifying->lock);
}

static void warn_unchecked(struct verifying *verifying, const char *why)
{
	struct still_error what = STILL_ERROR_INIT;

	still_error_set(&what, STILL_ERR_UNSUPPORTED, 0, NULL,
	    "no database was checked: %s", why);
	note(verifying, &verifying->warnings, NULL, what.code,
	    still_error_msg(&what));
	still_error_clear(&what);
}

/* The databases that are worth it; NULL without memory. */
static const char **choose(
    const struct verifying *verifying, size_t *ret_n, uint64_t *ret_bytes)
{
	const struct still_set *set = &verifying->set;
	const char **paths = calloc(set->n_databases + 1, sizeof(*paths));

	*ret_n = 0;
	*ret_bytes = 0;
	for (size_t i = 0; paths && i < set->n_databases; i++) {
		const struct still_set_database *database = &set->databases[i];

		if (!database->frozen || database->incremental ||
		    is_flawed_database(verifying, database))
			continue;
		paths[(*ret_n)++] = database->path;
		*ret_bytes += database->size_bytes;
	}
	return paths;
}

static int examine(struct verifying *verifying,
    const struct still_engine *engine, const char **ret_sandbox,
    struct still_error *err)
{
	uint64_t bytes;
	struct still_examination examination = {
	    .engine = engine,
	    .set = &verifying->set,
	    .ticker = verifying->ticker,
	    .n_threads = verifying->options->task.n_threads,
	    .tell = on_verdict,
	    .arg = verifying,
	};
	const char **paths = choose(verifying, &examination.n, &bytes);
	int rc;

	if (!paths)
		return still_error_nomem(err);
	examination.paths = paths;
	still_ticker_phase(
	    verifying->ticker, STILL_PHASE_CHECKING, examination.n, bytes);
	rc = still_examine(&examination, ret_sandbox, err);
	free(paths);
	return rc;
}

static int examine_all(struct verifying *verifying, const char **ret_sandbox,
    struct still_error *err)
{
	const struct still_set *set = &verifying->set;
	const struct still_engine *engine =
	    set->engine ? still_engine_named(set->engine) : NULL;
	struct still_error own = STILL_ERROR_INIT;
	int rc;

	if (verifying->options->quick || set->n_databases == 0)
		return 0;
	if (!engine || !engine->check_set) {
		warn_unchecked(verifying,
		    engine ? "its engine has no means to"
			   : "its engine is not known here");
		return 0;
	}
	sort(&verifying->flaws);
	rc = examine(verifying, engine, ret_sandbox, &own);
	if (rc == STILL_ERR_UNSUPPORTED) {
		warn_unchecked(verifying, still_error_msg(&own));
		rc = 0;
	} else if (rc < 0 && err) {
		still_error_copy(err, &own);
	}
	still_error_clear(&own);
	return rc;
}

/* ---- all of it ----------------------------------------------------------- */

static int copy(const char *text, char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return text && !*ret ? STILL_ERR_NOMEM : 0;
}

/* What the (last) set says of itself. */
static int describe(const struct still_set *set, struct still_verified *ret)
{
	int rc = 0;

	rc |= copy(set->session, &ret->session);
	rc |= copy(set->kind, &ret->kind);
	rc |= copy(set->engine, &ret->engine);
	rc |= copy(set->source, &ret->source);
	rc |= copy(set->base, &ret->base);
	ret->base_number = set->base_number;
	ret->frozen_at_ns = set->frozen_at_ns;
	ret->databases = (uint32_t) set->n_databases;
	return rc ? STILL_ERR_NOMEM : 0;
}

static int look(struct verifying *verifying, const char *path,
    struct still_verified *ret, struct still_error *err)
{
	uint64_t bytes = 0;
	int rc = still_set_open(path, on_flaw, verifying, &verifying->set, err);

	if (rc == 0)
		rc = still_set_compare(
		    &verifying->set, on_flaw, verifying, &bytes, err);
	if (rc < 0)
		return rc;
	sort(&verifying->flaws);
	rc = digest_all(verifying, bytes, err);
	if (rc == 0)
		rc = examine_all(verifying, &ret->sandbox, err);
	return rc;
}

/* ---- several sets -------------------------------------------------------- */

/* A path in one of several sets, seen from the directory that they are in. */
static int add_below(
    struct flaws *to, const char *set, const struct still_flaw *flaw)
{
	char *path = flaw->path ? still_path_join(set, flaw->path)
				: strdup(set);
	struct still_buf text = STILL_BUF_INIT;
	bool added = false;

	/* Texts begin with the object, if they have one. */
	if (flaw->text[0] == '`')
		still_buf_printf(&text, "`%s/%s", set, flaw->text + 1);
	else
		still_buf_printf(&text, "`%s`: %s", set, flaw->text);
	if (path && !text.failed)
		added = add(to, path, flaw->code, text.data);
	still_buf_release(&text);
	free(path);
	return added ? 0 : STILL_ERR_NOMEM;
}

/* Takes what was found; `name` is the set's, NULL where it is the only one. */
static int merge(struct flaws *to, struct flaws *from, const char *name)
{
	int rc = 0;

	if (!name) {
		*to = *from;
		*from = (struct flaws){0};
		return 0;
	}
	for (size_t i = 0; rc == 0 && i < from->n; i++)
		rc = add_below(to, name, &from->list[i]);
	to->total += from->total - from->n;
	release(from->list, from->n);
	*from = (struct flaws){0};
	return rc;
}

struct chained {
	const char *dir; /* of all; borrowed */
	struct flaws flaws;
	struct flaws warnings;
	struct still_set_chain sets; /* each released with this */
};

static int look_at(struct chained *chained, const char *path, bool alone,
    struct verifying *verifying, struct still_verified *ret,
    struct still_error *err)
{
	const char *name = alone ? NULL : path + strlen(chained->dir) + 1;
	int rc = look(verifying, path, ret, err);

	if (rc == 0 && verifying->nomem)
		rc = still_error_nomem(err);
	sort(&verifying->flaws);
	sort(&verifying->warnings);
	if ((merge(&chained->flaws, &verifying->flaws, name) < 0 ||
		merge(&chained->warnings, &verifying->warnings, name) < 0) &&
	    rc == 0)
		rc = still_error_nomem(err);
	ret->bytes += verifying->bytes;
	ret->databases_checked += verifying->n_sound;
	ret->files += verifying->set.n_files;
	return rc;
}

/* Is each what it says that it builds on? */
static int check_chain(struct chained *chained, struct still_error *err)
{
	struct still_error own = STILL_ERROR_INIT;
	int rc = 0;

	if (chained->sets.n > 1 &&
	    still_set_chain_check(&chained->sets, &own) < 0 &&
	    !add(&chained->flaws, NULL, STILL_ERR_CORRUPT,
		still_error_msg(&own)))
		rc = still_error_nomem(err);
	still_error_clear(&own);
	return rc;
}

static int look_at_all(struct chained *chained, char **paths, size_t n,
    const struct still_verify_options *options, struct still_ticker *ticker,
    struct still_verified *ret, struct still_error *err)
{
	int rc = 0;

	chained->sets.sets = calloc(n, sizeof(chained->sets.sets[0]));
	if (!chained->sets.sets)
		return still_error_nomem(err);
	while (rc == 0 && chained->sets.n < n) {
		struct verifying verifying = {
		    .options = options, .ticker = ticker, .set = {.dirfd = -1}};

		pthread_mutex_init(&verifying.lock, NULL);
		rc = look_at(chained, paths[chained->sets.n], n == 1,
		    &verifying, ret, err);
		pthread_mutex_destroy(&verifying.lock);
		chained->sets.sets[chained->sets.n++] = verifying.set;
	}
	if (rc == 0)
		rc = check_chain(chained, err);
	if (rc == 0 && describe(&chained->sets.sets[n - 1], ret) < 0)
		rc = still_error_nomem(err);
	ret->sets = (uint32_t) n;
	return rc == 0 &&
		copy(n == 1 ? chained->sets.sets[0].path : chained->dir,
		    &ret->path) < 0
	    ? still_error_nomem(err)
	    : rc;
}

static void hand_over(struct chained *chained, struct still_verified *ret)
{
	sort(&chained->flaws);
	sort(&chained->warnings);
	ret->flaws = chained->flaws.list;
	ret->n_flaws = chained->flaws.n;
	ret->flaws_total = chained->flaws.total;
	ret->warnings = chained->warnings.list;
	ret->n_warnings = chained->warnings.n;
}

int still_verify_set(const char *path,
    const struct still_verify_options *options, struct still_verified *ret,
    struct still_error *err)
{
	char *resolved = realpath(path, NULL);
	struct chained chained = {.dir = resolved ? resolved : path};
	struct still_ticker ticker;
	char **paths = NULL;
	size_t n = 0;
	int rc;

	memset(ret, 0, sizeof(*ret));
	still_ticker_begin(&ticker, &options->task);
	rc = still_set_chain_find(chained.dir, 0, &paths, &n, err);
	if (rc == 0)
		rc = look_at_all(
		    &chained, paths, n, options, &ticker, ret, err);
	still_ticker_end(&ticker);
	hand_over(&chained, ret);
	still_set_chain_release(&chained.sets);
	still_set_chain_free_paths(paths, n);
	free(resolved);
	return rc;
}

void still_verified_release(struct still_verified *verified)
{
	free(verified->path);
	free(verified->session);
	free(verified->kind);
	free(verified->engine);
	free(verified->source);
	free(verified->base);
	release(verified->flaws, verified->n_flaws);
	release(verified->warnings, verified->n_warnings);
	memset(verified, 0, sizeof(*verified));
}
