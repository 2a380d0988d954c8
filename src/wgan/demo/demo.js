import { describe, generate, onToken } from "./backend.js";
import { latents } from "./latents.js";

const LARGEST_SEED = (1n << 64n) - 1n;
const POINTS = 1024;
const STRIP = 9;
const at = (id) => document.getElementById(id);

const model = { latentDim: 0, shape: [], classes: null, directions: [], most: 64 };
const view = { latents: null, labels: null, samples: null, chosen: 0, moves: [] };

// ---------------------------------------------------------------------------------------- images

// A sample (C, H, W) in [-1, 1] as pixels.
function pixels(samples, index) {
  const [channels, height, width] = model.shape;
  const size = height * width;
  const image = new ImageData(width, height);
  const byte = (x) => Math.round((Math.min(Math.max(Number.isNaN(x) ? -1 : x, -1), 1) + 1) * 127.5);
  for (let place = 0; place < size; place++) {
    for (let channel = 0; channel < 3; channel++) {
      const from = (index * channels + (channels === 3 ? channel : 0)) * size + place;
      image.data[4 * place + channel] = byte(samples[from]);
    }
    image.data[4 * place + 3] = 255;
  }
  return image;
}

function paint(canvas, samples, index) {
  [canvas.height, canvas.width] = model.shape.slice(1);
  canvas.getContext("2d").putImageData(pixels(samples, index), 0, 0);
}

// Vectors as points, by their first two coordinates.
function plot(canvas, samples) {
  const [length] = model.shape;
  const side = (canvas.width = canvas.height = 640);
  const most = samples.reduce((most, x) => Math.max(most, Math.abs(x)), 0) * 1.1 || 1;
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(document.body).color;
  for (let start = 0; start < samples.length; start += length) {
    const [x, y] = [samples[start], samples[start + Math.min(1, length - 1)]];
    context.fillRect((x / most + 1) * (side / 2) - 1.5, (1 - y / most) * (side / 2) - 1.5, 3, 3);
  }
}

function save(canvas, name) {
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

function gridCanvas() {
  const tiles = [...document.querySelectorAll("#grid canvas")];
  const [height, width] = model.shape.slice(1);
  const columns = Math.ceil(Math.sqrt(tiles.length));
  const whole = document.createElement("canvas");
  whole.width = columns * width;
  whole.height = Math.ceil(tiles.length / columns) * height;
  const place = (tile, index) => [tile, (index % columns) * width, Math.floor(index / columns) * height];
  tiles.forEach((tile, index) => whole.getContext("2d").drawImage(...place(tile, index)));
  return whole;
}

// ----------------------------------------------------------------------------------------- latents

const latent = (index) => view.latents.slice(index * model.latentDim, (index + 1) * model.latentDim);
const label = (index) => (view.labels === null ? null : view.labels[index]);

// The chosen image's latent, moved along the directions.
function moved() {
  const start = latent(view.chosen);
  view.moves.forEach((move, index) => model.directions[index].forEach((part, k) => (start[k] += move * part)));
  return start;
}

// A latent on the great circle through two others, at fraction t (Shoemake 1985), so that its length stays typical.
function between(one, other, t) {
  const dot = (a, b) => a.reduce((sum, x, k) => sum + x * b[k], 0);
  const cosine = dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other));
  const angle = Math.acos(Math.min(Math.max(cosine, -1), 1));
  const [first, second] =
    angle < 1e-4 || angle > Math.PI - 1e-4
      ? [1 - t, t]
      : [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)];
  return one.map((x, k) => first * x + second * other[k]);
}

function concatenate(parts) {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((start, part) => (whole.set(part, start), start + part.length), 0);
  return whole;
}

// -------------------------------------------------------------------------------------------- view

let working = 0;

function busy(change) {
  working += change;
  document.querySelector("main").setAttribute("aria-busy", working > 0);
}

// Runs the work again after calls that came while it ran: however many, only once.
function latest(work) {
  let running = false;
  let again = false;
  return async () => {
    again = true;
    if (running) return;
    running = true;
    busy(1);
    try {
      while (again) {
        again = false;
        await work();
      }
      showError(null);
    } catch (error) {
      showError(error.message);
    } finally {
      running = false;
      busy(-1);
    }
  };
}

function showError(message) {
  at("trouble").hidden = message === null;
  at("trouble").textContent = message ?? "";
}

function seed() {
  const text = at("seed").value.trim();
  const value = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n;
  if (value < 0n || value > LARGEST_SEED) throw new Error("A seed is a whole number from 0 to 2^64 - 1.");
  return value;
}

const showAll = latest(async () => {
  at("seed").setAttribute("aria-invalid", "true");
  const value = seed();
  at("seed").removeAttribute("aria-invalid");
  const truncation = Number(at("truncation").value);
  at("truncation-value").textContent = `${Math.round(truncation * 100)} %`;
  const count = isImages() ? Number(at("count").value) : POINTS;
  view.latents = latents(count, model.latentDim, value).map((x) => x * Math.fround(truncation));
  view.labels = labels(count);
  view.samples = await generateMany(view.latents, view.labels);
  if (!isImages()) return plot(at("plot"), view.samples);
  showTiles(count);
  view.chosen = Math.min(view.chosen, count - 1);
  await choose(view.chosen);
});

function labels(count) {
  if (model.classes === null) return null;
  const chosen = at("label").value;
  return Array.from({ length: count }, (_, k) => (chosen === "" ? k % model.classes.length : Number(chosen)));
}

// In batches that the server accepts.
async function generateMany(points, labels) {
  const parts = [];
  for (let start = 0; start < points.length / model.latentDim; start += model.most) {
    const end = start + model.most;
    const some = points.slice(start * model.latentDim, end * model.latentDim);
    parts.push(await generate(some, labels?.slice(start, end) ?? null, model.latentDim));
  }
  return concatenate(parts);
}

