"""What plots as SVG text are made of: axes, lines and labels."""
import html
import math

# Okabe and Ito's, which most colour-blind people can tell apart.
ORANGE = "#d55e00"
COLOURS = ["#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#8c6d31", "#000000",
           "#e69f00"]


class LogAxis:
    """A logarithmic axis from pixel `start` to `end`: values to pixels."""

    def __init__(self, values, start, end):
        low, high = min(values), max(values)
        air = max(1.25, (high / low) ** 0.06)
        self.low, self.high = low / air, high * air
        self.start, self.end = start, end

    def pixel(self, value):
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, factors):
        """Those of the factors, times powers of ten, that lie on it."""
        powers = range(math.floor(math.log10(self.low)),
                       math.ceil(math.log10(self.high)) + 1)
        return [t for t in (f * 10.0 ** p for p in powers for f in factors)
                if self.low <= t <= self.high]


def text(x, y, words, style=""):
    return '<text x="%.1f" y="%.1f"%s>%s</text>' % (
        x, y, " " + style if style else "", html.escape(words))


def line(x1, y1, x2, y2, style):
    return '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" %s/>' % (
        x1, y1, x2, y2, style)


def placed(labels):
    """Moves labels (x, y, width, ...) down until none lies on another."""
    done = []
    for x, y, width, *rest in sorted(labels, key=lambda label: label[1]):
        for other in done:
            beside = x + width < other[0] or x > other[0] + other[2]
            if not beside and abs(y - other[1]) < 15:
                y = other[1] + 15
        done.append((x, y, width, *rest))
    return done
