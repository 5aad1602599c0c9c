"""The browser host in headless Chromium: recordings equal Python's, the microphone comes out at a known latency."""

import base64
import functools
import http.server
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import sync_playwright
from scipy.signal import correlate

import rtae
from rtae import shipped

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "examples" / "web"
CLIPS = sorted((ROOT / "tests" / "data").glob("full-band-*-noisy.flac"))
SHIPPED = [name for name in shipped.available() if shipped.load(name).spec.kind == "denoiser"]
RATE = 48_000
HEADROOM_MS = 400
"""Far more than a user would want: other programs on the machine of the test stall it for that long."""

LIBRARY = """
const decode = (text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const encode = (samples) => {
  let text = "";
  const bytes = new Uint8Array(samples.buffer);
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
};
const addresses = (model) => ({ model, ort: "./onnxruntime-web/ort.wasm.bundle.min.mjs" });
const load = async (model) => {
  const { Denoiser } = await import("./src/index.js");
  const ort = await import("./onnxruntime-web/ort.wasm.bundle.min.mjs");
  ort.env.wasm.numThreads = 1;
  return Denoiser.create(ort, new Uint8Array(await (await fetch(model)).arrayBuffer()));
};
const record = async (context, nodes, seconds) => {
  const code = `registerProcessor("recorder", class extends AudioWorkletProcessor {
    process(inputs) {
      this.port.postMessage(inputs.map(([input]) => input?.slice() ?? new Float32Array(128)));
      return true;
    }
  })`;
  await context.audioWorklet.addModule("data:text/javascript," + encodeURIComponent(code));
  const recorder = new AudioWorkletNode(context, "recorder", { numberOfInputs: nodes.length });
  const blocks = [];
  nodes.forEach((node, at) => node.connect(recorder, 0, at));
  await new Promise((resolve) => {
    recorder.port.onmessage = ({ data }) => { if (blocks.push(data) * 128 >= seconds * context.sampleRate) resolve(); };
  });
  return nodes.map((_, at) => encode(Float32Array.from(blocks.flatMap((block) => [...block[at]]))));
};
"""


def text_of(samples):
    return base64.b64encode(np.asarray(samples, np.float32).tobytes()).decode()


def samples_of(text):
    return np.frombuffer(base64.b64decode(text), np.float32)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Static files as any host serves them."""

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def noisy():
    """Ten seconds of speech in noise."""
    audio = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in CLIPS])
    return np.tile(audio, 10 * RATE // len(audio) + 1)[: 10 * RATE + 123]


@pytest.fixture(scope="module")
def site(tmp_path_factory, build):
    """Folder and address of the page, with more models beside it."""
    folder = tmp_path_factory.mktemp("web") / "site"
    first = shipped.find(SHIPPED[0]) if SHIPPED else build("compressor")
    done = subprocess.run([SOURCE / "site.sh", folder, first], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("compressor", "delay", "gain", "encoder"):
        shutil.copy(build(name), folder / f"{name}.onnx")
    for name in SHIPPED:
        shutil.copy(shipped.find(name), folder / f"{name}.onnx")
    (folder / "foreign.onnx").write_bytes(b"\x08\x0a\x3a\x00")
    (folder / "cut.onnx").write_bytes((folder / "compressor.onnx").read_bytes()[:-20])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory, noisy):
    """Chromium whose microphone is a file, over and over."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program, "chromium is missing; .ci/run lists the system packages the tests need"
    microphone = tmp_path_factory.mktemp("microphone") / "noisy.wav"
    soundfile.write(microphone, noisy, RATE, "PCM_16")
    flags = [
        "--no-sandbox",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
        "--autoplay-policy=no-user-gesture-required",
    ]
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, site):
    page = browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(error))
    page.goto(site[1])
    page.add_script_tag(content=LIBRARY)
    yield page
    page.close()
    assert errors == []


@pytest.mark.parametrize("name", ["compressor", "delay", *SHIPPED])
def test_a_recording_comes_out_as_in_python(page, site, noisy, name):
    code = "async ([model, text]) => encode(await (await load(model)).clean(decode(text)))"
    found = samples_of(page.evaluate(code, [f"{name}.onnx", text_of(noisy)]))
    expected = rtae.denoise(noisy, RATE, site[0] / f"{name}.onnx")
    assert found.shape == expected.shape and np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ("missing.onnx", "missing.onnx: 404"),
        ("foreign.onnx", "not an rtae model"),
        ("cut.onnx", "cut short"),
        ("encoder.onnx", "not a denoiser"),
    ],
)
def test_a_bad_model_is_refused(page, model, complaint):
    code = """async (model) => {
      const { LiveDenoiser } = await import("./src/index.js");
      const context = new AudioContext({ sampleRate: 48000 });
      try { await LiveDenoiser.create(context, addresses(model)); } catch (error) { return error.message; }
      finally { await context.close(); }
    }"""
    assert complaint in page.evaluate(code, model)


