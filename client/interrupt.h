/* SPDX-License-Identifier: MIT */
/* Interrupt - INT and TERM as a descriptor: nothing happens in a signal handler. */
#ifndef INTERRUPT_H
#define INTERRUPT_H

/* interrupt_hold - INT and TERM end this process no more; they wait for an interrupt_fd to come. */
void interrupt_hold(void);
/* interrupt_fd - from now on INT and TERM are blocked and can be read from the descriptor that is returned; -1: not possible. */
int interrupt_fd(void);
/* interrupt_take - the signal that came, 0 if none did. */
int interrupt_take(int fd);

#endif
