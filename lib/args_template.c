/* SPDX-License-Identifier: MIT */
/* Templates: words cut into pieces of text and places; an expansion measures itself, then writes itself. */
#include <inttypes.h>
#include <stdio.h>

#include "jobtree_args.h"
#include "tree.h"

#define NUMBER_MAX 20                     /* digits of a uint64_t */

enum piece_kind { TEXT, ITEMS, ITEM, SEQ, SLOT, THREADS };

struct piece {
	enum piece_kind kind;
	uint32_t column;                  /* ITEM: from 1 */
	const char *text;                 /* TEXT: in argv's copy */
	size_t len;
	bool ends_word;
};

struct jt_template {
	char *text;
	struct piece *piece;
	size_t n_pieces, cap_pieces;
	uint32_t columns;
	size_t head_cost;
	size_t n_words_of_items, n_texts_of_items;      /* ITEMS as a word; ITEMS and ITEM inside one */
};

/* ---- parsing ---- */

/* {1} .. {9999}; 0: not one. */
static uint32_t column_of(const char *s, const char **ret_end)
{
	uint32_t n = 0;
	const char *p = s + 1;
	if (*p < '1' || *p > '9')
		return 0;
	for (; *p >= '0' && *p <= '9' && n < UINT32_MAX / 100; p++)
		n = n * 10 + (uint32_t)(*p - '0');
	*ret_end = p + 1;
	return *p == '}' ? n : 0;
}

/* What stands at s, which is a brace: a place, or the brace itself. */
static struct piece place_at(const char *s, const char **ret_end)
{
	static const struct {
		const char *name;
		enum piece_kind kind;
	} places[] = { { "{}", ITEMS }, { "{#}", SEQ }, { "{%}", SLOT }, { "{threads}", THREADS } };

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		size_t n = strlen(places[i].name);
		if (strncmp(s, places[i].name, n) == 0) {
			*ret_end = s + n;
			return (struct piece){ .kind = places[i].kind };
		}
	}
	uint32_t column = column_of(s, ret_end);
	if (column > 0)
		return (struct piece){ .kind = ITEM, .column = column };
	*ret_end = s + 1;
	return (struct piece){ .kind = TEXT, .text = s, .len = 1 };
}

static int piece_add(struct jt_template *t, struct piece p)
{
	if (jti_room(&t->piece, &t->cap_pieces, t->n_pieces + 1, sizeof(*t->piece)) < 0)
		return -1;
	t->piece[t->n_pieces++] = p;
	return 0;
}

static int word_add(struct jt_template *t, const char *word)
{
	const char *s = word, *end;
	do {
		struct piece p = { .kind = TEXT, .text = s, .len = strcspn(s, "{") };
		end = s + p.len;
		if (p.len == 0 && *s)
			p = place_at(s, &end);
		p.ends_word = !*end;
		if (piece_add(t, p) < 0)
			return -1;
		s = end;
	} while (*s);
	return 0;
}

static bool is_whole_word(const struct jt_template *t, size_t i)
{
	return t->piece[i].ends_word && (i == 0 || t->piece[i - 1].ends_word);
}

static void measure(struct jt_template *t)
{
	for (size_t i = 0; i < t->n_pieces; i++) {
		const struct piece *p = &t->piece[i];
		bool spread = p->kind == ITEMS && is_whole_word(t, i);
		t->n_words_of_items += spread;
		t->n_texts_of_items += (p->kind == ITEMS && !spread) || p->kind == ITEM;
		if (p->column > t->columns)
			t->columns = p->column;
		t->head_cost += p->kind == TEXT ? p->len : p->kind >= SEQ ? NUMBER_MAX : 0;
		t->head_cost += p->ends_word && !spread ? jt_arg_cost(0) : 0;
	}
}

/* One piece of memory with all words, one after the other. */
static char *words_copy(char *const *argv, size_t n)
{
	size_t len = 0, at = 0;
	for (size_t i = 0; i < n; i++)
		len += strlen(argv[i]) + 1;
	char *text = malloc(len);
	for (size_t i = 0; text && i < n; at += strlen(argv[i]) + 1, i++)
		memcpy(text + at, argv[i], strlen(argv[i]) + 1);
	return text;
}

static int fill(struct jt_template *t, char *const *argv, size_t n, enum jt_template_append append)
{
	t->text = words_copy(argv, n);
	if (!t->text)
		return -1;
	const char *word = t->text;
	for (size_t i = 0; i < n; i++, word += strlen(word) + 1)
		if (word_add(t, word) < 0)
			return -1;
	measure(t);
	if (append == JT_TEMPLATE_AS_IS || t->n_words_of_items + t->n_texts_of_items > 0)
		return 0;
	t->n_words_of_items = 1;
	return piece_add(t, (struct piece){ .kind = ITEMS, .ends_word = true });
}

