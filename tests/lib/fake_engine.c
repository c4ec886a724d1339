/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "tests/lib/fake_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/sys.h"

#define PATH_BYTES 40 /* of "data/sub/NUMBER.db" */

struct database {
	size_t number;
	uint64_t size_bytes;
	uint64_t seed;
};

struct instance {
	struct still_engine_instance base;
	char *source; /* owned */
	struct still_database_info infos[STILL_FAKE_DATABASES_MAX];
	char paths[STILL_FAKE_DATABASES_MAX][PATH_BYTES];
	size_t n_infos;
	/* Owned; NULL while not frozen. Freed by thaw, so that a sanitizer
	 * sees whoever reads an object later. */
	struct database *databases;
	struct still_spool spool;
	uint64_t spool_bytes; /* taken */
};

struct still_fake still_fake;

/* ---- gates --------------------------------------------------------------- */

static void gate_init(struct still_fake_gate *gate)
{
	pthread_mutex_init(&gate->lock, NULL);
	pthread_cond_init(&gate->changed, NULL);
	gate->closed = false;
	gate->n_waiting = 0;
}

static void gate_set(struct still_fake_gate *gate, bool closed)
{
	pthread_mutex_lock(&gate->lock);
	gate->closed = closed;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

void still_fake_gate_close(struct still_fake_gate *gate)
{
	gate_set(gate, true);
}

void still_fake_gate_open(struct still_fake_gate *gate)
{
	gate_set(gate, false);
}

void still_fake_gate_await(struct still_fake_gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	while (gate->n_waiting == 0)
		pthread_cond_wait(&gate->changed, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

static void gate_pass(struct still_fake_gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->n_waiting++;
	pthread_cond_broadcast(&gate->changed);
	while (gate->closed)
		pthread_cond_wait(&gate->changed, &gate->lock);
	gate->n_waiting--;
	pthread_mutex_unlock(&gate->lock);
}

/* As above; nobody signals a raised flag, so it is looked at now and then. */
static void gate_pass_or(
    struct still_fake_gate *gate, const atomic_bool *cancel)
{
	pthread_mutex_lock(&gate->lock);
	gate->n_waiting++;
	pthread_cond_broadcast(&gate->changed);
	while (gate->closed && !atomic_load(cancel)) {
		pthread_mutex_unlock(&gate->lock);
		still_sys_sleep_ns(1000000);
		pthread_mutex_lock(&gate->lock);
	}
	gate->n_waiting--;
	pthread_mutex_unlock(&gate->lock);
}

/* ---- what there is ------------------------------------------------------- */

void still_fake_reset(void)
{
	memset(&still_fake, 0, sizeof(still_fake));
	gate_init(&still_fake.freeze_gate);
	gate_init(&still_fake.read_gate);
	still_fake.n_databases = 3;
	still_fake.size_bytes[0] = 100000;
	still_fake.size_bytes[1] = 4096;
	still_fake.size_bytes[2] = 300001;
	still_fake.seed = 1;
	still_fake.page_bytes = 4096;
	still_fake.damaged_at_freeze = -1;
	still_fake.unfrozen = -1;
	still_fake.fault.number = -1;
	still_fake.verified = "nothing";
	/* Long ago, so that no session waits for its second to be over. */
	still_fake.cut_first_ns = INT64_C(1700000000) * STILL_NS_PER_S + 250;
	still_fake.cut_last_ns = INT64_C(1700000000) * STILL_NS_PER_S + 1000;
}

static void write_path(char *out, size_t len, size_t number)
{
	snprintf(out, len, "data/%s%03zu.db", number % 2 ? "sub/" : "", number);
}

const char *still_fake_path(size_t number)
{
	static char path[PATH_BYTES];

	write_path(path, sizeof(path), number);
	return path;
}

static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void still_fake_content(
    uint64_t seed, size_t number, uint64_t off_bytes, void *data, size_t len)
{
	uint64_t base = mix(seed * 1009 + number + 1);
	uint8_t *out = data;

	while (len > 0) {
		uint64_t word = mix(base + off_bytes / 8);
		size_t from = (size_t) (off_bytes % 8);
		size_t n = 8 - from < len ? 8 - from : len;

		memcpy(out, (uint8_t *) &word + from, n);
		out += n;
		off_bytes += n;
		len -= n;
	}
}

/* ---- the contract -------------------------------------------------------- */

static bool fake_match(const char *source)
{
	return strncmp(source, "fake:", 5) == 0;
}

static int fake_examine(const char *source,
    const struct still_attach_options *options, still_tell_fn *tell, void *arg,
    struct still_error *err)
{
	(void) source;
	(void) options;
	atomic_fetch_add(&still_fake.n_examine, 1);
	if (still_fake.examine_code)
		return still_error_set(
		    err, still_fake.examine_code, 0, NULL, "was told to fail");
	for (int i = 0; i < 4 && still_fake.obstacles[i].text; i++) {
		char object[16];
		char text[128];

		snprintf(object, sizeof(object), "part `%d`", i);
		snprintf(text, sizeof(text), "%s: %s", object,
		    still_fake.obstacles[i].text);
		tell(arg,
		    still_fake.obstacles[i].warning ? STILL_OBSTACLE_WARNING
						    : STILL_OBSTACLE_ERROR,
		    STILL_ERR_ACCESS, object, text, i ? "Mend it." : NULL);
	}
	return 0;
}

static void fake_look(struct instance *instance)
{
	instance->n_infos = still_fake.n_databases;
	for (size_t i = 0; i < instance->n_infos; i++) {
		write_path(instance->paths[i], sizeof(instance->paths[i]), i);
		instance->infos[i] = (struct still_database_info){
		    .path = instance->paths[i] + strlen("data/"),
		    .size_bytes = still_fake.size_bytes[i],
		    .log = "none",
		};
	}
}

static int fake_attach(const char *source,
    const struct still_attach_options *options,
    struct still_engine_instance **ret, struct still_error *err)
{
	struct instance *instance;

	(void) options;
	atomic_fetch_add(&still_fake.n_attach, 1);
	still_fake.options = *options;
	if (still_fake.attach_code)
		return still_error_set(err, still_fake.attach_code, 0, NULL,
		    "source `%s`: was told to fail", source);
	if (strcmp(source, "fake:missing") == 0)
		return still_error_set(err, STILL_ERR_NOTFOUND, 0, NULL,
		    "source `%s`: does not exist", source);
	instance = calloc(1, sizeof(*instance));
	if (instance)
		instance->source = strdup(source);
	if (!instance || !instance->source) {
		free(instance);
		return still_error_nomem(err);
	}
	instance->base.engine = &still_engine_fake;
	fake_look(instance);
	*ret = &instance->base;
	return 0;
}

static void fake_describe(
    struct still_engine_instance *base, struct still_description *ret)
{
	struct instance *instance = (struct instance *) base;

	*ret = (struct still_description){
	    .source = instance->source,
	    .engine_version = "1.0",
	    .dir_mode = 0750,
	    .uid = 4711,
	    .gid = 4712,
	    .databases = instance->infos,
	    .n_databases = instance->n_infos,
	};
}

/* Into `out`, if it is not the test's own. */
static const char *identify(
    const struct database *database, char out[STILL_IDENTITY_MAX_BYTES])
{
	size_t i = database->number;

	if (still_fake.no_identity[i] || (int) i == still_fake.unfrozen ||
	    (int) i == still_fake.damaged_at_freeze)
		return NULL;
	if (still_fake.identity[i])
		return still_fake.identity[i];
	snprintf(out, STILL_IDENTITY_MAX_BYTES, "f%llu-%zu-%llu",
	    (unsigned long long) database->seed, i,
	    (unsigned long long) database->size_bytes);
	return out;
}

static int hand_over(struct database *database, struct still_builder *builder,
    struct still_error *err)
{
	char identity[STILL_IDENTITY_MAX_BYTES];
	char path[PATH_BYTES];
	struct still_file_spec spec = {
	    .path = path,
	    .size_bytes = database->size_bytes,
	    .mode = 0666,
	    .uid = 4713,
	    .gid = 4714,
	    .identity = identify(database, identity),
	    .page_bytes = still_fake.page_bytes,
	    .object = database,
	};
	int rc;

	write_path(path, sizeof(path), database->number);
	rc = still_builder_file(builder, &spec, err);
	if (rc == 0)
		rc = still_builder_database(builder,
		    json_pack("{s:s, s:I, s:b, s:{s:s, s:I}}", "path", path,
			"size_bytes", (json_int_t) database->size_bytes,
			"frozen", (int) database->number != still_fake.unfrozen,
			"log", "mode", "none", "end",
			(json_int_t) database->number),
		    err);
	if (rc == 0 && (int) database->number == still_fake.damaged_at_freeze) {
		struct still_error damage = STILL_ERROR_INIT;

		still_error_set(&damage, STILL_ERR_CORRUPT, 0,
		    "It was told to be damaged.", "page 1 of `%s`: is damaged",
		    path);
		rc = still_builder_damage(builder, path, &damage, err);
		still_error_clear(&damage);
	}
	if (rc == 0 && (int) database->number == still_fake.unfrozen) {
		struct still_error why = STILL_ERROR_INIT;

		still_error_set(&why, STILL_ERR_AGAIN, 0, "Tell it otherwise.",
		    "`%s`: was told not to freeze", path);
		rc = still_builder_unfrozen(builder, path, &why, err);
		still_error_clear(&why);
	}
	return rc;
}

#define CLOSING_LINE "%08x %016llx %s\n"

static int hand_over_shape(struct instance *instance,
    struct still_builder *builder, struct still_error *err)
{
	struct still_file_spec spec = {
	    .path = "data/closing", .mode = 0640, .uid = 4713, .gid = 4714};
	int rc;

	for (size_t i = 0; i < instance->n_infos; i++)
		spec.size_bytes += 8 + 1 + 16 + 1 + strlen(still_fake_path(i)) +
		    1;
	/* The core's own. */
	spec.size_bytes += 8 + 1 + 16 + 1 + strlen("backup.json") + 1;
	rc = still_builder_closing(builder, &spec, err);
	if (rc == 0)
		rc = still_builder_dir(
		    builder, "data/empty", 0700, 4715, 4716, err);
	if (rc == 0)
		rc = still_builder_link(
		    builder, "data/link", "sub", 4715, 4716, err);
	return rc;
}

static int fake_close(struct still_engine_instance *base, void *object,
    const struct still_closed_file *files, size_t n, char *data,
    struct still_error *err)
{
	char *at = data;

	(void) base;
	(void) object;
	atomic_fetch_add(&still_fake.n_close, 1);
	if (still_fake.close_code)
		return still_error_set(err, still_fake.close_code, 0, NULL,
		    "`data/closing`: was told to fail");
	/* It has room for the NUL of the last line. */
	for (size_t i = 0; i < n; i++)
		at += sprintf(at, CLOSING_LINE, (unsigned) files[i].crc32c,
		    (unsigned long long) files[i].size_bytes, files[i].path);
	return 0;
}

/* ---- what later sessions build on ----------------------------------------- */

static int note(struct instance *instance, struct still_builder *builder,
    struct still_error *err)
{
	json_t *all = json_array();

	for (size_t i = 0; i < instance->n_infos; i++) {
		const struct database *database = &instance->databases[i];

		json_array_append_new(all,
		    json_pack("{s:I, s:I}", "seed", (json_int_t) database->seed,
			"size", (json_int_t) database->size_bytes));
	}
	return still_builder_note(builder, all, err);
}

/* Database `number` as it was in the base. False when it was not there. */
static bool was_there(
    const struct still_base *base, size_t number, struct database *ret)
{
	const json_t *old = base ? json_array_get(base->note, number) : NULL;

	if (!old)
		return false;
	*ret = (struct database){
	    .number = number,
	    .seed = (uint64_t) json_integer_value(json_object_get(old, "seed")),
	    .size_bytes = (uint64_t) json_integer_value(
		json_object_get(old, "size")),
	};
	return true;
}

static uint64_t sum_of_page(
    const struct database *database, uint64_t page, uint32_t page_bytes)
{
	uint64_t off = page * page_bytes;
	uint8_t data[65536];
	size_t len = page_bytes;

	assert(page_bytes <= sizeof(data));
	if (len > database->size_bytes - off)
		len = (size_t) (database->size_bytes - off);
	still_fake_content(database->seed, database->number, off, data, len);
	return still_hash64(data, len);
}

static uint64_t pages_of(const struct database *database, uint32_t page_bytes)
{
	return database->size_bytes / page_bytes +
	    (database->size_bytes % page_bytes != 0);
}

static bool are_right(
    const struct database *old, const struct still_page_sums *sums)
{
	if (sums->page_bytes != still_fake.page_bytes ||
	    sums->n != pages_of(old, sums->page_bytes))
		return false;
	for (uint64_t i = 0; i < sums->n; i++)
		if (sums->sums[i] != sum_of_page(old, i, sums->page_bytes))
			return false;
	return true;
}

static void look_at_base(const struct still_base *base)
{
	struct database old;

	still_fake.base[0] = '\0';
	if (!base || still_fake.heedless)
		return;
	snprintf(still_fake.base, sizeof(still_fake.base), "%s", base->session);
	for (size_t i = 0; was_there(base, i, &old); i++) {
		struct still_page_sums sums;
		int rc = base->page_sums(
		    base->arg, still_fake_path(i), &sums, NULL);

		if (rc == STILL_ERR_NOTFOUND)
			still_fake.n_sums_missing++;
		else if (rc == 0 && are_right(&old, &sums))
			still_fake.n_sums_right++;
		else
			still_fake.n_sums_wrong++;
	}
}

static int sum_up(const struct database *database, const char *path,
    struct still_builder *builder, struct still_error *err)
{
	uint32_t page_bytes = still_fake.page_bytes;
	uint64_t *sums;
	uint64_t n;
	int rc;

	if (page_bytes == 0)
		return 0;
	n = pages_of(database, page_bytes);
	rc = still_builder_page_sums(builder, path, page_bytes, n, &sums, err);
	for (uint64_t i = 0; rc == 0 && i < n; i++)
		sums[i] = sum_of_page(database, i, page_bytes);
	return rc;
}

/* All of it, in a log, if it is another one. */
static int add_increment(struct database *database, const struct database *old,
    struct still_builder *builder, struct still_error *err)
{
	bool changed = database->seed != old->seed ||
	    database->size_bytes != old->size_bytes;
	char path[PATH_BYTES];
	char log[PATH_BYTES + 8];
	struct still_file_spec spec = {
	    .path = log,
	    .size_bytes = database->size_bytes,
	    .mode = 0640,
	    .uid = 4713,
	    .gid = 4714,
	    .object = database,
	};
	json_t *description;
	int rc = 0;

	write_path(path, sizeof(path), database->number);
	snprintf(log, sizeof(log), "logs/%s", path + strlen("data/"));
	if (changed)
		rc = still_builder_file(builder, &spec, err);
	if (rc < 0)
		return rc;
	description = json_pack("{s:s, s:I, s:b, s:s?, s:{s:s, s:I}}", "path",
	    path, "size_bytes", (json_int_t) database->size_bytes, "frozen", 1,
	    "increment", changed ? log : NULL, "log", "mode", "none", "end",
	    (json_int_t) database->number);
	rc = still_builder_database(builder, description, err);
	return rc < 0 ? rc : sum_up(database, path, builder, err);
}

static int tell_dropped(const struct instance *instance,
    const struct still_base *base, struct still_builder *builder,
    struct still_error *err)
{
	struct database old;
	int rc = 0;

	for (size_t i = instance->n_infos; rc == 0 && was_there(base, i, &old);
	     i++)
		rc = still_builder_dropped(builder, still_fake_path(i), err);
	return rc;
}

static int hand_over_all(struct instance *instance,
    const struct still_freeze_request *request, struct still_builder *builder,
    struct still_error *err)
{
	struct database old;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < instance->n_infos; i++) {
		struct database *database = &instance->databases[i];

		database->number = i;
		database->size_bytes = still_fake.size_bytes[i];
		database->seed = still_fake.seed + still_fake.own_seed[i];
		if (request->incremental && was_there(request->base, i, &old)) {
			rc = add_increment(database, &old, builder, err);
			continue;
		}
		if (i == 1)
			rc = still_builder_dir(
			    builder, "data/sub", 0777, 4715, 4716, err);
		if (rc == 0)
			rc = hand_over(database, builder, err);
	}
	if (rc == 0)
		rc = note(instance, builder, err);
	if (rc == 0 && request->incremental)
		rc = tell_dropped(instance, request->base, builder, err);
	if (rc == 0 && still_fake.shaped)
		rc = hand_over_shape(instance, builder, err);
	if (rc == 0 && still_fake.extra_path) {
		struct still_file_spec spec = {.path = still_fake.extra_path};

		rc = still_builder_file(builder, &spec, err);
	}
	still_builder_cut(builder,
	    &(struct still_cut){
		.words = "fake",
		.first_ns = still_fake.cut_first_ns,
		.last_ns = still_fake.cut_last_ns,
		.held_ns = still_fake.cut_held_ns,
		.pinned = !still_fake.unpinned,
		.way = still_fake.way,
		.why = still_fake.why,
	    });
	still_builder_verified(builder, still_fake.verified);
	return rc;
}

static void let_go(struct instance *instance)
{
	if (instance->spool_bytes)
		instance->spool.give(
		    instance->spool.arg, instance->spool_bytes);
	instance->spool_bytes = 0;
	free(instance->databases);
	instance->databases = NULL;
}

static int fake_freeze(struct still_engine_instance *base,
    const struct still_freeze_request *request, struct still_builder *builder,
    struct still_error *err)
{
	struct instance *instance = (struct instance *) base;
	int rc = 0;

	assert(!instance->databases);
	atomic_fetch_add(&still_fake.n_freeze, 1);
	if (still_fake.capture_bytes && request->observer.progress)
		request->observer.progress(request->observer.arg,
		    still_fake.captured_bytes, still_fake.capture_bytes);
	gate_pass_or(&still_fake.freeze_gate, request->cancel);
	if (atomic_load(request->cancel))
		return still_error_set(err, STILL_ERR_CANCELLED, 0, NULL,
		    "source `%s`: the freeze was stopped", instance->source);
	if (still_fake.freeze_code)
		return still_error_set(err, still_fake.freeze_code, 0,
		    "Tell it otherwise.", "source `%s`: was told to fail",
		    instance->source);
	look_at_base(request->base);
	still_fake.incremental = request->incremental;
	if (still_fake.freeze_ns)
		still_sys_sleep_ns(still_fake.freeze_ns);
	if (still_fake.warning)
		request->observer.warn(request->observer.arg, "fake-warning",
		    still_fake.warning_object ? still_fake.warning_object
					      : instance->source,
		    still_fake.warning);
	fake_look(instance);
	instance->databases = calloc(
	    instance->n_infos + 1, sizeof(*instance->databases));
	if (!instance->databases)
		return still_error_nomem(err);
	instance->spool = request->spool;
	if (still_fake.spool_bytes)
		rc = request->spool.take(request->spool.arg, "a fake copy",
		    still_fake.spool_bytes, err);
	if (rc == 0)
		instance->spool_bytes = still_fake.spool_bytes;
	if (rc == 0)
		rc = hand_over_all(instance, request, builder, err);
	if (rc < 0)
		let_go(instance);
	return rc;
}

static int fake_read(struct still_engine_instance *base, void *object,
    uint64_t off_bytes, void *data, size_t len, struct still_error *err)
{
	const struct still_fake_fault *fault = &still_fake.fault;
	const struct database *database = object;

	assert(((struct instance *) base)->databases);
	assert(off_bytes < database->size_bytes &&
	    len <= database->size_bytes - off_bytes);
	(void) base;
	atomic_fetch_add(&still_fake.n_read, 1);
	gate_pass(&still_fake.read_gate);
	if (atomic_load(&still_fake.lost))
		return still_error_set(err, STILL_ERR_LOST, 0, NULL,
		    "database %zu: its fake moment was lost", database->number);
	if ((int) database->number == still_fake.unfrozen)
		return still_error_set(err, STILL_ERR_IO, 0, NULL,
		    "database %zu: is not frozen", database->number);
	if (fault->number == (int) database->number &&
	    off_bytes < fault->to_bytes && off_bytes + len > fault->from_bytes)
		return still_error_set(err, fault->code, fault->sys_errno,
		    "Tell it otherwise.", "database %d: byte %llu is bad",
		    fault->number, (unsigned long long) fault->from_bytes);
	still_fake_content(
	    database->seed, database->number, off_bytes, data, len);
	return 0;
}

static int fake_keep(struct still_engine_instance *base,
    struct still_held *ret_held, struct still_error *err)
{
	(void) base;
	atomic_fetch_add(&still_fake.n_keep, 1);
	if (atomic_load(&still_fake.lost))
		return still_error_set(err, STILL_ERR_LOST, 0,
		    "Begin another session.", "the fake moment was lost");
	*ret_held = still_fake.held;
	return 0;
}

static void fake_thaw(struct still_engine_instance *base)
{
	atomic_fetch_add(&still_fake.n_thaw, 1);
	let_go((struct instance *) base);
}

static void fake_detach(struct still_engine_instance *base)
{
	struct instance *instance = (struct instance *) base;

	atomic_fetch_add(&still_fake.n_detach, 1);
	let_go(instance);
	free(instance->source);
	free(instance);
}

/* ---- a link of a chain --------------------------------------------------- */

static int broken(const struct still_apply_request *request, const char *path,
    int sys_errno, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_CORRUPT, sys_errno, NULL,
	    "`%s/%s`: cannot be applied", request->set, path);
}

static int copy_over(const struct still_apply_request *request,
    const char *from, const char *to, struct still_error *err)
{
	int in = openat(request->set_fd, from, O_RDONLY | O_CLOEXEC);
	int out = openat(request->root_fd, to, O_WRONLY | O_TRUNC | O_CLOEXEC);
	char data[65536];
	ssize_t n = in < 0 || out < 0 ? -1 : 1;
	int rc = 0;

	while (n > 0) {
		n = read(in, data, sizeof(data));
		if (n > 0 && write(out, data, (size_t) n) != n)
			n = -1;
	}
	if (n < 0)
		rc = broken(request, from, errno, err);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return rc;
}

static int apply_one(const struct still_apply_request *request,
    const json_t *database, struct still_error *err)
{
	const char *log = json_string_value(
	    json_object_get(database, "increment"));
	char *path = NULL;
	int rc = 0;

	if (still_json_get_name(database, "path", &path) < 0)
		return still_error_nomem(err);
	if (log && path)
		rc = copy_over(request, log, path, err);
	free(path);
	return rc;
}

static int fake_apply(
    const struct still_apply_request *request, struct still_error *err)
{
	const json_t *element;
	size_t i;
	int rc = 0;

	json_array_foreach(
	    json_object_get(request->description, "databases"), i, element)
	{
		if (rc == 0)
			rc = apply_one(request, element, err);
	}
	json_array_foreach(
	    json_object_get(request->description, "dropped"), i, element)
	{
		const char *path = json_string_value(
		    json_object_get(element, "path"));

		if (rc == 0 &&
		    (!path || unlinkat(request->root_fd, path, 0) != 0))
			rc = broken(request, path ? path : "", errno, err);
	}
	return rc;
}

static int fake_truncate(struct still_engine_instance *base,
    const struct still_base *to, bool dry_run, struct still_truncated *ret,
    struct still_error *err)
{
	struct instance *instance = (struct instance *) base;

	atomic_fetch_add(&still_fake.n_truncate, 1);
	assert(dry_run || !instance->databases);
	still_fake.dry_run = dry_run;
	snprintf(still_fake.base, sizeof(still_fake.base), "%s", to->session);
	if (still_fake.truncate_code)
		return still_error_set(err, still_fake.truncate_code, 0,
		    "Tell it otherwise.", "source `%s`: was told to fail",
		    instance->source);
	snprintf(ret->range, sizeof(ret->range), "0 - %llu",
	    (unsigned long long) to->number);
	ret->bytes = 100 * to->number;
	return 0;
}

const struct still_engine still_engine_fake = {
    .name = "fake",
    .match = fake_match,
    .attach = fake_attach,
    .describe = fake_describe,
    .freeze = fake_freeze,
    .read = fake_read,
    .keep = fake_keep,
    .thaw = fake_thaw,
    .detach = fake_detach,
    .close = fake_close,
    .examine = fake_examine,
    .apply = fake_apply,
    .truncate = fake_truncate,
};

static int plain_attach(const char *source,
    const struct still_attach_options *options,
    struct still_engine_instance **ret, struct still_error *err)
{
	int rc = fake_attach(source, options, ret, err);

	if (rc == 0)
		(*ret)->engine = &still_engine_fake_plain;
	return rc;
}

const struct still_engine still_engine_fake_plain = {
    .name = "plain",
    .match = fake_match,
    .attach = plain_attach,
    .describe = fake_describe,
    .freeze = fake_freeze,
    .read = fake_read,
    .keep = fake_keep,
    .thaw = fake_thaw,
    .detach = fake_detach,
};
