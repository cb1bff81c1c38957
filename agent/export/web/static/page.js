// The page of a KPI: makes the chart interactive, and updates the open page. The page is complete
// without it.

import { drawChart } from "./chart.js";
import { keepFresh } from "./refresh.js";
import { pause } from "./slices.js";

const $ = (id) => document.getElementById(id);
const read = () => JSON.parse($("data").textContent);

let chart = null;
let loaded = null;

// The page has its chart as SVG first. The library is loaded later, and each step is a task of its own, so
// that a phone stays responsive.
function load() {
  loaded ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = "../static/uPlot.iife.min.js";
    script.onload = done;
    script.onerror = failed;
    document.head.append(script);
  });
  return loaded;
}

async function draw(data) {
  const empty = data.lines.every((line) => line.points.length === 0);
  if (!empty) await load();
  await pause();
  $("plot").hidden = empty;
  $("drawing").hidden = !empty;
  $("png").hidden = empty;
  chart?.destroy();
  chart = empty ? null : drawChart($("plot"), data);
  await pause();
  chart?.fill();
}

function changed(page) {
  const text = page.getElementById("data").textContent;
  if (text === $("data").textContent) return;
  $("data").textContent = text;
  draw(read());
}

$("png").addEventListener("click", () => chart?.savePng());
addEventListener("resize", () => chart?.resize());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(read()));
draw(read());
keepFresh(() => !chart?.isHeld(), changed);
