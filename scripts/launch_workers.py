"""Run a command in N processes on this machine, as the workers of one training.

Each process gets its number and the addresses of all in TF_CONFIG, from which
tf.distribute.MultiWorkerMirroredStrategy and `mrcnn-tf train` with strategy=multi_worker know what
to do. Their output is printed with the worker's number in front. When one of them fails, the others
are ended, and so are all by Ctrl-C and by `kill`: SIGINT, SIGTERM and SIGHUP are passed on, and
whoever still runs ten seconds later is killed.

The exit code is 0 if all workers ended well, else that of the first that did not.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

GRACE_SECONDS = 10


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


def start(command: list[str], addresses: list[str], index: int) -> subprocess.Popen:
    """The process of one worker, the leader of a group of its own."""
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    environment = {**os.environ, "TF_CONFIG": json.dumps(config), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def copy_output(worker: subprocess.Popen, index: int) -> None:
    for line in worker.stdout:
        # One write a line, so that lines of several workers do not mix.
        sys.stdout.write(f"[{index}] {line.decode(errors='replace').rstrip()}\n")
        sys.stdout.flush()


def send(workers: list[subprocess.Popen], number: int) -> None:
    """A signal to the workers that still run, and to the processes that they have started."""
    for worker in workers:
        if worker.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, number)


def say(message: str) -> None:
    print(f"launch_workers: {message}", file=sys.stderr, flush=True)


def wait(workers: list[subprocess.Popen], received: list[int]) -> int:
    """Watches the workers until all have ended, and ends them after a failure or a signal."""
    result, deadline = 0, None
    while True:
        running = [worker for worker in workers if worker.poll() is None]
        failed = next((i for i, worker in enumerate(workers) if worker.returncode), None)
        number = None
        if not result and received:
            number = received[0]
            result = 128 + number
            say(f"got {signal.Signals(number).name}, which is passed on to all workers")
        elif not result and failed is not None:
            number, code = signal.SIGTERM, workers[failed].returncode
            result = code if code > 0 else 128 - code
            how = f"ended with exit code {code}"
            if code < 0:
                how = f"was killed by {signal.Signals(-code).name}"
            say(f"worker {failed} of {len(workers)} {how}; the others are ended")
        if not running:
            return result
        if number is not None:
            send(running, number)
            deadline = time.monotonic() + GRACE_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            send(running, signal.SIGKILL)
        time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/launch_workers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("count", type=int, metavar="N", help="number of workers")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="command and its arguments")
    args = parser.parse_args()
    if args.count < 1 or not args.command:
        parser.error("give a number of workers, 1 or more, and a command")
    received = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: received.append(number))

    addresses = [f"localhost:{port}" for port in free_ports(args.count)]
    workers = []
    try:
        for index in range(args.count):
            workers.append(start(args.command, addresses, index))
    except OSError as error:
        send(workers, signal.SIGKILL)
        say(f"cannot start {args.command[0]!r}: {error.strerror}")
        return 127
    copies = [
        threading.Thread(target=copy_output, args=(worker, index), daemon=True)
        for index, worker in enumerate(workers)
    ]
    for copy in copies:
        copy.start()
    result = wait(workers, received)
    for copy in copies:
        copy.join(GRACE_SECONDS)  # longer only if somebody has left the group with the pipe
    return result


if __name__ == "__main__":
    sys.exit(main())
