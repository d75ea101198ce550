"""The programs that try to break out of a sandbox, one per guarantee. Plain Python, standard library only.

Each prints what it reached, one JSON object on its last line; the judging is ``guarantees``'s. All are bounded (so many forks,
so many bytes) and change nothing but their own folders, so that they do no harm where nothing holds them: that is how the
tests show that each attack works at all.
"""

from __future__ import annotations

HOST_FILES = """
import json, os, sys
reached = []
for path in (sys.argv[1], "/etc/shadow", "/etc/machine-id", "/etc/fstab"):
    try:
        open(path, "rb").read(1)
        reached.append(path)
    except OSError:
        pass
for folder in ("/root", "/home", "/var", "/boot", "/sys", os.path.dirname(sys.argv[1])):
    try:
        # The way to the interpreter's mount point has to be there; nothing beside it.
        if any(not sys.executable.startswith(os.path.join(folder, name)) for name in os.listdir(folder)):
            reached.append(folder)
    except OSError:
        pass
print(json.dumps({"reached": reached}))
"""

ENVIRONMENT = """
import glob, json
names = set()
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        names |= {entry.split(b"=")[0].decode() for entry in open(path, "rb").read().split(b"\\0") if entry}
    except OSError:
        pass
print(json.dumps({"names": sorted(names)}))
"""

NETWORK = """
import json, socket, sys
port, reached = int(sys.argv[1]), []
# The last two tell a machine in a cloud who it is, secrets included.
for host, at in (("127.0.0.1", port), ("localhost", port), ("169.254.169.254", 80), ("fd00:ec2::254", 80)):
    try:
        socket.create_connection((host, at), timeout=0.3).close()
        reached.append(host)
    except OSError:
        pass
try:
    socket.socket(socket.AF_UNIX).connect("\\0" + sys.argv[2])
    reached.append("abstract socket")
except OSError:
    pass
routes = [line.split()[0] for line in open("/proc/net/route").read().splitlines()[1:]]
interfaces = [line.split(":")[0].strip() for line in open("/proc/net/dev").read().splitlines()[2:]]
try:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    reached.append("raw socket")
except OSError:
    pass
print(json.dumps({"reached": reached, "interfaces": interfaces, "routes": routes}))
"""

LOOPBACK = """
import json, socket, sys
def tried(act):
    try:
        act()
    except OSError:
        return False
    return True
def listens(family, host):
    with socket.socket(family) as own:
        own.bind((host, 0))
        own.listen()
        socket.create_connection(own.getsockname()[:2], timeout=0.3).close()
worked = [host for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
          if tried(lambda: listens(family, host))]
worked += [host for host in ("127.0.0.1", "169.254.169.254", "fd00:ec2::254")
           if tried(lambda: socket.create_connection((host, int(sys.argv[1])), timeout=0.3))]
interfaces = [line.split(":")[0].strip() for line in open("/proc/net/dev").read().splitlines()[2:]]
print(json.dumps({"worked": worked, "interfaces": interfaces}))
"""

NO_SOCKETS = """
import json, socket
made = []
for family in ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"):
    try:
        socket.socket(getattr(socket, family), socket.SOCK_DGRAM).close()
        made.append(family)
    except OSError:
        pass
print(json.dumps({"made": made}))
"""

HOST_PROCESSES = """
import json, os, signal, sys
pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
try:
    os.kill(int(sys.argv[1]), 0)
    engine = True
except PermissionError:
    engine = True
except OSError:
    engine = False
print(json.dumps({"processes": len(pids), "engine": engine}))
"""

FORKS = """
import json, os, signal, sys, time
children = []
for _ in range(int(sys.argv[1])):
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        signal.pause()
        os._exit(0)
    children.append(pid)
print(json.dumps({"forks": len(children)}), flush=True)
for pid in children:
    os.kill(pid, signal.SIGKILL)
for pid in children:
    os.waitpid(pid, 0)
"""

NAMESPACES = """
import ctypes, errno, json
libc, made = ctypes.CDLL(None, use_errno=True), []
# A kernel that lets the call in looks for the file system's name; a filter answers EPERM before.
if libc.mount(b"none", b"/", b"no-such-fs", 0, None) == 0 or ctypes.get_errno() != errno.EPERM:
    made.append("mount")
if libc.unshare(0x10000000) == 0:
    made.append("user namespace")
if libc.unshare(0x00020000) == 0:
    made.append("mount namespace")
print(json.dumps({"made": made}))
"""

