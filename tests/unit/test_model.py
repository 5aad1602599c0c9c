from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from rtae.errors import MissingDependencyError, ModelFormatError, ModelNotFoundError, ParameterError
from rtae.model import NO_LIMIT_DB, Model
from rtae.spec import ModelSpec
from tests import models
from tests.models import Build

ROOT = Path(__file__).parents[2]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


class TestDenoiser:
    def test_a_hop_goes_through(self, build: Build) -> None:
        model = Model(build("identity"))
        hop = noise(1, 128)
        audio, speech = model.step(hop)
        np.testing.assert_array_equal(audio, hop)
        np.testing.assert_allclose(speech, [[np.abs(hop).mean()]], rtol=1e-5)

    def test_the_state_carries_what_a_longer_delay_holds_back(self, build: Build) -> None:
        model = Model(build("delay", samples=300), streams=2)
        signal = noise(2, 10 * 128)
        output = np.concatenate([model.step(hop)[0].copy() for hop in np.split(signal, 10, axis=1)], axis=1)
        np.testing.assert_array_equal(output[:, :300], 0.0)
        np.testing.assert_array_equal(output[:, 300:], signal[:, :-300])

    def test_streams_do_not_touch_each_other(self, build: Build) -> None:
        signal = noise(3, 5, 128)
        together = Model(build("compressor"), streams=3)
        outputs = [together.step(signal[:, hop])[0].copy() for hop in range(5)]
        for stream in range(3):
            alone = Model(build("compressor"))
            for hop in range(5):
                audio, _ = alone.step(signal[stream : stream + 1, hop])
                assert audio.any()
                np.testing.assert_allclose(audio[0], outputs[hop][stream], atol=1e-7)

    def test_the_attenuation_limit_reaches_the_graph_and_is_forgotten_again(self, build: Build) -> None:
        model = Model(build("gain", factor=0.01))
        hop = np.ones((1, 128), np.float32)
        for limit_db, expected in [(NO_LIMIT_DB, 0.01), (20.0, 0.1), (0.0, 1.0), (6.0, 10**-0.3), (NO_LIMIT_DB, 0.01)]:
            audio, _ = model.step(hop, limit_db)
            np.testing.assert_allclose(audio, expected, rtol=1e-5)
        np.testing.assert_allclose(model.step(hop)[0], 0.01, rtol=1e-5)

    def test_reset_is_the_fresh_state(self, build: Build) -> None:
        model = Model(build("compressor"))
        hops = noise(3, 1, 128)
        first = [model.step(hop)[0].copy() for hop in hops]
        model.reset()
        second = [model.step(hop)[0].copy() for hop in hops]
        assert not np.array_equal(first[0], first[1])
        np.testing.assert_array_equal(first, second)

    def test_loading_leaves_no_trace_in_the_state(self, tmp_path: Path) -> None:
        spec = models.spec()
        nodes = [
            helper.make_node("Add", ["state", "one"], ["state_out"]),
            helper.make_node("Add", ["audio", "state"], ["audio_out"]),
            helper.make_node("Identity", ["state"], ["speech"]),
        ]
        values = models.denoiser_values(spec)
        counting = models.write(tmp_path / "m.onnx", spec.to_json(), nodes, *values, {"one": np.float32(1)})
        model = Model(counting)
        for step in range(3):
            np.testing.assert_array_equal(model.step(np.zeros((1, 128), np.float32))[0], step)

    def test_two_arrays_take_turns_and_no_other_is_made(self, build: Build) -> None:
        model = Model(build("compressor"))
        outputs = [model.step(noise(1, 128, seed=turn)) for turn in range(6)]
        for place in (0, 1):
            assert len({array[place].ctypes.data for array in outputs}) == 2
            assert outputs[0][place] is outputs[2][place] is outputs[4][place]

    @pytest.mark.parametrize("shape", [(128,), (1, 127), (2, 128), (128, 1), (0, 128)])
    def test_hops_of_another_shape_are_refused(self, build: Build, shape: tuple[int, ...]) -> None:
        with pytest.raises(ParameterError, match=r"takes shape \(1, 128\)"):
            Model(build("identity")).step(np.zeros(shape, np.float32))

    def test_streams_must_be_positive(self, build: Build) -> None:
        with pytest.raises(ParameterError, match="streams is 0"):
            Model(build("identity"), streams=0)

    def test_a_model_without_state_runs(self, tmp_path: Path) -> None:
        spec = models.spec(state_size=0)
        nodes = [
            helper.make_node("Identity", ["audio"], ["audio_out"]),
            helper.make_node("Identity", ["state"], ["state_out"]),
            helper.make_node("Mul", ["attenuation_limit_db", "attenuation_limit_db"], ["speech"]),
        ]
        model = Model(
            models.write(tmp_path / "m.onnx", spec.to_json(), nodes, *models.denoiser_values(spec)), streams=2
        )
        np.testing.assert_array_equal(model.step(noise(2, 128))[0], noise(2, 128))


