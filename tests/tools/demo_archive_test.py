"""That each claim of the archive demo can fail, what it asks of the programs,
and what its table and plot show."""
import argparse
import copy
import os
import re
import shutil
import sys
import tempfile
import unittest
import xml.dom.minidom
from unittest import mock

sys.path.insert(0, "tools")
import archive_plot  # noqa: E402
import demo_archive  # noqa: E402
from demo_parts import DemoError  # noqa: E402

SESSIONS = {"a": 640, "b": 660}  # the second one has a tail of 20
BYTES = {"exact": 1000, "near": 300, "coarse": 100, "archive": 50,
         "tokens": 5}
ROW = {"kl_mean": 0.25, "kl_se": 0.1, "top1": 0.75, "ppl_exact": 4.5,
       "ppl": 5.0, "ppl_delta": 0.5, "noise_kl_mean": 1e-7}


def shown(session, tier):
    tokens = SESSIONS[session]
    return {"tokens": tokens, "values": tokens * 50,
            "frame_bytes": BYTES[tier] * tokens - 8, "record_bytes": 8,
            "profile_bytes": 4096,
            # With the zeros that the command line may print.
            "segments_by_tier": dict({"archive": 0}, **(
                demo_archive.expected_tiers(tokens, tier)))}


def compacted(tier):
    segments = dict.fromkeys(demo_archive.KEPT, 0)
    return {"exit": 0, "phase": "done", "segments": segments,
            "done_segments": 0 if tier == "exact" else 20,
            "used_bytes_after": 7 << 20}


def restored(session, tier):
    tokens = SESSIONS[session]
    lost = {"exact": 0, "near": 0, "tokens": tokens}.get(tier, tokens % 64)
    return {"restored_tokens": tokens, "lost_tokens": lost,
            "restore_ms": 30.0, "recompute_ms": 10.0,
            "generated": [1, 2], "text": "and so\non"}


def look(ladder, time, idle_s, tier):
    out = {"time": time, "idle_s": idle_s, "tier": tier,
           "codec": demo_archive.codec_of(ladder, tier),
           "compact": compacted(tier),
           "fsck": {"exit": 0, "frames": 7, "findings": []},
           "shown": {s: shown(s, tier) for s in SESSIONS}}
    if tier in demo_archive.JUDGED[ladder]:
        out["quality"] = dict(ROW)
        if tier == "exact":
            out["quality"].update(kl_mean=0.0, top1=1.0, ppl_delta=0.0)
    if "quality" in out or (ladder, tier) == ("default", "tokens"):
        out["restored"] = {s: restored(s, tier) for s in SESSIONS}
    return out


def found():
    return {"saved": {"a": [320, 640], "b": [200, 400, 660]},
            "original": {s: {"generated": [1, 2], "text": "and so\non"}
                         for s in SESSIONS},
            "walk": {ladder: [look(ladder, *at)
                              for at in demo_archive.TIMES]
                     for ladder in demo_archive.LADDERS}}


def put(value, *path):
    """A flaw: this value there, below found["walk"]."""
    def change(found):
        at = found["walk"]
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
    return change


FLAWS = [
    ("tiers_as_the_ladder_says", "series at 2d", put(
        {"near": 1, "coarse": 9}, "series", 2, "shown", "a",
        "segments_by_tier")),
    ("tiers_as_the_ladder_says", "default at 2h", put(
        {"near": 11}, "default", 1, "shown", "b", "segments_by_tier")),
    ("bytes_fall", "default at 2d", put(
        300 * 1300, "default", 2, "shown", "a", "frame_bytes")),
    ("nothing_kept_or_lost", "series at 31d", put(
        1, "series", 3, "compact", "segments", "failed-check")),
    ("nothing_kept_or_lost", "series at 31d", put(
        1, "series", 3, "compact", "segments", "skipped")),
    ("nothing_kept_or_lost", "series-vq at 2h", put(
        "failed", "series-vq", 1, "compact", "phase")),
    ("nothing_kept_or_lost", "series-vq at 2h", put(
        1, "series-vq", 1, "compact", "exit")),
    ("nothing_kept_or_lost", "default at 30m", put(
        1, "default", 0, "compact", "done_segments")),
    ("nothing_kept_or_lost", "default at 2h", put(
        0, "default", 1, "compact", "done_segments")),
    ("comes_back", "default at 2h", put(
        1, "default", 1, "restored", "b", "lost_tokens")),
    ("comes_back", "series at 2d", put(
        64, "series", 2, "restored", "b", "lost_tokens")),
    ("comes_back", "default at 400d", put(
        576, "default", 4, "restored", "a", "restored_tokens")),
    ("exact_costs_nothing", "default at 30m", put(
        1e-9, "default", 0, "quality", "kl_mean")),
    ("exact_costs_nothing", "default at 30m", put(
        0.99, "default", 0, "quality", "top1")),
    ("thaw_is_identical", "b", put(
        [1, 3], "default", 4, "restored", "b", "generated")),
    # Frames were left: then it was no thaw.
    ("thaw_is_identical", "a", put(
        0, "default", 4, "restored", "a", "lost_tokens")),
    ("stores_are_whole", "series at 400d", put(
        1, "series", 4, "fsck", "exit")),
    ("stores_are_whole", "default at 2d", put(
        [{"what": "a frame is lost"}], "default", 2, "fsck", "findings")),
    ("stores_are_whole", "default at 2d", put(
        None, "default", 2, "fsck", "findings")),
]


