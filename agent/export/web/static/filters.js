// The filters for KPIs. The agent applies them (selection.py); they are kept in the address, so that
// a link shares them.

import { el, patchList, setData, setHidden, setText } from "./dom.js";
import { STATES } from "./states.js";

const ORDER = Object.keys(STATES);
const CHOICES = { owner: "All owners", team: "All teams", objective: "All objectives" };
const NAMES = ["q", "series", "state", ...Object.keys(CHOICES)];
const PAGE = matchMedia("(max-width: 40rem)").matches ? 12 : 24; // KPIs at once
const MOST = 500;
const TYPING_MS = 250;

const $ = (id) => document.getElementById(id);
const chosen = new URLSearchParams(location.search);

const limit = () => Number(chosen.get("limit")) || PAGE;

// The query parameters of the selection (selection.py).
export function query() {
  const asked = new URLSearchParams(NAMES.filter((name) => chosen.get(name)).map((name) => [name, chosen.get(name)]));
  asked.set("limit", String(limit()));
  return asked.toString();
}

export function requestAll() {
  if (limit() === MOST) return;
  choose("limit", String(MOST));
  changed();
}

export const isNarrowed = () => NAMES.some((name) => chosen.get(name));

function choose(name, value) {
  if (value) chosen.set(name, value);
  else chosen.delete(name);
  if (name !== "limit") chosen.delete("limit");
  const text = chosen.toString();
  history.replaceState(null, "", `${location.pathname}${text ? `?${text}` : ""}${location.hash}`);
}

export function drawFilters(board) {
  const now = chosen.get("state") ?? "";
  const counts = board.found_by_state;
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const patch = (node, state) => {
    node.setAttribute("aria-pressed", String(state === now));
    setData(node, "state", state || "all");
    setText(node.lastElementChild, String(state ? counts[state] ?? 0 : all));
  };
  const items = ["", ...ORDER].filter((state) => counts[state] || state === now || state === "");
  patchList($("chips"), items, (state) => state || "all", makeChip, patch);
  for (const [name, words] of Object.entries(CHOICES)) {
    drawOptions($(name), words, board.choices[name].map((value) => [value, value]), chosen.get(name) ?? "");
  }
  patchList($("dimensions"), board.choices.series, (of) => of.name, makeDimension, (node, of) => {
    drawOptions(node.lastElementChild, `${of.name}: all`, of.values.map((value) => [value.series, value.text]), of.chosen);
  });
  setHidden($("filters"), board.declared < 2);
  setHidden($("none-found"), board.found > 0 || board.declared === 0);
  const rest = board.found - board.kpi_order.length;
  setHidden($("more-kpis"), rest <= 0 || limit() >= MOST);
  setText($("more-kpis"), `Show ${Math.min(rest, PAGE)} more of ${board.found} KPIs`);
}

function makeChip(state) {
  return el("button", { type: "button", class: "chip", onclick: () => { choose("state", state); changed(); } },
    el("span", {}, state ? STATES[state] : "All"), el("span", { class: "count" }));
}

function makeDimension(of) {
  const select = el("select", { onchange: () => {
    const chosenOf = Array.from($("dimensions").querySelectorAll("select"), (one) => one.value);
    choose("series", chosenOf.filter(Boolean).join(", "));
    changed();
  } });
  return el("label", {}, el("span", { class: "hidden" }, of.name), select);
}

function drawOptions(select, all, values, now) {
  const options = values.some(([value]) => value === now) || !now ? values : [[now, now], ...values];
  setHidden(select.parentElement, options.length < 2 && !now);
  const patch = (node, [, text]) => setText(node, text);
  patchList(select, [["", all], ...options], ([value]) => value, ([value]) => el("option", { value }), patch);
  if (select.value !== now && select !== document.activeElement) select.value = now;
}

let changed = () => {};

// Calls back when the selection changes.
export function onChoice(callback) {
  let typing = 0;
  changed = callback;
  $("search").value = chosen.get("q") ?? "";
  $("search").addEventListener("input", () => {
    choose("q", $("search").value.trim());
    clearTimeout(typing);
    typing = setTimeout(changed, TYPING_MS);
  });
  for (const name of Object.keys(CHOICES)) $(name).addEventListener("change", () => { choose(name, $(name).value); changed(); });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("more-kpis").addEventListener("click", () => { choose("limit", String(Math.min(MOST, limit() + PAGE))); changed(); });
  $("clear").addEventListener("click", () => {
    for (const name of NAMES) choose(name, "");
    $("search").value = "";
    changed();
  });
  // A slash focuses the search, as on many sites.
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, select, textarea")) return;
    event.preventDefault();
    $("search").focus();
  });
}
