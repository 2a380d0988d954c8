// The generator in this browser, by ONNX Runtime's WebAssembly build; no request leaves it.
import * as ort from "./ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL(".", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more need headers that a static server does not send
const session = ort.InferenceSession.create("./model.onnx");

export function onToken() {}

export async function describe() {
  return (await fetch("./model.json")).json();
}

// Samples of latents (a Float32Array) and labels (an array of whole numbers, or null), one after the other.
export async function generate(latents, labels, latentDim) {
  const count = latents.length / latentDim;
  const feed = { latents: new ort.Tensor("float32", latents, [count, latentDim]) };
  if (labels !== null) feed.labels = new ort.Tensor("int64", BigInt64Array.from(labels, BigInt), [count]);
  return (await (await session).run(feed)).samples.data;
}
