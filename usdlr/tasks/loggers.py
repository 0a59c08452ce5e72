"""Loggers that keep hospital machines private: a CSV always, Weights & Biases offline unless told otherwise.

What they hold is numbers, curves and crops of lesions; no patient, file, folder or machine is named. A crop is cut
around a lesion, so that the names which scanners write at the edge of their screens are not in it.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

from usdlr.core.progress import say

PROJECT = "usdlr"
_SERVICE_WAIT_S = 300


@dataclass(frozen=True)
class Media:
    """What a finished run shows, beside its numbers.

    Parameters
    ----------
    drawings : mapping of str to str
        SVG elements by name.
    pictures : mapping of str to sequence of (bytes, str)
        PNG files with their captions, by name.
    tables : mapping of str to DataFrame
        By name; no patient in them.
    """

    drawings: Mapping[str, str]
    pictures: Mapping[str, Sequence[tuple[bytes, str]]]
    tables: Mapping[str, pd.DataFrame]


class ShowEpochs(pl.Callback):
    """One plain line per epoch on standard error: how far the fit is and how it does on tuning axillae."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say it."""
        names = sorted(name for name in trainer.callback_metrics if name.startswith(("train_", "tuning_")))
        words = [f"{name.replace('_', ' ')} {float(trainer.callback_metrics[name]):.3f}" for name in names]
        say(f"epoch {trainer.current_epoch + 1} of at most {trainer.max_epochs}: {', '.join(words)}")


def build_loggers(folder: Path, name: str, wandb_mode: str) -> list[Logger]:
    """Loggers of one fit: a CSV file always, Weights & Biases where it can be started.

    Parameters
    ----------
    folder : Path
        Where both write.
    name : str
        Name of the fit, without patient or machine.
    wandb_mode : str
        ``offline``, ``online`` or ``disabled``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keep_earlier(folder / "csv" / "metrics.csv")
    loggers: list[Logger] = [CSVLogger(folder, name="csv", version="")]
    if wandb_mode == "disabled":
        return loggers
    import wandb

    try:
        loggers.append(WandbLogger(experiment=_private_run(folder, name, wandb_mode)))
    except (wandb.Error, OSError) as error:  # hours of fitting must not hang on a helper that only shows them
        say(f"Weights & Biases does not show this fit ({type(error).__name__}); its course is in the CSV log")
    return loggers


def log_media(folder: Path, name: str, wandb_mode: str, media: Media) -> None:
    """Show a finished run's drawings, pictures and tables in Weights & Biases; nothing where it is disabled.

    Parameters
    ----------
    folder : Path
        Where it writes; what an earlier call wrote offline there is replaced.
    name : str
        Name of the run, without patient or machine.
    wandb_mode : str
        ``offline``, ``online`` or ``disabled``.
    media : Media
        What to show. Drawings stay drawings (HTML), so that they are read at any size.
    """
    if wandb_mode == "disabled":
        return
    import wandb

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        _log(folder, name, wandb_mode, media)
    except (wandb.Error, OSError) as error:  # what is shown elsewhere stands in the run's folder
        say(f"Weights & Biases shows no figures of this run ({error}); they are in its folder")
    finally:
        _tidy(folder)


def _log(folder: Path, name: str, wandb_mode: str, media: Media) -> None:
    import wandb

    run = _private_run(folder, name, wandb_mode)
    shown: dict[str, Any] = {name: wandb.Html(svg) for name, svg in media.drawings.items()}
    shown |= {
        name: [
            wandb.Image(picture, caption=caption, file_type="png")
            for picture, (_, caption) in zip(alike(png for png, _ in pictures), pictures, strict=True)
        ]
        for name, pictures in media.pictures.items()
    }
    shown |= {name: wandb.Table(dataframe=table) for name, table in media.tables.items()}
    run.log(shown)
    run.finish()
    wandb.teardown()  # finish may return before the file is whole; this waits until its writer has ended


def alike(pngs: Iterable[bytes]) -> list[Image.Image]:
    """Pictures of one size, for a viewer that shows a row of them as of one: white is added below and on the right."""
    opened = [Image.open(io.BytesIO(png)).convert("RGB") for png in pngs]
    size = tuple(max((picture.size[axis] for picture in opened), default=1) for axis in (0, 1))
    shown = []
    for picture in opened:
        canvas = Image.new("RGB", (size[0], size[1]), "white")
        canvas.paste(picture, (0, 0))
        shown.append(canvas)
    return shown


def _private_run(folder: Path, name: str, wandb_mode: str) -> Any:
    """A run of Weights & Biases that learns nothing about the machine."""
    os.environ["WANDB_SILENT"] = "true"
    # Its helper process is given 30 s to start by default, which a busy machine may not have.
    os.environ.setdefault("WANDB__SERVICE_WAIT", str(_SERVICE_WAIT_S))
    import wandb

    settings = wandb.Settings(
        mode="offline" if wandb_mode == "offline" else "online",
        host="undisclosed",
        console="off",
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        disable_git=True,
        disable_code=True,
        x_save_requirements=False,
        silent=True,
    )
    return wandb.init(name=name, dir=folder, project=PROJECT, settings=settings)


def keep_earlier(log: Path) -> None:
    """Move the log of an interrupted fit aside: Lightning's CSV logger would delete it."""
    if log.exists():
        number = len(list(log.parent.glob("metrics.part*.csv"))) + 1
        log.rename(log.with_name(f"metrics.part{number}.csv"))


def close_loggers(loggers: list[Logger], folder: Path) -> None:
    """Finish every logger, and remove the debug logs, which hold paths of this machine and nothing else."""
    for logger in loggers:
        logger.finalize("success")
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()
    _tidy(folder)


def _tidy(folder: Path) -> None:
    """Remove links and debug logs, which hold paths of this machine."""
    logged = folder / "wandb"
    for link in (path for path in logged.glob("*") if path.is_symlink()):
        link.unlink()
    for logs in logged.glob("*run-*/logs"):
        shutil.rmtree(logs, ignore_errors=True)
