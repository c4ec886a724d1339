/* SPDX-License-Identifier: MIT */
/*
 * freeze: from a connection to captured files, in the order on which everything
 * depends:
 *
 *	connect, look at the server again     it may be another one by now
 *	look whether it can be captured       prospect.h; nothing began yet
 *	slot, start of the backup             backup_mode.h, slot.h
 *	walk; capture of all files            in any order, while they change
 *	pg_control, last of them              until its CRC is right
 *	stop of the backup                    tells where the WAL ends
 *	pg_control, list of tablespaces       are these the server's files, and all?
 *	capture of the WAL from start to stop each segment, present and whole
 *	disconnect                            a temporary slot goes with it
 *	walk over the WAL                     each record proven; the blocks that
 *	                                      replay puts right are remembered, and
 *	                                      what was made meanwhile (meanwhile.c)
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/path.h"
#include "base/sys.h"
#include "engines/postgres/backup_mode.h"
#include "engines/postgres/instance.h"
#include "engines/postgres/page.h"
#include "engines/postgres/prospect.h"
#include "engines/postgres/wal_name.h"

#define LABEL "stillfs"
#define CONTROL_TRIES 100
#define CONTROL_PAUSE_NS (STILL_NS_PER_S / 100)

/* One freeze under way. */
struct freeze {
	const struct still_pg_instance *instance;
	const struct still_freeze_request *request;
	struct still_pg_frozen *frozen;
	struct still_pg_session *session; /* owned */
	uint64_t base_bytes; /* of earlier lists, for the progress */
	bool made_slot;
};

/* ---- the server ---------------------------------------------------------- */

/* The permanent slot, as incremental sessions need it: there, and keeping WAL from
 * now on at least. One that is lost never does again. */
static int have_slot(struct freeze *freeze, struct still_error *err)
{
	struct still_pg_frozen *frozen = freeze->frozen;
	const char *name = frozen->facts.slot.name;
	enum still_pg_slot_state state = frozen->facts.slot.state;
	int rc = 0;

	if (!freeze->instance->chain || freeze->request->trial ||
	    freeze->request->apart)
		return 0;
	if (state == STILL_PG_SLOT_LOST || state == STILL_PG_SLOT_UNRESERVED)
		rc = still_pg_slot_drop(freeze->session, name, err);
	if (rc == 0 && state != STILL_PG_SLOT_RESERVED &&
	    state != STILL_PG_SLOT_EXTENDED) {
		rc = still_pg_slot_create(freeze->session, name, false, err);
		freeze->made_slot = rc == 0;
	}
	if (rc == 0)
		rc = still_pg_slot_look(freeze->session, name,
		    freeze->instance->limit_ns, &frozen->slot, err);
	if (rc == 0)
		rc = still_pg_slot_made(freeze->instance->examined.pgdata, name,
		    frozen->slot_made, err);
	frozen->keeps = rc == 0;
	return rc;
}

/* It came to nothing: what was made for it is not to stay. The session may be
 * gone, or be cancelled. */
static void drop_slot(const struct freeze *freeze)
{
	struct still_pg_session *session = NULL;

	if (!freeze->made_slot ||
	    still_pg_connect(freeze->instance, NULL, &session, NULL) < 0)
		return;
	still_pg_slot_drop(session, freeze->frozen->facts.slot.name, NULL);
	still_pg_session_close(session);
}

static int enter(struct freeze *freeze, struct still_error *err)
{
	return still_pg_enter(freeze->instance, freeze->request, freeze->frozen,
	    &freeze->session, err);
}

static int begin(struct freeze *freeze, struct still_error *err)
{
	struct still_pg_begun begun;
	int rc = have_slot(freeze, err);

	return rc < 0 ? rc
		      : still_pg_backup_begin(freeze->session, LABEL,
			    freeze->frozen->keeps, &begun, err);
}