class ClaimsTest(unittest.TestCase):
    def test_all_hold_when_all_is_well(self):
        for name, (holds, words) in demo_archive.claims_of(found()).items():
            self.assertTrue(holds, name + words)
            self.assertNotIn("FAILED", words)

    def test_each_fails_by_each_flaw_and_names_the_step(self):
        for claim, step, flaw in FLAWS:
            with self.subTest(claim=claim, step=step):
                flawed = found()
                flaw(flawed)
                claims = demo_archive.claims_of(flawed)
                holds, words = claims.pop(claim)
                self.assertFalse(holds)
                self.assertRegex(words, "FAILED: .*" + re.escape(step))
                for name, (holds, words) in claims.items():
                    self.assertTrue(holds, "%s: %s" % (name, words))
        self.assertEqual({flaw[0] for flaw in FLAWS},
                         set(demo_archive.claims_of(found())))

    def test_a_tail_is_exact_or_gone(self):
        expect = demo_archive.expected_tiers
        self.assertEqual(expect(130, "exact"), {"exact": 3})
        self.assertEqual(expect(130, "near"), {"near": 2, "exact": 1})
        self.assertEqual(expect(130, "archive"), {"archive": 2, "tokens": 1})
        self.assertEqual(expect(130, "tokens"), {"tokens": 3})
        self.assertEqual(expect(128, "coarse"), {"coarse": 2})


class FiguresTest(unittest.TestCase):
    def test_ratios_count_all_bytes_and_name_their_snapshots(self):
        looks = found()["walk"]["default"]
        ratios = demo_archive.ratios_of(found(), looks[1])
        stored = 300 * 1300
        self.assertAlmostEqual(ratios["state_ratio"], 100 * 1300 / stored)
        self.assertEqual(ratios["history_turn_snapshots"], 5)
        self.assertAlmostEqual(ratios["history_turn_ratio"],
                               100 * (960 + 1260) / stored)
        self.assertEqual(ratios["history_snapshots"], 1300)
        self.assertAlmostEqual(
            ratios["history_ratio"],
            100 * (640 * 641 / 2 + 660 * 661 / 2) / stored)

    def test_what_is_computed_again_is_part_of_a_restore(self):
        self.assertEqual(
            demo_archive.restore_ms(found()["walk"]["series"][2]), 40)

    def test_the_table_has_a_line_for_all_that_was_judged(self):
        rows = demo_archive.rows_of(found())
        self.assertEqual(
            [(r["ladder"], r["tier"]) for r in rows
             if r["ladder"] != "default"],
            [("series", "near"), ("series", "coarse"), ("series", "archive"),
             ("series-vq", "coarse"), ("series-vq", "archive")])
        lines = demo_archive.table_of(rows)
        self.assertEqual({len(demo_archive.cells_of(r)) for r in rows},
                         {len(demo_archive.COLUMNS)})
        near = next(line for line in lines if "klt:tier=near" in line)
        for part in ["380.9 KiB", "7.00 MiB", "0.33", "0.25", "0.750", "+0.50",
                     "and so on"]:
            self.assertIn(part, near)
        text = "\n".join(lines)
        self.assertIn("5 snapshots of f16, one a turn", text)
        self.assertIn("1300 snapshots of f16, one a token", text)
        self.assertIn("by all sessions: 4096 B", text)
        exact = next(line for line in lines if " exact " in line)
        self.assertRegex(exact, r" 0  1\.000  \+0\.00 ")
        tokens = next(line for line in lines if "tokens " in line and
                      "400d" in line)
        self.assertRegex(tokens, r" -  +-  +- ")

    def test_long_words_are_cut(self):
        self.assertEqual(demo_archive.quoted("a  b\n c"), "a b c")
        self.assertEqual(demo_archive.quoted("x" * 40, 10), "xxxxxxx...")


