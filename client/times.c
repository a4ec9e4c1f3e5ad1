/* SPDX-License-Identifier: MIT */
#include "times.h"

#include <stdio.h>
#include <string.h>

/* n digits at *p, which moves behind them; -1: there are not n. */
static int digits(const char **p, int n)
{
	int v = 0;

	for (; n > 0; n--, (*p)++) {
		if (**p < '0' || **p > '9')
			return -1;
		v = v * 10 + (**p - '0');
	}
	return v;
}

static int expect(const char **p, char c)
{
	return *(*p)++ == c ? 0 : -1;
}

static long fraction(const char **p)
{
	long ns = 0, unit = 100000000;

	if (**p != '.')
		return 0;
	for ((*p)++; **p >= '0' && **p <= '9'; (*p)++, unit /= 10)
		ns += unit * (**p - '0');
	return ns;
}

/* Z, +01:00, -0130. Seconds east; -1 in *ret_bad if it is none. */
static long zone(const char *p, int *ret_bad)
{
	int sign = *p == '-' ? -1 : 1, h, m;

	if (*p == 'Z' || *p == 'z') {
		*ret_bad |= p[1] != '\0';
		return 0;
	}
	if (*p != '+' && *p != '-') {
		*ret_bad = 1;
		return 0;
	}
	p++;
	h = digits(&p, 2);
	if (h >= 0 && *p == ':')
		p++;
	m = h < 0 ? -1 : digits(&p, 2);
	*ret_bad |= m < 0 || *p;
	return sign * (h * 3600L + m * 60L);
}

int times_read(const char *text, struct timespec *ret)
{
	struct tm tm = { 0 };
	const char *p = text;
	int bad = 0;
	long ns, east;

	bad |= (tm.tm_year = digits(&p, 4) - 1900) < -1900 || expect(&p, '-');
	bad = bad || (tm.tm_mon = digits(&p, 2) - 1) < 0 || expect(&p, '-');
	bad = bad || (tm.tm_mday = digits(&p, 2)) < 1 || (*p != 'T' && *p != 't' && *p != ' ');
	if (bad)
		return -1;
	p++;
	bad = (tm.tm_hour = digits(&p, 2)) < 0 || expect(&p, ':');
	bad = bad || (tm.tm_min = digits(&p, 2)) < 0 || expect(&p, ':');
	bad = bad || (tm.tm_sec = digits(&p, 2)) < 0;
	if (bad)
		return -1;
	ns = fraction(&p);
	east = zone(p, &bad);
	if (bad)
		return -1;
	*ret = (struct timespec){ .tv_sec = timegm(&tm) - east, .tv_nsec = ns };
	return 0;
}

static const char *show(const char *rfc3339, const char *format, char *buf, size_t size)
{
	struct timespec ts;
	struct tm tm;

	if (!rfc3339)
		return "-";
	if (times_read(rfc3339, &ts) != 0 || !localtime_r(&ts.tv_sec, &tm))
		return rfc3339;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	return strftime(buf, size, format, &tm) ? buf : rfc3339;        /* format: one of the two below */
#pragma GCC diagnostic pop
}

const char *times_show(const char *rfc3339, char *buf, size_t size)
{
	return show(rfc3339, "%F %T", buf, size);
}

const char *times_show_clock(const char *rfc3339, char *buf, size_t size)
{
	return show(rfc3339, "%T", buf, size);
}

const char *times_show_seconds(double s, char *buf, size_t size)
{
	long n = s < 1e15 ? (long)s : 0;

	if (s < 0)
		return "-";
	if (s == 0)
		snprintf(buf, size, "0s");
	else if (s < 0.9995)
		snprintf(buf, size, "%.3fs", s);
	else if (s < 59.95)
		snprintf(buf, size, "%.1fs", s);
	else if (n < 3600)
		snprintf(buf, size, "%ldm%02lds", n / 60, n % 60);
	else if (n < 86400)
		snprintf(buf, size, "%ldh%02ldm", n / 3600, n / 60 % 60);
	else
		snprintf(buf, size, "%ldd%02ldh", n / 86400, n / 3600 % 24);
	return buf;
}

double times_between(const char *from, const char *to)
{
	struct timespec a, b;

	if (!from || times_read(from, &a) != 0)
		return -1;
	if (to ? times_read(to, &b) != 0 : clock_gettime(CLOCK_REALTIME, &b) != 0)
		return -1;
	return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}
