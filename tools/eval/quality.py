"""Measures every codec on real models and writes docs/quality.md.

    ./dev eval [--quick] [--sweep] [--json FILE] [--out DIR]

Runs reprise-eval for each set of rows of plan(), and makes one page of all,
with plots. In full that is about 45 minutes of one quiet core. --quick is the
small model and windows of 512 tokens, a few minutes; it writes no page unless
--out says where. --sweep adds more points along each codec's options and
shorter states: hours.
"""
import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import quality_page  # noqa: E402

PROSE = "assets/wikitext2-test.txt"
CHATS = "assets/mtbench-chats-test.txt"
TRAINING = "assets/wikitext2-valid.txt"
SHIPPED_PROFILE = ("SmolLM2-135M-Instruct", "assets/smollm2.klt")

ANCHORS = ["raw", "exact", "llama:q8_0", "llama:q4_0"]
# Every tier at two steps, and the ends at one more, so that there are points on
# both sides of each KL that is reported (of chats, .001 is beyond shift=3):
# steps are 2^(-shift / 3) times the profile's.
KLT_FEW = ["klt", "klt:shift=3", "klt@near:shift=6"]
KLT = ["klt@archive:shift=-2"] + KLT_FEW
CODECS = ANCHORS + KLT + [
    "tsc:bits=8", "tsc", "vq", "vq:worst=0.5", "pq:d=4", "pq:d=2",
    "pq:d=4,worst=0.5", "evict:keep=0.75,by=mass,then=tsc",
]
# Along each option: pages, sizes of sub-vectors and codebooks, thresholds of
# the fallback, what eviction goes by.
SWEEP = [
    "klt:shift=-6", "klt:shift=-3", "klt@coarse:shift=6", "tsc:page=segment",
    "tsc:page=layer",
    "tsc:kappa=8", "pq:d=8", "pq:d=4,centroids=16", "pq:d=2,centroids=16",
    "pq:d=4,threshold=0.15", "pq:d=4,threshold=0.1", "pq:d=4,threshold=0.05",
    "pq:d=4,worst=0.1", "pq:d=4,worst=0.25", "vq:worst=0.1", "vq:worst=0.25",
    "vq:worst=0.8", "vq:threshold=0.4", "vq:threshold=0.2",
    "evict:keep=0.75,by=mass,then=exact",
    "evict:keep=0.75,by=knorm,then=exact",
    "evict:keep=0.75,by=vnorm,then=exact",
    "evict:keep=0.75,by=random,then=exact",
]
QUICK_CODECS = ANCHORS + ["klt", "klt:shift=3"] + [
    "tsc:bits=8", "tsc", "evict:keep=0.75,by=mass,then=tsc", "vq", "pq:d=4",
    "pq:d=4,worst=0.5",
]
FACT_CODECS = ["exact", "llama:q8_0", "llama:q4_0", "klt", "tsc:bits=8", "tsc",
               "vq", "pq:d=4", "pq:d=2"]
FEW_CODECS = ["exact", "llama:q8_0", "llama:q4_0", "klt", "tsc", "pq:d=4"]
LARGE_CODECS = ["exact", "llama:q8_0", "llama:q4_0"] + KLT + [
    "tsc:bits=8", "tsc", "pq:d=4", "pq:d=2"]
# What needs no training: its text would not be of the kind that is judged.
CHAT_CODECS = ["exact", "llama:q8_0", "llama:q4_0"] + KLT_FEW + ["tsc"]

QUICK_TRAIN_TOKENS = 4096
# Of 1,024 tokens; with the facts of each: shares to within 5 in 100 or better.
RETRIEVAL_WINDOWS = 8
RETRIEVAL_FACTS = 12


class Run:
    """One call of reprise-eval, and the section of the page for its rows."""

    def __init__(self, section, model, prefixes, windows, codecs, **more):
        self.section = section
        self.model = model
        self.prefixes = prefixes
        self.windows = windows
        self.codecs = codecs
        self.weights = more.pop("weights", "f32")
        self.train_tokens = more.pop("train_tokens", 8192)
        self.text = more.pop("text", None)  # another one than the usual
        self.score = more.pop("score", 256)
        self.retrieval = more.pop("retrieval", 0)  # windows with facts
        self.profile = more.pop("profile", None)  # klt's
        if more:
            raise TypeError("no such part of a run: " + ", ".join(more))


