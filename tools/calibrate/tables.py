"""Static tables of `klt` from counts, and what symbols cost with them.

Counts are taken over held-out tokens. An index that was seen little lends from
its neighbours, so that each symbol that can occur has its share.
"""
import numpy

import quantiser

SYMBOLS, ESCAPE = 64, 63
TOTAL = 4096
MAX_TABLES = 64
LENT = 8.0     # symbols' worth of the neighbours' counts
RARE = 1e-5    # of all: a rarer magnitude of stage 0 is escaped


class Counts:
    """Symbols by index above the lowest: stage 0 [64, 64], refinement
    [64, 3, 3] by context, and how often each exponent was chosen."""

    def __init__(self, lo0, lo1):
        self.lo0, self.lo1 = lo0, lo1
        self.first = numpy.zeros((MAX_TABLES, SYMBOLS))
        self.later = numpy.zeros((quantiser.STAGES, MAX_TABLES, 3, 3))
        self.exponents = numpy.zeros(16)
        self.signs = numpy.zeros(quantiser.STAGES)

    def add(self, q, index, masks, o):
        """q, masks of quantiser; index [tokens, rows]; o [tokens]."""
        n = q[0].shape[1]
        wide = numpy.repeat(index, quantiser.ROW, 1)[:, :n]
        self.exponents += numpy.bincount(o, minlength=16)
        for stage in range(quantiser.STAGES):
            low = self.lo1 if stage else self.lo0
            mask = masks[stage]
            table = wide[mask] - quantiser.OFFSETS[stage] - low
            table = numpy.minimum(table, MAX_TABLES - 1)
            size = numpy.abs(q[stage][mask])
            if stage == 0:
                symbol = numpy.minimum(size, ESCAPE)
                self.first += _grid(table * SYMBOLS + symbol, self.first.shape)
                self.signs[0] += numpy.count_nonzero(size)
                continue
            before = numpy.abs(q[stage - 1][mask])
            symbol = (size - 3 * before) % 3
            context = numpy.minimum(before, 2)
            self.later[stage] += _grid((table * 3 + context) * 3 + symbol,
                                       self.later[stage].shape)
            self.signs[stage] += numpy.count_nonzero((before == 0) & (size > 0))


def _grid(keys, shape):
    size = int(numpy.prod(shape))
    return numpy.bincount(keys, minlength=size).reshape(shape)


def frequencies(counts, possible, total=TOTAL):
    """Integers that sum to `total`, each possible symbol's at least 1."""
    counts = numpy.where(possible, counts, 0.0)
    room = total - numpy.count_nonzero(possible)
    exact = counts / max(counts.sum(), 1e-300) * room
    found = numpy.floor(exact).astype(numpy.int64)
    found += possible
    left = total - found.sum()
    order = numpy.argsort(-(exact - numpy.floor(exact)), kind="stable")
    order = order[numpy.asarray(possible)[order]]
    for i in range(left):
        found[order[i % len(order)]] += 1
    return found


def _smooth(counts):
    """Each table's counts with a little of the neighbouring tables'."""
    shares = counts / numpy.maximum(counts.sum(-1, keepdims=True), 1)
    near = numpy.zeros_like(shares)
    near[1:] += shares[:-1]
    near[:-1] += shares[1:]
    return counts + LENT * near + 1e-3


class Tables:
    """first [n0, 64], later [n1, 3, 3], exponents [16]: frequencies."""

    def __init__(self, counts):
        later = counts.later.sum(0)
        n0 = 1 + _last(counts.first.sum(1))
        n1 = 1 + _last(later.sum((1, 2)))
        first = _smooth(counts.first)[:n0]
        possible = first > RARE * first.sum(1, keepdims=True)
        possible[:, ESCAPE] = possible[:, 0] = True
        self.first = numpy.stack(
            [frequencies(t, p) for t, p in zip(first, possible)])
        later = _smooth(later)[:n1]
        self.later = numpy.stack([
            [frequencies(later[i, c], numpy.arange(3) < (3 if c else 2))
             for c in range(3)] for i in range(n1)])
        self.exponents = frequencies(counts.exponents + 0.5,
                                     numpy.ones(16, bool))

    def bits(self, counts):
        """What the symbols, signs and escapes of each stage cost."""
        first = _cut(counts.first, len(self.first))
        escaped = first * (self.first == 0)
        first = first - escaped
        first[:, ESCAPE] += escaped.sum(1)
        found = [_cost(first, self.first) + 16 * first[:, ESCAPE].sum() +
                 _cost(counts.exponents, self.exponents)]
        found += [_cost(_cut(part, len(self.later)), self.later)
                  for part in counts.later[1:]]
        return numpy.array(found) + counts.signs


def _cut(counts, size):
    """What lies beyond the last table belongs to it."""
    found = counts[:size].copy()
    found[-1] += counts[size:].sum(0)
    return found


def _cost(seen, table):
    rate = numpy.log2(TOTAL) - numpy.log2(numpy.maximum(table, 1))
    return float((seen * rate).sum())


def _last(totals):
    seen = numpy.flatnonzero(totals)
    return int(seen[-1]) if len(seen) else 0
