/* SPDX-License-Identifier: MIT */
/*
 * Post - messages between threads: a pipe of pointers. Who has sent a message has given it away; order is kept, the reading end can be polled.
 * There are never more messages than buffers and a few, so that a pipe has room for all and sending does not wait.
 */
#ifndef FETCH_POST_H
#define FETCH_POST_H

struct post { int in, out; };

int post_init(struct post *p);                  /* 0, or -1 with errno */
void post_done(struct post *p);
void post_send(const struct post *p, void *message);
void *post_take(const struct post *p);          /* waits for one */

/* post_wait - whether there is a message within timeout_ms (-1: for ever). also_fd (-1: none): 0 at once when that is readable. */
int post_wait(const struct post *p, int also_fd, int timeout_ms);

#endif
