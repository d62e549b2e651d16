// Graphs by uPlot: series, the threshold as a line, and the alarm's states as a ribbon above. Loaded when needed.
import uPlot from "uplot";
import { call } from "./api";
import type { AlarmState, Graph, Transition } from "./api.gen";
import { latency, value } from "./time";

/** More lines than this say nothing; the rest is left out and counted. */
const SERIES_MAX = 12;
/** Points across a graph: enough for the widest screen, little enough for a phone. */
const POINTS = 360;

interface RangeAnswer {
  data: { result: { metric: Record<string, string>; values: [number, string][] }[] };
}

export interface Data {
  columns: uPlot.AlignedData;
  names: string[];
  from: number;
  to: number;
  left: number;
}

/** A stretch of time in one state, in seconds since the epoch. */
export interface Stretch {
  from: number;
  to: number;
  state: AlarmState;
}

export async function read(graph: Graph, seconds: number, nowMs: number): Promise<Data> {
  const step = Math.max(5, Math.ceil(seconds / POINTS / 5) * 5);
  const to = Math.ceil(nowMs / 1000 / step) * step;
  const from = to - seconds;
  const query = new URLSearchParams({ query: graph.query, start: String(from), end: String(to), step: String(step) });
  const answer = await call<RangeAnswer>(`/api/v1/query_range?${query}`);
  const result = answer.data.result;
  const times: number[] = [];
  for (let at = from; at <= to; at += step) times.push(at);
  const place = new Map(times.map((time, at) => [time, at]));
  const shown = result.slice(0, SERIES_MAX);
  const columns = shown.map((series) => {
    const column = new Array<number | null>(times.length).fill(null);
    for (const [time, text] of series.values) {
      const at = place.get(Math.round(time));
      const number = Number(text);
      if (at !== undefined && Number.isFinite(number)) column[at] = number;
    }
    return column;
  });
  return {
    columns: [times, ...columns],
    names: shown.map((series) => nameOf(series.metric, result.length)),
    from,
    to,
    left: result.length - shown.length,
  };
}

/** What tells one series from another: its labels but those they share with watchbell's own. */
function nameOf(metric: Record<string, string>, count: number): string {
  if (count === 1) return "value";
  const telling = Object.entries(metric).filter(([name]) => !["__name__", "job", "monitor"].includes(name));
  return telling.map(([, text]) => text).join(" ") || metric.__name__ || "value";
}

/** The states an alarm was in, from its history (newest first) and what it says now. */
export function ribbon(history: Transition[], state: AlarmState, since: string): Stretch[] {
  const stretches: Stretch[] = [{ from: Date.parse(since) / 1000, to: Number.POSITIVE_INFINITY, state }];
  let end = Date.parse(since) / 1000;
  let before: AlarmState | undefined;
  for (const change of history) {
    const at = Date.parse(change.at) / 1000;
    if (at < end) {
      stretches.push({ from: at, to: end, state: change.to });
      end = at;
    }
    before = change.from;
  }
  if (before) stretches.push({ from: Number.NEGATIVE_INFINITY, to: end, state: before });
  return stretches;
}

export interface Drawing {
  draw(graph: Graph, data: Data, stretches: Stretch[]): void;
  close(): void;
}

const RIBBON_PX = 12;

function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Tells lines apart for colour-blind eyes too (Okabe and Ito), after the accent. */
const LINES = ["--accent", "#0072b2", "#cc79a7", "#009e73", "#d55e00", "#56b4e9", "#e69f00", "#8f8f8f"];

