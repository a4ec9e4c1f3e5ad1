/* SPDX-License-Identifier: MIT */
/*
 * libjobtree, arguments - how much fits into one exec, commands made from a template, items put together into batches.
 *
 *	items --jt_batch_offer--> batches --jt_template_expand--> argv of one process
 *
 * The library computes: the stack limit, the environment and the items are told to it. Nothing here is shared; an object belongs to one thread.
 */
#ifndef JOBTREE_ARGS_H
#define JOBTREE_ARGS_H

#include "jobtree.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what exec takes --------------------------------------------------------------------------------------------- */

/* One argument or variable, without its NUL (Linux: MAX_ARG_STRLEN is 32 pages of 4096, the NUL included). */
#define JT_ARG_STRING_MAX 131071u
/* Left free for what the kernel and the loader put beside the arguments. */
#define JT_ARG_RESERVE 4096u
/* What a batch takes unless told otherwise, as xargs does. */
#define JT_ARG_BATCH_DEFAULT ((size_t)128 << 10)

/* jt_arg_cost - what one string of an exec costs: its bytes, the NUL and the pointer to it. */
static inline size_t jt_arg_cost(size_t len)
{
	return len + 1 + sizeof(void *);
}

/* jt_arg_max_linux - the bytes of all arguments and variables of one exec, pointers included: a quarter of the stack limit (RLIMIT_STACK, soft, in
 * bytes; UINT64_MAX: unlimited), at least 128 KiB, at most 6 MiB. See execve(2). */
size_t jt_arg_max_linux(uint64_t stack_limit);

/* jt_arg_max_of - the same for a system that is not this one, by the name that `uname -s` prints there (any letter case), with its default limits;
 * "posix" is what every system has to give. 0: not known. */
size_t jt_arg_max_of(const char *os);

/* jt_arg_strings_cost - of a NULL-terminated list of strings (argv, envp). O(bytes) */
size_t jt_arg_strings_cost(char *const *strings);

/* jt_arg_budget - what is left for items: arg_max less the environment, the program's path and fixed arguments (`head`), JT_ARG_RESERVE and the
 * two pointers that end the lists. 0: nothing. */
size_t jt_arg_budget(size_t arg_max, size_t env_cost, size_t head_cost);

/* ---- templates --------------------------------------------------------------------------------------------------- */

struct jt_bytes {                         /* borrowed; no NUL needed, none may be inside */
	const char *data;
	size_t len;
};

/*
 * A command with places for items:
 *
 *	{}         a word of its own: all items, a word each; inside a longer word: all items, blanks between them
 *	{1} {2}..  that item, anywhere in a word; empty if there are fewer
 *	{#}        the sequence number, from 1        {%}  the slot, from 1        {threads}  CPUs a slot
 * Any other {...} is text.
 */
struct jt_template;

enum jt_template_append { JT_TEMPLATE_APPEND, JT_TEMPLATE_AS_IS };
/*
 * jt_template_new - copies argv (n words, at least 1). JT_TEMPLATE_APPEND: where no word has a place for an item, `{}` is added as the last.
 * NULL with *err: JT_EINVAL (no word; {k} with k above JT_TEMPLATE_COLUMNS_MAX), JT_ENOMEM.
 */
#define JT_TEMPLATE_COLUMNS_MAX 9999u
struct jt_template *jt_template_new(char *const *argv, size_t n, enum jt_template_append append, struct jt_error *err);
void jt_template_free(struct jt_template *t);

uint32_t jt_template_columns(const struct jt_template *t);        /* the highest k of a {k}; 0: none */
size_t jt_template_head_cost(const struct jt_template *t);        /* exec cost without items, numbers at their longest */
size_t jt_template_item_cost(const struct jt_template *t, size_t len);    /* at most what one more item of so many bytes adds to it */

/* jt_template_column_cost - at most what an item of so many bytes adds as the column-th (from 1) of a tuple of a batch. O(words) */
size_t jt_template_column_cost(const struct jt_template *t, uint32_t column, size_t len);

struct jt_template_values {
	const struct jt_bytes *items;
	size_t n_items;
	uint64_t seq;
	uint32_t slot, threads;
	uint32_t columns;                 /* items are a batch of tuples of so many, one after the other: {k} stands for the k-th of each, as {} does for
	                                     all, a word each or with blanks between; 0: {k} is the k-th item */
};
/* jt_template_expand - a NULL-terminated argv in one piece of memory, to be freed with free(). NULL: out of memory. O(bytes) */
char **jt_template_expand(const struct jt_template *t, const struct jt_template_values *v, size_t *ret_argc);

/* ---- batches ----------------------------------------------------------------------------------------------------- */

struct jt_batch_limits {
	size_t items;                     /* at most so many; 0: any number */
	size_t bytes;                     /* the user's limit: sum of jt_arg_cost of the items, or the bytes of the joined string; 0: none */
	size_t budget;                    /* what exec has left for items: jt_arg_budget; 0: no limit (items that travel on standard input) */
	size_t string;                    /* one string: JT_ARG_STRING_MAX; 0: no limit */
	size_t join;                      /* bytes of the separator; see joined */
	bool joined;                      /* all items become one argument, `join` bytes between them */
	uint32_t columns;                 /* what is offered are tuples of so many items: jt_batch_offer_tuple. Joined, each column is an argument; 0: items */
};

struct jt_batch {
	struct jt_batch_limits limits;
	size_t n, bytes, cost;            /* what is in it; bytes: as limits.bytes counts; cost: as limits.budget does */
};

enum jt_batch_verdict {
	JT_BATCH_TAKEN,
	JT_BATCH_FULL,                    /* there is no room beside what is in it: hand that on, jt_batch_reset, offer again */
	JT_BATCH_TOO_LONG,                /* the item fits into no batch: it fails by itself */
};
void jt_batch_init(struct jt_batch *b, const struct jt_batch_limits *limits);
void jt_batch_reset(struct jt_batch *b);
/* jt_batch_offer - an item of len bytes. t says what it costs where it is put in; NULL: once, as a word. O(1) */
enum jt_batch_verdict jt_batch_offer(struct jt_batch *b, const struct jt_template *t, size_t len);
/* jt_batch_offer_tuple - the same for a tuple of limits.columns items of so many bytes each. O(columns x words) */
enum jt_batch_verdict jt_batch_offer_tuple(struct jt_batch *b, const struct jt_template *t, const size_t *len);
/* Whether not even an empty item would be taken: it can be handed on now. */
bool jt_batch_is_full(const struct jt_batch *b, const struct jt_template *t);

/* jt_batch_share - of n items that are left for `slots` slots, how many the next batch gets so that sizes differ by one at most; 0 for n = 0.
 * Call again with n less that. */
size_t jt_batch_share(size_t n, uint32_t slots);

#ifdef __cplusplus
}
#endif
#endif
