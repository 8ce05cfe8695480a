#!/usr/bin/python3
"""Draws the figures of compare.py as one SVG of plain bars.

    tests/bench/chart.py RUN.json OUT.svg

Every bar is a median of that run and has its number beside it; shorter is better in all of them.
What a run did not measure is left out.
"""
import json
import pathlib
import sys
import xml.sax.saxutils

TOOLS = {"": "Stillpoint", "_lz4": "Stillpoint, lz4", "_none": "Stillpoint, uncompressed",
         "virtnbdbackup": "virtnbdbackup", "restic": "restic", "borg": "borg",
         "borg_4M": "borg, 4 MiB blocks", "nbdcopy": "nbdcopy (copies only)"}

# Title, unit, and the figure of each tool.
PANELS = [
    ("First backup of {data_MiB:,} MiB", "s",
     {"": "full_s", "_lz4": "full_lz4_s", "_none": "full_none_s",
      "virtnbdbackup": "virtnbdbackup_full_s", "restic": "restic_full_s", "borg": "borg_full_s",
      "borg_4M": "borg_4M_full_s"}),
    ("Processor time of it, server included", "s/GiB",
     {"": "full_cpu_s_per_GiB", "_lz4": "full_lz4_cpu_s_per_GiB",
      "_none": "full_none_cpu_s_per_GiB", "virtnbdbackup": "virtnbdbackup_full_cpu_s_per_GiB",
      "restic": "restic_full_cpu_s_per_GiB", "borg": "borg_full_cpu_s_per_GiB",
      "borg_4M": "borg_4M_full_cpu_s_per_GiB"}),
    ("What it takes in the store", "MiB",
     {"": "full_stored_MiB", "_lz4": "full_lz4_stored_MiB", "_none": "full_none_stored_MiB",
      "virtnbdbackup": "virtnbdbackup_full_stored_MiB", "restic": "restic_full_stored_MiB",
      "borg": "borg_full_stored_MiB", "borg_4M": "borg_4M_full_stored_MiB"}),
    ("Second backup, 32 MiB written in 512 places", "s",
     {"": "increment_s", "restic": "restic_second_s", "borg": "borg_second_s",
      "borg_4M": "borg_4M_second_s"}),
    ("What that one adds", "MiB",
     {"": "increment_stored_MiB", "restic": "restic_second_stored_MiB",
      "borg": "borg_second_stored_MiB", "borg_4M": "borg_4M_second_stored_MiB"}),
    ("Restore to a raw file", "s",
     {"": "restore_s", "restic": "restic_restore_s", "borg": "borg_restore_s",
      "borg_4M": "borg_4M_restore_s", "nbdcopy": "nbdcopy_file_s"}),
    ("Free the space of three of six points", "s",
     {"": "collect_s", "restic": "restic_collect_s", "borg": "borg_collect_s",
      "borg_4M": "borg_4M_collect_s"}),
]
WIDTH, LABEL, BAR, ROW, TITLE, GAP = 760, 190, 460, 20, 26, 18


class Drawing:
    def __init__(self):
        self.parts, self.y = [], 16

    def text(self, x, words, *, kind="", anchor="start"):
        self.parts.append(f'<text x="{x:.0f}" y="{self.y}" class="{kind}" text-anchor="{anchor}">'
                          f'{xml.sax.saxutils.escape(words)}</text>')

    def bar(self, length, kind):
        self.parts.append(f'<rect x="{LABEL}" y="{self.y - 11}" width="{length:.1f}" height="13" '
                          f'class="{kind}"/>')

    def panel(self, title, unit, rows):
        self.y += TITLE
        self.text(0, f"{title} ({unit})", kind="title")
        longest = max(value for _, value in rows)
        for tool, value in rows:
            self.y += ROW
            ours = tool in ("", "_lz4", "_none")
            self.text(LABEL - 8, TOOLS[tool], anchor="end")
            length = BAR * value / longest if longest else 0
            self.bar(max(length, 1), "ours" if ours else "other")
            self.text(LABEL + length + 6, number(value))
        self.y += GAP

    def svg(self):
        height = self.y + 10
        style = ("text{font:13px sans-serif;fill:#222}.title{font-weight:bold}"
                 ".note{fill:#666;font-size:12px}.ours{fill:#1f6f8b}.other{fill:#b8c0c4}")
        body = "\n".join(self.parts)
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 0 {WIDTH} {height}" '
                f'width="{WIDTH}" height="{height}">\n<style>{style}</style>\n'
                f'<rect x="-12" width="{WIDTH}" height="{height}" fill="#fff"/>\n{body}\n</svg>\n')


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def draw(report):
    """@param report compare.py's. @return the SVG's text"""
    drawing = Drawing()
    medians = report["medians"]
    drawing.text(0, f"tests/bench/compare.py on {report['cores']} cores, medians of "
                 f"{report['rounds']} rounds; shorter is better", kind="note")
    for title, unit, figures in PANELS:
        rows = [(tool, medians[name]) for tool, name in figures.items() if name in medians]
        if rows:
            drawing.panel(title.format(**report), unit, rows)
    return drawing.svg()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    pathlib.Path(sys.argv[2]).write_text(draw(json.loads(pathlib.Path(sys.argv[1]).read_text())))