class TestCodec:
    def test_codes_come_back_as_audio(self, build: Build) -> None:
        encoder, decoder = Model(build("encoder"), streams=2), Model(build("decoder"), streams=2)
        hop = noise(2, 32)
        codes = encoder.encode_step(hop)
        assert codes.shape == (2, 32)
        assert codes.dtype == np.int64
        np.testing.assert_array_equal(codes, np.rint(hop * 32767) + 32768)
        np.testing.assert_allclose(decoder.decode_step(codes), hop, atol=2e-5)

    def test_a_stage_that_was_not_sent_is_minus_one(self, build: Build) -> None:
        decoder = Model(build("decoder"))
        codes = np.full((1, 32), 65535, np.int64)
        codes[:, 5:] = -1
        audio = decoder.decode_step(codes)
        np.testing.assert_array_equal(audio[:, :5], 1.0)
        np.testing.assert_array_equal(audio[:, 5:], 0.0)

    def test_a_hop_of_which_nothing_was_sent_is_decoded_too(self, build: Build) -> None:
        audio = Model(build("decoder")).decode_step(np.full((1, 32), -1, np.int64))
        np.testing.assert_array_equal(audio, np.zeros((1, 32), np.float32))

    @pytest.mark.parametrize("code", [-2, 65536])
    def test_codes_out_of_range_are_refused(self, build: Build, code: int) -> None:
        with pytest.raises(ParameterError, match=r"allowed are -1 to 65535"):
            Model(build("decoder")).decode_step(np.full((1, 32), code, np.int64))

    def test_codes_that_are_no_integers_are_refused(self, build: Build) -> None:
        with pytest.raises(ParameterError, match="must be integers"):
            Model(build("decoder")).decode_step(np.zeros((1, 32), np.float32))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("name", "call"),
        [("encoder", "step"), ("encoder", "decode_step"), ("decoder", "encode_step"), ("identity", "encode_step")],
    )
    def test_a_call_for_another_kind_is_refused(self, build: Build, name: str, call: str) -> None:
        model = Model(build(name))
        with pytest.raises(ParameterError, match=f"{call}\\(\\) needs a model of kind"):
            getattr(model, call)(np.zeros((1, model.spec.hop)))


class TestLatents:
    def test_an_encoder_gives_codes_or_what_it_quantises_and_both_advance_it(self, build: Build) -> None:
        model = Model(build("latent_encoder"), streams=2)
        first, second = noise(2, 32), noise(2, 32, seed=1)
        np.testing.assert_array_equal(model.encode_step(first), first[:, :1] > 0)
        np.testing.assert_array_equal(model.latents_step(second), first + second)
        np.testing.assert_array_equal(model.encode_step(second), second[:, :1] > 0)

    def test_a_variational_encoder_gives_mean_and_variance(self, build: Build) -> None:
        model = Model(build("vae_encoder"))
        hop = noise(1, 32)
        mean, log_variance = model.distribution_step(hop)
        assert mean.any()
        np.testing.assert_array_equal(mean, hop)
        np.testing.assert_array_equal(log_variance, -hop)
        np.testing.assert_array_equal(model.latents_step(2 * hop), 2 * hop)

    def test_a_variational_decoder_takes_latents(self, build: Build) -> None:
        model = Model(build("vae_decoder"), streams=2)
        first, second = noise(2, 32), noise(2, 32, seed=1)
        np.testing.assert_array_equal(model.decode_latents_step(first), np.zeros((2, 32)))
        np.testing.assert_array_equal(model.decode_latents_step(second), first)
        with pytest.raises(ParameterError, match=r"takes shape \(2, 32\), got \(1, 32\)"):
            model.decode_latents_step(first[:1])

    def test_an_encoder_without_latents_says_so(self, build: Build) -> None:
        with pytest.raises(ParameterError, match="gives codes and no latents"):
            Model(build("encoder")).latents_step(noise(1, 32))

    @pytest.mark.parametrize(
        ("name", "call"),
        [
            ("vae_encoder", "encode_step"),
            ("vae_decoder", "decode_step"),
            ("vae_decoder", "latents_step"),
            ("encoder", "distribution_step"),
            ("decoder", "decode_latents_step"),
            ("vae_encoder", "step"),
        ],
    )
    def test_a_call_for_another_kind_is_refused(self, build: Build, name: str, call: str) -> None:
        with pytest.raises(ParameterError, match=rf"{call}\(\) needs a model of kind"):
            getattr(Model(build(name)), call)(noise(1, 32))


