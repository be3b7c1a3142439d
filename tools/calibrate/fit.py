"""From gathered windows to a profile: transforms, levels, tables, step.

Transforms are fitted to some windows; levels and tables to others, the
*held-out* ones, since what was fitted looks better than it is.
"""
import numpy

import klt_profile
import quantiser
import tables
import transform

SKIPPED = 4     # first tokens of each window: outliers that are no example
LEAST, LARGEST = 0, 15
FRAME_BYTES = 192 + 32 + 136 + 8   # header, directory, shift and states


class Settings:
    """What is chosen rather than measured."""
    exponent = 0.5     # of sensitivities, for the steps
    # Lower, and rows are coded that hold little but zeros; higher, and what
    # they hold is cut, since a stage adds one step at most to a zero: with
    # CENTRE - 5 a third of the error at stage 2 was from that.
    lo0 = quantiser.CENTRE - 8
    lo1 = quantiser.CENTRE - 6
    raw_first = 1
    typical = 3.0      # o - 3 of a token of mean sensitivity


class Fitted:
    """A group's transform and where it belongs."""

    def __init__(self, first_layer, layer_count, form):
        self.first_layer, self.layer_count = first_layer, layer_count
        self.form = form
        self.levels = None

    def cut(self, values):
        """This group's channels of an array [tokens, layers, 2, channels]."""
        last = self.first_layer + self.layer_count
        part = numpy.asarray(values[:, self.first_layer:last])
        return part.reshape(len(part), -1)

    def exponents(self, values, positions, settings):
        log2_s = self.form.log2_s(values, positions)
        if settings.exponent > 0:
            log2_s = log2_s + settings.typical / (1.5 * settings.exponent)
        return quantiser.exponents(log2_s, settings.exponent, LEAST, LARGEST)


def joined(gathered, group, windows, gradients=True):
    """(values, gradients, positions) of a group's tokens in some windows."""
    values = [group.cut(gathered.values(w))[SKIPPED:] for w in windows]
    positions = [numpy.arange(SKIPPED, SKIPPED + len(v)) for v in values]
    found = [numpy.concatenate(values), None, numpy.concatenate(positions)]
    if gradients:
        found[1] = numpy.concatenate(
            [[group.cut(sample)[SKIPPED:] for sample in gathered.gradients(w)]
             for w in windows], 1)
    return found


def fit_group(gathered, place, coherence, trained, held, settings, head_dim):
    """A Fitted for `place`, its first layer and their number."""
    first, count = place
    group = Fitted(first, count, None)
    group.form = transform.fit(*joined(gathered, group, trained),
                               settings.exponent,
                               coherence[first:first + count].reshape(-1),
                               head_dim)
    group.r2 = transform.explained(group.form, *joined(gathered, group, held))
    return group


