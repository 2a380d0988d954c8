// The latents of a seed, as wgan.latents makes them: Philox4x64-10 (Salmon et al. 2011, "Parallel Random Numbers:
// As Easy as 1, 2, 3") as numpy keys and counts it, and Box-Muller in float64.
const WORD = (1n << 64n) - 1n;
const MULTIPLIERS = [0xd2e7470ee14c6c93n, 0xca5a826395121157n];
const BUMPS = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn];

function philox(counter, seed) {
  let [a, b, c, d] = [counter & WORD, counter >> 64n, 0n, 0n];
  let [left, right] = [seed, 0n];
  for (let round = 0; round < 10; round++) {
    const first = MULTIPLIERS[0] * a;
    const second = MULTIPLIERS[1] * c;
    [a, b, c, d] = [(second >> 64n) ^ b ^ left, second & WORD, (first >> 64n) ^ d ^ right, first & WORD];
    left = (left + BUMPS[0]) & WORD;
    right = (right + BUMPS[1]) & WORD;
  }
  return [a, b, c, d];
}

// count latents of length latentDim, one after the other, for a seed (BigInt) in [0, 2^64).
export function latents(count, latentDim, seed) {
  const width = 2 * Math.ceil(latentDim / 2);
  const uniform = new Float64Array(count * width);
  for (let start = 0, counter = 1n; start < uniform.length; start += 4, counter++) {
    const words = philox(counter, seed);
    for (let index = 0; index < 4 && start + index < uniform.length; index++) {
      uniform[start + index] = (Number(words[index] >> 11n) + 0.5) * 2 ** -53;
    }
  }
  const normal = new Float32Array(count * latentDim);
  for (let row = 0; row < count; row++) {
    for (let column = 0; column < width; column += 2) {
      const from = row * width + column;
      const to = row * latentDim + column;
      const radius = Math.sqrt(-2 * Math.log(uniform[from]));
      const angle = 2 * Math.PI * uniform[from + 1];
      normal[to] = radius * Math.cos(angle);
      if (column + 1 < latentDim) normal[to + 1] = radius * Math.sin(angle);
    }
  }
  return normal;
}
