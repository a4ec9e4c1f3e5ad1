# SPDX-License-Identifier: MIT
# timeout: 240
"""Maps over the socket: what Map, MapPut, MapRead, MapDelivered, MapStop and MapEnd do, call by call."""
import contextlib
import hashlib
import os
import resource
import select
import signal
import sqlite3
import sys
import unittest

import kit
import varlink
from case import Case
from maps import MapClient, b64
from puppets import PUPPET


class MapCase(Case):
    def map(self, *words, **options):
        m = MapClient(self.d.socket, words or ("true",), **options)
        self.addCleanup(m.close)
        return m

    def puppet_map(self, **options):
        return self.map(PUPPET, self.pup.path, "{}", **options)

    def shell_map(self, text, **options):
        return self.map(text, shell=True, **options)

    def mistake(self, m):
        with self.assertRaises(varlink.Error) as caught:
            while not m.done:
                m.hear()
        return caught.exception

    def lose(self, m):
        """It has the map no more when this returns."""
        m.delivered(1 << 40)
        self.mistake(m)
        self.assertEqual(self.row(m)["state"], "waiting")

    def rows(self, table, where="1"):
        """How many there are when all that was said is durable."""
        with contextlib.closing(sqlite3.connect(self.call("Backup")["path"])) as db:
            return db.execute("SELECT count(*) FROM %s WHERE %s" % (table, where)).fetchone()[0]

    def row(self, m):
        """Its row of MapList; None: it does not go on."""
        return {r["run"]: r for r in self.call("MapList")["maps"]}.get(m.run)

    def shown(self, m):
        return self.call("Get", run=str(m.run))["run"]

    def ended_run(self, m):
        self.wait(str(m.run))
        return self.shown(m)["state"]

    def restart(self):
        self.d.kill()
        self.d.start()
        self.connect()


class Course(MapCase):
    def test_an_item_ends_and_its_run_with_it(self):
        m = self.map("printf", "%s %s", "{}", "{#}")
        self.assertEqual((m.hello["resumed"], m.hello["in_hand"], m.hello["next_tag"]), (False, [], 1))
        tag, = m.put(b"a")
        e = m.next_ended()
        self.assertEqual((e["tag"], e["reason"], e["exit_code"], e["attempts"], e["out"], e["err"]), (tag, "exit", 0, 1, b"a 1", b""))
        self.assertLessEqual(e["started_at"], e["ended_at"])
        m.delivered(tag)
        m.end()
        self.assertEqual(m.said[-1], {"done": True})
        self.assertEqual(self.ended_run(m), "ok")
        self.assertEqual([self.rows(t) for t in ("items", "attempts")], [0, 0])
        self.assertFalse(os.path.exists("%s/out/%d" % (self.d.state, m.run)))

    def test_a_map_may_end_as_failed_or_without_an_item(self):
        m = self.map()
        m.end(failed=True)
        self.assertEqual(self.ended_run(m), "failed")

    def test_every_way_to_end(self):
        m = self.shell_map('eval "$1"')
        m.put(b"exit 3", b"kill -USR1 $$", b"true")
        e = m.all_ended(3)
        self.assertEqual([(e[t]["reason"], e[t].get("exit_code"), e[t].get("signal")) for t in (1, 2, 3)],
                         [("exit", 3, None), ("signal", None, 10), ("exit", 0, None)])
        m = self.shell_map('eval "$1"', timeout_s=0.2, grace_s=0.1)
        m.put(b"trap '' TERM; sleep 60")
        self.assertEqual(m.next_ended()["reason"], "timeout")

    def test_a_command_that_is_not_there(self):
        m = self.map("/no/such/program")
        m.put(b"a")
        e = m.next_ended()
        self.assertEqual((e["reason"], e["message"].split(":")[0], e["attempts"]), ("spawn", "ENOENT", 1))

    def test_a_message_is_text_whatever_is_in_it(self):
        m = self.map("sh", cwd='/no/"such"\\folder\n\u00e9')
        m.put(b"a", b"b")
        for e in m.all_ended(2).values():
            self.assertEqual((e["reason"], e["out_bytes"]), ("spawn", 0))
            self.assertIn('"such"\\', e["message"])

    def test_items_that_no_exec_takes_fail_alone(self):
        m = self.map("printf", "%s", "{}", retry={"max": 5})
        m.put(b"x" * 200000, b"a\0b", b"ok")
        e = m.all_ended(3)
        self.assertEqual([(e[t]["reason"], e[t]["message"].split(":")[0], e[t]["attempts"]) for t in (1, 2)],
                         [("spawn", "E2BIG", 1), ("spawn", "EILSEQ", 1)])
        self.assertEqual(e[3]["out"], b"ok")

    def test_items_are_bytes(self):
        every = bytes(range(1, 256))
        m = self.map("printf", "%s.", "{}", "{2}{1}")
        m.put([every, b""], [b"", b"\xff"], [b"a b", b"'\"\n"])
        e = m.all_ended(3)
        self.assertEqual([e[t]["out"] for t in (1, 2, 3)], [every + b".." + every + b".", b".\xff.\xff.", b"a b.'\"\n.'\"\na b."])

    def test_templates_and_environment(self):
        m = self.map("sh", "-c", 'echo "$*" $JOBD_SEQ $JOBD_SLOT $JOBD_ATTEMPT $JOBD_MAP $OF_CLIENT; pwd', "sh", "<{}>", "{#}", "{%}", "{threads}",
                     slots=1, threads=7, env={"OF_CLIENT": "yes"}, cwd="/usr")
        m.put(b"a")
        self.assertEqual(m.next_ended()["out"], b"<a> 1 1 7 1 1 1 %d yes\n/usr\n" % m.run)

    def test_a_shell_gets_items_as_parameters(self):
        m = self.shell_map('echo {} "[$1]" "$#"; echo {}')
        m.put([b"$(id)", b"a  b"])
        self.assertEqual(m.next_ended()["out"], b"$(id) a  b [$(id)] 2\n$(id) a  b\n")

    def test_an_item_on_standard_input(self):
        m = self.map("md5sum", stdin=True)
        data = bytes(range(256)) * 2000
        m.put(data, b"")
        e = m.all_ended(2)
        self.assertEqual([e[t]["out"].split()[0].decode() for t in (1, 2)], [hashlib.md5(data).hexdigest(),
                                                                           "d41d8cd98f00b204e9800998ecf8427e"])

    def test_without_it_standard_input_is_empty(self):
        m = self.map("wc", "-c", "--files0-from=-", stdin=False)
        m2 = self.shell_map("cat; echo $?")
        m2.put(b"a")
        self.assertEqual(m2.next_ended()["out"], b"0\n")
        m.end()

    def test_what_stderr_is(self):
        text = "echo out; echo err >&2"
        for how, out, err in ((None, b"out\n", b"err\n"), ("apart", b"out\n", b"err\n"), ("merge", b"out\nerr\n", b""), ("drop", b"out\n", b"")):
            with self.subTest(how):
                m = self.shell_map(text, **({"stderr": how} if how else {}))
                m.put(b"a")
                e = m.next_ended()
                self.assertEqual((e["out"], e["err"], e["err_bytes"]), (out, err, len(err)))
                m.end()

    def test_ends_come_in_the_order_in_which_they_are(self):
        m = self.puppet_map(slots=3, window=3)
        m.put(b"a", b"b", b"c")
        for _ in range(3):
            self.pup.accept()
        for name in "cab":
            self.pup.end(name)
            self.assertEqual(m.next_ended()["tag"], "abc".index(name) + 1)

    def test_items_begin_as_they_were_put_and_never_more_than_slots(self):
        m = self.puppet_map(slots=2, window=6)
        m.put(*[b"%d" % i for i in range(6)])
        self.assertEqual({self.pup.accept(), self.pup.accept()}, {"0", "1"})
        for i in range(6):
            self.assertEqual(self.row(m)["running"], min(2, 6 - i))
            self.pup.end(str(i))
            self.assertEqual(m.next_ended()["tag"], i + 1)
            if i < 4:
                self.assertEqual(self.pup.accept(), str(i + 2))

    def test_numbers_of_slots_are_each_given_once_at_a_time(self):
        m = self.map("sh", "-c", 'mkdir "$1/$JOBD_SLOT" && echo $JOBD_SLOT && rmdir "$1/$JOBD_SLOT"', "sh", self.d.folder, slots=4, window=16)
        slots = set()
        m.put(*[b"%d" % i for i in range(16)])
        for i in range(16, 216):
            e = m.next_ended()
            self.assertEqual(e["exit_code"], 0)
            slots.add(int(e["out"]))
            m.delivered(e["tag"])
            m.put(b"%d" % i)
        self.assertLessEqual(slots, {1, 2, 3, 4})

    def test_retries_are_counted_and_only_the_last_output_is_kept(self):
        m = self.shell_map('echo $JOBD_ATTEMPT; test $JOBD_ATTEMPT = "$1"', retry={"max": 2, "cap_s": 0.001, "max_s": 0.001})
        for _ in range(2):      # the second time in places that have been used
            tags = m.put(b"1", b"3", b"9")
            e = m.all_ended(3)
            self.assertEqual([(e[t]["attempts"], e[t]["exit_code"], e[t]["out"]) for t in tags], [(1, 0, b"1\n"), (3, 0, b"3\n"), (3, 1, b"3\n")])
            m.delivered(*tags)
        m.end()
        self.assertEqual(self.rows("attempts"), 0)

    def test_many_items_take_the_rows_of_a_window(self):
        m = self.map("true", slots=4, window=16)
        put = len(m.put(*[b"%d" % i for i in range(16)]))
        for _ in range(1000):
            m.delivered(m.next_ended()["tag"])
            if put < 1000:
                put += len(m.put(b"%d" % put))
        self.call("MapList")    # answers when all of that is durable
        self.assertEqual([self.rows(t) for t in ("jobs", "states", "items", "attempts")], [16, 16, 0, 0])
        self.assertEqual(self.rows("events"), 1)
        row = self.row(m)
        self.assertEqual([row[k] for k in ("put", "ended", "failed", "delivered", "in_hand", "running")], [1000, 1000, 0, 1000, 0, 0])
        m.end()

    def test_an_item_that_is_paused_over_waits(self):
        m = self.puppet_map(slots=1)
        self.call("Pause", run=str(m.run))
        m.put(b"a")
        self.assertEqual(self.why(str(m.run))[0]["what"], "paused")
        self.call("Resume", run=str(m.run))
        self.assertEqual(self.pup.accept(), "a")


