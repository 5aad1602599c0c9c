// Models as a node of an audio graph: an AudioWorklet moves the samples, a worker runs the models.
import { readSpec, specOf } from "./processor.js";

const QUANTUM = 128; // samples an AudioWorklet is handed at once
const CATCH_UP_MS = 20; // how late the worker may be and still catch up hop by hop

export class LiveProcessor {
  #worker;
  #bypass = false;
  #limitDb = 100;

  static async create(context, { model, ort, headroomMs = 30 }) {
    const files = await Promise.all([model].flat().map(get));
    const spec = specOf(files.map(readSpec));
    if (context.sampleRate !== spec.sample_rate) {
      throw new Error(`the model works at ${spec.sample_rate} Hz, the audio context at ${context.sampleRate} Hz`);
    }
    await context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    const channel = new MessageChannel();
    const ready = new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve());
      worker.onerror = (event) => reject(new Error(`the worker failed: ${event.message}`));
    });
    // An address relative to the page means another place inside the worker.
    const module = new URL(ort, document.baseURI).href;
    const patience = ((headroomMs + CATCH_UP_MS) * spec.sample_rate) / 1000;
    worker.postMessage({ ort: module, files, patience, port: channel.port1 }, [
      channel.port1,
      ...files.map((file) => file.buffer),
    ]);
    try {
      await ready;
    } catch (error) {
      worker.terminate();
      throw error;
    }
    return new LiveProcessor(context, spec, worker, channel.port2, headroomMs);
  }

  constructor(context, spec, worker, port, headroomMs) {
    const headroom = Math.ceil((headroomMs * spec.sample_rate) / 1000 / QUANTUM) * QUANTUM;
    const lag = spec.hop - gcd(QUANTUM, spec.hop) + Math.max(headroom, QUANTUM);
    this.#worker = worker;
    this.spec = spec;
    this.latency = lag + spec.delay;
    this.stats = { hops: 0, late: 0, hopMs: 0, longestHopMs: 0, speech: 0 };
    this.node = new AudioWorkletNode(context, "rtae", {
      outputChannelCount: [1],
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { hop: spec.hop, delay: spec.delay, lag },
    });
    this.node.port.onmessage = ({ data }) => (this.stats = data);
    this.node.port.postMessage({ worker: port }, [port]);
  }

  get bypass() {
    return this.#bypass;
  }

  set bypass(value) {
    this.#bypass = value;
    this.node.port.postMessage({ bypass: value });
  }

  get attenuationLimitDb() {
    return this.#limitDb;
  }

  set attenuationLimitDb(value) {
    this.#limitDb = value;
    this.#worker.postMessage({ limitDb: value });
  }

  close() {
    this.node.port.postMessage({ close: true });
    this.node.disconnect();
    this.#worker.terminate();
  }
}

async function get(model) {
  const response = await fetch(model);
  if (!response.ok) throw new Error(`cannot get the model ${model}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}