class PlotTest(unittest.TestCase):
    def test_it_is_xml_with_each_ladder_and_step(self):
        text = demo_archive.plot_of(found())
        xml.dom.minidom.parseString(text)
        for part in [">default<", ">series<", ">series-vq<",
                     ">near: klt:tier=near<", ">archive: vq:worst=0.1<",
                     ">tokens<", ">30 d<", "policy: exact 1h"]:
            self.assertIn(part, text)
        self.assertEqual(text.count("<path"), 3)
        self.assertEqual(text.count("<circle"), 15)
        self.assertEqual(text, demo_archive.plot_of(found()))

    def test_a_stair_falls_where_the_policy_says(self):
        steps = [archive_plot.Step(0, 1800, 1 << 20, "exact"),
                 archive_plot.Step(3600, 7200, 1 << 10, "near")]
        text = archive_plot.svg({"one": steps}, "t", "n & m")
        points = [tuple(map(float, point.split())) for point in
                  re.search('d="M([^"]*)"', text).group(1).split("L")]
        hour = float(re.search('x="([0-9.]*)"[^>]*>1 h<', text).group(1))
        self.assertEqual([p[0] for p in points],
                         [archive_plot.LEFT, hour, hour, archive_plot.RIGHT])
        self.assertEqual(points[0][1], points[1][1])
        self.assertEqual(points[2][1], points[3][1])
        self.assertLess(points[1][1], points[2][1])
        self.assertIn("n &amp; m", text)

    def test_nothing_to_show_is_said(self):
        empty = archive_plot.svg(
            {"one": [archive_plot.Step(0, 60, 0, "exact")]}, "t", "n")
        xml.dom.minidom.parseString(empty)
        self.assertIn("nothing to show", empty)


class TextsTest(unittest.TestCase):
    def test_turns_are_the_text_and_are_followed_by_it(self):
        text = "User: a\n\nAssistant: bb\n\nUser: ccc\nd\ne\nf\n"
        turns, rest = demo_archive.turns_of(
            text, r"(?m)^(?=User: |Assistant: )", 1, 30)
        self.assertEqual(turns, ["User: a\n\n", "Assistant: bb\n\n",
                                 "User: ccc\n"])
        self.assertEqual(rest, "d\ne\nf\n")

    def test_the_conversations_are_real_and_of_several_turns(self):
        texts = demo_archive.conversations()
        self.assertEqual(len(texts), 4)
        sources = [demo_archive.asset("mtbench-chats-test.txt"),
                   demo_archive.asset("wikitext2-test.txt")]
        for name, (turns, rest) in texts.items():
            with self.subTest(session=name):
                self.assertGreaterEqual(len(turns), 3)
                whole = "".join(turns) + rest
                self.assertTrue(any(whole in source for source in sources))
                self.assertGreaterEqual(len("".join(turns)),
                                        demo_archive.SESSION_CHARS)
                # Tokens of code have three characters or so.
                self.assertGreater(len(rest),
                                   5 * demo_archive.SCORED_TOKENS)


class FakeStage:
    """Says what programs would; keeps what it was asked."""

    def __init__(self, work):
        self.work = work
        self.asked = []
        self.running = set()
        self.tier = {}

    def store(self, name):
        return os.path.join(self.work, name)

    def file(self, name, text):
        return os.path.join(self.work, name)

    def start_daemon(self, store):
        os.makedirs(self.store(store), exist_ok=True)
        self.running.add(store)
        return argparse.Namespace(endpoint="at-" + store,
                                  stop=lambda: self.running.remove(store))

    def worker(self, daemon, name, steps, flags=()):
        self.asked.append(("worker", daemon.endpoint, steps))
        return None, [dict(step=step.split("=")[0], tokens=3, generated=[7],
                           text="seven", restored_tokens=3, lost_tokens=0,
                           restore_ms=1.0, recompute_ms=1.0)
                      for step in steps]

    def reprise(self, *words):
        self.asked.append(words)
        if words[0] == "compact":
            store = os.path.basename(words[words.index("--dir") + 1])
            assert store not in self.running
            assert os.path.exists(os.path.join(self.store(store),
                                               "REHEARSAL"))
        return 0, {"tokens": 3}

    def check_store(self, daemon):
        return {"exit": 0, "frames": 1, "findings": []}


