// The audio side: hops to the worker, its answers to the ear, always `lag` samples later. What is not there in time is
// replaced by the input of exactly that moment; an answer that comes too late is never heard.

const FADE = 96;

class RtaeProcessor extends AudioWorkletProcessor {
  constructor({ processorOptions: { hop, delay, lag } }) {
    super();
    Object.assign(this, { hop, delay, lag });
    const size = 2 ** Math.ceil(Math.log2(lag + delay + 16 * hop + 1024));
    this.mask = size - 1;
    this.dry = new Float32Array(size);
    this.clean = new Float32Array(size);
    this.present = new Float64Array(size / hop + 1).fill(-1); // number of the hop that each place of `clean` holds
    this.position = 0;
    this.free = [];
    this.bypass = false;
    this.fading = this.step = this.decay = 0;
    this.last = 0;
    this.source = "dry";
    this.stats = { hops: 0, late: 0, hopMs: 0, longestHopMs: 0, speech: 0 };
    this.answered = 0;
    this.port.onmessage = ({ data }) => {
      if (data.bypass !== undefined) this.bypass = data.bypass;
      if (data.worker !== undefined) {
        this.worker = data.worker;
        this.worker.onmessage = (message) => this.take(message.data);
      }
      if (data.close) this.closed = true;
    };
  }

  take({ number, audio, ms, speech }) {
    const start = number * this.hop;
    for (let at = 0; at < this.hop; at++) this.clean[(start + at) & this.mask] = audio[at];
    this.present[number % this.present.length] = number;
    this.free.push(audio);
    this.answered++;
    this.stats.hopMs += (ms - this.stats.hopMs) / this.answered;
    this.stats.longestHopMs = Math.max(this.stats.longestHopMs, ms);
    this.stats.speech = speech;
  }

  send(number) {
    const audio = this.free.pop() ?? new Float32Array(this.hop);
    for (let at = 0; at < this.hop; at++) audio[at] = this.dry[(number * this.hop + at) & this.mask];
    this.worker.postMessage({ number, audio }, [audio.buffer]);
    this.stats.hops++;
  }

  process([[input]], [[output]]) {
    if (this.closed) return false;
    if (!this.worker) return true;
    let late = false;
    for (let at = 0; at < output.length; at++, this.position++) {
      this.dry[this.position & this.mask] = input ? input[at] : 0;
      if ((this.position + 1) % this.hop === 0) this.send((this.position + 1) / this.hop - 1);

      const due = this.position - this.lag;
      const number = Math.floor(due / this.hop);
      const there = due >= 0 && this.present[number % this.present.length] === number;
      late ||= due >= 0 && !there;
      const source = there && !this.bypass ? "clean" : "dry";
      const heard = due - this.delay;
      let sample = 0;
      if (source === "clean") sample = this.clean[due & this.mask];
      else if (heard >= 0) sample = this.dry[heard & this.mask];
      if (source !== this.source) {
        this.step = this.last - sample; // carried away over the next samples, so that nothing clicks
        this.decay = this.step / FADE;
        this.fading = FADE;
        this.source = source;
      }
      if (this.fading > 0) {
        sample += this.step;
        this.step -= this.decay;
        this.fading--;
      }
      output[at] = this.last = sample;
    }
    if (late) this.stats.late++;
    if (this.position % 4800 < output.length) this.port.postMessage(this.stats);
    return true;
  }
}

registerProcessor("rtae", RtaeProcessor);
