/* SPDX-License-Identifier: MIT */
/* ctl/mounted_origin: a mount's session is committed, whatever else is asked of
 * its daemon meanwhile. The daemon is a function. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sys.h"
#include "ctl/channel.h"
#include "ctl/mounted_origin.h"
#include "tests/unit/scratch.h"

#define SESSION "20260109T000000Z-00000009"
#define ALWAYS UINT32_MAX

struct fixture {
	char *dir; /* that is taken for a mount */
	struct ctl_options options;
	struct ctl_mounted_origin *mounted;
	struct still_origin origin;
	struct still_error err;
};

/* ---- the daemon ---------------------------------------------------------- */

static struct {
	uint32_t n_refused; /* commits that meet another request */
	uint32_t n_undone;  /* that are carried out, and find a lock held */
	int code;           /* of the others */
	uint32_t n_commits;
	uint32_t n_aborts;
	uint64_t last_job;
	int last_code; /* of that job */
} fake;

static void tell(struct still_control *io, int code)
{
	io->code = code;
	if (code)
		snprintf(
		    io->message, sizeof(io->message), "session: is not had");
}

/* 0, and a job was started; or why not. */
static int start(unsigned long request)
{
	fake.last_code = 0;
	if (request == STILL_CONTROL_ABORT)
		fake.n_aborts++;
	if (request == STILL_CONTROL_COMMIT) {
		if (fake.n_commits++ < fake.n_refused)
			return STILL_ERR_BUSY;
		fake.last_code = fake.n_commits <=
			fake.n_refused + fake.n_undone
		    ? STILL_ERR_BUSY
		    : fake.code;
	}
	fake.last_job++;
	return 0;
}

static int fake_ioctl(int fd, unsigned long request, struct still_control *io)
{
	(void) fd;
	if (request != STILL_CONTROL_BEGIN)
		assert_true(request == STILL_CONTROL_QUERY ||
		    strcmp(io->session, SESSION) == 0);
	strcpy(io->session, SESSION);
	if (request == STILL_CONTROL_QUERY) {
		assert_int_equal(io->job, fake.last_job);
		io->job_state = STILL_JOB_DONE;
		tell(io, fake.last_code);
		return 0;
	}
	tell(io, start(request));
	io->job = fake.last_job;
	return 0;
}

/* ---- the fixture --------------------------------------------------------- */

static int setup(void **state)
{
	static const atomic_bool never;
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	memset(&fake, 0, sizeof(fake));
	ctl_channel_ioctl = fake_ioctl;
	f->dir = scratch_make();
	mkdir(scratch_path(f->dir, "backup"), 0755);
	if (ctl_mounted_origin_new(
		f->dir, &f->options, &f->mounted, &f->origin, &f->err) != 0 ||
	    f->origin.begin(f->origin.arg, &never, &f->err) != 0)
		fail_msg("%s", still_error_msg(&f->err));
	assert_string_equal(f->origin.session(f->origin.arg), SESSION);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	still_error_clear(&f->err);
	ctl_mounted_origin_free(f->mounted);
	scratch_remove(f->dir);
	free(f);
	return 0;
}

static int commit(struct fixture *f)
{
	return f->origin.commit(f->origin.arg, &f->err);
}

/* ---- commits ------------------------------------------------------------- */

static void committed_at_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(commit(f), 0);
	assert_int_equal(fake.n_commits, 1);
	assert_int_equal(fake.n_aborts, 0);
}

/* Somebody asks for a session of his own just then, and is refused. */
static void others_are_waited_for(void **state)
{
	struct fixture *f = *state;

	fake.n_refused = 3;
	fake.n_undone = 2;
	assert_int_equal(commit(f), 0);
	assert_int_equal(fake.n_commits, 6);
	assert_int_equal(fake.n_aborts, 0);
	assert_int_equal(f->err.code, 0);
	assert_null(f->err.msg);
}

/* That ends the wait, too. */
static void lost_meanwhile(void **state)
{
	struct fixture *f = *state;

	fake.n_refused = 2;
	fake.code = STILL_ERR_PROTO;
	assert_int_equal(commit(f), STILL_ERR_PROTO);
	assert_int_equal(f->err.code, STILL_ERR_PROTO);
	assert_int_equal(fake.n_commits, 3);
	assert_int_equal(fake.n_aborts, 1);
}

/* Nobody waits for ever. */
static void patience_ends(void **state)
{
	struct fixture *f = *state;
	int64_t begun_ns = still_sys_monotonic_ns();

	fake.n_refused = ALWAYS;
	assert_int_equal(commit(f), STILL_ERR_BUSY);
	assert_true(still_sys_monotonic_ns() - begun_ns >= 2 * STILL_NS_PER_S);
	assert_int_equal(f->err.code, STILL_ERR_BUSY);
	assert_string_equal(still_error_msg(&f->err), "session: is not had");
	assert_int_equal(fake.n_aborts, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(committed_at_once),
	    TEST(others_are_waited_for),
	    TEST(lost_meanwhile),
	    TEST(patience_ends),
	};

	scratch_watchdog();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
