# SPDX-License-Identifier: MIT
"""Who may what, by the identity that the kernel tells: owner, another user, the admin group, root. jobd runs as root here."""
import base64
import grp
import os
import sys
import unittest

import people
import varlink
from case import Case
from people import ADMIN, OTHER, OWNER

ADMIN_GROUP = "games"
SEE = {"List": {}, "Get": {"path": "a"}, "Explain": {"path": "a"}, "Watch": {"since": 0}, "Wait": {}}
READ = {"Logs": {"path": "a", "stream": "out"}}
CHANGE = {"Pause": {}, "Resume": {}, "Hold": {"path": "a"}, "Release": {"path": "a"}, "Cancel": {}, "Retry": {}, "Remove": {}}


class Access(Case):
    config = "slots = 2\nlog_level = warning\nsocket_mode = 0666\nadmin_group = %s\n" % ADMIN_GROUP

    def setUp(self):
        super().setUp()
        os.chmod(self.d.folder, 0o755)
        self.clients = {"root": self.conn, "owner": self.connect_as(OWNER.pw_uid, OWNER.pw_gid), "other": self.connect_as(OTHER.pw_uid, OTHER.pw_gid),
                        "admin": self.connect_as(ADMIN.pw_uid, grp.getgrnam(ADMIN_GROUP).gr_gid)}

    def connect_as(self, uid, gid):
        conn = people.connect_as(self.d.socket, uid, gid)
        self.addCleanup(conn.close)
        return conn

    def run_of_owner(self, shell="id -u; id -g; id -G", **run):
        reply = self.clients["owner"].call("Submit", run=run, jobs=[{"path": "a", "shell": shell}])
        self.wait(str(reply["run"]))
        return str(reply["run"])

    def is_allowed(self, who, method, parameters):
        try:
            self.clients[who].call(method, **parameters)
        except varlink.Error as e:
            return e.name != "org.jobd.NotAllowed"
        return True

    def test_every_method_for_every_identity(self):
        for table, for_others in ((SEE, True), (READ, False), (CHANGE, False)):
            for method, more in table.items():
                for who in self.clients:
                    with self.subTest(method=method, who=who):
                        run = self.run_of_owner()
                        target = {"targets": [{"run": run}]} if method == "Wait" else {"run": run}
                        self.assertEqual(self.is_allowed(who, method, dict(target, **more)), who != "other" or for_others)

    def test_only_its_owner_adds_to_a_stream_and_seals_it(self):
        run = self.clients["owner"].call("Open", mode="stream")["run"]
        for who, allowed in (("other", False), ("owner", True), ("admin", True), ("root", True)):
            self.assertEqual(self.is_allowed(who, "Add", {"run": run, "jobs": [{"path": who, "shell": "true"}]}), allowed)
        self.assertFalse(self.is_allowed("other", "Seal", {"run": run}))
        self.assertTrue(self.is_allowed("owner", "Seal", {"run": run}))
        self.assertEqual(set(self.jobs(str(run))), {"owner", "admin", "root"})

    def map_of(self, who, **wish):
        """The reply to a Map, on a connection of its own; None: it is not allowed."""
        ids = {"owner": (OWNER.pw_uid, OWNER.pw_gid), "other": (OTHER.pw_uid, OTHER.pw_gid), "root": (0, 0),
               "admin": (ADMIN.pw_uid, grp.getgrnam(ADMIN_GROUP).gr_gid)}
        conn = self.connect_as(*ids[who])
        conn.send("org.jobd.Map", wish, more=True)
        try:
            return conn, conn.receive()["parameters"]["run"]
        except varlink.Error as e:
            self.assertEqual(e.name, "org.jobd.NotAllowed")
            return None

    def map_options(self, **more):
        return dict(more, slots=1, window=1, command={"words_b64": [base64.b64encode(b"true").decode()]})

    def test_a_map_is_seen_and_controlled_by_who_may_change_it(self):
        conn, run = self.map_of("owner", options=self.map_options(name="m"))
        for who, allowed in (("other", False), ("admin", True), ("owner", True), ("root", True)):
            with self.subTest(who):
                self.assertEqual(run in [row["run"] for row in self.clients[who].call("MapList")["maps"]], allowed)
                self.assertEqual(self.is_allowed(who, "MapControl", {"run": "m", "how": "drain"}), allowed)
        for method, more in {"MapPut": {"items": []}, "MapDelivered": {"tags": []}, "MapStop": {}, "MapEnd": {},
                             "MapRead": {"tag": 1, "stream": "out", "offset": 0, "max": 1}}.items():
            for who, client in self.clients.items():
                with self.subTest(method, who=who), self.assertRaisesRegex(varlink.Error, "WrongState: .* is not a map that this connection has"):
                    client.call(method, run=run, **more)

    def test_a_map_without_a_client_is_attached_by_who_may_change_it(self):
        conn, run = self.map_of("owner", options=self.map_options(name="m"))
        for who, allowed in (("other", False), ("admin", True), ("root", True), ("owner", True)):
            conn.send("org.jobd.MapDelivered", {"run": run, "tags": [1]}, oneway=True)
            with self.assertRaises(varlink.Error):      # a mistake: it has the map no more
                while True:
                    conn.receive()
            with self.subTest(who):
                mine = self.map_of(who, attach=run)
                self.assertEqual(mine is not None, allowed)
            conn = mine[0] if mine else self.map_of("owner", attach=run)[0]

    def test_names_of_maps_are_each_users_own(self):
        runs = {self.map_of(who, options=self.map_options(name="m"), resume=True)[1] for who in self.clients}
        self.assertEqual(len(runs), 4)

    def test_items_run_as_who_opened_the_map(self):
        options = dict(self.map_options(), command={"words_b64": [base64.b64encode(b"id -u").decode()], "shell": True})
        conn, run = self.map_of("owner", options=options)
        conn.send("org.jobd.MapPut", {"run": run, "items": [{"tag": 1, "seq": 1, "items_b64": [""]}]}, oneway=True)
        ended, = conn.receive()["parameters"]["ended"]
        self.assertEqual(base64.b64decode(ended["out_b64"]), b"%d\n" % OWNER.pw_uid)

    def test_a_bulk_is_nobody_elses(self):
        run = self.clients["owner"].call("Open", mode="bulk")["run"]
        with self.assertRaises(varlink.Error) as caught:
            self.clients["root"].call("Add", run=run, jobs=[{"path": "a", "shell": "true"}])
        self.assertEqual(caught.exception.name, "org.jobd.NoSuchRun")

    def test_what_others_see(self):
        reply = self.clients["owner"].call("Submit", run={"key": "secret"}, jobs=[{"path": "a", "argv": ["/secret/program"]}])
        run = str(reply["run"])
        self.wait(run)
        for who, sees in (("owner", True), ("admin", True), ("root", True), ("other", False)):
            with self.subTest(who):
                job, whole = (self.clients[who].call("Get", run=run, **more) for more in ({"path": "a"}, {}))
                self.assertEqual((job["job"]["state"], job["attempts"][0]["reason"]), ("failed", "spawn"))
                self.assertEqual(["secret" in str(reply) for reply in (job, whole)], [sees, sees])
                self.assertEqual("spec" in job and "spec" in whole, sees)
                self.assertEqual("secret" in str(self.clients[who].call("List")), sees)

    def test_jobs_run_as_who_submitted_them(self):
        run = self.run_of_owner()
        out = base64.b64decode(self.clients["owner"].call("Logs", run=run, path="a", stream="out")["data_b64"]).split()
        self.assertEqual(out[:2], [b"%d" % OWNER.pw_uid, b"%d" % OWNER.pw_gid])
        self.assertNotIn(b"0", out)

    def test_only_root_chooses_the_user(self):
        for who, allowed in (("owner", False), ("admin", False), ("root", True)):
            jobs = [{"path": "a", "shell": "true", "user": OTHER.pw_name}]
            self.assertEqual(self.is_allowed(who, "Submit", {"jobs": jobs}), allowed)
            self.assertEqual(self.is_allowed(who, "Submit", {"run": {"defaults": {"user": OTHER.pw_name}}, "jobs": [{"path": "a", "shell": "true"}]}),
                             allowed)

    def test_keys_are_each_users_own(self):
        jobs = [{"path": "a", "shell": "true"}]
        runs = {self.clients[who].call("Submit", run={"key": "k"}, jobs=jobs)["run"] for who in self.clients}
        self.assertEqual(len(runs), 4)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIP: needs root")
        sys.exit(77)
    unittest.main()