static int leave(struct freeze *freeze, struct still_error *err)
{
	struct still_pg_frozen *frozen = freeze->frozen;
	struct still_pg_ended ended = {0};
	int rc;

	frozen->stop_first_ns = still_sys_now_ns();
	rc = still_pg_backup_end(freeze->session, &ended, err);
	frozen->stop_last_ns = still_sys_now_ns();
	if (rc < 0)
		return rc;
	rc = still_pg_label_parse(
	    ended.label, ended.label_len, &frozen->label, err);
	frozen->stop_lsn = ended.stop_lsn;
	frozen->label_text = ended.label;
	frozen->label_len = ended.label_len;
	ended.label = NULL;
	still_pg_ended_release(&ended);
	return rc;
}

/* Is it the server's own pg_control that was captured? A standby, or an older copy
 * of the data directory, is of the same system and may have all the WAL; whatever
 * was changed before the start is missing from its files all the same. The server
 * has written the checkpoint of the start there when it says that it began. */
static int compare_control(const struct freeze *freeze, struct still_error *err)
{
	const struct still_pg_frozen *frozen = freeze->frozen;
	const struct still_pg_control *control = &frozen->control;

	if (control->system_identifier == frozen->facts.system_identifier &&
	    control->state == STILL_PG_PRODUCTION &&
	    control->check_point_lsn >= frozen->label.check_point_lsn)
		return 0;
	return still_error_set(err, STILL_ERR_INVALID, 0,
	    "The server uses other files than those that are seen here, and "
	    "these may be of a standby or a copy: run stillfs on the server's "
	    "host, outside of any container.",
	    "server of `%s`: the files in `%s` are not those of the server: "
	    "its checkpoint at " STILL_PG_LSN " is not in pg_control",
	    freeze->instance->examined.conn.shown,
	    freeze->instance->examined.pgdata,
	    STILL_PG_LSN_ARGS(frozen->label.check_point_lsn));
}

static bool is_listed(const struct still_pg_facts *facts, uint32_t oid)
{
	size_t i = 0;

	while (i < facts->n_tablespaces && facts->tablespaces[i].oid != oid)
		i++;
	return i < facts->n_tablespaces;
}

/* Of a tablespace that was made before the start the WAL does not tell, and the
 * server was asked before that. It tells of a tablespace when the transaction that
 * makes it is done, which may be long after its record. */
static int compare_tablespaces(struct freeze *freeze, struct still_error *err)
{
	struct still_pg_facts now = {0};
	int rc = still_pg_facts_tablespaces(
	    freeze->session, freeze->instance->limit_ns, &now, err);

	for (size_t i = 0; rc == 0 && i < now.n_tablespaces; i++)
		if (!is_listed(&freeze->frozen->facts, now.tablespaces[i].oid))
			rc = still_pg_meanwhile_refuse(err);
	still_pg_facts_release(&now);
	return rc;
}

/* ---- files --------------------------------------------------------------- */

static uint32_t first_block_of(const struct still_pg_frozen *frozen,
    const struct still_pg_relation *relation)
{
	/* Known before the files are captured: attach has read pg_control. */
	return relation->segment * frozen->control.segment_blocks;
}

/* Of a copy: torn, so that it is worth while to read it again? What stays so is
 * judged when it is read. */
static bool page_is_whole(void *arg, const struct still_pg_relation *relation,
    uint32_t block, const void *page)
{
	const struct freeze *freeze = arg;
	_Alignas(STILL_PG_PAGE_ALIGN) char own[STILL_PG_PAGE_BYTES];
	enum still_pg_page_verdict verdict;
	uint64_t lsn;

	if (!freeze->frozen->verifies_pages)
		return true;
	memcpy(own, page, sizeof(own));
	verdict = still_pg_page_look(
	    own, first_block_of(freeze->frozen, relation) + block, true, &lsn);
	return verdict == STILL_PG_PAGE_OK || verdict == STILL_PG_PAGE_ZERO;
}

static void tell_progress(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	const struct freeze *freeze = arg;
	const struct still_observer *observer = &freeze->request->observer;

	if (observer->progress)
		observer->progress(observer->arg,
		    freeze->base_bytes + done_bytes,
		    freeze->base_bytes + total_bytes);
}

/* The name of a tablespace's directory, as the server has it. */
typedef char version_dir_name[48];

