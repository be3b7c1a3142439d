"""The page of quality says what its rows say, and its plan what is run."""
import argparse
import os
import sys
import tempfile
import unittest
import xml.dom.minidom

sys.path.insert(0, "tools/eval")
import quality  # noqa: E402
import quality_page  # noqa: E402
import rate_plot  # noqa: E402

ROW = {"section": "main",
       "model": "Small", "weights": "f32", "cache_type": "f16",
       "text": "t.txt", "variant": "raw", "codec": "raw", "parameters": "",
       "prefix": 512, "scored_tokens": 256, "windows": 2, "seed": 0,
       "kl_mean": 0.0, "kl_se": 0.0, "kl_p99": 0.0, "kl_max": 0.0,
       "top1": 1.0, "top1_se": 0.0, "ppl_exact": 11.5, "ppl": 11.5,
       "ppl_delta": 0.0, "ppl_delta_se": 0.0, "noise_kl_mean": 1.2e-7,
       "noise_kl_max": 2e-6, "bpv": 16.04, "state_ratio": 0.998,
       "history_ratio": 255.9, "fallback_share": None}
LOSSY = dict(ROW, variant="tsc", codec="tsc", kl_mean=0.0175, kl_se=0.005,
             kl_max=1.25, ppl_delta=0.5, ppl_delta_se=None, bpv=4.43,
             state_ratio=3.61, history_ratio=925.0, fallback_share=0.0123)
FACTS = {"retrieval_facts": 96, "retrieval_exact_count": 90,
         "retrieval_coded_count": 60, "retrieval_kept": 0.65,
         "retrieval_kept_se": 0.05, "retrieval_kl": 0.2,
         "retrieval_kl_se": 0.01, "retrieval_noise_kl": 3e-7}
NO_SIZE = dict(ROW, variant="shuffled", bpv=None, state_ratio=None,
               history_ratio=None)
RATES = {"0.001": 5.5, "0.01": 4.25, "0.05": None}
DONE = {"section": "main", "minutes": 1.5, "windows": 2, "prefixes": [512],
        "model": "Small", "text": "t.txt", "rows": 2, "retrieval": 0,
        "command": "reprise eval x"}


def page(rows, plots=()):
    return quality_page.page(rows, [DONE], list(plots), "./dev eval", "abc")


class PageTest(unittest.TestCase):
    def test_it_has_every_row_and_what_was_run(self):
        text = page([ROW, LOSSY], ["main-rate.svg", "bits-and-kl.svg"])
        for part in ["abc", "reprise eval x", "`tsc`", "| 1.5 |",
                     "(quality/main-rate.svg)", "(quality/bits-and-kl.svg)",
                     "0.0175 ± 0.005", "925.0", "1.23%", "1.2e-07",
                     "### Small, weights f32, 512"]:
            self.assertIn(part, text)

    def test_rows_have_as_many_cells_as_columns(self):
        for row in [ROW, LOSSY, NO_SIZE]:
            self.assertEqual(len(quality_page.row_cells(row)),
                             len(quality_page.COLUMNS))
        self.assertEqual(quality_page.row_cells(NO_SIZE)[1], "-")
        self.assertEqual(quality_page.row_cells(ROW)[4], "0")

    def test_blocks_are_by_section_model_weights_and_length(self):
        rows = [ROW, LOSSY, dict(ROW, prefix=128),
                dict(ROW, weights="q4_0"), dict(ROW, section="chats")]
        self.assertEqual([len(b) for b in quality_page.blocks(rows)],
                         [2, 1, 1, 1])

    def test_each_section_has_its_own_rows_and_plots(self):
        text = page([ROW, dict(LOSSY, section="chats", text="c.txt")],
                    ["chats-rate.svg", "main-rate.svg"])
        main = text.index("## " + quality_page.SECTIONS["main"].title)
        chats = text.index("## " + quality_page.SECTIONS["chats"].title)
        self.assertLess(main, text.index("(quality/main-rate.svg)"))
        self.assertLess(text.index("(quality/main-rate.svg)"), chats)
        self.assertLess(chats, text.index("(quality/chats-rate.svg)"))
        self.assertLess(chats, text.index("windows of c.txt"))
        self.assertNotIn(quality_page.SECTIONS["facts"].title, text)

    def test_planted_facts_have_a_table_where_there_were_any(self):
        row = dict(LOSSY, section="facts", **FACTS)
        text = quality_page.block_text([row])
        for part in ["90 of 96", "60 of 96", "0.650 ± 0.05", "0.2 ± 0.01",
                     "3e-07"]:
            self.assertIn(part, text)
        # Its window of text is there for the size alone.
        self.assertNotIn("top-1", text)
        self.assertEqual(len(quality_page.fact_cells(row)),
                         len(quality_page.FACT_COLUMNS))
        self.assertNotIn("Planted", quality_page.block_text([ROW, LOSSY]))

    def test_bits_at_equal_kl_are_a_line_a_codec_and_block(self):
        rows = [ROW, dict(LOSSY, bpv_at_kl=RATES),
                dict(LOSSY, variant="tsc:bits=8", bpv_at_kl=RATES),
                dict(LOSSY, codec="llama:q4_0", bpv_at_kl=RATES),
                dict(LOSSY, codec="llama:q8_0", bpv_at_kl=RATES),
                dict(LOSSY, section="chats", text="c", bpv_at_kl=RATES),
                dict(LOSSY, section="facts", bpv_at_kl=RATES)]
        text = quality_page.rate_text(rows)
        self.assertIn("| codec | 0.05 | 0.01 | 0.001 | on |", text)
        self.assertEqual(text.count("| - | 4.25 | 5.50 |"), 3)
        self.assertIn("`llama`", text)
        self.assertIn("512 tokens of c,", text)
        self.assertEqual(quality_page.rate_text([ROW]), "")


