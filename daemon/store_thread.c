/* SPDX-License-Identifier: MIT */
/*
 * The store's thread: collects operations into batches, commits a batch with one fsync, sends it back.
 *
 *   mail -> queue --due--> BEGIN exec... COMMIT --ok--> out -> done (loop)
 *                ^                        |
 *                +-- rolled back, again <-+ no space: the ballast goes; later, if there is none
 *
 * Between batches it deletes a slice of dropped runs, copies a slice of the database if a backup is being made, and copies the WAL
 * into the database when nothing else is to be done.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failpoint.h"
#include "log.h"
#include "store_priv.h"

#define LINGER_NS 5000000LL             /* nobody waits: so long after the first ... */
#define DENSE_OPS 16                    /* ... or, as the last batch held so many, ... */
#define DENSE_LINGER_NS 10000000LL      /* ... so long, since many will share what is saved ... */
#define LINGER_OPS 256                  /* ... or so many together */
#define BATCH_NS 20000000LL             /* a batch is cut here, so that those behind it are not kept waiting */
#define RETRY_NS 250000000LL            /* no space: try again after */
#define IDLE_MS 500                     /* nothing came for so long: idle */

static struct store_op *op_of(struct mail *mail)
{
	return (struct store_op *)(void *)((char *)mail - offsetof(struct store_op, mail));
}

static bool is_query(const struct store_op *op)
{
	return op->kind >= ST_GET_ROWS && op->kind < ST_BACKUP;
}

/* Somebody waits for it. */
static bool is_urgent(const struct store_op *op)
{
	return op->urgent || op->kind >= ST_GET_ROWS;
}

/* ---- the queue -------------------------------------------------------------------------------------------------- */

static void queue_push(struct store_queue *q, struct store_op *op)
{
	if (!q->head)
		q->since_ns = store_now_ns();
	op->mail.next = NULL;
	*q->end = &op->mail;
	q->end = &op->mail.next;
	q->n++;
	q->n_urgent += is_urgent(op);
}

/* Takes out what *link points to. */
static struct store_op *queue_unlink(struct store_queue *q, struct mail **link)
{
	struct store_op *op = op_of(*link);

	*link = op->mail.next;
	if (!*link)
		q->end = link;
	q->n--;
	q->n_urgent -= is_urgent(op);
	return op;
}

static void receive(struct store *st)
{
	struct mail *next;

	for (struct mail *mail = mailbox_take(st->in); mail; mail = next) {
		struct store_op *op = op_of(mail);

		next = mail->next;
		if (MUTANT("barrier_apart") && op->kind == ST_END && op->n++ == 0) {
			mailbox_post_lazily(st->in, mail);      /* in a transaction of its own, after what it lets begin */
			continue;
		}
		if (op->kind != ST_STOP) {
			queue_push(&st->queue, op);
			continue;
		}
		st->stopping = true;
		store_op_free(op);
	}
}

static void deliver(struct store *st, struct store_op *op)
{
	if (!mailbox_post(st->out, &op->mail))
		store_die(st, "an unbounded mailbox refused a message");
}

/* ---- a batch ---------------------------------------------------------------------------------------------------- */

/* In a batch that is rolled back it saw what never was: then it is asked again. */
static int answer(struct store *st, struct store_op *op)
{
	int rc = store_query(st, op);

	op->error[0] = '\0';
	if (rc)
		snprintf(op->error, sizeof(op->error), "%s", sqlite3_errmsg(st->db));
	return rc;
}

/* A query that fails is answered so; but where memory or the disk has failed it SQLite has rolled back all of the batch. */
static int execute(struct store *st, struct store_op *op)
{
	int rc = is_query(op) ? answer(st, op) : store_write(st, op);

	return is_query(op) && !sqlite3_get_autocommit(st->db) ? SQLITE_OK : rc;
}

/* Up to a backup: it can not be begun within a transaction. */
static int execute_some(struct store *st, size_t *ret_n)
{
	int64_t until = store_now_ns() + BATCH_NS;
	size_t n = 0;

	for (struct mail *mail = st->queue.head; mail && op_of(mail)->kind != ST_BACKUP; mail = mail->next) {
		int rc = execute(st, op_of(mail));

		FAILPOINT("after_execute");
		if (rc)
			return rc;
		n++;
		if (store_now_ns() >= until)
			break;
		if (MUTANT("start_before_commit") && mail->next && (op_of(mail)->kind == ST_ARM) != (op_of(mail->next)->kind == ST_ARM))
			break;
	}
	*ret_n = n;
	return SQLITE_OK;
}

/* Counted before anybody hears of it: who has an answer finds its commit in the counters. */
static void deliver_batch(struct store *st, size_t n)
{
	bool waited = false;
	size_t i = 0;

	for (struct mail *m = st->queue.head; i < n && !waited; m = m->next, i++)
		waited = is_urgent(op_of(m));
	atomic_fetch_add_explicit(&st->commits, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&st->operations, n, memory_order_relaxed);
	if (waited)
		atomic_fetch_add_explicit(&st->waits, 1, memory_order_relaxed);
	for (i = 0; i < n; i++)
		deliver(st, queue_unlink(&st->queue, &st->queue.head));
	st->queue.since_ns = 0;         /* what is left has waited enough */
	st->last_n = n;
}

