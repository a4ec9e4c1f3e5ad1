/* SPDX-License-Identifier: MIT */
/* Talk - what jobctl says to people, on stderr. Data goes to stdout and never through here. */
#ifndef TALK_H
#define TALK_H

/* complain - "jobctl: ..." and a newline, escaped for the terminal. Returns status, so that a verb can end with it. */
int complain(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* mention - the same without a status: a warning, or news. */
void mention(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
