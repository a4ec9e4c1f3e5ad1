/* SPDX-License-Identifier: MIT */
/*
 * Mailbox - the one way in which threads speak to each other: a bounded queue of messages and an eventfd. Threads own, messages
 * move: posting gives the message away. The only file with a mutex.
 *
 * A message begins with struct mail (intrusive; no allocation in post). The receiver waits on mailbox_fd (readable when mail is
 * there), then takes everything with mailbox_take, oldest first.
 */
#ifndef MAILBOX_H
#define MAILBOX_H

#include <stdbool.h>
#include <stddef.h>

struct mail {
	struct mail *next;
};
struct mailbox;

struct mailbox *mailbox_new(size_t limit);                      /* limit: messages; 0: unbounded. NULL: errno */
void mailbox_free(struct mailbox *mb);                          /* must be empty */
int mailbox_fd(const struct mailbox *mb);
/* mailbox_post - give m away. Wakes the receiver only when the box was empty, and then for certain: a wake-up that cannot be given ends the
 * process. Returns false, m still the caller's, when full. */
bool mailbox_post(struct mailbox *mb, struct mail *m);
/* mailbox_post_lazily - the same for mail that nobody waits for: it does not wake a receiver that dozes, until there is much of it. */
bool mailbox_post_lazily(struct mailbox *mb, struct mail *m);
/* mailbox_take - everything that is there, as a list, oldest first; clears the wake-up. NULL when empty. Never blocks. */
struct mail *mailbox_take(struct mailbox *mb);
/* mailbox_wait - block until mail is there or timeout_ms is over (-1: none). */
void mailbox_wait(struct mailbox *mb, int timeout_ms);
/* mailbox_doze - the same, but lazily posted mail (fewer than 256) waits for the end of timeout_ms. */
void mailbox_doze(struct mailbox *mb, int timeout_ms);

#endif