def levels_of(z, o, step, n):
    """Of each row; with the tokens' own steps taken out."""
    unit = numpy.square(z * numpy.exp2((o - 3.0) / 3)[:, None]).mean(0)
    rows = -(-n // quantiser.ROW)
    power = numpy.zeros(rows * quantiser.ROW)
    power[:n] = unit
    used = numpy.minimum(quantiser.ROW, n - quantiser.ROW * numpy.arange(rows))
    mean = power.reshape(rows, -1).sum(1) / used
    level = quantiser.CENTRE + numpy.rint(
        1.5 * numpy.log2(numpy.maximum(mean, 1e-60) / step ** 2))
    level = numpy.clip(level, 0, 255).astype(numpy.uint8)
    return numpy.minimum.accumulate(level)


def encode(group, values, positions, step, settings):
    """(o, index, masks, q by stage) of a group's tokens."""
    z = group.form.coefficients(values)
    o = group.exponents(values, positions, settings)
    if group.levels is None:
        group.levels = levels_of(z, o, step, z.shape[1])
    index = quantiser.indices(group.levels, o)
    masks = quantiser.coded(index, settings.lo0, settings.lo1, z.shape[1])
    return o, index, masks, quantiser.quantise(
        z, quantiser.steps(step, o), masks)


def set_tables(groups, gathered, held, step, settings):
    """Levels of all groups, and the Tables they share."""
    counts = tables.Counts(settings.lo0, settings.lo1)
    for group in groups:
        group.levels = None
        values, _, positions = joined(gathered, group, held, gradients=False)
        o, index, masks, q = encode(group, values, positions, step, settings)
        counts.add(q, index, masks, o)
    return tables.Tables(counts)


class Coded:
    """A window's values by stage, each [tokens, layers, 2, channels], and
    bits: what stages 0 to k take, all in all, a value."""


def code_window(groups, values, table, step, settings, frame_layers):
    """Codes the values of a window as an engine's f16 cache would see them."""
    tokens, raw = len(values), settings.raw_first
    found = Coded()
    found.values = [numpy.array(values, numpy.float32) for _ in range(3)]
    counts = tables.Counts(settings.lo0, settings.lo1)
    for group in groups:
        part, form = group.cut(values)[raw:], group.form
        o, index, masks, q = encode(group, part, numpy.arange(raw, tokens),
                                    step, settings)
        counts.add(q, index, masks, o)
        last = group.first_layer + group.layer_count
        for stage in range(quantiser.STAGES):
            rows = quantiser.restore(q[stage], form.basis(), form.dec, form.mu,
                                     quantiser.steps(step, o), stage)
            rows = rows.astype(numpy.float16).reshape(
                tokens - raw, group.layer_count, 2, -1)
            found.values[stage][raw:, group.first_layer:last] = rows
    frames = -(-tokens // 64) * -(-values.shape[1] // frame_layers)
    bits = table.bits(counts) + frames * FRAME_BYTES * 8
    bits[0] += raw * values[0].size * 16
    found.bits = numpy.cumsum(bits) / values.size
    return found


def profile_of(model, weights, groups, table, step, settings, notes):
    """A klt_profile.Profile."""
    found = klt_profile.Profile()
    found.pairing, found.weights, found.step = model.pairing, weights, step
    found.turns = turns(model)
    found.kind, found.raw_first = 1, settings.raw_first
    found.lo0, found.lo1 = settings.lo0, settings.lo1
    found.least, found.largest = LEAST, LARGEST
    found.exponent, found.notes = settings.exponent, notes
    found.planes = [
        klt_profile.Plane(layer, index, int(index == 0), model.kv_heads,
                          model.head_dim)
        for layer in range(model.layers) for index in range(2)]
    found.exponents = table.exponents.astype("<u2")
    found.tables = numpy.ascontiguousarray(table.first, "<u2").reshape(-1)
    found.refining = numpy.ascontiguousarray(
        table.later[:, :, 1:], "<u2").reshape(-1)
    found.groups = [_profile_group(group, settings) for group in groups]
    return found


def _profile_group(group, settings):
    form, found = group.form, klt_profile.Group()
    found.first_layer, found.layer_count = group.first_layer, group.layer_count
    found.lead = len(form.lo)
    found.mu = form.mu.astype("<f4")
    found.dec = form.dec.astype("<f4")
    found.enc = form.enc.astype("<f4")
    found.by_channel = form.by_channel.astype("<f4")
    found.by_norm = form.by_norm.astype("<f4")
    found.by_position = float(form.by_position)
    found.constant = float(form.constant) + (
        settings.typical / (1.5 * settings.exponent)
        if settings.exponent > 0 else 0.0)
    found.levels = group.levels
    found.hi, found.lo = form.hi.reshape(-1), form.lo.reshape(-1)
    return found


def turns(model):
    """2^-64 turns a position, to the nearest."""
    share = [step / (2 * numpy.pi) for step in model.steps.tolist()]
    return numpy.array([round(s * 2.0 ** 64) % 2 ** 64 for s in share],
                       "<u8")
