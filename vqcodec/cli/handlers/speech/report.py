"""What `vqcodec evaluate` and `compare` say of speech."""

import json
from pathlib import Path
from typing import Any

from vqcodec.cli import console
from vqcodec.cli.console import progress_bar
from vqcodec.cli.handlers.speech.options import Evaluation
from vqcodec.cli.messages import require
from vqcodec.cli.reports import end, finish, interval, names, print_codes, print_table
from vqcodec.errors import UsageError
from vqcodec.modality import AUDIO

AGAINST = "opus-6k,codec2-2400,codec2-700c"


def evaluate(
    data: list[Path],
    output: Path,
    model: str | None,
    against: str | None,
    own: Evaluation,
    *,
    device: str,
    force: bool,
    as_json: bool,
) -> None:
    """Measure what is asked of a model; arguments are those of the command."""
    if own.voices is not None:
        if own.phones or own.babble or against:
            raise UsageError("--voices goes with --model, --force and --json only")
        evaluate_voices(
            data, output, model, own.voices, device=device, force=force, as_json=as_json
        )
        return
    model = model or AUDIO.weights
    if own.babble is not None:
        if own.phones or against:
            raise UsageError("--babble goes with --model, --force and --json only")
        evaluate_babble(
            data, output, model, own.babble, device=device, force=force, as_json=as_json
        )
    elif own.phones:
        evaluate_phones(data, output, model, device=device, force=force, as_json=as_json)
    else:
        evaluate_codec(data, output, model, against, device=device, force=force, as_json=as_json)


def evaluate_codec(
    data: list[Path],
    output: Path,
    model: str,
    against: str | None,
    *,
    device: str,
    force: bool,
    as_json: bool,
) -> None:
    """Measure a model on recordings, beside other codecs."""
    from vqcodec.evaluate.speech.study import SpeechStudy

    others = names(AGAINST if against is None else against)
    with progress_bar("evaluating", lines=True) as bar:
        study = SpeechStudy(data, output, model=model, against=others, device=device)
        found = study.run(force=force, progress=bar)
    finish(found, output, "recordings", _print_results, as_json=as_json)


def evaluate_phones(
    data: list[Path], output: Path, model: str, *, device: str, force: bool, as_json: bool
) -> None:
    """Measure what codes tell of phones."""
    if len(data) != 1:
        raise UsageError("--phones takes one folder or tar that holds a phones.csv")
    require("matplotlib")
    from vqcodec.evaluate.phones.phonetable import summary
    from vqcodec.evaluate.phones.study import PICTURE, PhoneStudy

    with progress_bar("coding", lines=True) as bar:
        found = PhoneStudy(data[0], output, model=model, device=device).run(
            force=force, progress=bar
        )
    if as_json:
        console.say(json.dumps(found.tree))
    else:
        console.say(f"{summary(found.tree)}\n{output / PICTURE}")
    end(found.left_out, sum(found.tree["recordings"].values()))


def evaluate_voices(
    data: list[Path],
    output: Path,
    model: str | None,
    voices: str,
    *,
    device: str,
    force: bool,
    as_json: bool,
) -> None:
    """Measure conversions to named speakers."""
    targets = list(dict.fromkeys(names(voices)))
    if not targets:
        raise UsageError("--voices takes names that `vqcodec speakers` lists, with commas")
    from vqcodec.evaluate.conversion.study import ConversionStudy
    from vqcodec.voice.named import default_weights

    with progress_bar("converting", lines=True) as bar:
        study = ConversionStudy(
            data, output, model=model or default_weights(), targets=targets, device=device
        )
        found = study.run(force=force, progress=bar)
    finish(found, output, "recordings", _print_voices, as_json=as_json)


def evaluate_babble(
    data: list[Path],
    output: Path,
    model: str,
    number: int,
    *,
    device: str,
    force: bool,
    as_json: bool,
) -> None:
    """Measure how like speech babble is."""
    from vqcodec.evaluate.unconditional.study import UnconditionalStudy

    with progress_bar("drawing", lines=True) as bar:
        study = UnconditionalStudy(data, output, model=model, number=number, device=device)
        found = study.run(force=force, progress=bar)
    finish(found, output, "recordings", _print_babble, as_json=as_json)