export function open(box: HTMLElement, height: number): Drawing {
  let plot: uPlot | undefined;
  let drawn: { graph: Graph; data: Data; stretches: Stretch[] } | undefined;

  const build = (): void => {
    if (!drawn) return;
    plot?.destroy();
    const { graph, data } = drawn;
    const format = graph.unit === "seconds" ? (number: number | null) => latency(number) : value;
    const ink = color("--ink-2");
    const grid = { stroke: color("--line"), width: 1 };
    const font = `12px ${getComputedStyle(document.body).fontFamily}`;
    const stepped = graph.unit === "state";
    const ceiling = graph.threshold;
    plot = new uPlot(
      {
        width: box.clientWidth,
        height,
        padding: [RIBBON_PX + 6, 8, 0, 0],
        // Colours need a key only where there are several; values are told at the cursor.
        legend: { show: data.names.length > 1, live: false },
        cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
        scales: {
          x: { time: true, range: () => [drawn!.data.from, drawn!.data.to] },
          y: {
            range: (_, low, high) => {
              if (stepped) return [-0.08, 1.12];
              const top = Math.max(high ?? 1, ceiling ?? Number.NEGATIVE_INFINITY);
              const bottom = Math.min(low ?? 0, ceiling ?? Number.POSITIVE_INFINITY, graph.unit === "seconds" ? 0 : Number.POSITIVE_INFINITY);
              const air = (top - bottom || Math.abs(top) || 1) * 0.12;
              return [bottom >= 0 && bottom - air < 0 ? 0 : bottom - air, top + air];
            },
          },
        },
        axes: [
          { stroke: ink, font, grid: { show: false }, ticks: { ...grid, size: 4 }, values: timeLabels },
          { stroke: ink, font, grid, ticks: { show: false }, size: 62, values: (_, ticks) => ticks.map((tick) => (stepped ? (tick === 1 ? "up" : tick === 0 ? "down" : "") : format(tick))) },
        ],
        series: [
          {},
          ...data.names.map((name, at) => {
            const chosen = LINES[at % LINES.length]!;
            const stroke = chosen.startsWith("--") ? color(chosen) : chosen;
            const options: uPlot.Series = {
              label: name,
              stroke,
              width: 1.5,
              spanGaps: false,
              points: { show: false },
            };
            if (data.names.length === 1) options.fill = `${stroke}22`;
            if (stepped) options.paths = uPlot.paths.stepped!({ align: 1 });
            return options;
          }),
        ],
        hooks: { draw: [drawThreshold, drawRibbon], setCursor: [tell] },
      },
      data.columns,
      box,
    );
  };

  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;

  // What the lines are worth under the cursor.
  const tell = (self: uPlot): void => {
    const at = self.cursor.idx;
    const time = at === null || at === undefined ? undefined : self.data[0][at];
    if (!drawn || at === null || at === undefined || time === undefined || (self.cursor.left ?? -1) < 0) {
      tip.hidden = true;
      return;
    }
    const { graph, data } = drawn;
    const said = data.names.map((name, line) => {
      const number = self.data[line + 1]?.[at] ?? null;
      const text = graph.unit === "state" ? (number === null ? "–" : number > 0 ? "up" : "down") : graph.unit === "seconds" ? latency(number) : value(number);
      return data.names.length > 1 ? `${name}: ${text}` : text;
    });
    tip.textContent = [`${day.format(time * 1000)} ${seconds.format(time * 1000)}`, ...said].join("\n");
    if (tip.parentElement !== self.over) self.over.append(tip);
    tip.hidden = false;
    const left = self.cursor.left ?? 0;
    const flip = left > self.over.clientWidth / 2;
    tip.style.left = flip ? "" : `${left + 12}px`;
    tip.style.right = flip ? `${self.over.clientWidth - left + 12}px` : "";
  };

  const drawThreshold = (self: uPlot): void => {
    const threshold = drawn?.graph.threshold;
    if (threshold === null || threshold === undefined) return;
    const { ctx, bbox } = self;
    const y = self.valToPos(threshold, "y", true);
    if (y < bbox.top || y > bbox.top + bbox.height) return;
    ctx.save();
    ctx.strokeStyle = color("--alarm");
    ctx.fillStyle = color("--alarm");
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.font = `${11 * devicePixelRatio}px ${getComputedStyle(document.body).fontFamily}`;
    ctx.textAlign = "right";
    ctx.textBaseline = "bottom";
    ctx.fillText(`threshold ${value(threshold)}`, bbox.left + bbox.width - 4, y - 3);
    ctx.restore();
  };

  // Tall and red in ALARM, thin when OK, dotted without data: shape says it as well as colour.
  const drawRibbon = (self: uPlot): void => {
    if (!drawn) return;
    const { ctx, bbox } = self;
    const unit = devicePixelRatio;
    const bottom = bbox.top - 4 * unit;
    ctx.save();
    for (const stretch of drawn.stretches) {
      const from = Math.max(stretch.from, drawn.data.from);
      const to = Math.min(stretch.to, drawn.data.to);
      if (to <= from) continue;
      const left = self.valToPos(from, "x", true);
      const width = Math.max(2 * unit, self.valToPos(to, "x", true) - left);
      const tall = stretch.state === "ALARM" ? RIBBON_PX : 4;
      ctx.fillStyle = color(stretch.state === "ALARM" ? "--alarm" : stretch.state === "OK" ? "--ok" : "--none");
      if (stretch.state === "INSUFFICIENT_DATA") {
        for (let x = left; x < left + width; x += 8 * unit) {
          ctx.fillRect(x, bottom - tall * unit, Math.min(4 * unit, left + width - x), tall * unit);
        }
      } else {
        ctx.fillRect(left, bottom - tall * unit, width, tall * unit);
      }
    }
    ctx.restore();
  };

  const resize = new ResizeObserver(() => {
    if (plot && Math.abs(plot.width - box.clientWidth) > 1) plot.setSize({ width: box.clientWidth, height });
  });
  resize.observe(box);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", build);

  return {
    draw(graph, data, stretches) {
      const same = drawn && drawn.graph.query === graph.query && drawn.data.names.join() === data.names.join();
      drawn = { graph, data, stretches };
      if (same && plot) plot.setData(data.columns);
      else build();
    },
    close() {
      resize.disconnect();
      dark.removeEventListener("change", build);
      plot?.destroy();
    },
  };
}

const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
const seconds = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hour12: false });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

function timeLabels(_: uPlot, ticks: number[], __: number, ___: number, step: number): string[] {
  return ticks.map((tick) => (step >= 86400 ? day : hour).format(new Date(tick * 1000)));
}
