"""What was measured, as a page of tables."""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

import plots

# The rows of the one plot that shows the most.
OVERVIEW = ("hits", "misses")


def values(samples, key):
    return [sample[key] for sample in samples if key in sample]


class Report:
    def __init__(self, lab, build, how):
        self.lab, self.build, self.how, self.rows, self.missing, self.faults = lab, build, how, [], [], []
        self.began = time.time()

    def add(self, row, results):
        """`results`: of each subject its samples, or in place of them a word on why there are none."""
        self.rows.append((row, [(subject, samples or "not measured") for subject, samples in results]))

    def page(self, directory=None):
        """The whole, and the plots beside it where there is a directory."""
        parts = [self.head(), self.summary()]
        overview = [panel for row, results in self.rows if row.name in OVERVIEW and (panel := bar_panel(row, results))]
        if directory and overview:
            with open(os.path.join(directory, "overview.svg"), "w", encoding="utf-8") as file:
                file.write(plots.bars(*overview))
        for row, results in self.rows:
            parts.append(f"## {row.title}\n\n`--rows {row.name}`: {row.about}\n\n{table(row, results)}\n")
            drawn = self.draw(row, results)
            if directory and drawn:
                with open(os.path.join(directory, f"{row.name}.svg"), "w", encoding="utf-8") as file:
                    file.write(drawn)
                parts.append(f"![{row.title}]({row.name}.svg)\n")
        if self.faults:
            parts.append("## Not as it should be\n\n" + "".join(f"- {fault}\n" for fault in self.faults))
        page = "\n".join(parts)
        if directory:
            with open(os.path.join(directory, "report.md"), "w", encoding="utf-8") as file:
                file.write(page)
            with open(os.path.join(directory, "samples.json"), "w", encoding="utf-8") as file:
                json.dump(self.samples(), file, indent=1)
        return page

    def head(self):
        versions = [(peer.name, peer.version()) for peer in self.lab.servers]
        cores = f"{len(self.lab.cores)} cores, {cpu_model()}"
        said = [("date", time.strftime("%F %H:%M UTC", time.gmtime(self.began))), ("build", self.build),
                ("processor", cores), ("kernel", platform.release()),
                ("rounds", f"{self.lab.rounds} of {self.lab.seconds} s, interleaved"),
                ("took", f"{(time.time() - self.began) / 60:.0f} min"), ("again", f"`{self.how}`")]
        said += [(name, version) for name, version in versions if version]
        text = "# Comparison\n\n| | |\n|---|---|\n" + "".join(f"| {key} | {value} |\n" for key, value in said)
        if self.missing:
            text += f"\nNot there, and left out: {', '.join(self.missing)}.\n"
        return text + ("\nOne thread for each server, pinned to one core; dnsperf and upstream share another. Figures "
                       "are medians of the rounds; × bare is the ratio to the median of bare.c, which gives every "
                       "question the same answer: what the kernel alone costs.\n")

    def summary(self):
        """The medians of what is set against other servers, a line for each."""
        names = [peer.name for peer in self.lab.servers]
        lines = ["| median | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for row, results in self.rows:
            found = {subject.label: samples for subject, samples in results}
            for key, label, digits in row.brief:
                cells = [values(found[name], key) if isinstance(found.get(name), list) else [] for name in names]
                if any(cells):
                    cells = [f"{statistics.median(cell):,.{digits}f}" if cell else "–" for cell in cells]
                    lines.append(f"| {label} | " + " | ".join(cells) + " |")
        return "## In short\n\n" + "\n".join(lines) + "\n" if len(lines) > 2 else ""

    def samples(self):
        return {row.name: {subject.label: samples for subject, samples in results} for row, results in self.rows}

    @staticmethod
    def draw(row, results):
        if row.lines and (found := measured(results)):
            return plots.lines(row.title, *row.lines(found))
        panel = bar_panel(row, results)
        return panel and plots.bars(panel)


def measured(results):
    return [(subject, samples) for subject, samples in results if isinstance(samples, list)]


def bar_panel(row, results):
    """The first column of a row as plots.bars wants it."""
    first = row.columns[0]
    bars = [(subject.label, *spread(samples, first.key)) for subject, samples in measured(results)]
    return (row.title, first.heading, bars, first.digits) if bars else None


def spread(samples, key):
    found = values(samples, key)
    return statistics.median(found), min(found), max(found)


def table(row, results):
    """Sorted as the servers are; a subject without samples says why."""
    base = next((samples for subject, samples in results if subject.label == "bare"), None)
    base = base if isinstance(base, list) else None
    heads = []
    for column in row.columns:
        heads += [column.heading, "min", "max"] if column.kind == "spread" else [column.heading]
        heads += ["× bare"] if base and column.key in row.compared else []
    notes = any(subject.note or isinstance(samples, str) for subject, samples in results)
    lines = ["| | " + " | ".join(heads) + (" | |" if notes else " |"), "|---" * (len(heads) + 1 + notes) + "|"]
    for subject, samples in results:
        if isinstance(samples, str):
            cells, note = ["–"] * len(heads), samples
        else:
            cells, note = [cell for column in row.columns for cell in figures(row, column, samples, base)], subject.note
        lines.append(f"| {subject.label} | " + " | ".join(cells) + (f" | {note} |" if notes else " |"))
    return "\n".join(lines)


def figures(row, column, samples, base):
    """The cells of one column, which may be several."""
    found = values(samples, column.key)
    if not found:
        return ["–"]
    said = {"sum": [sum(found)], "median": [statistics.median(found)],
            "spread": spread(samples, column.key)}[column.kind]
    cells = [f"{value:,.{column.digits}f}" for value in said]
    if base and column.key in row.compared:
        cells.append(f"{statistics.median(found) / statistics.median(values(base, column.key)):.2f}")
    return cells


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^model name\s*:\s*(.*)", file.read(), re.M)
    return found[1] if found else platform.machine()


def commit():
    """The commit, and whether the files are as it has them."""
    said = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=os.path.dirname(os.path.abspath(__file__)),
                          capture_output=True, text=True, check=False)
    return said.stdout.strip() or "unknown"


def progress(text):
    print(text, file=sys.stderr, flush=True)
