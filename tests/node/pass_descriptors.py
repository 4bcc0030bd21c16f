"""Starts a program as systemd does: with the descriptors that come over standard input, from 3 on."""
import fcntl
import os
import socket
import sys

SAFE = 400
names, descriptors, _, _ = socket.recv_fds(socket.socket(fileno=0), 1 << 16, 250)
# Out of the way of those they become.
moved = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, SAFE) for descriptor in descriptors]
os.closerange(3, SAFE)
for place, descriptor in enumerate(moved):
    os.dup2(descriptor, 3 + place)
    os.close(descriptor)
os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
environment = dict(os.environ, LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(moved)), LISTEN_FDNAMES=names.decode()[1:])
os.execve(sys.argv[1], sys.argv[1:], environment)
