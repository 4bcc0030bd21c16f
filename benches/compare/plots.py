"""Plots, written as plain SVG."""

import html
import math

WIDTH, LABEL, BAR, PAD = 720, 170, 22, 10
HEIGHT, LEFT, BOTTOM, RIGHT, TOP = 360, 70, 50, 170, 40
COLOURS = ["#1b6ca8", "#c8553d", "#588b3f", "#8a5a9e", "#b8860b", "#3a8f8f", "#6b6b6b", "#c2578e", "#2f3e9e"]


def bars(*panels):
    """One below the other. A panel is a title, a unit, `rows` (label, median, least, most), each a bar with
    a line from least to most, and the digits of their figures."""
    shapes, top = [], 0
    for title, unit, rows, digits in panels:
        scale = (WIDTH - LABEL - 100) / (max(most for _, _, _, most in rows) or 1)
        shapes.append(heading(f"{title}: {unit}", top))
        for number, (label, value, least, most) in enumerate(rows):
            y = top + TOP + number * (BAR + PAD)
            colour = COLOURS[0] if label.startswith("zerohop") else "#9aa5b1"
            shapes += [text(LABEL - 8, y + BAR * 0.7, label, "end"), rectangle(LABEL, y, value * scale, BAR, colour),
                       line(LABEL + least * scale, y + BAR / 2, LABEL + most * scale, y + BAR / 2, "#222"),
                       text(LABEL + most * scale + 8, y + BAR * 0.7, f"{value:,.{digits}f}")]
        top += TOP + len(rows) * (BAR + PAD) + PAD
    return picture(shapes, top)


def lines(title, across, up, series, logarithmic):
    """A line for each of `series`: points (x, y), with y from 0 and x from 0, or from 1 where it is on a
    logarithmic scale."""
    points = [point for found in series.values() for point in found]
    right = max(max(x for x, _ in points), 10)
    top = max(y for _, y in points) * 1.1 or 1
    share = (lambda x: math.log10(max(x, 1)) / math.log10(right)) if logarithmic else (lambda x: x / right)
    place = lambda x, y: (LEFT + share(x) * (WIDTH - LEFT - RIGHT),
                          HEIGHT - BOTTOM - y / top * (HEIGHT - BOTTOM - TOP))
    shapes = [heading(f"{title}: {up}"), text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across, "middle")]
    for step in range(5):
        y = place(1, top * step / 4)[1]
        shapes += [line(LEFT, y, WIDTH - RIGHT, y, "#ddd"), text(LEFT - 8, y + 4, f"{top * step / 4:,.3g}", "end")]
    powers = [10**power for power in range(int(math.log10(right)) + 1)]
    for x in powers if logarithmic else [right * step / 4 for step in range(5)]:
        shapes.append(text(place(x, 0)[0], HEIGHT - BOTTOM + 18, f"{x:,.0f}", "middle"))
    for number, (label, found) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in found))
        shapes.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        shapes += [rectangle(WIDTH - RIGHT + 15, TOP + number * 20, 12, 12, colour),
                   text(WIDTH - RIGHT + 33, TOP + number * 20 + 11, label)]
    return picture(shapes, HEIGHT)


def heading(words, top=0):
    return f'<text x="{PAD}" y="{top + 22}" font-weight="bold">{html.escape(words)}</text>'


def text(x, y, words, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'


def rectangle(x, y, width, height, colour):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def line(x1, y1, x2, y2, colour):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def picture(shapes, height):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
            f'font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(shapes) + "\n</svg>\n")