class TestFormatVersions:
    def test_a_file_has_the_lowest_format_that_holds_it(self) -> None:
        assert models.spec().format_version == 1
        codes = {"codebooks": 1, "codebook_bits": 1}
        assert models.spec("encoder", **codes).format_version == 1
        assert models.spec("encoder", latent_size=4, **codes).format_version == 2
        assert models.spec("vae-encoder", latent_size=4).format_version == 2
        assert '"format_version": 2' in models.spec("vae-decoder", latent_size=4).to_json()

    def test_latents_in_the_first_format_are_refused(self) -> None:
        with pytest.raises(ModelFormatError, match="format 1 has no latents"):
            models.spec("vae-encoder", latent_size=4, format_version=1)

    def test_a_reader_of_the_first_format_refuses_the_second(self, monkeypatch: pytest.MonkeyPatch) -> None:
        text = models.spec("vae-encoder", latent_size=4).to_json()
        assert ModelSpec.from_json(text).latent_size == 4
        monkeypatch.setattr("rtae.spec.FORMAT_VERSION", 1)
        with pytest.raises(ModelFormatError, match="model has format 2, this rtae reads up to 1; upgrade"):
            ModelSpec.from_json(text)


def with_metadata(tmp_path: Path, metadata: str | None, **changes: object) -> Path:
    """An identity model whose metadata says something else than its graph."""
    spec = models.spec(**changes)
    nodes = [
        helper.make_node("Identity", ["audio"], ["audio_out"]),
        helper.make_node("Identity", ["state"], ["state_out"]),
        helper.make_node("Identity", ["state"], ["speech"]),
    ]
    return models.write(tmp_path / "model.onnx", metadata, nodes, *models.denoiser_values(spec))


def metadata(**changes: object) -> str:
    data = json.loads(models.spec().to_json())
    del data["algorithmic_latency"]
    return json.dumps({**data, **changes})


