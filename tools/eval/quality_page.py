"""docs/quality.md from the rows of the judge: text and tables.

A row is an object as reprise-eval writes it to --json, with the `section` of
the page that it is for.
"""
import collections
import os

import rate_plot

# How a section is headed and introduced, which of the judge's plots it shows
# (by the beginnings of their names), and which of its tables.
Section = collections.namedtuple("Section", "title text plots tables")
SECTIONS = {
    "main": Section("All codecs", "", ("rate-",), ("rows", "facts")),
    "wide": Section(
        "`klt` with wider groups of layers",
        "The same windows with a larger profile, which `./dev profiles` makes "
        "into the cache.\n", (), ("rows",)),
    "facts": Section("Planted facts", """\
Lines such as "The access code is Maria Keller-48213." stand in the text. After
two more of them as examples the model is asked for each by the line's
beginning. *Kept* is the share of those that the exact cache answers right, all
digits, which the coded one answers too; its error is that of a binomial count,
or that over windows where it is larger. KL is that of the answers' tokens: it
tells codecs apart that lose no fact.
""", ("retrieval-",), ("facts",)),
    "chats": Section("Another kind of text", """\
Chats (instructions, code, extraction, science) instead of prose; nothing is
trained for this section, and the profiles of `klt` have seen neither text.
""", ("rate-",), ("rows",)),
    "large": Section("A larger model", "", ("rate-",), ("rows", "facts")),
    "lengths": Section("Shorter and longer states", "", ("ratio-",),
                       ("rows",)),
    "weights": Section(
        "Quantised weights", "Do the losses add up? With quantised weights "
        "ggml rounds activations, so the noise floor is far higher.\n", (),
        ("rows",)),
}
MAIN_PLOT = "bits-and-kl.svg"


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
    return ("Planted facts; KL of the shuffled cells' answers %.2g.\n\n" %
            asked[0]["retrieval_noise_kl"] +
            markdown(FACT_COLUMNS, [fact_cells(row) for row in asked]) + "\n")


def block_key(row):
    return (row["section"], row["model"], row["weights"], row["cache_type"],
            row["prefix"])


def blocks(rows):
    """Rows of one section, model and length together, as they came."""
    found = {}
    for row in rows:
        found.setdefault(block_key(row), []).append(row)
    return list(found.values())


def curve_name(row):
    """llama.cpp's types are one codec here."""
    return row["codec"].split(":")[0]


def curve_lines(block):
    """Bits a value at equal KL, for each codec that has several points."""
    first = block[0]
    rates = {}
    for row in block:
        if row.get("bpv_at_kl"):
            rates.setdefault(curve_name(row), row["bpv_at_kl"])
    name = "`%s`"
    if first["section"] == "wide":
        name += ", wide groups"
    return [(name % codec, "%s, %d tokens of %s, weights %s" % (
        first["model"], first["prefix"], first["text"], first["weights"]),
             at) for codec, at in rates.items()]


def rate_text(rows):
    """The table of bits a value at equal KL of all blocks; empty if none."""
    lines = [line for block in blocks(rows) for line in curve_lines(block)
             if block[0]["section"] not in ("facts", "weights")]
    if not lines:
        return ""
    at = sorted(lines[0][2], key=float, reverse=True)
    return ("Bits a value at a mean KL of\n\n" + markdown(
        ["codec"] + at + ["on"],
        [[name] + [number(rates[kl], ".2f") for kl in at] + [where]
         for name, where, rates in lines]) + "\n")


def rows_text(rows):
    first = rows[0]
    return (
        "%d window%s of %s, %d tokens scored after each; perplexity with the "
        "untouched %s cache %.3f; noise floor: mean KL %.2g, max %.2g.\n\n" % (
            first["windows"], "" if first["windows"] == 1 else "s",
            first["text"], first["scored_tokens"], first["cache_type"],
            first["ppl_exact"], first["noise_kl_mean"],
            first["noise_kl_max"]) +
        markdown(COLUMNS, [row_cells(row) for row in rows]) + "\n")


def block_text(rows):
    first = rows[0]
    tables = {"rows": rows_text, "facts": fact_text}
    parts = ["### %s, weights %s, %d tokens\n" % (
        first["model"], first["weights"], first["prefix"])]
    parts += [tables[name](rows)
              for name in SECTIONS[first["section"]].tables]
    return "\n".join(part for part in parts if part)


def section_text(name, rows, plots):
    section = SECTIONS[name]
    parts = ["## %s\n" % section.title, section.text]
    parts += ["![%s](quality/%s)\n" % (plot, plot) for plot in plots
              if plot.startswith(name + "-")]
    parts += [block_text(block) for block in blocks(rows)]
    return "\n".join(part for part in parts if part)


PLAN_COLUMNS = ["rows for", "model", "tokens", "windows", "with facts", "rows",
                "minutes"]


def plan_text(done):
    lines = [["%s, %s" % (SECTIONS[run["section"]].title, run["text"]),
              run["model"], ", ".join(str(n) for n in run["prefixes"]),
              str(run["windows"]), str(run["retrieval"] or "-"),
              str(run["rows"]), "%.1f" % run["minutes"]] for run in done]
    return (markdown(PLAN_COLUMNS, lines) +
            "\n\n%.0f minutes in all, of one core unless --threads says "
            "otherwise.\n\n```sh\n" % sum(run["minutes"] for run in done) +
            "\n".join(run["command"] for run in done) + "\n```\n")


HEAD = """# Quality: what each codec costs on real models

Made by `%s` at commit %s; do not edit.

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

No profile was trained on a text that is judged. `llama:...` are llama.cpp's
own cache types on the same states. `klt@archive`, `klt@coarse` and `klt` (tier
`near`) are prefixes of one stream; `shift=3` halves all steps.
"""
RATES_NOTE = """\
Read off the line, on logarithmic axes, through a codec's points that are better
than every cheaper one; nothing is extrapolated, so "-" is where a codec's
points don't reach. Codecs with a single point have no line.
"""


def page(rows, done, plots, command, made_at):
    parts = [HEAD % (command, made_at)]
    if "--quick" in command:
        parts.append("This is the quick run: one model, few windows; errors "
                     "are large.\n")
    parts.append("## Bits a value at equal KL\n")
    if MAIN_PLOT in plots:
        parts.append("![bits a value against KL](quality/%s)\n" % MAIN_PLOT)
    parts += [rate_text(rows), RATES_NOTE]
    for name in SECTIONS:
        chosen = [row for row in rows if row["section"] == name]
        if chosen:
            parts.append(section_text(name, chosen, plots))
    parts += ["## What was run\n", plan_text(done)]
    return "\n".join(part for part in parts if part)


def draw(rows, folder):
    """The main plot: all codecs of the main section, and klt's wide groups."""
    main = [row for row in rows if row["section"] == "main"]
    if not main:
        return
    curves = collections.OrderedDict()
    for row in main + [r for r in rows if r["section"] == "wide"
                       and r["codec"] == "klt"]:
        name = curve_name(row)
        if row["section"] == "wide":
            name += ", wide groups"
        curve = curves.setdefault(
            name, rate_plot.Curve([], row.get("bpv_at_kl")))
        curve.points.append(
            rate_plot.Point(row["bpv"], row["kl_mean"], row["variant"]))
    first = main[0]
    note = "%s, %d windows of %d tokens of %s; every stored byte counts" % (
        first["model"], first["windows"], first["prefix"], first["text"])
    with open(os.path.join(folder, MAIN_PLOT), "w", encoding="utf-8") as file:
        file.write(rate_plot.svg(curves, "Bits a value against KL", note))
