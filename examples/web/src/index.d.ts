/** What a model file says of itself; the fields are those of models/README.md. */
export interface ModelSpec {
  format_version: number;
  kind: "denoiser" | "encoder" | "decoder" | "vae-encoder" | "vae-decoder" | "classifier";
  name: string;
  sample_rate: number;
  hop: number;
  delay: number;
  state_size: number;
  /** What a classifier tells apart, in the order of its scores. */
  classes?: string[];
  [field: string]: unknown;
}

/** Reads the spec out of the bytes of a model file. Throws an Error if it is not an rtae model of a known format. */
export function readSpec(file: Uint8Array): ModelSpec;

/** What goes into a step or comes out of it, by the names of models/README.md. */
export interface Values {
  audio?: Float32Array;
  attenuation_limit_db?: Float32Array;
  codes?: BigInt64Array;
  latents?: Float32Array;
  audio_out?: Float32Array;
  speech?: Float32Array;
  scores?: Float32Array;
}

/** One model file of any kind, with the state of one stream: one side of a codec, for example. */
export class Model {
  /** `ort` is the module onnxruntime-web. */
  static create(ort: object, file: Uint8Array): Promise<Model>;
  readonly spec: ModelSpec;
  /** Takes what a model of its kind takes, gives what it gives. Wait for it before the next. */
  step(inputs: Values): Promise<Values>;
  reset(): void;
  close(): Promise<void>;
}

/** One stream of one channel, hop by hop, in any thread of a page. */
export class Processor {
  /** `ort` is the module onnxruntime-web; `files` a denoiser, or an encoder and its decoder. */
  static create(ort: object, ...files: Uint8Array[]): Promise<Processor>;
  /** That of the (first) model, with the delay of all. */
  readonly spec: ModelSpec;
  /** Probability that somebody spoke in the newest hop, 0 to 1; of a denoiser. */
  readonly speech: number;
  /** Most a denoiser may take away, in decibels; 100 is no limit. */
  attenuationLimitDb: number;
  /** Takes `spec.hop` samples, gives as many, `spec.delay` samples behind. Wait for it before the next. */
  step(audio: Float32Array): Promise<Float32Array>;
  /** Runs a whole recording at the model's rate through; the result is aligned with it, and as long. */
  run(signal: Float32Array): Promise<Float32Array>;
  reset(): void;
  close(): Promise<void>;
}

export interface LiveOptions {
  /** Address of a denoiser's file, or addresses of an encoder's and its decoder's. */
  model: string | URL | (string | URL)[];
  /** Address of onnxruntime-web's module with its wasm files beside it: ort.wasm.bundle.min.mjs. */
  ort: string | URL;
  /** Time the worker has to answer, in milliseconds; part of the latency. Default 30. */
  headroomMs?: number;
}

export interface LiveStats {
  /** Hops sent to the worker, and blocks of which a part came too late and was replaced by the input. */
  hops: number;
  late: number;
  /** Time of a hop in the worker in milliseconds: mean, and the longest so far. */
  hopMs: number;
  longestHopMs: number;
  /** Probability that somebody speaks, 0 to 1. */
  speech: number;
}

/** A node for an audio graph: what comes in leaves it processed, `latency` samples later. The first channel is used. */
export class LiveProcessor {
  /** The context must run at the model's rate: `new AudioContext({ sampleRate: spec.sample_rate })`. */
  static create(context: AudioContext, options: LiveOptions): Promise<LiveProcessor>;
  readonly spec: ModelSpec;
  readonly node: AudioWorkletNode;
  /** Samples between input and output, exact and constant. */
  readonly latency: number;
  /** Newest counters, ten times a second. */
  readonly stats: LiveStats;
  /** The input, delayed by as much, in place of the processed signal. */
  bypass: boolean;
  attenuationLimitDb: number;
  close(): void;
}
