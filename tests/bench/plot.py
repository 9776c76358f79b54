"""Plots of the bench as SVG, without a library. They follow the reader's light or dark scheme.

bars(): one horizontal bar a server. lines(): percentiles of latency on a logarithmic axis.
"""
import math
from xml.sax.saxutils import escape

WIDTH = 760
STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: %(ink)s }
  .title { font-size: 15px; font-weight: 600 }
  .soft { fill: %(soft)s; font-size: 12px }
  .grid { stroke: %(grid)s; stroke-width: 1 }
  .c0 { fill: %(c0)s } .c1 { fill: %(c1)s } .c2 { fill: %(c2)s } .c3 { fill: %(c3)s }
  .l { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round }
  .l0 { stroke: %(c0)s } .l1 { stroke: %(c1)s } .l2 { stroke: %(c2)s } .l3 { stroke: %(c3)s }
"""
LIGHT = {"ink": "#1f2328", "soft": "#59636e", "grid": "#d8dee4",
         "c0": "#0969da", "c1": "#6e7781", "c2": "#bf5b04", "c3": "#8250df"}
DARK = {"ink": "#e6edf3", "soft": "#9198a1", "grid": "#30363d",
        "c0": "#4493f8", "c1": "#9198a1", "c2": "#e09b45", "c3": "#b083f0"}


def document(height, label, body, scheme=None):
    """The SVG; `scheme` fixes the colours, for a look at one of them."""
    style = STYLE % (scheme or LIGHT)
    if scheme is None:
        style += "  @media (prefers-color-scheme: dark) {" + STYLE % DARK + "  }\n"
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}" role="img" aria-label="{escape(label)}">\n<style>{style}</style>\n'
            + "\n".join(body) + "\n</svg>\n")


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def bars(title, rows, scheme=None):
    """rows: (name, colour, value, what to write at its end)."""
    left, right, top, step = 190, 170, 48, 34
    most = max(value for _, _, value, _ in rows)
    body = [text(0, 18, title, "title")]
    for i, (name, colour, value, words) in enumerate(rows):
        y = top + i * step
        wide = max(2.0, (WIDTH - left - right) * value / most)
        body += [text(left - 12, y + 16, name, anchor="end"),
                 f'<rect x="{left}" y="{y}" width="{wide:.1f}" height="22" rx="3" class="c{colour}"/>',
                 text(left + wide + 8, y + 16, words, "soft")]
    return document(top + len(rows) * step, title, body, scheme)


def in_words(us):
    return f"{us:g} µs" if us < 1000 else f"{us / 1000:g} ms" if us < 1e6 else f"{us / 1e6:g} s"


def apart(ys, least):
    """The same heights, moved so that none is nearer to the next than `least`."""
    order = sorted(range(len(ys)), key=lambda i: ys[i])
    out = list(ys)
    for before, i in zip(order, order[1:]):
        out[i] = max(out[i], out[before] + least)
    return out


def lines(title, columns, rows, scheme=None):
    """columns: names along the axis; rows: (name, colour, a value in us for each column)."""
    left, right, top, high = 64, 190, 48, 260
    values = [v for _, _, vs in rows for v in vs]
    low, top_power = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    wide = WIDTH - left - right

    def x(i):
        return left + 30 + (wide - 30) * i / max(len(columns) - 1, 1)

    def y(us):
        return top + high * (1 - (math.log10(us) - low) / max(top_power - low, 1))
    body = [text(0, 18, title, "title")]
    for power in range(low, top_power + 1):
        at = y(10 ** power)
        body += [f'<line x1="{left}" x2="{left + wide}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>',
                 text(left - 8, at + 4, in_words(10 ** power), "soft", "end")]
    body += [text(x(i), top + high + 22, name, "soft", "middle") for i, name in enumerate(columns)]
    labels = apart([y(vs[-1]) for _, _, vs in rows], 17)
    for (name, colour, vs), label in zip(rows, labels):
        points = [(x(i), y(v)) for i, v in enumerate(vs)]
        body.append(f'<polyline class="l l{colour}" points="' + " ".join(f"{a:.1f},{b:.1f}" for a, b in points) + '"/>')
        body += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" class="c{colour}"/>' for a, b in points]
        body.append(f'<text x="{points[-1][0] + 12:.0f}" y="{label + 4:.0f}" class="c{colour}">{escape(name)}</text>')
    return document(top + high + 34, title, body, scheme)
