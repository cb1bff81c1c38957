// Sparklines: the last windows of a series as SVG, with its target line and the bad side shaded.

import { svg } from "./dom.js";

const WIDTH = 300;

function scale(values, bounds) {
  let low = Math.min(...values), high = Math.max(...values);
  const span = high - low || Math.abs(high) * 0.1 || 1;
  // A distant target would flatten the line, and is left out of the scale.
  for (const bound of bounds) {
    if (bound < low && low - bound <= 2 * span) low = bound;
    if (bound > high && bound - high <= 2 * span) high = bound;
  }
  const pad = (high - low || span) * 0.12;
  return { low: low - pad, high: high + pad };
}

function lines(history, x, y) {
  const runs = [];
  let run = [];
  for (const [at, value] of history) {
    if (value === null) {
      if (run.length) runs.push(run);
      run = [];
    } else run.push([x(at), y(value)]);
  }
  if (run.length) runs.push(run);
  return runs;
}

const path = (run) => "M" + run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");

export function drawSpark(node, row, height) {
  const drawn = JSON.stringify([row.history, row.bounds, row.state]);
  if (node.drawn === drawn) return;
  node.drawn = drawn;
  const values = row.history.map(([, value]) => value).filter((value) => value !== null);
  node.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
  node.setAttribute("preserveAspectRatio", "none");
  const many = row.history.length;
  node.setAttribute("aria-label", values.length ? `The last ${many} windows, between ${row.low} and ${row.high}` : "No windows yet");
  if (!values.length) return node.replaceChildren();

  const { at_least: least, at_most: most } = row.bounds;
  const bounds = [least, most].filter((bound) => bound !== undefined);
  const { low, high } = scale(values, bounds);
  const first = row.history[0][0], last = row.history[many - 1][0];
  const x = (at) => (last === first ? WIDTH - 4 : 4 + ((at - first) / (last - first)) * (WIDTH - 8));
  const y = (value) => height - ((value - low) / (high - low)) * height;
  const shown = [];
  const zone = (from, to) => shown.push(svg("rect", { class: "zone", x: 0, width: WIDTH, y: from, height: Math.max(0, to - from) }));
  const inside = (bound) => bound !== undefined && bound > low && bound < high;
  if (inside(most)) zone(0, y(most));
  if (inside(least)) zone(y(least), height);
  for (const bound of bounds.filter(inside)) {
    shown.push(svg("line", { class: "bound", x1: 0, x2: WIDTH, y1: y(bound), y2: y(bound) }));
  }
  for (const bound of [row.bounds.warn_at_least, row.bounds.warn_at_most].filter(inside)) {
    shown.push(svg("line", { class: "warn", x1: 0, x2: WIDTH, y1: y(bound), y2: y(bound) }));
  }
  for (const run of lines(row.history, x, y)) {
    const [start, end] = [run[0], run[run.length - 1]];
    shown.push(svg("path", { class: "under", d: `${path(run)}L${end[0].toFixed(1)} ${height}L${start[0].toFixed(1)} ${height}Z` }));
    shown.push(svg("path", { class: "line", d: path(run) }));
  }
  const [at, value] = row.history[many - 1];
  // A line of length zero with round caps does not stretch with the drawing, unlike a circle.
  if (value !== null) shown.push(svg("path", { class: "tip", d: `M${x(at).toFixed(1)} ${y(value).toFixed(1)}h0.01` }));
  node.replaceChildren(...shown);
}

const AROUND = 2 * Math.PI * 26;

export function makeRing() {
  return svg("svg", { class: "ring", viewBox: "0 0 64 64", "aria-hidden": "true" },
    svg("circle", { class: "track", cx: 32, cy: 32, r: 26 }),
    svg("circle", { class: "arc", cx: 32, cy: 32, r: 26, "stroke-dasharray": AROUND, "stroke-dashoffset": AROUND, transform: "rotate(-90 32 32)" }));
}

export function patchRing(ring, score) {
  const part = Math.max(0, Math.min(1, score ?? 0));
  ring.querySelector(".arc").style.strokeDashoffset = String(AROUND * (1 - part));
}
