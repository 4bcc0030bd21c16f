"""Debian's packages of the peers and of dnsperf."""

import contextlib
import os
import shutil
import subprocess
import sys

POLICY = "/usr/sbin/policy-rc.d"


def install(packages):
    """Installs what is missing, where that is possible, and says so."""
    if not packages:
        return
    if not shutil.which("apt-get") or os.getuid() != 0:
        print(f"not installed: {' '.join(packages)} (as root on Debian they would be)", file=sys.stderr)
        return
    print(f"installing {' '.join(packages)}", file=sys.stderr)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with no_services():
        for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *packages]):
            done = subprocess.run(["apt-get", *command], env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                print(done.stdout[-2000:] + done.stderr[-2000:], file=sys.stderr)
                print(f"apt-get {command[0]} failed; what is not there is left out", file=sys.stderr)
                return


@contextlib.contextmanager
def no_services():
    """Debian starts the servers that it installs; a policy of "no" (101) keeps port 53 free."""
    ours = not os.path.exists(POLICY)
    if ours:
        with open(POLICY, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(POLICY, 0o755)
    try:
        yield
    finally:
        if ours:
            os.remove(POLICY)
