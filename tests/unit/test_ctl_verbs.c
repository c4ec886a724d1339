/* SPDX-License-Identifier: MIT */
/*
 * The verbs of stillctl, without a mount: a daemon that is a function, and a
 * catalog that is one.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/sys.h"
#include "core/catalog.h"
#include "core/instance.h"
#include "ctl/channel.h"
#include "ctl/job.h"
#include "ctl/record.h"
#include "ctl/verb.h"
#include "tests/lib/fake_engine.h"
#include "tests/unit/scratch.h"

struct fixture {
	char *dir;
	char *state_dir;
	char *source;
	struct still_catalog *catalog;
	struct ctl_channel channel;
	char *out; /* what was printed last */
	char *err;
};

/* ---- what is printed ----------------------------------------------------- */

static char *read_all(int fd)
{
	struct still_buf buf = STILL_BUF_INIT;
	char data[4096];
	ssize_t n;

	lseek(fd, 0, SEEK_SET);
	while ((n = read(fd, data, sizeof(data))) > 0)
		still_buf_add(&buf, data, (size_t) n);
	close(fd);
	return still_buf_take(&buf, NULL);
}

static int capture(struct fixture *f, const char *name, int stream)
{
	int fd = open(
	    scratch_path(f->dir, name), O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	dup2(fd, stream);
	return fd;
}

/* Run a function with stdout and stderr caught. */
#define CAUGHT(f, what)                               \
	do {                                          \
		int saved_out = dup(1);               \
		int saved_err = dup(2);               \
		int out_fd = capture(f, "stdout", 1); \
		int err_fd = capture(f, "stderr", 2); \
                                                      \
		what;                                 \
		fflush(stdout);                       \
		dup2(saved_out, 1);                   \
		dup2(saved_err, 2);                   \
		close(saved_out);                     \
		close(saved_err);                     \
		free((f)->out);                       \
		free((f)->err);                       \
		(f)->out = read_all(out_fd);          \
		(f)->err = read_all(err_fd);          \
	} while (0)

#define WORDS(...)                            \
	(const char *const[])                 \
	{                                     \
		"stillctl", __VA_ARGS__, NULL \
	}

static void run(struct fixture *f, const char *const *argv, int status)
{
	int got = -1;

	fflush(stdout);
	CAUGHT(f, got = ctl_main(argv));
	if (got != status)
		fail_msg("exit %d, not %d\n%s%s", got, status, f->out, f->err);
}

static void assert_says(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* ---- sessions ------------------------------------------------------------ */

#define PLACE "/mnt/place"

/* Read everything, the seal last. */
static void serve_all(struct still_session *session)
{
	const struct still_entry *entries;
	char data[65536];
	uint32_t n;

	entries = still_session_entries(session, &n);
	for (int seal = 0; seal < 2; seal++) {
		if (seal)
			assert_int_equal(still_session_seal(session, NULL), 0);
		for (uint32_t i = 0; i < n; i++) {
			uint64_t off = 0;
			ssize_t got = 1;

			if (entries[i].kind != STILL_FILE ||
			    entries[i].seal != (seal == 1))
				continue;
			while (got > 0) {
				got = still_session_read(
				    session, i, off, data, sizeof(data), NULL);
				off += got > 0 ? (uint64_t) got : 0;
			}
			assert_int_equal(got, 0);
		}
	}
}

static void serve_a_byte(struct still_session *session)
{
	const struct still_entry *entries;
	uint32_t n;
	char c;

	entries = still_session_entries(session, &n);
	for (uint32_t i = 0; i < n; i++)
		if (entries[i].kind == STILL_FILE && entries[i].size_bytes > 1)
			if (still_session_read(session, i, 0, &c, 1, NULL) == 1)
				return;
	fail_msg("nothing to read");
}

/* Its process died: a record, and nobody who has the instance. */
static void crash(struct fixture *f, char *id, size_t size)
{
	struct still_lock lock = STILL_LOCK_INIT;
	struct still_catalog_begin begin = {
	    .id = id,
	    .kind = STILL_FULL,
	    .place = PLACE,
	    .begun_at_ns = still_sys_now_ns(),
	};
	uint64_t number;

	snprintf(id, size, "20260101T000000Z-crash");
	assert_int_equal(still_catalog_lock(f->catalog, "fake", "fake:one", id,
			     PLACE, &lock, NULL),
	    0);
	assert_int_equal(
	    still_catalog_begin(f->catalog, &lock, &begin, &number, NULL), 0);
	still_catalog_unlock(&lock);
}

static void end_as(struct still_session *session, enum still_outcome outcome)
{
	if (outcome == STILL_COPIED)
		serve_all(session);
	if (outcome == STILL_ABORTED_PARTIAL)
		serve_a_byte(session);
	if (outcome == STILL_COMMITTED)
		assert_int_equal(
		    still_session_commit(session, NULL, NULL, NULL), 0);
	still_session_end(session,
	    outcome == STILL_ABORTED_CALLER ? STILL_END_ABORT : STILL_END_DONE);
}

/* A session that ended so; `id` has its name then. */
static void make_session(
    struct fixture *f, enum still_outcome outcome, char id[40])
{
	struct still_options options = {
	    .freeze_ms = 1000,
	    .stall_ms = 500,
	    .barrier_max = 100,
	    .catalog = f->catalog,
	};
	struct still_events *events = still_events_new(NULL, NULL);
	struct still_error err = STILL_ERROR_INIT;
	struct still_session_status status;
	struct still_instance *instance;
	struct still_session *session;

	if (outcome == STILL_ABORTED_CRASH) {
		still_events_free(events);
		crash(f, id, 40);
		return;
	}
	still_fake_reset();
	if (outcome == STILL_ABORTED_CORRUPT)
		still_fake.damaged_at_freeze = 0;
	if (still_instance_attach_engine(&still_engine_fake, "fake:one",
		&options, &instance, &err) != 0 ||
	    still_instance_set_place(instance, PLACE, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	session = still_session_new(instance, events);
	if (still_session_begin(session, STILL_FULL, 1000000000, &err) != 0)
		fail_msg("%s", still_error_msg(&err));
	end_as(session, outcome);
	still_session_status(session, &status);
	assert_int_equal(status.outcome, outcome);
	snprintf(id, 40, "%s", status.id);
	still_session_status_clear(&status);
	still_session_free(session);
	still_instance_detach(instance);
	still_events_free(events);
}

static void list_for_people(void **state)
{
	struct fixture *f = *state;
	char line[128];
	char id[2][40];

	run(f, WORDS("list", "--state", f->state_dir, PLACE), 1);
	assert_says(f->err, "no session of it is known");
	make_session(f, STILL_ABORTED_PARTIAL, id[0]);
	make_session(f, STILL_COPIED, id[1]);
	run(f, WORDS("list", "--state", f->state_dir, PLACE), 0);
	assert_string_equal(f->err, "");
	assert_says(
	    f->out, "NUMBER  SESSION                    KIND  CHAIN  BEGUN");
	snprintf(line, sizeof(line), "\n     2  %s  full  2+0    20", id[1]);
	assert_says(f->out, line);
	snprintf(
	    line, sizeof(line), "  COPIED\n     1  %s  full  1+0    20", id[0]);
	assert_says(f->out, line);
	assert_says(f->out, "ABORTED(partial: 0 of 5 files)\n");
	run(f, WORDS("list", "--state", f->state_dir, "-g", PLACE), 0);
	assert_null(strstr(f->out, "partial"));
	run(f, WORDS("list", "--state", f->state_dir, "-n1", PLACE), 0);
	assert_null(strstr(f->out, id[0]));
	assert_says(f->out, id[1]);
	run(f, WORDS("list", "--state", f->state_dir, "-q", PLACE), 0);
	assert_string_equal(f->out, "");
}

static const char *text_at(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "(none)";
}

static void list_for_programs(void **state)
{
	struct fixture *f = *state;
	json_t *array;
	json_t *first;
	char id[2][40];

	make_session(f, STILL_ABORTED_CORRUPT, id[0]);
	make_session(f, STILL_COPIED, id[1]);
	run(f, WORDS("list", "--json", "--all", "--state", f->state_dir), 0);
	array = json_loads(f->out, 0, NULL);
	assert_int_equal(json_array_size(array), 2);
	first = json_array_get(array, 0);
	assert_string_equal(text_at(first, "id"), id[1]);
	assert_int_equal(
	    json_integer_value(json_object_get(first, "number")), 2);
	assert_string_equal(text_at(first, "kind"), "full");
	assert_string_equal(text_at(first, "source"), "fake:one");
	assert_string_equal(text_at(first, "engine"), "fake");
	assert_string_equal(text_at(first, "place"), PLACE);
	assert_string_equal(text_at(first, "state"), "ended");
	assert_string_equal(text_at(first, "outcome"), "COPIED");
	assert_true(json_is_null(json_object_get(first, "committed_at")));
	assert_true(json_is_string(json_object_get(first, "begun_at")));
	assert_true(json_integer_value(json_object_get(first, "bytes")) > 0);
	assert_int_equal(json_integer_value(json_object_get(first, "bytes")),
	    json_integer_value(json_object_get(first, "bytes_served")));
	first = json_array_get(array, 1);
	assert_string_equal(text_at(first, "outcome"), "ABORTED(corrupt)");
	assert_says(text_at(first, "error"), "is damaged");
	assert_string_equal(
	    text_at(first, "hint"), "It was told to be damaged.");
	json_decref(array);
	run(f, WORDS("list", "--all", "x"), 2);
	assert_says(f->err, "`--all`: does not go with a target");
}

static void no_catalog(void **state)
{
	struct fixture *f = *state;
	char *none = strdup(scratch_path(f->dir, "none"));

	run(f, WORDS("list", "--state", none, PLACE), 1);
	assert_says(f->err, none);
	run(f, WORDS("status", "--state", none, PLACE), 1);
	run(f, WORDS("commit", "--json", "--state", none, PLACE), 1);
	assert_says(f->out,
	    "{\"error\":{\"code\":\"not-found\",\"errno\":\"ENOENT\",\"message\":");
	/* And none was made. */
	assert_int_equal(access(none, F_OK), -1);
	free(none);
}

static void status_of_the_past(void **state)
{
	struct fixture *f = *state;
	char line[128];
	char id[2][40];

	make_session(f, STILL_COMMITTED, id[0]);
	run(f, WORDS("status", "--state", f->state_dir, PLACE), 0);
	assert_says(f->out, "state:     not mounted\nsource:    fake:one\n");
	snprintf(line, sizeof(line), "session:   %s, number 1, full,", id[0]);
	assert_says(f->out, line);
	snprintf(line, sizeof(line), "last good: %s", id[0]);
	assert_says(f->out, line);
	assert_says(f->out, "error:     none\n");
	make_session(f, STILL_ABORTED_CORRUPT, id[1]);
	run(f, WORDS("status", "--state", f->state_dir, PLACE), 3);
	assert_says(f->out, line);
	snprintf(line, sizeof(line), "committed: %s", id[0]);
	assert_says(f->out, line);
	snprintf(line, sizeof(line), "session:   %s, number 2, full,", id[1]);
	assert_says(f->out, line);
	assert_says(
	    f->out, "is damaged\nhint:      It was told to be damaged.\n");
	run(f, WORDS("status", "-q", "--state", f->state_dir, PLACE), 3);
	assert_string_equal(f->out, "");
}

static void status_in_json(void **state)
{
	struct fixture *f = *state;
	char id[2][40];
	json_t *root;

	make_session(f, STILL_COMMITTED, id[0]);
	make_session(f, STILL_ABORTED_CORRUPT, id[1]);
	run(f, WORDS("status", "--json", "--state", f->state_dir, PLACE), 3);
	root = json_loads(f->out, 0, NULL);
	assert_string_equal(text_at(root, "state"), "not mounted");
	assert_string_equal(text_at(root, "mountpoint"), PLACE);
	assert_string_equal(text_at(root, "source"), "fake:one");
	assert_string_equal(
	    text_at(json_object_get(root, "session"), "id"), id[1]);
	assert_int_equal(json_array_size(json_object_get(root, "problems")), 1);
	assert_string_equal(
	    text_at(json_object_get(root, "last_committed"), "id"), id[0]);
	json_decref(root);
}

/* An indexer came by, or somebody gave up: nothing to worry about. */
static void what_is_wrong(void **state)
{
	static const struct {
		enum still_outcome outcome;
		int status;
	} table[] = {
	    {STILL_ABORTED_UNREAD, 0},
	    {STILL_ABORTED_PARTIAL, 3},
	    {STILL_ABORTED_CALLER, 0},
	    {STILL_ABORTED_CRASH, 3},
	    {STILL_COPIED, 0},
	};
	struct fixture *f = *state;
	char id[40];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		make_session(f, table[i].outcome, id);
		run(f, WORDS("status", "--state", f->state_dir, PLACE),
		    table[i].status);
		assert_says(f->out, id);
	}
}

static void commit_of_the_past(void **state)
{
	struct fixture *f = *state;
	char line[160];
	char id[40];

	run(f, WORDS("commit", "--state", f->state_dir, PLACE), 1);
	assert_says(f->err, "there is no session to commit");
	make_session(f, STILL_COPIED, id);
	run(f, WORDS("commit", "--state", f->state_dir, PLACE), 0);
	snprintf(line, sizeof(line), "%s COMMITTED\n", id);
	assert_string_equal(f->out, line);
	/* Once more changes nothing. */
	run(f, WORDS("commit", "--json", "--state", f->state_dir, PLACE), 0);
	snprintf(line, sizeof(line),
	    "{\"event\":\"done\",\"session\":\"%s\","
	    "\"outcome\":\"COMMITTED\"}\n",
	    id);
	assert_string_equal(f->out, line);
	make_session(f, STILL_ABORTED_PARTIAL, id);
	run(f, WORDS("commit", "--state", f->state_dir, PLACE), 1);
	run(f, WORDS("list", "--state", f->state_dir, PLACE), 0);
	assert_says(f->out, "ABORTED(partial");
}

static void needs_a_mount(void **state)
{
	static const char *const verbs[] = {"begin", "abort", "umount"};
	struct fixture *f = *state;

	for (size_t i = 0; i < 3; i++) {
		run(f, WORDS(verbs[i], f->source), 1);
		assert_says(f->err, "no mount of stillfs");
		assert_string_equal(f->out, "");
	}
}

/* ---- the command line ---------------------------------------------------- */

static void usage(void **state)
{
	struct fixture *f = *state;

	run(f, (const char *const[]){"stillctl", NULL}, 2);
	assert_says(f->err, "stillctl: no verb given\nThe verbs are: check, ");
	run(f, WORDS("mend"), 2);
	assert_says(f->err, "stillctl: unknown verb `mend`\n");
	run(f, WORDS("restore", "SET"), 2);
	assert_says(f->err,
	    "stillctl: an argument is missing: stillctl restore SET [INCREMENTAL...] DEST\n");
	run(f, WORDS("--json=x"), 2);
	assert_says(f->err, "stillctl: unknown option `--json`\n");
	run(f, WORDS("status", "--nonsense", "--json"), 2);
	assert_says(f->out,
	    "{\"error\":{\"code\":\"invalid\",\"errno\":\"EINVAL\",\"message\":\"unknown option "
	    "`--nonsense`\",\"hint\":");
	assert_says(f->err, "stillctl: unknown option `--nonsense`\n");
	run(f, WORDS("completion"), 2);
	run(f, WORDS("completion", "fish"), 2);
	run(f, WORDS("completion", "bash"), 0);
	run(f, WORDS("--help"), 0);
	run(f, WORDS("-h"), 0);
	run(f, WORDS("--version"), 0);
	assert_string_equal(f->out, "stillctl " PACKAGE_VERSION "\n");
	run(f, WORDS("begin", "--help"), 0);
	assert_says(f->out, "usage: stillctl begin [options] [TARGET]\n");
}

/* ---- jobs ---------------------------------------------------------------- */

/* The daemon: what it answers. */
static struct {
	int sys_errno;  /* with which every request fails */
	int n_requests; /* queries included */
	int n_running;  /* queries that find the job running */
	int fail_at;    /* the request that fails with ENOTCONN; 0: none */
	int start_code; /* with which the job is refused */
	int code;       /* its result */
	bool forget;    /* another job has come */
	bool raise;     /* an interrupt comes */
	uint32_t flags; /* as asked for */
	unsigned long request;
	enum still_state state;
	enum still_outcome outcome;
} fake;

static int fake_ioctl(int fd, unsigned long request, struct still_control *io)
{
	assert_true(fd >= 0);
	assert_int_equal(io->version, STILL_CONTROL_VERSION);
	if (++fake.n_requests == fake.fail_at)
		return -ENOTCONN;
	if (fake.sys_errno)
		return -fake.sys_errno;
	snprintf(io->session, sizeof(io->session), "20260109T000000Z-9");
	snprintf(io->outcome_text, sizeof(io->outcome_text), "AN OUTCOME");
	io->state = (int32_t) fake.state;
	io->outcome = (int32_t) fake.outcome;
	io->bytes = 4096;
	io->bytes_verified = (uint64_t) fake.n_requests * 100;
	io->capture_bytes = 1000;
	io->captured_bytes = (uint64_t) fake.n_requests * 10;
	if (request != STILL_CONTROL_QUERY) {
		fake.request = request;
		fake.flags = io->flags;
		io->code = fake.start_code;
		io->job = 77;
		io->job_state = STILL_JOB_RUNNING;
	} else {
		assert_int_equal(io->job, 77);
		assert_int_equal(io->flags, 0);
		if (fake.raise)
			raise(SIGINT);
		if (fake.n_running-- > 0) {
			io->job_state = STILL_JOB_RUNNING;
		} else {
			io->job_state = fake.forget ? STILL_JOB_NONE
						    : STILL_JOB_DONE;
			io->code = fake.code;
		}
	}
	if (io->code) {
		/* Without an end: it may be anybody who answers. */
		memset(io->message, 'm', sizeof(io->message));
		snprintf(io->hint, sizeof(io->hint), "A hint.");
	}
	return 0;
}

static const struct ctl_job a_job = {
    .request = STILL_CONTROL_COMMIT,
    .flags = STILL_CONTROL_COPY,
    .doing = "verifying",
    .goes_on = "interrupted; it goes on",
    .counts_bytes = true,
};

static int run_job(struct fixture *f, const struct ctl_options *options,
    struct still_control *ret, struct still_error *err)
{
	int rc = 0;

	fflush(stdout);
	CAUGHT(f, rc = ctl_job_run(&f->channel, &a_job, options, ret, err));
	return rc;
}

static void job_done(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct ctl_options options = {0};
	struct fixture *f = *state;
	struct still_control answer;

	fake.n_running = 3;
	fake.state = STILL_ENDED;
	fake.outcome = STILL_COMMITTED;
	assert_int_equal(run_job(f, &options, &answer, &err), 0);
	assert_true(fake.request == STILL_CONTROL_COMMIT);
	assert_int_equal(fake.flags, STILL_CONTROL_COPY);
	assert_int_equal(fake.n_requests, 5);
	assert_string_equal(answer.session, "20260109T000000Z-9");
	assert_int_equal(answer.outcome, STILL_COMMITTED);
	/* Nobody looks: no bar, and no lines. */
	assert_string_equal(f->out, "");
	assert_string_equal(f->err, "");
}

static void job_in_json(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct ctl_options options = {.json = true};
	struct fixture *f = *state;
	struct still_control answer;

	fake.n_running = 2;
	assert_int_equal(run_job(f, &options, &answer, &err), 0);
	assert_string_equal(f->out,
	    "{\"event\":\"progress\",\"session\":\"20260109T000000Z-9\","
	    "\"doing\":\"verifying\",\"bytes\":4096,\"bytes_verified\":200}\n"
	    "{\"event\":\"progress\",\"session\":\"20260109T000000Z-9\","
	    "\"doing\":\"verifying\",\"bytes\":4096,\"bytes_verified\":300}\n");
}

/* A freeze: what is captured counts. */
static void freeze_in_json(void **state)
{
	struct ctl_job job = {.request = STILL_CONTROL_BEGIN,
	    .doing = "freezing",
	    .goes_on = "interrupted"};
	struct ctl_options options = {.json = true};
	struct fixture *f = *state;
	struct still_control answer;
	int rc = -1;

	fake.n_running = 1;
	fflush(stdout);
	CAUGHT(f, rc = ctl_job_run(&f->channel, &job, &options, &answer, NULL));
	assert_int_equal(rc, 0);
	assert_string_equal(f->out,
	    "{\"event\":\"progress\",\"session\":\"20260109T000000Z-9\","
	    "\"doing\":\"freezing\",\"bytes\":4096,\"bytes_verified\":200,"
	    "\"capture_bytes\":1000,\"captured_bytes\":20}\n");
}

static void job_refused(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct ctl_options options = {0};
	struct fixture *f = *state;
	struct still_control answer;

	fake.start_code = STILL_ERR_BUSY;
	assert_int_equal(run_job(f, &options, &answer, &err), STILL_ERR_BUSY);
	assert_int_equal(fake.n_requests, 1);
	assert_int_equal(
	    strspn(still_error_msg(&err), "m"), sizeof(answer.message) - 1);
	assert_string_equal(err.hint, "A hint.");
	still_error_clear(&err);
}

static void job_failed(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct ctl_options options = {0};
	struct fixture *f = *state;
	struct still_control answer;

	fake.n_running = 1;
	fake.code = STILL_ERR_CORRUPT;
	fake.state = STILL_ENDED;
	fake.outcome = STILL_ABORTED_CORRUPT;
	assert_int_equal(
	    run_job(f, &options, &answer, &err), STILL_ERR_CORRUPT);
	assert_int_equal(answer.outcome, STILL_ABORTED_CORRUPT);
	still_error_clear(&err);
}

static void job_replaced(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct ctl_options options = {0};
	struct fixture *f = *state;
	struct still_control answer;

	fake.forget = true;
	assert_int_equal(
	    run_job(f, &options, &answer, &err), STILL_ERR_CANCELLED);
	still_error_clear(&err);
}

/* The daemon ends while we wait. */
static void job_orphaned(void **state)
{
	struct still_error err = STILL_ERROR_INIT;
	struct ctl_options options = {0};
	struct fixture *f = *state;
	struct still_control answer;

	fake.n_running = 10;
	fake.fail_at = 3;
	assert_int_equal(run_job(f, &options, &answer, &err), STILL_ERR_LOST);
	assert_says(
	    still_error_msg(&err), "the daemon of this mount has ended");
	assert_int_equal(fake.n_requests, 3);
	still_error_clear(&err);
}

static void not_obeyed(void **state)
{
	static const struct {
		int sys_errno;
		int code;
		const char *message;
	} table[] = {
	    {EPERM, STILL_ERR_ACCESS, "this user may not control the mount"},
	    {EPROTO, STILL_ERR_UNSUPPORTED, "speaks another version"},
	    {ENOTTY, STILL_ERR_UNSUPPORTED, "cannot be controlled"},
	    {ENOTCONN, STILL_ERR_LOST, "has ended"},
	    {EIO, STILL_ERR_IO, "Input/output error"},
	};
	struct fixture *f = *state;
	struct still_control answer = {0};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct still_error err = STILL_ERROR_INIT;

		fake.sys_errno = table[i].sys_errno;
		assert_int_equal(ctl_channel_ask(&f->channel,
				     STILL_CONTROL_COMMIT, &answer, &err),
		    table[i].code);
		assert_says(still_error_msg(&err), table[i].message);
		assert_int_equal(err.sys_errno, table[i].sys_errno);
		still_error_clear(&err);
	}
}

/* An interrupt ends us by the signal, and says that the job goes on. */
static void interrupted(void **state)
{
	struct ctl_options options = {0};
	struct fixture *f = *state;
	int err_fd = open(
	    scratch_path(f->dir, "said"), O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *said;
	int status;
	pid_t pid;

	fake.n_running = 1000;
	fake.raise = true;
	pid = fork();
	if (pid == 0) {
		struct still_control answer;

		/* Whoever runs this in the background may ignore it. */
		signal(SIGINT, SIG_DFL);
		dup2(err_fd, 2);
		ctl_job_run(&f->channel, &a_job, &options, &answer, NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGINT);
	said = read_all(err_fd);
	assert_string_equal(said, "stillctl: interrupted; it goes on\n");
	free(said);
}

/* A job whose session is no longer shown: the catalog knows its end. */
static void settled(void **state)
{
	struct fixture *f = *state;
	struct ctl_options options = {.state = f->state_dir};
	struct still_control answer = {0};

	make_session(f, STILL_COMMITTED, answer.session);
	ctl_record_settle(&options, &answer);
	assert_int_equal(answer.state, STILL_ENDED);
	assert_int_equal(answer.outcome, STILL_COMMITTED);
	assert_string_equal(answer.outcome_text, "COMMITTED");
	/* What is known already stays, and so does what nobody knows. */
	answer.outcome = STILL_COPIED;
	ctl_record_settle(&options, &answer);
	assert_int_equal(answer.outcome, STILL_COPIED);
	answer = (struct still_control){.session = "unknown"};
	ctl_record_settle(&options, &answer);
	assert_int_equal(answer.outcome, STILL_NO_OUTCOME);
}

static int setup(void **state)
{
	static struct fixture fixture;
	struct still_error err = STILL_ERROR_INIT;

	memset(&fake, 0, sizeof(fake));
	fixture = (struct fixture){.dir = scratch_make()};
	fixture.state_dir = strdup(scratch_path(fixture.dir, "state"));
	fixture.source = strdup(scratch_path(fixture.dir, "source"));
	mkdir(fixture.source, 0755);
	setenv("STILLCTL_FSTAB", "/dev/null", 1);
	ctl_channel_ioctl = fake_ioctl;
	*state = &fixture;
	if (still_catalog_open(
		fixture.state_dir, true, &fixture.catalog, &err) != 0 ||
	    ctl_channel_open(fixture.source, &fixture.channel, &err) != 0) {
		fprintf(stderr, "%s\n", still_error_msg(&err));
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ctl_channel_close(&f->channel);
	still_catalog_close(f->catalog);
	free(f->out);
	free(f->err);
	free(f->state_dir);
	free(f->source);
	scratch_remove(f->dir);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(list_for_people),
	    TEST(list_for_programs),
	    TEST(no_catalog),
	    TEST(status_of_the_past),
	    TEST(status_in_json),
	    TEST(what_is_wrong),
	    TEST(commit_of_the_past),
	    TEST(needs_a_mount),
	    TEST(usage),
	    TEST(job_done),
	    TEST(job_in_json),
	    TEST(freeze_in_json),
	    TEST(job_refused),
	    TEST(job_failed),
	    TEST(job_replaced),
	    TEST(job_orphaned),
	    TEST(not_obeyed),
	    TEST(interrupted),
	    TEST(settled),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