def _print_babble(tree: dict[str, Any], metrics: list[Any]) -> None:
    data = tree["evaluation"]["data"]
    console.say(
        f"{tree['name']}, {data['recordings']:,} recordings of {data['seconds']:,.0f} s; means, of "
        "F0 the median, [95 % intervals]; babble has no words, and nobody said it"
    )
    table = [["", *(m.label for m in metrics)]]
    for found in tree["sounds"].values():
        cells = [found["name"]]
        for m in metrics:
            range_ = interval(m, found["intervals"][m.key]) if m.key in found["intervals"] else ""
            value = found[m.key]
            cells.append("none" if value is None else f"{m.format(value)} {range_}".rstrip())
        table.append(cells)
    print_table(table)


def _print_voices(tree: dict[str, Any], metrics: list[Any]) -> None:
    shown = [m for m in metrics if tree["overall"][m.key] is not None]
    console.say(
        f"{tree['name']}, {tree['overall']['pairs']:,} pairs of a recording and a target; means, "
        "of F0 the median, [95 % intervals]"
    )
    lines = {**tree["targets"], "all": tree["overall"], "reconstruction": tree["reconstruction"]}
    table = [["", "pairs", "nearer", *(m.label for m in shown), "own F0"]]
    for name, found in lines.items():
        ends = found.get("intervals", {})
        share, own = found.get("share"), found.get("own-f0")
        cells = [name, f"{found['pairs']:,}", "" if share is None else f"{100 * share:.0f} %"]
        for m in shown:
            value = found.get(m.key)
            range_ = f" {interval(m, ends[m.key])}" if m.key in ends else ""
            cells.append("" if value is None else f"{m.format(value)}{range_}")
        table.append([*cells, "" if own is None else f"{own:.0f} Hz"])
    print_table(table)


def _print_results(tree: dict[str, Any], metrics: list[Any]) -> None:
    more = tree["evaluation"]
    shown = [m for m in metrics if m.key in tree["results"]]
    console.say(
        f"{tree['name']}, {more['data']['recordings']:,} recordings of "
        f"{more['data']['seconds']:,.0f} s; means, [95 % intervals], (vqcodec less the other); "
        "↓: less is better"
    )
    table = [["", "kbit/s", *(f"{m.label}{' ↓' if m.less_is_better else ''}" for m in shown)]]
    codecs = [(tree["name"], tree["results"], None)]
    codecs += [(a["name"], a["results"], a["difference"]) for a in more["anchors"].values()]
    for name, results, difference in codecs:
        cells = [name, f"{results['kbps'][0]:.2f}"]
        for m in shown:
            if m.key not in results:
                cells.append("")
            elif difference is None:
                ends = interval(m, more["intervals"][m.key][0])
                cells.append(f"{m.format(results[m.key][0])} {ends}")
            else:
                gain = difference[m.key][0]
                less = f" ({m.format(gain[0], sign=True)})" if gain else ""
                cells.append(f"{m.format(results[m.key][0])}{less}")
        table.append(cells)
    print_table(table)
    print_codes(more["codes"])


def print_reports(found: dict[str, Any]) -> None:
    """Print how one report of recordings differs from another."""
    from vqcodec.evaluate.table import KBPS
    from vqcodec.metrics.measure import Measure
    from vqcodec.metrics.speech import METRICS

    table = [["", "A", "B", "B less A"]]
    gains: dict[str, Any] = next(iter((found["points"] or {}).values()), {})
    for metric in (Measure(KBPS, "kbit/s", "", 2), *METRICS):
        if not all(metric.key in curve for curve in found["curves"]):
            continue
        a, b = (curve[metric.key][0] for curve in found["curves"])
        if triple := gains.get(metric.key):
            mean, *ends = triple
            gain = f"{metric.format(mean, sign=True)} {interval(metric, ends, sign=True)}"
        else:
            gain = metric.format(b - a, sign=True)
        less = " ↓" if getattr(metric, "less_is_better", False) else ""
        table.append([f"  {metric.label}{less}", metric.format(a), metric.format(b), gain])
    print_table(table)
