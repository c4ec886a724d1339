/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int call_ioctl(int fd, unsigned long request, struct still_control *io)
{
	return ioctl(fd, request, io) < 0 ? -errno : 0;
}

ctl_ioctl_fn *ctl_channel_ioctl = call_ioctl;

static bool is_gone(int sys_errno)
{
	return sys_errno == ENOTCONN || sys_errno == ECONNABORTED ||
	    sys_errno == ENODEV;
}

static int gone(const char *mountpoint, int sys_errno, struct still_error *err)
{
	return still_error_set(err, STILL_ERR_LOST, sys_errno,
	    "`stillctl list` tells how its session ended.",
	    "`%s`: the daemon of this mount has ended", mountpoint);
}

int ctl_channel_open(
    const char *mountpoint, struct ctl_channel *ret, struct still_error *err)
{
	int fd = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*ret = (struct ctl_channel){-1, mountpoint};
	if (fd < 0 && is_gone(errno))
		return gone(mountpoint, errno, err);
	if (fd < 0)
		return still_error_sys(err, errno, NULL, "`%s`", mountpoint);
	ret->fd = fd;
	return 0;
}

void ctl_channel_close(struct ctl_channel *channel)
{
	if (channel->fd >= 0)
		close(channel->fd);
	channel->fd = -1;
}

static int refused(
    const struct ctl_channel *channel, int sys_errno, struct still_error *err)
{
	if (is_gone(sys_errno))
		return gone(channel->mountpoint, sys_errno, err);
	switch (sys_errno) {
	case EPERM:
	case EACCES:
		return still_error_set(err, STILL_ERR_ACCESS, sys_errno,
		    "Root, the user who mounted it, and the owner of the "
		    "source may.",
		    "`%s`: this user may not control the mount",
		    channel->mountpoint);
	case EPROTO:
		return still_error_set(err, STILL_ERR_UNSUPPORTED, sys_errno,
		    "Use the stillctl that came with the stillfs that serves "
		    "it, or mount it again.",
		    "`%s`: its daemon speaks another version of the control "
		    "protocol",
		    channel->mountpoint);
	case ENOTTY:
		return still_error_set(err, STILL_ERR_UNSUPPORTED, sys_errno,
		    NULL, "`%s`: its daemon cannot be controlled",
		    channel->mountpoint);
	default:
		return still_error_sys(
		    err, sys_errno, NULL, "`%s`", channel->mountpoint);
	}
}

int ctl_channel_ask(const struct ctl_channel *channel, unsigned long request,
    struct still_control *io, struct still_error *err)
{
	uint32_t flags = io->flags;
	uint64_t job = io->job;
	char session[sizeof(io->session)];
	int rc;

	memcpy(session, io->session, sizeof(session));
	memset(io, 0, sizeof(*io));
	memcpy(io->session, session, sizeof(session));
	io->version = STILL_CONTROL_VERSION;
	io->flags = flags;
	io->job = job;
	do
		rc = ctl_channel_ioctl(channel->fd, request, io);
	while (rc == -EINTR);
	if (rc < 0)
		return refused(channel, -rc, err);
	/* Whatever the other end is, these end here. */
	io->message[sizeof(io->message) - 1] = '\0';
	io->hint[sizeof(io->hint) - 1] = '\0';
	io->session[sizeof(io->session) - 1] = '\0';
	io->outcome_text[sizeof(io->outcome_text) - 1] = '\0';
	io->source[sizeof(io->source) - 1] = '\0';
	io->state_dir[sizeof(io->state_dir) - 1] = '\0';
	if (io->state < 0 || io->state >= STILL_STATE_COUNT)
		io->state = STILL_IDLE;
	if (io->outcome < 0 || io->outcome >= STILL_OUTCOME_COUNT)
		io->outcome = STILL_NO_OUTCOME;
	if (io->code == 0)
		return 0;
	return still_error_set(err, io->code < 0 ? io->code : STILL_ERR_FAILED,
	    0, io->hint[0] ? io->hint : NULL, "%s", io->message);
}
