"""The emulator of AWS as a process on loopback, for the demo and the test of the module."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

# Besides its endpoint, it would serve MQTT and SFTP, on every address of the machine.
ON_LOOPBACK = {"BIND_HOST": "127.0.0.1", "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}
LISTENING = "0A"  # the state in /proc/net/tcp


@contextmanager
def emulator(log, environment):
    """Starts it on a free port, gives its endpoint, and stops it whatever happens. Ends the program if anything of it
    listens elsewhere than on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    ours = {"GATEWAY_PORT": str(port), "AWS_ENDPOINT_URL": endpoint} | ON_LOOPBACK | environment
    log.parent.mkdir(exist_ok=True)
    program = Path(sys.executable).with_name("ministack")
    with log.open("w") as file:
        process = subprocess.Popen([program], env=os.environ | ours, stdout=file, stderr=file)
    try:
        wait_for(lambda: answers(port), f"the emulator to listen; see {log}", process=process)
        if exposed := listens_elsewhere(process.pid):
            sys.exit(f"the emulator listens on {', '.join(exposed)}, and not only on loopback")
        yield endpoint
    finally:
        process.terminate()
        process.wait(timeout=20)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def wait_for(condition, what, seconds=60, process=None):
    """Polls until the condition holds, and gives its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process and process.poll() is not None:
            sys.exit(f"the emulator stopped while we waited for {what}")
        if value := condition():
            return value
        time.sleep(0.25)
    sys.exit(f"waited {seconds} s for {what}")


def listens_elsewhere(pid):
    """The addresses but loopback's on which a process listens, as /proc/net/tcp writes them; none where there is no /proc."""
    try:
        targets = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []
    sockets = {target[len("socket:["):-1] for target in targets if target.startswith("socket:[")}
    found = []
    for table, loopback in [("tcp", "0100007F"), ("tcp6", "00000000000000000000000001000000")]:
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, _, _, _, _, _, inode = line.split()[:10]
            if state == LISTENING and inode in sockets and not local.startswith(loopback):
                found.append(local)
    return found
