// The chart of a page, with uPlot: axes, bands, marks, a tooltip, zooming by dragging.

/* global uPlot */

const HEIGHT = 320;
const COLOURS = ["--blue", "#cc79a7", "--met", "#8c6bb1", "#7a5c1e", "--line"];
const SEVERITIES = { page: "--missed", critical: "--missed", warning: "--at_risk", info: "--blue" };

const style = () => getComputedStyle(document.documentElement);
const colour = (name) => (name.startsWith("--") ? style().getPropertyValue(name).trim() : name);

function stroke(line, own) {
  if (line.kind === "previous") return { stroke: colour("--no_data"), width: 1.25, dash: [3, 3] };
  if (line.kind === "total") return { stroke: colour("--ink"), width: 2.5 };
  return { stroke: colour(COLOURS[own % COLOURS.length]), width: 2 };
}

// Drawn behind the lines: bounds with the bad side shaded, alerts, maintenance, rule changes.
function behind(data) {
  return (u) => {
    const { ctx, bbox } = u;
    const x = (ms) => Math.max(bbox.left, Math.min(bbox.left + bbox.width, u.valToPos(ms / 1000, "x", true)));
    const y = (value) => u.valToPos(value, "y", true);
    const block = (from, to, top, height, fill, alpha) => {
      ctx.globalAlpha = alpha;
      ctx.fillStyle = colour(fill);
      ctx.fillRect(x(from), top, Math.max(x(to) - x(from), 2), height);
    };
    const level = (from, to, value, name, dash) => {
      if (value < data.low || value > data.high) return;
      ctx.globalAlpha = 0.8;
      ctx.strokeStyle = colour(name);
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash(dash.map((part) => part * devicePixelRatio));
      ctx.beginPath();
      ctx.moveTo(x(from), y(value));
      ctx.lineTo(x(to), y(value));
      ctx.stroke();
    };
    ctx.save();
    for (const mark of data.maintenance) block(mark.from_ms, mark.until_ms, bbox.top, bbox.height, "--no_data", 0.22);
    for (const alert of data.alerts) block(alert.from_ms, alert.until_ms ?? data.until_ms, bbox.top, bbox.height, SEVERITIES[alert.severity], 0.16);
    for (const change of data.changes) block(change.at_ms, change.at_ms, bbox.top, bbox.height, "--ink", 0.6);
    for (const [from, to, bounds] of data.bands) {
      const { at_least: least, at_most: most } = bounds;
      if (most !== undefined && most <= data.high) block(from, to, bbox.top, y(most) - bbox.top, "--missed", 0.07);
      if (least !== undefined && least >= data.low) block(from, to, y(least), bbox.top + bbox.height - y(least), "--missed", 0.07);
      for (const [name, bound] of Object.entries(bounds)) level(from, to, bound, name.startsWith("warn") ? "--at_risk-ink" : "--missed-ink", name.startsWith("warn") ? [1, 4] : [6, 4]);
    }
    for (const rule of data.rules) level(data.since_ms, data.until_ms, rule.value, "--ink", [2, 2]);
    ctx.restore();
  };
}

// The values under the pointer, as texts of the agent.
function tooltip(data, texts) {
  const moment = new Intl.DateTimeFormat(undefined, { timeZone: data.timezone, dateStyle: "medium", timeStyle: "short" });
  let node;
  return {
    hooks: {
      init: (u) => {
        node = document.createElement("div");
        node.className = "tip";
        node.hidden = true;
        u.over.append(node);
      },
      setCursor: (u) => {
        const { idx, left, top } = u.cursor;
        node.hidden = idx === null || idx === undefined || left < 0;
        if (node.hidden) return;
        const at = u.data[0][idx] * 1000;
        const said = [moment.format(at)];
        data.lines.forEach((line, n) => {
          const text = texts[n].get(at);
          if (text) said.push(`${line.name}: ${text}`);
        });
        for (const alert of data.alerts) if (alert.from_ms <= at && at <= (alert.until_ms ?? Infinity)) said.push(`${alert.rule} (${alert.severity}) fires ${alert.series}`.trim());
        for (const mark of data.maintenance) if (mark.from_ms <= at && at <= mark.until_ms) said.push(`Maintenance: ${mark.title}`);
        node.replaceChildren(...said.map((text) => Object.assign(document.createElement("p"), { textContent: text })));
        const right = left > u.over.clientWidth / 2;
        node.style.left = right ? "" : `${left + 12}px`;
        node.style.right = right ? `${u.over.clientWidth - left + 12}px` : "";
        node.style.top = `${Math.max(0, Math.min(top, u.over.clientHeight - node.offsetHeight))}px`;
      },
    },
  };
}

