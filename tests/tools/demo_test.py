"""That each claim of the demo can fail, and that its processes end."""
import argparse
import copy
import os
import sys
import tempfile
import unittest

sys.path.insert(0, "tools")
import demo  # noqa: E402
import demo_parts  # noqa: E402

TOKEN_BYTES = 100


def save(tokens, sent_tokens, **more):
    return dict({"tokens": tokens, "raw_bytes": sent_tokens * TOKEN_BYTES,
                 "frame_bytes": sent_tokens * 70,
                 "wire_bytes": sent_tokens * 75, "save_ms": 5.0,
                 "new_segments": sent_tokens // 64, "commit": "ab"}, **more)


def stored(tokens):
    return {"raw_bytes": tokens * TOKEN_BYTES, "values": tokens * 50,
            "frame_bytes": tokens * 70, "record_bytes": 100,
            "profile_bytes": 7}


# 2048 + 32 tokens, then 60 more: the open tail has 32 of the 2080.
FOUND = {
    "prefill": {"prefill_ms": 1000.0},
    "save_1": save(2080, 2080), "stored_1": stored(2080),
    "answer_2": {"generated": [1, 2]},
    "save_2": save(2140, 92), "stored_2": stored(2140),
    "uninterrupted": {"generated": [5, 6, 7]},
    "restored": {"restored_tokens": 2140, "lost_tokens": 0,
                 "wire_bytes": 1000},
    "resumed": {"generated": [5, 6, 7]},
    "restored_prompt": {"restore_ms": 10.0},
    "rewound": {"restored_tokens": 2080},
    "fork_answer": {"generated": [3, 4]},
    "fork_save": save(2130, 82),
    "chat_again": {"generated": [5, 6, 7]},
    "matched": {"matched_tokens": 2048},
    "again_save": save(2048, 0), "again_stored": stored(2048),
    "fsck": {"exit": 0, "frames": 9, "findings": []},
}

# What makes each claim false: (claim, step, field, value).
FLAWS = [
    ("identical_after_crash", "resumed", "generated", [5, 6, 8]),
    ("identical_after_crash", "restored", "restored_tokens", 2076),
    ("identical_after_crash", "restored", "lost_tokens", 64),
    ("only_new_tokens_sent", "save_2", "raw_bytes", 2140 * TOKEN_BYTES),
    ("only_new_tokens_sent", "save_2", "raw_bytes", 0),
    ("only_new_tokens_sent", "save_2", "wire_bytes", 2140 * 75),
    ("only_new_tokens_sent", "stored_2", "frame_bytes", 2 * 2140 * 70),
    ("fork_and_rewind", "rewound", "restored_tokens", 2140),
    ("fork_and_rewind", "fork_answer", "generated", [1, 2]),
    ("fork_and_rewind", "fork_save", "raw_bytes", 2130 * TOKEN_BYTES),
    ("fork_and_rewind", "chat_again", "generated", [5]),
    ("prefix_found_by_match", "matched", "matched_tokens", 1984),
    ("nothing_stored_again", "again_save", "new_segments", 1),
    ("nothing_stored_again", "again_save", "frame_bytes", 1),
    ("store_is_whole", "fsck", "exit", 1),
    ("store_is_whole", "fsck", "findings", [{"what": "a frame is lost"}]),
    ("store_is_whole", "fsck", "findings", None),
    ("store_is_whole", "fsck", "frames", 0),
]


class ClaimsTest(unittest.TestCase):
    def test_all_hold_when_all_is_well(self):
        for name, (holds, words) in demo.claims_of(FOUND).items():
            self.assertTrue(holds, name)
            self.assertTrue(words)

    def test_each_fails_by_each_flaw(self):
        for claim, step, field, value in FLAWS:
            with self.subTest(claim=claim, step=step, field=field):
                found = copy.deepcopy(FOUND)
                found[step][field] = value
                self.assertFalse(demo.claims_of(found)[claim][0])

    def test_ratios_count_all_stored_bytes(self):
        numbers = demo.numbers_of(FOUND)
        everything = 2140 * 70 + 100
        self.assertEqual(numbers["stored_bytes"], everything)
        self.assertAlmostEqual(numbers["state_ratio"],
                               2140 * 100 / everything)
        self.assertAlmostEqual(numbers["history_ratio"],
                               (2080 + 2140) * 100 / everything)
        self.assertEqual(numbers["times_faster"], 100)


class ProcessTest(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp()

    def run_daemon(self, script):
        path = os.path.join(self.work, "program")
        with open(path, "w") as file:
            file.write("#!/bin/sh\n" + script)
        os.chmod(path, 0o755)
        options = argparse.Namespace(reprised=path)
        return demo_parts.Stage(options, self.work)

    def test_says_why_the_daemon_ended(self):
        tried = self.run_daemon("echo no such folder >&2; exit 3\n")
        with self.assertRaisesRegex(demo_parts.DemoError, "no such folder"):
            tried.start_daemon()
        tried.close()

    def test_takes_the_first_address_of_the_port_file(self):
        tried = self.run_daemon(
            'while [ $# -gt 1 ]; do\n'
            '  [ "$1" = --port-file ] && file=$2\n'
            '  shift\n'
            'done\n'
            'printf "127.0.0.1:4711\\n127.0.0.1:4712\\n" >"$file.new"\n'
            'mv "$file.new" "$file"\n'
            'exec sleep 60\n')
        daemon = tried.start_daemon()
        self.assertEqual(daemon.endpoint, "127.0.0.1:4711")
        tried.close()
        self.assertFalse(daemon.process.running())

    def test_gives_up_on_a_silent_process(self):
        process = demo_parts.Process("sleeper", ["/bin/sleep", "60"], self.work)
        with self.assertRaisesRegex(demo_parts.DemoError, "nothing for"):
            process.next_line(0.05)
        process.kill()
        self.assertFalse(process.running())


if __name__ == "__main__":
    unittest.main()