static struct still_pg_walk_request walk_request(
    const struct freeze *freeze, version_dir_name name)
{
	const struct still_pg_facts *facts = &freeze->frozen->facts;

	snprintf(name, sizeof(version_dir_name), "PG_%d_%u", facts->major,
	    (unsigned) facts->catalog_version);
	return (struct still_pg_walk_request){
	    .data_dir = freeze->instance->examined.pgdata,
	    .version_dir = name,
	    .tablespaces = facts->tablespaces,
	    .n_tablespaces = facts->n_tablespaces,
	    .cancel = freeze->request->cancel,
	    .observer = freeze->request->observer,
	};
}

static struct still_pg_capture_request capture_request(struct freeze *freeze)
{
	static const enum still_pg_way ways[] = {
	    [STILL_FREEZE_AUTO] = STILL_PG_WAY_AUTO,
	    [STILL_FREEZE_CLONE] = STILL_PG_WAY_CLONE,
	    [STILL_FREEZE_COPY] = STILL_PG_WAY_COPY,
	};

	return (struct still_pg_capture_request){
	    .walk = &freeze->frozen->walk,
	    .way = ways[freeze->instance->way],
	    .spool = freeze->request->spool,
	    .cancel = freeze->request->cancel,
	    .trial = freeze->request->trial,
	    .whole = page_is_whole,
	    .progress = tell_progress,
	    .arg = freeze,
	};
}

static int foresee(struct freeze *freeze, struct still_error *err)
{
	const struct still_pg_capture_request capture = capture_request(freeze);
	version_dir_name name;
	const struct still_pg_walk_request walk = walk_request(freeze, name);

	return still_pg_prospect(
	    &walk, &capture, freeze->frozen->facts.wal_segment_bytes, err);
}

static int walk(struct freeze *freeze, struct still_error *err)
{
	version_dir_name name;
	const struct still_pg_walk_request request = walk_request(freeze, name);

	return still_pg_walk_run(&request, &freeze->frozen->walk, err);
}

/* The server writes it in place: one that was caught in the middle is read
 * again. */
static int read_control(struct freeze *freeze, struct still_error *err)
{
	struct still_pg_frozen *frozen = freeze->frozen;
	struct stat st;
	int fd = still_pg_entry_open(
	    &frozen->walk, &frozen->walk.control, O_RDONLY, &st);
	ssize_t n;
	int rc;

	if (fd < 0)
		return still_error_sys(err, -fd, NULL, "`global/pg_control`");
	n = still_sys_pread(
	    fd, frozen->control_bytes, STILL_PG_CONTROL_BYTES, 0);
	if (n < 0)
		rc = still_error_sys(
		    err, (int) -n, NULL, "`global/pg_control`");
	else
		rc = still_pg_control_parse(
		    frozen->control_bytes, (size_t) n, &frozen->control, err);
	close(fd);
	return rc;
}

static int capture_control(struct freeze *freeze, struct still_error *err)
{
	int rc = STILL_ERR_CORRUPT;

	for (int i = 0; i < CONTROL_TRIES && rc == STILL_ERR_CORRUPT; i++) {
		if (atomic_load(freeze->request->cancel))
			return still_error_set(err, STILL_ERR_CANCELLED, 0,
			    NULL, "the freeze was stopped");
		if (i > 0)
			still_sys_sleep_ns(CONTROL_PAUSE_NS);
		rc = read_control(freeze, err);
	}
	return rc;
}

static int capture_files(struct freeze *freeze, struct still_error *err)
{
	struct still_pg_frozen *frozen = freeze->frozen;
	const struct still_pg_capture_request request = capture_request(freeze);
	int rc;

	frozen->control_bytes = malloc(STILL_PG_CONTROL_BYTES);
	if (!frozen->control_bytes)
		return still_error_nomem(err);
	rc = walk(freeze, err);
	/* How many blocks a file has is never changed. */
	if (rc == 0)
		rc = capture_control(freeze, err);
	if (rc == 0)
		rc = still_pg_capture_new(&request, &frozen->capture, err);
	if (rc == 0)
		rc = still_pg_capture_run(frozen->capture, &frozen->walk.list,
		    false, &frozen->files, err);
	return rc == 0 ? capture_control(freeze, err) : rc;
}

