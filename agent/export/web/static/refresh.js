// Keeps a page up to date: parts that the agent would render differently now are replaced. A page is
// not changed while text is selected or something in it has the focus.

import { pause } from "./slices.js";

const REFRESH_MS = 10000;

export function keepFresh(mayChange, changed) {
  setInterval(() => refresh(mayChange, changed).catch(() => {}), REFRESH_MS);
}

async function refresh(mayChange, changed) {
  if (document.hidden || getSelection().toString() || !mayChange()) return;
  const response = await fetch(location.href, { cache: "no-store", headers: { Accept: "text/html" } });
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
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

// For pages without a script of their own.
if (!document.getElementById("data")) keepFresh(() => !document.querySelector("details[open]"), () => {});
