"""The same fit on several processes or machines, through Ray Train.

Each worker holds the whole model and takes its share of every batch's chunks; the summed gradient moves all of them
alike (`peers`), so after every step all have the same weights. Arrays travel once: those mapped from files are mapped
again by each worker, others go through Ray's object store, which the workers of a machine share. The state is kept in
the checkpoint's file, by the first worker; a worker that dies takes the group with it, and Ray Train starts the group
again from that file. All machines must see the folders of the mapped files and of the checkpoint.
"""

from __future__ import annotations

import mmap
import shutil
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.queue import Queue

from data_pipeline.errors import InputError
from supervised.chunk_set import ChunkSet, LabelledRows
from supervised.config import TrainConfig
from supervised.devices import RESOURCES, resolve_device
from supervised.fit_state import Epoch, FileCheckpoint
from supervised.training import Trained, Watch, descend, fit


@dataclass(frozen=True)
class Cluster:
    """Where to train: on the Ray cluster that this process is connected to."""

    workers: int = 2
    """Processes; each takes its share of a batch."""
    restarts: int = 3
    """How often the group is started again after a worker died."""
    device: str = "cpu"
    """Of each worker, one of its own if it is an accelerator."""


class RayPeers:
    """The workers of a Ray Train group."""

    def __init__(self) -> None:
        self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Summed by gloo on the host, from whatever device."""
        summed = values.detach().cpu().clone()
        torch.distributed.all_reduce(summed)
        return summed.to(values.device)


def distributed_fit(
    model: Trained,
    training: ChunkSet,
    validation: ChunkSet,
    config: TrainConfig,
    *,
    seed: int,
    checkpoint: FileCheckpoint,
    cluster: Cluster,
    progress: Callable[[Epoch], None] | None = None,
    watch: Watch | None = None,
) -> list[Epoch]:
    """As `training.fit`, on the workers of a Ray cluster; `model` ends with the weights, where it is.

    Every batch holds the chunks that it would hold without workers, so that only dropout and the rounding of sums tell
    the two apart; a fit begun with workers may be finished without, and the other way round. `watch` looks on in the
    first worker, to which it is sent. Raises InputError when the group failed more often than it may.
    """
    heard = Queue(actor_options={"num_cpus": 0})
    settings = {
        "model": ray.put(model),
        "sets": (_shipped(training), _shipped(validation)),
        "device": cluster.device,
        "progress": heard,
        "rest": {"config": config, "seed": seed, "checkpoint": checkpoint, "watch": watch},
    }
    resource = RESOURCES.get(cluster.device.partition(":")[0])
    storage = checkpoint.path.parent.resolve() / f".ray-{uuid.uuid4().hex[:8]}"
    trainer = TorchTrainer(
        _work,
        train_loop_config=settings,
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ScalingConfig(
            num_workers=cluster.workers,
            use_gpu=resource == "GPU",
            resources_per_worker={"CPU": 1, **({resource: 1} if resource else {})},
        ),
        run_config=RunConfig(storage_path=str(storage), failure_config=FailureConfig(max_failures=cluster.restarts)),
    )
    listener = threading.Thread(target=_listen, args=(heard, progress), daemon=True)
    listener.start()
    try:
        trainer.fit()
    except ray.train.v2.api.exceptions.WorkerGroupError as error:
        reason = next(iter(error.worker_failures.values()))
        raise InputError(
            f"the workers failed {cluster.restarts + 1} times, at last with {str(reason).splitlines()[-1]}",
            where="distributed_fit",
            remedy="mend the cause; the same call goes on from the last state kept",
        ) from error
    finally:
        heard.put(None)
        listener.join()
        heard.shutdown()
        shutil.rmtree(storage, ignore_errors=True)
    return fit(model, training, validation, config, seed=seed, checkpoint=checkpoint)  # what is left of it: to finish


def _work(settings: dict[str, Any]) -> None:
    """One worker's part."""
    peers = RayPeers()
    first = peers.rank == 0
    model = ray.get(settings["model"]).to(resolve_device(settings["device"]))
    training, validation = map(_unpacked, settings["sets"])
    rest = dict(settings["rest"])
    if not first:
        rest |= {"watch": None, "checkpoint": replace(rest["checkpoint"], read_only=True)}
    progress = settings["progress"].put if first else None
    descend(model, training, validation, peers=peers, progress=progress, **rest)


def _listen(heard: Queue, progress: Callable[[Epoch], None] | None) -> None:
    while (epoch := heard.get()) is not None:
        if progress is not None:
            progress(epoch)


@dataclass(frozen=True)
class _Mapped:
    """An array that is mapped from a file: what it takes to map it again."""

    path: Path
    dtype: np.dtype
    offset: int
    shape: tuple[int, ...]


def _ship(array: np.ndarray) -> _Mapped | ray.ObjectRef:
    if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):  # the whole file, and no view of a part
        return _Mapped(Path(array.filename).resolve(), array.dtype, array.offset, array.shape)
    return ray.put(np.asarray(array))


def _unpack(shipped: _Mapped | ray.ObjectRef) -> np.ndarray:
    if isinstance(shipped, _Mapped):
        return np.memmap(shipped.path, shipped.dtype, "r", shipped.offset, shipped.shape)
    array: np.ndarray = ray.get(shipped)
    return array


ARRAYS = ("X", "y", "t1", "runs")


def _shipped(chunks: ChunkSet) -> ChunkSet:
    """The set with what its arrays travel as in their places."""
    return _with_arrays(chunks, _ship)


def _unpacked(chunks: ChunkSet) -> ChunkSet:
    """The set with its arrays back."""
    return _with_arrays(chunks, _unpack)


def _with_arrays(chunks: ChunkSet, change: Callable[[Any], Any]) -> ChunkSet:
    def changed(part: LabelledRows) -> LabelledRows:
        return replace(part, **{name: change(getattr(part, name)) for name in ARRAYS})

    return replace(chunks, parts=tuple(map(changed, chunks.parts)))
