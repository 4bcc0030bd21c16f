"""dnsperf: what it is told, and what it says."""

import re
import subprocess

from servers import Fault, HOST


class Report:
    """The end of one run of dnsperf."""

    def __init__(self, text):
        number = lambda pattern: float(found[1]) if (found := re.search(pattern, text)) else 0.0
        self.sent = int(number(r"Queries sent:\s+(\d+)"))
        self.answered = int(number(r"Queries completed:\s+(\d+)"))
        self.lost = int(number(r"Queries lost:\s+(\d+)"))
        self.rate = number(r"Queries per second:\s+([\d.]+)")
        # Microseconds.
        self.latency = number(r"Average Latency \(s\):\s+([\d.]+)") * 1e6
        self.reconnections = int(number(r"Reconnections:\s+(\d+)"))
        self.rcodes = {code: int(count) for code, count in re.findall(r"\b([A-Z]+[A-Z0-9]*) (\d+) \(\d", text)}
        # Answers that are none.
        self.failed = sum(count for code, count in self.rcodes.items() if code not in ("NOERROR", "NXDOMAIN"))
        # Only with `each`: microseconds of every answer, in rising order.
        self.latencies = sorted(float(took) * 1e6 for took in re.findall(r"^> [A-Z]+ \S+ \S+ ([\d.]+)", text, re.M))
        # And of the good ones alone.
        self.good = sorted(float(took) * 1e6 for took in re.findall(r"^> NOERROR \S+ \S+ ([\d.]+)", text, re.M))

    def percentile(self, percent):
        return self.latencies[(len(self.latencies) - 1) * percent // 100]

    def must_be_good(self):
        """Every answer has to be NOERROR, and most have to be there."""
        others = {code: count for code, count in self.rcodes.items() if code != "NOERROR"}
        if others:
            raise Fault(f"answered {others} where every answer should be NOERROR")
        self.must_answer()

    def must_answer(self):
        """Most questions have to have an answer that is one."""
        if not self.answered or self.lost + self.failed > self.sent // 10:
            raise Fault(f"lost {self.lost} of {self.sent} questions, and {self.failed} failed: {self.rcodes}")


def ask(directory, port, questions, *, seconds=None, times=None, mode="udp", clients=16, rate=None,
        each=False, waiting=200, timeout=5):
    """Asks what is in the file, until one of the two limits."""
    command = ["dnsperf", "-s", HOST, "-p", str(port), "-d", questions, "-m", mode, "-c", str(clients),
               "-q", str(waiting), "-t", str(timeout), "-W"]
    for flag, value in (("-l", seconds), ("-n", times), ("-Q", rate)):
        command += [flag, str(value)] if value else []
    command += ["-v"] if each else []
    # Into a file: nobody else has to run while it asks.
    with open(f"{directory}/dnsperf", "w+", encoding="utf-8") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
        output.seek(0)
        text = output.read()
    if done.returncode:
        raise Fault(f"dnsperf ended with status {done.returncode}: {' / '.join(text.splitlines()[-3:])}")
    return Report(text)
