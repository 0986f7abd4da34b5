"""`SummaryWriter`: what a training run tells TensorBoard."""

from __future__ import annotations

import itertools
import json
import os
import socket
import time
import warnings
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ...core.tensor import Tensor
from ...errors import ShapeError
from . import events

_numbers = itertools.count()


def _bucket_limits() -> list[float]:
    """TensorBoard's own: from 1e-12 in steps of a tenth, both signs, around 0."""
    positive = []
    value = 1e-12
    while value < 1e20:
        positive.append(value)
        value *= 1.1
    return [-v for v in reversed(positive)] + [0.0, *positive]


class SummaryWriter:
    """Writes numbers, texts, images and histograms as event files into `log_dir`, by default
    runs/DATE_HOST`comment`. As a `with` block it is closed at the end.

    Files are written at once; `max_queue` and `flush_secs` change nothing.

    Example:
        >>> with SummaryWriter("runs/first") as writer:
        ...     writer.add_scalar("loss", 0.5, global_step=1)
    """

    def __init__(
        self,
        log_dir: Any = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        if log_dir is None:
            started = datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = Path("runs") / f"{started}_{socket.gethostname()}{comment}"
        self.log_dir = os.fspath(log_dir)
        self._suffix = filename_suffix
        self._parts: dict[str, SummaryWriter] = {}
        Path(self.log_dir).mkdir(parents=True, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{int(now)}.{socket.gethostname()}.{os.getpid()}"
        path = Path(self.log_dir) / f"{name}.{next(_numbers)}{filename_suffix}"
        self._file = open(path, "ab")  # noqa: SIM115 - until close()
        self._file.write(events.record(events.version(now)))
        self._file.flush()

    def get_logdir(self) -> str:
        """The folder."""
        return self.log_dir

    def _add(self, value: bytes, step: Any, walltime: float | None) -> None:
        when = time.time() if walltime is None else walltime
        number = 0 if step is None else int(step)
        self._file.write(events.record(events.event(when, number, value)))
        self._file.flush()

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: Any = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """A number: a Python number, or a tensor or array of one element."""
        values = _array(scalar_value)
        if values.size != 1:
            raise ShapeError(f"add_scalar: expected one number. Got shape {values.shape}.")
        self._add(events.scalar(tag, float(values.reshape(()))), global_step, walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Numbers for one chart, each in a run of its own below this one's folder."""
        for tag, value in tag_scalar_dict.items():
            run = f"{main_tag.replace('/', '_')}_{tag}"
            if run not in self._parts:
                folder = Path(self.log_dir) / run
                self._parts[run] = SummaryWriter(folder, filename_suffix=self._suffix)
            self._parts[run].add_scalar(main_tag, value, global_step, walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: Any = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """How often values occur. `bins` is "tensorflow" for TensorBoard's own limits, or what
        `numpy.histogram` takes."""
        flat = _array(values).astype(np.float64).reshape(-1)
        if not flat.size:
            raise ShapeError("add_histogram: expected at least one value. Got none.")
        if not np.isfinite(flat).all():
            raise ValueError("add_histogram: expected finite values. Got infinities or NaN.")
        own = isinstance(bins, str) and bins == "tensorflow"
        limits = _bucket_limits() if own else np.histogram_bin_edges(flat, bins)
        self._add(events.histogram(tag, flat, list(limits)), global_step, walltime)

    def add_text(
        self, tag: str, text_string: str, global_step: Any = None, walltime: float | None = None
    ) -> None:
        """Text in Markdown."""
        self._add(events.text(tag, text_string), global_step, walltime)

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """A picture, its dimensions in the order of `dataformats`: uint8, or numbers from 0 to 1.

        Raises: RuntimeError for another number of dimensions or of channels than 1, 3 or 4.
        """
        self._add(events.image(tag, _pixels(img_tensor, dataformats)), global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: Any = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Pictures, side by side."""
        array = _array(img_tensor)
        if array.ndim != 4 or dataformats[0] != "N":
            raise ShapeError(f"add_images: expected {dataformats}. Got shape {array.shape}.")
        row = np.concatenate([_pixels(a, dataformats[1:]) for a in array], 1)
        self._add(events.image(tag, row), global_step, walltime)

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: Any = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """A figure of matplotlib's; `close` closes it."""
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())
        self.add_image(tag, pixels, global_step, walltime, "HWC")
        if close:
            import matplotlib.pyplot

            matplotlib.pyplot.close(figure)

    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        hparam_domain_discrete: Any = None,
        run_name: str | None = None,
        global_step: Any = None,
    ) -> None:
        """The settings of a run as text, and what came of them as numbers, in a run of their
        own."""
        run = str(time.time()) if run_name is None else run_name
        with SummaryWriter(Path(self.log_dir) / run) as writer:
            words = json.dumps(dict(hparam_dict), indent=1, default=str)
            writer.add_text("hparams", f"```\n{words}\n```", global_step)
            for tag, value in metric_dict.items():
                writer.add_scalar(tag, value, global_step)

    def add_graph(
        self, model: Any, input_to_model: Any = None, verbose: bool = False, **options: Any
    ) -> None:
        """Nothing but a warning: graphs are shown by the session's `%graph`."""
        warnings.warn(
            "SummaryWriter.add_graph writes nothing: `%graph` shows the graph of a result.",
            stacklevel=2,
        )

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            "SummaryWriter: expected numbers, texts, images, figures or histograms. Other kinds "
            "cannot be written yet."
        )

    add_audio = add_video = add_embedding = add_mesh = add_pr_curve = add_onnx_graph = _refuse

    def flush(self) -> None:
        """Nothing: all is written at once."""

    def close(self) -> None:
        """End the file; a second time does nothing."""
        for part in self._parts.values():
            part.close()
        self._file.close()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _array(values: Any) -> Any:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _pixels(picture: Any, dataformats: str) -> Any:
    """(H, W, C) of uint8."""
    array, order = _array(picture), dataformats.upper()
    if array.ndim != len(order) or sorted(order.replace("C", "")) != ["H", "W"]:
        raise ShapeError(f"add_image: expected {dataformats}. Got shape {array.shape}.")
    if "C" not in order:
        array, order = array[..., None], order + "C"
    array = array.transpose([order.index(d) for d in "HWC"])
    if array.shape[2] not in (1, 3, 4):
        raise ShapeError(f"add_image: expected 1, 3 or 4 channels. Got {array.shape[2]}.")
    if array.dtype == np.uint8:
        return array
    return (array.astype(np.float32) * 255).clip(0, 255).astype(np.uint8)
