"""One plot of all codecs: stored bits a value against mean KL, both axes
logarithmic, each codec's line named at its end, and at each reported KL how
many times fewer bits the flagship takes than the cheapest other codec.

The same rows give the same bytes. For plots of one run see svg_plot.h.
"""
import collections

from svg_parts import COLOURS, ORANGE, LogAxis, line, placed, text

# `name` of a point is shown for the flagship only; `rates` of a codec are bits
# a value by KL, as texts, None where its points don't reach.
Point = collections.namedtuple("Point", "bpv kl name")
Curve = collections.namedtuple("Curve", "points rates")

FLAGSHIP = "klt"
WIDTH, HEIGHT = 1040, 640
LEFT, RIGHT, TOP, BOTTOM = 90, 1000, 84, 520
ZERO = BOTTOM + 26  # where a KL of exactly 0 is shown, below the axis
FLAGSHIP_COLOUR = ORANGE


def frontier(points):
    """Those that are better than every cheaper one, by rising rate."""
    kept = []
    for point in sorted(points, key=lambda p: (p.bpv, p.kl)):
        if point.kl > 0 and (not kept or point.kl < kept[-1].kl):
            kept.append(point)
    return kept


def is_flagship(name):
    return name.split(",")[0] == FLAGSHIP


def _axes(x, y):
    grid = 'stroke="#e2e2e2"'
    out = []
    for tick in x.ticks((1, 2, 5)):
        at = x.pixel(tick)
        out += [line(at, TOP, at, ZERO + 10, grid),
                text(at, ZERO + 28, "%g" % tick, 'text-anchor="middle"')]
    for tick in y.ticks((1,)):
        at = y.pixel(tick)
        out += [line(LEFT, at, RIGHT, at, grid),
                text(LEFT - 8, at + 4, "%g" % tick, 'text-anchor="end"')]
    out += [text(LEFT - 8, ZERO + 4, "0", 'text-anchor="end"'),
            '<rect x="%d" y="%d" width="%d" height="%d" fill="none" '
            'stroke="#444444"/>' % (LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP),
            text((LEFT + RIGHT) / 2, ZERO + 54, "stored bits a value",
                  'text-anchor="middle"')]
    middle = (TOP + BOTTOM) / 2
    return out + [text(24, middle, "mean KL(exact || coded), nats",
                        'text-anchor="middle" transform="rotate(-90 24 %.1f)"'
                        % middle)]


def _curve(name, points, colour, x, y):
    """Marks and line; and the label (x, y, width, text, colour)."""
    ours = is_flagship(name)
    best = frontier(points)
    out = []
    if len(best) > 1:
        path = "L".join("%.1f %.1f" % (x.pixel(p.bpv), y.pixel(p.kl))
                        for p in best)
        out.append('<path d="M%s" fill="none" stroke="%s" stroke-width="%s"%s'
                   '/>' % (path, colour, "4" if ours else "1.8",
                           ' stroke-dasharray="9 5"' if "," in name else ""))
    for point in points:
        at = y.pixel(point.kl) if point.kl > 0 else ZERO
        out.append('<circle cx="%.1f" cy="%.1f" r="%s" fill="%s"/>' % (
            x.pixel(point.bpv), at, "5.5" if ours else "4", colour))
    last = best[-1] if best else max(points, key=lambda p: p.bpv)
    at_x, width = x.pixel(last.bpv), 7.5 * len(name)
    if not best:
        return out, (at_x - width, ZERO - 7, width, name, colour)
    at_x = at_x + 9 if at_x + 9 + width < RIGHT else at_x - 9 - width
    return out, (at_x, y.pixel(last.kl) + 4, width, name, colour)


def _cheapest(curves, kl):
    """Bits a value of the cheapest other codec at a KL of at most `kl` (text,
    as in rates): on a codec's line, or at a point that is better than asked."""
    others = [c for name, c in curves.items() if not is_flagship(name)]
    return min([c.rates[kl] for c in others if c.rates and c.rates.get(kl)] +
               [p.bpv for c in others for p in c.points if p.kl <= float(kl)],
               default=None)


def _bits(value):
    return "%.2f" % value if value < 1 else "%.1f" % value


def _gaps(curves, x, y):
    """At each reported KL, from the flagship to the cheapest other codec."""
    ours = curves.get(FLAGSHIP)
    if ours is None:
        return []
    out = []
    for kl, rate in sorted((ours.rates or {}).items()):
        end = _cheapest(curves, kl)
        if rate is None or end is None:
            continue
        at = y.pixel(float(kl))
        style = 'stroke="#444444" stroke-width="1.2" stroke-dasharray="2 3"'
        out += [line(x.pixel(rate), at, x.pixel(end), at, style),
                text((x.pixel(rate) + x.pixel(end)) / 2, at - 6,
                      "%s bits or %s: %.1f times" % (
                          _bits(rate), _bits(end), end / rate),
                      'text-anchor="middle" font-weight="bold"')]
    return out


def _tiers(points, x, y):
    """The flagship's tiers, at the points of its own step."""
    out = []
    for point in points:
        name, _, tier = point.name.partition("@")
        if ":" in point.name or name != FLAGSHIP or point.kl <= 0:
            continue
        out.append(text(x.pixel(point.bpv) + 7, y.pixel(point.kl) - 9,
                         tier or "near",
                         'font-style="italic" fill="%s"' % FLAGSHIP_COLOUR))
    return out


def svg(curves, title, note):
    """A document. curves: Curve by codec's name, in the order of colours;
    points without a size are left out."""
    shown = collections.OrderedDict()
    for name, curve in curves.items():
        points = [p for p in curve.points if p.bpv]
        if points:
            shown[name] = Curve(points, curve.rates)
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" '
           'font-family="Helvetica, Arial, sans-serif" font-size="13" '
           'fill="#222222">' % (WIDTH, HEIGHT),
           '<rect width="100%" height="100%" fill="#ffffff"/>',
           text(LEFT, 36, title, 'font-size="20" font-weight="bold"'),
           text(LEFT, 62, note, 'fill="#666666"')]
    every = [p for curve in shown.values() for p in curve.points]
    if not any(p.kl > 0 for p in every):
        return "\n".join(out + [text(LEFT, TOP + 40, "There are no points to "
                                      "show."), "</svg>\n"])
    x = LogAxis([p.bpv for p in every], LEFT, RIGHT)
    y = LogAxis([p.kl for p in every if p.kl > 0], BOTTOM, TOP)
    out += _axes(x, y)
    labels, colours = [], iter(COLOURS * len(shown))
    # The flagship last, on top of all.
    for name, curve in sorted(shown.items(), key=lambda c: is_flagship(c[0])):
        colour = FLAGSHIP_COLOUR if is_flagship(name) else next(colours)
        marks, label = _curve(name, curve.points, colour, x, y)
        out += marks
        labels.append(label)
    out += _gaps(shown, x, y)
    if FLAGSHIP in shown:
        out += _tiers(shown[FLAGSHIP].points, x, y)
    out += [text(at_x, at_y, name, 'fill="%s" font-weight="bold"' % colour)
            for at_x, at_y, _, name, colour in placed(labels)]
    return "\n".join(out + ["</svg>\n"])
