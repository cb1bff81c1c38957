// A KPI's card: its worst series large, and all series as rows.

import { el, parts, patchList, setData, setHidden, setHref, setIcon, setText, svg } from "./dom.js";
import { query } from "./filters.js";
import { drawSpark } from "./spark.js";
import { STATES } from "./states.js";
import { momentText } from "./times.js";

const MOST = 500; // rows of one KPI that the agent sends at most
const FULL = 1.25; // the attainment bar's right end; the target's mark stands at 1

export function makeKpi(kpi) {
  const node = el("article", { class: "card kpi", id: `kpi-${kpi.name}` },
    el("header", {},
      el("div", {}, el("h3", {}, el("a", { "data-part": "title" })), el("p", { "data-part": "owner", class: "owner" })),
      el("p", { class: "state" }, el("span", { "data-part": "icon", class: "badge" }), el("span", { "data-part": "word", class: "word" }))),
    el("div", { class: "figure" },
      el("p", { "data-part": "of", class: "of-all" }),
      el("p", { "data-part": "which", class: "which" }),
      el("p", { "data-part": "value", class: "number" }),
      el("p", { "data-part": "current", class: "current" })),
    svg("svg", { "data-part": "spark", class: "spark", role: "img" }),
    el("div", { "data-part": "reach", class: "reach" },
      el("p", { class: "target" }, el("span", { "data-part": "target" }), el("span", { "data-part": "attainment", class: "percent" })),
      el("div", { "data-part": "meter", class: "meter", role: "meter", "aria-valuemin": "0", "aria-valuemax": "125", "aria-label": "Attainment of the target in per cent" }, el("span", { class: "fill" }), el("span", { class: "goal" }))),
    el("ul", { "data-part": "rows", class: "rows" }),
    el("button", { "data-part": "more", class: "more", type: "button", "aria-expanded": "false" }),
    el("p", { "data-part": "fresh", class: "fresh" }));
  parts(node).more.addEventListener("click", () => toggle(node));
  return node;
}

export function patchKpi(node, kpi, nowMs) {
  node.kpi = kpi;
  const p = parts(node);
  const row = kpi.rows[0] ?? null;
  const many = kpi.total > 1 || (row !== null && row.series !== "");
  setData(node, "state", kpi.state);
  setData(node, "phase", row?.phase ?? "");
  setText(p.title, kpi.title);
  setHref(p.title, kpi.path);
  p.title.title = kpi.description;
  setText(p.owner, [kpi.owner, ...kpi.objectives].filter(Boolean).join(" · "));
  setIcon(p.icon, kpi.state);
  setText(p.word, row?.maintenance ? "Maintenance" : row?.hidden ? "Hidden" : STATES[kpi.state]);
  p.word.title = row?.maintenance ?? row?.hidden ?? "";
  setText(p.of, kpi.total > 1 ? ofText(kpi) : "");
  setHidden(p.of, p.of.textContent === "");
  setText(p.which, many && row ? (kpi.total > 1 ? `${row.series}, ${rankText(kpi)} of ${kpi.total}` : row.series) : "");
  setHidden(p.which, !many);
  setText(p.value, row?.text ?? "–");
  setData(p.value, "empty", String(row === null || row.value === null));
  setText(p.current, row === null ? "No window has closed yet" : row.current === null ? "" : `Open window: ${row.current}`);
  p.spark.toggleAttribute("hidden", row === null);
  if (row) drawSpark(p.spark, row, 64);
  patchReach(p, kpi, row);
  setHidden(p.rows, kpi.total < 2);
  if (node.expanded) expand(node);
  else patchRows(node, kpi.total > 1 ? kpi.rows : []);
  patchMore(p.more, kpi, node.expanded);
  setText(p.fresh, freshText(kpi, row, nowMs));
  setData(p.fresh, "stale", String(kpi.stale));
}

// Without a target there is no worst series: the first row is the most interesting one.
function rankText(kpi) {
  if (kpi.state !== "none") return "worst";
  return kpi.better === "lower" ? "highest" : "lowest";
}

// The summary of all series: their total, and how many are in the card's state.
function ofText(kpi) {
  return [kpi.sum && `Total ${kpi.sum}`, kpi.state !== "none" && countText(kpi)].filter(Boolean).join(" · ");
}

