// Runs the models: hops come from the worklet and go back to it, without the page in between.
import { Processor } from "./processor.js";

let processor;
let mostWaiting;
const waiting = [];
let running = false;

self.onmessage = async ({ data }) => {
  if (data.limitDb !== undefined) {
    processor.attenuationLimitDb = data.limitDb;
    return;
  }
  try {
    const ort = await import(data.ort);
    ort.env.wasm.numThreads = 1;
    processor = await Processor.create(ort, ...data.files);
    await processor.step(new Float32Array(processor.spec.hop)); // the first run is the slow one
    processor.reset();
    mostWaiting = Math.ceil(data.patience / processor.spec.hop);
    data.port.onmessage = (message) => take(message.data, data.port);
    self.postMessage({ ready: true });
  } catch (error) {
    self.postMessage({ error: error.message });
  }
};

async function take(hop, port) {
  waiting.push(hop);
  // Hopelessly late: what would not be heard any more is not worth the time.
  if (waiting.length > mostWaiting) waiting.splice(0, waiting.length - 1);
  if (running) return;
  running = true;
  while (waiting.length) {
    const { number, audio } = waiting.shift();
    const start = performance.now();
    audio.set(await processor.step(audio));
    const answer = { number, audio, ms: performance.now() - start, speech: processor.speech };
    port.postMessage(answer, [audio.buffer]);
  }
  running = false;
}