function widest(texts, font) {
  const context = document.createElement("canvas").getContext("2d");
  context.font = font;
  return Math.ceil(Math.max(0, ...texts.map((text) => context.measureText(text).width)));
}

export function drawChart(parent, data) {
  const tables = data.lines.map((line) => [line.points.map(([at]) => at / 1000), line.points.map(([, value]) => value)]);
  const texts = data.lines.map((line) => new Map(line.points.map(([at, , text]) => [at, text])));
  const aligned = uPlot.join(tables, tables.map((table) => table.map(() => 2))); // null is a gap
  let own = -1;
  const series = data.lines.map((line) => {
    if (line.kind === "value") own += 1;
    return { label: line.name, points: { show: line.points.length < 3 }, spanGaps: false, ...stroke(line, Math.max(own, 0)) };
  });
  const ticks = new Map(data.ticks.map(([value, text]) => [value, text]));
  const axis = { stroke: colour("--soft"), font: "12px system-ui, sans-serif", grid: { stroke: colour("--hair"), width: 1 }, ticks: { show: false } };
  const narrow = parent.clientWidth < 500;
  const plot = new uPlot({
    width: parent.clientWidth,
    height: narrow ? 240 : HEIGHT,
    padding: [null, Math.ceil(widest(["00:00:00"], axis.font) / 2), null, null], // the last time is whole
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), data.timezone),
    legend: { show: false },
    cursor: { drag: { x: true, y: false }, y: false },
    scales: { x: { time: true, range: (u, low, high) => (low === null ? [data.since_ms / 1000, data.until_ms / 1000] : [low, high]) }, y: { range: () => [data.low, data.high] } },
    series: [{}, ...series],
    axes: [
      { ...axis, space: narrow ? 60 : 80, values: times(data.timezone) },
      { ...axis, size: widest([...ticks.values()], axis.font) + 14, splits: () => [...ticks.keys()], values: (u, splits) => splits.map((value) => ticks.get(value)) },
    ],
    hooks: { drawAxes: [behind(data)] },
    plugins: [tooltip(data, texts)],
  }, null, parent);
  return {
    // The lines, which are half of the work of drawing: the page may do something else before.
    fill: () => {
      plot.setData(aligned, false);
      plot.setScale("x", { min: data.since_ms / 1000, max: data.until_ms / 1000 });
    },
    destroy: () => plot.destroy(),
    resize: () => plot.setSize({ width: parent.clientWidth, height: plot.height }),
    // The pointer is over it, or a part of it is selected.
    isHeld: () => plot.cursor.left >= 0 || plot.scales.x.min > data.since_ms / 1000 + 1 || plot.scales.x.max < data.until_ms / 1000 - 1,
    savePng: () => savePng(plot, data),
  };
}

function times(timezone) {
  const clock = new Intl.DateTimeFormat(undefined, { timeZone: timezone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const exact = new Intl.DateTimeFormat(undefined, { timeZone: timezone, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const day = new Intl.DateTimeFormat(undefined, { timeZone: timezone, day: "numeric", month: "short" });
  return (u, splits, axis, space, step) => splits.map((seconds) => {
    const text = (step < 60 ? exact : clock).format(seconds * 1000);
    return text === "00:00" ? day.format(seconds * 1000) : text;
  });
}

// Saves the chart with its title as a PNG.
function savePng(plot, data) {
  const ratio = devicePixelRatio;
  const head = 44 * ratio;
  const canvas = document.createElement("canvas");
  canvas.width = plot.ctx.canvas.width;
  canvas.height = plot.ctx.canvas.height + head;
  const ctx = canvas.getContext("2d");
  ctx.fillStyle = colour("--card");
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.fillStyle = colour("--ink");
  ctx.font = `600 ${15 * ratio}px system-ui, sans-serif`;
  ctx.fillText([data.title, data.series].filter(Boolean).join(" · "), 12 * ratio, 20 * ratio);
  ctx.fillStyle = colour("--soft");
  ctx.font = `${12 * ratio}px system-ui, sans-serif`;
  ctx.fillText(`${document.getElementById("span").textContent}`, 12 * ratio, 37 * ratio);
  ctx.drawImage(plot.ctx.canvas, 0, head);
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${data.name}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}
