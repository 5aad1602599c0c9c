"""Where speech is in noisy recordings: rtae beside WebRTC's detector and silero-vad, against labels of the clean side.

    python -m benchmarks.segmentation PAIRS -o docs/segmentation [--silero silero_vad.onnx]

PAIRS is a folder with ``clean`` and ``noisy`` sides. WebRTC's detector comes with ``pip install webrtcvad-wheels``, the
model of silero-vad lies in its package (``pip install --no-deps silero-vad``, data/silero_vad.onnx). Prints the table,
and between which values the frame F1 of rtae stays with other thresholds; with -o writes OUT.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from scipy.signal import resample_poly

from rtae.denoise import Denoiser
from rtae.evaluate.activity import FRAME_S, find_activity
from rtae.segment import Hysteresis, SpeechSegmenter, segment_blocks

Flags = npt.NDArray[np.bool_]
Spans = list[tuple[float, float]]
System = Callable[[npt.NDArray[np.float32]], Spans]

BRIDGED_S = 0.2
"""Gaps in the labels shorter than this are no pauses: speech segments, not syllables, are looked for."""

MATCH_S = 0.3
"""An onset is found if a segment begins this near to it."""

RATE = 48_000
LOW_RATE = 16_000

ONS, OFFS, HOLDS_S = (0.8, 0.85, 0.9, 0.95), (0.7, 0.75, 0.8, 0.85), (0.1, 0.2)
"""Thresholds and holds of :func:`plateau`."""


@dataclass
class Count:
    """What one system did on some recordings."""

    hits: int = 0
    said: int = 0
    true: int = 0

    def add(self, said: Flags, true: Flags) -> None:
        self.hits += int((said & true).sum())
        self.said += int(said.sum())
        self.true += int(true.sum())

    @property
    def precision(self) -> float:
        return self.hits / max(self.said, 1)

    @property
    def recall(self) -> float:
        return self.hits / max(self.true, 1)

    @property
    def f1(self) -> float:
        return 2 * self.hits / max(self.said + self.true, 1)


def bridged(active: Flags, gap_s: float = BRIDGED_S) -> Flags:
    """Return the labels with gaps below ``gap_s`` filled; a pause at an end of the recording stays."""
    filled = active.copy()
    for begin, end in spans(~active, 1.0):
        if end - begin < gap_s / FRAME_S and begin > 0 and end < len(active):
            filled[int(begin) : int(end)] = True
    return filled


def spans(flags: Flags, step: float) -> Spans:
    """Return where runs of True begin and end, in units of ``step``."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return [(begin * step, end * step) for begin, end in edges.reshape(-1, 2).tolist()]


def flags_of(found: Spans, frames: int) -> Flags:
    """Return which frames have their middle in a span."""
    centres = (np.arange(frames) + 0.5) * FRAME_S
    flags = np.zeros(frames, bool)
    for begin, end in found:
        flags |= (begin <= centres) & (centres < end)
    return flags


def rtae_system(audio: npt.NDArray[np.float32]) -> Spans:
    found = segment_blocks([audio[:, np.newaxis]], [SpeechSegmenter(sample_rate=RATE)])
    return [(one.start_s, one.end_s) for one in found]


def plateau(pairs: Mapping[str, tuple[npt.NDArray[np.float32], Flags]]) -> dict[str, tuple[float, float]]:
    """Return the least and the largest frame F1 over :data:`ONS`, :data:`OFFS` and :data:`HOLDS_S`, of each half."""
    labels = [bridged(active) for _, active in pairs.values()]
    heard = [speech_probabilities(noisy) for noisy, _ in pairs.values()]
    found: dict[str, list[float]] = {"even": [], "odd": []}
    for on, off, hold_s in product(ONS, OFFS, HOLDS_S):
        if off > on:
            continue
        halves = [Count(), Count()]
        for index, (label, (values, step_s)) in enumerate(zip(labels, heard, strict=True)):
            halves[index % 2].add(flags_of(smoothed(values, step_s, on, off, hold_s), len(label)), label)
        for half, count in zip(found.values(), halves, strict=True):
            half.append(count.f1)
    return {name: (min(half), max(half)) for name, half in found.items()}


def speech_probabilities(audio: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], float]:
    """Return the denoiser's speech probability of every hop, and the seconds of a hop."""
    denoiser = Denoiser(sample_rate=RATE)
    hop = denoiser.spec.hop
    assert denoiser.spec.sample_rate == RATE
    values = []
    for start in range(0, len(audio) - hop + 1, hop):
        denoiser.process(audio[start : start + hop])
        values.append(denoiser.speech)
    return np.array(values), hop / RATE


def webrtc_system(aggressiveness: int, hang_s: float = 0.0) -> System:
    import webrtcvad

    def run(audio: npt.NDArray[np.float32]) -> Spans:
        detector = webrtcvad.Vad(aggressiveness)
        low = resample_poly(audio, LOW_RATE, RATE)
        pcm = (np.clip(low, -1, 1) * 32767).astype(np.int16)
        size = LOW_RATE // 100
        said = [
            detector.is_speech(pcm[start : start + size].tobytes(), LOW_RATE)
            for start in range(0, len(pcm) - size + 1, size)
        ]
        return smoothed(np.array(said, float), 0.01, 0.5, 0.5, hang_s) if hang_s else spans(np.array(said), 0.01)

    return run


