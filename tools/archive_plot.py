"""Stored bytes over the time that nobody used some sessions, a stair for each
ladder, both axes logarithmic. The same figures give the same bytes.
"""
import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "eval"))
from svg_parts import (COLOURS, ORANGE, LogAxis, line, placed,  # noqa: E402
                       text)

# From `start_s` of idleness on so many bytes are stored; `checked_s` is when
# that was looked at, `name` what is stored then.
Step = collections.namedtuple("Step", "start_s checked_s bytes name")

WIDTH, HEIGHT = 1040, 640
LEFT, RIGHT, TOP, BOTTOM = 90, 1000, 84, 560
TIMES = [(60, "1 min"), (3600, "1 h"), (86400, "1 d"), (7 * 86400, "1 w"),
         (30 * 86400, "30 d"), (365 * 86400, "1 y"), (3650 * 86400, "10 y")]
SIZES = [(1 << shift, name) for shift, name in
         [(10, "1 KiB"), (13, "8 KiB"), (17, "128 KiB"), (20, "1 MiB"),
          (23, "8 MiB"), (27, "128 MiB"), (30, "1 GiB"), (33, "8 GiB")]]


def _axes(x, y):
    grid = 'stroke="#e2e2e2"'
    out = []
    for seconds, name in TIMES:
        if x.low <= seconds <= x.high:
            at = x.pixel(seconds)
            out += [line(at, TOP, at, BOTTOM, grid),
                    text(at, BOTTOM + 20, name, 'text-anchor="middle"')]
    for count, name in SIZES:
        if y.low <= count <= y.high:
            at = y.pixel(count)
            out += [line(LEFT, at, RIGHT, at, grid),
                    text(LEFT - 8, at + 4, name, 'text-anchor="end"')]
    middle = (TOP + BOTTOM) / 2
    return out + [
        '<rect x="%d" y="%d" width="%d" height="%d" fill="none" '
        'stroke="#444444"/>' % (LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP),
        text((LEFT + RIGHT) / 2, BOTTOM + 48,
             "time since somebody used them last", 'text-anchor="middle"'),
        text(24, middle, "bytes stored of them, all counted",
             'text-anchor="middle" transform="rotate(-90 24 %.1f)"' % middle)]


def _stair(steps, colour, style, x, y):
    """The line and its marks; and a label (x, y, width, text, colour) a
    step."""
    path, labels = [], []
    marks = []
    for step, after in zip(steps, steps[1:] + [None]):
        start = max(LEFT, x.pixel(step.start_s) if step.start_s else LEFT)
        end = x.pixel(after.start_s) if after else RIGHT
        at = y.pixel(step.bytes)
        path += ["%.1f %.1f" % (start, at), "%.1f %.1f" % (end, at)]
        marks.append('<circle cx="%.1f" cy="%.1f" r="4.5" fill="%s"/>' % (
            x.pixel(step.checked_s), at, colour))
        labels.append((start + 6, at - 8, 7.0 * len(step.name), step.name,
                       colour))
    return (['<path d="M%s" fill="none" stroke="%s" stroke-width="3"%s/>' % (
        "L".join(path), colour, style)] + marks, labels)


def _legend(names, colours, styles):
    out = []
    for index, name in enumerate(names):
        at = BOTTOM - 18 - 20 * (len(names) - 1 - index)
        out += [line(LEFT + 16, at - 4, LEFT + 52, at - 4,
                     'stroke="%s" stroke-width="3"%s' % (colours[index],
                                                         styles[index])),
                text(LEFT + 60, at, name)]
    return out


def svg(ladders, title, note):
    """A document. ladders: steps by the ladder's name, by rising time; the
    first is drawn as the one that matters. Steps without bytes are left out.
    """
    ladders = {name: [s for s in steps if s.bytes > 0]
               for name, steps in ladders.items()}
    ladders = {name: steps for name, steps in ladders.items() if steps}
    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" '
           'font-family="Helvetica, Arial, sans-serif" font-size="13" '
           'fill="#222222">' % (WIDTH, HEIGHT),
           '<rect width="100%" height="100%" fill="#ffffff"/>',
           text(LEFT, 36, title, 'font-size="20" font-weight="bold"'),
           text(LEFT, 62, note, 'fill="#666666"')]
    if not ladders:
        return "\n".join(out + [text(LEFT, TOP + 40, "There is nothing to "
                                     "show."), "</svg>\n"])
    every = [step for steps in ladders.values() for step in steps]
    x = LogAxis([s.checked_s for s in every], LEFT, RIGHT)
    y = LogAxis([s.bytes for s in every], BOTTOM, TOP)
    colours = ([ORANGE] + COLOURS * len(ladders))[:len(ladders)]
    styles = ["", ""] + [' stroke-dasharray="9 5"'] * len(ladders)
    out += _axes(x, y)
    labels, stairs = [], []
    for index, steps in enumerate(ladders.values()):
        marks, named = _stair(steps, colours[index], styles[index], x, y)
        stairs.append(marks)
        # What several ladders have at one time is named once.
        labels += [label for label in named
                   if not any(label[:4] == other[:4] for other in labels)]
    for marks in reversed(stairs):
        out += marks
    out += [text(at_x, at_y, name, 'fill="%s" font-weight="bold"' % colour)
            for at_x, at_y, _, name, colour in placed(labels)]
    out += _legend(list(ladders), colours, styles)
    return "\n".join(out + ["</svg>\n"])
