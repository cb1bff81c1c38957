// The notice at the top of the board about problems with its data.

import { ageText, clockText, isReplayed } from "./times.js";

const OLD_MS = 10 * 60000;
const OUTCOMES = { ignored: "of a type that no contract has", late: "late", duplicate: "duplicates", empty: "empty" };

export function isOld(board, nowMs) {
  const age = board.data_until_ms === null ? 0 : nowMs - board.data_until_ms;
  return age > OLD_MS && !isReplayed(age);
}

// The title and the lines of the notice; null: there is no problem.
export function noticeOf(board, link, nowMs) {
  const reasons = board.ready.reasons.map((r) => `${r.component}: ${r.reason}`);
  const missed = board.missed.map((m) => `${m.topic}: at most ${m.records} records were deleted or skipped`);
  if (link === "lost") return ["No connection to the agent", [`What is shown is of ${clockText(board.now_ms, nowMs)}, and may have changed since.`]];
  if (board.declared === 0) return ["No KPIs are declared", ["Write the first into a YAML file in the folder of rules, then reload. For a draft from a sample of your events: kpi-agent init events.ndjson"]];
  if (board.data_until_ms === null) return ["Waiting for the first events", [...reasons, ...board.sources.map(sourceText), ...(board.ready.ok ? ["Values appear here when the first window closes."] : [])]];
  if (isOld(board, nowMs)) return [`The data is ${ageText(nowMs - board.data_until_ms)} old`, [`Nothing newer than ${clockText(board.data_until_ms, nowMs)} has been evaluated: alerts and states are of then.`, ...reasons, ...missed]];
  if (missed.length) return ["Records were deleted before they were read: values may lack them", [...reasons, ...missed]];
  if (!board.ready.ok) return ["Not everything is ready", reasons];
  return null;
}

function sourceText(source) {
  if (source.records === 0) return `Topic ${source.topic}: no record yet`;
  const why = source.why.map((w) => `${w.records.toLocaleString()} ${OUTCOMES[w.outcome] ?? `rejected: ${w.outcome.replaceAll("_", " ")}`}`);
  return `Topic ${source.topic}: ${source.records.toLocaleString()} records, none counted (${why.join(", ")})`;
}

// The text in place of alerts when none fires.
export function quietText(board, link, nowMs, narrowed) {
  if (link === "lost") return "Not known: no connection to the agent.";
  if (isOld(board, nowMs)) return "No alert fires by data that is old.";
  if (board.data_until_ms === null || !board.ready.ok) return "No alerts.";
  if (narrowed) return board.elsewhere ? `No alert of this selection is firing; ${board.elsewhere.toLocaleString()} elsewhere.` : "No alert is firing.";
  return board.alert_counts.pending > 0 ? "Nothing fires yet." : "All quiet. No alert is firing.";
}
