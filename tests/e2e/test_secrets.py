# SPDX-License-Identifier: MIT
"""What is said in confidence: not in logs, not to other users, not in the database once it is removed. And text that looks like SQL is only text."""
import glob
import os
import random
import resource
import sys
import unittest

import people
from case import Case

CANARY = "canary-5f3a9c1e"
INJECTIONS = ["'); DROP TABLE jobs; --", "' OR 1=1 --", "\"; DELETE FROM runs; --", "?1", ":a", "@a", "$a", "%s%n", "\\'; --", "x'41'", "NULL", "/*", "; VACUUM;"]


class Secrets(Case):
    config = "slots = 2\nlog_level = debug\nsocket_mode = 0666\n"

    def submit_canary(self):
        secret = CANARY + "-long-enough-to-be-found"
        job = {"path": "a", "argv": ["/bin/echo", secret], "env": {"TOKEN": secret}, "labels": {"l": secret}, "stdin": {"text": secret}, "retry": {"max": 0}}
        fails = {"path": "b", "argv": ["/no/" + secret], "env": {"T": secret}}
        run = str(self.call("Submit", run={"key": secret, "labels": {"r": secret}, "env": {"E": secret}}, jobs=[job, fails])["run"])
        self.wait(run)
        return run

    @staticmethod
    def holds_canary(name):
        with open(name, "rb") as f:
            return CANARY.encode() in f.read()

    def test_logs_of_the_daemon_and_its_runner_do_not_have_it(self):
        self.submit_canary()
        self.conn.sock.sendall(b'{"method":"org.jobd.Submit","parameters":{"jobs":[{"path":"a","shell":"x","env":{"A":1,"B":"%s"}}]}}\0' % CANARY.encode())
        self.assertNotIn(CANARY, self.d.said())

    def test_its_owner_reads_it_and_others_do_not(self):
        if os.geteuid() != 0:
            print("SKIP: being another user needs root")
            self.skipTest("root")
        run = self.submit_canary()
        os.chmod(self.d.folder, 0o755)
        other = people.connect_as(self.d.socket, people.OTHER.pw_uid, people.OTHER.pw_gid)
        self.addCleanup(other.close)
        asked = (("List", {}), ("List", {"run": run}), ("Get", {"run": run}), ("Get", {"run": run, "path": "a"}), ("Get", {"run": run, "path": "b"}),
                 ("Explain", {"run": run, "path": "b"}), ("Watch", {"since": 0}), ("Wait", {"targets": [{"run": run, "path": "b"}]}), ("Stats", {}))
        for method, parameters in asked:
            self.assertNotIn(CANARY, str(other.call(method, **parameters)), method)
        self.assertIn(CANARY, str(self.call("Get", run=run, path="a")))

    def test_what_is_removed_is_not_left_in_the_database(self):
        run = self.submit_canary()
        keep = self.submit({"k": "true"})
        self.wait(keep)
        self.call("Remove", run=run)
        for _ in range(20):             # it is wiped in slices, and what a log has kept goes with its file
            self.conn.close()
            self.assertEqual(self.d.stop(), 0)
            found = [name for name in glob.glob(self.d.state + "/**", recursive=True) if os.path.isfile(name) and self.holds_canary(name)]
            self.d.start()
            self.connect()
            if not found:
                break
        self.assertEqual(found, [])
        self.assertEqual(self.states(keep), {"k": "ok"})

    def test_a_core_has_no_room(self):
        self.assertEqual(resource.prlimit(self.d.process.pid, resource.RLIMIT_CORE), (0, 0))

    def test_text_that_looks_like_SQL_comes_back_as_it_was(self):
        rng = random.Random(4711)
        texts = INJECTIONS + ["".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(160, 0x2000)))) for _ in range(rng.randint(1, 40))) for _ in range(300)]
        texts = [t.replace("/", "").replace("~", "").replace("\u061c", "") or "x" for t in texts]
        jobs = [{"path": "j%d %s" % (i, t), "shell": "true", "env": {"A": t}, "labels": {"l": t}} for i, t in enumerate(texts)]
        run = str(self.call("Submit", run={"name": "n" + INJECTIONS[0], "key": INJECTIONS[1], "labels": {"l": INJECTIONS[2]}}, jobs=jobs)["run"])
        self.wait(run)
        self.d.kill()
        self.d.start()
        self.connect()
        self.assertEqual(set(self.jobs(run)), {j["path"] for j in jobs})
        for i in list(range(len(INJECTIONS))) + rng.sample(range(len(jobs)), 40):
            spec = self.call("Get", run=run, path=jobs[i]["path"])["spec"]
            self.assertEqual((spec["env"]["A"], spec["labels"]["l"]), (texts[i], texts[i]))
        row = self.call("List")["runs"][0]
        self.assertEqual((row["name"], row["key"]), ("n" + INJECTIONS[0], INJECTIONS[1]))
        again = self.call("Submit", run={"name": "n" + INJECTIONS[0], "key": INJECTIONS[1], "labels": {"l": INJECTIONS[2]}}, jobs=jobs)
        self.assertEqual(again, {"run": int(run), "existing": True})


if __name__ == "__main__":
    sys.exit(unittest.main())