def silero_system(model: Path, threshold: float = 0.5) -> System:
    """silero-vad's network with the rule its own iterator uses: off 0.15 lower than on, 0.1 s of silence end speech."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    size, context_size = 512, 64

    def run(audio: npt.NDArray[np.float32]) -> Spans:
        low = resample_poly(audio, LOW_RATE, RATE).astype(np.float32)
        state, context, values = np.zeros((2, 1, 128), np.float32), np.zeros(context_size, np.float32), []
        for start in range(0, len(low) - size + 1, size):
            block = np.concatenate([context, low[start : start + size]])
            inputs = {"input": block[np.newaxis], "state": state, "sr": np.array(LOW_RATE, np.int64)}
            value, state = session.run(None, inputs)
            context = block[-context_size:]
            values.append(float(value[0, 0]))
        return smoothed(np.array(values), size / LOW_RATE, threshold, threshold - 0.15, 0.1)

    return run


def smoothed(values: npt.NDArray[np.float64], step_s: float, on: float, off: float, hold_s: float) -> Spans:
    tracker, found, began = Hysteresis("speech", on, off, hold_s), [], 0.0
    events = [tracker.update(value, at * step_s, (at + 1) * step_s) for at, value in enumerate(values.tolist())]
    for event in [*events, tracker.finish(len(values) * step_s)]:
        if event is None:
            continue
        if event.kind == "speech_start":
            began = event.time_s
        else:
            found.append((began, event.time_s))
    return found


def edge_errors(said: Spans, true: Spans, length_s: float) -> tuple[list[float], list[float], int]:
    """Return errors of onsets and offsets that were found, each true one matched once, and how many onsets were not."""
    onsets, offsets, missed = [], [], 0
    for errors, edge, skip in ((onsets, 0, 0.0), (offsets, 1, length_s)):
        free = sorted(one[edge] for one in said)
        for span in true:
            if abs(span[edge] - skip) < 2 * FRAME_S:
                continue  # the recording begins or ends in the middle of speech
            near = min(free, key=lambda time, at=span[edge]: abs(time - at), default=np.inf)
            if abs(near - span[edge]) <= MATCH_S:
                free.remove(near)
                errors.append(near - span[edge])
            elif edge == 0:
                missed += 1
    return onsets, offsets, missed


def measure(system: System, pairs: Mapping[str, tuple[npt.NDArray[np.float32], Flags]]) -> dict[str, float]:
    """Run one system on every recording and return its figures."""
    segments, syllables = Count(), Count()
    halves = [Count(), Count()]
    onsets: list[float] = []
    offsets: list[float] = []
    missed = count = 0
    for index, (noisy, active) in enumerate(pairs.values()):
        said, label = system(noisy), bridged(active)
        flags = flags_of(said, len(active))
        segments.add(flags, label)
        halves[index % 2].add(flags, label)
        syllables.add(flags, active)
        found = edge_errors(said, spans(label, FRAME_S), len(noisy) / RATE)
        onsets += found[0]
        offsets += found[1]
        missed += found[2]
        count += len(said)
    return {
        "f1": segments.f1, "precision": segments.precision, "recall": segments.recall,
        "f1_even": halves[0].f1, "f1_odd": halves[1].f1, "f1_unbridged": syllables.f1,
        "onset_ms": 1e3 * float(np.median(np.abs(onsets))), "onset_bias_ms": 1e3 * float(np.median(onsets)),
        "onsets_missed": missed / (missed + len(onsets)),
        "offset_ms": 1e3 * float(np.median(np.abs(offsets))), "segments": count,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--silero", type=Path, metavar="ONNX")
    arguments = parser.parse_args()
    pairs = {}
    for path in sorted((arguments.pairs / "noisy").iterdir()):
        noisy, rate = soundfile.read(path, dtype="float32")
        clean, _ = soundfile.read(arguments.pairs / "clean" / path.name, dtype="float32")
        assert rate == RATE, f"{path} is at {rate} Hz"
        pairs[path.name] = (noisy, find_activity(clean, RATE).active)
    assert pairs, f"no recordings in {arguments.pairs}"
    systems: dict[str, System] = {"all of it speech": lambda audio: [(0.0, len(audio) / RATE)], "rtae": rtae_system}
    systems |= {f"WebRTC VAD, mode {mode}": webrtc_system(mode) for mode in range(4)}
    systems |= {f"WebRTC VAD, mode {mode}, 0.2 s hold": webrtc_system(mode, 0.2) for mode in (2, 3)}
    if arguments.silero:
        systems |= {f"silero-vad, at {at}": silero_system(arguments.silero, at) for at in (0.5, 0.8)}
    results = {}
    print("| system | frame F1 | precision | recall | F1 of even / odd files | F1, gaps kept | onset error, median | "
          "onset bias | onsets missed | offset error | segments |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, system in systems.items():
        r = results[name] = measure(system, pairs)
        print(f"| {name} | {r['f1']:.3f} | {r['precision']:.3f} | {r['recall']:.3f} | "
              f"{r['f1_even']:.3f} / {r['f1_odd']:.3f} | {r['f1_unbridged']:.3f} | {r['onset_ms']:.0f} ms | "
              f"{r['onset_bias_ms']:+.0f} ms | {100 * r['onsets_missed']:.0f} % | {r['offset_ms']:.0f} ms | "
              f"{r['segments']} |", flush=True)  # fmt: skip
    ranges = ", ".join(f"{low:.3f} to {high:.3f} on the {half} files" for half, (low, high) in plateau(pairs).items())
    print(f"rtae with other thresholds and holds: F1 {ranges}")
    if arguments.output:
        arguments.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
