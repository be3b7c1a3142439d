#!/usr/bin/env python3
"""Trains a profile of the `klt` codec for a model, with gradients.

    ./dev calibrate --model M.gguf --out M.klt [--text FILE...]

The model is a GGUF file or a Hugging Face folder of the Llama or Qwen2 class.
How and why: tools/calibrate/README.md.
"""
import argparse
import json
import os
import sys
import time

# One order of summation; read by numpy when it is loaded.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy  # noqa: E402
import torch  # noqa: E402

import fit  # noqa: E402
import gather  # noqa: E402
import judge  # noqa: E402
import klt_profile  # noqa: E402
import model as model_reader  # noqa: E402
import tokens  # noqa: E402

PREFIX, CONTINUATION = 1024, 256
HELD = 3                     # windows that levels and tables are taken from
GROUP_BYTES = 256 << 10      # of a frame's layers, 64 tokens in 16 bits
TIERS = ("archive", "coarse", "near")
JUDGED = 2                   # held-out windows that KL is measured on
COHERENT = 2                 # windows that coherence is measured on
PLANTED, FACTS = 2, 8        # windows with facts, and those of each
AT_KL = 0.01                 # what exponents are compared at
FIRST_GUESS = 2.0            # of a step, in units of the median spread
LEAST_TOKENS = 10            # for each channel of a group


def parse(arguments):
    root = os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.abspath(__file__))))
    texts = [os.path.join(root, "assets", name)
             for name in ("wikitext2-valid.txt", "mtbench-chats-train.txt")]
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", required=True, help="GGUF file or folder")
    parser.add_argument("--out", required=True, help="the profile")
    parser.add_argument("--report", help="JSON file with what was measured")
    parser.add_argument("--text", nargs="+", default=texts,
                        help="prose and chats that are not judged on")
    parser.add_argument("--tokens", type=int, default=49152,
                        help="to train on (default: %(default)s)")
    parser.add_argument("--group-layers", type=int, default=2,
                        help="consecutive layers that are turned together\n"
                        "(default: %(default)s)")
    parser.add_argument("--exponents", type=float, nargs="+",
                        default=[0.3, 0.5, 0.7],
                        help="of sensitivities: each is tried, and the best\n"
                        "on facts and bits taken (default: %(default)s)")
    parser.add_argument("--kl", type=float, default=0.0015,
                        help="of stage 2, in nats (default: %(default)s)")
    parser.add_argument("--raw-first", type=int, default=1,
                        help="tokens that stay exact (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=2,
                        help="sets of labels a window (default: %(default)s)")
    parser.add_argument("--bf16", action="store_true",
                        help="gather with matrices in bf16: faster")
    parser.add_argument("--threads", type=int, default=1,
                        help="for the model; with another number the profile\n"
                        "differs in its last bits (default: %(default)s)")
    parser.add_argument("--cache", help="folder of gathered windows",
                        default=os.path.join(cache, "reprise", "calibrate"))
    return parser.parse_args(arguments)


def say(text, *numbers):
    print("calibrate: " + text % numbers, file=sys.stderr, flush=True)


