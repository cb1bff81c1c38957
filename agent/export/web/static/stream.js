// The agent's changes: by server-sent events, or by polling if those don't get through.

const SILENT_MS = 40000; // the agent sends a heartbeat every 15 s
const POLL_MS = 5000;
const RETRY_MS = 5000;

// Returns a function that reopens the stream, for another selection.
export function follow(apply, link, query) {
  let source = null, polling = null, heardAt = Date.now(), failures = 0;

  function open() {
    source?.close();
    source = new EventSource(`api/v1/stream?${query()}`);
    heardAt = Date.now();
    for (const name of ["board", "change", "beat"]) {
      source.addEventListener(name, (event) => {
        heardAt = Date.now();
        failures = 0;
        stopPolling();
        link("live", "Live");
        if (name !== "beat") apply(JSON.parse(event.data));
      });
    }
    source.onerror = () => {
      failures += 1;
      if (!polling) link("lost", "Reconnecting");
      // After a response that is no stream, the browser does not retry: we do.
      const refused = source.readyState === EventSource.CLOSED;
      if (refused) setTimeout(open, RETRY_MS);
      if (refused || failures >= 2) startPolling();
    };
  }

  async function poll() {
    try {
      const response = await fetch(`api/v1/board?${query()}`, { cache: "no-store" });
      const board = await response.json();
      if (response.status === 400) return link("refused", board.error);
      if (!response.ok) throw new Error(String(response.status));
      if (!polling) return;
      apply(board);
      link("polling", "Every 5 s");
    } catch {
      link("lost", "No connection");
    }
  }

  function startPolling() {
    if (polling) return;
    polling = setInterval(poll, POLL_MS);
    poll();
  }

  function stopPolling() {
    clearInterval(polling);
    polling = null;
  }

  setInterval(() => {
    if (Date.now() - heardAt > SILENT_MS && source.readyState !== EventSource.CLOSED) {
      startPolling();
      open();
    }
  }, 5000);
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  open();
  return () => (polling ? poll() : open());
}
