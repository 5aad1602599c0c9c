"""A program to freeze: cleans a recording, or a microphone until Ctrl-C."""

import sys

if "rtae.live.child" in sys.argv:  # this is the engine of a LiveStream, started by another one of us
    from rtae.live.child import main as engine

    sys.exit(engine())

import rtae


def main(arguments: list[str]) -> int:
    """Run one of the two."""
    match arguments:
        case ["clean", source, target]:
            import soundfile

            noisy, rate = soundfile.read(source, dtype="float32")
            soundfile.write(target, rtae.denoise(noisy, rate), rate)
        case ["live", *devices] if len(devices) in (0, 2):
            source, target = devices or (None, None)
            with rtae.LiveStream(input=source, output=target) as stream:
                print(f"{stream.input_name} to {stream.output_name}, {stream.latency.total_ms:.1f} ms", flush=True)
                stream.wait()
        case _:
            print("usage: program clean IN OUT | program live [INPUT OUTPUT]", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except rtae.RtaeError as error:
        sys.exit(f"program: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
