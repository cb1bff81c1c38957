// Which KPIs are shown, in which order. The choice is kept in the address, so that a link shares it.

import { el, patchList, setData, setHidden, setText } from "./dom.js";
import { STATES } from "./states.js";

const ORDER = Object.keys(STATES);
const CHOICES = { owner: ["All owners", (kpi) => [kpi.owner]], team: ["All teams", (kpi) => [kpi.team]], objective: ["All objectives", (kpi) => kpi.objectives] };

const $ = (id) => document.getElementById(id);
const chosen = new URLSearchParams(location.search);

const has = (kpi, name, value) => CHOICES[name][1](kpi).includes(value);

function words(kpi) {
  return [kpi.title, kpi.name, kpi.owner, kpi.team, ...kpi.objectives, ...kpi.rows.map((row) => row.series)].join(" ").toLowerCase();
}

// What the choices but `state` leave.
export function found(kpis) {
  const asked = (chosen.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return kpis.filter((kpi) => {
    const text = asked.length ? words(kpi) : "";
    return asked.every((word) => text.includes(word)) && Object.keys(CHOICES).every((name) => !chosen.get(name) || has(kpi, name, chosen.get(name)));
  });
}

// Of those, the KPIs to show: missed first, those of one state as the rules have them.
export function ofState(kpis) {
  const state = chosen.get("state");
  const rank = (kpi) => ORDER.indexOf(kpi.state);
  return kpis.filter((kpi) => !state || kpi.state === state).sort((a, b) => rank(a) - rank(b));
}

// The alerts of the owner and the team that were chosen.
export function filteredAlerts(alerts) {
  return alerts.filter((alert) => ["owner", "team"].every((name) => !chosen.get(name) || alert[name] === chosen.get(name)));
}

function choose(name, value) {
  if (value) chosen.set(name, value);
  else chosen.delete(name);
  const query = chosen.toString();
  history.replaceState(null, "", `${location.pathname}${query ? `?${query}` : ""}${location.hash}`);
}

export function drawFilters(kpis, left, shown) {
  const counts = { "": 0 };
  for (const kpi of left) {
    counts[""] += 1;
    counts[kpi.state] = (counts[kpi.state] ?? 0) + 1;
  }
  const now = chosen.get("state") ?? "";
  const items = ["", ...ORDER].filter((state) => counts[state] || state === now || state === "");
  const patch = (node, state) => {
    node.setAttribute("aria-pressed", String(state === now));
    setData(node, "state", state || "all");
    setText(node.lastElementChild, String(counts[state] ?? 0));
  };
  patchList($("chips"), items, (state) => state || "all", makeChip, patch);
  for (const [name, [all, of]] of Object.entries(CHOICES)) drawChoice($(name), all, kpis.flatMap(of), chosen.get(name) ?? "");
  setHidden($("filters"), kpis.length < 2);
  setHidden($("none-found"), shown > 0 || kpis.length === 0);
}

function makeChip(state) {
  return el("button", { type: "button", class: "chip", onclick: () => { choose("state", state); changed(); } },
    el("span", {}, state ? STATES[state] : "All"), el("span", { class: "count" }));
}

function drawChoice(select, all, values, now) {
  const options = [...new Set([...values, now].filter(Boolean))].sort((a, b) => a.localeCompare(b));
  setHidden(select.parentElement, options.length < 2 && !now);
  patchList(select, ["", ...options], (value) => value, (value) => el("option", { value }, value || all), () => {});
  if (select.value !== now) select.value = now;
}

let changed = () => {};

// Calls back when a reader has chosen something else.
export function onChoice(redraw) {
  changed = redraw;
  $("search").value = chosen.get("q") ?? "";
  const listen = (id, event) => $(id).addEventListener(event, () => { choose($(id).name, $(id).value.trim()); redraw(); });
  listen("search", "input");
  for (const name of Object.keys(CHOICES)) listen(name, "change");
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("clear").addEventListener("click", () => {
    for (const name of ["q", "state", ...Object.keys(CHOICES)]) choose(name, "");
    $("search").value = "";
    redraw();
  });
  // A slash finds, as on many boards.
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, select, textarea")) return;
    event.preventDefault();
    $("search").focus();
  });
}
