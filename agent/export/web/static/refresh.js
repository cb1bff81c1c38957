// Keeps a page as the agent would write it now: what is no longer the same is put in its place. A
// page is left alone while somebody selects text or has the focus in it.

import { pause } from "./slices.js";

const REFRESH_MS = 10000;

export function keepFresh(mayChange, changed) {
  setInterval(() => refresh(mayChange, changed).catch(() => {}), REFRESH_MS);
}

async function refresh(mayChange, changed) {
  if (document.hidden || getSelection().toString() || !mayChange()) return;
  const answer = await fetch(location.href, { cache: "no-store", headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const now of document.querySelectorAll("[data-live]")) {
    await pause();
    const next = page.getElementById(now.id);
    if (!next) now.replaceChildren();
    else if (!haveSame(now.childNodes, next.childNodes) && !now.contains(document.activeElement)) now.replaceChildren(...next.childNodes);
  }
  await pause();
  changed(page);
}

const haveSame = (some, others) => some.length === others.length && Array.from(some).every((node, n) => node.isEqualNode(others[n]));

// A page that has no script of its own.
if (!document.getElementById("data")) keepFresh(() => !document.querySelector("details[open]"), () => {});
