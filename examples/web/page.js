import { LiveDenoiser, readSpec } from "./src/index.js";

const MODEL = "./denoise.onnx";
const ORT = "./onnxruntime-web/ort.wasm.bundle.min.mjs";
const [FLOOR_DB, TOP_DB] = [-100, -30]; // black and brightest of the spectrogram

const element = (id) => document.getElementById(id);
let live;

element("start").onclick = async () => {
  element("start").disabled = true;
  try {
    await start();
  } catch (error) {
    say(error.name === "NotAllowedError" ? "The page may not use the microphone: allow it, then start." : error.message);
    element("start").disabled = false;
  }
};

element("clean").onchange = () => (live.bypass = !element("clean").checked);

element("limit").oninput = () => {
  const { value, max } = element("limit");
  element("limit-text").textContent = value === max ? "all of it" : `${value} dB`;
  live.attenuationLimitDb = value === max ? 100 : Number(value);
};

async function start() {
  say("Loading the model.");
  const response = await fetch(MODEL);
  if (!response.ok) throw new Error(`cannot get ${MODEL}: ${response.status} ${response.statusText}`);
  const spec = readSpec(new Uint8Array(await response.arrayBuffer()));
  const context = new AudioContext({ sampleRate: spec.sample_rate, latencyHint: "interactive" });
  // The browser's own noise suppression would be heard instead of ours.
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
  const microphone = context.createMediaStreamSource(await navigator.mediaDevices.getUserMedia({ audio }));
  live = await LiveDenoiser.create(context, { model: MODEL, ort: ORT });
  microphone.connect(live.node).connect(context.destination);
  for (const id of ["clean", "limit"]) element(id).disabled = false;
  const views = [new View(context, microphone, "before"), new View(context, live.node, "after")];
  const draw = () => {
    views.forEach((view) => view.draw());
    const { late, hops, hopMs, longestHopMs, speech } = live.stats;
    const latency = ((1000 * live.latency) / spec.sample_rate).toFixed(1);
    say(
      `${spec.name}: ${latency} ms in this page, ${hopMs.toFixed(2)} ms a hop of ${((1000 * spec.hop) / spec.sample_rate).toFixed(1)} ms ` +
        `(longest ${longestHopMs.toFixed(1)}), ${hops} hops, ${late} blocks late, speech ${(100 * speech).toFixed(0)} %`,
    );
    requestAnimationFrame(draw);
  };
  draw();
  // For whoever looks at the page from outside.
  Object.assign(window, { rtae: { context, microphone, live } });
}

class View {
  constructor(context, node, name) {
    this.analyser = new AnalyserNode(context, { fftSize: 1024, smoothingTimeConstant: 0 });
    node.connect(this.analyser);
    this.meter = element(`level-${name}`);
    this.canvas = element(name);
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.bins = new Float32Array(this.analyser.frequencyBinCount);
    this.samples = new Float32Array(this.analyser.fftSize);
    this.column = this.pen.createImageData(1, this.canvas.height);
  }

  draw() {
    this.analyser.getFloatTimeDomainData(this.samples);
    const power = this.samples.reduce((sum, sample) => sum + sample * sample, 0) / this.samples.length;
    this.meter.value = 10 * Math.log10(power + 1e-12);
    this.analyser.getFloatFrequencyData(this.bins);
    const { width, height } = this.canvas;
    for (let row = 0; row < height; row++) {
      const bin = Math.floor(((height - 1 - row) / height) * this.bins.length);
      const share = Math.min(Math.max((this.bins[bin] - FLOOR_DB) / (TOP_DB - FLOOR_DB), 0), 1);
      this.column.data.set([255 * share ** 0.7, 255 * share ** 2, 160 * (1 - share) * share * 2, 255], 4 * row);
    }
    this.pen.drawImage(this.canvas, -1, 0);
    this.pen.putImageData(this.column, width - 1, 0);
  }
}

function say(text) {
  element("status").textContent = text;
}
