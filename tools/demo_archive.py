"""Real conversations sink down the ladders of tiers, and are thawed again.

    ./dev demo archive [--json FILE] [--plot FILE]

A model's conversations and texts are saved into a store. Copies of it are
rehearsed on: a time is pretended for which nobody used them (an hour, a day,
..., a year), `reprise compact` lets them sink as the policy says, and at each
tier what is stored is measured: bytes, and what the model makes of what comes
back. At the end, when token ids alone are left, they are thawed by prefill,
and the model must go on as it would have at first, token by token. Prints a
table and a plot's path, and exits with 0 only if every claim holds.
"""
import argparse
import collections
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time

import archive_plot
from demo_parts import (DemoError, Stage, missing_program, print_claims,
                        program_arguments, run_program, say, size,
                        write_report)

ASSETS = os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "assets")
SEGMENT_TOKENS = 64
SESSION_CHARS = 2000
TRAIN_TOKENS = 768  # a profile wants 512 in whole segments at least
ANSWER_TOKENS = 8   # that the model adds to each turn
COMPARED_TOKENS = 32
WORDS_TOKENS = 12
SCORED_TOKENS = 96

# What is pretended, and the tier that the policy allows then: `exact 1h, near
# 1d, coarse 30d, archive 1y, tokens`.
TIMES = [("30m", 1800, "exact"), ("2h", 7200, "near"), ("2d", 172800, "coarse"),
         ("31d", 31 * 86400, "archive"), ("400d", 400 * 86400, "tokens")]
TIER_STARTS_S = {"exact": 0, "near": 3600, "coarse": 86400,
                 "archive": 30 * 86400, "tokens": 365 * 86400}
RUNGS = "exact 1h, near 1d, coarse 30d, archive 1y, tokens"
# The built-in ladders, docs/operations/reprised.md.
LADDERS = {
    "default": {"near": "klt:tier=near", "coarse": "klt:tier=coarse",
                "archive": "klt:tier=archive"},
    "series": {"near": "tsc:bits=8", "coarse": "tsc:bits=4",
               "archive": "vq:worst=0.1"},
    "series-vq": {"near": "tsc:bits=8", "coarse": "vq:worst=0.1",
                  "archive": "vq"},
}
# What is restored and judged, for each ladder; the rest is what another one
# has shown.
JUDGED = {"default": ["exact", "near", "coarse", "archive"],
          "series": ["near", "coarse", "archive"],
          "series-vq": ["coarse", "archive"]}
KEPT = ["not-done", "skipped", "changed", "unreadable", "failed-check"]


def codec_of(ladder, tier):
    return {"exact": "exact", "tokens": "-"}.get(tier) or LADDERS[ladder][tier]


# --- Texts. ---

def turns_of(text, boundary, least_chars, chars):
    """About the first `chars` of a text, in turns that end where `boundary`
    matches and are no shorter than `least_chars`; and what follows."""
    end = text.index("\n", chars) + 1
    turns, rest = [], text[:end]
    for match in re.finditer(boundary, text[:end]):
        done = len(text[:end]) - len(rest)
        if match.start() - done >= least_chars:
            turns.append(rest[:match.start() - done])
            rest = text[match.start():end]
    return turns + [rest], text[end:]


def asset(name):
    with open(os.path.join(ASSETS, name)) as file:
        return file.read()


def conversations():
    """Session -> (turns, what follows), of texts no profile was fitted on."""
    chats = re.split(r"(?m)^(?=User: )", asset("mtbench-chats-test.txt"))[1:]
    articles = re.split(r"(?m)^(?== [^=]+ =$)", asset("wikitext2-test.txt"))
    articles = [article for article in articles if article.strip()]

    def chat(question):
        text = "".join(chats[2 * question:2 * question + 3])
        return turns_of(text, r"(?m)^(?=User: |Assistant: )", 1, SESSION_CHARS)

    def prose(article):
        return turns_of(articles[article], r"\n(?=[^\n])", SESSION_CHARS // 4,
                        SESSION_CHARS)
    return {"chat-fibonacci": chat(1), "chat-tree": chat(7),
            "prose-boulter": prose(0), "prose-ise": prose(3)}


# --- Steps. ---

