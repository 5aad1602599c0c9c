import { LiveProcessor, readSpec } from "./src/index.js";

const MODEL = "./denoise.onnx";
const ORT = "./onnxruntime-web/ort.wasm.bundle.min.mjs";
const [FLOOR_DB, TOP_DB] = [-105, -30]; // darkest and brightest of the spectrogram
const LOWEST_DB = -70; // of a meter
const PERIOD_MS = 30; // between two pictures
const [LOWEST_HZ, HIGHEST_HZ] = [80, 20000];
const TICKS_HZ = [250, 1000, 4000, 12000];
const HEAT = ["#0b0d14", "#2a1658", "#7d2a78", "#d6496a", "#fb9f5b", "#fff3c4"];

const CONTROLS = ["original", "clean", "limit"];

const element = (id) => document.getElementById(id);
// The scale of the ear (mel), as a share of the picture's height from its top.
const mel = (hz) => 2595 * Math.log10(1 + hz / 700);
const height = (hz) => (mel(HIGHEST_HZ) - mel(hz)) / (mel(HIGHEST_HZ) - mel(LOWEST_HZ));
let live, microphone;

for (const ticks of document.querySelectorAll(".ticks")) {
  for (const hz of TICKS_HZ) {
    const tick = document.createElement("span");
    tick.textContent = hz < 1000 ? `${hz} Hz` : `${hz / 1000} kHz`;
    tick.style.top = `${100 * height(hz)}%`;
    ticks.append(tick);
  }
}

element("start").onclick = async () => {
  element("start").disabled = true;
  if (live) {
    await stop();
  } else {
    try {
      await start();
      element("start").textContent = "Stop";
    } catch (error) {
      await stop();
      const refused = error.name === "NotAllowedError";
      say(refused ? "The page may not use the microphone: allow it, then start." : error.message);
    }
  }
  element("start").disabled = false;
};

for (const id of ["original", "clean"]) element(id).onchange = () => hear(id);

addEventListener("keydown", ({ key }) => {
  const id = { a: "original", b: "clean" }[key.toLowerCase()];
  if (id && live) hear(id);
});

element("limit").oninput = () => {
  const { value, max } = element("limit");
  element("limit-text").textContent = value === max ? "all it can" : `at most ${value} dB`;
  live.attenuationLimitDb = value === max ? 100 : Number(value);
};

function hear(id) {
  element(id).checked = true;
  live.bypass = id === "original";
}

async function start() {
  say("Loading the model.");
  const response = await fetch(MODEL);
  if (!response.ok) throw new Error(`cannot get ${MODEL}: ${response.status} ${response.statusText}`);
  const spec = readSpec(new Uint8Array(await response.arrayBuffer()));
  // The browser's own noise suppression would be heard instead of ours.
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
  const stream = await navigator.mediaDevices.getUserMedia({ audio });
  const context = new AudioContext({ sampleRate: spec.sample_rate, latencyHint: "interactive" });
  microphone = context.createMediaStreamSource(stream);
  live = await LiveProcessor.create(context, { model: MODEL, ort: ORT });
  microphone.connect(live.node).connect(context.destination);
  for (const id of CONTROLS) element(id).disabled = false;
  hear(element("clean").checked ? "clean" : "original");
  element("limit").oninput();
  const views = [new View(context, microphone, "before"), new View(context, live.node, "after")];
  const show = (id, text) => (element(id).textContent = text);
  const ms = (samples) => ((1000 * samples) / spec.sample_rate).toFixed(1);
  show("latency", `${ms(live.latency)} ms`);
  say(`${spec.name}, ${spec.sample_rate / 1000} kHz, a hop is ${ms(spec.hop)} ms. Press A or B to compare.`);
  let drawn = 0;
  const mine = live;
  const draw = (now) => {
    if (live !== mine) return;
    requestAnimationFrame(draw);
    if (now - drawn < PERIOD_MS) return;
    drawn = now;
    views.forEach((view) => view.draw());
    const { late, hops, hopMs, longestHopMs, speech } = live.stats;
    show("hop", `${hopMs.toFixed(2)} ms`);
    show("longest", `${longestHopMs.toFixed(1)} ms`);
    show("late", `${late} in ${hops} hops`);
    show("speech", `${(100 * speech).toFixed(0)} %`);
  };
  requestAnimationFrame(draw);
  // For whoever looks at the page from outside.
  Object.assign(window, { rtae: { context, microphone, live } });
}

async function stop() {
  for (const id of CONTROLS) element(id).disabled = true;
  live?.close();
  microphone?.mediaStream.getTracks().forEach((track) => track.stop()); // the browser's sign of a recording goes out
  await microphone?.context.close();
  live = microphone = undefined;
  element("start").textContent = "Start";
  say("Stopped.");
}

class View {
  constructor(context, node, name) {
    this.analyser = new AnalyserNode(context, { fftSize: 2048, smoothingTimeConstant: 0 });
    node.connect(this.analyser);
    this.meter = element(`level-${name}`);
    this.canvas = element(name);
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.bins = new Float32Array(this.analyser.frequencyBinCount);
    this.samples = new Float32Array(this.analyser.fftSize);
    this.column = this.pen.createImageData(1, this.canvas.height);
    this.colours = heat();
    // Highest row first.
    const bin = (row) => {
      const place = mel(HIGHEST_HZ) - (row / this.canvas.height) * (mel(HIGHEST_HZ) - mel(LOWEST_HZ));
      return Math.round(((700 * (10 ** (place / 2595) - 1)) / context.sampleRate) * this.analyser.fftSize);
    };
    this.rows = Array.from({ length: this.canvas.height }, (_, row) => [bin(row + 1), Math.max(bin(row), bin(row + 1) + 1)]);
  }

  draw() {
    this.analyser.getFloatTimeDomainData(this.samples);
    let energy = 0;
    for (const sample of this.samples) energy += sample * sample;
    const level = 10 * Math.log10(energy / this.samples.length + 1e-12);
    this.meter.style.height = `${100 * Math.min(Math.max(level / LOWEST_DB, 0), 1)}%`;
    this.analyser.getFloatFrequencyData(this.bins);
    this.rows.forEach(([from, to], row) => {
      let loudest = FLOOR_DB;
      for (let bin = from; bin < to; bin++) if (this.bins[bin] > loudest) loudest = this.bins[bin];
      const share = Math.min((loudest - FLOOR_DB) / (TOP_DB - FLOOR_DB), 1);
      this.column.data.set(this.colours[Math.round(255 * share)], 4 * row);
    });
    const { width } = this.canvas;
    this.pen.drawImage(this.canvas, -2, 0);
    for (const x of [width - 2, width - 1]) this.pen.putImageData(this.column, x, 0);
  }
}

function heat() {
  const pen = new OffscreenCanvas(256, 1).getContext("2d");
  const colours = pen.createLinearGradient(0, 0, 256, 0);
  HEAT.forEach((colour, place) => colours.addColorStop(place / (HEAT.length - 1), colour));
  pen.fillStyle = colours;
  pen.fillRect(0, 0, 256, 1);
  const { data } = pen.getImageData(0, 0, 256, 1);
  return Array.from({ length: 256 }, (_, level) => data.subarray(4 * level, 4 * level + 4));
}

function say(text) {
  element("status").textContent = text;
}