SYSTEM_CALLS = """
import ctypes, errno, json, platform
libc = ctypes.CDLL(None, use_errno=True)
numbers = {
    "x86_64": {"ptrace": 101, "bpf": 321, "keyctl": 250, "io_uring_setup": 425, "perf_event_open": 298,
               "userfaultfd": 323, "process_vm_readv": 310, "pidfd_getfd": 438, "open_by_handle_at": 304},
    "aarch64": {"ptrace": 117, "bpf": 280, "keyctl": 219, "io_uring_setup": 425, "perf_event_open": 241,
                "userfaultfd": 282, "process_vm_readv": 270, "pidfd_getfd": 438, "open_by_handle_at": 265},
}[platform.machine()]
allowed = []
for name, number in numbers.items():
    ctypes.set_errno(0)
    # Wrong arguments: a kernel that lets the call in complains of those, a filter answers EPERM before looking.
    if libc.syscall(number, -1, 0, 0, 0, 0, 0) >= 0 or ctypes.get_errno() != errno.EPERM:
        allowed.append(name)
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(json.dumps({"allowed": allowed, "seccomp": status["Seccomp"].strip(),
                  "capabilities": int(status["CapEff"], 16), "no_new_privileges": status["NoNewPrivs"].strip()}))
"""

MEMORY = """
import sys
held = []
for _ in range(int(sys.argv[1])):
    held.append(b"x" * (1 << 20))
print('{"held": %d}' % len(held))
"""

MEMORY_OF_A_TREE = """
import os, signal, sys, time
share, children = int(sys.argv[1]), []
for _ in range(4):
    if os.fork() == 0:
        held = b"x" * (share << 20)
        signal.pause()
        os._exit(len(held) > 0)
time.sleep(3)
print('{"held": %d}' % (4 * share))
os.killpg(0, signal.SIGKILL)
"""

DISK = """
import json, sys
written = 0
try:
    for number in range(4):
        with open("fill%d" % number, "wb") as out:
            for _ in range(int(sys.argv[1])):
                out.write(b"x" * (1 << 18))
                written += 1 << 18
except OSError:
    pass
print(json.dumps({"written_mb": written / (1 << 20)}))
"""

MANY_FILES = """
import json, sys, time
made = 0
try:
    for made in range(int(sys.argv[1])):
        open("f%d" % made, "w").close()
    time.sleep(0.2)
except OSError:
    pass
print(json.dumps({"made": made}))
"""

OUTPUT = """
import os, sys
for _ in range(int(sys.argv[1])):
    os.write(1, b"x" * (1 << 16))
os.write(1, b'\\n{"written": true}\\n')
"""

SURVIVORS = """
import os, signal, sys, time
for number in range(1, 32):
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(20)", sys.argv[1]])
        os._exit(0)
time.sleep(0.3)
print('{"left": 3}')
"""

LEAVE_TRAPS = """
import os
os.symlink("/etc/passwd", "result.json")
os.mkfifo("pipe")
os.symlink("/", os.path.join(os.environ["HOME"], "everything"))
open(os.path.join(os.environ["TMPDIR"], "left"), "w").close()
print('{"left": true}')
"""

LOOK_FOR_TRAPS = """
import json, os
places = [".", os.environ["HOME"], os.environ["TMPDIR"]]
print(json.dumps({"found": [name for place in places for name in os.listdir(place)]}))
"""

TAMPER = """
import json, os, sys
changed = []
here = os.path.dirname(os.path.abspath(__file__))
for path in (here, sys.argv[1]):
    for act in (lambda: open(os.path.join(path, "planted"), "w").close(), lambda: os.chmod(path, 0o777)):
        try:
            act()
            changed.append(path)
        except OSError:
            pass
for name in ("reproduce.py", "control.py"):
    try:
        open(os.path.join(here, name), "a").write("#")
        changed.append(name)
    except OSError:
        pass
# Only asked, never done: where nothing guards them these are the machine's own.
changed += [path for path in sys.argv[2:] if os.access(path, os.W_OK)]
print(json.dumps({"changed": sorted(set(changed))}))
"""

WAIT = """
import signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
time.sleep(20)
print('{"ended": "by itself"}')
"""

BUSY = """
import os, time
# Two processes, so that no single one reaches the limit before both together do.
os.fork()
end = time.process_time() + 20
while time.process_time() < end:
    pass
print('{"ended": "by itself"}')
"""