class Archive:
    """The steps; what they find is in `found`."""

    def __init__(self, stage, options):
        self.stage = stage
        self.options = options
        self.texts = conversations()
        self.follow = {name: stage.file(name + ".next", rest)
                       for name, (_, rest) in self.texts.items()}
        self.exact = None
        self.found = {"walk": {ladder: [] for ladder in LADDERS}}

    def run(self):
        say("1. The model reads and answers; %d sessions are saved ..." %
            len(self.texts))
        self.save()
        say("2. Profiles: klt's is put, those of the series are trained ...")
        self.train()
        for ladder in LADDERS:
            shutil.copytree(self.stage.store("exact"),
                            self.stage.store(ladder))
            # It is a copy: what is done to it may be a rehearsal.
            open(os.path.join(self.stage.store(ladder), "REHEARSAL"),
                 "w").close()
        self.exact = self.stage.start_daemon("exact")
        for number, (name, idle_s, tier) in enumerate(TIMES, 3):
            say("%d. Nobody used them for %s: they sink to %s ..." % (
                number, name, tier))
            self.sink(name, idle_s, tier)
        return self.found

    def save(self):
        steps, keys = [], []
        for name, (turns, _) in self.texts.items():
            for index, turn in enumerate(turns):
                path = self.stage.file("%s.%d" % (name, index), turn)
                steps += ["prompt=" + path, "generate=%d" % ANSWER_TOKENS,
                          "save=" + name]
                keys += [None, None, ("saved", name)]
            steps += ["generate=%d" % COMPARED_TOKENS, "forget"]
            keys += [("original", name), None]
        for name, text in [("train-chats", "mtbench-chats-train.txt"),
                           ("train-prose", "wikitext2-valid.txt")]:
            steps += ["prompt=%s:%d" % (os.path.join(ASSETS, text),
                                        TRAIN_TOKENS), "save=" + name,
                      "forget"]
            keys += [None] * 3
        daemon = self.stage.start_daemon("exact")
        _, results = self.stage.worker(daemon, "first_worker", steps)
        saved = {name: [] for name in self.texts}
        original = {}
        for key, result in zip(keys, results):
            if key and key[0] == "saved":
                saved[key[1]].append(result["tokens"])
            elif key:
                original[key[1]] = result
        self.found["saved"] = saved
        self.found["original"] = original
        self.exact = daemon

    def command(self, *words):
        status, report = self.stage.reprise("--server", self.exact.endpoint,
                                            *words)
        if status != 0:
            raise DemoError("reprise %s: status %d" % (words, status))
        return report

    def train(self):
        self.command("profile", "put", "klt",
                     os.path.join(ASSETS, "smollm2.klt"),
                     "--accept-other-weights")
        for codec in ("tsc", "vq"):
            self.command("calibrate", codec, "--sessions", "train-")
        for name in ("train-chats", "train-prose"):
            self.command("rm", name)
        self.exact.stop()

    def sink(self, name, idle_s, tier):
        daemons, looks = {}, {}
        for ladder in LADDERS:
            looks[ladder] = {"time": name, "idle_s": idle_s, "tier": tier,
                             "codec": codec_of(ladder, tier),
                             "compact": self.compact(ladder, name)}
            self.found["walk"][ladder].append(looks[ladder])
            daemons[ladder] = self.stage.start_daemon(ladder)
        for ladder, look in looks.items():
            daemon = daemons[ladder]
            look["fsck"] = self.stage.check_store(daemon)
            look["shown"] = {
                session: self.stage.reprise(
                    "--server", daemon.endpoint, "show", session)[1]
                for session in self.texts}
            if tier in JUDGED[ladder]:
                look["restored"] = self.restore(daemon, WORDS_TOKENS)
            elif tier == "tokens" and ladder == "default":
                look["restored"] = self.restore(daemon, COMPARED_TOKENS,
                                                every=True)
        judged = [ladder for ladder in LADDERS if tier in JUDGED[ladder]]
        for ladder, row in zip(judged, self.judge(
                [daemons[ladder] for ladder in judged])):
            looks[ladder]["quality"] = row
        for daemon in daemons.values():
            daemon.stop()

    def compact(self, ladder, name):
        status, report = self.stage.reprise(
            "compact", "run", "--dir", self.stage.store(ladder),
            "--policy", "%s: %s" % (ladder, RUNGS), "--idle-plus", name,
            "--threads", str(self.options.threads))
        return dict(report, exit=status)

    def restore(self, daemon, tokens, every=False):
        """Each session by a worker; of the first, or of each, what the model
        says next."""
        steps = []
        for session in self.texts:
            steps.append("restore=" + session)
            if every or len(steps) == 1:
                steps.append("generate=%d" % tokens)
        _, results = self.stage.worker(daemon, "restorer", steps,
                                       ["--lowest", "archive"])
        out = {}
        for step, result in zip(steps, results):
            if result["step"] == "restore":
                session = step.split("=")[1]
                out[session] = dict(result)
            else:
                out[session].update(generated=result["generated"],
                                    text=result["text"])
        return out

    def judge(self, daemons):
        """A row of figures for each of the daemons."""
        if not daemons:
            return []
        path = os.path.join(self.stage.work, "rows.json")
        command = [self.options.eval, "--model", self.options.model,
                   "--exact", self.exact.endpoint, "--endpoint",
                   ",".join(d.endpoint for d in daemons),
                   "--score", str(SCORED_TOKENS),
                   "--threads", str(self.options.threads), "--json", path]
        for session, text in self.follow.items():
            command += ["--follow", "%s=%s" % (session, text)]
        done = run_program(command)
        if done.returncode != 0:
            raise DemoError("reprise eval: " +
                            done.stderr.decode(errors="replace"))
        with open(path) as file:
            return json.load(file)


