// The board: takes snapshots and changes from the agent, and patches the page.

import { setData, setHidden, setText, el, patchList } from "./dom.js";
import { makeAlert, makeObjective, makeStep, patchAlert, patchObjective, patchStep } from "./cards.js";
import { makeKpi, patchKpi } from "./kpi.js";
import { ageText, clockText } from "./times.js";
import { follow } from "./stream.js";

const $ = (id) => document.getElementById(id);
const STATES = { missed: "Missed", at_risk: "At risk", met: "On target", none: "No target", no_data: "No data" };

const kpis = new Map();
let board = null;
let skewMs = 0; // the agent's clock less ours
let shown = "all";

const now = () => Date.now() + skewMs;

function take(change) {
  board = { ...board, ...change };
  skewMs = board.now_ms - Date.now();
  for (const kpi of change.kpis ?? []) kpis.set(kpi.name, kpi);
  for (const name of [...kpis.keys()]) if (!board.kpi_order.includes(name)) kpis.delete(name);
  draw();
}

function draw() {
  setText($("name"), board.name);
  setText($("about"), `kpi-agent ${board.version} · rules ${board.config_hash.slice(0, 12)}`);
  drawNotice();
  drawAlerts();
  setHidden($("objectives-section"), board.objectives.length === 0);
  const known = [...kpis.values()];
  patchList($("objectives"), board.objectives, (o) => o.name, makeObjective, patchObjective);
  setHidden($("kpis-section"), known.length === 0);
  drawChips(known);
  drawKpis();
  drawClock();
}

function drawKpis() {
  const listed = board.kpi_order.map((name) => kpis.get(name)).filter(Boolean);
  const visible = listed.filter((kpi) => shown === "all" || kpi.state === shown);
  patchList($("kpis"), visible, (kpi) => kpi.name, makeKpi, (node, kpi) => patchKpi(node, kpi, now()));
}

function drawNotice() {
  const { ok, reasons } = board.ready;
  const empty = board.data_until_ms === null;
  const missed = board.missed.map((m) => `${m.topic}: at most ${m.records} records were deleted or skipped`);
  setHidden($("notice"), ok && !empty && !missed.length);
  if (ok && !empty && !missed.length) return;
  let title = missed.length ? "Records were gone before they were read: values may lack them" : "Not everything is ready";
  if (empty) title = "Waiting for the first events";
  const why = [...reasons.map((r) => `${r.component}: ${r.reason}`), ...missed];
  if (ok && empty) why.push("The agent is ready. Values appear here when the first window closes.");
  const text = JSON.stringify([title, why]);
  if ($("notice").dataset.text === text) return;
  $("notice").dataset.text = text;
  $("notice").replaceChildren(el("strong", {}, title), el("ul", {}, ...why.map((line) => el("li", {}, line))));
}

function drawAlerts() {
  const { firing, inhibited, pending } = board.alert_counts;
  document.title = firing ? `(${firing}) ${board.name}` : board.name;
  setData(document.body, "firing", String(firing > 0));
  const items = firing ? [...board.alerts] : [{ key: "quiet", quiet: true }, ...board.alerts];
  const hidden = firing + inhibited + pending - board.alerts.filter((a) => a.phase !== "resolved").length;
  if (hidden > 0) items.push({ key: "rest", rest: hidden });
  patchList($("alerts"), items, (a) => a.key, makeAlert, (node, alert) => patchAlert(node, alert, board.data_until_ms ?? now(), board));
  setHidden($("history"), board.steps.length === 0);
  patchList($("steps"), board.steps, (s) => s.key, makeStep, (node, step) => patchStep(node, step, board.data_until_ms ?? now()));
}

function drawChips(known) {
  const counts = { all: known.length };
  for (const kpi of known) counts[kpi.state] = (counts[kpi.state] ?? 0) + 1;
  if (!counts[shown]) shown = "all";
  const items = ["all", ...Object.keys(STATES)].filter((state) => counts[state]);
  const make = (state) => el("button", { type: "button", class: "chip", onclick: () => { shown = state; draw(); } },
    el("span", {}, state === "all" ? "All" : STATES[state]), el("span", { class: "count" }));
  const patch = (node, state) => {
    node.setAttribute("aria-pressed", String(state === shown));
    setData(node, "state", state);
    setText(node.lastElementChild, String(counts[state]));
  };
  patchList($("chips"), items, (state) => state, make, patch);
}

function drawClock() {
  if (!board) return;
  const until = board.data_until_ms;
  if (until === null) return setText($("clock"), "No data yet");
  const age = now() - until;
  // Data of the past, replayed, is not old: its age says nothing.
  const replayed = age > 7 * 86400000;
  setText($("clock"), `Data up to ${clockText(until, now())}${replayed || age < -1000 ? "" : ` · ${ageText(age)} ago`}`);
  setData($("clock"), "old", String(!replayed && age > 120000));
}

function link(state, text) {
  setData($("link"), "link", state);
  setText($("link-text"), text);
  setData(document.body, "link", state);
}

follow(take, link);
setInterval(drawClock, 1000);
