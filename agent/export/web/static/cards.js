// Alerts and objectives.

import { el, parts, patchList, setData, setHidden, setHref, setIcon, setText } from "./dom.js";
import { makeRing, patchRing } from "./spark.js";
import { STATES } from "./states.js";
import { ageText, clockText, momentText } from "./times.js";

const PHASES = { firing: "firing", inhibited: "inhibited", pending: "pending", resolved: "resolved" };
const ARROWS = { up: "↗", down: "↘", flat: "→" };

export function makeAlert(alert) {
  if (alert.rest) return el("li", { class: "rest" }, el("a", { href: "alerts" }));
  if (alert.quiet) {
    return el("li", { class: "quiet" }, el("span", { "data-part": "icon", class: "badge" }), el("span", { "data-part": "text" }));
  }
  const node = el("li", { class: "alert" },
    el("span", { "data-part": "icon", class: "badge" }),
    el("div", { class: "what" },
      el("p", { class: "say" }, el("strong", { "data-part": "severity", class: "severity" }), el("a", { "data-part": "summary" })),
      el("p", { class: "meta" }, el("span", { "data-part": "series" }), el("span", { "data-part": "rule" }), el("span", { "data-part": "since" }), el("span", { "data-part": "owner" })),
      el("p", { "data-part": "description", class: "more" }),
      el("details", { "data-part": "group", class: "group" }, el("summary", { "data-part": "count" }), el("ul", { "data-part": "others" }))),
    el("a", { "data-part": "runbook", class: "runbook", target: "_blank", rel: "noopener noreferrer" }, "Runbook"));
  parts(node).group.addEventListener("toggle", () => node.drawOthers?.());
  return node;
}

export function patchAlert(node, alert, eventTimeMs) {
  if (alert.rest) return setText(node.firstElementChild, `and ${alert.rest.toLocaleString()} more`);
  const p = parts(node);
  if (alert.quiet) {
    setIcon(p.icon, alert.known ? "met" : "no_data");
    setData(node, "known", String(alert.known));
    return setText(p.text, alert.quiet);
  }
  setData(node, "phase", alert.phase);
  setData(node, "severity", alert.severity);
  setIcon(p.icon, alert.phase === "resolved" ? "resolved" : alert.severity);
  setText(p.severity, alert.phase === "firing" ? alert.severity : `${PHASES[alert.phase]} ${alert.severity}`);
  setText(p.summary, alert.summary);
  setHref(p.summary, alert.path);
  const of = alert.count > 1 ? `${alert.count.toLocaleString()} of ${alert.total.toLocaleString()} series, worst ${alert.series}` : alert.series;
  setText(p.series, [alert.title, of].filter(Boolean).join(" · "));
  setText(p.rule, alert.rule);
  const since = alert.since_ms;
  const age = since === null ? 0 : eventTimeMs - since;
  const began = since === null ? "" : momentText(since, eventTimeMs);
  setText(p.since, since === null ? "" : alert.phase === "resolved" ? `${began}, ${ageText(age)} ago` : `since ${began}, ${ageText(age)}`);
  const next = alert.escalation && alert.phase === "firing" ? `then ${alert.escalation}` : "";
  setText(p.owner, [alert.owner, next].filter(Boolean).join(", "));
  setText(p.description, alert.description);
  patchGroup(node, alert, eventTimeMs);
  for (const part of [p.since, p.owner, p.description]) setHidden(part, part.textContent === "");
  setHidden(p.runbook, alert.runbook === null || alert.phase === "resolved"); // what is over calls nobody
  if (alert.runbook !== null) setHref(p.runbook, alert.runbook);
  p.runbook.setAttribute("aria-label", `Runbook of ${alert.rule}`);
}

// Many series of one rule: their number, and the others in short, once somebody opens them.
function patchGroup(node, alert, eventTimeMs) {
  const p = parts(node);
  setHidden(p.group, alert.count < 2);
  if (alert.count < 2) return;
  const named = alert.others.length + 1;
  const rest = alert.count - 1;
  setText(p.count, `and ${rest.toLocaleString()} more series${alert.count > named ? `, of which the gravest ${named - 1}` : ""}`);
  node.drawOthers = () => {
    if (p.group.open) patchList(p.others, alert.others, (other) => other.key, makeOther, (item, other) => patchOther(item, other, eventTimeMs));
  };
  node.drawOthers();
}

