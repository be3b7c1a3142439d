"""A real model's conversation, saved, killed, resumed and checked.

    ./dev demo [--json FILE]

Runs the daemon and small llama.cpp workers as processes of their own, kills
them in the middle, and compares what the model says afterwards, token by
token, with a run that nothing interrupted. Prints a table, and exits with 0
only if every claim holds.
"""
import argparse
import os
import shutil
import signal
import sys
import tempfile

from demo_parts import (DemoError, Stage, missing_program, print_claims,
                        program_arguments, say, size, write_report)

PROMPT_TOKENS = 2048
TURN_TOKENS = 32
COMPARED_TOKENS = 64
SEGMENT_TOKENS = 64

SECOND_TURN = ("\n\nQuestion: Why did wooden warships become obsolete, and "
               "which navy answered first?\nAnswer:")
OTHER_TURN = ("\n\nQuestion: Which weapons decided the battles between "
              "ironclads?\nAnswer:")


def run(stage):
    """Every step of the demo; the numbers that the claims are made of."""
    prompt = "%s:%d" % (stage.options.text, PROMPT_TOKENS)
    second = stage.file("second_turn.txt", SECOND_TURN)
    other = stage.file("other_turn.txt", OTHER_TURN)
    go_on = "generate=%d" % TURN_TOKENS
    compare = "generate=%d" % COMPARED_TOKENS
    found = {}

    say("1. A worker computes %d tokens of text, answers, and saves ..." %
        PROMPT_TOKENS)
    daemon = stage.start_daemon()
    first, steps = stage.worker(daemon, "first_worker", [
        "prompt=" + prompt, go_on, "save=chat", "describe=chat",
        "prompt=" + second, go_on, "save=chat", "describe=chat",
        compare, "hold"])
    found["prefill"], _, found["save_1"], found["stored_1"] = steps[:4]
    _, found["answer_2"], found["save_2"], found["stored_2"] = steps[4:8]
    found["uninterrupted"] = steps[8]

    say("2. Worker and daemon are killed (SIGKILL) and started again ...")
    first.kill()
    daemon.kill()
    daemon = stage.start_daemon()
    _, steps = stage.worker(daemon, "second_worker", [
        "restore=chat", compare, "forget",
        "restore=chat:%d" % PROMPT_TOKENS])
    found["restored"], found["resumed"], _, found["restored_prompt"] = steps

    say("3. A fork goes back to the first turn and takes another way ...")
    _, steps = stage.worker(daemon, "third_worker", [
        "fork=chat:what-if",
        "rewind=what-if:" + found["save_1"]["commit"],
        "restore=what-if", "prompt=" + other, go_on, "save=what-if",
        "forget", "restore=chat", compare])
    found["rewound"], _, found["fork_answer"], found["fork_save"] = steps[2:6]
    found["chat_again"] = steps[8]

    say("4. A new session begins with the same text ...")
    _, steps = stage.worker(daemon, "fourth_worker", [
        "resume=" + prompt, "save=again", "describe=again"])
    found["matched"], found["again_save"], found["again_stored"] = steps

    say("5. The store is checked ...")
    found["fsck"] = stage.check_store(daemon)
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


def parse_arguments():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    program_arguments(parser, "reprised", "reprise", "worker")
    parser.add_argument("--text", default=os.path.join(
        os.path.dirname(here), "assets", "ironclad.txt"))
    return parser.parse_args()


def main():
    options = parse_arguments()
    missing = missing_program(
        [options.reprised, options.reprise, options.worker])
    if missing:
        say("demo: no program %s: ./dev demo builds it" % missing)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = tempfile.mkdtemp(prefix="reprise_demo.")
    stage = Stage(options, work)
    try:
        found = run(stage)
    except DemoError as error:
        say("demo: %s" % error)
        return 1
    finally:
        stage.close()
        shutil.rmtree(work, ignore_errors=True)
    claims = claims_of(found)
    numbers = numbers_of(found)
    print_table(numbers, options.threads)
    holds = print_claims(claims)
    if options.json:
        write_report(options.json, claims, numbers)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
