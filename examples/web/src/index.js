export { Model, Processor, readSpec } from "./processor.js";
export { LiveProcessor } from "./live.js";
