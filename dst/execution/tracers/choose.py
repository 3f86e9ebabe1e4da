"""Tracers by the names that clients know."""

from dst.apis.fields import flag
from dst.apis.traces import TraceConfig, check_options, check_tracer
from dst.execution.tracers.base import Budget, ClientTracer
from dst.execution.tracers.calls import CallTracer
from dst.execution.tracers.flat import FlatCallTracer
from dst.execution.tracers.prestate import PrestateTracer
from dst.execution.tracers.small import FourByteTracer, MuxTracer, NoopTracer
from dst.execution.tracers.structs import StructConfig, StructTracer
from dst.spec.errors import InvalidInput


def make_tracer(config: TraceConfig, budget: Budget) -> ClientTracer:
    """Raises: InvalidInput for options of a wrong shape."""
    if not config.tracer:
        return StructTracer(
            budget,
            StructConfig(
                stack=config.stack,
                storage=config.storage,
                memory=config.memory,
                return_data=config.return_data,
                limit=config.limit,
            ),
        )
    return _named(config.tracer, config.options, budget)


def _named(name: str, options: dict[str, object], budget: Budget) -> ClientTracer:
    match name:
        case "callTracer":
            return CallTracer(
                budget,
                only_top_call=flag(options, "onlyTopCall"),
                with_log=flag(options, "withLog"),
            )
        case "prestateTracer":
            return PrestateTracer(
                budget,
                diff_mode=flag(options, "diffMode"),
                disable_code=flag(options, "disableCode"),
                disable_storage=flag(options, "disableStorage"),
                include_empty=flag(options, "includeEmpty"),
            )
        case "flatCallTracer":
            return FlatCallTracer(
                budget,
                parity_errors=flag(options, "convertParityErrors"),
                include_precompiles=flag(options, "includePrecompiles"),
            )
        case "4byteTracer":
            return FourByteTracer()
        case "muxTracer":
            if "muxTracer" in options:
                raise InvalidInput("muxTracer: not within itself")
            return MuxTracer(
                {
                    each: _named(check_tracer(each), check_options(theirs), budget)
                    for each, theirs in options.items()
                }
            )
        case _:
            return NoopTracer()
