// Opens a page in Chromium and prints as JSON what it did: node look.mjs CHROMIUM PAGE WIDTH SCHEME [IMAGE]
import { chromium } from "playwright-core";

const [executablePath, file, width, colorScheme, image] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage({ viewport: { width: Number(width), height: 844 }, colorScheme });
const seen = { requests: [], refused: [], console: [], errors: [] };
page.on("request", (request) => seen.requests.push(request.url().slice(0, 80)));
page.on("requestfailed", (request) => {
  if (request.failure().errorText === "csp") seen.refused.push(request.url());
});
page.on("console", (message) => seen.console.push(message.text()));
page.on("pageerror", (error) => seen.errors.push(error.message));
await page.goto(file);
await page.evaluate(() => document.querySelectorAll("details").forEach((part) => (part.open = true)));

Object.assign(
  seen,
  await page.evaluate(() => {
    const all = (selector) => [...document.querySelectorAll(selector)];
    const shown = (element) => element.getClientRects().length > 0;
    const rgb = (text) => text.match(/[\d.]+/g).map(Number);
    const light = (parts) => {
      const [r, g, b] = parts
        .slice(0, 3)
        .map((part) => part / 255)
        .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const back = rgb(getComputedStyle(at).backgroundColor);
        if (back.length === 3 || back[3] > 0) return back;
      }
      return [255, 255, 255];
    };
    const contrast = (element, property) => {
      const [one, other] = [rgb(getComputedStyle(element)[property]), behind(element)].map(light);
      return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    };
    const written = all("body *").filter(
      (element) =>
        shown(element) && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()),
    );
    const property = (element) => (element instanceof SVGElement ? "fill" : "color");
    const least = (elements, name) =>
      elements
        .map((element) => [contrast(element, name(element)), element.outerHTML.slice(0, 90)])
        .sort((a, b) => a[0] - b[0])[0] ?? [99, ""];
    const small = written.map((element) => {
      const scale = element instanceof SVGElement ? element.getScreenCTM().a : 1;
      return parseFloat(getComputedStyle(element).fontSize) * scale;
    });
    const inside = (element) => {
      const box = element.getBoundingClientRect();
      return box.left >= -0.5 && box.right <= innerWidth + 0.5;
    };
    return {
      width: [document.scrollingElement.scrollWidth, innerWidth],
      svgs: all("svg").map((svg) => [svg.getBoundingClientRect().width, svg.getBoundingClientRect().height]),
      images: all("img").map((image) => [image.complete, image.naturalWidth]),
      text: least(written, property),
      lines: least(all("path.line, circle.point"), (element) =>
        element.matches("circle") ? "fill" : "stroke",
      ),
      smallest: Math.min(...small),
      outside: written.filter((element) => !inside(element)).map((element) => element.outerHTML.slice(0, 90)),
      back: getComputedStyle(document.body).backgroundColor,
      height: document.scrollingElement.scrollHeight,
      title: document.title,
      injected: typeof window.injected,
    };
  }),
);

const chart = page.locator("figure.chart > svg").first();
if (await chart.count()) {
  const legend = () => page.locator("figure.chart .legend").first().innerText();
  const box = await chart.boundingBox();
  seen.legend = [await legend()];
  await chart.scrollIntoViewIfNeeded();
  await chart.hover({ position: { x: box.width * 0.5, y: box.height * 0.5 } });
  seen.legend.push(await legend());
  await page.mouse.move(0, 0);
  await chart.focus();
  await page.keyboard.press("ArrowLeft");
  seen.legend.push(await legend());
}
const slider = page.locator("figure.player input");
if (await slider.count()) {
  const told = () => page.locator("figure.player output").innerText();
  const source = () => page.locator("figure.player img").getAttribute("src");
  seen.player = [await told()];
  const before = await source();
  await slider.fill("0");
  seen.player.push(await told());
  seen.changed = before !== (await source());
  await page.locator("figure.player button").click();
  await page.waitForFunction(() => document.querySelector("figure.player button").textContent === "Play");
  seen.player.push(await told());
}
if (image) {
  await page.evaluate(() => document.querySelectorAll("details").forEach((part) => (part.open = false)));
  await page.mouse.move(0, 0);
  await page.screenshot({ path: image, fullPage: true });
}
await browser.close();
process.stdout.write(JSON.stringify(seen));