# --- What is made of it. ---

def bytes_of(look):
    """All that is stored of the sessions: frames and records."""
    return sum(shown["frame_bytes"] + shown["record_bytes"]
               for shown in look["shown"].values())


def ratios_of(found, look):
    """At 16 bits a value, over all stored bytes: of the states; of snapshots
    after each turn, and how many; of snapshots after each token."""
    stored = bytes_of(look)
    state = turns = tokens = snapshots = token_snapshots = 0
    for session, shown in look["shown"].items():
        values, count = shown["values"], shown["tokens"]
        token_bytes = 2 * values / count
        state += 2 * values
        turns += token_bytes * sum(found["saved"][session])
        snapshots += len(found["saved"][session])
        tokens += token_bytes * count * (count + 1) / 2
        token_snapshots += count
    return {"state_ratio": state / stored,
            "history_turn_ratio": turns / stored,
            "history_turn_snapshots": snapshots,
            "history_ratio": tokens / stored,
            "history_snapshots": token_snapshots,
            "history_dtype": "f16"}


def restore_ms(look):
    """A session's mean, what had to be computed again included."""
    restored = look["restored"].values()
    return sum(r["restore_ms"] + r["recompute_ms"]
               for r in restored) / len(restored)


def rows_of(found):
    """A row of figures for each (ladder, tier) that was looked into."""
    rows = []
    for ladder, looks in found["walk"].items():
        for look in looks:
            if "restored" not in look:
                continue
            first = next(iter(look["restored"].values()))
            quality = look.get("quality") or {}
            rows.append(dict(
                ratios_of(found, look), ladder=ladder, idle=look["time"],
                tier=look["tier"], codec=look["codec"], bytes=bytes_of(look),
                disk_bytes=look["compact"]["used_bytes_after"],
                restore_ms=restore_ms(look), says=first["text"],
                profile_bytes=max(s["profile_bytes"]
                                  for s in look["shown"].values()),
                **{key: quality.get(key) for key in (
                    "kl_mean", "kl_se", "top1", "ppl_exact", "ppl",
                    "ppl_delta", "noise_kl_mean")}))
    return rows


def steps_where(found, fails):
    """The (ladder, time)s for which `fails(ladder, look)` says so, in words."""
    return ["%s at %s" % (ladder, look["time"])
            for ladder, looks in found["walk"].items() for look in looks
            if fails(ladder, look)]


def expected_tiers(tokens, tier):
    """How many segments count as which tier. A tail is never coded lossily:
    it is exact, and below `near` it is its tokens."""
    whole, tail = tokens // SEGMENT_TOKENS, min(1, tokens % SEGMENT_TOKENS)
    expected = collections.Counter({tier: whole})
    expected["exact" if tier in ("exact", "near") else "tokens"] += tail
    return +expected


def is_in_its_tier(look):
    return all(
        +collections.Counter(shown["segments_by_tier"]) ==
        expected_tiers(shown["tokens"], look["tier"])
        for shown in look["shown"].values())


