"""A real model's conversation, saved, killed, resumed and checked.

    ./dev demo [--json FILE]

Runs the daemon and small llama.cpp workers as processes of their own, kills
them in the middle, and compares what the model says afterwards, token by
token, with a run that nothing interrupted. Prints a table, and exits with 0
only if every claim holds.
"""
import argparse
import ctypes
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

PROMPT_TOKENS = 2048
TURN_TOKENS = 32
COMPARED_TOKENS = 64
SEGMENT_TOKENS = 64
STEP_TIMEOUT_S = 600
START_TIMEOUT_S = 60
PR_SET_PDEATHSIG = 1

SECOND_TURN = ("\n\nQuestion: Why did wooden warships become obsolete, and "
               "which navy answered first?\nAnswer:")
OTHER_TURN = ("\n\nQuestion: Which weapons decided the battles between "
              "ironclads?\nAnswer:")


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


class Demo:
    def __init__(self, options, work):
        self.options = options
        self.work = work
        self.processes = []
        self.daemon = None
        self.endpoint = None

    def start(self, name, command):
        process = Process(name, command, self.work)
        self.processes.append(process)
        return process

    def start_daemon(self):
        port_file = os.path.join(self.work, "port")
        if os.path.exists(port_file):
            os.remove(port_file)
        self.daemon = self.start("reprised", [
            self.options.reprised, "--dir", os.path.join(self.work, "store"),
            "--listen", "127.0.0.1:0", "--admin", "", "--log-level", "warn",
            "--port-file", port_file])
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if not self.daemon.running():
                raise DemoError("reprised ended:\n" + self.daemon.log_tail())
            if os.path.exists(port_file):
                with open(port_file) as file:
                    self.endpoint = file.readline().strip()
                return
            time.sleep(0.02)
        raise DemoError("reprised does not listen after %d s" %
                        START_TIMEOUT_S)

    def file(self, name, text):
        path = os.path.join(self.work, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def worker(self, name, steps):
        """Starts a worker; what its steps print, in order."""
        process = self.start(name, [
            self.options.worker, "--model", self.options.model,
            "--daemon", self.endpoint, "--threads", str(self.options.threads),
            "--context", "4096"] + steps)
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

    def check_store(self):
        """What `reprise fsck` says of the whole store, frames and all."""
        done = subprocess.run(
            [self.options.reprise, "--server", self.endpoint, "--json",
             "fsck"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=STEP_TIMEOUT_S)
        try:
            report = json.loads(done.stdout)
        except ValueError:
            raise DemoError("reprise fsck: " +
                            done.stderr.decode(errors="replace"))
        return {"exit": done.returncode, "frames": report.get("frames", 0),
                "findings": report.get("findings")}

    def close(self):
        for process in reversed(self.processes):
            process.kill()


def say(text):
    print(text, flush=True)


def run(demo):
    """Every step of the demo; the numbers that the claims are made of."""
    prompt = "%s:%d" % (demo.options.text, PROMPT_TOKENS)
    second = demo.file("second_turn.txt", SECOND_TURN)
    other = demo.file("other_turn.txt", OTHER_TURN)
    go_on = "generate=%d" % TURN_TOKENS
    compare = "generate=%d" % COMPARED_TOKENS
    found = {}

    say("1. A worker computes %d tokens of text, answers, and saves ..." %
        PROMPT_TOKENS)
    demo.start_daemon()
    first, steps = demo.worker("first_worker", [
        "prompt=" + prompt, go_on, "save=chat", "describe=chat",
        "prompt=" + second, go_on, "save=chat", "describe=chat",
        compare, "hold"])
    found["prefill"], _, found["save_1"], found["stored_1"] = steps[:4]
    _, found["answer_2"], found["save_2"], found["stored_2"] = steps[4:8]
    found["uninterrupted"] = steps[8]

    say("2. Worker and daemon are killed (SIGKILL) and started again ...")
    first.kill()
    demo.daemon.kill()
    demo.start_daemon()
    _, steps = demo.worker("second_worker", [
        "restore=chat", compare, "forget",
        "restore=chat:%d" % PROMPT_TOKENS])
    found["restored"], found["resumed"], _, found["restored_prompt"] = steps

    say("3. A fork goes back to the first turn and takes another way ...")
    _, steps = demo.worker("third_worker", [
        "fork=chat:what-if",
        "rewind=what-if:" + found["save_1"]["commit"],
        "restore=what-if", "prompt=" + other, go_on, "save=what-if",
        "forget", "restore=chat", compare])
    found["rewound"], _, found["fork_answer"], found["fork_save"] = steps[2:6]
    found["chat_again"] = steps[8]

    say("4. A new session begins with the same text ...")
    _, steps = demo.worker("fourth_worker", [
        "resume=" + prompt, "save=again", "describe=again"])
    found["matched"], found["again_save"], found["again_stored"] = steps

    say("5. The store is checked ...")
    found["fsck"] = demo.check_store()
    return found


def claims_of(found):
    """Name -> (holds, what was compared, in words)."""
    expected = found["uninterrupted"]["generated"]
    total_1 = found["save_1"]["tokens"]
    total_2 = found["save_2"]["tokens"]
    token_bytes = found["stored_2"]["raw_bytes"] / total_2
    open_tail = total_1 % SEGMENT_TOKENS
    sent_2 = found["save_2"]["raw_bytes"] / token_bytes
    grown = (found["stored_2"]["frame_bytes"] -
             found["stored_1"]["frame_bytes"])
    again = found["again_save"]
    return {
        "identical_after_crash": (
            found["resumed"]["generated"] == expected and
            found["restored"]["restored_tokens"] == total_2 and
            found["restored"]["lost_tokens"] == 0,
            "the next %d tokens of the restored session" % len(expected)),
        "only_new_tokens_sent": (
            sent_2 == total_2 - total_1 + open_tail and
            found["save_2"]["wire_bytes"] <= 1.1 * sent_2 * token_bytes and
            grown <= found["save_2"]["frame_bytes"],
            "turn 2 has %d new tokens after %d in the open tail; sent were "
            "the KV of %d, %s on the wire" % (
                total_2 - total_1, open_tail, sent_2,
                size(found["save_2"]["wire_bytes"]))),
        "fork_and_rewind": (
            found["rewound"]["restored_tokens"] == total_1 and
            found["fork_answer"]["generated"] !=
            found["answer_2"]["generated"] and
            found["fork_save"]["raw_bytes"] <=
            (found["fork_save"]["tokens"] - total_1 + open_tail) *
            token_bytes and
            found["chat_again"]["generated"] == expected,
            "the fork goes on from token %d; the first session is as it was" %
            total_1),
        "prefix_found_by_match": (
            found["matched"]["matched_tokens"] == PROMPT_TOKENS,
            "%d of %d tokens" % (found["matched"]["matched_tokens"],
                                 PROMPT_TOKENS)),
        "nothing_stored_again": (
            again["new_segments"] == 0 and again["frame_bytes"] == 0 and
            again["tokens"] == PROMPT_TOKENS,
            "the new session's save sent %d bytes of frames, %s in all" % (
                again["frame_bytes"], size(again["wire_bytes"]))),
        "store_is_whole": (
            found["fsck"]["exit"] == 0 and found["fsck"]["findings"] == [] and
            found["fsck"]["frames"] > 0,
            "reprise fsck read %d frames; damage found: %d" % (
                found["fsck"]["frames"],
                len(found["fsck"]["findings"] or []))),
    }


def numbers_of(found):
    stored = found["stored_2"]
    stored_bytes = stored["frame_bytes"] + stored["record_bytes"]
    state_bytes = 2 * stored["values"]  # at 16 bits a value
    snapshots = [2 * found[name]["values"] for name in
                 ("stored_1", "stored_2")]
    prefill_ms = found["prefill"]["prefill_ms"]
    restore_ms = found["restored_prompt"]["restore_ms"]
    return {
        "tokens": found["save_2"]["tokens"],
        "raw_bytes": stored["raw_bytes"],
        "stored_bytes": stored_bytes,
        "profile_bytes": stored["profile_bytes"],
        "state_ratio": state_bytes / stored_bytes,
        "history_ratio": sum(snapshots) / stored_bytes,
        "history_snapshots": len(snapshots),
        "history_dtype": "f16",
        "save_1_wire_bytes": found["save_1"]["wire_bytes"],
        "save_2_wire_bytes": found["save_2"]["wire_bytes"],
        "restore_wire_bytes": found["restored"]["wire_bytes"],
        "save_1_ms": found["save_1"]["save_ms"],
        "save_2_ms": found["save_2"]["save_ms"],
        "prompt_tokens": PROMPT_TOKENS,
        "prefill_ms": prefill_ms,
        "restore_ms": restore_ms,
        "times_faster": prefill_ms / restore_ms,
    }


def size(count):
    if count < 10 * 1024:
        return "%d B" % count
    if count < 1024 * 1024:
        return "%.1f KiB" % (count / 1024)
    return "%.2f MiB" % (count / (1024 * 1024))


def print_table(numbers, threads):
    rows = [
        ("conversation", "%d tokens in 2 turns" % numbers["tokens"]),
        ("raw (f16 cache)", size(numbers["raw_bytes"])),
        ("stored, all of it", size(numbers["stored_bytes"])),
        ("profiles, shared by the model", size(numbers["profile_bytes"])),
        ("state ratio, at 16 bits a value", "%.2f x" %
         numbers["state_ratio"]),
        ("history ratio, %d snapshots of f16" % numbers["history_snapshots"],
         "%.2f x" % numbers["history_ratio"]),
        ("sent for turn 1", "%s in %.0f ms" % (
            size(numbers["save_1_wire_bytes"]), numbers["save_1_ms"])),
        ("sent for turn 2", "%s in %.0f ms" % (
            size(numbers["save_2_wire_bytes"]), numbers["save_2_ms"])),
        ("restored from the wire", size(numbers["restore_wire_bytes"])),
        ("%d tokens by prefill, %d thread%s" % (
            numbers["prompt_tokens"], threads, "s" if threads > 1 else ""),
         "%.0f ms" % numbers["prefill_ms"]),
        ("the same by restore", "%.0f ms" % numbers["restore_ms"]),
        ("times faster", "%.0f x" % numbers["times_faster"]),
    ]
    width = max(len(name) for name, _ in rows)
    say("")
    for name, value in rows:
        say("  %-*s  %20s" % (width, name, value))
    say("")


def free_cores():
    """ggml's threads wait by spinning: one too many costs a factor of ten."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min(8, int(cores - os.getloadavg()[0] + 0.5)))


def parse_arguments():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for program in ("reprised", "reprise", "worker"):
        parser.add_argument("--" + program, required=True,
                            help="path of the built program")
    parser.add_argument("--model", required=True, help="GGUF file")
    parser.add_argument("--text", default=os.path.join(
        os.path.dirname(here), "assets", "ironclad.txt"))
    parser.add_argument("--threads", type=int, default=free_cores(),
                        help="of each worker (default: the free cores)")
    parser.add_argument("--json", metavar="FILE",
                        help="claims and numbers, for programs")
    return parser.parse_args()


def main():
    options = parse_arguments()
    for program in (options.reprised, options.reprise, options.worker):
        if not os.access(program, os.X_OK):
            say("demo: no program %s: ./dev demo builds it" % program)
            return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = tempfile.mkdtemp(prefix="reprise_demo.")
    demo = Demo(options, work)
    try:
        found = run(demo)
    except DemoError as error:
        say("demo: %s" % error)
        return 1
    finally:
        demo.close()
        shutil.rmtree(work, ignore_errors=True)
    claims = claims_of(found)
    numbers = numbers_of(found)
    print_table(numbers, options.threads)
    for name, (holds, words) in claims.items():
        say("  %s  %-22s %s" % ("yes" if holds else "NO ", name, words))
    if options.json:
        report = {name: holds for name, (holds, _) in claims.items()}
        report["all"] = all(report.values())
        report["numbers"] = numbers
        with open(options.json, "w") as file:
            json.dump(report, file, indent=2)
            file.write("\n")
    return 0 if all(holds for holds, _ in claims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
