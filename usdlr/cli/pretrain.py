"""``usdlr pretrain``: a start for image branches, learned from ultrasound without labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from usdlr.cli.parsing import new_parser, parse
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import read_json, write_atomic, write_json, write_text
from usdlr.core.hashing import data_hash, file_hash
from usdlr.core.leak import Rows
from usdlr.core.pool import default_jobs
from usdlr.core.progress import say
from usdlr.core.provenance import Provenance
from usdlr.experiment.config import flat
from usdlr.models.weights import save_backbone
from usdlr.report.figures_pretraining import curve_figure, views_figure
from usdlr.tasks.pretrain.fit import SHOWN, Pretrained, build_method, divide, fit_method, forget_checkpoints
from usdlr.tasks.pretrain.holdout import RULE, Chosen, choose, read_cases, read_fold, read_patients
from usdlr.tasks.pretrain.images import box_maker, read_canvases
from usdlr.tasks.pretrain.settings import PretrainSettings

WEIGHTS, METRICS, CONFIG, ORIGIN = "backbone.safetensors", "metrics.csv", "config.yaml", "provenance.json"
COMMAND = "usdlr pretrain"


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Parameters
    ----------
    settings : PretrainSettings
    cases : list of str
        Tables of cases.
    out : str
        Folder of the result.
    exclude_patients, splits, fold : str or None
        Who is held out.
    jobs : int
        Processes that read images side by side; the result does not depend on it.
    """

    settings: PretrainSettings
    cases: list[str]
    out: str
    exclude_patients: str | None
    splits: str | None
    fold: str | None
    jobs: int


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    request = read_request(argv)
    settings, out = request.settings, Path(request.out)
    box_maker(settings.crop)
    method = build_method(settings)  # whatever cannot work is refused before anything is read
    chosen, inputs = _choose(request)
    origin = Provenance(COMMAND, inputs, settings.identity(), settings.seed).as_dict()
    if _finished(out, origin):
        say(f"found a finished pre-training of these settings and images: {out / WEIGHTS}")
        return
    _say_who(chosen, request)
    canvases, unusable = read_canvases(
        chosen.rows, settings.crop, round(settings.size_px / settings.views.smallest), jobs=request.jobs
    )
    if unusable:
        say(f"{len(unusable)} images cannot be used; the first: {unusable[0].sentence}")
    if not canvases:
        raise DataError(f"found no usable image among {len(chosen.rows)}; the first: {unusable[0].sentence}")
    used = [chosen.rows[place] for place in canvases]
    guard = Rows.of((row["patient_id"] for row in used), (row["split"] for row in used))
    divide(guard, settings)  # refused before anything is written
    write_json(out / ORIGIN, origin)
    write_text(out / CONFIG, yaml.safe_dump(settings.identity(), sort_keys=False, allow_unicode=True))
    found = fit_method(
        method,
        list(canvases.values()),
        [str(row["image_id"]) for row in used],
        guard,
        settings=settings,
        folder=out,
    )
    counts = {**chosen.counts, "images": len(used), "watched_images": found.watched}
    facts = {
        "rule": RULE,
        "counts": counts,
        "unusable": dict(sorted(Counter(str(error.code) for error in unusable).items())),
        "references": dict(found.references),
        "last_epoch": found.history.iloc[-1].to_dict(),
    }
    outputs = _write(out, found, settings)
    write_json(out / ORIGIN, {**origin, **facts, "outputs": {name: file_hash(out / name) for name in outputs}})
    forget_checkpoints(out)
    for line in _summary(found):
        say(line)
    print(f"weights: {out / WEIGHTS}")


def read_request(argv: Sequence[str]) -> Request:
    """What the command line asks for.

    Raises
    ------
    ConfigError
        If a key or value is wrong.
    """
    parser = new_parser(
        "pretrain",
        "Learn a start for image branches from ultrasound without labels: usdlr pretrain configs/pretrain/masked.yaml "
        "--cases A/cases.parquet ... --out DIR; then model.weights_file = DIR/backbone.safetensors. " + RULE,
    )
    parser.add_argument("--config", action="config", help="the settings' file; may stand first without the option")
    parser.add_argument("--cases", type=str, nargs="+", default=None, help="one or more cases.parquet")
    parser.add_argument("--out", type=str, default=None, help="folder; an interrupted pre-training there continues")
    parser.add_argument("--splits", type=str, default=None, help="splits.csv of a run: learn from train patients alone")
    parser.add_argument("--fold", type=str, default=None, help="which fold of the splits")
    parser.add_argument(
        "--exclude-patients", type=str, default=None, help="file of patients to hold out: one id per line, or a table"
    )
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes that read images side by side")
    parser.add_class_arguments(PretrainSettings, None, sub_configs=True)
    words = list(argv)
    if words and not words[0].startswith("-"):
        words.insert(0, "--config")
    options = parse(parser, words)
    for name in ("cases", "out"):
        if not options[name]:
            raise ConfigError(f"found no --{name}, expected one; e.g. --cases A/cases.parquet --out start")
    if (options.splits is None) != (options.fold is None):
        raise ConfigError("found one of --splits and --fold, expected both or neither: splits belong to a fold")
    if options.jobs < 1:
        raise ConfigError(f"found jobs = {options.jobs}, expected at least 1")
    settings = PretrainSettings(**{field.name: options[field.name] for field in fields(PretrainSettings)})
    others = {name: options[name] for name in ("cases", "out", "exclude_patients", "splits", "fold", "jobs")}
    return Request(settings=settings, **others)