def frame_layers(model):
    """Layers of a frame: the fewest whose planes reach GROUP_BYTES."""
    layer = 64 * 2 * 2 * model.kv_heads * model.head_dim
    return min(model.layers, -(-GROUP_BYTES // layer))


def layer_groups(model, width):
    """(first layer, layer count) of groups that cross no frame's border."""
    found = []
    for start in range(0, model.layers, frame_layers(model)):
        end = min(start + frame_layers(model), model.layers)
        found += [(first, min(width, end - first))
                  for first in range(start, end, width)]
    return found


def gather_windows(options, model, tokenizer, weights):
    """(rows of token ids, gathered windows, coherence)."""
    count = -(-options.tokens // PREFIX)
    wide = options.group_layers * 2 * model.kv_heads * model.head_dim
    if options.tokens < LEAST_TOKENS * wide or count <= HELD:
        raise ValueError(
            "%d tokens are too few for groups %d channels wide: %d are missing"
            % (options.tokens, wide, max(LEAST_TOKENS * wide,
                                         (HELD + 1) * PREFIX) - options.tokens))
    rows = tokens.windows(tokenizer, options.text, PREFIX, CONTINUATION, count)
    start = time.monotonic()

    def report(done, of):
        say("gathered %d of %d windows, %d s", done, of,
            time.monotonic() - start)

    if options.bf16:
        model = model.halved()
        weights += b" bf16"
    gathered = gather.gather(model, weights, rows, PREFIX, options.cache,
                             options.samples, report)
    some = rows[::max(1, count // COHERENT)][:COHERENT]
    return rows, gathered, gather.coherence(
        model, weights, some, PREFIX, options.cache, fit.SKIPPED,
        options.samples, report)


class Judge:
    """KL of each tier on held-out windows, and facts told."""

    def __init__(self, model, tokenizer, rows, gathered):
        self.model, self.windows = model, []
        for row, values in zip(rows, gathered):
            values = numpy.array(values)
            exact = judge.log_p(model, values, row[PREFIX:])
            self.windows.append((values, row[PREFIX:], exact))
        self.planted = []
        for seed in range(PLANTED):
            planted = judge.Planted(tokenizer, rows[seed % len(rows)], PREFIX,
                                    FACTS, seed)
            with torch.no_grad():
                _, cache = model.forward(torch.tensor([planted.ids]))
            self.planted.append((planted, gather.planes(cache).numpy()))

    def divergences(self, code):
        """(KL by tier, bits a value by tier), means over the windows."""
        kls, bits = [], []
        for values, ids, exact in self.windows:
            coded = code(values)
            bits.append(coded.bits)
            kls.append([judge.divergence(exact, judge.log_p(
                self.model, part, ids)) for part in coded.values])
        return numpy.mean(kls, 0), numpy.mean(bits, 0)

    def recall(self, code):
        """Shares of the facts that are told: of exact values, then by tier."""
        told = [[judge.recalled(self.model, part, planted)
                 for part in [facts] + code(facts).values]
                for planted, facts in self.planted]
        return (numpy.sum(told, 0) / (FACTS * PLANTED)).tolist()


class Candidate:
    """Groups, tables and step for one exponent, and what they come to: kls and
    bits by tier, told by exact values and by tier."""

    def __init__(self, exponent, options, model, gathered, coherence, held):
        self.settings = fit.Settings()
        self.settings.exponent = exponent
        self.settings.raw_first = options.raw_first
        self.frame = frame_layers(model)
        self.gathered, self.held = gathered, held
        trained = [w for w in range(len(gathered)) if w not in held]
        self.groups = []
        places = layer_groups(model, options.group_layers)
        for place in places:
            self.groups.append(fit.fit_group(
                gathered, place, coherence, trained, held, self.settings,
                model.head_dim))
            say("fitted %d of %d groups: R2 %.2f", len(self.groups),
                len(places), self.groups[-1].r2)

    def code(self, values):
        return fit.code_window(self.groups, values, self.table, self.step,
                               self.settings, self.frame)

    def choose_step(self, judged, wanted):
        """Sets the step, such that KL of stage 2 is about `wanted`: it goes
        about with the square of the step where it is small."""
        self.step = FIRST_GUESS * spread(self.groups)
        for _ in range(5):
            self.table = fit.set_tables(self.groups, self.gathered, self.held,
                                        self.step, self.settings)
            self.kls, self.bits = judged.divergences(self.code)
            say("exponent %g, step %.5g: KL %s at %s bits a value",
                self.settings.exponent, self.step,
                " ".join("%.4f" % kl for kl in self.kls),
                " ".join("%.3f" % rate for rate in self.bits))
            if 0.8 < self.kls[2] / wanted < 1.25:
                break
            self.step *= min(max((wanted / self.kls[2]) ** 0.6, 0.2), 5)
        self.told = judged.recall(self.code)

    def rate(self):
        """Bits a value at AT_KL, between the tiers or beyond them."""
        kls, bits = numpy.log(self.kls), numpy.log(self.bits)
        first = 0 if AT_KL > self.kls[1] else 1
        slope = ((bits[first + 1] - bits[first]) /
                 (kls[first + 1] - kls[first]))
        return float(numpy.exp(
            bits[first] + slope * (numpy.log(AT_KL) - kls[first])))

    def report(self):
        return {
            "exponent": self.settings.exponent,
            "bpv_at_kl": {str(AT_KL): round(self.rate(), 4)},
            "r2": [round(group.r2, 3) for group in self.groups],
            "tiers": {name: {"kl": float("%.3g" % kl), "bpv": round(rate, 4)}
                      for name, kl, rate in zip(TIERS, self.kls, self.bits)},
            "facts_told": dict(zip(("exact",) + TIERS, self.told)),
        }


def best(candidates):
    """Of those that tell the most facts, all but one or so, the one with the
    fewest bits."""
    told = [sum(candidate.told[1:]) for candidate in candidates]
    least = max(told) - 1.5 / (FACTS * PLANTED)
    kept = [c for c, share in zip(candidates, told) if share >= least]
    return min(kept, key=Candidate.rate)


def spread(groups):
    """The root of the median of the coefficients' variances."""
    every = numpy.concatenate([group.form.variance for group in groups])
    return float(numpy.sqrt(numpy.median(every)))


def train(options):
    model = model_reader.read_model(options.model)
    weights = model_reader.weights_hash(options.model)
    tokenizer = tokens.read_tokenizer(options.model)
    rows, gathered, coherence = gather_windows(options, model, tokenizer,
                                               weights)
    count = len(rows)
    # Every so often one, so that all texts are among the held-out ones.
    held = [count * (2 * i + 1) // (2 * HELD) for i in range(HELD)]
    judged = Judge(model, tokenizer, [rows[w] for w in held[:JUDGED]],
                   [gathered.values(w) for w in held[:JUDGED]])
    candidates = []
    for exponent in options.exponents:
        candidates.append(Candidate(exponent, options, model, gathered,
                                    coherence, held))
        candidates[-1].choose_step(judged, options.kl)
    chosen = best(candidates)
    report = {
        "model": os.path.basename(options.model),
        "weights_sha256": weights.hex(), "tokens": (count - HELD) * PREFIX,
        "texts": [os.path.basename(text) for text in options.text],
        "group_layers": options.group_layers,
        "coherence": [[round(float(v), 2) for v in row] for row in coherence],
        **chosen.report(),
    }
    profile = fit.profile_of(model, weights, chosen.groups, chosen.table,
                             chosen.step, chosen.settings,
                             json.dumps(report, sort_keys=True))
    report["candidates"] = [c.report() for c in candidates]
    report["spectrum"] = [[float("%.4g" % v) for v in group.form.variance]
                          for group in chosen.groups]
    return klt_profile.encode(profile), report


def main(arguments):
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    try:
        data, report = train(options)
    except (ValueError, OSError) as error:
        sys.exit("calibrate: %s" % error)
    for path, text in ((options.out, data), (options.report, report)):
        if path:
            with open(path + ".new", "wb") as target:
                target.write(text if text is data else
                             json.dumps(text, indent=1).encode() + b"\n")
            os.replace(path + ".new", path)
    say("%s: %d bytes", options.out, len(data))
    say("exponent %g", report["exponent"])
    for name, tier in report["tiers"].items():
        say("%-8s %.3f bits a value, KL %.2g", name, tier["bpv"], tier["kl"])


if __name__ == "__main__":
    main(sys.argv[1:])