struct jt_template *jt_template_new(char *const *argv, size_t n, enum jt_template_append append, struct jt_error *err)
{
	if (n == 0) {
		jti_fail(err, JT_EINVAL, JT_NONE, "template: no command");
		return NULL;
	}
	struct jt_template *t = calloc(1, sizeof(*t));
	if (!t || fill(t, argv, n, append) < 0) {
		jti_fail(err, JT_ENOMEM, JT_NONE, "template: out of memory");
		jt_template_free(t);
		return NULL;
	}
	if (t->columns > JT_TEMPLATE_COLUMNS_MAX) {
		jti_fail(err, JT_EINVAL, JT_NONE, "template: {%u} is beyond the last placeholder, {%u}", t->columns, JT_TEMPLATE_COLUMNS_MAX);
		jt_template_free(t);
		return NULL;
	}
	return t;
}

void jt_template_free(struct jt_template *t)
{
	if (!t)
		return;
	free(t->text);
	free(t->piece);
	free(t);
}

uint32_t jt_template_columns(const struct jt_template *t)
{
	return t->columns;
}

size_t jt_template_head_cost(const struct jt_template *t)
{
	return t->head_cost;
}

size_t jt_template_item_cost(const struct jt_template *t, size_t len)
{
	return t->n_words_of_items * jt_arg_cost(len) + t->n_texts_of_items * (len + 1);
}

size_t jt_template_column_cost(const struct jt_template *t, uint32_t column, size_t len)
{
	size_t cost = 0;
	for (size_t i = 0; i < t->n_pieces; i++) {
		const struct piece *p = &t->piece[i];
		if (p->kind == ITEMS || (p->kind == ITEM && p->column == column))
			cost += is_whole_word(t, i) ? jt_arg_cost(len) : len + 1;
	}
	return cost;
}

/* ---- expansion ---- */

/* Writes, or with NULL memory only measures: both passes are the same walk. */
struct writer {
	char **argv, *out;
	size_t argc, len;
	bool in_word;
};

static void begin_word(struct writer *w)
{
	if (!w->in_word && w->argv)
		w->argv[w->argc] = w->out + w->len;
	w->in_word = true;
}

static void put(struct writer *w, const char *data, size_t len)
{
	begin_word(w);
	if (w->out && len > 0)
		memcpy(w->out + w->len, data, len);
	w->len += len;
}

static void end_word(struct writer *w)
{
	put(w, "", 1);
	w->argc++;
	w->in_word = false;
}

static void put_number(struct writer *w, uint64_t number)
{
	char digits[NUMBER_MAX + 1];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, number);
	put(w, digits, (size_t)n);
}

/* Which items stand at a place: from the first one on, each `step`-th. */
struct choice { size_t first, step; };

static struct choice choice_of(const struct piece *p, const struct jt_template_values *v)
{
	if (p->kind == ITEMS)
		return (struct choice){ 0, 1 };
	if (v->columns == 0)
		return (struct choice){ p->column - 1, v->n_items ? v->n_items : 1 };
	return (struct choice){ p->column > v->columns ? v->n_items : p->column - 1, v->columns };
}

static void put_joined(struct writer *w, struct choice c, const struct jt_template_values *v)
{
	begin_word(w);
	for (size_t i = c.first; i < v->n_items; i += c.step) {
		if (i > c.first)
			put(w, " ", 1);
		put(w, v->items[i].data, v->items[i].len);
	}
}

static void put_spread(struct writer *w, struct choice c, const struct jt_template_values *v)
{
	for (size_t i = c.first; i < v->n_items; i += c.step) {
		put(w, v->items[i].data, v->items[i].len);
		end_word(w);
	}
}

static void put_piece(struct writer *w, const struct piece *p, const struct jt_template_values *v)
{
	switch (p->kind) {
	case TEXT:
		put(w, p->text, p->len);
		break;
	case ITEMS:
	case ITEM:
		put_joined(w, choice_of(p, v), v);
		break;
	case SEQ:
		put_number(w, v->seq);
		break;
	case SLOT:
		put_number(w, v->slot);
		break;
	case THREADS:
		put_number(w, v->threads);
		break;
	}
}

/* Whether there may be any number of items at the place, each of which becomes a word. */
static bool is_spread(const struct jt_template *t, size_t i, const struct jt_template_values *v)
{
	const struct piece *p = &t->piece[i];
	return is_whole_word(t, i) && (p->kind == ITEMS || (p->kind == ITEM && p->column <= v->columns));
}

static void walk(struct writer *w, const struct jt_template *t, const struct jt_template_values *v)
{
	for (size_t i = 0; i < t->n_pieces; i++) {
		if (is_spread(t, i, v)) {
			put_spread(w, choice_of(&t->piece[i], v), v);
			continue;
		}
		put_piece(w, &t->piece[i], v);
		if (t->piece[i].ends_word)
			end_word(w);
	}
}

char **jt_template_expand(const struct jt_template *t, const struct jt_template_values *v, size_t *ret_argc)
{
	struct writer w = { 0 };
	walk(&w, t, v);
	size_t n_pointers = w.argc + 1;
	char **argv = malloc(n_pointers * sizeof(*argv) + w.len);
	if (!argv)
		return NULL;
	w = (struct writer){ .argv = argv, .out = (char *)(argv + n_pointers) };
	walk(&w, t, v);
	argv[w.argc] = NULL;
	*ret_argc = w.argc;
	return argv;
}
