// Work on the page in slices, between which the browser draws and handles input.

const SLICE_MS = 8;

const waiting = new Map(); // by name: what is asked for again meanwhile is done once
let running = false;

export const pause = () => globalThis.scheduler?.yield?.() ?? new Promise((done) => setTimeout(done));

// Schedules `work`; it replaces waiting work of the same name.
export function schedule(name, work) {
  waiting.set(name, work);
  if (!running) run();
}

async function run() {
  running = true;
  try {
    for (let began = -SLICE_MS; waiting.size; ) {
      if (performance.now() - began >= SLICE_MS) {
        await pause();
        began = performance.now();
      }
      const [name, work] = waiting.entries().next().value;
      waiting.delete(name);
      work();
    }
  } finally {
    running = false;
  }
}
