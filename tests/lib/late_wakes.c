/* SPDX-License-Identifier: MIT */
/*
 * Linked with --wrap=sem_post: who wakes another is often late, as on a busy machine, after it has given up the lock. What happens meanwhile (a
 * sleep that is over by itself, others who come and go) must not lose or double a wake-up.
 */
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>

int __real_sem_post(sem_t *sem);
int __wrap_sem_post(sem_t *sem);

int __wrap_sem_post(sem_t *sem)
{
	static atomic_uint n;
	unsigned turn = atomic_fetch_add(&n, 1);

	if (turn % 3 == 0)
		ppoll(NULL, 0, &(struct timespec){ .tv_nsec = turn * 7919 % 100 * 1000 }, NULL);
	return __real_sem_post(sem);
}
