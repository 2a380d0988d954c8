"use strict";

for (const chart of document.querySelectorAll("figure[data-chart]")) {
  const { x, s, l } = JSON.parse(chart.dataset.chart);
  const svg = chart.querySelector("svg:not(.swatch)");
  const cursor = svg.querySelector(".cursor");
  const dots = [...svg.querySelectorAll(".dot")];
  const values = [...chart.querySelectorAll(".legend b")];
  const at = chart.querySelector(".at");
  const last = x.length - 1;
  let here = last;

  const show = (index) => {
    here = index;
    cursor.setAttribute("x1", x[index]);
    cursor.setAttribute("x2", x[index]);
    at.textContent = "step " + s[index];
    l.forEach((line, number) => {
      values[number].textContent = line.t[index];
      const y = line.y[index];
      dots[number].setAttribute("cx", x[index]);
      dots[number].setAttribute("cy", y === null ? -99 : y);
    });
  };
  const nearest = (place) => {
    let best = 0;
    x.forEach((other, index) => {
      if (Math.abs(other - place) < Math.abs(x[best] - place)) best = index;
    });
    return best;
  };
  const follow = (event) => {
    const box = svg.getBoundingClientRect();
    const place = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    svg.classList.add("read");
    show(nearest(place));
  };
  const leave = () => {
    svg.classList.remove("read");
    show(last);
  };

  svg.addEventListener("pointermove", follow);
  svg.addEventListener("pointerdown", follow);
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("blur", leave);
  svg.addEventListener("keydown", (event) => {
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!direction) return;
    event.preventDefault();
    svg.classList.add("read");
    show(Math.min(Math.max(here + direction, 0), last));
  });
}

for (const player of document.querySelectorAll("figure.player")) {
  const button = player.querySelector("button");
  if (!button) continue;
  const frames = JSON.parse(player.dataset.frames).map(([step, uri]) => {
    const image = new Image();
    image.src = uri;
    return { step, image };
  });
  const shown = player.querySelector("img");
  const slider = player.querySelector("input");
  const output = player.querySelector("output");
  const wait = Math.max(90, Math.min(300, 5000 / frames.length));
  let timer = null;

  const show = (index) => {
    const { step, image } = frames[index];
    slider.value = index;
    shown.src = image.src;
    const text = "step " + step.toLocaleString("en");
    output.textContent = text;
    slider.setAttribute("aria-valuetext", text);
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  };
  const play = () => {
    let index = Number(slider.value) === frames.length - 1 ? 0 : Number(slider.value);
    show(index);
    button.textContent = "Pause";
    timer = setInterval(() => {
      index += 1;
      show(index);
      if (index === frames.length - 1) stop();
    }, wait);
  };

  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  button.addEventListener("click", () => (timer === null ? play() : stop()));
}

document.documentElement.classList.add("live");
