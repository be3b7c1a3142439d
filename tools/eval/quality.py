"""Measures every codec on real models and writes docs/quality.md.

    ./dev eval [--quick] [--json FILE] [--out DIR]

Runs reprise-eval for each model and kind of weights, and makes one page of all
rows, with plots. --quick is the small model, 2 windows of 512 tokens, a few
minutes; it writes no page unless --out says where.
"""
import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile

ANCHORS = ["raw", "exact", "llama:q8_0", "llama:q4_0"]
CODECS = ANCHORS + [
    "tsc:bits=8", "tsc", "tsc:page=segment", "tsc:page=layer",
    "evict:keep=0.75,by=mass,then=exact", "evict:keep=0.75,by=mass,then=tsc",
    "vq", "vq:worst=0.1", "pq:d=4", "pq:d=2", "pq:d=4,worst=0.1",
    "pq:d=4,worst=0.5",
]
# Along each option, on the smallest model at one length: sizes of sub-vectors
# and codebooks, thresholds of the fallback, what eviction goes by.
SWEEP = [
    "tsc:kappa=8", "pq:d=8", "pq:d=4,centroids=16", "pq:d=2,centroids=16",
    "pq:d=4,threshold=0.15", "pq:d=4,threshold=0.1", "pq:d=4,threshold=0.05",
    "pq:d=4,worst=0.25", "vq:worst=0.25", "vq:worst=0.5", "vq:worst=0.8",
    "vq:threshold=0.4", "vq:threshold=0.2",
    "evict:keep=0.75,by=knorm,then=exact",
    "evict:keep=0.75,by=vnorm,then=exact",
    "evict:keep=0.75,by=random,then=exact",
]
QUICK_CODECS = ANCHORS + [
    "tsc:bits=8", "tsc", "tsc:page=segment", "evict:keep=0.75,by=mass,then=tsc",
    "vq", "pq:d=4", "pq:d=4,worst=0.1", "pq:d=4,worst=0.5",
]
# On weights that are quantised themselves: do the losses add up?
COMPOSED_CODECS = ANCHORS + ["tsc:bits=8", "tsc", "pq:d=4,worst=0.1"]

QUICK_TRAIN_TOKENS = 4096
# Of 1,024 tokens and 8 facts each: shares to within 5 in 100 or better.
RETRIEVAL_WINDOWS = 12


class Run:
    """One call of reprise-eval."""

    def __init__(self, model, prefixes, windows, codecs, weights="f32",
                 train_tokens=16384, retrieval=0):
        self.model = model
        self.prefixes = prefixes
        self.windows = windows
        self.codecs = codecs
        self.weights = weights
        self.train_tokens = train_tokens
        self.retrieval = retrieval  # windows with planted facts


def plan(models, quick, codecs=None, retrieval=None):
    """The runs of a page: models are GGUF files, the first one the smallest.

    retrieval: windows with planted facts in the run that has the most of
    everything (None: the usual number).
    """
    if quick:
        return [Run(models[0], [512], 2, codecs or QUICK_CODECS,
                    train_tokens=QUICK_TRAIN_TOKENS,
                    retrieval=retrieval or 0)]
    if retrieval is None:
        retrieval = RETRIEVAL_WINDOWS
    chosen = codecs or CODECS
    runs = [Run(models[0], [1024], 6, codecs or CODECS + SWEEP,
                retrieval=retrieval),
            Run(models[0], [128, 256, 512], 4, chosen),
            Run(models[0], [4096], 2, chosen)]
    # Larger ones read more slowly: fewer windows, and shorter training.
    for model in models[1:]:
        runs.append(Run(model, [128, 256, 512, 1024], 2, chosen,
                        train_tokens=8192))
        runs.append(Run(model, [4096], 1, chosen, train_tokens=8192))
    for weights in ["q8_0", "q4_0", "q2_k"]:
        runs.append(Run(models[0], [512], 2, codecs or COMPOSED_CODECS,
                        weights=weights, train_tokens=QUICK_TRAIN_TOKENS))
    return runs


def command(run, arguments, json_path, plots):
    line = [arguments.eval, "--model", run.model,
            "--text", arguments.text, "--train-text", arguments.train_text,
            "--prefix", ",".join(str(n) for n in run.prefixes),
            "--windows", str(run.windows), "--weights", run.weights,
            "--train-tokens", str(run.train_tokens),
            "--threads", str(arguments.threads),
            "--codecs", ";".join(run.codecs), "--json", json_path]
    if run.retrieval:
        line += ["--retrieval", str(run.retrieval)]
    if plots:
        line += ["--plots", plots]
    return line


def number(value, form):
    return "-" if value is None else format(value, form)