def cache_profile(model, folder):
    """What ./dev profiles has made for the model, or None."""
    stem = os.path.splitext(os.path.basename(model))[0]
    path = os.path.join(folder, stem + ".klt")
    return path if os.path.exists(path) else None


def shipped_profile(model):
    name, path = SHIPPED_PROFILE
    return path if os.path.basename(model).startswith(name) else None


def without_klt(codecs):
    return [c for c in codecs if not c.startswith("klt")]


def served(run, say=print):
    """The run, without klt where there is no profile trained for it."""
    needs = without_klt(run.codecs) != run.codecs
    if needs and run.profile is None:
        say("quality: %s has no klt profile, so it is judged without klt; "
            "./dev profiles makes one" % os.path.basename(run.model))
        run.codecs = without_klt(run.codecs)
    if not needs:
        run.profile = None
    return run


def quick_plan(model, codecs, retrieval):
    return [Run("main", model, [512], 2, codecs or QUICK_CODECS,
                train_tokens=QUICK_TRAIN_TOKENS, retrieval=retrieval or 0,
                profile=shipped_profile(model))]


def plan(models, quick, codecs=None, retrieval=None, profiles="", sweep=False):
    """The runs of a page: models are GGUF files, the first one the smallest.

    retrieval: windows with planted facts (None: the usual number); profiles:
    the folder of what ./dev profiles makes; sweep: the long lists.
    """
    small = models[0]
    if quick:
        return [served(run) for run in quick_plan(small, codecs, retrieval)]
    if retrieval is None:
        retrieval = RETRIEVAL_WINDOWS
    shipped = shipped_profile(small) or cache_profile(small, profiles)
    runs = [Run("main", small, [1024], 6,
                codecs or CODECS + (SWEEP if sweep else []), profile=shipped,
                train_tokens=16384 if sweep else 8192)]
    wide = cache_profile(small, profiles)
    if wide and wide != shipped:
        runs.append(Run("wide", small, [1024], 6, codecs or KLT, profile=wide))
    if retrieval:
        runs.append(Run("facts", small, [1024], 1, codecs or FACT_CODECS,
                        score=1, retrieval=retrieval, train_tokens=4096,
                        profile=shipped))
    runs.append(Run("chats", small, [1024], 6, codecs or CHAT_CODECS,
                    text=CHATS, profile=shipped))
    # Larger ones read more slowly: fewer windows, and shorter training.
    for model in models[1:]:
        runs.append(Run("large", model, [1024, 4096] if sweep else [1024], 4,
                        codecs or LARGE_CODECS, train_tokens=4096,
                        profile=cache_profile(model, profiles)))
    runs.append(Run("lengths", small, [128, 256, 512, 4096] if sweep
                    else [256, 4096], 2, codecs or FEW_CODECS,
                    train_tokens=4096, profile=shipped))
    for weights in ["q4_0", "q2_k"]:
        runs.append(Run("weights", small, [512], 2, codecs or CHAT_CODECS,
                        weights=weights, train_tokens=2048, profile=shipped))
    return [served(run) for run in runs]


def command(run, arguments, json_path, plots):
    line = [arguments.eval, "--model", run.model,
            "--text", run.text or arguments.text]
    if run.text is None:
        line += ["--train-text", arguments.train_text,
                 "--train-tokens", str(run.train_tokens)]
    line += ["--prefix", ",".join(str(n) for n in run.prefixes),
             "--windows", str(run.windows), "--score", str(run.score),
             "--weights", run.weights, "--threads", str(arguments.threads),
             "--codecs", ";".join(run.codecs), "--json", json_path]
    if run.profile:
        line += ["--profile", "klt=" + run.profile]
    if run.retrieval:
        line += ["--retrieval", str(run.retrieval),
                 "--facts", str(RETRIEVAL_FACTS)]
    if plots:
        line += ["--plots", plots]
    return line


def shown_command(run, arguments):
    """Without the paths of this machine."""
    line = command(run, arguments, "rows.json", None)
    line[0] = "reprise eval"
    line[line.index("--model") + 1] = os.path.basename(run.model)
    if run.profile and os.path.isabs(run.profile):
        line[line.index("--profile") + 1] = (
            "klt=" + os.path.basename(run.profile))
    return line[0] + " " + shlex.join(line[1:])


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