/* ---- WAL ----------------------------------------------------------------- */

struct still_pg_wal_format still_pg_format_of(
    const struct still_pg_frozen *frozen)
{
	return (struct still_pg_wal_format){
	    .major = (unsigned) frozen->facts.major,
	    .page_magic = frozen->version->wal_magic,
	    .page_bytes = frozen->facts.wal_block_bytes,
	    .segment_bytes = frozen->facts.wal_segment_bytes,
	    .block_bytes = frozen->facts.block_bytes,
	    .timeline = frozen->label.timeline,
	    .system_identifier = frozen->facts.system_identifier,
	};
}

static int list_segment(
    struct still_pg_frozen *frozen, uint64_t number, struct still_error *err)
{
	struct still_pg_wal_segment segment = {frozen->label.timeline, number};
	char name[STILL_PG_WAL_NAME_CHARS + 1];
	int rc;

	still_pg_wal_name(&segment, frozen->facts.wal_segment_bytes, name);
	rc = still_pg_walk_wal(&frozen->walk, name, &frozen->wal_list, err);
	if (rc == STILL_ERR_NOTFOUND)
		return still_error_set(err, STILL_ERR_FAILED, 0,
		    "Somebody removes WAL beside the server. Find out who.",
		    "`pg_wal/%s`: is needed, and is not there", name);
	return rc;
}

static int check_segments(
    const struct still_pg_frozen *frozen, struct still_error *err)
{
	for (size_t i = 0; i < frozen->wal.n; i++)
		if (frozen->wal.files[i].extent.size_bytes !=
		    frozen->facts.wal_segment_bytes)
			return still_error_set(err, STILL_ERR_CORRUPT, 0,
			    "Somebody shortens WAL beside the server. Find "
			    "out who.",
			    "`pg_wal/%s`: is not whole",
			    still_path_base(frozen->wal.files[i].entry->path));
	return 0;
}

static int capture_wal(struct freeze *freeze, struct still_error *err)
{
	struct still_pg_frozen *frozen = freeze->frozen;
	uint32_t bytes = frozen->facts.wal_segment_bytes;
	uint64_t last = (frozen->stop_lsn - 1) / bytes;
	int rc = 0;

	freeze->base_bytes = frozen->walk.list.bytes;
	frozen->first_segment = frozen->label.start_lsn / bytes;
	for (uint64_t n = frozen->first_segment; rc == 0 && n <= last; n++)
		rc = list_segment(frozen, n, err);
	if (rc == 0)
		rc = still_pg_capture_run(frozen->capture, &frozen->wal_list,
		    true, &frozen->wal, err);
	return rc == 0 ? check_segments(frozen, err) : rc;
}

static ssize_t read_segment(void *arg, uint64_t segment, uint32_t off_bytes,
    void *data, size_t len, struct still_error *err)
{
	const struct still_pg_frozen *frozen = arg;
	const struct still_pg_captured *file;
	int rc;

	if (segment < frozen->first_segment ||
	    segment - frozen->first_segment >= frozen->wal.n)
		return STILL_ERR_NOTFOUND;
	file = &frozen->wal.files[segment - frozen->first_segment];
	if (off_bytes >= file->extent.size_bytes)
		return 0;
	if (len > file->extent.size_bytes - off_bytes)
		len = (size_t) (file->extent.size_bytes - off_bytes);
	rc = still_pg_captured_read(file, off_bytes, data, len, err);
	return rc < 0 ? rc : (ssize_t) len;
}

static int see_record(void *arg, const struct still_pg_wal_record *record,
    struct still_error *err)
{
	struct still_pg_frozen *frozen = arg;
	char text[STILL_PG_OBSTACLE_MAX];
	const char *obstacle = still_pg_replay_obstacle(record, text);

	if (obstacle)
		return still_error_set(err, STILL_ERR_AGAIN, 0, "Begin again.",
		    "the cluster: while its files were captured %s", obstacle);
	still_pg_replay_see(&frozen->replay, record);
	return 0;
}

/* The stop is followed by a switch to the next segment, and by what others wrote
 * before that: the copy has it too, and a later session goes on behind it. */
