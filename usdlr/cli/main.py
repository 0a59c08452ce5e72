"""``usdlr``: dispatches to one module per command, imported only when it is asked for.

Exit codes: 0 done; 2 the input or the configuration is wrong (one line, no traceback); 130 interrupted; 1 a defect.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import signal
import sys
from collections.abc import Sequence

import usdlr
from usdlr.core.errors import InputError

COMMANDS = {
    "simulate": "draw a cohort with known truth and render its images",
    "ingest": "read a centre's export into cases.parquet and exclusions.csv",
    "deidentify": "write DICOM files without identities, with a report of what was removed",
    "features": "measure radiomics of every case",
    "pretrain": "learn a start for image branches from ultrasound without labels",
    "segment": "find and outline lesions in cases that have no outline",
    "run": "run an experiment: features, folds, fits, cascade, report, bundle",
    "fit": "fit one stage of one fold, everything overridable",
    "fit_segmenter": "fit networks that outline lesions, and judge them",
    "fit_table": "fit and judge plain learners on a table of ready-made features",
    "runs": "compare runs: what differs in them, and what each came to",
    "report": "write report.html, report.pdf and figures of a finished run again, from its tables",
    "sweep": "run an ablation grid or a search of settings from one file",
    "predict": "apply a bundle to a cohort",
    "explain": "write a page per axilla that says what a bundle's answer is made of",
    "bundle": "look into a bundle, verify it, sign it, or make one file of it",
    "validate": "judge a frozen bundle at a new centre by a plan locked beforehand",
    "review": "serve the review page of a bundle's predictions, and keep its record",
    "embed": "write the networks' embeddings of a cohort as a feature table",
    "evaluate": "judge scores and outcomes of a CSV, whoever made them",
    "samplesize": "how many patients a study needs",
    "benchmark": "measure how fast this machine measures, and how far engines part",
}
DONE, WRONG_INPUT, INTERRUPTED = 0, 2, 130


def main(argv: Sequence[str]) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str
        Words after ``usdlr``.

    Returns
    -------
    int
        Exit code. A defect of usdlr propagates with its traceback.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(_help())
        return DONE
    if argv[0] == "--version":
        print(f"usdlr {usdlr.__version__}")
        return DONE
    command, *rest = argv
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        print(f"error: found the command {command!r}, expected one of {', '.join(COMMANDS)}{hint}", file=sys.stderr)
        return WRONG_INPUT
    try:
        importlib.import_module(f"usdlr.cli.{command}").execute(rest)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_INPUT
    except (NotADirectoryError, FileExistsError, IsADirectoryError, PermissionError) as error:
        print(
            f"error: found {error.filename}, which cannot be used as asked ({error.strerror}); choose another path",
            file=sys.stderr,
        )
        return WRONG_INPUT
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        print(
            f"error: found no room to write ({error.strerror}); free some and give the same command again",
            file=sys.stderr,
        )
        return WRONG_INPUT
    except KeyboardInterrupt:
        print(f"interrupted; the same command continues: usdlr {' '.join(argv)}", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as error:  # --help of a command
        return error.code if isinstance(error.code, int) else DONE
    return DONE


def _help() -> str:
    lines = [f"usdlr {usdlr.__version__}: axillary lymph-node status from breast ultrasound. Research software.", ""]
    lines += ["usage: usdlr COMMAND ...", ""]
    lines += [f"  {name:<13} {text}" for name, text in COMMANDS.items()]
    lines += ["", "usdlr COMMAND --help explains a command."]
    return "\n".join(lines)


def entry_point() -> None:
    """The console script."""
    # A job scheduler stops work with SIGTERM: leave as cleanly as with Ctrl-C, so that the run can continue.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry_point()