class TestFilesThatAreNoModels:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ModelNotFoundError, match=r"no model file .*nowhere\.onnx"):
            Model(tmp_path / "nowhere.onnx")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFormatError, match="cannot read"):
            Model(tmp_path)

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "m.onnx").touch()
        with pytest.raises(ModelFormatError, match="is empty"):
            Model(tmp_path / "m.onnx")

    def test_something_else(self, tmp_path: Path) -> None:
        for content in (b"RIFF\0\0\0\0WAVEfmt ", b"\n" * 100, bytes(1000), np.random.default_rng(0).bytes(5000)):
            (tmp_path / "m.onnx").write_bytes(content)
            with pytest.raises(ModelFormatError, match="onnxruntime cannot load"):
                Model(tmp_path / "m.onnx")

    def test_cut_short_anywhere(self, build: Build, tmp_path: Path) -> None:
        data = build("compressor").read_bytes()
        assert len(data) > 100
        for length in (1, 10, len(data) // 4, len(data) // 2, 3 * len(data) // 4, len(data) - 1):
            (tmp_path / "m.onnx").write_bytes(data[:length])
            with pytest.raises(ModelFormatError, match=r"export it again|copy or export"):
                Model(tmp_path / "m.onnx")

    def test_a_foreign_onnx_file(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFormatError, match="not an rtae model"):
            Model(with_metadata(tmp_path, None))

    def test_the_native_library_stays_silent(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "m.onnx").write_bytes(b"not a model")
        with pytest.raises(ModelFormatError) as caught:
            Model(tmp_path / "m.onnx")
        assert caught.value.__suppress_context__
        assert "\n" not in str(caught.value)
        captured = capfd.readouterr()
        assert captured.out == captured.err == ""

    def test_onnxruntime_missing(self, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(MissingDependencyError, match="pip install onnxruntime"):
            Model(build("identity"))


class TestSpecsThatDoNotFit:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "not valid JSON"),
            ("[]", "not a JSON object"),
            (metadata(format_version=3), "upgrade"),
            (metadata(format_version=0), "format_version"),
            (metadata(kind="vocoder"), "kind"),
            (metadata(kind="vae-encoder"), "latent_size"),
            (metadata(hop="128"), "hop"),
            (metadata(sample_rate=0), "sample_rate"),
            (metadata(algorithmic_latency=1), "contradicts"),
            (json.dumps({"format_version": 1, "kind": "denoiser"}), "incomplete"),
        ],
    )
    def test_a_spec_that_cannot_be_read(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(ModelFormatError, match=message) as caught:
            Model(with_metadata(tmp_path, text))
        assert "model.onnx" in str(caught.value)

    @pytest.mark.parametrize(
        "change",
        [
            {"hop": 127},
            {"state_size": 2},
            {"kind": "encoder", "codebooks": 4, "codebook_bits": 10},
            {"kind": "decoder", "codebooks": 4, "codebook_bits": 10},
            {"kind": "encoder", "codebooks": 4, "codebook_bits": 10, "latent_size": 8, "format_version": 2},
            {"kind": "vae-encoder", "latent_size": 8, "format_version": 2},
            {"kind": "vae-decoder", "latent_size": 8, "format_version": 2},
        ],
    )
    def test_a_spec_that_contradicts_the_graph(self, tmp_path: Path, change: dict[str, object]) -> None:
        with pytest.raises(ModelFormatError, match="its spec asks for"):
            Model(with_metadata(tmp_path, metadata(**change)))

    @pytest.mark.parametrize(
        "wrong",
        [
            [("audio", models.FLOAT, 128), ("state", models.FLOAT, 1)],
            [("sound", models.FLOAT, 128), ("state", models.FLOAT, 1), ("attenuation_limit_db", models.FLOAT, 1)],
            [("audio", models.FLOAT, 128), ("state", models.INT, 1), ("attenuation_limit_db", models.FLOAT, 1)],
            [("audio", models.FLOAT, 128), ("state", models.FLOAT, 1), ("attenuation_limit_db", models.FLOAT, 2)],
        ],
    )
    def test_inputs_of_another_name_type_or_width(self, tmp_path: Path, wrong: list[models.Value]) -> None:
        _, outputs = models.denoiser_values(models.spec())
        nodes = [
            helper.make_node("Identity", [wrong[0][0]], ["audio_out"]),
            helper.make_node("Cast", ["state"], ["state_out"], to=models.FLOAT),
            helper.make_node("Cast", ["state"], ["speech"], to=models.FLOAT),
        ]
        path = models.write(tmp_path / "model.onnx", models.spec().to_json(), nodes, wrong, outputs)
        with pytest.raises(ModelFormatError, match=r"inputs are .* its spec asks for"):
            Model(path)

    def test_a_fixed_number_of_rows(self, tmp_path: Path) -> None:
        spec = models.spec()
        nodes = [
            helper.make_node("Identity", ["audio"], ["audio_out"]),
            helper.make_node("Identity", ["state"], ["state_out"]),
            helper.make_node("Identity", ["state"], ["speech"]),
        ]
        path = models.write(tmp_path / "m.onnx", spec.to_json(), nodes, *models.denoiser_values(spec), rows=1)
        with pytest.raises(ModelFormatError, match="its spec asks for"):
            Model(path)

    def test_a_graph_that_fails_when_it_runs(self, tmp_path: Path) -> None:
        spec = models.spec(hop=64)
        nodes = [
            # The index is the attenuation limit, 100 when the loader tries the graph: past the end of the hop.
            helper.make_node("Cast", ["attenuation_limit_db"], ["index"], to=models.INT),
            helper.make_node("GatherElements", ["audio", "index"], ["speech"], axis=1),
            helper.make_node("Identity", ["audio"], ["audio_out"]),
            helper.make_node("Identity", ["state"], ["state_out"]),
        ]
        values = models.denoiser_values(spec)
        path = models.write(tmp_path / "model.onnx", spec.to_json(), nodes, *values)
        with pytest.raises(ModelFormatError, match="does not run") as caught:
            Model(path)
        assert "\n" not in str(caught.value)

    def test_a_graph_that_makes_nan_of_silence(self, tmp_path: Path) -> None:
        spec = models.spec()
        nodes = [
            helper.make_node("Div", ["audio", "audio"], ["audio_out"]),
            helper.make_node("Identity", ["state"], ["state_out"]),
            helper.make_node("Identity", ["state"], ["speech"]),
        ]
        path = models.write(tmp_path / "m.onnx", spec.to_json(), nodes, *models.denoiser_values(spec))
        with pytest.raises(ModelFormatError, match="not finite"):
            Model(path)


def test_the_first_session_of_a_process_turns_denormals_off(build: Build) -> None:
    script = f"""
import numpy as np, threading
from rtae.model import Model
tiny = np.full(4, 1e-40, np.float32)
assert (tiny * np.float32(1)).any()
Model({str(build("identity"))!r})
assert not (tiny * np.float32(1)).any(), "denormals survive in the thread that loaded the model"
seen = []
thread = threading.Thread(target=lambda: seen.append((tiny * np.float32(1)).any()))
thread.start(); thread.join()
assert seen == [False], "denormals survive in a thread started later"
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