def test_the_microphone_comes_out_at_the_declared_latency(page, noisy):
    code = """async (headroomMs) => {
      const { LiveDenoiser } = await import("./src/index.js");
      const context = new AudioContext({ sampleRate: 48000 });
      const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      const microphone = context.createMediaStreamSource(await navigator.mediaDevices.getUserMedia({ audio }));
      const live = await LiveDenoiser.create(context, { ...addresses("gain.onnx"), headroomMs });
      microphone.connect(live.node).connect(context.destination);
      const sounds = [];
      for (const [bypass, limit] of [[false, 100], [true, 100], [false, 6]]) {
        live.bypass = bypass;
        live.attenuationLimitDb = limit;
        await new Promise((resolve) => setTimeout(resolve, 2 * headroomMs));
        sounds.push(await record(context, [microphone, live.node], 3));
      }
      const result = { sounds, latency: live.latency, stats: live.stats, isolated: crossOriginIsolated };
      live.close();
      await context.close();
      return result;
    }"""
    result = page.evaluate(code, HEADROOM_MS)
    latency, stats = result["latency"], result["stats"]
    print(stats)
    assert latency == -(-HEADROOM_MS * RATE // 1000 // 128) * 128  # the hop is a quantum and the model has no delay
    assert not result["isolated"]  # no special headers were needed
    assert stats["hops"] > 1000 and 0 < stats["hopMs"] <= stats["longestHopMs"]
    for (before, after), factor in zip(result["sounds"], (0.1, 1.0, 10 ** (-6 / 20)), strict=True):
        before, after = samples_of(before), samples_of(after)
        early = before[:-latency]
        assert len(before) == len(after) and np.abs(early).max() > 0.01
        # Windows of 10 ms; one in which a result came late is not the model's.
        right = np.abs(after[latency:] - factor * early) <= 1e-6
        windows = right[: len(right) // 480 * 480].reshape(-1, 480).all(axis=1)
        assert windows.mean() > 0.5
        # What the microphone heard is the file, if not everywhere: a busy browser drops some of it.
        assert max(likeness(noisy, piece) for piece in early.reshape(-1, 128)[:800].reshape(-1, 12_800)) > 0.99


def likeness(whole, piece):
    """Correlation of a piece with the part of the whole it fits best."""
    start = int(correlate(whole, piece, mode="valid").argmax())
    return np.corrcoef(whole[start : start + len(piece)], piece)[0, 1]


@pytest.mark.parametrize("name", ["compressor", *SHIPPED])
def test_live_output_resembles_that_of_python(page, site, name):
    code = """async ([model, headroomMs]) => {
      const { LiveDenoiser } = await import("./src/index.js");
      const context = new AudioContext({ sampleRate: 48000 });
      const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
      const microphone = context.createMediaStreamSource(await navigator.mediaDevices.getUserMedia({ audio }));
      const live = await LiveDenoiser.create(context, { ...addresses(model), headroomMs });
      microphone.connect(live.node).connect(context.destination);
      const [before, after] = await record(context, [microphone, live.node], 6);
      const { latency, stats } = live;
      live.close();
      await context.close();
      return { before, after, latency, stats };
    }"""
    result = page.evaluate(code, [f"{name}.onnx", HEADROOM_MS])
    before, after = samples_of(result["before"]), samples_of(result["after"])[result["latency"] :]
    print(result["stats"])
    expected = rtae.denoise(before, RATE, site[0] / f"{name}.onnx")[: len(after)]
    # Windows of 10 ms, without those that are the input because the machine was too busy.
    windows = [signal[: len(after) // 480 * 480].reshape(-1, 480) for signal in (before, after, expected)]
    own = (np.abs(windows[0] - windows[1]) > 1e-6).any(axis=1)
    assert own.mean() > 0.5 and np.abs(windows[2][own]).max() > 0.01
    assert np.corrcoef(windows[1][own].ravel(), windows[2][own].ravel())[0, 1] > 0.97


def test_the_page_works_as_a_visitor_uses_it(page):
    page.click("#start")
    page.wait_for_function("window.rtae?.live.stats.hops > 300")
    assert re.fullmatch(
        r".+ ms in this page, [\d.]+ ms a hop of .+ blocks late, speech \d+ %", page.inner_text("#status")
    )
    assert page.evaluate("document.getElementById('level-before').value") > -80
    lit = """(id) => document.getElementById(id).getContext("2d").getImageData(700, 0, 100, 160).data
      .some((value, at) => at % 4 < 3 && value > 60)"""
    page.wait_for_function(lit, arg="before")
    page.wait_for_function(lit, arg="after")
    page.click("#clean")
    assert page.evaluate("rtae.live.bypass") is True
    page.evaluate("limit.value = 12; limit.dispatchEvent(new Event('input'))")
    assert page.evaluate("rtae.live.attenuationLimitDb") == 12
    assert page.inner_text("#limit-text") == "12 dB"