def _choose(request: Request) -> tuple[Chosen, dict[str, str]]:
    """The images to learn from, and a hash of everything that decides what is learned."""
    inputs = {}
    excluded, splits = frozenset[str](), None
    if request.exclude_patients is not None:
        excluded = read_patients(Path(request.exclude_patients))
        inputs["excluded_patients"] = data_hash(sorted(excluded))
    if request.splits is not None and request.fold is not None:
        splits = read_fold(Path(request.splits), request.fold)
        inputs |= {"splits": file_hash(Path(request.splits)), "fold": request.fold}
    if request.settings.weights_file is not None:
        inputs["weights"] = file_hash(Path(request.settings.weights_file))
    chosen = choose([read_cases(Path(path)) for path in request.cases], excluded=excluded, splits=splits)
    return chosen, {**inputs, "images": chosen.content}


def _finished(out: Path, origin: Mapping[str, Any]) -> bool:
    """Whether the folder holds the finished result; refuses a folder of anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / ORIGIN).is_file():
        raise ConfigError(
            f"found other files in {out}, expected an empty folder or a pre-training; choose another --out"
        )
    before = read_json(out / ORIGIN)
    if before.get("command") != COMMAND:
        raise ConfigError(f"found the result of {before.get('command')} in {out}; choose another --out")
    then, now = flat(before["config"]), flat(dict(origin["config"]))
    changed = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    if changed:
        key = changed[0]
        raise ConfigError(
            f"found a pre-training with {key} = {then.get(key)!r} in {out}, asked for {now.get(key)!r} "
            f"({len(changed)} keys differ), expected the same settings; choose another --out"
        )
    if before["inputs"] != origin["inputs"]:
        names = sorted(
            name
            for name in before["inputs"].keys() | origin["inputs"].keys()
            if before["inputs"].get(name) != origin["inputs"].get(name)
        )
        raise DataError(
            f"found a pre-training with other {' and '.join(names).replace('_', ' ')} in {out}, expected the same; "
            "choose another --out"
        )
    outputs = before.get("outputs")
    return outputs is not None and all(
        (out / name).is_file() and file_hash(out / name) == digest for name, digest in outputs.items()
    )


def _say_who(chosen: Chosen, request: Request) -> None:
    counts = chosen.counts
    say(
        f"{counts['images']} images of {counts['patients']} patients; held out: {counts['held_out_images']} images of "
        f"{counts['held_out_patients']} patients, and {counts['twins_of_held_out_images']} copies of theirs"
    )
    if request.splits is None and request.exclude_patients is None:
        say(
            "nobody is held out: a network that starts from these weights must not be judged on any of these patients; "
            "use --splits and --fold, or --exclude-patients, where it will be"
        )


def _write(out: Path, found: Pretrained, settings: PretrainSettings) -> list[str]:
    """Write the result; returns the names of its files."""
    save_backbone(out / WEIGHTS, found.backbone, settings.backbone)
    write_atomic(out / METRICS, lambda target: found.history.to_csv(target, index=False))
    names = [CONFIG, WEIGHTS, METRICS]
    for drawing in (curve_figure(found.history, found.references), views_figure(found.pictures, SHOWN)):
        names.append(f"figures/{drawing.name}.svg")
        write_text(out / names[-1], drawing.file_text)
    return names


def _summary(found: Pretrained) -> list[str]:
    last = found.history.iloc[-1]
    part = "watch" if "watch_embedding_spread" in last else "train"
    guesses = "".join(f"; {name} of what is shown: {value:.4f}" for name, value in found.references.items())
    return [
        f"loss on {'watched' if part == 'watch' else 'learned'} images: {last[f'{part}_loss']:.4f}{guesses}",
        f"spread of their embeddings: {last[f'{part}_embedding_spread']:.3f}",
    ]
