"""``rtae mic``: a microphone without noise that every program can use."""

from __future__ import annotations

import argparse
import dataclasses
import sys

from rtae.cli.live import DEFAULTS, add_stream_arguments, merged, open_stream, watch
from rtae.live.devices import is_number
from rtae.live.settings import Settings, load_settings, save_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_stream_arguments(parser)
    service = parser.add_mutually_exclusive_group()
    service.add_argument("--install-service", action="store_true", help="run at every login (systemd user unit)")
    service.add_argument("--uninstall-service", action="store_true", help="do not run at login any more")


def run(arguments: argparse.Namespace) -> int:
    """Feed the virtual microphone until a key, a signal or the duration ends it."""
    from rtae.live import service

    saved = load_settings()
    settings = merged(saved, arguments)
    if arguments.install_service:
        print(service.install(_service_arguments(settings, arguments)))
        return 0
    if arguments.uninstall_service:
        print(service.uninstall())
        return 0
    stream = open_stream(settings, arguments, output=None, virtual_microphone=True)
    status = watch(stream, duration_s=arguments.duration, as_json=arguments.json)
    if sys.stdout.isatty() and not arguments.json:
        chosen = stream.input_name if is_number(settings.input) else settings.input
        save_settings(dataclasses.replace(settings, input=chosen, attenuation_limit_db=stream.attenuation_limit_db))
    return status


def _service_arguments(settings: Settings, arguments: argparse.Namespace) -> list[str]:
    """Return the arguments that make the service do what this command line would."""
    # Defaults are said, too: the settings may be others at the next login.
    words = ["--latency", str(arguments.latency)]
    for name, flag in (("model", "--model"), ("input", "--input"), ("attenuation_limit_db", "--attenuation-limit")):
        value = getattr(settings, name)
        words += [flag, str(DEFAULTS[name] if value is None else value)]
    for flag, value in (("--rate", arguments.rate), ("--block", arguments.block)):
        if value is not None:
            words += [flag, str(value)]
    for model in arguments.fallback or ():
        words += ["--fallback", model]
    return words if arguments.channels == 1 else [*words, "--channels", str(arguments.channels)]