def with_error(value, error, form):
    if value == 0 and not error:
        return "0"
    text = number(value, form)
    return text if error is None else text + " ± " + format(error, ".1g")


def small(value):
    return "0" if value == 0 else number(value, ".2g")


COLUMNS = ["codec", "bits a value", "state ratio", "history ratio", "mean KL",
           "p99", "max", "top-1", "perplexity change", "fallback"]


def row_cells(row):
    return ["`%s`" % row["variant"],
            number(row["bpv"], ".2f"),
            number(row["state_ratio"], ".2f"),
            number(row["history_ratio"], ".1f"),
            with_error(row["kl_mean"], row["kl_se"], ".3g"),
            small(row["kl_p99"]), small(row["kl_max"]),
            number(row["top1"], ".4f"),
            with_error(row["ppl_delta"], row["ppl_delta_se"], "+.3f"),
            "-" if row.get("fallback_share") is None
            else format(row["fallback_share"], ".2%")]


FACT_COLUMNS = ["codec", "bits a value", "exact answers", "coded answers",
                "kept", "KL of answers"]


def fact_cells(row):
    def count(name):
        return "%d of %d" % (row["retrieval_%s_count" % name],
                             row["retrieval_facts"])
    return ["`%s`" % row["variant"], number(row["bpv"], ".2f"),
            count("exact"), count("coded"),
            with_error(row["retrieval_kept"], row["retrieval_kept_se"], ".3f"),
            with_error(row["retrieval_kl"], row["retrieval_kl_se"], ".3g")]


def markdown(columns, lines):
    out = ["| " + " | ".join(columns) + " |",
           "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join(out + ["| " + " | ".join(cells) + " |"
                            for cells in lines])


def fact_text(rows):
    """The table of planted facts; empty where none were."""
    asked = [row for row in rows if row.get("retrieval_facts")]
    if not asked:
        return ""
    return ("\nPlanted facts; KL of the shuffled cells' answers %.2g.\n\n" %
            asked[0]["retrieval_noise_kl"] +
            markdown(FACT_COLUMNS, [fact_cells(row) for row in asked]) + "\n")


def curve_name(row):
    return row["codec"].split(":")[0]


def curve_text(rows):
    """Bits a value at equal KL, for each codec that has several points."""
    curves = {}
    for row in rows:
        if row.get("bpv_at_kl"):
            curves.setdefault(curve_name(row), row["bpv_at_kl"])
    if not curves:
        return ""
    at = sorted(next(iter(curves.values())), key=float, reverse=True)
    lines = [["`%s`" % name] + [number(rates[kl], ".2f") for kl in at]
             for name, rates in curves.items()]
    return ("\nBits a value at a mean KL of\n\n" +
            markdown(["codec"] + at, lines) + "\n")


def block_key(row):
    return (row["model"], row["weights"], row["cache_type"], row["prefix"])


def blocks(rows):
    """Rows of one model and prefix length together, in the order they came."""
    found = {}
    for row in rows:
        found.setdefault(block_key(row), []).append(row)
    return list(found.values())


def block_text(rows):
    first = rows[0]
    lines = ["### %s, weights %s, %d tokens" % (
        first["model"], first["weights"], first["prefix"]), ""]
    lines.append(
        "%d window%s, %d tokens scored after each; perplexity with the "
        "untouched %s cache %.3f; noise floor: mean KL %.2g, max %.2g." % (
            first["windows"], "" if first["windows"] == 1 else "s",
            first["scored_tokens"], first["cache_type"], first["ppl_exact"],
            first["noise_kl_mean"], first["noise_kl_max"]))
    return ("\n".join(lines) + "\n\n" +
            markdown(COLUMNS, [row_cells(row) for row in rows]) + "\n" +
            fact_text(rows) + curve_text(rows))


HEAD = """# Quality: what each codec costs on real models

Made by `%(command)s` at commit %(commit)s; do not edit.

How it is measured (`docs/guide/eval.md` says more): a model prefills real
text, its state goes through the codec, through frames and records of a store,
is put back, and the model reads on over the tokens that follow. **KL** is that
of the untouched cache against the coded one, in nats; **top-1** the share of
tokens whose likeliest successor is the same. Errors are standard errors over
windows. `raw` and `exact` must show 0, and do. Where a KL is at the noise
floor (the same values in another order), nothing was lost.

Two ratios, never mixed, both at 16 bits a value and over every stored byte
(frames, headers, records, token ids, tail, commit; profiles apart):

- **state ratio**: one state over what is stored of it.
- **history ratio**: all the snapshots that a saver of whole states would have
  written, one after every token, over the same bytes. It is (n + 1) / 2 times
  the state ratio at n tokens, for any codec: a gain of appending, not of
  coding.

**Planted facts** are lines such as "The access code is Maria-48213." in the
text; the model is asked for each by the line's beginning, after two examples.
*Kept* is the share of those that the exact cache answers right, all digits,
which the coded one answers too; its error is that of a binomial count, and KL
is that of the answers' tokens.

**Bits at a KL** are read off the line, on logarithmic axes, through a codec's
points that are better than every cheaper one; nothing is extrapolated.

Judged on %(text)s, profiles trained on %(train_text)s, which share no article.
`llama:...` are llama.cpp's own cache types on the same states.
%(warning)s"""