function makeOther() {
  return el("li", {}, el("span", { "data-part": "icon", class: "badge" }), el("a", { "data-part": "text" }));
}

function patchOther(node, other, eventTimeMs) {
  const p = parts(node);
  setData(node, "severity", other.severity);
  setIcon(p.icon, other.severity);
  setHref(p.text, other.path);
  const since = other.since_ms === null ? "" : ` since ${momentText(other.since_ms, eventTimeMs)}`;
  setText(p.text, [other.series, other.value, `${other.severity}${since}`].filter(Boolean).join(" · "));
}

const TRANSITIONS = { firing: "fired", pending: "is pending", inhibited: "is inhibited", resolved: "resolved", inactive: "cleared before firing" };

export function makeTransition() {
  return el("li", {},
    el("span", { "data-part": "icon", class: "badge" }),
    el("time", { "data-part": "at" }),
    el("a", { "data-part": "text", class: "text" }),
    el("span", { "data-part": "because", class: "because" }));
}

export function patchTransition(node, t, nowMs) {
  const p = parts(node);
  setData(node, "phase", t.state);
  setData(node, "severity", t.severity);
  setIcon(p.icon, t.state === "resolved" ? "resolved" : t.state === "inactive" ? "none" : t.severity);
  setText(p.at, clockText(t.at_ms, nowMs));
  p.at.dateTime = new Date(t.at_ms).toISOString();
  setText(p.text, `${[t.title, t.series].filter(Boolean).join(" · ")}: ${t.rule} (${t.severity}) ${TRANSITIONS[t.state]}`);
  setHref(p.text, t.path);
  setText(p.because, t.because);
}

export function makeObjective(objective) {
  return el("article", { class: "card objective", id: `objective-${objective.name}` },
    el("div", { "data-part": "ring", class: "gauge" }, makeRing(), el("span", { "data-part": "icon", class: "badge" })),
    el("div", { class: "about" },
      el("h3", { "data-part": "title" }),
      el("p", { class: "score" }, el("span", { "data-part": "score", class: "number" }), el("span", { "data-part": "word", class: "word" })),
      el("p", { "data-part": "trend", class: "trend" }),
      el("p", { "data-part": "owner", class: "owner" })),
    el("ul", { "data-part": "kpis", class: "of" }));
}

export function patchObjective(node, objective) {
  const p = parts(node);
  setData(node, "state", objective.state);
  setIcon(p.icon, objective.state);
  patchRing(p.ring.firstElementChild, objective.score);
  setText(p.title, objective.title);
  node.title = objective.description;
  setText(p.score, objective.text);
  setText(p.word, STATES[objective.state]);
  setText(p.trend, objective.trend === null ? "" : `${ARROWS[objective.trend]} ${objective.trend_text}`);
  setHidden(p.trend, objective.trend === null);
  setData(p.trend, "trend", objective.trend ?? "");
  setText(p.owner, objective.owner);
  const made = [...objective.objectives.map((o) => ({ ...o, path: `#objective-${o.name}` })), ...objective.kpis];
  const drawn = JSON.stringify(made);
  if (p.kpis.drawn === drawn) return;
  p.kpis.drawn = drawn;
  made.sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state));
  // Above the column for the eye; each part says it in its own words.
  const head = el("li", { class: "weights", "aria-hidden": "true" }, "Weight");
  p.kpis.replaceChildren(...(made.length ? [head] : []), ...listed(made));
}

const ORDER = Object.keys(STATES);
const FEW_PARTS = 5;

// The worst parts; the others are collapsed.
function listed(parts) {
  const shown = parts.length > FEW_PARTS + 1 ? FEW_PARTS : parts.length;
  const rest = parts.slice(shown);
  const items = parts.slice(0, shown).map(makePart);
  if (rest.length) items.push(el("li", {}, el("details", {}, el("summary", {}, `and ${rest.length} more`), el("ul", {}, ...rest.map(makePart)))));
  return items;
}

function makePart(part) {
  const badge = el("span", { class: "badge", "data-state": part.state });
  setIcon(badge, part.state);
  return el("li", {}, badge, el("a", { href: part.path }, part.title), el("span", { class: "hidden" }, `, ${STATES[part.state]}, weight`), el("span", { class: "weight" }, part.weight));
}
