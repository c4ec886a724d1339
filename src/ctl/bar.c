/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "ctl/bar.h"

void ctl_bar_add(
    struct still_buf *buf, uint64_t done, uint64_t bytes, int columns)
{
	double part = (double) done / (double) bytes;

	if (part > 1)
		part = 1;
	still_buf_str(buf, "[");
	for (int i = 0; i < columns; i++)
		still_buf_str(buf, i < part * columns ? "#" : ".");
	still_buf_printf(buf, "] %3d%%  ", (int) (part * 100));
	still_buf_size(buf, done);
	still_buf_str(buf, " of ");
	still_buf_size(buf, bytes);
}
