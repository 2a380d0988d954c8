// The generator on the server that this page comes from, called by the Open Inference Protocol with raw tensors.
const LENGTH = "Inference-Header-Content-Length";
const ATTEMPTS = 10; // on a busy server
let token = null;
let askForToken = null;

// Sets the function that is called when the server needs a token; it returns a promise of one.
export function onToken(prompt) {
  askForToken = prompt;
}

async function request(path, options = {}) {
  let attempts = 0;
  for (;;) {
    const headers = { ...options.headers, ...(token === null ? {} : { Authorization: `Bearer ${token}` }) };
    const answer = await fetch(path, { ...options, headers });
    if (answer.ok) return answer;
    const body = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
    if (answer.status === 503 && ++attempts < ATTEMPTS) {
      await new Promise((done) => setTimeout(done, 1000 * Number(answer.headers.get("Retry-After") ?? 1)));
    } else if (answer.status === 401 && askForToken !== null) {
      token = await askForToken();
    } else {
      throw new Error(body.error);
    }
  }
}

export async function describe() {
  return (await request("v1/model")).json();
}

// Samples of latents (a Float32Array) and labels (an array of whole numbers, or null), one after the other.
export async function generate(latents, labels, latentDim) {
  const count = latents.length / latentDim;
  const tensors = [["latents", "FP32", [count, latentDim], latents]];
  if (labels !== null) tensors.push(["labels", "INT64", [count], BigInt64Array.from(labels, BigInt)]);
  const inputs = tensors.map(([name, datatype, shape, data]) => {
    return { name, datatype, shape, parameters: { binary_data_size: data.byteLength } };
  });
  const head = new TextEncoder().encode(JSON.stringify({ inputs, parameters: { binary_data_output: true } }));
  const body = new Blob([head, ...tensors.map(([, , , data]) => data)]);
  const headers = { [LENGTH]: String(head.byteLength), "Content-Type": "application/octet-stream" };
  const answer = await request("v2/models/generator/infer", { method: "POST", body, headers });
  const bytes = await answer.arrayBuffer();
  return new Float32Array(bytes.slice(Number(answer.headers.get(LENGTH))));
}
