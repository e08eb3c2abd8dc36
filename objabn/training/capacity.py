"""How many clips fit into the memory of a GPU, found by trial once it has run out."""

import gc
import traceback
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from objabn.training.failures import out_of_memory, smaller_batches
from objabn.training.guard import Statistics
from objabn.training.judged import JudgedNetwork
from objabn.training.parts import set_training_mode
from objabn.training.session import Session, entrance
from objabn.types import Batch

ON_GPU = ("CUDA error: out of memory", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
"""What libraries say that do not ask torch for memory."""
ON_CPU = ("DefaultCPUAllocator: can't allocate", "DefaultCPUAllocator: not enough memory")


@contextmanager
def memory_explained(session: Session) -> Iterator[None]:
    """Have an error for want of memory within the context say what fits and what helps; the session is not to be used after it."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        is_half_precision = session.precision.dtype is not None
        if isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in ON_GPU):
            release(error)
            raise out_of_memory(session.config, fitting=find_capacity(session), is_half_precision=is_half_precision) from error
        if isinstance(error, MemoryError) or any(words in str(error) for words in ON_CPU):
            # Without a trial: what asks for too much here may be killed by the system.
            raise out_of_memory(session.config, place="this machine", is_half_precision=is_half_precision) from error
        raise


def release(error: BaseException) -> None:
    """Free what the functions that the error has ended hold, the outputs of every layer among it."""
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__


def find_capacity(session: Session) -> int | None:
    """Return the largest batch below that of the settings whose training step fits, 0 where none does; None where it cannot be tried."""
    state, config = session.state, session.config
    if config.run.cache_features != "off":
        return None
    if session.precision.device.type == "cuda":
        torch.compiler.reset()  # recorded graphs keep their memory
    # Neither compiled, which would take minutes for each size, nor over ranks, of which the others are not here.
    network = JudgedNetwork(entrance(state.net, config), state.objective)
    set_training_mode(state.net, session.still)
    statistics = Statistics([network])
    statistics.remember()
    try:
        return largest_fitting(smaller_batches(config), lambda clips: does_step_fit(session, network, clips))
    except Exception:
        return None  # the run has ended for another reason, which is what is told
    finally:
        statistics.restore(torch.ones((), dtype=torch.bool, device=session.precision.device))


def largest_fitting(sizes: Sequence[int], does_fit: Callable[[int], bool]) -> int:
    """Return the largest of some sizes, given from the largest down, that fits, or 0, by bisection: where one fits, so do all below."""
    return next(iter(sizes[bisect_left(sizes, True, key=does_fit) :]), 0)


def does_step_fit(session: Session, network: JudgedNetwork, clips: int) -> bool:
    """Try a step on so many blank clips, which changes no weight."""
    state, device = session.state, session.precision.device
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
    try:
        with session.precision.autocast():
            total = network(blank_batch(session, clips)).losses.total
        state.scaler.scale(total).backward()
        # The moments are made where the first step has not been taken yet.
        state.optimizer.found_inf = torch.ones((), device=device)  # type: ignore[attr-defined]
        state.optimizer.step()
    except torch.OutOfMemoryError as error:
        release(error)
        return False
    finally:
        state.optimizer.zero_grad(set_to_none=True)
    return True


def blank_batch(session: Session, clips: int) -> Batch:
    """Return so many black clips, on the device."""
    data, grid, device = session.config.data, session.state.net.grid_size, session.precision.device
    frames, size = data.clip_frames, data.crop_size
    numbers = torch.zeros(clips, dtype=torch.int64, device=device)
    return Batch(
        clip=torch.zeros(clips, 3, frames, size, size, dtype=torch.uint8, device=device),
        mask=torch.zeros(clips, frames, grid, grid, device=device),
        mask_valid=torch.ones(clips, frames, dtype=torch.bool, device=device),
        label=numbers,
        video=numbers,
        frames=numbers[:, None].expand(-1, frames),
        view=numbers,
        present=numbers == 0,
    )
