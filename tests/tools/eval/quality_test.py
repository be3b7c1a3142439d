"""The page of quality says what its rows say."""
import argparse
import sys
import unittest

sys.path.insert(0, "tools/eval")
import quality  # noqa: E402

ROW = {"model": "Small", "weights": "f32", "cache_type": "f16",
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
PAGE = {"command": "./dev eval", "commit": "abc", "text": "a.txt",
        "train_text": "b.txt", "warning": "", "runs": ["reprise eval x"]}


class QualityTest(unittest.TestCase):
    def test_page_has_every_row_and_fact(self):
        text = quality.page([ROW, LOSSY], PAGE, ["rate.svg"])
        for part in ["abc", "a.txt", "b.txt", "reprise eval x", "`tsc`",
                     "(quality/rate.svg)", "0.0175 ± 0.005", "925.0",
                     "1.23%", "1.2e-07", "### Small, weights f32, 512"]:
            self.assertIn(part, text)

    def test_rows_have_as_many_cells_as_columns(self):
        for row in [ROW, LOSSY, NO_SIZE]:
            self.assertEqual(len(quality.row_cells(row)),
                             len(quality.COLUMNS))
        self.assertEqual(quality.row_cells(NO_SIZE)[1], "-")
        self.assertEqual(quality.row_cells(ROW)[4], "0")

    def test_blocks_are_by_model_weights_and_length(self):
        rows = [ROW, LOSSY, dict(ROW, prefix=128),
                dict(ROW, weights="q4_0")]
        self.assertEqual([len(b) for b in quality.blocks(rows)], [2, 1, 1])

    def test_a_null_codec_that_costs_something_is_a_failure(self):
        self.assertEqual(quality.null_failures([ROW, LOSSY]), [])
        broken = dict(ROW, variant="exact", kl_max=1e-9)
        self.assertEqual(len(quality.null_failures([broken])), 1)

        broken = dict(ROW, variant="raw", retrieval_kl=1e-9)
        self.assertEqual(len(quality.null_failures([broken])), 1)

    def test_planted_facts_have_a_table_where_there_were_any(self):
        text = quality.block_text([ROW, dict(LOSSY, **FACTS)])
        for part in ["90 of 96", "60 of 96", "0.650 ± 0.05", "0.2 ± 0.01",
                     "3e-07"]:
            self.assertIn(part, text)
        self.assertEqual(len(quality.fact_cells(dict(LOSSY, **FACTS))),
                         len(quality.FACT_COLUMNS))
        self.assertNotIn("Planted", quality.block_text([ROW, LOSSY]))

    def test_bits_at_equal_kl_are_a_line_a_codec(self):
        rates = {"0.001": 5.5, "0.01": 4.25, "0.05": None}
        rows = [ROW, dict(LOSSY, bpv_at_kl=rates),
                dict(LOSSY, variant="tsc:bits=8", bpv_at_kl=rates),
                dict(LOSSY, codec="llama:q4_0", bpv_at_kl=rates),
                dict(LOSSY, codec="llama:q8_0", bpv_at_kl=rates)]
        text = quality.curve_text(rows)
        self.assertIn("| codec | 0.05 | 0.01 | 0.001 |", text)
        self.assertEqual(text.count("| - | 4.25 | 5.50 |"), 2)
        self.assertIn("`llama`", text)
        self.assertEqual(quality.curve_text([ROW]), "")

    def test_planted_facts_are_in_the_largest_run_alone(self):
        full = [r.retrieval for r in quality.plan(["small", "large"], False)]
        self.assertEqual(full[0], quality.RETRIEVAL_WINDOWS)
        self.assertFalse(any(full[1:]))
        self.assertEqual(quality.plan(["s"], True)[0].retrieval, 0)
        self.assertEqual(quality.plan(["s"], True, None, 3)[0].retrieval, 3)
        self.assertEqual(quality.plan(["s"], False, None, 0)[0].retrieval, 0)

    def test_quick_is_one_run_of_the_first_model(self):
        runs = quality.plan(["small", "large"], True)
        self.assertEqual([(r.model, r.prefixes, r.windows) for r in runs],
                         [("small", [512], 2)])
        self.assertEqual(len(runs[0].codecs), 12)

    def test_full_run_has_both_models_all_lengths_and_other_weights(self):
        runs = quality.plan(["small", "large"], False)
        for model in ["small", "large"]:
            lengths = [n for r in runs for n in r.prefixes
                       if r.model == model and r.weights == "f32"]
            self.assertEqual(sorted(lengths), [128, 256, 512, 1024, 4096])
        self.assertEqual({r.weights for r in runs},
                         {"f32", "q8_0", "q4_0", "q2_k"})

    def test_the_shown_command_has_no_path_of_this_machine(self):
        arguments = argparse.Namespace(eval="/x/reprise-eval", text="a.txt",
                                       train_text="b.txt", threads=1)
        run = quality.Run("/models/m.gguf", [128, 256], 2, ["raw", "exact"])
        shown = quality.shown_command(run, arguments)
        self.assertTrue(shown.startswith("reprise eval --model m.gguf "))
        self.assertNotIn("/models", shown)
        self.assertIn("--prefix 128,256", shown)
        self.assertNotIn("--retrieval", shown)
        run.retrieval = 5
        self.assertIn("--retrieval 5",
                      quality.shown_command(run, arguments))


if __name__ == "__main__":
    unittest.main()
