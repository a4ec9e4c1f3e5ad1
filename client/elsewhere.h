/* SPDX-License-Identifier: MIT */
/* Elsewhere - what options of xargs, GNU parallel, curl, wget and aria2c are called here. */
#ifndef ELSEWHERE_H
#define ELSEWHERE_H

/* elsewhere_find - what to write here instead; name: without dashes. NULL: no such option is known. */
const char *elsewhere_find(const char *verb, const char *name);

#endif