class Outputs(MapCase):
    def test_sizes_around_what_is_packed(self):
        m = self.shell_map('head -c "$1" /dev/zero | tr "\\0" x', window=16)
        sizes = (0, 1, 4095, 4096, 4097, 10 << 20)
        tags = m.put(*[b"%d" % n for n in sizes])
        e = m.all_ended(len(sizes))
        for tag, size in zip(tags, sizes):
            with self.subTest(size=size):
                self.assertEqual((e[tag]["out_bytes"], e[tag]["err_bytes"]), (size, 0))
                self.assertEqual(e[tag]["out"], b"x" * size if size <= 4096 else None)
                self.assertEqual(m.read_all(tag), b"x" * size)
                self.assertEqual(m.read_all(tag, "err"), b"")
        self.assertEqual(m.read_all(tags[3], size=1000), b"x" * 4096)
        self.assertEqual(m.read_all(tags[4], size=1000, offset=97), b"x" * 4000)
        m.delivered(*tags)
        m.end()
        self.assertFalse(os.path.exists("%s/out/%d" % (self.d.state, m.run)))

    def test_ends_wait_for_a_client_that_does_not_read(self):
        n = 1500
        m = self.map("sh", "-c", 'test "$2" != last || exec "$0" "$1" "$2"; echo "$2"; head -c 4000 /dev/zero', PUPPET, self.pup.path, "{}", slots=1,
                     window=n + 1)
        m.put(*[b"%d" % i for i in range(n)], b"last")
        self.pup.accept()               # 8 MB of base64, of which no more than half has been written to the connection
        self.pup.end("last")
        ended = m.all_ended(n + 1)
        self.assertEqual([ended[i + 1]["out"][:8].split(b"\n")[0] for i in range(n)], [b"%d" % i for i in range(n)])

    def test_a_client_that_reads_as_fast_as_it_can_holds_up_nobody(self):
        size, came, buffer = 64 << 20, 0, bytearray(1 << 20)
        m = self.map(sys.executable, "-c", "import os; os.ftruncate(1, %d)" % size)
        m.put(b"a")
        m.next_ended()
        m.read(1, size=1 << 30)
        came += m.wire.sock.recv_into(buffer)
        self.conn.send("org.jobd.Stats")
        while self.conn.sock not in select.select([self.conn.sock, m.wire.sock], [], [], kit.PATIENCE)[0]:
            came += m.wire.sock.recv_into(buffer)
        self.conn.receive()
        self.assertLess(came, size // 4, "the answer came behind the output")

    def test_data_waits_for_a_client_that_does_not_read(self):
        m = self.map("sh", "-c", 'head -c 20000000 /dev/zero; exec "$0" "$1" "$2"', PUPPET, self.pup.path, "{}", slots=1)
        tag, = m.put(b"a")
        m.read(tag, size=1 << 30)
        self.pup.accept()
        self.call("MapList")            # the daemon is there for others
        self.pup.end("a")
        got = 0
        while True:
            piece = m.next_data()
            self.assertEqual((piece["offset"], piece["data"].count(0)), (got, len(piece["data"])))
            got += len(piece["data"])
            if piece["eof"]:
                break
        self.assertEqual(got, 20000000)

    def test_both_streams_at_once(self):
        m = self.shell_map("seq 100000; seq 100000 >&2")
        tag, = m.put(b"a")
        whole = "".join("%d\n" % i for i in range(1, 100001)).encode()
        got = {"out": b"", "err": b""}
        for stream in got:
            m.read(tag, stream)
        eof = set()
        while len(eof) < 2:
            piece = m.next_data()
            got[piece["stream"]] += piece["data"]
            eof |= {piece["stream"]} if piece["eof"] else set()
        self.assertEqual(got, {"out": whole, "err": whole})

    def test_what_an_item_writes_comes_while_it_runs(self):
        m = self.map("sh", "-c", 'echo early; "$0" "$1" "$2"; echo late', PUPPET, self.pup.path, "{}", slots=1)
        tag, = m.put(b"a")
        m.read(tag)
        self.assertEqual(m.next_data(), {"tag": tag, "stream": "out", "offset": 0, "data": b"early\n", "eof": False})
        self.pup.accept()
        self.pup.end("a")
        rest = m.next_data()
        self.assertEqual((rest["data"], rest["offset"]), (b"late\n", 6))
        if not rest["eof"]:
            self.assertEqual(m.next_data(), {"tag": tag, "stream": "out", "offset": 11, "data": b"", "eof": True})
        self.assertEqual(m.next_ended()["out"], b"early\nlate\n")

    def test_no_more_than_was_asked_for_comes(self):
        m = self.shell_map("head -c 200000 /dev/zero", slots=1)
        tag, = m.put(b"a")
        m.read(tag, size=100000)
        got = 0
        while got < 100000:
            got += len(m.next_data()["data"])
        self.assertEqual(got, 100000)
        m.next_ended()
        m.read(tag, offset=199999, size=10)
        self.assertEqual(m.next_data(), {"tag": tag, "stream": "out", "offset": 199999, "data": b"\0", "eof": True})

    def test_an_item_that_may_be_tried_again_is_not_read_before_it_has_ended(self):
        m = self.shell_map("echo $JOBD_ATTEMPT; test $JOBD_ATTEMPT = 2", slots=1, retry={"max": 3, "cap_s": 0, "max_s": 0})
        tag, = m.put(b"a")
        m.read(tag)
        self.assertEqual(m.next_data()["data"], b"2\n")

    def test_a_read_may_come_before_the_start(self):
        m = self.puppet_map(slots=1)
        m.put(b"a", b"b")
        m.read(2)
        self.pup.accept()
        self.pup.end("a")
        self.pup.accept()
        self.pup.end("b")
        self.assertEqual(m.next_data(), {"tag": 2, "stream": "out", "offset": 0, "data": b"", "eof": True})

    def test_an_output_that_is_too_large_ends_the_item(self):
        m = self.shell_map('if test "$1" = endless; then yes; else head -c "$1" /dev/zero; fi', slots=2, output_max=100000)
        m.put(b"endless", b"100000", b"100001")
        e = m.all_ended(3)
        self.assertEqual([(e[t]["reason"], e[t].get("exit_code")) for t in (1, 2, 3)], [("output", None), ("exit", 0), ("output", None)])
        self.assertEqual(e[2]["out_bytes"], 100000)
        self.assertEqual(e[1]["err_bytes"], 0)
        self.assertGreater(e[1]["out_bytes"], 100000)
        self.assertEqual(m.read_all(3), b"\0" * 100001)

    def test_too_much_that_is_not_delivered_holds_up_all_but_the_oldest(self):
        m = self.map("sh", "-c", '"$0" "$1" "$2"; head -c 6000 /dev/zero', PUPPET, self.pup.path, "{}", slots=2, window=8, undelivered_max=10000)
        m.put(b"a", b"b", b"c", b"d", b"e")
        self.assertEqual({self.pup.accept(), self.pup.accept()}, {"a", "b"})
        self.pup.end("b")
        m.next_ended()
        self.assertEqual(self.pup.accept(), "c")
        self.pup.end("c")
        m.next_ended()
        self.assertEqual(self.row(m)["running"], 1)     # 12,000 bytes wait, and d is not the oldest
        reason, = self.why(str(m.run), "4")
        self.assertEqual(reason["what"], "undelivered")
        self.assertIn('"4" could start, but 12000 bytes of what has ended have not been delivered (undelivered_max: 10000)', reason["text"])
        m.delivered(2)
        self.assertEqual(self.pup.accept(), "d")
        self.pup.end("d")
        m.next_ended()
        self.pup.end("a")
        m.next_ended()
        self.assertEqual(self.row(m)["running"], 0)
        m.delivered(1, 3)
        self.assertEqual(self.pup.accept(), "e")
        self.pup.end("e")
        m.next_ended()

    def test_the_oldest_starts_whatever_waits(self):
        m = self.map("sh", "-c", '"$0" "$1" "$2"; head -c 6000 /dev/zero; test $JOBD_ATTEMPT = 2', PUPPET, self.pup.path, "{}", slots=2, window=8,
                     undelivered_max=100, retry={"max": 1, "cap_s": 0, "max_s": 0})
        m.put(b"a", b"b")
        self.assertEqual({self.pup.accept(), self.pup.accept()}, {"a", "b"})
        self.pup.end("b")
        self.assertEqual(self.pup.accept(), "b")
        self.pup.end("b")
        self.assertEqual(m.next_ended()["tag"], 2)
        self.pup.end("a")       # and is tried again, though 6,000 bytes wait
        self.assertEqual(self.pup.accept(), "a")
        self.pup.end("a")
        self.assertEqual(m.next_ended()["tag"], 1)


class Mistakes(MapCase):
    def test_more_than_the_window(self):
        m = self.puppet_map(slots=2, window=2)
        m.put(b"a", b"b", b"c")
        self.assertRegex(str(self.mistake(m)), "Refused: item 3 is one more than the window of 2: deliver first")
        self.assertEqual(self.ended_run(m), "cancelled")

    def test_what_is_refused_ends_the_map(self):
        good = dict(tag=1, seq=1, items_b64=[b64(b"a")])
        for text, method, p in ((r"tag 1 is not above 2", "Put", dict(items=[dict(good, tag=2), good, dict(good, tag=1)])),
                                (r"has a key: items of a map with a name", "Put", dict(items=[dict(good, key="0" * 32)])),
                                (r"items_b64\[0\] must be a string of base64, got \"%\"", "Put", dict(items=[dict(good, items_b64=["%"])])),
                                (r"items_b64 must be a list of at least one", "Put", dict(items=[dict(good, items_b64=[])])),
                                (r"tag must be 1\.\..*, got 0", "Put", dict(items=[dict(good, tag=0)])),
                                (r"colour", "Put", dict(items=[dict(good, colour="red")])),
                                (r"item 7 cannot be delivered: it is not in hand", "Delivered", dict(tags=[7])),
                                (r"cannot be delivered: it is not in hand", "Delivered", dict(tags=["x"])),
                                (r"item 7 cannot be read: it is not in hand", "Read", dict(tag=7, stream="out", offset=0, max=1)),
                                (r"stream must be", "Read", dict(tag=7, stream="both", offset=0, max=1)),
                                (r"max must be", "Read", dict(tag=7, stream="out", offset=0, max=0)),
                                (r"now", "Stop", dict(now=3))):
            with self.subTest(text):
                m = self.map("true")
                m.tell(method, **p)
                e = self.mistake(m)
                self.assertEqual(e.name, "org.jobd.Refused")
                self.assertRegex(str(e), text)

    def test_two_reads_at_a_time(self):
        m = self.puppet_map()
        m.put(b"a")
        m.read(1)
        m.read(1, "err")
        m.read(1)
        self.assertRegex(str(self.mistake(m)), "item 1 is being read already")

    def test_what_has_not_ended_is_not_delivered(self):
        m = self.puppet_map()
        m.put(b"a")
        m.delivered(1)
        self.assertRegex(str(self.mistake(m)), "item 1 cannot be delivered: it has not ended")

    def test_options_are_refused_by_name(self):
        command = {"words_b64": [b64(b"true")]}
        good = dict(slots=1, window=1, command=command)
        for text, options in (("slots is missing|slots", dict(good, slots=None)), ("window must be at least slots .2., got 1", dict(good, slots=2)),
                              ("command.words_b64", dict(good, command={})), ("command.words_b64 must be one text for a shell, got 2",
                               dict(good, command=dict(words_b64=[b64(b"a"), b64(b"b")], shell=True))),
                              (r"command.words_b64\[0\] must not be empty", dict(good, command=dict(words_b64=[""]))),
                              ("stderr must be", dict(good, stderr="up")), ("timeout_s", dict(good, timeout_s=-1)), ("retry.max", dict(good, retry={"max": -1})),
                              ("colour", dict(good, colour=1)), ("name must have no \"/\"", dict(good, name="a/b")),
                              ("the limit of 524288 bytes", dict(good, env={"A": "x" * 130000, "B": "x" * 130000, "C": "x" * 130000, "D": "x" * 130000,
                                                                           "E": "x" * 130000}))):
            with self.subTest(text):
                conn = varlink.Connection(self.d.socket)
                self.addCleanup(conn.close)
                conn.send("org.jobd.Map", dict(options={k: v for k, v in options.items() if v is not None}), more=True)
                with self.assertRaises(varlink.Error) as caught:
                    conn.receive()
                self.assertEqual(caught.exception.name, "org.jobd.Refused")
                self.assertRegex(str(caught.exception), text)

    def test_a_map_is_asked_for_with_more_and_one_wish(self):
        e = self.refusal("Map", options={})
        self.assertEqual(e.name, "org.varlink.service.ExpectedMore")
        for p in ({}, {"options": {}, "attach": 3}):
            self.conn.send("org.jobd.Map", p, more=True)
            with self.assertRaises(varlink.Error) as caught:
                self.conn.receive()
            self.assertEqual(caught.exception.name, "org.varlink.service.InvalidParameter")

    def test_other_connections_and_verbs(self):
        m = self.puppet_map()
        m.put(b"a")
        self.pup.accept()
        for method, p in (("MapPut", dict(items=[])), ("MapEnd", {}), ("MapStop", {}), ("Add", dict(jobs=[])), ("Seal", {}), ("Retry", {})):
            with self.subTest(method):
                run = m.run if method[:3] == "Map" or method in ("Add", "Seal") else str(m.run)
                self.assertEqual(self.refusal(method, run=run, **p).name, "org.jobd.WrongState")
        self.assertEqual(self.refusal("Submit", run={"map": {}}, jobs=[]).name, "org.jobd.Refused")
        self.assertEqual(self.refusal("MapControl", run=self.submit({"j": "true"}), how="stop").name, "org.jobd.WrongState")
        self.pup.end("a")
        m.next_ended()


class Stopping(MapCase):
    def test_stop_ends_what_has_not_ended(self):
        m = self.puppet_map(slots=1, window=3)
        m.put(b"a", b"b", b"c")
        self.pup.accept()
        self.pup.end("a")
        m.next_ended()
        self.pup.accept()
        m.tell("Stop", now=False)
        e = m.all_ended(2)
        self.assertEqual([(e[t]["reason"], e[t]["attempts"]) for t in (2, 3)], [("cancelled", 1), ("cancelled", 0)])
        m.delivered(1)
        m.end()
        self.assertEqual(self.ended_run(m), "cancelled")
        self.assertEqual([self.rows(t) for t in ("items", "attempts")], [0, 0])

    def test_stop_gives_grace_and_now_does_not(self):
        m = self.map("sh", "-c", 'trap "" TERM; "$0" "$1" "$2"', PUPPET, self.pup.path, "{}", slots=1, grace_s=3600)
        m.put(b"a")
        self.pup.accept()
        m.tell("Stop", now=False)
        m.tell("Stop", now=True)
        self.assertEqual(m.next_ended()["reason"], "cancelled")

    def test_after_a_stop_items_may_still_be_put(self):
        m = self.map("true")
        m.tell("Stop", now=True)
        m.put(b"a")
        self.assertEqual(m.next_ended()["exit_code"], 0)

    def test_an_end_with_items_in_hand_stops_them(self):
        m = self.puppet_map(slots=1)
        m.put(b"a", b"b")
        self.pup.accept()
        m.end(failed=True)
        self.assertEqual(self.ended_run(m), "failed")

    def test_control_asks_the_client(self):
        m = self.puppet_map(slots=1, name="m")
        m.put(b"a")
        self.pup.accept()
        self.assertEqual(self.call("MapControl", run="m", how="drain"), {"run": m.run})
        self.assertEqual(m.hear(), {"stop": "drain"})
        self.call("MapControl", run=str(m.run), how="stop")
        self.assertEqual(m.hear(), {"stop": "stop"})
        self.call("Cancel", run="m")
        self.assertEqual(m.hear(), {"stop": "stop"})

    def test_an_unnamed_map_stops_when_its_client_goes(self):
        m = self.puppet_map(slots=1)
        m.put(b"a", b"b")
        self.pup.accept()
        m.close()
        self.assertEqual(self.ended_run(m), "cancelled")
        self.assertEqual([self.rows(t) for t in ("items", "attempts")], [0, 0])

    def test_a_named_map_runs_what_was_put_when_its_client_goes(self):
        m = self.puppet_map(slots=1, name="m")
        m.put(b"a", b"b")
        self.pup.accept()
        m.close()
        self.pup.end("a")
        self.assertEqual(self.pup.accept(), "b")
        self.assertEqual(self.row(m)["state"], "waiting")
        self.pup.end("b")
        self.call("MapControl", run="m", how="drain")
        self.assertEqual(self.ended_run(m), "cancelled")

    def test_a_named_map_that_waits_can_be_stopped(self):
        m = self.puppet_map(slots=1, name="m")
        m.put(b"a", b"b")
        self.pup.accept()
        m.close()
        self.call("MapControl", run="m", how="stop")
        self.assertEqual(self.ended_run(m), "cancelled")


class Restarts(MapCase):
    def attach(self, m, **more):
        return MapClient(self.d.socket, attach=m.run, **more)

    def test_the_client_comes_back(self):
        m = self.puppet_map(slots=2, window=8)
        m.put(b"a", b"b", b"c", b"d")
        self.assertEqual({self.pup.accept(), self.pup.accept()}, {"a", "b"})
        self.pup.end("a", 5)
        self.assertEqual(m.next_ended()["exit_code"], 5)
        self.assertEqual(self.pup.accept(), "c")
        self.restart()
        again = self.attach(m)
        self.addCleanup(again.close)
        self.assertEqual((again.hello["run"], again.hello["resumed"], again.hello["in_hand"], again.hello["next_tag"]), (m.run, False, [1, 2, 3, 4], 5))
        e = again.next_ended()
        self.assertEqual((e["tag"], e["exit_code"], e["attempts"]), (1, 5, 1))
        again.delivered(1)
        for name in "bc":
            self.pup.end(name)
        self.assertEqual(self.pup.accept(), "d")
        self.pup.end("d")
        e = again.all_ended(3)
        self.assertEqual([(e[t]["reason"], e[t]["attempts"]) for t in (2, 3, 4)], [("exit", 1)] * 3)
        again.put(b"e")
        self.assertEqual(self.pup.accept(), "e")
        self.pup.end("e")
        self.assertEqual(again.next_ended()["tag"], 5)
        again.delivered(2, 3, 4, 5)
        again.end()
        self.assertEqual(self.ended_run(m), "ok")

    def test_what_was_delivered_is_gone_and_what_was_put_is_there(self):
        m = self.map("echo", "{}", window=8)
        m.put(b"a", b"b", b"c")
        m.all_ended(3)
        m.delivered(2)
        self.call("MapList")
        self.restart()
        again = self.attach(m)
        self.addCleanup(again.close)
        self.assertEqual(again.hello["in_hand"], [1, 3])
        self.assertEqual({t: e["out"] for t, e in again.all_ended(2).items()}, {1: b"a\n", 3: b"c\n"})
        again.put(b"d")
        self.assertEqual(again.next_ended()["out"], b"d\n")

    def test_one_that_had_gone_on_takes_over_after_a_restart_what_it_had_not_yet(self):
        m = self.map("echo", "{}", name="m", window=3)
        m.put(b"a", b"b", b"c")
        m.all_ended(3)
        m.delivered(1)
        self.call("MapList")
        m.close()
        n = self.map("echo", "{}", name="m", window=3, resume=True)
        first = n.tag
        n.put(b"b")
        n.next_ended()
        self.restart()
        again = self.attach(n, from_tag=first, resume=True, name="m")
        self.addCleanup(again.close)
        self.assertEqual(sorted(again.hello["in_hand"]), [3, first])
        again.next_ended()
        again.put(b"a", b"c")
        self.assertEqual([(e["out"], e.get("delivered")) for _, e in sorted(again.all_ended(2).items())], [(b"a\n", True), (b"c\n", None)])

    def test_an_item_in_hand_that_is_put_again_is_the_same(self):
        m = self.puppet_map()
        m.put(b"a")
        self.pup.accept()
        self.restart()
        again = self.attach(m)
        self.addCleanup(again.close)
        again.tag = 1
        again.put(b"a", b"b")
        self.assertEqual(self.pup.accept(), "b")
        self.pup.end("a")
        self.pup.end("b")
        self.assertEqual(set(again.all_ended(2)), {1, 2})

    def test_slots_of_what_runs_on_are_not_given_again(self):
        m = self.map("sh", "-c", 'echo $JOBD_SLOT; "$0" "$1" "$2"', PUPPET, self.pup.path, "{}", slots=3, window=12)
        m.put(b"a", b"b", b"c")
        for _ in range(3):
            self.pup.accept()
        self.pup.end("a")
        first = m.next_ended()["out"]
        self.restart()
        again = self.attach(m)
        self.addCleanup(again.close)
        again.put(b"d")
        self.pup.accept()
        for name in "bcd":
            self.pup.end(name)
        e = again.all_ended(4)
        self.assertEqual({e[t]["out"] for t in (2, 3, 4)}, {b"1\n", b"2\n", b"3\n"})
        self.assertEqual(e[4]["out"], first)

    def test_nothing_starts_while_a_slot_is_not_known(self):
        m = self.map("env", "-i", "sh", "-c", 'echo "$2"; exec "$0" "$1" "$2"', PUPPET, self.pup.path, "{}", slots=2, window=4)
        m.put(b"a")
        self.pup.accept()
        self.d.kill()
        with contextlib.suppress(OSError):
            os.removexattr("%s/out/%d/0.1.out" % (self.d.state, m.run), "user.jobd.slot")
        self.d.start()
        self.connect()
        again = self.attach(m)
        self.addCleanup(again.close)
        again.put(b"b")
        again.read(1)
        self.assertEqual(again.next_data()["data"], b"a\n")        # so the put has been handled
        self.assertEqual(self.row(again)["running"], 1)
        self.pup.end("a")
        self.assertEqual(again.next_ended()["tag"], 1)
        self.assertEqual(self.pup.accept(), "b")
        self.pup.end("b")
        again.next_ended()

    def test_settings_of_a_later_client_survive(self):
        m = self.puppet_map(slots=1, window=1, name="m")
        self.lose(m)
        n = self.puppet_map(slots=2, window=4, name="m", resume=True)
        n.put(b"a", b"b", b"c")
        self.assertEqual({self.pup.accept(), self.pup.accept()}, {"a", "b"})
        self.restart()
        row = self.row(n)
        self.assertEqual([row[k] for k in ("slots", "window", "in_hand", "state")], [2, 4, 3, "waiting"])
        again = self.attach(n)
        self.addCleanup(again.close)
        self.pup.end("a")
        self.assertEqual(self.pup.accept(), "c")
        self.pup.end("b")
        self.pup.end("c")
        again.all_ended(3)

    def test_bytes_that_wait_are_counted_after_a_restart_too(self):
        m = self.shell_map("head -c 6000 /dev/zero", slots=1, window=4, undelivered_max=10000)
        m.put(b"a", b"b")
        m.all_ended(2)
        self.restart()
        again = self.attach(m)
        self.addCleanup(again.close)
        again.all_ended(2)
        again.put(b"c")
        again.read(1, size=1)
        again.next_data()       # so the put has been handled
        self.assertEqual(self.row(again)["running"], 0)
        again.delivered(1)
        self.assertEqual(again.next_ended()["tag"], 3)

    def test_bytes_that_wait_hold_up_others_before_anybody_is_told_of_them(self):
        m = self.shell_map("head -c 6000 /dev/zero", slots=1, window=4, undelivered_max=10000)
        m.put(b"a", b"b", b"c")
        m.all_ended(2)
        m.read(1, size=1)
        m.next_data()           # so the third has been put
        self.restart()
        again = self.attach(m)
        self.addCleanup(again.close)
        self.assertEqual(set(again.all_ended(2)), {1, 2})
        self.d.jobctl("run", "true", check=True)        # so the runner has said that it has not the third, which was armed and counts until then
        self.assertEqual((self.row(again)["running"], self.row(again)["ended"]), (0, 0))
        again.delivered(1)
        self.assertEqual(again.next_ended()["tag"], 3)

    def test_an_item_that_is_lost_again_and_again_ends(self):
        m = self.puppet_map(slots=1)
        m.put(b"a", b"b")
        for _ in range(3):
            self.assertEqual(self.pup.accept(), "a")
            os.kill(self.call("Stats")["runner_pid"], signal.SIGKILL)
        e = m.next_ended()
        self.assertEqual((e["tag"], e["reason"], e["attempts"]), (1, "lost", 3))
        self.assertEqual(self.pup.accept(), "b")
        self.pup.end("b")
        self.assertEqual(m.next_ended()["reason"], "exit")

    # The minute that a client has to come back is not spent in each run of the tests: with tests/run --soak.
    if kit.SOAK:
        def test_a_map_that_nobody_comes_back_to_is_as_one_whose_client_has_gone(self):
            unnamed, named = self.puppet_map(slots=1), self.puppet_map(slots=1, name="m")
            unnamed.put(b"a", b"b")
            named.put(b"c")
            self.assertEqual({self.pup.accept(), self.pup.accept()}, {"a", "c"})
            self.restart()
            self.conn.sock.settimeout(120)
            self.call("Wait", targets=[{"run": str(unnamed.run)}], timeout_s=100)
            self.assertEqual((self.shown(unnamed)["state"], self.row(named)["running"]), ("cancelled", 1))
            self.pup.end("c")

    def test_what_may_be_attached(self):
        m = self.map("true")
        for run, name in ((m.run, "WrongState"), (77, "NoSuchRun"), (int(self.submit({"j": "true"})), "WrongState")):
            self.conn.send("org.jobd.Map", {"attach": run}, more=True)
            with self.assertRaises(varlink.Error) as caught:
                self.conn.receive()
            self.assertEqual(caught.exception.name, "org.jobd." + name)

    def test_outputs_are_read_after_a_restart_too(self):
        m = self.shell_map("seq 100000", window=2)
        m.put(b"a")
        whole = m.read_all(1)
        self.restart()
        again = self.attach(m)
        self.addCleanup(again.close)
        self.assertEqual(again.next_ended()["out_bytes"], len(whole))
        self.assertEqual(again.read_all(1), whole)


class Resuming(MapCase):
    def test_items_of_an_earlier_client_are_taken_over(self):
        m = self.puppet_map(slots=2, window=8, name="m")
        m.put(b"a", b"b", b"c")
        self.assertEqual({self.pup.accept(), self.pup.accept()}, {"a", "b"})
        self.pup.end("b")
        m.next_ended()
        self.assertEqual(self.pup.accept(), "c")
        self.lose(m)
        n = self.puppet_map(slots=2, window=8, name="m", resume=True)
        self.assertEqual((n.run, n.hello["resumed"], n.hello["same_command"], sorted(n.hello["in_hand"]), n.hello["next_tag"]),
                         (m.run, True, True, [1, 2, 3], 4))
        n.put(b"x", b"c", b"b", b"a")
        e = n.next_ended()
        self.assertEqual((e["tag"], e["reason"], e.get("known")), (6, "exit", None))
        for name in "ca":
            self.pup.end(name)
        self.assertEqual(self.pup.accept(), "x")
        self.pup.end("x")
        self.assertEqual({t: e["attempts"] for t, e in n.all_ended(3).items()}, {4: 1, 5: 1, 7: 1})
        n.delivered(4, 5, 6, 7)
        n.end()
        self.assertEqual(self.ended_run(n), "ok")

    def test_results_that_were_delivered_are_known(self):
        m = self.shell_map('echo "$1"; exit "$1"', window=8, name="m")
        m.put(b"0", b"1")
        m.all_ended(2)
        m.delivered(1, 2)
        m.end(failed=True)
        self.assertEqual(self.ended_run(m), "failed")
        self.restart()
        n = self.shell_map('echo "$1"; exit "$1"', window=8, name="m", resume=True)
        self.assertEqual((n.run, n.hello["in_hand"], n.hello["next_tag"]), (m.run, [], 3))
        n.put(b"1", b"0", b"2")
        e = n.all_ended(3)
        self.assertEqual([(e[t]["exit_code"], e[t].get("known"), e[t].get("delivered"), e[t]["out"]) for t in (3, 4, 5)],
                         [(1, True, True, b"1\n"), (0, True, True, b"0\n"), (2, None, None, b"2\n")])
        self.assertEqual(n.read_all(4), b"0\n")
        n.delivered(3, 4, 5)
        n.end()
        o = self.shell_map('echo "$1"; exit "$1"', window=8, name="m", resume=True, rerun_failed=True)
        o.put(b"0", b"1", b"2")
        e = o.all_ended(3)
        self.assertEqual([(e[t]["exit_code"], e[t].get("known")) for t in sorted(e)], [(0, True), (1, None), (2, None)])
        o.delivered(*e)
        o.end()
        self.assertEqual(self.rows("items"), 3)

    def test_the_output_of_what_failed_goes_when_it_runs_again(self):
        folder = os.path.join(self.d.state, "out")
        for again in (False, True):
            m = self.shell_map("seq 10000; exit 1", name="m", resume=again, rerun_failed=again)
            tag, = m.put(b"a")
            m.next_ended()
            m.delivered(tag)
            m.end()
            self.ended_run(m)
            self.assertEqual(len(os.listdir(os.path.join(folder, str(m.run)))), 1)

    def test_what_ended_and_was_not_delivered_is_told_again(self):
        m = self.map("printf", "%s", "{}", window=8, name="m")
        m.put(b"a", b"b")
        m.all_ended(2)
        m.delivered(1)
        m.end()
        n = self.map("printf", "%s", "{}", window=8, name="m", resume=True)
        self.assertEqual(n.hello["in_hand"], [2])
        n.put(b"a", b"b")
        e = n.all_ended(2)
        self.assertEqual([(e[t]["out"], e[t].get("known"), e[t]["attempts"]) for t in (3, 4)], [(b"a", True, 1), (b"b", None, 1)])

    def test_large_outputs_of_known_items_can_be_read(self):
        m = self.shell_map("seq 100000", name="m")
        m.put(b"a")
        m.next_ended()
        whole = m.read_all(1)
        m.delivered(1)
        m.end()
        n = self.shell_map("seq 100000", name="m", resume=True)
        n.put(b"a")
        e = n.next_ended()
        self.assertEqual((e["known"], e["out_bytes"]), (True, len(whole)))
        self.assertEqual(n.read_all(2), whole)

    def test_an_output_is_not_given_up_for_want_of_descriptors(self):
        m = self.shell_map("seq 100000")
        m.put(b"a")
        m.next_ended()
        pid, none = self.d.process.pid, resource.RLIMIT_NOFILE
        limit = resource.prlimit(pid, none, (3, resource.prlimit(pid, none)[1]))
        m.read(1, size=10)
        self.assertEqual(self.row(m)["in_hand"], 1)     # so the read has been tried
        resource.prlimit(pid, none, limit)
        self.assertEqual(m.next_data()["data"], b"1\n2\n3\n4\n5\n")
        self.assertIn("the output of item 1 cannot be opened: Too many open files; it is tried again", self.d.said())

    def test_what_was_stopped_runs_again(self):
        m = self.puppet_map(slots=1, name="m")
        m.put(b"a", b"b")
        self.pup.accept()
        m.tell("Stop", now=True)
        m.all_ended(2)
        m.end(failed=True)
        n = self.puppet_map(slots=2, name="m", resume=True)
        self.assertEqual(n.hello["in_hand"], [])
        n.put(b"a", b"b")
        for _ in range(2):
            self.pup.end(self.pup.accept())
        self.assertEqual([e["attempts"] for e in n.all_ended(2).values()], [1, 1])

    def draining_map(self):
        """Its client has gone, and it ends with the command that still runs."""
        m = self.puppet_map(name="m")
        m.put(b"a")
        self.pup.accept()
        m.close()
        self.call("MapControl", run="m", how="drain")
        return m

    def waits_for_the_end(self):
        n = self.puppet_map(name="m", resume=True, hears=False)
        self.assertEqual(n.hear(), {"ending": True})
        return n

    def test_one_that_is_just_ending_is_waited_for(self):
        m = self.draining_map()
        n = self.waits_for_the_end()
        self.pup.end("a")
        n.greeted(n.hear())
        self.assertEqual((m.run, True, []), (n.run, n.hello["resumed"], n.hello["in_hand"]))
        n.end()

    def test_what_is_being_cut_off_is_not_taken_over(self):
        """The client says stop, and goes before what runs has ended."""
        m = self.shell_map("trap '' TERM; %s %s $1" % tuple(self.pup.argv("x")[:2]), slots=1, name="m", grace_s=60)
        m.put(b"a", b"b")
        self.pup.accept()
        m.tell("Stop", now=False)
        self.assertEqual(("cancelled", 2), [(e["reason"], e["tag"]) for e in [m.next_ended()]][0])
        m.close()
        n = self.shell_map("trap '' TERM; %s %s $1" % tuple(self.pup.argv("x")[:2]), slots=1, name="m", resume=True, hears=False)
        self.assertEqual(n.hear(), {"ending": True})
        self.pup.end("a")
        n.greeted(n.hear())
        n.put(b"a")
        self.pup.end(self.pup.accept())
        self.assertEqual(n.next_ended()["reason"], "exit")

    def test_results_that_a_stopped_client_had_not_come_to_stay(self):
        m = self.puppet_map(name="m")
        m.put(b"a", b"b")
        for _ in range(2):
            self.pup.end(self.pup.accept())
        m.all_ended(2)
        self.lose(m)
        n = self.puppet_map(name="m", resume=True)
        n.put(b"a")
        n.next_ended()
        n.tell("Stop", now=True)
        n.end(failed=True)
        o = self.puppet_map(name="m", resume=True)
        self.assertEqual(2, len(o.hello["in_hand"]))
        o.put(b"a", b"b")
        self.assertEqual([1, 1], [e["attempts"] for e in o.all_ended(2).values()])

    def test_who_waits_for_the_end_may_go(self):
        self.draining_map()
        n = self.waits_for_the_end()
        n.close()
        o = self.waits_for_the_end()
        self.pup.end("a")
        o.greeted(o.hear())
        o.end()

    def test_what_was_stopped_and_delivered_is_not_known(self):
        """It never began, so the attempt that its place had last is one of another item."""
        m = self.shell_map("seq 5000; echo $1", slots=1, window=1, name="m")
        m.put(b"a")
        m.next_ended()
        m.delivered(1)
        m.end()
        n = self.shell_map("seq 5000; echo $1", slots=1, window=1, name="m", resume=True)
        n.put(b"b")
        n.tell("Stop", now=True)
        cancelled = n.next_ended()
        n.delivered(2)
        n.end()
        o = self.shell_map("seq 5000; echo $1", slots=1, window=1, name="m", resume=True)
        tag, = o.put(b"b")
        e = o.next_ended()
        self.assertEqual(("cancelled", 1, None), (cancelled["reason"], e["attempts"], e.get("known")))
        self.assertEqual(b"b", o.read_all(tag)[-2:-1])
        o.delivered(tag)
        tag, = o.put(b"a")
        e = o.next_ended()
        self.assertEqual((True, b"a"), (e["known"], o.read_all(tag)[-2:-1]))

    def test_slots_that_are_lowered_and_raised_are_told_once(self):
        words = ("sh", "-c", 'echo $JOBD_SLOT; exec "$0" "$1" "$2"', PUPPET, self.pup.path, "{}")
        names = [b"a", b"b", b"c", b"d"]
        for slots, new in ((3, names[:3]), (1, names[:3]), (3, names)):
            m = self.map(*words, slots=slots, window=8, name="m", resume=slots == 1 or new == names)
            m.put(*new)
            if slots == 3 and new != names:
                for _ in new:
                    self.pup.accept()
            if new != names:
                self.lose(m)
        self.pup.end("a")
        self.assertEqual("d", self.pup.accept())
        for name in "bcd":
            self.pup.end(name)
        said = m.all_ended(4)
        self.assertEqual([b"1\n", b"2\n", b"3\n"], sorted(said[t]["out"] for t in sorted(said)[1:]))

    def test_another_command_knows_nothing_of_the_old_items(self):
        m = self.puppet_map(slots=1, name="m")
        m.put(b"a", b"b")
        self.pup.accept()
        self.lose(m)
        n = self.map("echo", "{}", slots=1, name="m", resume=True)
        self.assertEqual(n.hello["same_command"], False)
        n.put(b"c")
        self.assertEqual(n.next_ended()["out"], b"c\n")
        n.delivered(n.tag - 1)
        n.end()
        self.assertEqual(self.rows("items"), 1)

    def test_items_that_nobody_asks_for_are_forgotten(self):
        m = self.map("true", name="m")
        m.put(b"a", b"b")
        m.all_ended(2)
        self.lose(m)
        n = self.map("true", name="m", resume=True)
        n.put(b"b")
        n.next_ended()
        n.delivered(3)
        n.end()
        self.assertEqual(self.rows("items"), 1)
        self.assertEqual(self.rows("attempts"), 1)

    def test_a_name_with_results_is_not_taken_by_mistake(self):
        m = self.map("true", name="m")
        with self.assertRaisesRegex(varlink.Error, "WrongState: map \"m\" .run %d. is at work" % m.run):
            self.map("true", name="m")
        with self.assertRaisesRegex(varlink.Error, "WrongState"):
            self.map("true", name="m", resume=True)
        m.end()
        with self.assertRaisesRegex(varlink.Error, "Refused: \"m\" has results of an earlier map: go on with --resume, or remove it"):
            self.map("true", name="m")
        self.call("Remove", run="m")
        self.assertNotEqual(self.map("true", name="m").run, m.run)

    def test_resume_of_what_is_not_there_begins(self):
        m = self.map("true", name="new", resume=True)
        self.assertEqual((m.hello["resumed"], m.hello["in_hand"]), (False, []))
        m.put(b"a")
        m.next_ended()

    def test_a_named_map_waits_through_a_restart(self):
        m = self.map("echo", "{}", name="m", window=8)
        m.put(b"a", b"b")
        m.all_ended(2)
        m.delivered(2)
        self.call("MapList")
        self.restart()
        n = self.map("echo", "{}", name="m", window=8, resume=True)
        self.assertEqual((n.run, n.hello["in_hand"], n.hello["next_tag"]), (m.run, [1], 3))
        n.put(b"a", b"b", b"c")
        e = n.all_ended(3)
        self.assertEqual([(e[t]["out"], e[t].get("delivered")) for t in (3, 4, 5)], [(b"a\n", None), (b"b\n", True), (b"c\n", None)])
        n.delivered(3, 4, 5)
        n.end()
        self.assertEqual(self.ended_run(n), "ok")

    def test_keys_are_used_once(self):
        m = self.puppet_map(name="m")
        m.put(b"a", b"b", keys=["a" * 32, "a" * 32])
        self.assertRegex(str(self.mistake(m)), "items 1 and 2 have the same key")


if __name__ == "__main__":
    unittest.main()