static int run_batch(struct store *st, size_t *ret_n)
{
	int rc = store_begin(st);

	if (!rc)
		rc = execute_some(st, ret_n);
	if (MUTANT("start_before_commit") && !rc && *ret_n && op_of(st->queue.head)->kind == ST_ARM) {
		deliver_batch(st, *ret_n);
		*ret_n = 0;
	}
	return rc ? rc : store_commit(st);
}

/* ---- no space --------------------------------------------------------------------------------------------------- */

/* A tree, or the items in hand, are made of what it gives: it has to see all that was posted before it. */
static bool is_look(const struct store_op *op)
{
	return is_query(op) && op->kind != ST_LOAD_JOBS && op->kind != ST_FIND_ITEMS && op->kind != ST_LOAD_ITEMS;
}

/* Those who only look need not wait for space. They see what is committed. */
static void answer_readers(struct store *st)
{
	struct mail **link = &st->queue.head;

	while (*link) {
		struct store_op *op = op_of(*link);

		if (is_look(op)) {
			queue_unlink(&st->queue, link);
			answer(st, op);
			deliver(st, op);
		} else {
			link = &op->mail.next;
		}
	}
}

static void set_retry(struct store *st, int64_t at_ns)
{
	st->retry_at_ns = at_ns;
	atomic_store(&st->stuck, at_ns != 0);
}

static void give_up_backup(struct store *st, const char *why)
{
	if (st->backup)
		deliver(st, store_backup_give_up(st, why));
}

/* Without the ballast there is room for a while; when that is used up, too, all that writes waits. A checkpoint lets the WAL start over
 * within the space it has. */
static void no_space(struct store *st)
{
	int64_t later = store_now_ns() + RETRY_NS;

	store_rollback(st);
	give_up_backup(st, "the disk is full");
	atomic_store(&st->full, true);
	st->look_at_ns = later;
	set_retry(st, store_ballast_drop(st) ? 0 : later);
	store_checkpoint(st);
	if (st->retry_at_ns)
		answer_readers(st);
}

/* While a batch is stuck all space that appears is for it. */
static void look_for_space(struct store *st)
{
	int64_t now = store_now_ns();

	if (!st->queue.head && now >= st->retry_at_ns)
		set_retry(st, 0);
	if (st->retry_at_ns || now < st->look_at_ns)
		return;
	st->look_at_ns = now + RETRY_NS;
	if (st->wal_pages)
		store_checkpoint(st);
	if (store_ballast_make(st))
		atomic_store(&st->full, false);
}

static void commit_batch(struct store *st)
{
	size_t n = 0;
	int rc = run_batch(st, &n);

	if (rc == SQLITE_OK) {
		set_retry(st, 0);
		deliver_batch(st, n);
	} else if (store_is_full(st, rc)) {
		no_space(st);
	} else {
		store_die(st, "can not commit");
	}
}

/* ---- between batches -------------------------------------------------------------------------------------------- */

static void begin_backup(struct store *st)
{
	struct store_op *op = store_backup_begin(st, queue_unlink(&st->queue, &st->queue.head));

	if (op)
		deliver(st, op);
}

static void copy_slice(struct store *st)
{
	struct store_op *op = store_backup_slice(st);

	if (op)
		deliver(st, op);
}

static void delete_slice(struct store *st)
{
	int rc = store_begin(st);

	if (!rc)
		rc = store_drop_slice(st);
	if (!rc)
		rc = store_commit(st);
	if (!rc)
		return;
	if (!store_is_full(st, rc))
		store_die(st, "can not delete");
	no_space(st);
}

/* ---- the thread ------------------------------------------------------------------------------------------------- */

static int64_t linger_until_ns(const struct store *st)
{
	return st->queue.since_ns + (st->last_n >= DENSE_OPS ? DENSE_LINGER_NS : LINGER_NS);
}

static bool is_due(const struct store *st, int64_t now)
{
	const struct store_queue *q = &st->queue;

	if (!q->head)
		return false;
	if (st->retry_at_ns)
		return now >= st->retry_at_ns || st->stopping;
	return q->n_urgent || q->n >= LINGER_OPS || now >= linger_until_ns(st) || st->stopping;
}

static int ms_until(int64_t at_ns, int64_t now)
{
	return at_ns > now ? (int)((at_ns - now + 999999) / 1000000) : 0;
}

/* How long there is nothing to do unless mail comes; -1: for ever. */
static int wait_ms(const struct store *st)
{
	int64_t now = store_now_ns();

	if (st->stopping || is_due(st, now))
		return 0;
	if (st->retry_at_ns)
		return ms_until(st->retry_at_ns, now);
	if (st->queue.head)
		return ms_until(linger_until_ns(st), now);
	if (st->drops || st->backup)
		return 0;
	if (atomic_load(&st->full))
		return ms_until(st->look_at_ns, now);
	return st->wal_pages ? IDLE_MS : -1;
}

