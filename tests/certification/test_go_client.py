#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""jobd driven by a client that Debian's varlink-go generates from doc/org.jobd.varlink, over Go's varlink library."""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import kit

LIBRARY = "/usr/share/gocode"
GENERATOR = "varlink-go-interface-generator"


def missing():
    if not shutil.which("go"):
        return "go is not installed"
    if not shutil.which(GENERATOR) or not os.path.isdir(os.path.join(LIBRARY, "src/github.com/varlink/go/varlink")):
        return "varlink-go or its library (golang-github-varlink-go-dev) is not installed"
    return None


def build_client(folder):
    """A GOPATH with the generated package and the client; returns the program."""
    generated, program = os.path.join(folder, "src/orgjobd"), os.path.join(folder, "client")
    os.makedirs(generated)
    shutil.copy(os.path.join(kit.SOURCE, "doc/org.jobd.varlink"), generated)
    shutil.copytree(os.path.join(kit.SOURCE, "tests/certification/client"), os.path.join(folder, "src/client"))
    subprocess.run([GENERATOR, "org.jobd.varlink"], cwd=generated, check=True)
    env = dict(os.environ, GO111MODULE="off", GOPATH=folder + ":" + LIBRARY, GOCACHE=os.path.join(folder, "cache"), GOFLAGS="")
    subprocess.run(["go", "build", "-o", program, "client"], env=env, check=True)
    return program


def main():
    if missing():
        print("SKIP: " + missing())
        return 77
    with tempfile.TemporaryDirectory() as folder, kit.Daemon() as daemon:
        program, address = build_client(folder), "unix:" + daemon.socket
        described = subprocess.run([program, "-describe", address], capture_output=True, text=True, check=True, timeout=kit.PATIENCE).stdout
        with open(os.path.join(kit.SOURCE, "doc/org.jobd.varlink"), encoding="utf-8") as f:
            assert described == f.read(), "jobd describes another interface than doc/org.jobd.varlink"
        done = subprocess.run([program, address], capture_output=True, text=True, timeout=kit.PATIENCE)
        print(done.stdout + done.stderr)
        assert done.returncode == 0
    print("2 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
