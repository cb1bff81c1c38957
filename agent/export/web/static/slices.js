// Work on the page in slices, between which the browser draws and handles input. Each slice waits for
// the next frame: a browser lays out everything since the last one at once, and blocks meanwhile.

const SLICE_MS = 4;

const waiting = new Map(); // by name: what is asked for again meanwhile is done once
let running = false;

const HIDDEN_MS = 100; // a page that is out of sight has no frames

export const pause = () => new Promise((done) => {
  const afterFrame = () => setTimeout(done);
  if (!document.hidden) requestAnimationFrame(afterFrame);
  setTimeout(done, HIDDEN_MS);
});

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