def read_back(ladder, look):
    report = look["compact"]
    segments = report["segments"]
    return (report["exit"] == 0 and report["phase"] == "done" and
            not any(segments[name] for name in KEPT) and
            (look["tier"] == "exact") == (report["done_segments"] == 0))


def came_back(found, look):
    for session, restored in look.get("restored", {}).items():
        tokens = found["saved"][session][-1]
        most_lost = {"exact": 0, "near": 0, "tokens": tokens}.get(
            look["tier"], SEGMENT_TOKENS - 1)
        if (restored["restored_tokens"] != tokens or
                restored["lost_tokens"] > most_lost):
            return False
    return True


def claims_of(found):
    """Name -> (holds, what was compared, in words)."""
    walk = found["walk"]
    risen = ["%s at %s" % (ladder, after["time"])
             for ladder, looks in walk.items()
             for look, after in zip(looks, looks[1:])
             if bytes_of(after) >= bytes_of(look)]
    judged = walk["default"][0]["quality"]
    thawed = walk["default"][-1]["restored"]
    original = found["original"]
    differing = [session for session in original
                 if thawed[session]["generated"] !=
                 original[session]["generated"] or
                 thawed[session]["lost_tokens"] !=
                 found["saved"][session][-1]]
    frames = sum(look["fsck"]["frames"] for looks in walk.values()
                 for look in looks)
    checks = [
        ("tiers_as_the_ladder_says", steps_where(
            found, lambda ladder, look: not is_in_its_tier(look)),
         "every segment, of %d ladders at %d times" % (len(walk), len(TIMES))),
        ("bytes_fall", risen, "from each tier to the next"),
        ("nothing_kept_or_lost", steps_where(
            found, lambda ladder, look: not read_back(ladder, look)),
         "what was encoded was read back and compared; nothing sinks early"),
        ("comes_back", steps_where(
            found, lambda ladder, look: not came_back(found, look)),
         "all tokens; at most the 63 of a tail are computed again"),
        ("exact_costs_nothing",
         [] if (judged["kl_mean"], judged["top1"]) == (0, 1) else
         ["default at 30m"], "restored before it sinks: KL exactly 0"),
        ("thaw_is_identical", differing,
         "from tokens alone, the next %d tokens of %d sessions" % (
             COMPARED_TOKENS, len(original))),
        ("stores_are_whole", steps_where(
            found, lambda ladder, look: look["fsck"]["exit"] != 0 or
            look["fsck"]["findings"] != []),
         "reprise fsck after each step, %d frames read" % frames),
    ]
    return {name: (not failed, words + (
        "; FAILED: " + ", ".join(failed) if failed else ""))
        for name, failed, words in checks}


def plot_of(found):
    steps = {}
    for ladder, looks in found["walk"].items():
        steps[ladder] = [archive_plot.Step(
            TIER_STARTS_S[look["tier"]], look["idle_s"], bytes_of(look),
            look["tier"] if look["codec"] in ("-", look["tier"]) else
            "%s: %s" % (look["tier"], look["codec"])) for look in looks]
    tokens = sum(counts[-1] for counts in found["saved"].values())
    return archive_plot.svg(
        steps, "What is stored of sessions that nobody uses",
        "%d sessions of SmolLM2-135M, %d tokens, f16 cache; policy: %s" % (
            len(found["saved"]), tokens, RUNGS))


def walked(look):
    """What a step found, for programs."""
    segments = collections.Counter()
    for shown in look["shown"].values():
        segments.update(shown["segments_by_tier"])
    return {"idle_s": look["idle_s"], "tier": look["tier"],
            "codec": look["codec"], "bytes": bytes_of(look),
            "segments_by_tier": segments, "compaction": look["compact"],
            "fsck": look["fsck"], "quality": look.get("quality")}


# --- For a terminal. ---

COLUMNS = ["ladder", "idle", "tier", "codec", "stored", "on disk", "state",
           "turns", "tokens", "KL", "top-1", "ppl", "ms", "goes on with"]


def quoted(text, width=30):
    text = " ".join(text.split())
    return text if len(text) <= width else text[:width - 3] + "..."