/* Returns whether nothing came for the time that counts as idle. */
static bool wait_for_mail(struct store *st)
{
	int ms = wait_ms(st);

	if (ms && st->queue.head && !st->retry_at_ns)
		mailbox_doze(st->in, ms);       /* a batch lingers: what nobody waits for joins it at its end */
	else if (ms)
		mailbox_wait(st->in, ms);
	receive(st);
	return ms == IDLE_MS && !st->queue.head && !st->stopping;
}

static void take_due(struct store *st)
{
	if (op_of(st->queue.head)->kind == ST_BACKUP)
		begin_backup(st);
	else
		commit_batch(st);
}

static void turn(struct store *st)
{
	bool idle = wait_for_mail(st);

	if (st->retry_at_ns)
		answer_readers(st);
	if (is_due(st, store_now_ns()))
		take_due(st);
	if (st->backup && !st->stopping)
		copy_slice(st);
	if (st->drops && !st->retry_at_ns && !st->stopping)
		delete_slice(st);
	if (st->wal_pages && (idle || store_wal_is_long(st)))
		store_checkpoint(st);
	if (atomic_load(&st->full))
		look_for_space(st);
}

/* The end: everything posted is committed, unless there is no space for it. */
static void *main_of_thread(void *arg)
{
	struct store *st = arg;

	while (!st->stopping || (st->queue.head && !st->retry_at_ns))
		turn(st);
	give_up_backup(st, "jobd stops");
	return NULL;
}

/* ---- the loop's side -------------------------------------------------------------------------------------------- */

static void call_done(struct store *st)
{
	struct mail *next;

	for (struct mail *mail = mailbox_take(st->out); mail; mail = next) {
		struct store_op *op = op_of(mail);

		next = mail->next;
		atomic_fetch_sub_explicit(&st->queued, 1, memory_order_relaxed);
		atomic_fetch_sub_explicit(&st->queued_bytes, op->bytes, memory_order_relaxed);
		if (op->done)
			op->done(op);
		store_op_free(op);
	}
}

static void on_out(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	call_done(arg);
}

int store_start(struct store *st, struct event_base *base, struct store_error *err)
{
	int rc;

	st->event = event_new(base, mailbox_fd(st->out), EV_READ | EV_PERSIST, on_out, st);
	if (!st->event || event_add(st->event, NULL)) {
		snprintf(err->text, sizeof(err->text), "the store's mailbox can not be watched");
		return -1;
	}
	rc = pthread_create(&st->thread, NULL, main_of_thread, st);
	if (rc) {
		snprintf(err->text, sizeof(err->text), "the store's thread can not be started: %s", strerror(rc));
		return -1;
	}
	st->started = true;
	return 0;
}

static void post(struct store *st, struct store_op *op)
{
	if (!(is_urgent(op) ? mailbox_post : mailbox_post_lazily)(st->in, &op->mail))
		abort();
}

void store_post(struct store *st, struct store_op *op)
{
	atomic_fetch_add_explicit(&st->queued, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&st->queued_bytes, op->bytes, memory_order_relaxed);
	post(st, op);
}

/* The thread has ended: what the `done`s post is executed here. */
static void finish(struct store *st)
{
	call_done(st);
	for (receive(st); st->queue.head && !st->retry_at_ns; receive(st)) {
		take_due(st);
		give_up_backup(st, "jobd stops");
		call_done(st);
	}
	if (st->queue.head)
		log_error("%s: %zu operations were not recorded", st->full_text, st->queue.n);
	while (st->queue.head)
		store_op_free(queue_unlink(&st->queue, &st->queue.head));
}

void store_stop(struct store *st)
{
	if (!st)
		return;
	if (st->started) {
		post(st, store_op_new((enum store_kind)ST_STOP));
		pthread_join(st->thread, NULL);
		finish(st);
	}
	if (st->event)
		event_free(st->event);
	store_close(st);
}

void store_stats(const struct store *st, struct store_stats *ret)
{
	*ret = (struct store_stats){
		.commits = atomic_load_explicit(&st->commits, memory_order_relaxed),
		.operations = atomic_load_explicit(&st->operations, memory_order_relaxed),
		.waits = atomic_load_explicit(&st->waits, memory_order_relaxed),
		.commit_ms_max = (double)atomic_load_explicit(&st->commit_ns_max, memory_order_relaxed) / 1e6,
		.checkpoint_ms_max = (double)atomic_load_explicit(&st->checkpoint_ns_max, memory_order_relaxed) / 1e6,
		.queued = atomic_load_explicit(&st->queued, memory_order_relaxed),
	};
}

bool store_is_stuck(const struct store *st)
{
	return atomic_load(&st->stuck);
}

const char *store_trouble(const struct store *st)
{
	return atomic_load(&st->full) ? st->full_text : NULL;
}
