/* SPDX-License-Identifier: MIT */
#include "transfer.h"

#include <stdio.h>

#include "render.h"

static const char *show_bytes(double bytes, char *buf, size_t size)
{
	static const char units[] = "BKMGTPE";
	int i = 0;

	for (; bytes >= 1024 && units[i + 1]; i++)
		bytes /= 1024;
	snprintf(buf, size, i ? "%.1f %ciB" : "%.0f %c", bytes, units[i]);
	return buf;
}

int transfer_percent(const json_t *progress)
{
	double bytes = reply_real(progress, "bytes", -1), expected = reply_real(progress, "expected", -1);

	if (bytes < 0 || expected <= 0)
		return -1;
	return bytes >= expected ? 100 : (int)(100 * bytes / expected);
}

const char *transfer_text(const json_t *progress, char *buf, size_t size)
{
	char got[32], all[32], rate[32];
	int percent = transfer_percent(progress);

	show_bytes(reply_real(progress, "bytes", 0), got, sizeof(got));
	show_bytes(reply_real(progress, "expected", 0), all, sizeof(all));
	show_bytes(reply_real(progress, "bps", 0), rate, sizeof(rate));
	if (percent >= 0)
		snprintf(buf, size, "%d %% of %s, %s/s", percent, all, rate);
	else
		snprintf(buf, size, "%s, %s/s", got, rate);
	return buf;
}
