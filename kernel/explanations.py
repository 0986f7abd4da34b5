"""Errors that explain: operands by the user's names, where each was made, what clashes, what would
work. The text goes below the error inside its traceback."""

from __future__ import annotations

from collections.abc import Callable

from flambeau.errors import CheckpointError, DivisionError, GradientError, LinAlgError
from flambeau.magics.base import table

from .failures import FailedCall, failed_call
from .naming import Earlier, Operand
from .remedies import Trial, clash, remedies

EXPLAINED = (RuntimeError, ValueError, TypeError, IndexError)
"""What the runtime raises about shapes, dtypes and devices, or a subclass of it."""

OTHER_CAUSES = (GradientError, LinAlgError, CheckpointError, DivisionError)
"""Errors that no other shape, dtype or device would mend."""

MOST_OPERANDS = 6  # rows; a list may have hundreds


def explanation(error: BaseException, place: Callable[[str], str], earlier: Earlier) -> list[str]:
    """Lines below the message of an error that a call of the runtime raised; none where there is
    nothing to say, and whatever goes wrong here."""
    if not isinstance(error, EXPLAINED) or isinstance(error, OTHER_CAUSES):
        return []
    try:
        call = failed_call(error.__traceback__, place, earlier)
        if call is None or not call.operands:
            return []
        trial = Trial(call)
        fits = trial.works({})
        if fits and call.on_one_device:
            return []  # the shapes, dtypes and devices are not to blame
        return _text(call, "" if fits else clash(trial), remedies(trial))
    except Exception:
        return []  # the user's own error must reach them


def _text(call: FailedCall, clashing: str, fixes: list[str]) -> list[str]:
    rows = [_row(operand) for operand in call.operands[:MOST_OPERANDS]]
    lines = [f"  {line}" for line in table(rows, "<<<<<")]
    if len(call.operands) > MOST_OPERANDS:
        lines.append(f"  ... and {len(call.operands) - MOST_OPERANDS} more")
    if call.module_name:
        lines.append(f"  in {call.module_name}: {type(call.module).__name__}")
    if clashing:
        lines.append(f"  clash: {clashing}")
    if fixes:
        lines.append(f"  would work: {'  |  '.join(fixes)}")
    return lines


def _row(operand: Operand) -> tuple[str, ...]:
    tensor = operand.tensor
    origin = operand.origin
    return (
        operand.role,
        operand.name if operand.name != operand.role else "",
        str(tuple(tensor.shape)),
        f"{str(tensor.dtype).removeprefix('torch.')} {tensor.device}",
        "" if origin is None else f"{origin}: {origin.text}",
    )
