// The board: takes snapshots and changes from the agent, and patches the page.

import { setData, setHidden, setText, el, patchList } from "./dom.js";
import { makeAlert, makeObjective, makeTransition, patchAlert, patchObjective, patchTransition } from "./cards.js";
import { requestAll, drawFilters, isNarrowed, onChoice, query } from "./filters.js";
import { makeKpi, patchKpi } from "./kpi.js";
import { noticeOf, quietText } from "./notice.js";
import { ageText, clockText, isReplayed, setZone } from "./times.js";
import { schedule } from "./slices.js";
import { follow } from "./stream.js";

const $ = (id) => document.getElementById(id);

const FEW_ALERTS = 5; // the KPIs stay in sight
const kpis = new Map();
const drawn = new Map(); // by name, the KPI that its card shows
let board = null;
let skewMs = 0; // the agent's clock less ours
let allAlerts = false;
let connection = "connecting";
let target = location.hash.slice(1); // where a link leads, until it is there

const now = () => Date.now() + skewMs;

function apply(change) {
  board = { ...board, ...change };
  skewMs = board.now_ms - Date.now();
  setZone(board.timezone);
  for (const kpi of change.kpis ?? []) kpis.set(kpi.name, kpi);
  const listed = new Set(board.kpi_order);
  for (const name of [...kpis.keys()]) if (!listed.has(name)) kpis.delete(name);
  if (Object.keys(change).some((key) => key !== "kpis" && key !== "now_ms")) draw();
  else schedule("kpis", drawKpis);
}

function draw() {
  schedule("head", drawHead);
  schedule("alerts", () => {
    drawAlerts();
    announce();
  });
  schedule("history", drawHistory);
  schedule("objectives", drawObjectives);
  schedule("filters", () => {
    setHidden($("kpis-section"), board.declared === 0);
    drawFilters(board);
  });
  schedule("kpis", drawKpis);
}

function drawHead() {
  setText($("name"), board.name);
  setText($("about"), `kpi-agent ${board.version} · rules ${board.config_hash.slice(0, 12)} · All times are in ${board.timezone}.`);
  drawNotice();
  drawClock();
}

function drawObjectives() {
  setHidden($("objectives-section"), board.objectives.length === 0);
  patchList($("objectives"), board.objectives, (o) => o.name, makeObjective, patchObjective);
}

// Scroll to the card in the address, which did not exist when the page was loaded.
function goToTarget() {
  const node = target && $(target);
  const isListed = board.kpi_order.some((name) => `kpi-${name}` === target);
  if (target.startsWith("kpi-") && !isListed && board.found > board.kpi_order.length) requestAll();
  if (!node) return;
  target = "";
  node.scrollIntoView();
}

// Existing cards are put in order at once; their contents, and new cards, follow one by one.
function drawKpis() {
  placeKpis(() => {});
  for (const name of board.kpi_order) {
    if (kpis.has(name) && drawn.get(name) !== kpis.get(name)) schedule(`kpi ${name}`, () => drawKpi(name));
  }
  schedule("target", goToTarget);
}

function drawKpi(name) {
  const kpi = kpis.get(name);
  if (!kpi) return; // not asked for any more
  drawn.set(name, kpi);
  placeKpis((node, of) => of === kpi && patchKpi(node, kpi, now()));
}

function placeKpis(patch) {
  for (const name of [...drawn.keys()]) if (!kpis.has(name)) drawn.delete(name);
  const placed = board.kpi_order.filter((name) => drawn.has(name)).map((name) => kpis.get(name));
  patchList($("kpis"), placed, (kpi) => kpi.name, makeKpi, patch);
}

function drawNotice() {
  showNotice(noticeOf(board, connection, now()));
}

function showNotice(notice) {
  setHidden($("notice"), notice === null);
  const text = JSON.stringify(notice);
  if (notice === null || $("notice").dataset.text === text) return;
  $("notice").dataset.text = text;
  $("notice").replaceChildren(el("strong", {}, notice[0]), el("ul", {}, ...notice[1].map((line) => el("li", {}, line))));
}

function drawAlerts() {
  const { firing, inhibited, pending } = board.alert_counts;
  document.title = firing ? `(${firing}) ${board.name}` : board.name;
  setData(document.body, "firing", String(firing > 0));
  const quiet = { key: "quiet", quiet: quietText(board, connection, now(), isNarrowed()), known: board.ready.ok && connection !== "lost" };
  const items = firing ? [...board.alerts] : [quiet, ...board.alerts];
  const standing = board.alerts.filter((a) => a.phase !== "resolved").reduce((sum, a) => sum + a.count, 0);
  const hidden = firing + inhibited + pending - standing;
  if (hidden > 0) items.push({ key: "rest", rest: hidden });
  const rest = items.length - FEW_ALERTS;
  if (!allAlerts && rest > 1) items.length = FEW_ALERTS;
  setHidden($("all-alerts"), rest < 2);
  setText($("all-alerts"), allAlerts ? "Show fewer alerts" : `Show ${rest} more alerts`);
  $("all-alerts").setAttribute("aria-expanded", String(allAlerts));
  patchList($("alerts"), items, (a) => a.key, makeAlert, (node, alert) => patchAlert(node, alert, board.data_until_ms ?? now()));
}

function drawHistory() {
  setHidden($("history"), board.transitions.length === 0);
  if (!$("history").open) return; // drawn once somebody opens it
  patchList($("transitions"), board.transitions, (s) => s.key, makeTransition, (node, transition) => patchTransition(node, transition, board.data_until_ms ?? now()));
}

// Screen readers announce when alerts begin and end, not each minute of their duration.
let announced = null;

function announce() {
  const firing = new Map(board.alerts.filter((a) => a.phase === "firing").map((a) => [a.key, a]));
  if (announced !== null) {
    const news = [...firing.values()].filter((a) => !announced.has(a.key)).map((a) => `${a.severity}: ${a.summary}`);
    const over = [...announced.values()].filter((a) => !firing.has(a.key)).map((a) => `no longer firing: ${[a.title, a.series].filter(Boolean).join(" ")}`);
    if (news.length + over.length) setText($("announced"), [...news, ...over].slice(0, 5).join(". "));
  }
  announced = firing;
}

function drawClock() {
  if (!board) return;
  const until = board.data_until_ms;
  if (until === null) return setText($("clock"), "No data yet");
  const age = now() - until;
  const replayed = isReplayed(age);
  setText($("clock"), `Data up to ${clockText(until, now())} ${board.timezone}${replayed || age < -1000 ? "" : ` · ${ageText(age)} ago`}`);
  setData($("clock"), "old", String(!replayed && age > 120000));
}

function link(state, text) {
  setData($("link"), "link", state);
  setText($("link-text"), state === "refused" ? "Nothing to show" : text);
  if (state === "refused") showNotice(["The agent can't show what this address asks for", [text]]);
  setData(document.body, "link", state);
  if (connection === state) return;
  connection = state;
  if (board && state !== "refused") draw();
}

$("all-alerts").addEventListener("click", () => {
  allAlerts = !allAlerts;
  drawAlerts();
});
$("history").addEventListener("toggle", () => board && drawHistory());
const reopen = follow(apply, link, query);
onChoice(reopen);
setInterval(() => {
  if (!board) return;
  drawClock();
  drawNotice();
}, 1000);
