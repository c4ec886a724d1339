/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "fs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mounts.h"
#include "base/sys.h"
#include "fs/background.h"
#include "fs/file.h"
#include "fs/log.h"
#include "fs/mount.h"
#include "fs/mountpoint.h"
#include "fs/ops.h"
#include "fs/state.h"
#include "fs/tree.h"

/* How long the loop may take to end before the process ends without it: a
 * handler may hang on a disk. With the watch's delay this is below 2 s. */
#define STUCK_NS (3 * STILL_NS_PER_S / 2)
#define KICK_MS 20
#define TICK_S 1

enum ending {
	RUNNING,
	UNMOUNTED,
	SIGNALLED
};

struct daemon {
	const struct fs_options *options;
	struct fs_state state;
	struct fs_mount_point mount;
	int ready_fd; /* the waiting parent; -1: nobody waits */

	pthread_t main_thread;
	pthread_t watch_thread;
	int signal_fd;
	int timer_fd;
	atomic_int ending;      /* enum ending, as the watch sees it */
	atomic_bool loop_ended; /* set by the main thread */
	atomic_bool ended;      /* likewise, when the session is over too */
	atomic_bool announced;  /* the mount answers */
	atomic_bool failed;     /* the mount never answered */
	atomic_bool unwanted;   /* nobody waits for it any more */
};

/* ---- the watch ----------------------------------------------------------- */

/*
 * Only when a stat of it is answered, by us, is the mount there. A child asks,
 * which has nothing of the connection: a request of our own would, if we were
 * killed before we answered it, keep this process in the kernel, so that the
 * connection, and everybody who waits for an answer, stayed for ever.
 */