static int prove_rest(struct freeze *freeze, struct still_error *err)
{
	struct still_pg_frozen *frozen = freeze->frozen;
	uint32_t bytes = frozen->facts.wal_segment_bytes;
	bool over = false;
	struct still_pg_wal_walk walk = {
	    .format = still_pg_format_of(frozen),
	    .start_lsn = frozen->stop_lsn,
	    .stop_lsn = frozen->stop_lsn + -frozen->stop_lsn % bytes,
	    .read = read_segment,
	    .read_arg = frozen,
	    .each = see_record,
	    .each_arg = frozen,
	    .cancel = freeze->request->cancel,
	    .over = &over,
	};
	int rc = frozen->keeps ? still_pg_wal_walk(&walk, NULL, err) : 0;

	/* Others filled the segment before the switch came: that is no damage,
	 * but a later session would begin in the middle of a record. */
	if (rc == STILL_ERR_CORRUPT && over)
		rc = still_error_set(err, STILL_ERR_AGAIN, 0, "Begin again.",
		    "the cluster: others wrote beyond the segment of the WAL "
		    "in which the backup was just to end");
	return rc;
}

static int prove_wal(struct freeze *freeze, struct still_error *err)
{
	struct still_pg_frozen *frozen = freeze->frozen;
	struct still_pg_wal_walk walk = {
	    .format = still_pg_format_of(frozen),
	    .start_lsn = frozen->label.start_lsn,
	    .stop_lsn = frozen->stop_lsn,
	    .read = read_segment,
	    .read_arg = frozen,
	    .each = still_pg_meanwhile_record,
	    .each_arg = frozen,
	    .cancel = freeze->request->cancel,
	};
	int rc;

	frozen->covered = still_pg_covered_new();
	frozen->unlogged = still_pg_covered_new();
	if (!frozen->covered || !frozen->unlogged)
		return still_error_nomem(err);
	rc = still_pg_wal_walk(&walk, &frozen->totals, err);
	if (rc == 0)
		still_pg_meanwhile_leave_out(frozen);
	return rc;
}

/* ---- all of it ----------------------------------------------------------- */

static int run(struct freeze *freeze, struct still_error *err)
{
	int rc = enter(freeze, err);

	if (rc == 0)
		rc = foresee(freeze, err);
	if (rc == 0)
		rc = begin(freeze, err);
	if (rc == 0)
		rc = capture_files(freeze, err);
	if (rc == 0)
		rc = leave(freeze, err);
	if (rc == 0)
		rc = compare_control(freeze, err);
	if (rc == 0)
		rc = compare_tablespaces(freeze, err);
	if (rc == 0)
		rc = capture_wal(freeze, err);
	still_pg_session_close(freeze->session);
	freeze->session = NULL;
	if (rc == 0)
		rc = prove_wal(freeze, err);
	if (rc == 0)
		rc = prove_rest(freeze, err);
	return rc == 0 ? still_pg_control_protect(freeze->frozen->control_bytes,
			     STILL_PG_CONTROL_BYTES, err)
		       : rc;
}

int still_pg_freeze(struct still_pg_instance *instance,
    const struct still_freeze_request *request, struct still_pg_frozen *ret,
    struct still_error *err)
{
	struct freeze freeze = {
	    .instance = instance, .request = request, .frozen = ret};
	int rc = run(&freeze, err);

	if (rc < 0)
		drop_slot(&freeze);
	return rc;
}

void still_pg_frozen_release(struct still_pg_frozen *frozen)
{
	for (size_t i = 0; i < frozen->n_objects; i++)
		free(frozen->objects[i].text);
	free(frozen->objects);
	still_pg_increment_free(frozen->increment);
	still_pg_covered_free(frozen->covered);
	still_pg_covered_free(frozen->unlogged);
	still_pg_captures_release(&frozen->wal);
	still_pg_captures_release(&frozen->files);
	still_pg_capture_free(frozen->capture);
	still_pg_list_release(&frozen->wal_list);
	still_pg_walk_release(&frozen->walk);
	free(frozen->control_bytes);
	free(frozen->label_text);
	still_pg_facts_release(&frozen->facts);
}
