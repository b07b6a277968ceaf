"""What would stop a film before it begins, asked by the run itself and by a dry run; nothing is loaded or written."""

from lingbot_cli.render.memory import check_memory, pick_device_name
from lingbot_cli.render.request import PreparedVideo
from lingbot_cli.render.resume import ResumeOptions
from lingbot_cli.runtime.memory import MemorySetup
from lingbot_cli.runtime.model_options import pick_precision
from lingbot_cli.sinks.base import Sink


def preflight(
    prepared: PreparedVideo, sink: Sink, keeping: ResumeOptions | None, *, here: bool = True
) -> MemorySetup | None:
    """How the film uses this machine's memory, None where it is not made here; torch is asked only about GPUs.

    Errors: every error of a run that can be known without its weights.
    """
    if keeping:
        keeping.check(prepared)
    setup = None
    if here:
        setup = check_memory(prepared)
        _check_parts(prepared)
    sink.preflight(prepared.info())
    return setup


def _check_parts(prepared: PreparedVideo) -> None:
    """Refuse a part's own device, a kernel or a lever that this machine lacks. Errors: SetupError, UsageError."""
    options = prepared.request.options
    for name in (options.text_on, options.decode_on):
        pick_device_name(name or "cpu")
    if options.kernel is None and options.attention is None:
        return
    from lingbot_cli.model.accel.attention_backends import get_backend
    from lingbot_cli.model.device import pick_device
    from lingbot_cli.model.loading.load import activation_dtype, pick_attention

    device = pick_device(prepared.request.options.device)
    precision = pick_precision(prepared.here.fp8, device.type, prepared.request.options.precision)
    pick_attention(options.attention, device, precision)
    if options.kernel is not None:
        get_backend(options.kernel, device, activation_dtype(precision))