function countText(kpi) {
  const said = { missed: "missed", at_risk: "at risk", met: "on target", no_data: "without data" };
  return `${(kpi.counts[kpi.state] ?? 0).toLocaleString()} of ${kpi.total.toLocaleString()} ${said[kpi.state]}`;
}

function freshText(kpi, row, nowMs) {
  if (kpi.end_ms === null) return kpi.window;
  const events = row && !row.hidden ? ` · ${row.events.toLocaleString()} ${row.events === 1 ? "event" : "events"}` : "";
  const end = momentText(kpi.end_ms, nowMs);
  return `${kpi.stale ? "Stale, nothing since" : "Up to"} ${end} · ${kpi.window}${kpi.total > 1 ? "" : events}`;
}

function patchReach(p, kpi, row) {
  const target = row ? row.target : kpi.target;
  setHidden(p.reach, !target);
  if (!target) return;
  // A number stays with its unit when the line breaks.
  setText(p.target, `Target ${target}`.replace(/(\d) (?=\S)/g, "$1\u00a0"));
  const reached = row?.attainment ?? null;
  setHidden(p.meter, reached === null);
  setText(p.attainment, reached === null ? "" : row.attainment_text);
  if (reached === null) return;
  const part = Math.max(0, Math.min(FULL, reached)) / FULL;
  p.meter.firstElementChild.style.width = `${(part * 100).toFixed(2)}%`;
  p.meter.setAttribute("aria-valuenow", String(Math.round(Math.min(FULL, reached) * 100)));
  p.meter.setAttribute("aria-valuetext", `${row.attainment_text} of the target`);
}

function patchRows(node, rows) {
  patchList(parts(node).rows, rows, (row) => row.key, makeRow, patchRow);
}

function makeRow() {
  return el("li", { class: "row" },
    el("span", { "data-part": "icon", class: "badge" }),
    el("a", { "data-part": "series", class: "series" }),
    svg("svg", { "data-part": "spark", class: "spark", role: "img" }),
    el("span", { "data-part": "value", class: "value" }),
    el("span", { "data-part": "word", class: "hidden" }));
}

function patchRow(node, row) {
  const p = parts(node);
  setData(node, "state", row.state);
  setData(node, "phase", row.phase ?? "");
  setIcon(p.icon, row.state);
  setText(p.series, row.series);
  setHref(p.series, row.path);
  const unseen = row.maintenance ? `in maintenance: ${row.maintenance}` : row.hidden ? `hidden: ${row.hidden}` : "";
  const about = unseen || (row.target ? `target ${row.target}` : "");
  p.series.title = about ? `${row.series}: ${about}` : row.series;
  setText(p.value, row.text);
  setText(p.word, `, ${unseen || STATES[row.state]}${row.phase ? `, alert ${row.phase}` : ""}`);
  drawSpark(p.spark, row, 20);
}

function patchMore(button, kpi, expanded) {
  const rest = kpi.total - kpi.rows.length;
  setHidden(button, rest <= 0 && !expanded);
  const all = kpi.total > MOST ? `the worst ${MOST} of ${kpi.total.toLocaleString()}` : `all ${kpi.total}`;
  setText(button, expanded ? "Show fewer" : `Show ${all}`);
  button.setAttribute("aria-expanded", String(Boolean(expanded)));
}

function toggle(node) {
  node.expanded = !node.expanded;
  setData(node, "expanded", String(node.expanded));
  if (!node.expanded) patchRows(node, node.kpi.rows);
  else expand(node);
  patchMore(parts(node).more, node.kpi, node.expanded);
}

// A board has few rows for each KPI; the rest is fetched when the card is expanded.
async function expand(node) {
  const name = node.kpi.name;
  try {
    const response = await fetch(`api/v1/kpis/${encodeURIComponent(name)}?${query()}`, { cache: "no-store" });
    if (!response.ok) return;
    const kpi = await response.json();
    if (node.expanded && node.kpi.name === name) patchRows(node, kpi.rows);
  } catch {
    // The stream reports a lost connection; existing rows stay.
  }
}
