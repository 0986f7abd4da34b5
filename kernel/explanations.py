"""Errors that explain: operands by the user's names, where each was made, what clashes, what would
work. The text goes below the error inside its traceback."""

from __future__ import annotations

from collections.abc import Callable

from flambeau.errors import CheckpointError, DivisionError, GradientError, LinAlgError
from flambeau.magics.base import table
from flambeau.magics.nan import NonFiniteError

from .bystanders import tensors_on_line
from .failures import FailedCall, failed_call
from .misspelling import meant_name
from .naming import Earlier, Operand
from .remedies import Trial, clash, remedies

EXPLAINED = (RuntimeError, ValueError, TypeError, IndexError)
"""What the runtime raises about shapes, dtypes and devices, or a subclass of it."""

OTHER_CAUSES = (GradientError, LinAlgError, CheckpointError, DivisionError)
"""Errors that no other shape, dtype or device would mend."""

LONGEST_LINE = 60  # characters of the line that made an operand
MOST_OPERANDS = 6  # rows; a list may have hundreds


def explanation(error: BaseException, place: Callable[[str], str], earlier: Earlier) -> list[str]:
    """Lines below the message of an error: the operands of a call of the runtime that shapes,
    dtypes or devices made fail, else the tensors on the line that failed. None where there is
    nothing to say, and whatever goes wrong here."""
    if not isinstance(error, Exception) or isinstance(error, NonFiniteError):
        return []  # Ctrl-C and sys.exit fail at no fault of the line; the last shows its operands
    try:
        found = _of_call(error, place, earlier) or _of_line(error, place, earlier)
        meant = meant_name(error)
        return [*([f"  Did you mean {meant}?"] if meant else []), *found]
    except Exception:
        return []  # the user's own error must reach them


def _of_call(error: Exception, place: Callable[[str], str], earlier: Earlier) -> list[str]:
    if not isinstance(error, EXPLAINED) or isinstance(error, OTHER_CAUSES):
        return []
    call = failed_call(error.__traceback__, place, earlier)
    if call is None or not call.operands:
        return []
    trial = Trial(call)
    fits = trial.works({})
    if fits and call.on_one_device:
        return []  # the shapes, dtypes and devices are not to blame
    return _text(call, "" if fits else clash(trial), remedies(trial))


def _of_line(error: Exception, place: Callable[[str], str], earlier: Earlier) -> list[str]:
    named = tensors_on_line(error, place, earlier)
    rows = [(operand.name, *_row(operand)[2:]) for operand in named[:MOST_OPERANDS]]
    more = [f"  ... and {len(named) - len(rows)} more"] if len(named) > len(rows) else []
    return [*(f"  {line}" for line in table(rows, "<<<<")), *more] if rows else []


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
        "" if origin is None else f"{origin}: {_shortened(origin.text)}",
    )


def _shortened(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"