def page(rows, facts, plots):
    parts = [HEAD % facts]
    if plots:
        parts.append("## Plots\n\n" + "\n".join(
            "![%s](quality/%s)" % (name, name) for name in plots) + "\n")
    parts.append("## Figures\n")
    parts += [block_text(block) for block in blocks(rows)]
    parts.append("## Runs\n\n```sh\n" + "\n".join(facts["runs"]) + "\n```\n")
    return "\n".join(parts)


def null_failures(rows):
    """What must be 0 and is not."""
    return ["%s at %d tokens of %s has %s %g" % (
        row["variant"], row["prefix"], row["model"], key, row[key])
        for row in rows for key in ("kl_max", "retrieval_kl")
        if row["variant"] in ("raw", "exact") and row.get(key)]


def commit():
    def git(*words):
        return subprocess.run(["git", *words], capture_output=True, text=True,
                              check=False).stdout.strip()
    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (
        " with changes" if changed else "")


def run_all(runs, arguments, plots):
    rows, lines = [], []
    with tempfile.TemporaryDirectory() as folder:
        for index, run in enumerate(runs):
            path = os.path.join(folder, "rows.json")
            line = command(run, arguments, path, plots)
            print("[%d of %d] %s" % (index + 1, len(runs), shlex.join(line)),
                  flush=True)
            subprocess.run(line, check=True)
            with open(path, encoding="utf-8") as file:
                rows += json.load(file)
            lines.append(shown_command(run, arguments))
    return rows, lines


def shown_command(run, arguments):
    """Without the paths of this machine."""
    line = command(run, arguments, "rows.json", None)
    line[0] = "reprise eval"
    line[line.index("--model") + 1] = os.path.basename(run.model)
    return line[0] + " " + shlex.join(line[1:])


def write_page(rows, lines, made_at, arguments):
    plots_folder = os.path.join(arguments.out, "quality")
    present = sorted(name for name in os.listdir(plots_folder)
                     if name.endswith(".svg"))
    quick = ("\nThis is the quick run: one model, few windows; errors are "
             "large.\n" if arguments.quick else "")
    facts = {"command": "./dev eval" + (" --quick" if arguments.quick else ""),
             "commit": made_at, "text": arguments.text,
             "train_text": arguments.train_text, "warning": quick,
             "runs": lines}
    path = os.path.join(arguments.out, "quality.md")
    with open(path, "w", encoding="utf-8") as file:
        file.write(page(rows, facts, present))
    print("wrote " + path)


def clear_plots(folder):
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        if name.endswith(".svg"):
            os.remove(os.path.join(folder, name))


def main():
    parser = argparse.ArgumentParser(prog="./dev eval")
    parser.add_argument("--eval", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--model", action="append", required=True,
                        help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", help="all rows, as JSON")
    parser.add_argument("--out", help="folder of quality.md and quality/ "
                        "(default: docs; with --quick: none)")
    parser.add_argument("--codecs", help="instead of the usual list, with "
                        "';' between")
    parser.add_argument("--threads", type=int, default=1,
                        help="at most the cores that are free")
    parser.add_argument("--retrieval", type=int,
                        help="windows with planted facts (default: %d; with "
                        "--quick: 0)" % RETRIEVAL_WINDOWS)
    parser.add_argument("--text", default="assets/wikitext2-test.txt")
    parser.add_argument("--train-text", default="assets/wikitext2-valid.txt")
    arguments = parser.parse_args()
    if not arguments.quick and arguments.out is None:
        arguments.out = "docs"
    plots = None
    made_at = commit()  # before the plots are gone
    if arguments.out:
        plots = os.path.join(arguments.out, "quality")
        clear_plots(plots)
    codecs = arguments.codecs.split(";") if arguments.codecs else None
    runs = plan(arguments.model, arguments.quick, codecs, arguments.retrieval)
    rows, lines = run_all(runs, arguments, plots)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
    if arguments.out:
        write_page(rows, lines, made_at, arguments)
    failures = null_failures(rows)
    for failure in failures:
        print("eval: " + failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