class WalkTest(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp()
        self.stage = FakeStage(self.work)
        self.judged = []
        options = argparse.Namespace(threads=1, eval="judge", model="m.gguf")
        self.archive = demo_archive.Archive(self.stage, options)

    def tearDown(self):
        shutil.rmtree(self.work)

    def judge(self, command):
        endpoints = command[command.index("--endpoint") + 1].split(",")
        self.judged.append(endpoints)
        self.assertEqual(command[command.index("--exact") + 1], "at-exact")
        rows = [dict(ROW, variant=name) for name in endpoints]
        with open(command[command.index("--json") + 1], "w") as file:
            demo_archive.json.dump(rows, file)
        return argparse.Namespace(returncode=0)

    def test_copies_sink_and_the_original_stays(self):
        with mock.patch.object(demo_archive, "run_program", self.judge), \
                mock.patch.object(demo_archive, "say"):
            walk = self.archive.run()["walk"]
        compactions = [words for words in self.stage.asked
                       if words[0] == "compact"]
        self.assertEqual(
            [(os.path.basename(w[w.index("--dir") + 1]),
              w[w.index("--idle-plus") + 1]) for w in compactions],
            [(ladder, time) for time, _, _ in demo_archive.TIMES
             for ladder in demo_archive.LADDERS])
        for words in compactions:
            policy = words[words.index("--policy") + 1]
            ladder = os.path.basename(words[words.index("--dir") + 1])
            self.assertTrue(policy.startswith(ladder + ": exact 1h, near 1d"))
        self.assertEqual(self.judged, [
            ["at-default"], ["at-default", "at-series"],
            ["at-default", "at-series", "at-series-vq"],
            ["at-default", "at-series", "at-series-vq"]])
        self.assertEqual(walk["series-vq"][2]["quality"]["variant"],
                         "at-series-vq")
        self.assertNotIn("quality", walk["series-vq"][1])
        self.assertFalse(os.path.exists(os.path.join(
            self.stage.store("exact"), "REHEARSAL")))
        self.assertEqual(self.stage.running, {"exact"})

    def test_profiles_are_of_other_text_than_what_is_judged(self):
        with mock.patch.object(demo_archive, "run_program", self.judge), \
                mock.patch.object(demo_archive, "say"):
            self.archive.run()
        trained = [words for words in self.stage.asked
                   if "calibrate" in words]
        self.assertEqual([w[3] for w in trained], ["tsc", "vq"])
        self.assertTrue(all(w[-1] == "train-" for w in trained))
        self.assertFalse(any(name.startswith("train-")
                             for name in self.archive.texts))

    def test_a_judge_that_fails_ends_it(self):
        failed = argparse.Namespace(returncode=1, stderr=b"no such model")
        daemon = argparse.Namespace(endpoint="x")
        self.archive.exact = daemon
        with mock.patch.object(demo_archive, "run_program",
                               return_value=failed):
            with self.assertRaisesRegex(DemoError, "no such model"):
                self.archive.judge([daemon])


class ReportTest(unittest.TestCase):
    def test_the_exit_status_and_files_say_what_failed(self):
        work = tempfile.mkdtemp()
        options = argparse.Namespace(
            json=os.path.join(work, "report.json"),
            plot=os.path.join(work, "plot.svg"), threads=1)
        flawed = found()
        FLAWS[0][2](flawed)
        with mock.patch.object(demo_archive, "say"), \
                mock.patch("demo_parts.say"):
            self.assertEqual(demo_archive.show(found(), options, 2.0), 0)
            with open(options.json) as file:
                report = demo_archive.json.load(file)
            self.assertTrue(report["all"])
            self.assertEqual(
                report["numbers"]["walk"]["series"][2]["bytes"], 130000)
            self.assertEqual(len(report["numbers"]["rows"]), 10)
            self.assertEqual(demo_archive.show(flawed, options, 2.0), 1)
            with open(options.json) as file:
                report = demo_archive.json.load(file)
            self.assertFalse(report["all"])
            self.assertFalse(report["tiers_as_the_ladder_says"])
        xml.dom.minidom.parse(options.plot)
        shutil.rmtree(work)


if __name__ == "__main__":
    unittest.main()
