/* SPDX-License-Identifier: MIT */
/* The parts of a map through the daemon: the connection that never blocks, and the keys of items. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/map/keys.h"
#include "client/map/peer.h"
#include "client/map/stage.h"
#include "kit.h"

/* ---- peer ---- */

static struct peer peer;
static struct buf heard;                /* frames, a blank behind each */
static int other, n_gone, n_rooms;
static bool gives_up;

static void on_frame(void *arg, const char *text, size_t len)
{
	ck_assert_ptr_eq(arg, &heard);
	buf_add(&heard, text, len);
	buf_putc(&heard, ' ');
	if (gives_up)
		peer_close(&peer);
}

static void on_room(void *arg)
{
	ck_assert_ptr_eq(arg, &heard);
	ck_assert(!peer_is_behind(&peer));
	n_rooms++;
}

static void on_gone(void *arg)
{
	ck_assert_ptr_eq(arg, &heard);
	n_gone++;
}

static void connect_peer(void)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	other = ends[1];
	if (!peer.base)
		peer = (struct peer){ .base = event_base_new(), .on_frame = on_frame, .on_room = on_room, .on_gone = on_gone, .arg = &heard };
	peer_connect(&peer, ends[0]);
}

static void says(const char *bytes, size_t n)
{
	ck_assert_int_eq(write(other, bytes, n), (ssize_t)n);
	event_base_loop(peer.base, EVLOOP_ONCE);
}

static void end(void)
{
	peer_close(&peer);
	close(other);
	event_base_free(peer.base);
	buf_done(&heard);
	peer = (struct peer){ 0 };
	n_gone = n_rooms = 0;
	gives_up = false;
}

START_TEST(frames_come_whole_however_they_are_cut)
{
	connect_peer();
	says("{1", 2);
	ck_assert_uint_eq(heard.len, 0);
	says("}\0{2}\0{", 7);
	says("3}\0", 3);
	ck_assert_str_eq(buf_text(&heard), "{1} {2} {3} ");
	end();
}
END_TEST

START_TEST(one_that_is_given_up_says_no_more)
{
	connect_peer();
	gives_up = true;
	says("{1}\0{2}\0", 8);
	ck_assert_str_eq(buf_text(&heard), "{1} ");
	ck_assert(!peer_is_connected(&peer));
	ck_assert_int_eq(n_gone, 0);
	end();
}
END_TEST

START_TEST(an_end_is_told_once_and_what_was_to_be_said_is_forgotten)
{
	char text[8];

	connect_peer();
	peer_add(&peer, "lost", 5);
	close(other);
	event_base_loop(peer.base, EVLOOP_ONCE);
	ck_assert_int_eq(n_gone, 1);
	peer_add(&peer, "also", 5);
	connect_peer();
	peer_add(&peer, "said", 5);
	peer_flush(&peer);
	ck_assert_int_eq(read(other, text, sizeof(text)), 5);
	ck_assert_str_eq(text, "said");
	end();
}
END_TEST

START_TEST(what_the_socket_does_not_take_follows)
{
	size_t size = 4 << 20, got = 0;
	char *text = malloc(size), *back = malloc(size);

	for (size_t i = 0; i < size; i++)
		text[i] = (char)(i * 31 >> 3);
	connect_peer();
	peer_add(&peer, text, size);
	peer_flush(&peer);
	ck_assert(peer_is_behind(&peer));
	while (got < size) {
		ssize_t n = recv(other, back + got, size - got, MSG_DONTWAIT);

		if (n > 0)
			got += (size_t)n;
		else
			event_base_loop(peer.base, EVLOOP_ONCE);
	}
	ck_assert_mem_eq(text, back, size);
	ck_assert(!peer_is_behind(&peer));
	ck_assert_int_eq(n_rooms, 1);
	free(text);
	free(back);
	end();
}
END_TEST

/* ---- keys ---- */

static struct stage stage;
static unsigned char keys_made[4][KEY_SIZE];

/* The i-th of keys_made is of an item of these words. */
static void make_key(struct keys *k, size_t i, const char *text, size_t part_at, size_t n_parts)
{
	struct jt_item item = { (void *)(uintptr_t)text, strlen(text), NULL };
	struct task t = { .stage = &stage, .item = &item, .part_at = part_at, .n_parts = n_parts };

	ck_assert_int_eq(keys_make(k, &t), 0);
	keys_of_start(&t, keys_made[i]);
}

static bool are_same(size_t i, size_t j)
{
	return memcmp(keys_made[i], keys_made[j], KEY_SIZE) == 0;
}

static struct keys *keys_for(const char *word)
{
	static const char *words[1];
	static struct stage_settings set;

	words[0] = word;
	set = (struct stage_settings){ .words = words, .n_words = 1 };
	stage.set = &set;
	return keys_new(&set, 1);
}

START_TEST(a_key_is_command_content_and_occurrence)
{
	struct keys *first = keys_for("echo"), *again = keys_for("echo"), *other_command = keys_for("cat");

	make_key(first, 0, "a", 0, 0);
	make_key(first, 1, "a", 0, 0);
	ck_assert(!are_same(0, 1));
	make_key(again, 2, "b", 0, 0);
	make_key(again, 2, "a", 0, 0);
	ck_assert(are_same(0, 2));
	make_key(other_command, 3, "a", 0, 0);
	ck_assert(!are_same(0, 3));
	keys_free(first);
	keys_free(again);
	keys_free(other_command);
}
END_TEST

START_TEST(a_part_has_a_key_that_follows_from_the_whole)
{
	struct keys *first = keys_for("echo"), *again = keys_for("echo");

	make_key(first, 0, "a", 0, 2);
	make_key(again, 1, "a", 0, 2);
	ck_assert(are_same(0, 1));
	keys_free(again);
	again = keys_for("echo");
	make_key(again, 2, "a", 2, 2);
	ck_assert(!are_same(0, 2));
	keys_free(first);
	keys_free(again);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		frames_come_whole_however_they_are_cut, one_that_is_given_up_says_no_more, an_end_is_told_once_and_what_was_to_be_said_is_forgotten,
		what_the_socket_does_not_take_follows, a_key_is_command_content_and_occurrence, a_part_has_a_key_that_follows_from_the_whole, NULL
	};

	return kit_run("map_remote", tests);
}
