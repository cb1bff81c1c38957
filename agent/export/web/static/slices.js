// Work on the page in slices: between them the browser draws, and answers people.

const SLICE_MS = 8;

const waiting = new Map(); // by name: what is asked for again meanwhile is done once
let running = false;

export const pause = () => globalThis.scheduler?.yield?.() ?? new Promise((done) => setTimeout(done));

// Does `work` soon; work of the same name that still waits is dropped.
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
