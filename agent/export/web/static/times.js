// Formats times in the zone of the board, and ages.

let zone, clock, minute, day;

// Sets the zone of all displayed times, by its IANA name.
export function setZone(name) {
  if (zone === name) return;
  const format = (parts) => new Intl.DateTimeFormat("en-GB", { timeZone: name, hourCycle: "h23", ...parts });
  zone = name;
  clock = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
  minute = format({ hour: "2-digit", minute: "2-digit" });
  day = format({ day: "numeric", month: "short", year: "numeric" });
}

const sameDay = (a, b) => day.format(a) === day.format(b);

export function clockText(atMs, nowMs) {
  return sameDay(atMs, nowMs) ? clock.format(atMs) : `${day.format(atMs)}, ${minute.format(atMs)}`;
}

export function momentText(atMs, nowMs) {
  return sameDay(atMs, nowMs) ? minute.format(atMs) : `${day.format(atMs)}, ${minute.format(atMs)}`;
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
