/* SPDX-License-Identifier: MIT */
#include "hasher.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"

#define CHUNK (128u << 10)

static void await(int fd)
{
	uint64_t n;

	while (read(fd, &n, sizeof(n)) < 0 && errno == EINTR)
		;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Reads on to `upto`. false: no further, there is an error or nobody wants to know any more. */
static bool follow(struct hasher *h, uint64_t *at, uint64_t upto, unsigned char *chunk)
{
	while (*at < upto && !atomic_load(&h->stop)) {
		size_t want = upto - *at < CHUNK ? (size_t)(upto - *at) : CHUNK;
		int64_t begin = clock_us();
		ssize_t n = pread(h->fd, chunk, want, (off_t)*at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			h->error = n < 0 ? errno : EIO;
			return false;
		}
		digest_run_add(h->run, chunk, (size_t)n);
		*at += (uint64_t)n;
		h->took_us += clock_us() - begin;
	}
	return !atomic_load(&h->stop);
}

static void *run(void *arg)
{
	struct hasher *h = arg;
	unsigned char *chunk = mem_grow(NULL, CHUNK, 1);
	uint64_t at = h->from;
	bool last = false;

	while (!last) {
		await(h->wake);
		last = atomic_load(&h->last);           /* before `upto`: what was the last then is */
		if (!follow(h, &at, atomic_load(&h->upto), chunk))
			break;
	}
	free(chunk);
	h->same = last && !h->error && digest_run_end(h->run, &h->wanted, &h->is);
	signal_fd(h->ended);
	return NULL;
}

int hasher_start(struct hasher *h, int fd, uint64_t from, const struct digests *wanted)
{
	int rc;

	*h = (struct hasher){ .fd = fd, .from = from, .upto = from, .wake = eventfd(0, EFD_CLOEXEC), .ended = eventfd(0, EFD_CLOEXEC) };
	if (h->wake < 0 || h->ended < 0)
		return -1;
	h->run = digest_run_new(wanted);
	rc = pthread_create(&h->thread, NULL, run, h);
	errno = rc;
	h->started = rc == 0;
	return rc == 0 ? 0 : -1;
}

void hasher_reach(struct hasher *h, uint64_t upto)
{
	if (atomic_exchange(&h->upto, upto) != upto)
		signal_fd(h->wake);
}

void hasher_finish(struct hasher *h)
{
	atomic_store(&h->last, true);
	signal_fd(h->wake);
}

void hasher_take(struct hasher *h)
{
	await(h->ended);
}

void hasher_end(struct hasher *h)
{
	if (!h->started)
		return;
	atomic_store(&h->stop, true);
	signal_fd(h->wake);
	pthread_join(h->thread, NULL);
	close(h->wake);
	close(h->ended);
	digest_run_free(h->run);
	h->started = false;
}
