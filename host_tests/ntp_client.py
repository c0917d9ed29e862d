# SPDX-License-Identifier: MIT
"""Plays a device that asks for the time, as told in a JSON file, on either Python.

    {"host": …, "count": how often, "timeout_s": …, "rand": hex or null, "rtc": set it or not}

Answers with one object per question, {"utc"} or {"error", "args"}, and the count of what another
task could do meanwhile.
"""

import asyncio
import json
import sys

from ota.adapters.ntp import now, set_rtc
from ota.errors import OtaError


class Rtc:
    """machine.RTC, stricter: every field is there and in its range, the weekday is right."""

    def datetime(self, fields):
        year, month, day, weekday, hour, minute, second, part = fields
        assert 2000 <= year < 2100 and 1 <= month <= 12 and 1 <= day <= 31 and part == 0
        assert 0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60
        # 1 for Monday; 2000-01-01 was a Saturday.
        days = (year - 2000) * 365 + (year - 1997) // 4 + day
        days += (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)[month - 1]
        days += month > 2 and year % 4 == 0
        assert weekday == (days + 4) % 7 + 1, (fields, days)
        Rtc.fields = fields


class Machine:
    RTC = Rtc


async def ask(job):
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    task = asyncio.create_task(other())
    results = []
    extra = {}
    if job.get("rand"):
        extra["rand"] = lambda count: bytes(
            int(job["rand"][2 * i : 2 * i + 2], 16) for i in range(count)
        )
    for _ in range(job.get("count", 1)):
        try:
            utc = await now(job["host"], job.get("timeout_s", 5), **extra)
            results.append({"utc": utc})
        except OtaError as e:
            args = [a if isinstance(a, (int, str)) else None for a in e.args]
            results.append({"error": type(e).__name__, "args": args})
    task.cancel()
    results.append(turns)
    return results


def main(text):
    job = json.loads(text)
    if job.get("rtc"):
        sys.modules["machine"] = Machine
        try:
            set_rtc(job["rtc"])
            return list(Rtc.fields)
        finally:
            del sys.modules["machine"]
    return asyncio.run(ask(job))


if __name__ == "__main__":
    with open(sys.argv[1]) as f:
        print(json.dumps(main(f.read())))
