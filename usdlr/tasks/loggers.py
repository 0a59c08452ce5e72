"""Loggers that keep hospital machines private: a CSV always, Weights & Biases offline unless told otherwise."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, Logger, WandbLogger

PROJECT = "usdlr"


def build_loggers(folder: Path, name: str, wandb_mode: str) -> list[Logger]:
    """Loggers of one fit.

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
    if wandb_mode != "disabled":
        os.environ["WANDB_SILENT"] = "true"
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
        run = wandb.init(name=name, dir=folder, project=PROJECT, settings=settings)
        loggers.append(WandbLogger(experiment=run))
    return loggers


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
    logged = folder / "wandb"
    for link in (path for path in logged.glob("*") if path.is_symlink()):
        link.unlink()
    for logs in logged.glob("*run-*/logs"):
        shutil.rmtree(logs, ignore_errors=True)