function showTiles(count) {
  const grid = at("grid");
  while (grid.children.length > count) grid.lastChild.remove();
  while (grid.children.length < count) grid.append(tile(grid.children.length));
  grid.style.setProperty("--columns", Math.ceil(Math.sqrt(count)));
  [...grid.children].forEach((button, index) => paint(button.firstChild, view.samples, index));
  const end = at("end");
  const before = Math.min(Number(end.value || 2), count);
  end.replaceChildren(...Array.from({ length: count }, (_, k) => new Option(k + 1, k + 1)));
  end.value = before;
}

function tile(index) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "tile";
  button.setAttribute("aria-label", `Image ${index + 1}`);
  button.append(document.createElement("canvas"));
  button.addEventListener("click", () => choose(index));
  return button;
}

async function choose(index) {
  view.chosen = index;
  [...at("grid").children].forEach((tile, k) => tile.setAttribute("aria-pressed", k === index));
  const named = model.classes === null ? "" : `: ${model.classes[label(index)]}`;
  at("chosen-title").textContent = `Image ${index + 1}${named}`;
  at("large").setAttribute("aria-label", `Image ${index + 1}, large${named}`);
  reset();
  await Promise.all([showLarge(), showPath()]);
}

function reset() {
  view.moves = model.directions.map(() => 0);
  at("fraction").value = 0;
  for (const slider of document.querySelectorAll("#sliders input")) {
    slider.value = 0;
    slider.nextElementSibling.textContent = "0.0";
  }
}

const showLarge = latest(async () => {
  const t = Number(at("fraction").value);
  const point = t === 0 ? moved() : between(moved(), target(), t);
  paint(at("large"), await generateMany(point, ofChosen(1)), 0);
});

const showPath = latest(async () => {
  const [start, end] = [moved(), target()];
  const points = Array.from({ length: STRIP }, (_, k) => between(start, end, k / (STRIP - 1)));
  const samples = await generateMany(concatenate(points), ofChosen(STRIP));
  const className = model.classes === null ? "" : `, as ${model.classes[label(view.chosen)]}`;
  at("path-title").textContent = `From image ${view.chosen + 1} to image ${at("end").value}${className}`;
  [...at("strip").children].forEach((canvas, k) => paint(canvas, samples, k));
});

// The label stays that of the chosen image: labels are not interpolated.
const ofChosen = (count) => (view.labels === null ? null : Array(count).fill(label(view.chosen)));
const target = () => latent(Number(at("end").value) - 1);
const isImages = () => model.shape.length === 3;

// ------------------------------------------------------------------------------------------- start

function addSliders() {
  model.directions.forEach((_, index) => {
    const row = document.createElement("label");
    const slider = Object.assign(document.createElement("input"), { type: "range", min: -4, max: 4, step: 0.1 });
    slider.value = 0;
    const output = Object.assign(document.createElement("output"), { textContent: "0.0" });
    row.append(String(index), slider, output); // the number of `wgan sample --direction`
    slider.addEventListener("input", () => {
      view.moves[index] = Number(slider.value);
      output.textContent = view.moves[index].toFixed(1);
      showLarge();
      showPath();
    });
    at("sliders").append(row);
  });
}

function listen() {
  for (const id of ["seed", "count", "label"]) at(id).addEventListener("change", showAll);
  at("truncation").addEventListener("input", showAll);
  at("another").addEventListener("click", () => {
    at("seed").value = crypto.getRandomValues(new Uint32Array(1))[0];
    showAll();
  });
  at("reset").addEventListener("click", () => (reset(), showLarge(), showPath()));
  at("end").addEventListener("change", () => (showLarge(), showPath()));
  at("fraction").addEventListener("input", showLarge);
  at("save-image").addEventListener("click", () => save(at("large"), `seed-${at("seed").value}-${view.chosen + 1}.png`));
  at("save-grid").addEventListener("click", () => {
    save(isImages() ? gridCanvas() : at("plot"), `seed-${at("seed").value}.png`);
  });
}

function askForToken() {
  at("access").hidden = false;
  at("token").focus();
  return new Promise((done) => {
    at("access").addEventListener(
      "submit",
      (event) => {
        event.preventDefault();
        at("access").hidden = true;
        done(at("token").value);
      },
      { once: true },
    );
  });
}

function show(description) {
  const { name, latent_dim, shape, classes, directions, most = 64 } = description;
  Object.assign(model, { latentDim: latent_dim, shape, classes, directions, most });
  document.title = at("name").textContent = name;
  const kind = isImages() ? `${shape[2]} × ${shape[1]} ${shape[0] === 1 ? "grey" : "colour"}` : "points";
  at("facts").textContent = `A generator of ${isImages() ? `${kind} images` : kind} from ${latent_dim} numbers`;
  if (classes !== null) {
    at("labels").hidden = false;
    at("label").append(...classes.map((title, k) => new Option(title, k)));
  }
  if (!isImages()) {
    for (const id of ["chosen", "path"]) at(id).hidden = true;
    at("count").parentElement.hidden = true;
    at("grid-title").textContent = "Samples";
    document.querySelector(".halves").classList.add("plain");
  }
  at("plot").hidden = isImages();
  at("strip").append(...Array.from({ length: STRIP }, () => document.createElement("canvas")));
}

onToken(askForToken);
describe()
  .then((description) => {
    show(description);
    addSliders();
    listen();
    document.querySelector("main").hidden = false;
    return showAll();
  })
  .catch((error) => {
    at("name").textContent = "No generator";
    showError(error.message);
  });
