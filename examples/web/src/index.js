export { Denoiser, readSpec } from "./denoiser.js";
export { LiveDenoiser } from "./live.js";
