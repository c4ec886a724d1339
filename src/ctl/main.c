/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>

#include "base/sys.h"
#include "ctl/exit.h"
#include "ctl/verb.h"

int main(int argc, char **argv)
{
	(void) argc;
	/* A descriptor of ours with the number of a standard stream would be
	 * written to by whoever means the stream. */
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return CTL_EXIT_FAILED;
	still_sys_raise_descriptors();
	/* How wide characters are, wherever we run: names are UTF-8. */
	setlocale(LC_CTYPE, "C.UTF-8");
	return ctl_main((const char *const *) argv);
}
