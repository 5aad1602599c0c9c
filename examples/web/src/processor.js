// A streaming processor over rtae model files (models/README.md) and onnxruntime-web.

const NEWEST_FORMAT = 2;
const FIELDS = ["sample_rate", "hop", "delay", "state_size"];

export function readSpec(file) {
  const text = metadata(file, "rtae");
  if (text === undefined) throw new Error("not an rtae model: no 'rtae' metadata in the file");
  const spec = JSON.parse(text);
  if (spec.format_version > NEWEST_FORMAT) {
    throw new Error(`the model has format ${spec.format_version}, this page reads up to ${NEWEST_FORMAT}`);
  }
  if (!FIELDS.every((name) => Number.isInteger(spec[name]))) throw new Error("the model's metadata is incomplete");
  return spec;
}

// What a model of each kind takes and gives, beside audio and its state.
const KINDS = {
  denoiser: { takes: ["audio", "attenuation_limit_db"], gives: ["audio_out", "speech"] },
  encoder: { takes: ["audio"], gives: ["codes"] },
  decoder: { takes: ["codes"], gives: ["audio_out"] },
  "vae-encoder": { takes: ["audio"], gives: ["latents"] },
  "vae-decoder": { takes: ["latents"], gives: ["audio_out"] },
  classifier: { takes: ["audio"], gives: ["scores"] },
};

export class Model {
  #ort;
  #session;
  #state;

  static async create(ort, file) {
    const spec = readSpec(file);
    if (!KINDS[spec.kind]) throw new Error(`the model is of a kind that is not known here: ${spec.kind}`);
    const options = { executionProviders: ["wasm"], executionMode: "sequential", logSeverityLevel: 3 };
    return new Model(ort, spec, await ort.InferenceSession.create(file, options));
  }

  constructor(ort, spec, session) {
    this.#ort = ort;
    this.#session = session;
    this.spec = spec;
    this.reset();
  }

  reset() {
    this.#state = this.#tensor(new Float32Array(this.spec.state_size));
  }

  async step(inputs) {
    const { takes, gives } = KINDS[this.spec.kind];
    const feeds = { state: this.#state };
    for (const name of takes) feeds[name] = this.#tensor(inputs[name]);
    const result = await this.#session.run(feeds, [...gives, "state_out"]);
    this.#state = result.state_out;
    return Object.fromEntries(gives.map((name) => [name, result[name].data]));
  }

  close() {
    return this.#session.release();
  }

  #tensor(data) {
    return new this.#ort.Tensor(data instanceof BigInt64Array ? "int64" : "float32", data, [1, data.length]);
  }
}

export class Processor {
  #models;

  static async create(ort, ...files) {
    const models = [];
    for (const file of files) models.push(await Model.create(ort, file));
    return new Processor(models);
  }

  constructor(models) {
    this.#models = models;
    this.spec = specOf(models.map((model) => model.spec));
    this.attenuationLimitDb = 100;
    this.speech = 0;
  }

  reset() {
    this.speech = 0;
    this.#models.forEach((model) => model.reset());
  }

  async step(audio) {
    let passed = {
      audio: audio.map((sample) => (Number.isFinite(sample) ? sample : 0)),
      attenuation_limit_db: Float32Array.of(this.attenuationLimitDb),
    };
    for (const model of this.#models) passed = await model.step(passed);
    if (passed.speech) this.speech = passed.speech[0];
    return passed.audio_out;
  }

  async run(signal) {
    const { hop, delay } = this.spec;
    const output = new Float32Array(Math.ceil((signal.length + delay) / hop) * hop);
    output.set(signal);
    this.reset();
    for (let at = 0; at < output.length; at += hop) output.set(await this.step(output.slice(at, at + hop)), at);
    return output.slice(delay, delay + signal.length);
  }

  async close() {
    for (const model of this.#models) await model.close();
  }
}

// What a denoiser, or an encoder and its decoder, are together.
export function specOf(specs) {
  const [first, last] = [specs[0], specs.at(-1)];
  const kinds = specs.map((spec) => spec.kind).join(" ");
  if (!["denoiser", "encoder decoder", "vae-encoder vae-decoder"].includes(kinds)) {
    throw new Error(`a denoiser is wanted, or an encoder and its decoder; there is: ${kinds}`);
  }
  if (["sample_rate", "hop", "codebooks", "latent_size"].some((name) => (first[name] ?? 0) !== (last[name] ?? 0))) {
    throw new Error("the encoder and the decoder do not belong together");
  }
  return { ...first, delay: specs.reduce((sum, spec) => sum + spec.delay, 0) };
}

// onnxruntime-web does not hand out a model's metadata. An ONNX file is a protobuf message whose field 14 holds it:
// entries of a key (field 1) and a value (field 2).
function metadata(file, name) {
  for (const entry of fields(file, 14)) {
    const [key, value] = [1, 2].map((number) => {
      const [bytes] = fields(entry, number);
      return new TextDecoder().decode(bytes);
    });
    if (key === name) return value;
  }
  return undefined;
}

function* fields(message, wanted) {
  let at = 0;
  const varint = () => {
    for (let value = 0, scale = 1; at < message.length; scale *= 128) {
      const byte = message[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new Error("the model file is cut short or no ONNX file");
  };
  while (at < message.length) {
    const tag = varint();
    const wire = tag % 8;
    const length = wire === 0 ? (varint(), 0) : wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? varint() : Infinity;
    if (at + length > message.length) throw new Error("the model file is cut short or no ONNX file");
    if (wire === 2 && Math.floor(tag / 8) === wanted) yield message.subarray(at, at + length);
    at += length;
  }
}