def cells_of(row):
    def figure(form, key):
        return "-" if row[key] is None else form % row[key]
    return [row["ladder"], row["idle"], row["tier"], row["codec"],
            size(row["bytes"]), size(row["disk_bytes"]),
            "%.2f" % row["state_ratio"],
            "%.2f" % row["history_turn_ratio"], "%.0f" % row["history_ratio"],
            "0" if row["kl_mean"] == 0 else figure("%.2g", "kl_mean"),
            figure("%.3f", "top1"), figure("%+.2f", "ppl_delta"),
            "%.0f" % row["restore_ms"], quoted(row["says"])]


def table_of(rows):
    """The lines of the table, and what its columns are."""
    left = {0, 1, 2, 3, len(COLUMNS) - 1}
    cells = [COLUMNS] + [cells_of(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join(("%-*s" if i in left else "%*s") % (widths[i], cell)
                       for i, cell in enumerate(line)).rstrip()
             for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    first = rows[0]
    exact = next((r for r in rows if r["ppl_exact"] is not None), None)
    lines += [
        "",
        "state   one state at 16 bits a value over all bytes stored of it",
        "turns   history: %d snapshots of %s, one a turn, over the same" % (
            first["history_turn_snapshots"], first["history_dtype"]),
        "tokens  history: %d snapshots of %s, one a token, over the same" % (
            first["history_snapshots"], first["history_dtype"]),
        "KL, top-1, ppl  of %d tokens of real text after each session, on "
        "what came back" % SCORED_TOKENS]
    if exact:
        lines.append("        from the store, against exact state (ppl %.2f, "
                     "noise floor KL %.1g)" % (exact["ppl_exact"],
                                               exact["noise_kl_mean"]))
    return lines + [
        "on disk all files after the compaction, profiles and logs with them",
        "ms      to restore a session, what has no frames computed again",
        "profiles beside, shared by all sessions: " + size(
            max(row["profile_bytes"] for row in rows))]


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev demo archive",
                                     description=__doc__.splitlines()[0])
    program_arguments(parser, "reprised", "reprise", "worker", "eval")
    parser.add_argument("--plot", metavar="FILE", default=os.path.join(
        tempfile.gettempdir(), "reprise-archive.svg"),
        help="bytes over time, as SVG (default: %(default)s)")
    return parser.parse_args(arguments)


def show(found, options, seconds):
    """Prints everything; the exit status."""
    rows, claims = rows_of(found), claims_of(found)
    say("")
    for words in table_of(rows):
        say("  " + words if words else "")
    say("")
    for session, original in found["original"].items():
        say("  %-15s thawed from tokens goes on with: %s" % (session, quoted(
            found["walk"]["default"][-1]["restored"][session]["text"], 60)))
    with open(options.plot, "w") as file:
        file.write(plot_of(found))
    say("\n  plot: %s\n" % options.plot)
    holds = print_claims(claims)
    cpu = os.times().children_user + os.times().children_system
    say("\n  %.0f s, %.0f s of CPU, %d thread%s" % (
        seconds, cpu, options.threads, "s" if options.threads > 1 else ""))
    if options.json:
        write_report(options.json, claims, {
            "rows": rows, "seconds": seconds, "cpu_seconds": cpu,
            "threads": options.threads, "saved": found["saved"],
            "walk": {ladder: [walked(look) for look in looks]
                     for ladder, looks in found["walk"].items()}})
    return 0 if holds else 1


def f32_weights(options):
    """Quantised weights blow the last bit of any change up to a KL above what
    a good codec costs: the demo runs on the same weights in f32."""
    done = run_program([options.eval, "--model", options.model,
                        "--prepare-weights"])
    if done.returncode != 0:
        raise DemoError("no f32 weights: " +
                        done.stderr.decode(errors="replace"))
    return done.stdout.decode().strip()


def main():
    options = parse_arguments()
    missing = missing_program([options.reprised, options.reprise,
                               options.worker, options.eval])
    if missing:
        say("demo: no program %s: ./dev demo archive builds it" % missing)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = tempfile.mkdtemp(prefix="reprise_archive.")
    stage = Stage(options, work)
    try:
        say("The model's weights in f32, made once and kept in the cache ...")
        options.model = f32_weights(options)
        began = time.monotonic()
        found = Archive(stage, options).run()
    except DemoError as error:
        say("demo: %s" % error)
        return 1
    finally:
        stage.close()
        shutil.rmtree(work, ignore_errors=True)
    return show(found, options, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
