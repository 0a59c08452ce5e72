"""``usdlr segment``: outlines by software for cases that have none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from usdlr.cli.parsing import new_parser, parse
from usdlr.core import tables
from usdlr.core.errors import ConfigError
from usdlr.core.files import write_json
from usdlr.core.hashing import file_hash
from usdlr.core.pool import default_jobs, one_thread
from usdlr.core.provenance import Provenance, package_versions
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.inference.segmentation import load_segmenter
from usdlr.inference.segmentation.cases import OutlinedCases, outline_cases, write_outlined
from usdlr.validation.contours import compare_contours


def execute(argv: Sequence[str]) -> None:
    """Run the command."""
    parser = new_parser(
        "segment",
        "Find and outline the lesion in cases without a reader's outline: writes cases.parquet, exclusions.csv, "
        "notes.csv and images. Every such outline is marked as automatic and has to be confirmed by a reader.",
    )
    parser.add_argument("--bundle", type=str, required=True, help="bundle that `usdlr fit_segmenter` wrote")
    parser.add_argument("--cases", type=str, required=True, help="cases.parquet of `usdlr ingest`")
    parser.add_argument("--out", type=str, required=True, help="target folder; what was outlined there is reused")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="outline also what a reader has outlined, to see what difference it makes",
    )
    parser.add_argument("--member", type=str, default=None, help="one network of the bundle alone")
    parser.add_argument("--most", type=int, default=None, help="at most so many lesions of an image")
    parser.add_argument("--public-key", type=str, default=None, help="PEM file of the key that must have signed it")
    parser.add_argument(
        "--relative-diameter",
        type=float,
        default=None,
        help="lengths relative to the lesion: its equivalent diameter in units, as data.ingest.relative_diameter",
    )
    parser.add_argument(
        "--model", type=str, default=None, help="bundle that predicts: what --replace changes in its answers, as a page"
    )
    parser.add_argument("--jobs", type=int, default=default_jobs(), help="processes side by side, for --model")
    parser.add_argument("--preview", type=int, default=0, help="draw contact sheets of that many cases")
    options = parse(parser, argv)
    if options.preview < 0 or (options.most is not None and options.most < 1):
        raise ConfigError("found --preview below 0 or --most below 1, expected whole numbers from there upward")
    if options.relative_diameter is not None and not options.relative_diameter > 0:
        raise ConfigError(f"found --relative-diameter {options.relative_diameter:g}, expected units above 0")
    if options.model is not None and not options.replace:
        raise ConfigError(
            "found --model without --replace, expected both: readers' contours are what it is compared with"
        )
    model = None if options.model is None else load_bundle(Path(options.model))
    key = None if options.public_key is None else Path(options.public_key)
    segmenter = load_segmenter(Path(options.bundle), member=options.member, public_key=key)
    path, out = Path(options.cases), Path(options.out)
    cases = tables.CASES.read(path)
    with one_thread():
        found = outline_cases(
            segmenter,
            cases,
            path.parent,
            out,
            instead=options.replace,
            most=options.most,
            relative_diameter=options.relative_diameter,
        )
    stated = {"replace": options.replace, "most": options.most, "relative_diameter": options.relative_diameter}
    inputs = {"cases": file_hash(path), "segmenter": segmenter.segmenter_id}
    write_outlined(found, path.parent, out, Provenance("usdlr segment", inputs, {**stated, "member": options.member}))
    _say(found, out)
    if model is not None:
        _judge(model, (cases, path.parent), found, out, jobs=options.jobs, by=segmenter.segmenter_id)
    if options.preview:
        # matplotlib is an extra and slow to import: only who asks for pictures needs it.
        from usdlr.report.contact_sheet import write_contact_sheets

        for sheet in write_contact_sheets(found.cases, out, out / "preview", count=options.preview):
            print(f"contact sheet: {sheet}")


def _say(found: OutlinedCases, out: Path) -> None:
    print(f"{len(found.cases)} cases, {found.automatic} outlined by software: {out / 'cases.parquet'}")
    if found.reused:
        print(f"  {found.reused} images were outlined before")
    print(f"{len(found.exclusions)} not outlined: {out / 'exclusions.csv'}")
    for code, count in found.exclusions["code"].value_counts().sort_index().items():
        print(f"  {code}: {count}")
    if found.learned:
        print(
            f"{found.learned} cases are among those that the networks learned from: such outlines are better than "
            "others would be, and prove nothing"
        )
    if found.automatic:
        print("Outlines by software have to be confirmed by a reader before anything rests on them.")


def _judge(
    model: Bundle,
    reader: tuple[pd.DataFrame, Path],
    software: OutlinedCases,
    out: Path,
    *,
    jobs: int,
    by: str,
) -> None:
    # matplotlib is an extra and slow to import: only who asks for a page needs it.
    from usdlr.report.contour_page import write_contour_page

    compared = compare_contours(
        model, reader, (software.cases, out), out / ".effect", jobs=jobs, learned=software.learned
    )
    write_json(out / "effect.json", compared.effect)
    origin = {"model": model.bundle_id, "outlines by": by, "usdlr": str(package_versions()["usdlr"])}
    page = write_contour_page(
        compared.effect, compared.decisions, compared.labels, origin, out, notices=compared.notices
    )
    print(f"effect: {page}")
