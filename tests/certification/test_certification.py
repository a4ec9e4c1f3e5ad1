#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A varlink client that nobody here wrote goes through the certification interface on jobd's server layer."""
import os
import shutil
import subprocess
import sys
import tempfile

CLIENT = "varlink-go-certification"


def main():
    if not shutil.which(CLIENT):
        print("SKIP: %s (Debian's varlink-go) is not installed" % CLIENT)
        return 77
    service = os.path.join(os.environ.get("JOBD_BUILDDIR", "."), "tests/certification/service")
    with tempfile.TemporaryDirectory() as folder:
        socket = os.path.join(folder, "socket")
        with subprocess.Popen([service, socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout.readline() == "ready\n"
            done = subprocess.run([CLIENT, "-client", "-varlink", "unix:" + socket], capture_output=True, text=True, timeout=60)
            server.stdin.close()
            status = server.wait(timeout=60)
    print(done.stdout + done.stderr)
    assert done.returncode == 0
    assert "End: 'true'" in done.stdout, "the client did not come to its end"
    assert "failed" not in done.stdout
    assert status == 0, "the service found a mistake of the client"
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
