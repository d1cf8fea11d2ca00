"""What `vqcodec benchmark` says of speech."""

import json
from typing import Any

from vqcodec.cli import console
from vqcodec.cli.console import progress_bar
from vqcodec.cli.reports import circumstances, heading, plural


def benchmark(model: str, threads: list[int], rounds: int, as_json: bool) -> None:
    """Measure a model beside a plain WaveNet; arguments are those of the command."""
    from vqcodec.benchmark.generation import measure_speech
    from vqcodec.benchmark.machine import default_threads

    found: dict[str, Any] = {"model": model, **circumstances()}
    console.say(heading(found), err=as_json)
    with progress_bar("speech") as bar:
        found["speech"] = measure_speech(model, threads or [default_threads()], rounds, bar)
    console.say("\n".join(map(_table, found["speech"])), err=as_json)
    if as_json:
        console.say(json.dumps(found))


def _table(found: dict[str, Any]) -> str:
    lines = [
        "",
        f"speech, {plural(found['threads'], 'thread')}, median of {found['rounds']}",
        f"  encode         {found['encode']:10.1f} times real time",
        f"  decode, fast   {found['decode']:10.1f} times real time",
    ]
    if (drawn := found["wavenet"]) is None:
        return "\n".join([*lines, "  no WaveNet in these weights"])
    return "\n".join(
        [
            *lines,
            f"  WaveNet        {drawn['real_time']:10.2f} times real time, "
            f"{drawn['samples_per_second']:,} samples/s",
            f"  plain WaveNet  {drawn['naive_real_time']:10.4f} times real time, "
            f"{drawn['naive_samples_per_second']:,.1f} samples/s",
            f"  {'WaveNet / plain WaveNet':36} {drawn['ratio']:8,.0f} times",
        ]
    )
