"""What the demos share: the daemon, workers and the command line as processes
of their own, and how figures are shown.
"""
import ctypes
import json
import os
import queue
import signal
import subprocess
import threading
import time

STEP_TIMEOUT_S = 600
START_TIMEOUT_S = 60
PR_SET_PDEATHSIG = 1


class DemoError(Exception):
    """What stops the demo, in words for whoever runs it."""


def die_with_parent():
    """In a child, before exec: no orphan stays when the demo is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A child whose lines of output are read as they come."""

    def __init__(self, name, command, log_dir):
        self.name = name
        self.log_path = os.path.join(log_dir, name + ".log")
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=log, preexec_fn=die_with_parent)
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.child.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def next_line(self, timeout_s):
        try:
            line = self.lines.get(timeout=timeout_s)
        except queue.Empty:
            raise DemoError("%s: nothing for %d s" % (self.name, timeout_s))
        if line is None:
            raise DemoError("%s ended:\n%s" % (self.name, self.log_tail()))
        return line

    def log_tail(self):
        with open(self.log_path, errors="replace") as log:
            return "".join(log.readlines()[-20:])

    def running(self):
        return self.child.poll() is None

    def kill(self, with_signal=signal.SIGKILL):
        if self.running():
            self.child.send_signal(with_signal)
        try:
            self.child.wait(timeout=START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdin.close()


class Daemon:
    def __init__(self, process, endpoint):
        self.process = process
        self.endpoint = endpoint

    def kill(self):
        self.process.kill()

    def stop(self):
        """In good order, so that its store can be opened by others."""
        self.process.kill(signal.SIGTERM)
        if self.process.child.returncode != 0:
            raise DemoError("%s ended with %d:\n%s" % (
                self.process.name, self.process.child.returncode,
                self.process.log_tail()))


class Stage:
    """Stores, daemons and workers below one folder. `options` names the
    programs (reprised, reprise, worker), the model and the threads."""

    def __init__(self, options, work):
        self.options = options
        self.work = work
        self.processes = []

    def start(self, name, command):
        process = Process(name, command, self.work)
        self.processes.append(process)
        return process

    def store(self, name="store"):
        return os.path.join(self.work, name)

    def start_daemon(self, store="store", flags=()):
        """Once it listens."""
        port_file = os.path.join(self.work, store + ".port")
        if os.path.exists(port_file):
            os.remove(port_file)
        process = self.start("reprised", [
            self.options.reprised, "--dir", self.store(store),
            "--listen", "127.0.0.1:0", "--admin", "", "--log-level", "warn",
            "--port-file", port_file] + list(flags))
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if not process.running():
                raise DemoError("reprised ended:\n" + process.log_tail())
            if os.path.exists(port_file):
                with open(port_file) as file:
                    return Daemon(process, file.readline().strip())
            time.sleep(0.02)
        raise DemoError("reprised does not listen after %d s" %
                        START_TIMEOUT_S)

    def file(self, name, text):
        path = os.path.join(self.work, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def worker(self, daemon, name, steps, flags=()):
        """Starts a worker; what its steps print, in order."""
        process = self.start(name, [
            self.options.worker, "--model", self.options.model,
            "--daemon", daemon.endpoint, "--threads",
            str(self.options.threads), "--context", "4096"] +
            list(flags) + steps)
        results = []
        for step in ["start"] + steps:
            if step == "hold":
                break
            result = json.loads(process.next_line(STEP_TIMEOUT_S))
            if result["step"] != step.split("=")[0]:
                raise DemoError("%s: %r answers step %s" %
                                (name, result, step))
            results.append(result)
        if "hold" not in steps:
            process.child.stdin.close()
            if process.child.wait(timeout=START_TIMEOUT_S) != 0:
                raise DemoError(name + " failed:\n" + process.log_tail())
        return process, results[1:]

    def reprise(self, *words):
        """The command line's exit status and what it says as JSON."""
        done = run_program([self.options.reprise, "--json"] + list(words))
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            raise DemoError("reprise %s: %s" % (
                words, done.stderr.decode(errors="replace")))

    def check_store(self, daemon):
        """What `reprise fsck` says of the whole store, frames and all."""
        status, report = self.reprise("--server", daemon.endpoint, "fsck")
        return {"exit": status, "frames": report.get("frames", 0),
                "findings": report.get("findings")}

    def close(self):
        for process in reversed(self.processes):
            process.kill()


def run_program(command):
    return subprocess.run(command, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=STEP_TIMEOUT_S)


def say(text):
    print(text, flush=True)


def size(count):
    if count < 10 * 1024:
        return "%d B" % count
    if count < 1024 * 1024:
        return "%.1f KiB" % (count / 1024)
    return "%.2f MiB" % (count / (1024 * 1024))


def free_cores():
    """ggml's threads wait by spinning: one too many costs a factor of ten."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min(8, int(cores - os.getloadavg()[0] + 0.5)))


def program_arguments(parser, *programs):
    """Adds the programs, the model and the threads to a parser."""
    for program in programs:
        parser.add_argument("--" + program, required=True,
                            help="path of the built program")
    parser.add_argument("--model", required=True, help="GGUF file")
    parser.add_argument("--threads", type=int, default=free_cores(),
                        help="of each worker (default: the free cores)")
    parser.add_argument("--json", metavar="FILE",
                        help="claims and numbers, for programs")


def missing_program(paths):
    """The first of the paths that is no program; or nothing."""
    return next((p for p in paths if not os.access(p, os.X_OK)), None)


def print_claims(claims):
    """Name -> (holds, what was compared, in words); whether all hold."""
    width = max(len(name) for name in claims)
    for name, (holds, words) in claims.items():
        say("  %s  %-*s  %s" % ("yes" if holds else "NO ", width, name, words))
    return all(holds for holds, _ in claims.values())


def write_report(path, claims, numbers):
    report = {name: holds for name, (holds, _) in claims.items()}
    report["all"] = all(report.values())
    report["numbers"] = numbers
    with open(path, "w") as file:
        json.dump(report, file, indent=2)
        file.write("\n")
