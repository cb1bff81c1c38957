// Formats times in the zone of the board, and ages.

let zone, format; // one format for all: making one takes milliseconds, in which the page does nothing else

// Sets the zone of all displayed times, by its IANA name.
export function setZone(name) {
  if (zone === name) return;
  zone = name;
  format = null;
}

const PARTS = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" };

function textsOf(atMs) {
  format ??= new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...PARTS });
  const of = Object.fromEntries(format.formatToParts(atMs).map((part) => [part.type, part.value]));
  const minute = `${of.hour}:${of.minute}`;
  return { day: `${of.day} ${of.month} ${of.year}`, minute, clock: `${minute}:${of.second}` };
}

// A time of today has seconds, another one its day.
export function clockText(atMs, nowMs) {
  const at = textsOf(atMs);
  return at.day === textsOf(nowMs).day ? at.clock : `${at.day}, ${at.minute}`;
}

export function momentText(atMs, nowMs) {
  const at = textsOf(atMs);
  return at.day === textsOf(nowMs).day ? at.minute : `${at.day}, ${at.minute}`;
}

export function ageText(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} days`;
}

// Replayed data of the past is not outdated, whatever its age.
export function isReplayed(ageMs) {
  return ageMs > 7 * 86400000;
}
