// Uses the page of a generator in Chromium and prints as JSON what it did:
// node look.mjs CHROMIUM URL WIDTH SCHEME SEED [IMAGE]
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [executablePath, url, width, colorScheme, seed, image] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: Number(width), height: 900 }, colorScheme });
const seen = { requests: [], console: [], errors: [] };
page.on("request", (request) => seen.requests.push(request.url()));
page.on("console", (message) => seen.console.push(message.text()));
page.on("pageerror", (error) => seen.errors.push(error.message));

const still = () => page.waitForSelector("main[aria-busy=false]:not([hidden])", { timeout: 60000 });
// What a canvas shows, as the first of its four channels.
const shown = (selector) =>
  page.$eval(selector, (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return [...data].filter((_, index) => index % 4 === 0);
  });
const all = (selector) =>
  page.$$eval(selector, (found) =>
    found.map((canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.join()),
  );

await page.goto(url);
for (const token of (process.env.TOKENS ?? "").split(" ").filter(Boolean)) {
  await page.waitForSelector("#access:not([hidden])");
  await page.fill("#token", token);
  await page.locator("#access button").click();
}
await still();
await page.fill("#seed", seed);
await page.press("#seed", "Enter");
await page.locator("#seed").blur();
await still();
const images = await page.locator("#chosen").isVisible();
Object.assign(
  seen,
  await page.evaluate(async (seed) => {
    // The model itself, beside the pixels it becomes.
    const { latents } = await import("./latents.js");
    const { describe, generate } = await import("./backend.js");
    const { latent_dim, classes } = await describe();
    const points = latents(5, latent_dim, BigInt(seed));
    const labels = classes === null ? null : [0, 1, 2, 3, 4].map((index) => index % classes.length);
    return { latents: [...points], samples: [...(await generate(points, labels, latent_dim))] };
  }, seed),
  await page.evaluate(() => {
    const inside = (element) => {
      const box = element.getBoundingClientRect();
      return box.left >= -0.5 && box.right <= innerWidth + 0.5;
    };
    const visible = [...document.querySelectorAll("body *")].filter((part) => part.getClientRects().length > 0);
    const controls = visible.filter((part) => part.matches("button, input, select, canvas[role]"));
    return {
      width: [document.scrollingElement.scrollWidth, innerWidth],
      outside: visible.filter((part) => !inside(part)).map((part) => part.outerHTML.slice(0, 90)),
      unnamed: controls
        .filter((part) => !part.labels?.length && !part.ariaLabel && !part.textContent.trim())
        .map((part) => part.outerHTML.slice(0, 90)),
      back: getComputedStyle(document.body).backgroundColor,
      title: document.title,
      trouble: document.querySelector("#trouble").textContent,
    };
  }),
);
if (images) {
  seen.first = await shown("#grid .tile:first-child canvas");
  seen.tiles = (await all("#grid canvas")).length;
  seen.large = [await shown("#large")];
  await page.locator("#grid .tile").nth(3).click();
  await still();
  seen.large.push(await shown("#large"));
  seen.strip = new Set(await all("#strip canvas")).size;
  await page.locator("#sliders input").first().fill("3");
  await still();
  seen.large.push(await shown("#large"));
  await page.locator("#reset").click();
  await still();
  seen.large.push(await shown("#large"));
  await page.locator("#fraction").fill("1");
  await still();
  seen.large.push(await shown("#large"));
  seen.second = await shown("#grid .tile:nth-child(2) canvas");
  await page.locator("#truncation").fill("0.5");
  await still();
  seen.truncated = await shown("#grid .tile:first-child canvas");
  if (await page.locator("#label").isVisible()) {
    await page.locator("#label").selectOption({ index: 3 });
    await still();
    seen.labelled = await shown("#grid .tile:first-child canvas");
    await page.locator("#label").selectOption({ index: 0 });
  }
  await page.locator("#truncation").fill("1");
  await still();
  const waiting = page.waitForEvent("download");
  await page.locator("#save-image").click();
  const download = await waiting;
  seen.saved = [download.suggestedFilename(), readFileSync(await download.path()).toString("base64")];
  await page.fill("#seed", "-1");
  await page.locator("#seed").blur();
  await page.waitForSelector("#trouble:not([hidden])");
  seen.refused = await page.locator("#trouble").innerText();
  await page.fill("#seed", seed);
  await page.locator("#seed").blur();
  await still();
}
if (image) {
  await page.evaluate(() => document.activeElement.blur());
  await page.mouse.move(0, 0);
  await page.screenshot({ path: image, fullPage: true });
}
await browser.close();
process.stdout.write(JSON.stringify(seen));
