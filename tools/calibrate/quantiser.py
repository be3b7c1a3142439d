"""The arithmetic of `klt` on whole arrays: docs/format/codecs/klt.md.

What an encoder of this project does, so that a profile's tables and steps are
fitted to what it will be used for. Names are the page's.
"""
import numpy

ROW = 32
STAGES = 3
OFFSETS = (10, 5, 0)          # of a row's index, by stage
SHARES = (9.0, 3.0, 1.0)      # P, a stage's step in units of D
CENTRE = 128                  # the level of a row whose sigma is D
MAX_Q, MAX_SUM = 32767, 131071


def exponents(log2_s, exponent, least, largest):
    """o of tokens by the logarithm of their sensitivity."""
    o = 3 + numpy.rint(1.5 * exponent * log2_s)
    return numpy.clip(o, least, largest).astype(numpy.int64)


def steps(step, o):
    """The step of stage 2 for exponents o."""
    return (step * numpy.exp2(-(o - 3.0) / 3)).astype(numpy.float32)


def round_third(q):
    """The nearest integer to q / 3, which is never halfway."""
    return numpy.sign(q) * ((numpy.abs(q) + 1) // 3)


def indices(levels, o):
    """Index of each token's rows at stage 2, [tokens, rows]."""
    return levels[None, :].astype(numpy.int64) + (o - 3)[:, None]


def coded(index, lo0, lo1, n):
    """For each stage which coefficients are coded, [tokens, n]."""
    found = []
    for stage in range(STAGES):
        rows = index - OFFSETS[stage] >= (lo1 if stage else lo0)
        found.append(numpy.repeat(rows, ROW, 1)[:, :n])
    return found


def quantise(z, step, masks):
    """q of stages 0 to k for k = 0, 1, 2, each [tokens, n].

    z      [tokens, n]   coefficients
    step   [tokens]      of stage 2
    masks  of coded()
    """
    q = numpy.sign(z) * numpy.floor(numpy.abs(z) / step[:, None] + 0.5)
    q = numpy.clip(q, -MAX_Q, MAX_Q).astype(numpy.int32)
    # What a row that is not coded in the stages before can reach.
    q = numpy.where(masks[2], q, 0)
    q = numpy.where(masks[1], q, numpy.clip(q, -1, 1))
    q = numpy.where(masks[0], q, numpy.clip(q, -4, 4))
    q1 = round_third(q)
    return round_third(q1), q1, q


def restore(q, basis, dec, mu, step, stage):
    """Values of tokens from q of stages 0 to `stage`: basis is hi + lo / 256
    as [channel, coefficient]."""
    scale = step * numpy.float32(SHARES[stage])
    sums = q.astype(numpy.float32) @ basis.T
    return sums * (scale[:, None] * dec) + mu