class PlotTest(unittest.TestCase):
    def svg(self, rows):
        with tempfile.TemporaryDirectory() as folder:
            quality_page.draw(rows, folder)
            path = os.path.join(folder, quality_page.MAIN_PLOT)
            with open(path, encoding="utf-8") as file:
                text = file.read()
        xml.dom.minidom.parseString(text)
        return text

    def test_it_says_how_many_times_fewer_bits_the_flagship_takes(self):
        klt = dict(LOSSY, codec="klt", bpv_at_kl={"0.01": 0.5, "0.001": None})
        rows = [ROW, dict(LOSSY, bpv_at_kl={"0.01": 4.0, "0.001": 5.5}),
                dict(LOSSY, codec="pq", bpv_at_kl={"0.01": 5, "0.001": 6}),
                dict(klt, variant="klt@coarse", bpv=0.4),
                dict(klt, variant="klt", bpv=0.9, kl_mean=0.002)]
        text = self.svg(rows)
        self.assertIn("0.50 bits or 4.0: 8.0 times", text)
        self.assertEqual(text.count(" times<"), 1)
        for name in ["coarse", "near", "klt", "tsc", "pq", "raw"]:
            self.assertIn(">%s</text>" % name, text)
        # A point that is better than asked will do too.
        better = dict(LOSSY, codec="vq", bpv=3.0, kl_mean=0.009)
        self.assertIn("0.50 bits or 3.0: 6.0 times", self.svg(rows + [better]))
        # Without it there is nothing to compare.
        self.assertNotIn(" times<", self.svg(rows[:3]))

    def test_every_point_has_a_mark_and_a_kl_of_0_its_own_place(self):
        text = self.svg([ROW, LOSSY, NO_SIZE])
        self.assertEqual(text.count("<circle"), 2)
        self.assertIn('cy="%.1f"' % rate_plot.ZERO, text)
        self.assertIn("no points", self.svg([ROW]))

    def test_a_line_joins_what_is_better_than_every_cheaper_point(self):
        points = [rate_plot.Point(*p, "") for p in
                  [(4, 0.1), (1, 1), (2, 2), (8, 0), (3, 0.5), (3, 0.4)]]
        self.assertEqual([(p.bpv, p.kl) for p in rate_plot.frontier(points)],
                         [(1, 1), (3, 0.4), (4, 0.1)])


class PlanTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.profiles = folder.name
        self.small = "/m/SmolLM2-135M-Instruct.Q4_1.gguf"
        self.large = "/m/large.gguf"

    def put_profile(self, name):
        with open(os.path.join(self.profiles, name), "w"):
            pass

    def plan(self, **more):
        return quality.plan([self.small, self.large], False,
                            profiles=self.profiles, **more)

    def test_a_null_codec_that_costs_something_is_a_failure(self):
        self.assertEqual(quality.null_failures([ROW, LOSSY]), [])
        broken = dict(ROW, variant="exact", kl_max=1e-9)
        self.assertEqual(len(quality.null_failures([broken])), 1)

        broken = dict(ROW, variant="raw", retrieval_kl=1e-9)
        self.assertEqual(len(quality.null_failures([broken])), 1)

    def test_every_section_is_run_and_known(self):
        self.put_profile("SmolLM2-135M-Instruct.Q4_1.klt")
        self.assertEqual({run.section for run in self.plan()},
                         set(quality_page.SECTIONS))

    def test_facts_are_a_run_of_their_own(self):
        runs = {run.section: run for run in self.plan()}
        self.assertEqual(runs["facts"].retrieval, quality.RETRIEVAL_WINDOWS)
        self.assertFalse(any(run.retrieval for run in runs.values()
                             if run.section != "facts"))
        self.assertEqual({c.split(":")[0] for c in runs["facts"].codecs},
                         {"exact", "llama", "klt", "tsc", "vq", "pq"})
        self.assertNotIn("facts",
                         {run.section for run in self.plan(retrieval=0)})
        quick = quality.plan([self.small], True, None, 3)
        self.assertEqual(quick[0].retrieval, 3)
        self.assertEqual(quality.plan([self.small], True)[0].retrieval, 0)

    def test_klt_is_judged_where_it_has_a_profile(self):
        runs = {run.section: run for run in self.plan()}
        self.assertEqual(runs["main"].profile, "assets/smollm2.klt")
        self.assertIn("klt", runs["main"].codecs)
        self.assertIsNone(runs["large"].profile)
        self.assertFalse([c for c in runs["large"].codecs if "klt" in c])
        self.assertNotIn("wide", runs)
        self.put_profile("large.klt")
        self.put_profile("SmolLM2-135M-Instruct.Q4_1.klt")
        runs = {run.section: run for run in self.plan()}
        self.assertEqual(runs["large"].profile,
                         os.path.join(self.profiles, "large.klt"))
        self.assertIn("klt", runs["large"].codecs)
        self.assertEqual(runs["main"].profile, "assets/smollm2.klt")
        self.assertNotEqual(runs["wide"].profile, runs["main"].profile)

    def test_quick_is_one_run_of_the_first_model(self):
        runs = quality.plan([self.small, self.large], True)
        self.assertEqual([(r.model, r.prefixes, r.windows) for r in runs],
                         [(self.small, [512], 2)])
        self.assertIn("klt", runs[0].codecs)

    def test_the_sweep_is_the_longer_list(self):
        few, many = self.plan()[0], self.plan(sweep=True)[0]
        self.assertLess(set(few.codecs), set(many.codecs))
        self.assertEqual(len(set(many.codecs)), len(many.codecs))

    def test_chats_are_judged_by_what_was_not_trained_on_prose_here(self):
        arguments = argparse.Namespace(eval="e", text="a.txt", threads=1,
                                       train_text="b.txt")
        for run in self.plan():
            line = quality.command(run, arguments, "rows.json", None)
            text = line[line.index("--text") + 1]
            chats = run.section == "chats"
            self.assertEqual(text, quality.CHATS if chats else "a.txt")
            self.assertEqual("--train-text" in line, not chats)

    def test_the_shown_command_has_no_path_of_this_machine(self):
        arguments = argparse.Namespace(eval="/x/reprise-eval", text="a.txt",
                                       train_text="b.txt", threads=1)
        run = quality.Run("main", "/models/m.gguf", [128, 256], 2,
                          ["raw", "klt"], profile="/cache/m.klt")
        shown = quality.shown_command(run, arguments)
        self.assertTrue(shown.startswith("reprise eval --model m.gguf "))
        self.assertNotIn("/models", shown)
        self.assertIn("--profile klt=m.klt", shown)
        self.assertIn("--prefix 128,256", shown)
        self.assertNotIn("--retrieval", shown)
        run.retrieval = 5
        self.assertIn("--retrieval 5",
                      quality.shown_command(run, arguments))

    def test_a_section_keeps_its_plots_under_its_name(self):
        with tempfile.TemporaryDirectory() as drawn, \
                tempfile.TemporaryDirectory() as out:
            for name in ["rate-m.svg", "retrieval-m.svg"]:
                with open(os.path.join(drawn, name), "w"):
                    pass
            quality.keep_plots("facts", drawn, out)
            self.assertEqual(os.listdir(out), ["facts-retrieval-m.svg"])


if __name__ == "__main__":
    unittest.main()