def keep_plots(section, folder, out):
    """Of a run's plots those that its section shows, named by it."""
    for name in sorted(os.listdir(folder)):
        if name.startswith(quality_page.SECTIONS[section].plots):
            shutil.copy(os.path.join(folder, name),
                        os.path.join(out, section + "-" + name))


def run_all(runs, arguments, plots):
    """All rows, each with its section; and what to say of each run."""
    rows, done = [], []
    for index, run in enumerate(runs):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "rows.json")
            drawn = os.path.join(folder, "plots")
            line = command(run, arguments, path, drawn if plots else None)
            print("[%d of %d] %s" % (index + 1, len(runs), shlex.join(line)),
                  flush=True)
            start = time.monotonic()
            subprocess.run(line, check=True)
            minutes = (time.monotonic() - start) / 60
            with open(path, encoding="utf-8") as file:
                new = json.load(file)
            if plots:
                keep_plots(run.section, drawn, plots)
        for row in new:
            row["section"] = run.section
        rows += new
        done.append({"section": run.section, "minutes": minutes,
                     "windows": run.windows, "prefixes": run.prefixes,
                     "model": new[0]["model"], "text": new[0]["text"],
                     "rows": len(new), "retrieval": run.retrieval,
                     "command": shown_command(run, arguments)})
        print("[%d of %d] took %.1f minutes" % (index + 1, len(runs), minutes),
              flush=True)
    return rows, done


def write_page(rows, done, made_at, arguments):
    folder = os.path.join(arguments.out, "quality")
    quality_page.draw(rows, folder)
    present = sorted(n for n in os.listdir(folder) if n.endswith(".svg"))
    name = "./dev eval"
    for option in ("quick", "sweep"):
        if getattr(arguments, option):
            name += " --" + option
    path = os.path.join(arguments.out, "quality.md")
    with open(path, "w", encoding="utf-8") as file:
        file.write(quality_page.page(rows, done, present, name, made_at))
    print("wrote " + path)


def clear_plots(folder):
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        if name.endswith(".svg"):
            os.remove(os.path.join(folder, name))


def parse():
    parser = argparse.ArgumentParser(prog="./dev eval")
    parser.add_argument("--eval", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--model", action="append", required=True,
                        help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true",
                        help="one model, 512 tokens, minutes")
    parser.add_argument("--sweep", action="store_true",
                        help="more points of each codec, more lengths: hours")
    parser.add_argument("--json", help="all rows, as JSON")
    parser.add_argument("--out", help="folder of quality.md and quality/ "
                        "(default: docs; with --quick: none)")
    parser.add_argument("--codecs", help="instead of the usual lists, with "
                        "';' between")
    parser.add_argument("--threads", type=int, default=1,
                        help="at most the cores that are free")
    parser.add_argument("--retrieval", type=int,
                        help="windows with planted facts (default: %d; with "
                        "--quick: 0)" % RETRIEVAL_WINDOWS)
    parser.add_argument("--text", default=PROSE)
    parser.add_argument("--train-text", default=TRAINING)
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(
        os.path.expanduser("~"), ".cache")
    parser.add_argument("--profiles", help="folder of klt profiles (default: "
                        "what ./dev profiles fills)",
                        default=os.path.join(cache, "reprise", "profiles"))
    return parser.parse_args()


def main():
    arguments = parse()
    if not arguments.quick and arguments.out is None:
        arguments.out = "docs"
    plots = None
    made_at = commit()  # before the plots are gone
    if arguments.out:
        plots = os.path.join(arguments.out, "quality")
        clear_plots(plots)
    codecs = arguments.codecs.split(";") if arguments.codecs else None
    runs = plan(arguments.model, arguments.quick, codecs, arguments.retrieval,
                arguments.profiles, arguments.sweep)
    rows, done = run_all(runs, arguments, plots)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
    if arguments.out:
        write_page(rows, done, made_at, arguments)
    print(quality_page.rate_text(rows))
    failures = null_failures(rows)
    for failure in failures:
        print("eval: " + failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
