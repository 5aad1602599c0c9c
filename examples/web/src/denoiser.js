// A streaming denoiser over an rtae model file (models/README.md) and onnxruntime-web.

const NEWEST_FORMAT = 1;
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

export class Denoiser {
  #ort;
  #session;
  #state;

  static async create(ort, file) {
    const spec = readSpec(file);
    if (spec.kind !== "denoiser") throw new Error(`the model is of kind ${spec.kind}, not a denoiser`);
    const options = { executionProviders: ["wasm"], executionMode: "sequential", logSeverityLevel: 3 };
    return new Denoiser(ort, spec, await ort.InferenceSession.create(file, options));
  }

  constructor(ort, spec, session) {
    this.#ort = ort;
    this.#session = session;
    this.spec = spec;
    this.attenuationLimitDb = 100;
    this.reset();
  }

  reset() {
    this.speech = 0;
    this.#state = this.#tensor(new Float32Array(this.spec.state_size));
  }

  async step(audio) {
    const result = await this.#session.run({
      audio: this.#tensor(audio.map((sample) => (Number.isFinite(sample) ? sample : 0))),
      state: this.#state,
      attenuation_limit_db: this.#tensor(Float32Array.of(this.attenuationLimitDb)),
    });
    this.#state = result.state_out;
    this.speech = result.speech.data[0];
    return result.audio_out.data;
  }

  async clean(signal) {
    const { hop, delay } = this.spec;
    const output = new Float32Array(Math.ceil((signal.length + delay) / hop) * hop);
    output.set(signal);
    this.reset();
    for (let at = 0; at < output.length; at += hop) output.set(await this.step(output.slice(at, at + hop)), at);
    return output.slice(delay, delay + signal.length);
  }

  close() {
    return this.#session.release();
  }

  #tensor(data) {
    return new this.#ort.Tensor("float32", data, [1, data.length]);
  }
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