static bool answers(const struct daemon *daemon)
{
	pid_t pid = fork();
	struct stat st;
	int status;

	if (pid == 0) {
		close_range(0, ~0U, 0);
		_exit(stat(daemon->state.mountpoint, &st) != 0 ||
		    st.st_dev != daemon->mount.dev);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool announce(struct daemon *daemon)
{
	if (!answers(daemon))
		return false;
	fs_mount_widen(&daemon->mount);
	/* Not sooner. When an automounter has asked for this mount, the kernel
	 * lets only the automounter's process group to the mountpoint until
	 * the parent has returned; the others wait for that. */
	if (!daemon->options->foreground)
		fs_background_leave();
	still_events_add(daemon->state.events, STILL_LEVEL_INFO, "mounted",
	    "mountpoint", daemon->state.mountpoint, "source",
	    daemon->state.info.source, "engine", daemon->state.info.engine,
	    "databases", still_number(daemon->state.info.n_databases).text,
	    "version", still_version(), NULL);
	if (daemon->options->foreground ||
	    fs_background_tell(&daemon->ready_fd))
		return true;
	atomic_store(&daemon->unwanted, true);
	return false;
}

static void tick(struct daemon *daemon)
{
	struct fs_state *state = &daemon->state;
	uint64_t expirations;
	struct fs_shown *shown;
	uint64_t job;

	if (read(daemon->timer_fd, &expirations, sizeof(expirations)) < 0)
		return;
	shown = fs_state_get(state);
	/* Its failure is remembered and told by the session. */
	if (shown)
		still_session_keep(shown->session, NULL);
	fs_state_put(state, shown);
	/* Whoever waits is at it. */
	if (fs_gate_busy(&state->seal_gate))
		fs_state_touch(state);
	if (fs_state_is_expired(state) && !fs_jobs_busy(&state->jobs))
		fs_jobs_start(&state->jobs, FS_JOB_EXPIRE, 0, NULL, &job, NULL);
}

static void drain(int event_fd)
{
	eventfd_t count;

	eventfd_read(event_fd, &count);
}

static enum ending watch_once(struct daemon *daemon, int mounts_fd)
{
	struct pollfd fds[] = {
	    {.fd = daemon->signal_fd, .events = POLLIN},
	    {.fd = daemon->state.wake_fd, .events = POLLIN},
	    {.fd = daemon->timer_fd, .events = POLLIN},
	    {.fd = mounts_fd, .events = POLLPRI},
	};

	if (poll(fds, 4, -1) < 0)
		return RUNNING;
	if (fds[0].revents & POLLIN)
		return SIGNALLED;
	if (fds[1].revents & POLLIN) {
		drain(daemon->state.wake_fd);
		fs_gate_reap(&daemon->state.begin_gate);
		fs_gate_reap(&daemon->state.link_gate);
		fs_gate_reap(&daemon->state.seal_gate);
	}
	if (fds[2].revents & POLLIN)
		tick(daemon);
	/* At each tick too, should the mount table not have told. Without a
	 * connection libfuse's loop ends by itself. */
	if (!fs_mount_connected(&daemon->mount) ||
	    still_mounts_have(daemon->mount.dev, NULL) != 0)
		return RUNNING;
	return UNMOUNTED;
}

/* Locks die with the process, so this harms nobody but the session. */
static void leave(const struct daemon *daemon)
{
	still_events_add(daemon->state.events, STILL_LEVEL_ERROR, "stuck",
	    "error",
	    "a request or a job does not end; leaving without it, "
	    "the session counts as aborted",
	    NULL);
	fs_mount_abort(&daemon->mount);
	if (fs_mount_is_ours(&daemon->mount))
		fs_mountpoint_detach(daemon->state.mountpoint);
	_exit(EXIT_FAILURE);
}

/*
 * Get the main thread out of libfuse's loop: it looks at the exit flag only
 * when a signal interrupts its wait. Not while a job is at work: it may have
 * asked the kernel to forget a page that a read is to fill, and the kernel waits
 * for that read to be answered.
 */
static void end_loop(struct daemon *daemon)
{
	int64_t start_ns = still_sys_monotonic_ns();
	struct fs_jobs *jobs = &daemon->state.jobs;

	/* Nobody waits any more for what a job is at. */
	fs_state_cancel(&daemon->state);
	fs_jobs_close(jobs);
	while (!atomic_load(&daemon->ended)) {
		if (!atomic_load(&daemon->loop_ended) && !fs_jobs_busy(jobs)) {
			fuse_session_exit(daemon->mount.fuse);
			pthread_kill(daemon->main_thread, SIGUSR1);
		}
		still_sys_sleep_ns(KICK_MS * INT64_C(1000000));
		if (still_sys_monotonic_ns() - start_ns > STUCK_NS)
			leave(daemon);
	}
}

static void *watch(void *arg)
{
	struct daemon *daemon = arg;
	int mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	enum ending ending = RUNNING;

	if (announce(daemon)) {
		atomic_store(&daemon->announced, true);
	} else {
		atomic_store(&daemon->failed, true);
		ending = SIGNALLED;
	}
	while (ending == RUNNING && !atomic_load(&daemon->loop_ended))
		ending = watch_once(daemon, mounts_fd);
	atomic_store(&daemon->ending, ending);
	end_loop(daemon);
	if (mounts_fd >= 0)
		close(mounts_fd);
	return NULL;
}

/* ---- setting up ---------------------------------------------------------- */

static void no_op(int signal)
{
	(void) signal;
}

static int system_failed(struct still_error *err, const char *what)
{
	return still_error_sys(err, errno, NULL, "%s", what);
}

/* Signals go to a descriptor; SIGUSR1 only interrupts the main thread. */
static int set_up_watch(struct daemon *daemon, struct still_error *err)
{
	struct itimerspec every = {{TICK_S, 0}, {TICK_S, 0}};
	struct sigaction interrupt = {.sa_handler = no_op};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t wake;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigemptyset(&wake);
	sigaddset(&wake, SIGUSR1);
	pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
	sigaction(SIGUSR1, &interrupt, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	daemon->signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	daemon->timer_fd = timerfd_create(
	    CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	daemon->state.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (daemon->signal_fd < 0 || daemon->timer_fd < 0 ||
	    daemon->state.wake_fd < 0 ||
	    timerfd_settime(daemon->timer_fd, 0, &every, NULL) != 0)
		return system_failed(err, "setting up the daemon");
	return 0;
}

/* A source that is no path is resolved by its engine, and looked at later. */
static int check_state_dir(
    const struct fs_options *options, struct still_error *err)
{
	char *source = realpath(options->source, NULL);
	int rc = source ? still_catalog_check_dir(options->state, source, err)
			: 0;

	free(source);
	return rc;
}

static int attach(struct daemon *daemon, struct still_error *err)
{
	const struct fs_options *options = daemon->options;
	struct still_options still = {
	    .engine = options->engine,
	    .force = options->force,
	    .freeze_ms = options->freeze_ms,
	    .stall_ms = options->stall_ms,
	    .barrier_max = options->barrier_max,
	    .spool = options->spool,
	    .spool_max_bytes = options->spool_max_bytes,
	    .verify = (enum still_verify) options->verify,
	    .freeze = (enum still_way) options->freeze,
	    .pin = (enum still_pin) options->pin,
	    .pin_ms = options->pin_ms,
	    .wal_max_bytes = options->wal_max_bytes,
	    .assist = options->assist,
	    .incremental = options->incremental,
	};
	struct fs_state *state = &daemon->state;
	int rc;

	fs_gate_init(&state->begin_gate, state, fs_state_begin, fs_ops_repeat);
	fs_gate_init(
	    &state->link_gate, state, fs_state_begin_link, fs_ops_repeat);
	fs_gate_init(&state->seal_gate, state, fs_state_seal, fs_ops_repeat);
	state->direct_io = options->direct_io;
	state->incremental = options->incremental;
	state->lease_ns = options->lease_s * STILL_NS_PER_S;
	state->stall_ns = options->stall_s * STILL_NS_PER_S;
	state->events = still_events_new(fs_log_event, NULL);
	if (!state->events)
		return still_error_nomem(err);
	rc = check_state_dir(options, err);
	if (rc == 0)
		rc = still_catalog_open(
		    options->state, true, &state->catalog, err);
	if (rc < 0)
		return rc;
	still.catalog = state->catalog;
	rc = still_instance_attach(
	    options->source, &still, &state->instance, err);
	if (rc < 0)
		return rc;
	still_instance_describe(state->instance, &state->info);
	rc = fs_mountpoint_prepare(options->mountpoint, state->info.source,
	    still_catalog_dir(state->catalog), options->nonempty,
	    &state->mountpoint, err);
	if (rc == 0)
		rc = still_instance_set_place(
		    state->instance, state->mountpoint, err);
	if (rc == 0)
		fs_state_recall(state);
	return rc;
}

/* ---- ending -------------------------------------------------------------- */

/* In this order: outcome, then the instance, then the mount. Forking, as
 * unmounting may, is harmless only when nothing of the instance is open. */
static void end(struct daemon *daemon)
{
	struct fs_state *state = &daemon->state;
	enum ending ending = (enum ending) atomic_load(&daemon->ending);
	bool forced = ending == RUNNING && fs_mount_is_ours(&daemon->mount);

	fs_state_cancel(state);
	fs_gate_stop(&state->begin_gate);
	fs_gate_stop(&state->link_gate);
	fs_gate_stop(&state->seal_gate);
	fs_jobs_stop(&state->jobs);
	fs_state_end(state, forced ? STILL_END_FORCED : STILL_END_DONE);
	fs_mount_end(&daemon->mount);
	still_events_add(state->events, STILL_LEVEL_INFO, "unmounted",
	    "mountpoint", state->mountpoint, "by",
	    forced                    ? "force"
		: ending == SIGNALLED ? "signal"
				      : "umount",
	    NULL);
}

static int serve(struct daemon *daemon, struct still_error *err)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int rc;

	if (!config)
		return still_error_nomem(err);
	fuse_loop_cfg_set_max_threads(config, daemon->options->threads);
	fuse_loop_cfg_set_idle_threads(config, daemon->options->threads);
	fuse_loop_cfg_set_clone_fd(
	    config, access("/dev/fuse", R_OK | W_OK) == 0);
	daemon->main_thread = pthread_self();
	rc = pthread_create(&daemon->watch_thread, NULL, watch, daemon);
	if (rc != 0) {
		fuse_loop_cfg_destroy(config);
		return still_error_sys(err, rc, NULL, "starting a thread");
	}
	/* How it ended is told by the mount table, not by its result. */
	fuse_session_loop_mt(daemon->mount.fuse, config);
	fs_mount_settle(&daemon->mount);
	fuse_loop_cfg_destroy(config);
	atomic_store(&daemon->loop_ended, true);
	eventfd_write(daemon->state.wake_fd, 1);
	/* A loop that never ran leaves the watch asking our own mount. */
	if (!atomic_load(&daemon->announced))
		fs_mount_end(&daemon->mount);
	end(daemon);
	atomic_store(&daemon->ended, true);
	pthread_join(daemon->watch_thread, NULL);
	if (atomic_load(&daemon->unwanted))
		return still_error_set(err, STILL_ERR_FAILED, 0, NULL,
		    "mountpoint `%s`: given up, because the command that asked "
		    "for the mount was ended",
		    daemon->state.mountpoint);
	if (atomic_load(&daemon->failed))
		return still_error_set(err, STILL_ERR_FAILED, 0, NULL,
		    "mountpoint `%s`: the mount does not answer",
		    daemon->state.mountpoint);
	return 0;
}

static void release(struct daemon *daemon)
{
	struct fs_state *state = &daemon->state;

	if (daemon->mount.fuse) {
		fs_mount_end(&daemon->mount);
		fuse_session_destroy(daemon->mount.fuse);
	}
	fs_file_end(state);
	fs_state_release(state);
	still_instance_detach(state->instance);
	still_catalog_close(state->catalog);
	still_events_free(state->events);
	free(state->mountpoint);
	if (daemon->signal_fd >= 0)
		close(daemon->signal_fd);
	if (daemon->timer_fd >= 0)
		close(daemon->timer_fd);
	if (state->wake_fd >= 0)
		close(state->wake_fd);
}

static int run(const struct fs_options *options, int ready_fd)
{
	struct daemon daemon = {
	    .options = options,
	    .ready_fd = ready_fd,
	    .signal_fd = -1,
	    .timer_fd = -1,
	    .state = {.wake_fd = -1},
	};
	struct still_error err = STILL_ERROR_INIT;
	int rc;

	still_sys_raise_descriptors();
	fs_state_init(&daemon.state);
	rc = attach(&daemon, &err);
	if (rc == 0)
		rc = set_up_watch(&daemon, &err);
	daemon.mount.path = daemon.state.mountpoint;
	if (rc == 0)
		rc = fs_mount_begin(
		    &daemon.mount, &daemon.state, options, &err);
	daemon.state.fuse = daemon.mount.fuse;
	if (rc == 0)
		rc = chdir("/") == 0 ? 0 : system_failed(&err, "chdir to /");
	if (rc == 0)
		rc = serve(&daemon, &err);
	if (rc < 0)
		fs_log_error(&err);
	still_error_clear(&err);
	release(&daemon);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int fs_daemon_run(const struct fs_options *options)
{
	int ready_fd = -1;
	int status;

	fs_log_open(options->foreground, options->debug);
	if (!options->foreground && !fs_background_begin(&ready_fd, &status))
		return status;
	return run(options, ready_fd);
}
